"""Two sensors: any patch network on the hyperspectral cube, a small CNN on the other one, their features joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion import Streams, stream_sizes
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.segmenters import create_model

CONTEXT_PX = 3  # that the small CNN sees on each side
KERNELS, WIDTHS = (3, 3, 3), (16, 32, 64)


class TwoSensor(PatchClassifier):
    """Two branches, fused late, as is usual for hyperspectral images and LiDAR (Xu et al. 2018).

    The bands of the cube come first, then the bands of the other sensor (`streams`: numbers of both), standardised; a
    missing sensor is zero.

    The patch network of the cube (`network`, `patch_px`, `options`) returns `width` features.

    >>> network = TwoSensor(21, 5, streams=[20, 1])
    >>> network(torch.zeros(1, 21, 10, 12)).shape
    torch.Size([1, 5, 10, 12])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        streams: Sequence[int] | None = None,
        network: str = "hyperspectral/ssrn",
        width: int = 64,
        patch_px: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        sizes = stream_sizes(in_channels, streams)
        if len(sizes) != 2:
            raise InputError(f"TwoSensor got streams={list(sizes)}; expected two, the cube's bands and the other's.")
        further = dict(options or {}) | ({} if patch_px is None else {"patch_px": patch_px})
        branch = create_model(network, in_channels=sizes[0], num_classes=width, **further)
        if not isinstance(branch, PatchClassifier):
            raise InputError(
                f"{network!r} does not classify patches. Choose one that does, such as hyperspectral/ssrn."
            )
        super().__init__(
            max(branch.patch_px, 2 * CONTEXT_PX + 1),
            max(branch.before_px, CONTEXT_PX),
            max(branch.after_px, CONTEXT_PX),
            branch.values_per_pixel + 2 * sum(WIDTHS),
        )
        self.streams = Streams(sizes)
        self.spectral = branch
        layers: list[nn.Module] = []
        for before, after, kernel in zip((sizes[1], *WIDTHS), WIDTHS, KERNELS, strict=False):
            layers += [nn.Conv2d(before, after, kernel), nn.ReLU(inplace=True)]
        self.other = nn.Sequential(*layers)
        joined = width + WIDTHS[-1]
        self.classifier = nn.Sequential(
            nn.ReLU(), nn.Conv2d(joined, width, 1), nn.ReLU(inplace=True), nn.Conv2d(width, num_classes, 1)
        )

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B + C, P, P) → (N, K)"""
        self.check_patches(patches)
        cube, other = self.streams(patches)[0]
        centre, side = self.patch_px // 2, self.spectral.patch_px
        spectral = self.spectral.patch_scores(_cut(cube, centre - side // 2, side))
        return self._fuse(spectral[:, :, None, None], self._other(other, centre, centre, 1, 1)).flatten(1)

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Both branches densely. cube : (N, B + C, h, w) → (N, K, h − b, w − b)"""
        height, width = (side - self.before_px - self.after_px for side in cube.shape[2:])
        cube, other = self.streams(cube)[0]
        start = self.before_px - self.spectral.before_px
        reach = self.spectral.before_px + self.spectral.after_px
        cut = cube[:, :, start : start + height + reach, start : start + width + reach]
        spectral = self.spectral.inner_scores(cut)
        return self._fuse(spectral, self._other(other, self.before_px, self.before_px, height, width))

    def _other(self, maps: Tensor, row: int, column: int, height: int, width: int) -> Tensor:
        """Features of the other sensor at height × width pixels from (row, column). (N, C, h, w) → (N, 64, height, width)"""
        more = 2 * CONTEXT_PX
        top, left = row - CONTEXT_PX, column - CONTEXT_PX
        features: Tensor = self.other(maps[:, :, top : top + height + more, left : left + width + more])
        return features

    def _fuse(self, spectral: Tensor, other: Tensor) -> Tensor:
        scores: Tensor = self.classifier(torch.cat([spectral, other], dim=1))
        return scores


def _cut(maps: Tensor, start: int, side: int) -> Tensor:
    return maps[:, :, start : start + side, start : start + side]
