"""Hyperspectral cubes: readers, the 1D and 3D CNN zoo, honest sampling, dense inference."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .cube import Cube as Cube, find_bad_bands as find_bad_bands, remove_bad_bands as remove_bad_bands
    from .factory import build as build
    from .patch_classifier import PatchClassifier as PatchClassifier
    from .reduction import SpectralReduction as SpectralReduction, fit_reduction as fit_reduction
    from .run_report import report as report
    from .spectral_input import SpectralInput as SpectralInput
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".cube": ["Cube", "find_bad_bands", "remove_bad_bands"],
            ".factory": ["build"],
            ".patch_classifier": ["PatchClassifier"],
            ".reduction": ["SpectralReduction", "fit_reduction"],
            ".run_report": ["report"],
            ".spectral_input": ["SpectralInput"],
        },
    )
