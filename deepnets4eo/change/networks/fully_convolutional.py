"""FC-EF, FC-Siam-conc and FC-Siam-diff (Daudt, Le Saux and Boulch, ICIP 2018): U-Nets from two dates to change.

Takes both dates, pre before post, with the same bands; returns logits of the image's size.
Refuses an odd number of bands, and images with a side below 16 pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from deepnets4eo.change.networks.blocks import (
    bands_of_one_date,
    convolutions,
    dates_apart,
    double_size,
    join,
    join_dates,
)
from deepnets4eo.errors import InputError
from deepnets4eo.training import FeatureContrast

ENCODER = ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128))
DECODER = ((128, 128, 64), (64, 64, 32), (32, 16), (16,))
SMALLEST_PX = 16  # four poolings leave one pixel


class ChangeUNet(nn.Module, ABC):
    """Base of the three networks, with one encoder and one decoder.

    Subclasses define what the decoder receives from both dates (`skip_factor` times the encoder's channels at each level)."""

    def __init__(self, bands: int, num_classes: int, skip_factor: int) -> None:
        super().__init__()
        inputs = (bands, *(level[-1] for level in ENCODER[:-1]))
        self.encoder = nn.ModuleList(
            convolutions((first, *level)) for first, level in zip(inputs, ENCODER, strict=True)
        )
        self.ups, self.decoder = nn.ModuleList(), nn.ModuleList()
        width = ENCODER[-1][-1]
        for level, after in zip(reversed(ENCODER), DECODER, strict=True):
            self.ups.append(double_size(width, width))
            self.decoder.append(convolutions((width + skip_factor * level[-1], *after), transposed=True))
            width = after[-1]
        self.head = nn.ConvTranspose2d(width, num_classes, 3, padding=1)

    @abstractmethod
    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits (N, K, H, W) of dates (N, 2, C, H, W) float32, pre then post, standardised."""

    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute the features of each level from fine to coarse, (N, 16 … 128, H …, W …), and the coarsest features pooled once more."""
        if min(image.shape[2:]) < SMALLEST_PX:
            raise InputError(
                f"the network got an image of {image.shape[2]} × {image.shape[3]} pixels; it needs {SMALLEST_PX} at least."
            )
        levels = []
        for block in self.encoder:
            levels.append(block(image))
            image = torch.max_pool2d(levels[-1], 2)
        return levels, image

    def decode(self, maps: Tensor, skips: list[tuple[Tensor, ...]]) -> Tensor:
        """Compute logits (N, K, H, W). maps : coarsest features (N, 128, h, w); skips : what the decoder sees of each level."""
        for up, block, skip in zip(self.ups, self.decoder, reversed(skips), strict=True):
            maps = block(join(up(maps), *skip))
        logits: Tensor = self.head(maps)
        return logits


class FCEF(ChangeUNet):
    """FC-EF, early fusion: both dates are one image.

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
    >>> network = FCEF(6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1350578
    """

    def __init__(self, in_channels: int, num_classes: int = 2) -> None:
        super().__init__(2 * bands_of_one_date(in_channels), num_classes, skip_factor=1)

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits (N, K, H, W) of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        levels, deepest = self.encode(join_dates(dates))
        return self.decode(deepest, [(level,) for level in levels])


class SiameseChangeUNet(ChangeUNet):
    """Base of the Siamese networks: both dates share the encoder; the decoder starts from the coarsest features of
    post. That last point is as published: the networks are not symmetric in time."""

    dates = 2

    def __init__(self, bands: int, num_classes: int, skip_factor: int) -> None:
        super().__init__(bands, num_classes, skip_factor)
        self.contrast: FeatureContrast | None = None

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits (N, K, H, W) of dates (N, 2, C, H, W) float32, pre then post, standardised."""
        levels, deepest = self.encode(dates_apart(dates))
        pairs = [level.chunk(2) for level in levels]
        if self.contrast is not None:
            self.contrast(pairs)
        return self.decode(deepest.chunk(2)[1], [self.fuse(pre, post) for pre, post in pairs])

    @abstractmethod
    def fuse(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        """Return what the decoder receives from one level of both dates, (N, C, h, w) each."""


class FCSiamConc(SiameseChangeUNet):
    """FC-Siam-conc: the decoder sees the features of both dates.

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
    >>> network = FCSiamConc(6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1545986
    """

    def __init__(self, in_channels: int, num_classes: int = 2) -> None:
        super().__init__(bands_of_one_date(in_channels), num_classes, skip_factor=2)

    def fuse(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        """Return both features, pre first."""
        return pre, post


class FCSiamDiff(SiameseChangeUNet):
    """FC-Siam-diff: the decoder sees how far the features of both dates differ.

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
    >>> network = FCSiamDiff(6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    1350146
    """

    def __init__(self, in_channels: int, num_classes: int = 2) -> None:
        super().__init__(bands_of_one_date(in_channels), num_classes, skip_factor=1)

    def fuse(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        """Return the absolute difference of both dates."""
        return ((pre - post).abs(),)
