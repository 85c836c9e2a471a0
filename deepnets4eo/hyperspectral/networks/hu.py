"""The first CNN along the spectrum (Hu et al. 2015)."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import Columns, PixelNetwork, band_products, half_tanh

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
        super().__init__(patch_px, in_channels)
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

    def prepare_columns(self) -> Columns:
        """A function of pixels in columns: convolution and pooling as products of all positions that are pooled together."""
        kernel = self.convolution.weight[:, 0]
        pooled = 2 * torch.cat([F.pad(kernel, (shift, self.pool - 1 - shift)) for shift in range(self.pool)])
        bias, hidden_bias, output_bias = (
            cast(Tensor, layer.bias)[:, None] for layer in (self.convolution, self.hidden, self.output)
        )
        bias, hidden_bias, output = 2 * bias.float(), 2 * hidden_bias.float(), 2 * self.output.weight
        hidden = 4 * self.hidden.weight.unflatten(1, (MAPS, self.length)).transpose(1, 2).flatten(1)

        def scores(columns: Tensor) -> Tensor:
            at_shifts = band_products(columns, pooled, self.pool).split(MAPS, dim=1)
            maps = at_shifts[0]
            for other in at_shifts[1:]:
                maps = torch.maximum(maps, other)
            values = hidden @ half_tanh(maps, bias).flatten(0, 1)
            return torch.addmm(output_bias, output, half_tanh(values, hidden_bias))

        return scores
