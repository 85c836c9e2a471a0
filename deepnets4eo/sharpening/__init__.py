"""Colours of a coarse image in the detail of a finer band, and how good they are."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".pansharpening": "SharpeningQuality pansharpen_raster"})
