"""Colours of a coarse image in the detail of a finer band, and how good they are."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .pansharpening import SharpeningQuality as SharpeningQuality, pansharpen_raster as pansharpen_raster
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".pansharpening": ["SharpeningQuality", "pansharpen_raster"],
        },
    )
