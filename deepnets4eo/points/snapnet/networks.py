"""The networks of SnapNet: a U-Net on VGG-16's encoder, and the fusion of two of them.

Takes snapshots of any size; returns logits of that size. Sources: Boulch, Le Saux, Audebert, 3DOR 2017; Boulch, Guerry, Le Saux,
Audebert, Computers & Graphics 2018."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion import ResidualCorrection
from deepnets4eo.segmentation import SegNetEncoder, conv_block, he_init, load_encoder, pad_to_stride

WIDTH = 64  # channels of VGG-16's first stage
STRIDE_PX = 32  # the encoder halves the image five times
MAPS = (8, 8, 4, 2, 1)  # channels of the maps that join in the decoder, relative to the first stage, the coarsest first


class SnapNetUNet(nn.Module):
    """The U-Net of SnapNet: VGG-16-BN's five stages, and five that double the size and take the encoder's maps (40,435,722
    weights for 3 bands and 10 classes).

    weights : of the encoder, see `segmentation.load_encoder`

    Errors: InputError.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, width: int = WIDTH, weights: str | Path | None = None
    ) -> None:
        super().__init__()
        self.encoder = SegNetEncoder(in_channels, width=width)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(maps * width, maps * width, 3, stride=2, padding=1, output_padding=1) for maps in MAPS
        )
        self.decoder = nn.ModuleList(conv_block([step * width for step in chain]) for chain in _decoder_chains())
        self.head: nn.Module = nn.Conv2d(width, num_classes, 3, padding=1)
        he_init(self)
        if weights is not None:
            load_encoder(self.encoder, weights)

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, C, H, W) float32 · returns : logits (N, K, H, W)."""
        if image.shape[1] != self.encoder.in_channels:
            raise InputError(
                f"an image of {image.shape[1]} bands was given to a SnapNet U-Net of {self.encoder.in_channels}. "
                "Choose the layers that it was built for, or build it with in_channels of the image."
            )
        height, width = image.shape[2:]
        maps, joined = pad_to_stride(image, STRIDE_PX), []
        for stage in self.encoder.stages:
            joined.append(stage(maps))
            maps = F.max_pool2d(joined[-1], 2)
        for enlarge, stage, skip in zip(self.enlarge, self.decoder, reversed(joined), strict=True):
            maps = stage(torch.cat([enlarge(maps), skip], dim=1))
        logits: Tensor = self.head(maps)
        return logits[:, :, :height, :width]


class SnapNetFusion(ResidualCorrection):
    """P = P_a + P_b + C(Z_a, Z_b) on scores, with Z the maps before each network's last layer; arguments as in
    `fusion.ResidualCorrection`.

    Unlike in SnapNet's code, C may be negative. Published: `weights="RUN,RUN"`, `frozen=True`.
    """

    usual_network = "snapnet-unet"

    def correction_layers(self, normalised: nn.Sequential, channels: Sequence[int]) -> nn.Sequential:
        """3 × 3 convolutions with ReLU, without normalisation."""
        pairs = itertools.pairwise(channels)
        layers = [layer for a, b in pairs for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU(inplace=True))]
        plain = nn.Sequential(*layers)
        he_init(plain)
        return plain

    def join(self, scores: Sequence[Tensor], present: list[Tensor] | None) -> Tensor:
        """Sum the scores; scores of absent streams are 0."""
        return torch.stack(list(scores)).sum(dim=0)


def _decoder_chains() -> list[list[int]]:
    """Channels from step to step of each decoder stage, relative to the width."""
    convolutions = (3, 3, 3, 2, 1)  # the last stage's second one returns the scores
    after = [*MAPS[1:], MAPS[-1]]
    return [
        [2 * maps, *[maps] * (count - 1), left] for maps, count, left in zip(MAPS, convolutions, after, strict=True)
    ]
