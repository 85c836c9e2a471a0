"""The default damage network: one light U-Net for both dates, and two heads, for a pair and for the post image alone.

Takes the bands of pre followed by those of post, or those of post alone; returns logits of the four grades.
Refuses an odd number of bands, and what the light U-Net refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.damage.siamese.network import check_two_dates, make_head
from deepnets4eo.segmenters.networks import create_model

DECODER_CHANNELS = (128, 64, 48)


class PairOrPostNet(nn.Module):
    """A Siamese U-Net that also grades where there is no pre image.

    Both dates go through one U-Net, that of `models/buildings`, so that its weights are a start: it scales each date by
    its own values, and ends at half the resolution, since logits are averaged over buildings anyway. The head of pairs
    reads the features of pre, of post and the size of their difference; the other head those of post alone.

    Parameters
    ----------
    in_channels
        Bands of both dates together, an even number.
    num_classes
        Grades.
    encoder
        A ResNet of smp.
    weights
        The weights of the encoder, e.g. "imagenet", which is downloaded; none: random.
    decoder_channels
        Widths of the decoder's three stages, coarsest first.

    Raises
    ------
    InputError
        For an odd number of bands, an encoder that does not exist, or other than three stages.

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
        super().__init__()
        check_two_dates(in_channels)
        self.bands, width = in_channels // 2, decoder_channels[-1]
        twin: Any = create_model(
            "light-unet", in_channels=self.bands, num_classes=1, encoder=encoder, weights=weights,
            decoder_channels=decoder_channels,
        )  # fmt: skip
        twin.segmentation_head = nn.Identity()
        self.twin = twin
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


def _full_size(logits: Tensor, dates: Tensor) -> Tensor:
    return F.interpolate(logits, size=dates.shape[2:], mode="nearest")
