"""Depth and height from one image: a network, and lenses that blur by depth."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".defocus": "BlurNet ThinLens", ".d3net": "D3Net"})
