"""Networks that label a pixel by its spectrum alone, and the whole cube in large batches of pixels."""

from __future__ import annotations

from torch import Tensor

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier


class PixelNetwork(PatchClassifier):
    """Base of networks of single spectra; subclasses implement `spectrum_scores`.

    patch_px : 1, as of all patch networks. values_per_pixel : numbers held at once for each pixel, about.
    Errors: InputError for another patch.
    """

    def __init__(self, patch_px: int, values_per_pixel: int) -> None:
        if patch_px != 1:
            raise InputError(
                f"patch_px={patch_px} was given, but {type(self).__name__} labels a pixel by its spectrum alone. Leave it "
                "out, or choose a network of patches."
            )
        super().__init__(1, 0, 0, values_per_pixel)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        raise TypeError(f"{type(self).__name__} does not implement spectrum_scores")

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of pixels as patches. patches : (N, B, 1, 1) → (N, K)"""
        self.check_patches(patches)
        return self.spectrum_scores(patches.flatten(1))

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all pixels. cube : (N, B, h, w) → (N, K, h, w)"""
        pixels = cube.permute(0, 2, 3, 1)
        scores = self.spectrum_scores(pixels.flatten(0, 2))
        return scores.unflatten(0, pixels.shape[:3]).permute(0, 3, 1, 2)
