"""The network in the box: one encoder and decoder for both dates, and two heads, for a pair and for the post image alone.

Takes the bands of pre followed by those of post, or those of post alone; returns logits of the four grades.
Refuses what `SiameseNet` refuses, and decoders of fewer than three levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.damage.siamese.network import SiameseNet, make_head
from deepnets4eo.errors import InputError

DECODER_CHANNELS = (128, 64, 48, 32)
GROUPS = 8


class PairOrPostNet(SiameseNet):
    """A Siamese U-Net that also grades where there is no pre image.

    It differs from `SiameseNet` in four things. A second head reads the features of post alone. Every normalisation is by
    groups of the image's own maps (Wu & He 2018), so that none of them holds the radiometry of the training. The
    features end at half the resolution, since logits are averaged over buildings anyway: that saves a quarter of the
    time. Stages of the encoder that the decoder does not reach are left out.

    Parameters
    ----------
    in_channels
        Bands of both dates together, an even number.
    num_classes
        Grades.
    encoder
        Name of an smp encoder.
    weights
        Of the encoder, e.g. "imagenet", which is downloaded; none: random.
    decoder_channels
        Widths of a U-Net of the full resolution, coarsest first; the last one, of that resolution, is left out.

    Raises
    ------
    InputError
        For an odd number of bands, an encoder that does not exist, or fewer than three levels.

    Examples
    --------
    >>> network = PairOrPostNet(6, 4)
    >>> network(torch.zeros(1, 6, 64, 64)).shape, network(torch.zeros(1, 3, 64, 64)).shape
    (torch.Size([1, 4, 64, 64]), torch.Size([1, 4, 64, 64]))
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        encoder: str = "resnet18",
        weights: str | None = None,
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
    ) -> None:
        if len(decoder_channels) < 3:
            raise InputError(f"decoder_channels is {list(decoder_channels)}, expected three levels or more.")
        super().__init__(in_channels, num_classes, encoder=encoder, weights=weights, decoder_channels=decoder_channels)
        self.bands = in_channels // 2
        unet: Any = self.twin
        width = decoder_channels[-2]
        unet.decoder.blocks = unet.decoder.blocks[:-1]
        if len(decoder_channels) < 5 and hasattr(unet.encoder, "layer4"):
            unet.encoder.layer4 = nn.Identity()
        normalise_by_groups(unet)
        self.head = make_head(3 * width, width, num_classes)
        self.post_head = make_head(width, width, num_classes)

    def forward(self, dates: Tensor) -> Tensor:
        """dates : (N, 2 C, H, W) pre then post, or (N, C, H, W) post alone, standardised · returns : logits (N, K, H, W)."""
        if dates.shape[1] == self.bands:
            return _full_size(self.post_head(self.twin(dates)), dates)
        return self.both(dates)[0]

    def both(self, dates: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads, (N, K, H, W) each, from (N, 2 C, H, W): of the pair, and of post as if it were alone."""
        pre, post = self.twin(torch.cat(dates.chunk(2, dim=1))).chunk(2)
        pair = self.head(torch.cat([pre, post, (pre - post).abs()], dim=1))
        return _full_size(pair, dates), _full_size(self.post_head(post), dates)


def normalise_by_groups(module: nn.Module) -> None:
    """Put a normalisation by groups of channels in place of every batch normalisation, with the same names."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(math.gcd(GROUPS, child.num_features), child.num_features))
        else:
            normalise_by_groups(child)


def _full_size(logits: Tensor, dates: Tensor) -> Tensor:
    return F.interpolate(logits, size=dates.shape[2:], mode="nearest")
