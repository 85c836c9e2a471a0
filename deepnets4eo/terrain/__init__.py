"""Heights above ground, slopes, and the layers that are made of them."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "composite_raster": "deepnets4eo.terrain.composites",
    "ground": "deepnets4eo.terrain.ground_filter",
    "ndsm": "deepnets4eo.terrain.heights",
    "slope_deg": "deepnets4eo.terrain.heights",
    "surface_gradient": "deepnets4eo.terrain.heights",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
