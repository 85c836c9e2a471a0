"""Residual U-Nets of Daudt et al. (CVIU 187, 2019): networks of the four strategies of HRSCD for land cover and change, and FresUNet.

`ResidualUNet` maps land cover from one date (strategies 1 and 3), change classes from both (2), or only change (3).

`MultitaskChangeNet` does both in one network (4). `FresUNet` takes both dates as one image.

They take images (N, C, H, W), or pairs (N, 2, C, H, W), and return logits of the same size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from deepnets4eo.change.networks.blocks import ResidualBlock, bands_of_one_date, dates_apart, join, join_dates
from deepnets4eo.change.networks.cover_and_change import CoverAndChange

FRESUNET_WIDTHS = (8, 16, 32, 64, 128)

WIDTHS = (8, 16, 32, 64, 128, 256)
SLOPE = 0.01  # of the rectifier below 0
Block = partial(ResidualBlock, slope=SLOPE, bias=False)


class ResidualUNet(nn.Module):
    """A residual U-Net of five levels, of one date or of the bands of both together.

    >>> network = ResidualUNet(3, 5)
    >>> sum(parameter.numel() for parameter in network.parameters())
    6386797
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels)
        self.decoder = Decoder(num_classes, skip_factor=1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (N, K, H, W) of an image (N, C, H, W) float32, standardised."""
        logits: Tensor = self.decoder([[level] for level in self.encoder(image)])
        return logits


class MultitaskChangeNet(CoverAndChange):
    """Strategy 4: land cover of each date by shared weights, and change from both, helped by differences in land cover.

    in_channels : bands of both dates together. Errors: InputError for an odd number of them.

    >>> network = MultitaskChangeNet(6, 2, cover_classes=5)
    >>> sum(parameter.numel() for parameter in network.parameters())
    13713455
    """

    def __init__(self, in_channels: int, num_classes: int = 2, *, cover_classes: int = 5) -> None:
        super().__init__()
        self.cover = ResidualUNet(bands_of_one_date(in_channels), cover_classes)
        self.encoder = Encoder(in_channels)
        self.decoder = Decoder(num_classes, skip_factor=2)

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits of change, (N, K, H, W), of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        levels = [level.chunk(2) for level in self.cover.encoder(dates_apart(dates))]
        return self._change(dates, levels)

    def forward_all(self, dates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of change (N, K, H, W), and of land cover at pre and at post (N, L, H, W). dates : as for `forward`"""
        levels = self.cover.encoder(dates_apart(dates))
        pre, post = self.cover.decoder([[level] for level in levels]).chunk(2)
        return self._change(dates, [level.chunk(2) for level in levels]), pre, post

    def forward_cover(self, dates: Tensor) -> tuple[Tensor, Tensor]:
        """Return only the logits of land cover at pre and at post. dates : as for `forward`."""
        pre, post = self.cover(dates_apart(dates)).chunk(2)
        return pre, post

    def cover_modules(self) -> Sequence[nn.Module]:
        """Return the encoder and decoder of land cover."""
        return [self.cover]

    def _change(self, dates: Tensor, levels: list[tuple[Tensor, ...]]) -> Tensor:
        """levels : cover features of both dates, fine to coarse."""
        skips = [
            [features, (pre - post).abs()]
            for features, (pre, post) in zip(self.encoder(join_dates(dates)), levels, strict=True)
        ]
        logits: Tensor = self.decoder(skips)
        return logits


class Encoder(nn.Module):
    """Five levels of two blocks, each followed by one that halves the sides and doubles the channels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.levels, self.halves = nn.ModuleList(), nn.ModuleList()
        before = in_channels
        for width, after in itertools.pairwise(WIDTHS):
            self.levels.append(nn.Sequential(Block(before, width), Block(width, width)))
            self.halves.append(Block(width, after, scale="halve"))
            before = after

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute features from fine to coarse: (N, 8, H, W) … (N, 256, H/32, W/32). image : (N, C, H, W)"""
        features = []
        for level, halve in zip(self.levels, self.halves, strict=True):
            features.append(level(image))
            image = halve(features[-1])
        return [*features, image]


class Decoder(nn.Module):
    """The way back from the coarsest features; at each level it sees `skip_factor` times the encoder's channels."""

    def __init__(self, num_classes: int, skip_factor: int) -> None:
        super().__init__()
        self.levels, self.doubles = nn.ModuleList(), nn.ModuleList()
        above = 0
        for width, after in itertools.pairwise(reversed(WIDTHS)):
            self.levels.append(nn.Sequential(Block(above + skip_factor * width, width), Block(width, width)))
            self.doubles.append(Block(width, after, scale="double"))
            above = after
        finest = WIDTHS[0]
        last = (Block(above + skip_factor * finest, finest), Block(finest, finest), Block(finest, finest))
        self.head = nn.Sequential(*last, nn.Conv2d(finest, num_classes, 1))

    def forward(self, skips: list[list[Tensor]]) -> Tensor:
        """Compute logits (N, K, H, W). skips : for each level from fine to coarse, maps (N, …, h, w)"""
        *finer, deepest = skips
        maps = torch.cat(deepest, dim=1)
        for level, double, skip in zip(self.levels, self.doubles, reversed(finer), strict=True):
            maps = join(double(level(maps)), *skip)
        logits: Tensor = self.head(maps)
        return logits


class FresUNet(nn.Module):
    """Residual U-Net with early fusion.

    Parameters
    ----------
    in_channels : bands of both dates together, an even number
    num_classes : 2: no change and change

    Raises
    ------
    InputError
        For an odd number of bands.

    Examples
    --------
    >>> network = FresUNet(6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1103874
    """

    def __init__(self, in_channels: int, num_classes: int = 2) -> None:
        super().__init__()
        before = 2 * bands_of_one_date(in_channels)
        self.keeps, self.halves = nn.ModuleList(), nn.ModuleList()
        for width, after in itertools.pairwise(FRESUNET_WIDTHS):
            self.keeps.append(ResidualBlock(before, width))
            self.halves.append(ResidualBlock(width, after, scale="halve"))
            before = after
        self.blocks, self.doubles = nn.ModuleList(), nn.ModuleList()
        for width, after in itertools.pairwise(reversed(FRESUNET_WIDTHS)):
            self.blocks.append(ResidualBlock(before, width))
            self.doubles.append(ResidualBlock(width, after, scale="double"))
            before = 2 * after
        self.head = nn.Conv2d(before, num_classes, 1)

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits (N, K, H, W) of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        skips, maps = [], join_dates(dates)
        for keep, halve in zip(self.keeps, self.halves, strict=True):
            skips.append(keep(maps))
            maps = halve(skips[-1])
        for block, double, skip in zip(self.blocks, self.doubles, reversed(skips), strict=True):
            maps = join(double(block(maps)), skip)
        logits: Tensor = self.head(maps)
        return logits
