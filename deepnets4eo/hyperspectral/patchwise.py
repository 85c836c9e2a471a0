"""Dense evaluation in bounded memory: of networks of single pixels, and of patches whose edges matter.

Takes (N, C, h, w); returns the function's results at every pixel, or for every patch that lies inside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def map_pixels(function: Callable[[Tensor], Tensor], cube: Tensor, pixels: int | None) -> Tensor:
    """Apply a function of spectra to each pixel.

    function : (M, B) → (M, C). pixels : how many at once; None: all, as batch statistics in training need it.
    cube : (N, B, h, w) · returns : (N, C, h, w)
    """
    count, _, height, width = cube.shape
    spectra = cube.permute(0, 2, 3, 1).flatten(0, 2)
    outputs = function(spectra) if pixels is None else torch.cat([function(part) for part in spectra.split(pixels)])
    return outputs.reshape(count, height, width, -1).permute(0, 3, 1, 2)


def map_patches(function: Callable[[Tensor], Tensor], maps: Tensor, side_px: int, patches: int | None) -> Tensor:
    """Apply a function of patches to each patch that lies inside.

    function : (M, C, s, s) → (M, K), s = side_px. patches : how many at once; None: all.
    maps : (N, C, h, w) · returns : (N, K, h − s + 1, w − s + 1)
    """
    views = maps.unfold(2, side_px, 1).unfold(3, side_px, 1).permute(0, 2, 3, 1, 4, 5)
    count, height, width = views.shape[:3]
    if patches is None:
        outputs = function(views.flatten(0, 2))
    else:
        rows = max(1, patches // max(width, 1))
        outputs = torch.cat([function(part) for part in _blocks(views, rows, patches)])
    return outputs.reshape(count, height, width, -1).permute(0, 3, 1, 2)


def chunk_of(module: nn.Module, size: int) -> int | None:
    """How much a module computes at once: in training, or while it is traced, all."""
    return None if module.training or torch.compiler.is_compiling() else size


def _blocks(views: Tensor, rows: int, patches: int) -> list[Tensor]:
    """Views of patches, (M, C, s, s), copied only when they are used."""
    blocks = [block for image in views for block in image.split(rows)]
    return [part for block in blocks for part in _split_rows(block, patches)]


def _split_rows(block: Tensor, patches: int) -> list[Tensor]:
    if len(block) == 1:  # wide rows are cut, too
        return list(block[0].split(patches))
    return [block.flatten(0, 1)]
