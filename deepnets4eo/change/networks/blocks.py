"""Parts of the change networks: the two dates apart, convolutions of the FC networks, residual blocks.

Takes feature maps (N, C, H, W); keeps their precision and memory format."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError

DROPOUT = 0.2


def bands_of_one_date(in_channels: int) -> int:
    """Return half of the bands of a pair. Raises InputError for an odd number, or none."""
    if in_channels < 2 or in_channels % 2:
        raise InputError(
            f"a change network got {in_channels} bands for two dates; give both dates the same bands, pre before post."
        )
    return in_channels // 2


def dates_apart(dates: Tensor) -> Tensor:
    """Return both dates one after the other in the batch, (2N, C, H, W).

    They come as (N, 2, C, H, W), pre then post, or with their bands joined as in tiles of a scene, (N, 2 C, H, W).

    Raises InputError for other numbers of dates.

    >>> dates_apart(torch.zeros(4, 2, 3, 8, 8)).shape
    torch.Size([8, 3, 8, 8])
    """
    if dates.ndim == 5 and dates.shape[1] != 2:
        raise InputError(f"a change network got {dates.shape[1]} dates; stack two along axis 1, pre before post.")
    return torch.cat(dates.unbind(1) if dates.ndim == 5 else dates.chunk(2, dim=1))


def join_dates(dates: Tensor) -> Tensor:
    """Return the bands of all dates joined, (N, T C, H, W), from (N, T, C, H, W), or from what is joined already."""
    return dates.flatten(1, 2) if dates.ndim == 5 else dates


def convolutions(channels: Sequence[int], *, transposed: bool = False) -> nn.Sequential:
    """Return 3 × 3 convolution, batch normalisation, ReLU and dropout of whole maps for each step between numbers of
    channels.

    Transposed convolutions of stride 1, as in the decoders of Daudt et al. 2018, differ only in the order of weights.
    """
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        layers += [kind(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.Dropout2d(DROPOUT)]
    return nn.Sequential(*layers)


def double_size(channels_in: int, channels_out: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    """Return a transposed 3 × 3 convolution (N, channels_in, H, W) → (N, channels_out, 2H, 2W)."""
    return nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1, bias=bias)


def join(maps: Tensor, *skips: Tensor) -> Tensor:
    """Put maps before the maps of the encoder, (N, sum of channels, H, W).

    If a side was odd, the last row or column is repeated."""
    below, right = skips[0].shape[2] - maps.shape[2], skips[0].shape[3] - maps.shape[3]
    if below or right:
        maps = F.pad(maps, (0, right, 0, below), mode="replicate")
    return torch.cat([maps, *skips], dim=1)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with a shortcut; `scale` keeps both sides, or may "halve" (by maxima) or "double" them.

    before, after : numbers of channels; slope : slope of the rectifier below 0.

    >>> ResidualBlock(8, 16, scale="halve")(torch.zeros(1, 8, 32, 32)).shape
    torch.Size([1, 16, 16, 16])
    """

    def __init__(self, before: int, after: int, *, scale: str = "keep", slope: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        double = scale == "double"
        first = double_size(before, after, bias=bias) if double else nn.Conv2d(before, after, 3, padding=1, bias=bias)
        self.first = nn.Sequential(first, nn.BatchNorm2d(after))
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, padding=1, bias=bias), nn.BatchNorm2d(after))
        self.pool = nn.MaxPool2d(2) if scale == "halve" else nn.Identity()
        self.activation = nn.LeakyReLU(slope) if slope else nn.ReLU()
        self.short: nn.Module = nn.Identity()
        if double:
            self.short = nn.Sequential(double_size(before, after, bias=bias), nn.BatchNorm2d(after))
        elif before != after:
            self.short = nn.Sequential(nn.Conv2d(before, after, 1, bias=bias), nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the block.

        maps : (N, before, H, W) · returns : (N, after, H′, W′)."""
        inner = self.second(self.pool(self.activation(self.first(maps))))
        summed: Tensor = self.activation(inner + self.pool(self.short(maps)))
        return summed
