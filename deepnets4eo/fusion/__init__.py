"""Several sensors together: fusion networks, built by `create_model` and in recipes; heights and map layers for them."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "DualStream": "deepnets4eo.fusion.late_fusion",
    "FuseNet": "deepnets4eo.fusion.fusenet",
    "OSMNet": "deepnets4eo.fusion.osmnet",
    "OsmRules": "deepnets4eo.osm.rules",
    "ResidualCorrection": "deepnets4eo.fusion.late_fusion",
    "SmpFusion": "deepnets4eo.fusion.smp_fusion",
    "Streams": "deepnets4eo.fusion.streams",
    "VFuseNet": "deepnets4eo.fusion.fusenet",
    "rasterize_osm": "deepnets4eo.osm.rasterize",
    "composite_raster": "deepnets4eo.terrain.composites",
    "ground": "deepnets4eo.terrain.ground_filter",
    "ndsm": "deepnets4eo.terrain.heights",
    "slope_deg": "deepnets4eo.terrain.heights",
    "stream_sizes": "deepnets4eo.fusion.streams",
    "surface_gradient": "deepnets4eo.terrain.heights",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
