"""Networks that label the centre of a patch of a cube, and label whole cubes in one pass with the same weights.

Takes cubes (N, B, h, w) of any size; returns logits (N, K, h, w), equal to those of the patch around each pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepnets4eo.tiling import reflect_indices


class PatchClassifier(nn.Module):
    """Base of networks that label the centre of a patch.

    A subclass computes `patch_scores`, with strides and poolings as published, and `inner_scores`: the same weights on a
    whole cube, without padding at its edges and with dilations instead of strides. Both agree at every pixel.

    patch_px : P, side of the published patch; the labelled pixel is number P // 2 along each axis. before_px, after_px : how
    many rows and columns before and after the labelled pixel its logits depend on; less than the patch where poolings
    leave pixels out.
    """

    def __init__(self, patch_px: int, before_px: int, after_px: int) -> None:
        super().__init__()
        self.patch_px, self.before_px, self.after_px = patch_px, before_px, after_px

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs on each side."""
        return max(self.before_px, self.after_px)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        raise TypeError(f"{type(self).__name__} does not implement patch_scores")

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px"""
        raise TypeError(f"{type(self).__name__} does not implement inner_scores")

    def forward(self, cube: Tensor) -> Tensor:
        """Logits of all pixels, the cube mirrored at its edges. cube : (N, B, h, w) → (N, K, h, w)"""
        return self.inner_scores(mirror_edges(cube, self.before_px, self.after_px))


def mirror_edges(cube: Tensor, before_px: int, after_px: int) -> Tensor:
    """Add mirrored rows and columns, the edge itself not repeated, also to cubes smaller than what is added.

    >>> mirror_edges(torch.tensor([[[[1, 2, 3]]]]), 0, 2)[0, 0, 0].tolist()
    [1, 2, 3, 2, 1]
    """
    for axis in (2, 3):
        size = cube.shape[axis]
        indices = torch.from_numpy(reflect_indices(size, -before_px, size + after_px))
        cube = cube.index_select(axis, indices.to(cube.device))
    return cube
