"""Modules that know which context a pixel needs, and take images of any size: nothing is padded around them.

Takes tiles with a margin; computes what is left without it from just the context that is needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from deepnets4eo.tiling import Tiling

if TYPE_CHECKING:
    from torch import Tensor

TILE_PX = 256


@runtime_checkable
class PatchModule(Protocol):
    """A module that labels the centres of patches, and whole images with the same weights, in bounded memory.

    before_px, after_px : rows and columns before and after a pixel that its scores depend on.
    """

    before_px: int
    after_px: int

    def window_scores(self, cube: Tensor) -> Tensor:
        """Scores wherever the context lies inside, (N, C, h, w) → (N, K, h − b, w − b), b = before_px + after_px"""

    def __call__(self, cube: Tensor) -> Tensor:
        """Scores of all pixels, the image mirrored at its edges, (N, C, h, w) → (N, K, h, w)"""


def patch_logits(module: PatchModule, image: Tensor, margin_px: int) -> Tensor:
    """Scores without a margin, (N, C, h, w) → (N, K, h − 2m, w − 2m); mirrored where the margin is less than the context."""
    before, after = module.before_px, module.after_px
    height, width = image.shape[2:]
    if margin_px < max(before, after):
        return module(image)[:, :, margin_px : height - margin_px, margin_px : width - margin_px]
    rows, cols = (slice(margin_px - before, side - margin_px + after) for side in (height, width))
    return module.window_scores(image[:, :, rows, cols])


def with_context(tiling: Tiling | None, module: object) -> Tiling:
    """A tiling whose halo is at least the context of the module, its core as large as it was; by default tiles of 256 px."""
    if not isinstance(module, PatchModule):
        return Tiling() if tiling is None else tiling
    halo_px = max(module.before_px, module.after_px)
    if tiling is None:
        return Tiling(max(TILE_PX, 4 * halo_px), halo_px)
    more_px = max(halo_px - tiling.halo_px, 0)
    return replace(tiling, tile_px=tiling.tile_px + 2 * more_px, halo_px=tiling.halo_px + more_px)
