"""Networks that label a pixel by its spectrum alone, and whole cubes in batches of pixels that fit a processor's cache.

Takes spectra in rows for training, and in columns for whole cubes: bands then lie as they do in the cube, and each layer
is one product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.pixelwise import map_pixels

Columns = Callable[[Tensor], Tensor]


class PixelNetwork(PatchClassifier):
    """Base of networks of single spectra; subclasses implement `spectrum_scores`, and `prepare_columns` where it is
    faster. `pixels_at_once` pixels of a whole cube are computed together. Raises InputError for patches of more than
    one pixel."""

    pixels_at_once = 512  # their values stay in the cache

    def __init__(self, patch_px: int, in_channels: int) -> None:
        if patch_px != 1:
            raise InputError(
                f"patch_px={patch_px} was given, but {type(self).__name__} labels a pixel by its spectrum alone. Leave it "
                "out, or choose a network of patches."
            )
        super().__init__(1, 0, 0, in_channels)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        raise TypeError(f"{type(self).__name__} does not implement spectrum_scores")

    def prepare_columns(self) -> Columns | None:
        """A function of few pixels in columns, (B, M) → (K, M), or None: `spectrum_scores` of many pixels is as fast."""
        return None

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of pixels as patches. patches : (N, B, 1, 1) → (N, K)"""
        self.check_patches(patches)
        return self.spectrum_scores(patches.flatten(1))

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all pixels. cube : (N, B, h, w) → (N, K, h, w)"""
        whole = self.training or torch.compiler.is_compiling()  # batch statistics need all pixels; a graph has no loops
        columns = None if whole else self.prepare_columns()
        if columns is None:
            return map_pixels(self.spectrum_scores, cube, None if whole else self.pixels_at_once)
        bands = cube.transpose(0, 1)
        parts = bands.flatten(1).split(self.pixels_at_once, dim=1)
        of_columns = torch.cat([columns(part.contiguous()) for part in parts], dim=1)
        return of_columns.unflatten(1, bands.shape[1:]).transpose(0, 1)


def band_products(rows: Tensor, weight: Tensor, step: int) -> Tensor:
    """Products of a matrix with windows of rows, `step` apart. rows : (R, M), weight : (O, window) → (windows, O, M)

    >>> band_products(torch.arange(5.0)[:, None], torch.ones(1, 3), 2).flatten().tolist()
    [3.0, 9.0]
    """
    windows = rows.unfold(0, weight.shape[1], step).transpose(1, 2)
    return torch.bmm(weight.expand(len(windows), -1, -1), windows)


def half_tanh(doubled: Tensor, term: Tensor) -> Tensor:
    """Return tanh(x) / 2 of values 2x = doubled + term as σ(2x) − ½, in float32 and a tenth of the time of torch's tanh
    on CPUs; the factors of two go into the weights before and after it, exactly. `doubled` is overwritten where it
    is float32."""
    return doubled.float().add_(term).sigmoid_().sub_(0.5).to(doubled.dtype)
