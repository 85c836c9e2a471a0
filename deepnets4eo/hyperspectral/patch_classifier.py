"""Networks that label the centre of a patch of a cube, and label whole cubes in one pass with the same weights.

Takes cubes (N, B, h, w) of any size; returns logits (N, K, h, w), equal to those of the patch around each pixel.
Whole cubes are computed in windows, so that memory depends on the network alone. Refuses patches of another side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError

WINDOW_BYTES = 96 << 20  # of values that a network holds at once
LEAST_WINDOW_PX = 8


class PatchClassifier(nn.Module):
    """Base of networks that label the centre of a patch.

    A subclass computes `patch_scores`, with strides and poolings as published, and `inner_scores`: the same weights on a
    whole cube, without padding at its edges and with dilations instead of strides. Both agree at every pixel. Without an
    `inner_scores` of its own it computes the patches of all pixels together.

    Parameters
    ----------
    patch_px
        P, side of the published patch; the labelled pixel is number P // 2 along each axis.
    before_px, after_px
        Rows and columns before and after the labelled pixel that its logits depend on; less than the patch where
        poolings leave pixels out.
    values_per_pixel
        How many numbers `inner_scores` holds at once for each pixel, about; None: P² × 512.

    Examples
    --------
    >>> from deepnets4eo.hyperspectral import build
    >>> network = build("hamida", bands=103, num_classes=9)
    >>> network.patch_px, network.halo_px, tuple(network(torch.zeros(1, 103, 6, 7)).shape)
    (5, 2, (1, 9, 6, 7))
    """

    def __init__(self, patch_px: int, before_px: int, after_px: int, values_per_pixel: int | None = None) -> None:
        super().__init__()
        self.patch_px, self.before_px, self.after_px = patch_px, before_px, after_px
        self.values_per_pixel = values_per_pixel or patch_px**2 * 512

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs on each side."""
        return max(self.before_px, self.after_px)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        raise TypeError(f"{type(self).__name__} does not implement patch_scores")

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px"""
        patches = cube.unfold(2, self.patch_px, 1).unfold(3, self.patch_px, 1).permute(0, 2, 3, 1, 4, 5)
        scores = self.patch_scores(patches.flatten(0, 2))
        return scores.unflatten(0, patches.shape[:3]).permute(0, 3, 1, 2)

    def window_scores(self, cube: Tensor) -> Tensor:
        """`inner_scores`, computed in windows outside training: memory depends on the network, not on the cube."""
        if self.training or torch.compiler.is_compiling():  # normalisation needs the whole batch; a graph has no loops
            return self.inner_scores(cube)
        context = self.before_px + self.after_px
        height, width = cube.shape[2] - context, cube.shape[3] - context
        side = self._window_px(len(cube))
        rows = [
            torch.cat([self.inner_scores(cube[:, :, r : r + side + context, c : c + side + context])
                       for c in range(0, width, side)], dim=3)
            for r in range(0, height, side)
        ]  # fmt: skip
        return torch.cat(rows, dim=2)

    def forward(self, cube: Tensor) -> Tensor:
        """Logits of all pixels, the cube mirrored at its edges. cube : (N, B, h, w) → (N, K, h, w)"""
        return self.window_scores(mirror_edges(cube, self.before_px, self.after_px))

    def check_patches(self, patches: Tensor) -> None:
        """Refuse patches of another side than P. Errors: InputError."""
        if patches.shape[2:] != (self.patch_px, self.patch_px):
            raise InputError(
                f"patches of {' × '.join(map(str, patches.shape[2:]))} pixels were given; the network takes {self.patch_px} "
                f"× {self.patch_px}, with the pixel to label at {self.patch_px // 2}. Cut them so."
            )

    def _window_px(self, batch: int) -> int:
        """Side of the windows whose values, with their context, fit into WINDOW_BYTES; at least as wide as the context."""
        fit = math.isqrt(WINDOW_BYTES // (4 * batch * self.values_per_pixel))
        context = self.before_px + self.after_px
        return max(fit - context, context, LEAST_WINDOW_PX)


def mirror_edges(cube: Tensor, before_px: int, after_px: int) -> Tensor:
    """Add mirrored rows and columns, the edge itself not repeated, also to cubes smaller than what is added.

    >>> mirror_edges(torch.tensor([[[[1, 2, 3]]]]), 0, 2)[0, 0, 0].tolist()
    [1, 2, 3, 2, 1]
    """
    if not (before_px or after_px):
        return cube
    for axis in (2, 3):
        size = cube.shape[axis]
        positions = torch.arange(-before_px, size + after_px, device=cube.device)
        period = torch.full_like(positions, torch.sym_max(2 * (size - 1), 1))  # a tensor, as ONNX needs it
        in_period = torch.remainder(positions, period)
        cube = cube.index_select(axis, torch.minimum(in_period, period - in_period).clamp(max=size - 1))
    return cube
