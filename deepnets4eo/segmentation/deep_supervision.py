"""Predictions from inner stages of a decoder, so that in training the loss reaches them directly.

Takes maps at 1:2, 1:4, 1:8 …; returns logits of the image's size. Not used in prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class SideOutputs(nn.Module):
    """A last layer on each inner stage (Audebert et al., ISPRS J. 2018: 1:2, 1:4, 1:8 beside 1:1).

    channels : of the stages, the finest first; stage k lies at 1 : 2^(k+1).

    >>> import torch
    >>> sides = SideOutputs([8, 16], 3)
    >>> [tuple(side.shape) for side in sides([torch.zeros(1, 8, 16, 16), torch.zeros(1, 16, 8, 8)], (30, 32))]
    [(1, 3, 30, 32), (1, 3, 30, 32)]
    """

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(count, num_classes, 3, padding=1) for count in channels)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> list[Tensor]:
        """levels : (N, channels, ·, ·), the finest first · returns : logits (N, K, height, width), interpolated."""
        height, width = shape
        scores = [head(maps) for head, maps in zip(self.heads, levels, strict=True)]
        sides = [
            F.interpolate(score, scale_factor=2.0 ** (level + 1), mode="bilinear", align_corners=False)
            for level, score in enumerate(scores)
        ]
        return [side[:, :, :height, :width] for side in sides]
