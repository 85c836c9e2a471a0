"""Hyperspectral cubes: readers, the 1D and 3D CNN zoo, honest sampling, dense inference."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "PatchClassifier": "deepnets4eo.hyperspectral.patch_classifier",
    "SpectralInput": "deepnets4eo.hyperspectral.spectral_input",
    "SpectralReduction": "deepnets4eo.hyperspectral.reduction",
    "build": "deepnets4eo.hyperspectral.factory",
    "fit_reduction": "deepnets4eo.hyperspectral.reduction",
    "normalise": "deepnets4eo.hyperspectral.normalisation",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
