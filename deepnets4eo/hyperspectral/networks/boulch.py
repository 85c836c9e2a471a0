"""A semi-supervised autoencoder along the spectrum, down to a code of three values (Boulch et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import Columns, PixelNetwork

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

    pixels_at_once = 1024  # few values of each: fewer calls
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
        """Return a function of pixels in columns, as CPUs convolve them fastest. The first convolution is a product of
        four bands in a row, and normalisations become part of the convolution after them."""
        blocks = cast(Iterable[tuple[nn.Conv1d, nn.Module, nn.Module, nn.BatchNorm1d]], self.blocks)
        (entry, _, _, norm), *later = blocks
        pair = _kernel_pair(entry)
        halvings = []
        for convolution, _, _, following in later:
            halvings.append(_Halving(convolution, norm, self.pixels_at_once))
            norm = following
        centre = self.last.weight[:, :, 1]  # of one value, the outer taps see zeros
        scale, shift = _norm_factors(norm)
        last, last_bias = (centre * scale).t(), cast(Tensor, self.last.bias) + centre @ shift
        output_bias = self.output.bias[:, None]

        def scores(columns: Tensor) -> Tensor:
            maps = _larger_or_zero(*(_band_windows(columns) @ pair).chunk(2, dim=2))
            for halving in halvings:
                maps = halving(maps)
            code = torch.tanh(torch.addmm(last_bias, maps[0], last))
            return torch.addmm(output_bias, self.output.weight, code.t())

        return scores


class _Halving:
    """A convolution of normalised maps and the pooling after it, both without the normalisation: (n, M, C) → (n // 2, M, C')."""

    def __init__(self, convolution: nn.Conv1d, norm: nn.BatchNorm1d, pixels: int) -> None:
        scale, shift = _norm_factors(norm)
        self.weight = (convolution.weight * scale[:, None])[..., None].contiguous(memory_format=torch.channels_last)
        before, at, after = (convolution.weight * shift[:, None]).sum(dim=1).unbind(1)
        self.bias = cast(Tensor, convolution.bias) + before + at + after
        ends = torch.stack([before, after])[:, None]  # the padding is zero only after the normalisation
        self.ends = ends.expand(-1, pixels, -1).contiguous()  # bfloat16 is slow where values are repeated

    def __call__(self, maps: Tensor) -> Tensor:
        values = F.conv2d(maps.permute(2, 0, 1)[None], self.weight, self.bias, padding=(1, 0))[0].permute(1, 2, 0)
        values[0] -= self.ends[0, : values.shape[1]]
        values[-1] -= self.ends[1, : values.shape[1]]
        return _larger_or_zero(values[:-1:2], values[1::2])


def _norm_factors(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Factor and term of each channel, (C,) both."""
    scale = norm.weight * (cast(Tensor, norm.running_var) + norm.eps).rsqrt()
    return scale, norm.bias - scale * cast(Tensor, norm.running_mean)


def _kernel_pair(convolution: nn.Conv1d) -> Tensor:
    """The kernel at two positions that are pooled, and its bias, for windows of `_band_windows`: (5, 2 C')."""
    kernel = convolution.weight[:, 0]
    pair = torch.cat([F.pad(kernel, (0, 1)), F.pad(kernel, (1, 0))])
    return torch.cat([pair, cast(Tensor, convolution.bias).repeat(2)[:, None]], dim=1).t().contiguous()


def _band_windows(columns: Tensor) -> Tensor:
    """Four bands in a row and a one, from every second band on: (B, M) → (B // 2, M, 5); zeros beyond the spectrum."""
    windows = columns.new_ones(len(columns) // 2, columns.shape[1], 5)
    windows[..., :4] = F.pad(columns, (0, 0, 1, 1)).unfold(0, 4, 2)
    return windows


def _larger_or_zero(first: Tensor, second: Tensor) -> Tensor:
    """max(first, second, 0) by the bits: above 0, numbers are ordered like their bits as integers, a third of the time in
    bfloat16 on CPUs.
    """
    bits = BITS[first.element_size()]
    return torch.maximum(first.view(bits), second.view(bits)).clamp_min_(0).view(first.dtype)
