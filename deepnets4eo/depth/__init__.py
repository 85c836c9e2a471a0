"""Depth and height from one image: a network, and lenses that blur by depth."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .d3net import D3Net as D3Net
    from .defocus import BlurNet as BlurNet, ThinLens as ThinLens
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".d3net": ["D3Net"],
            ".defocus": ["BlurNet", "ThinLens"],
        },
    )
