"""Several sensors together: fusion networks, heights above ground from surface models, map layers.

`FuseNet`, `VFuseNet`, `SmpFusion`, `DualStream` and `ResidualCorrection` are built by `create_model` and in recipes.
`ndsm` gives heights above a terrain model, or above a ground estimated from the surface itself (`ground`).
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "DualStream": "deepnets4eo.fusion.dual_stream",
    "FuseNet": "deepnets4eo.fusion.fusenet",
    "OSMNet": "deepnets4eo.fusion.osmnet",
    "OsmRules": "deepnets4eo.fusion.osm_rules",
    "ResidualCorrection": "deepnets4eo.fusion.residual_correction",
    "SmpFusion": "deepnets4eo.fusion.smp_fusion",
    "VFuseNet": "deepnets4eo.fusion.vfusenet",
    "rasterize_osm": "deepnets4eo.fusion.rasterize",
    "ground": "deepnets4eo.fusion.terrain",
    "ndsm": "deepnets4eo.fusion.heights",
    "ndsm_raster": "deepnets4eo.fusion.heights",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepnets4eo.fusion' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
