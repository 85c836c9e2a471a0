"""Several sensors together: fusion networks, built by `create_model` and in recipes; heights and map layers for them."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".late_fusion": "DualStream ResidualCorrection",
        ".fusenet": "FuseNet VFuseNet",
        ".osmnet": "OSMNet",
        "deepnets4eo.osm.rules": "OsmRules",
        ".smp_fusion": "SmpFusion",
        ".streams": "Streams stream_sizes",
        "deepnets4eo.osm.rasterize": "rasterize_osm",
        "deepnets4eo.terrain.composites": "composite_raster",
        "deepnets4eo.terrain.ground_filter": "ground",
        "deepnets4eo.terrain.heights": "ndsm slope_deg surface_gradient",
    },
)
