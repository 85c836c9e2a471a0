"""Functions of single spectra applied to whole cubes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def map_pixels(function: Callable[[Tensor], Tensor], cube: Tensor, pixels: int | None = None) -> Tensor:
    """Apply a function (M, B) → (M, C) of spectra to each pixel of a cube (N, B, h, w), `pixels` at once; None takes
    all, as batch statistics in training need it."""
    count, _, height, width = cube.shape
    spectra = cube.permute(0, 2, 3, 1).flatten(0, 2)
    outputs = function(spectra) if pixels is None else torch.cat([function(part) for part in spectra.split(pixels)])
    return outputs.reshape(count, height, width, -1).permute(0, 3, 1, 2)
