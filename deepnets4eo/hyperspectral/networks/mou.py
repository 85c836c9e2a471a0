"""A recurrent network that reads the spectrum band by band (Mou et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import PixelNetwork

HIDDEN = 64


class Mou(PixelNetwork):
    """Mou, Ghamisi and Zhu, TGRS 2017: a gated recurrent unit over the bands; all its states label the pixel.

    First weights are torch's, as in the public comparison. patch_px : 1. Errors: InputError for less than one band.

    >>> sum(parameter.numel() for parameter in Mou(103, 9).parameters())
    85385
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Mou et al. 2017", in_channels, lambda bands: bands)
        super().__init__(patch_px, 8 * HIDDEN * in_channels)
        self.recurrent = nn.GRU(1, HIDDEN, batch_first=True)
        self.norm = nn.BatchNorm1d(HIDDEN * in_channels)
        self.output = nn.Linear(HIDDEN * in_channels, num_classes)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        states, _ = self.recurrent(spectra[:, :, None])
        scores: Tensor = self.output(torch.tanh(self.norm(states.flatten(1))))
        return scores
