"""A semi-supervised autoencoder along the spectrum, down to a code of three values (Boulch et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import Columns, PixelNetwork, band_products

FIRST, LATER = 32, 16  # maps
CODE = 3
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


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
        super().__init__(patch_px, in_channels)
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

    def prepare_columns(self) -> Columns:
        """A function of pixels in columns: each convolution and its pooling as products of four values in a row.

        Maps have one more channel, 1 inside and 0 in the padding: biases and normalisations become weights of it, exactly
        also at the ends of the spectrum.
        """
        scale, shift = self.last.weight.new_ones(1), self.last.weight.new_zeros(1)
        pairs = []
        for convolution, _, _, norm in cast(
            Iterable[tuple[nn.Conv1d, nn.Module, nn.Module, nn.BatchNorm1d]], self.blocks
        ):
            kernel = _fold(convolution, scale, shift).transpose(1, 2).flatten(1)
            channels = convolution.in_channels + 1
            pairs.append(torch.cat([F.pad(kernel, (0, channels)), F.pad(kernel, (channels, 0))]))
            scale = norm.weight * (cast(Tensor, norm.running_var) + norm.eps).rsqrt()
            shift = norm.bias - scale * cast(Tensor, norm.running_mean)
        last = _fold(self.last, scale, shift)[:, :, 1]  # of one value, the outer taps see zeros
        output_bias = self.output.bias[:, None]

        def scores(columns: Tensor) -> Tensor:
            maps = _with_ones(len(columns), columns[:, None])
            maps[1:-1, 0] = columns
            for pair in pairs:
                first, second = band_products(maps.flatten(0, 1), pair, pair.shape[1] // 2).chunk(2, dim=1)
                maps = _with_ones(len(first), first)
                _larger_or_zero(first, second, maps[1:-1, :-1])
            return torch.addmm(output_bias, self.output.weight, torch.tanh(last @ maps[1]))

        return scores


def _fold(convolution: nn.Conv1d, scale: Tensor, shift: Tensor) -> Tensor:
    """The kernel (C', C + 1, 3) that makes of maps and of ones what the convolution makes of maps · scale + shift."""
    of_ones = torch.einsum("oct,c->ot", convolution.weight, shift)
    of_ones[:, 1] += cast(Tensor, convolution.bias)
    return torch.cat([convolution.weight * scale[:, None], of_ones[:, None]], dim=1)


def _larger_or_zero(first: Tensor, second: Tensor, out: Tensor) -> None:
    """Write max(first, second, 0), by the bits: above 0, numbers are ordered like their bits as integers, a third of the time in
    bfloat16 on CPUs.
    """
    bits = BITS[first.element_size()]
    torch.maximum(first.view(bits), second.view(bits), out=out.view(bits)).clamp_min_(0)


def _with_ones(length: int, like: Tensor) -> Tensor:
    """Space for maps (n + 2, C + 1, M) of so many channels and pixels: the last channel is 1, the first and last value 0."""
    maps = like.new_zeros(length + 2, like.shape[1] + 1, like.shape[2])
    maps[1:-1, -1] = 1
    return maps
