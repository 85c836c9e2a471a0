"""Hyperspectral cubes: readers, the 1D and 3D CNN zoo, honest sampling, dense inference."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Cube": "deepnets4eo.hyperspectral.cube",
    "PatchClassifier": "deepnets4eo.hyperspectral.patch_classifier",
    "SpectralInput": "deepnets4eo.hyperspectral.spectral_input",
    "SpectralReduction": "deepnets4eo.hyperspectral.reduction",
    "build": "deepnets4eo.hyperspectral.factory",
    "fit_reduction": "deepnets4eo.hyperspectral.reduction",
    "find_bad_bands": "deepnets4eo.hyperspectral.cube",
    "report": "deepnets4eo.hyperspectral.run_report",
    "remove_bad_bands": "deepnets4eo.hyperspectral.cube",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
