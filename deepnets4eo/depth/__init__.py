"""Depth and height from one image: a network, and lenses that blur by depth."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "BlurNet": "deepnets4eo.depth.defocus",
    "D3Net": "deepnets4eo.depth.d3net",
    "ThinLens": "deepnets4eo.depth.defocus",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
