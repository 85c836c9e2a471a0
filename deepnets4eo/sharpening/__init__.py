"""Colours of a coarse image in the detail of a finer band, and how good they are."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "SharpeningQuality": "deepnets4eo.sharpening.pansharpening",
    "pansharpen_raster": "deepnets4eo.sharpening.pansharpening",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
