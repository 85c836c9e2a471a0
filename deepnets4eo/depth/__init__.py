"""Depth and height from one image: lenses that blur by depth."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "ThinLens": "deepnets4eo.depth.defocus",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
