"""Heights above ground, slopes, and the layers that are made of them."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {".composites": "composite_raster", ".ground_filter": "ground", ".heights": "ndsm slope_deg surface_gradient"},
)
