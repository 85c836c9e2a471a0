"""The networks of two dates: one U-Net for both, their last features side by side, logits of the grades per pixel.

`SiameseNet` grades pairs, by a U-Net of smp. `PairOrPostNet`, the default damage network, is lighter and also grades
the post image alone, by a second head. Both take the bands of pre followed by those of post; an odd number is refused,
since the two dates share their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.networks import check_encoder, create_model

DECODER_CHANNELS = (128, 96, 64, 48, 32)


class SiameseNet(nn.Module):
    """Shared encoder and decoder, late concatenation (after the winner of xView2, Durnov 2020; Daudt et al. 2018).

    The head takes pre, post and the size of their difference at each pixel. It has one hidden layer: a single linear
    one would add up the two dates and never compare them.

    Parameters
    ----------
    in_channels
        Bands of both dates together, an even number.
    num_classes
        Grades.
    encoder
        Name of an smp encoder.
    weights
        The weights of the encoder, e.g. "imagenet", which is downloaded; none: random.
    decoder_channels
        Widths from the coarsest level to the image's own; as many levels as numbers.

    Raises
    ------
    InputError
        For an odd number of bands, or an encoder that does not exist.

    Examples
    --------
    >>> network = SiameseNet(6, 4, encoder="resnet18")
    >>> network(torch.zeros(1, 6, 64, 64)).shape
    torch.Size([1, 4, 64, 64])
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
        self.twin = _unet(in_channels // 2, encoder, weights, tuple(decoder_channels))
        width = decoder_channels[-1]
        self.head = make_head(3 * width, width, num_classes)

    def forward(self, dates: Tensor) -> Tensor:
        """dates : (N, 2 C, H, W) float32, pre then post, standardised · returns : logits (N, K, H, W)."""
        pre, post = self.twin(torch.cat(dates.chunk(2, dim=1))).chunk(2)
        logits: Tensor = self.head(side_by_side(pre, post))
        return logits


def check_two_dates(in_channels: int) -> None:
    """Raise InputError for an odd number of bands."""
    if in_channels % 2:
        raise InputError(f"a Siamese network got {in_channels} bands for two dates; give both dates the same bands.")


def side_by_side(pre: Tensor, post: Tensor) -> Tensor:
    """Features (N, 3 C, H, W) of pre, of post, and the size of their difference."""
    return torch.cat([pre, post, (pre - post).abs()], dim=1)


def make_head(in_channels: int, width: int, num_classes: int) -> nn.Sequential:
    """Logits from features at each pixel, with one hidden layer."""
    return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.ReLU(), nn.Conv2d(width, num_classes, 1))


def _unet(bands: int, encoder: str, weights: str | None, decoder_channels: tuple[int, ...]) -> nn.Module:
    """A U-Net without its last layer: its outputs are the features of the decoder."""
    check_encoder(encoder, weights)
    try:
        unet = smp.Unet(
            encoder, encoder_depth=len(decoder_channels), encoder_weights=weights,
            decoder_channels=decoder_channels, in_channels=bands, classes=1,
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise InputError(f"encoder {encoder!r} with weights {weights!r} cannot be built: {error}") from error
    except OSError as error:
        raise InputError(
            f"the weights {weights!r} of {encoder!r} could not be fetched: {error}. Use weights=None, or go online once."
        ) from error
    unet.segmentation_head = nn.Identity()
    return unet


LIGHT_DECODER_CHANNELS = (128, 64, 48)


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
        decoder_channels: Sequence[int] = LIGHT_DECODER_CHANNELS,
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
        pair = self.head(side_by_side(pre, post))
        return _full_size(pair, dates), _full_size(self.post_head(post), dates)


def _full_size(logits: Tensor, dates: Tensor) -> Tensor:
    return F.interpolate(logits, size=dates.shape[2:], mode="nearest")
