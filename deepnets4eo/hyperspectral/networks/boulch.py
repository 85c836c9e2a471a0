"""A semi-supervised autoencoder along the spectrum, down to a code of three values (Boulch et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import PixelNetwork

FIRST, LATER = 32, 16  # maps
CODE = 3


class Boulch(PixelNetwork):
    """Boulch, Audebert and Dubucq, GRETSI 2017: the spectrum is halved until one value is left, of three maps.

    Two linear layers follow the code: one labels, one reconstructs the spectrum. patch_px : 1.
    Errors: InputError for less than 4 bands.

    >>> network = Boulch(103, 9)
    >>> network.code(torch.zeros(2, 103)).shape, sum(parameter.numel() for parameter in network.parameters())
    (torch.Size([2, 3]), 5635)
    """

    reconstruction_weight = 0.1

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Boulch et al. 2017", in_channels, lambda bands: bands // 4)  # two blocks at least
        super().__init__(patch_px, 2 * FIRST * in_channels)
        blocks, maps, length = [], 1, in_channels
        while length > 1:
            width = FIRST if maps == 1 else LATER
            blocks.append(
                nn.Sequential(nn.Conv1d(maps, width, 3, padding=1), nn.MaxPool1d(2), nn.ReLU(), nn.BatchNorm1d(width))
            )
            maps, length = width, length // 2
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Conv1d(LATER, CODE, 3, padding=1)
        self.output = nn.Linear(CODE, num_classes)
        self.regressor = nn.Linear(CODE, in_channels)
        initialise(self.modules(), nn.init.kaiming_normal_)

    def code(self, spectra: Tensor) -> Tensor:
        """Three values of each pixel, −1 … 1. spectra : (M, B) → (M, 3)"""
        return torch.tanh(self.last(self.blocks(spectra[:, None]))).flatten(1)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        scores: Tensor = self.output(self.code(spectra))
        return scores

    def reconstruct(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and reconstructed spectra (N, B) of pixels (N, B, 1, 1)."""
        self.check_patches(patches)
        code = self.code(patches.flatten(1))
        return self.output(code), self.regressor(code)
