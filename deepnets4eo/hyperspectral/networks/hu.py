"""The first CNN along the spectrum (Hu et al. 2015)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import PixelNetwork

MAPS = 20
HIDDEN = 100
RANGE = 0.05  # of first weights


class Hu(PixelNetwork):
    """One convolution along the spectrum, one pooling, one hidden layer (Hu et al., Journal of Sensors 2015).

    The kernel is a ninth of the spectrum, the pooling a fifth of the kernel, both rounded up. patch_px : 1.
    Errors: InputError for less than one band.

    >>> network = Hu(200, 16)
    >>> network.kernel, network.pool, network.length
    (23, 5, 35)
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Hu et al. 2015", in_channels, lambda bands: bands)
        super().__init__(patch_px, (MAPS + 1) * in_channels * 2)
        self.kernel = -(-in_channels // 9)
        self.pool = -(-self.kernel // 5)
        self.length = (in_channels - self.kernel + 1) // self.pool
        self.convolution = nn.Conv1d(1, MAPS, self.kernel)
        self.pooling = nn.MaxPool1d(self.pool)
        self.hidden = nn.Linear(MAPS * self.length, HIDDEN)
        self.output = nn.Linear(HIDDEN, num_classes)
        initialise(self.modules(), partial(nn.init.uniform_, a=-RANGE, b=RANGE), zero_bias=True)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        maps = torch.tanh(self.pooling(self.convolution(spectra[:, None])))
        scores: Tensor = self.output(torch.tanh(self.hidden(maps.flatten(1))))
        return scores
