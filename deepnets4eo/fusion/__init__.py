"""Several sensors together: fusion networks, heights above ground from surface models, map layers.

`FuseNet`, `VFuseNet`, `SmpFusion`, `DualStream` and `ResidualCorrection` are built by `create_model` and in recipes.
`ndsm` returns heights above a terrain model, or above a ground estimated from the surface itself (`ground`);
`composite_raster` writes them beside the surface, its slope and the vegetation index of an image.
"""

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
    "ndsm_raster": "deepnets4eo.terrain.composites",
    "slope_deg": "deepnets4eo.terrain.slope",
    "stream_sizes": "deepnets4eo.fusion.streams",
    "surface_gradient": "deepnets4eo.terrain.slope",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
