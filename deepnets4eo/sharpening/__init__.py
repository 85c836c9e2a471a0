"""Colours of a coarse image in the detail of a finer band, and how good they are."""

from .pansharpening import SharpeningQuality, pansharpen_raster

__all__ = ["SharpeningQuality", "pansharpen_raster"]
