"""A light U-Net for machines without a GPU: the first stages of a ResNet encoder, a narrow decoder of half resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.any_size import LEAST_SPREAD
from deepnets4eo.segmenters.networks import create_model

DECODER_CHANNELS = (128, 64, 48)
LAYERS = ("layer3", "layer4")  # of the encoder; the first is left out with two stages of the decoder, the second always


class ScaledConv(nn.Conv2d):
    """A convolution of windows scaled by their own values, as light and tones differ between places; `unscaled_bands` stay."""

    scaled_beforehand = False
    unscaled_bands = 0

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, channels, H', W')."""
        if self.scaled_beforehand:
            return super().forward(input)
        image, kept = input.tensor_split([self.in_channels - self.unscaled_bands], dim=1)
        centred = image - image.mean(dim=(2, 3), keepdim=True)
        spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return super().forward(torch.cat([centred / (spread + LEAST_SPREAD), kept], dim=1))


class DecoderBlock(nn.Module):
    """A block of smp's decoder as a transposed convolution by 4 x 4 of undoubled pixels: 1.13 to 1.21 times as fast (AVX2)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv1, self.conv2 = block.conv1, block.conv2

    def forward(self, feature_map: Tensor, target_height: int, target_width: int, skip_connection: Tensor) -> Tensor:
        """(N, C, H / 2, W / 2) and (N, D, H, W) → (N, channels, H, W); the target is H, W."""
        if feature_map.dtype != torch.float32:  # transposed convolutions are slow where bfloat16 is emulated
            doubled = F.interpolate(feature_map, (target_height, target_width))
            return self.conv2(self.conv1(torch.cat([doubled, skip_connection], dim=1)))
        conv, *others = self.conv1
        of_map, of_skip = conv.weight.split([feature_map.shape[1], skip_connection.shape[1]], dim=1)
        mixed = F.conv_transpose2d(feature_map, _kernel_of_doubled(of_map), stride=2, padding=1)
        mixed = mixed + F.conv2d(skip_connection, of_skip, padding=1)
        for layer in others:
            mixed = layer(mixed)
        return self.conv2(mixed)


def light_unet(
    in_channels: int,
    num_classes: int,
    *,
    encoder: str = "resnet18",
    decoder_channels: Sequence[int] = DECODER_CHANNELS,
    unscaled_bands: int = 0,
    weights: str | None = None,
) -> nn.Module:
    """U-Net (Ronneberger et al. 2015) of three or four scales of an encoder, whose windows are scaled first.

    The decoder ends at half the resolution, and the logits are interpolated. InputError for other decoders.

    >>> sum(parameter.numel() for parameter in light_unet(3, 10).parameters())
    3601386
    >>> sum(parameter.numel() for parameter in light_unet(3, 3, decoder_channels=(64, 48)).parameters())
    908307
    """
    stages = len(decoder_channels)
    if stages not in (2, 3):
        raise InputError(f"decoder_channels is {list(decoder_channels)}, expected 2 or 3 numbers of channels.")
    if not 0 <= unscaled_bands < in_channels:
        raise InputError(f"unscaled_bands is {unscaled_bands}, expected 0 to {in_channels - 1} of {in_channels} bands.")
    network: Any = create_model(
        "unet", in_channels=in_channels, num_classes=num_classes, encoder=encoder, weights=weights,
        encoder_depth=stages + 1, decoder_channels=[*decoder_channels, 1],
    )  # fmt: skip
    network.decoder.blocks = nn.ModuleList([DecoderBlock(block) for block in network.decoder.blocks[:-1]])
    network.segmentation_head = nn.Sequential(
        nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear")
    )
    for name in LAYERS[stages - 2 :]:
        setattr(network.encoder, name, nn.Identity())
    network.encoder.conv1 = _scaled(network.encoder.conv1, unscaled_bands)
    return network


def _kernel_of_doubled(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) of a convolution of doubled pixels → (I, O, 4, 4) of a transposed one of the pixels, stride 2, padding 1."""
    padded = F.pad(weight, (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return (rows[..., 1:] + rows[..., :-1]).flip(2, 3).transpose(0, 1)


def _scaled(conv: nn.Conv2d, unscaled_bands: int) -> ScaledConv:
    """The same convolution of windows whose first bands are scaled."""
    scaled = ScaledConv(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)  # type: ignore[arg-type]
    scaled.weight = conv.weight
    scaled.unscaled_bands = unscaled_bands
    return scaled
