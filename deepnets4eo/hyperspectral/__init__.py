"""Hyperspectral cubes: readers, the 1D and 3D CNN zoo, honest sampling, dense inference."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".cube": "Cube find_bad_bands remove_bad_bands",
        ".patch_classifier": "PatchClassifier",
        ".spectral_input": "SpectralInput",
        ".reduction": "SpectralReduction fit_reduction",
        ".factory": "build",
        ".run_report": "report",
    },
)
