"""A spectral CNN on each pixel, then a U-Net over the features: dense labels from sparse ones, with wide context."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import map_pixels
from deepnets4eo.segmentation import pad_to_stride

KERNELS, WIDTHS = (7, 5), (16, 32)  # of the spectral convolutions, stride 2
PIXELS = 8192  # at once: some 100 MB at 200 bands


class SpectralUNet(nn.Module):
    """Two convolutions along the spectrum and a linear layer for each pixel, then a U-Net (Ronneberger et al. 2015).

    It is no patch network: a pixel's label depends on all pixels that the levels reach. features : numbers that a
    spectrum becomes. widths : channels of the levels, from the image's own resolution down.

    >>> SpectralUNet(103, 9)(torch.zeros(1, 103, 30, 41)).shape
    torch.Size([1, 9, 30, 41])"""

    def __init__(
        self, in_channels: int, num_classes: int, *, features: int = 64, widths: Sequence[int] = (64, 128, 256)
    ) -> None:
        super().__init__()
        if min(in_channels, num_classes, features, *widths, len(widths)) < 1:
            raise InputError(
                f"SpectralUNet got in_channels={in_channels}, num_classes={num_classes}, features={features}, "
                f"widths={list(widths)}; all must be at least 1, and there must be a level."
            )
        layers: list[nn.Module] = []
        length, before = in_channels, 1
        for kernel, width in zip(KERNELS, WIDTHS, strict=True):
            layers += [nn.Conv1d(before, width, kernel, stride=2, padding=kernel // 2), nn.ReLU(inplace=True)]
            length, before = -(-length // 2), width
        self.spectral = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(before * length, features), nn.ReLU(inplace=True)
        )
        inputs = (features, *widths)
        self.down = nn.ModuleList(_block(*pair) for pair in zip(inputs, widths, strict=False))
        rising = tuple(widths)[::-1]
        self.up = nn.ModuleList(_block(low + high, high) for low, high in zip(rising, rising[1:], strict=False))
        self.score = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, cube: Tensor) -> Tensor:
        """cube : (N, B, h, w) → logits (N, K, h, w)"""
        height, width = cube.shape[2:]
        whole = self.training or torch.compiler.is_compiling()  # a graph has no loops
        features = map_pixels(self._spectrum, cube, None if whole else PIXELS)
        maps = pad_to_stride(features, 2 ** len(self.up))
        levels: list[Tensor] = []
        for number, block in enumerate(self.down):
            maps = block(F.max_pool2d(maps, 2) if number else maps)
            levels.append(maps)
        for block, level in zip(self.up, levels[-2::-1], strict=True):
            finer = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
            maps = block(torch.cat([finer, level], dim=1))
        logits: Tensor = self.score(maps)
        return logits[:, :, :height, :width]

    def _spectrum(self, spectra: Tensor) -> Tensor:
        features: Tensor = self.spectral(spectra[:, None])
        return features


def _block(in_channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, width):
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)  # normalisation has its own
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
