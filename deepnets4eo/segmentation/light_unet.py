"""A light U-Net: the first stages of a ResNet encoder and a narrow decoder, for machines without a GPU.

Takes images of any number of bands, sides multiples of 16 px; returns logits of the same size. Refuses what smp refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from deepnets4eo.segmenters.networks import create_model

DECODER_CHANNELS = (128, 64, 48, 32)


def light_unet(
    in_channels: int,
    num_classes: int,
    *,
    encoder: str = "resnet18",
    decoder_channels: Sequence[int] = DECODER_CHANNELS,
    weights: str | None = None,
) -> nn.Module:
    """U-Net (Ronneberger et al. 2015) of four scales; with ResNet-18 (He et al. 2016) 3.6 million weights.

    smp builds the encoder's fifth stage even where it is not used; here it is left out, so that it is neither kept nor
    written: with ResNet-18 it has 8.4 of 12.0 million weights.

    Parameters
    ----------
    in_channels
        Bands, at least 1.
    num_classes
        Classes, at least 1.
    encoder
        A ResNet of smp.
    decoder_channels
        Channels of the decoder's four stages, coarse to fine.
    weights
        First weights of the encoder, e.g. "imagenet", which smp downloads.

    Returns
    -------
    nn.Module
        (N, in_channels, H, W) float32, standardised, H and W multiples of 16 → logits (N, num_classes, H, W).

    Raises
    ------
    InputError
        For numbers below 1, unknown encoders and weights.

    Examples
    --------
    >>> network = light_unet(3, 10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    3623114
    """
    network: Any = create_model(
        "unet", in_channels=in_channels, num_classes=num_classes, encoder=encoder, weights=weights,
        encoder_depth=len(DECODER_CHANNELS), decoder_channels=list(decoder_channels),
    )  # fmt: skip
    network.encoder.layer4 = nn.Identity()
    return network
