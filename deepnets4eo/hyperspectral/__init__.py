"""Hyperspectral cubes: readers, the 1D and 3D CNN zoo, honest sampling, dense inference."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "PatchClassifier": "deepnets4eo.hyperspectral.patch_classifier",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
