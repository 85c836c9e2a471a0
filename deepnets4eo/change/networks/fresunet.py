"""FresUNet (Daudt et al., CVIU 2019): a U-Net of residual blocks on both dates as one image.

Takes the bands of pre followed by those of post, equally many; returns logits of the image's size.
Refuses an odd number of bands.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from deepnets4eo.change.networks.blocks import ResidualBlock, bands_of_one_date, join

WIDTHS = (8, 16, 32, 64, 128)


class FresUNet(nn.Module):
    """Residual U-Net with early fusion.

    Parameters
    ----------
    in_channels
        Bands of both dates together, an even number.
    num_classes
        2: no change and change.

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
        for width, after in itertools.pairwise(WIDTHS):
            self.keeps.append(ResidualBlock(before, width))
            self.halves.append(ResidualBlock(width, after, scale="halve"))
            before = after
        self.blocks, self.doubles = nn.ModuleList(), nn.ModuleList()
        for width, after in itertools.pairwise(reversed(WIDTHS)):
            self.blocks.append(ResidualBlock(before, width))
            self.doubles.append(ResidualBlock(width, after, scale="double"))
            before = 2 * after
        self.head = nn.Conv2d(before, num_classes, 1)

    def forward(self, dates: Tensor) -> Tensor:
        """dates : (N, 2 C, H, W) float32, pre then post, standardised · returns : logits (N, K, H, W)."""
        skips, maps = [], dates
        for keep, halve in zip(self.keeps, self.halves, strict=True):
            skips.append(keep(maps))
            maps = halve(skips[-1])
        for block, double, skip in zip(self.blocks, self.doubles, reversed(skips), strict=True):
            maps = join(double(block(maps)), skip)
        logits: Tensor = self.head(maps)
        return logits
