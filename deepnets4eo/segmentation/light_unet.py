"""A light U-Net for machines without a GPU: the first stages of an encoder, a narrow decoder of half resolution."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import LEVEL_CHANNELS, AnySize, EfficientNetLite0, EncoderName, SameConv, create_model

ENCODER_CHANNELS = (64, 64, 128, 256)  # of its first convolution and of its layers, as many as the decoder has stages
ENCODER_BLOCKS = {"resnet18": (2, 2, 2), "resnet34": (3, 4, 6)}  # of each layer
DECODER_CHANNELS = (128, 64, 48)


class ScaledConv(nn.Conv2d):
    """A convolution of windows scaled by their own values, as light and tones differ between places; `unscaled_bands` stay."""

    scaled_beforehand = False
    unscaled_bands = 0

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, C, H, W) → (N, channels, H', W')."""
        if self.scaled_beforehand:
            return super().forward(input)
        image, kept = input.tensor_split([self.in_channels - self.unscaled_bands], dim=1)
        centred = image - image.mean(dim=(2, 3), keepdim=True)
        spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return super().forward(torch.cat([centred / (spread + AnySize.min_spread), kept], dim=1))


class ScaledSameConv(ScaledConv, SameConv):
    """The same with the padding of EfficientNet-Lite0."""


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut (He et al. 2016), at half the size if there are more channels after than before."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        shrink = [] if stride == 1 else [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.downsample = nn.Sequential(*shrink)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, before, H, W) → (N, after, H', W')."""
        inner = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        return F.relu(self.bn2(self.conv2(inner)).add_(self.downsample(maps)), inplace=True)


class Encoder(nn.Module):
    """The first layers of a ResNet, named as in torchvision and smp, whose weights fit."""

    def __init__(self, in_channels: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = ScaledConv(in_channels, ENCODER_CHANNELS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(ENCODER_CHANNELS[0])
        for number, count in enumerate(blocks):
            before, after = ENCODER_CHANNELS[number : number + 2]
            steps = pairwise([before, *count * [after]])
            self.add_module(f"layer{number + 1}", nn.Sequential(*(ResidualBlock(*step) for step in steps)))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return (N, C, H, W) → (N, 64, H / 2, W / 2), and maps of each layer."""
        conv1, bn1, *layers = self.children()
        levels = [F.relu(bn1(conv1(image)), inplace=True)]
        maps = F.max_pool2d(levels[0], 3, stride=2, padding=1)
        for layer in layers:
            maps = layer(maps)
            levels.append(maps)
        return levels


class DecoderBlock(nn.Module):
    """Two convolutions, the first a transposed one by 4 x 4 of undoubled pixels.

    On a CPU the default damage network is so 1.13 to 1.21 times as fast in float32 (AVX2), 1.17 times in bfloat16 (AVX512-BF16).
    Not measured on GPUs in half precision, which compute both convolutions of doubled pixels.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv_norm_relu(before, after), _conv_norm_relu(after, after)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """Return (N, C, H / 2, W / 2) and (N, before − C, H, W) → (N, after, H, W)."""
        if maps.is_cuda and maps.dtype != torch.float32:
            return self.conv2(self.conv1(torch.cat([F.interpolate(maps, skip.shape[2:]), skip], dim=1)))
        of_maps, of_skip = self.conv1[0].get_parameter("weight").split([maps.shape[1], skip.shape[1]], dim=1)
        kernel = _kernel_of_doubled(of_maps.float()).to(maps.dtype)  # sums of up to four weights, rounded once
        mixed = F.conv_transpose2d(maps, kernel, stride=2, padding=1)
        return self.conv2(self.conv1[1:](mixed + F.conv2d(skip, of_skip, padding=1)))


class Decoder(nn.Module):
    """Blocks from the coarsest maps of the encoder to the finest."""

    def __init__(self, levels: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        *skips, deepest = levels[: len(channels) + 1]
        steps = pairwise([deepest, *channels])
        self.blocks = nn.ModuleList(DecoderBlock(before + skips.pop(), after) for before, after in steps)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Decode maps of the encoder, the finest first, to (N, C, H / 2, W / 2)."""
        *skips, maps = levels
        for block in self.blocks:
            maps = block(maps, skips.pop())
        return maps


def light_unet(
    in_channels: int,
    num_classes: int,
    *,
    encoder: str = "resnet18",
    decoder_channels: Sequence[int] = DECODER_CHANNELS,
    unscaled_bands: int = 0,
    frozen_levels: int = 0,
    weights: str | None = None,
    bands: Sequence[str] = (),
) -> nn.Module:
    """U-Net (Ronneberger et al. 2015) of three to five scales of an encoder, whose windows are scaled first.

    encoder : "resnet18" or "resnet34", of three or four scales, or "efficientnet-lite0", whose weights come with the toolbox
    frozen_levels : the first scales of EfficientNet-Lite0 that stay as they are; two make a step of training a third cheaper

    The decoder ends at half the resolution, and the logits are interpolated. InputError for other encoders and decoders.

    >>> sum(parameter.numel() for parameter in light_unet(3, 10).parameters())
    3601386
    >>> sum(parameter.numel() for parameter in light_unet(3, 3, decoder_channels=(64, 48)).parameters())
    908307
    >>> sum(parameter.numel() for parameter in light_unet(3, 3, encoder="efficientnet-lite0").parameters())
    1205299
    """
    if not 0 <= unscaled_bands < in_channels:
        raise InputError(f"unscaled_bands is {unscaled_bands}, expected 0 to {in_channels - 1} of {in_channels} bands.")
    if encoder not in (known := [*ENCODER_BLOCKS, EncoderName.lite0]):
        raise InputError(f"encoder {encoder!r} is unknown to light-unet. Choose from {', '.join(known)}.")
    levels = LEVEL_CHANNELS if encoder == EncoderName.lite0 else ENCODER_CHANNELS
    if not 2 <= len(decoder_channels) < len(levels):
        raise InputError(
            f"decoder_channels is {list(decoder_channels)}, expected {' or '.join(map(str, range(2, len(levels))))} numbers of "
            f"channels with {encoder}."
        )
    if not 0 <= frozen_levels <= (len(decoder_channels) + 1 if encoder == EncoderName.lite0 else 0):
        raise InputError(
            f"frozen_levels is {frozen_levels} with {encoder} and {len(decoder_channels) + 1} scales. Only scales of {EncoderName.lite0} can be frozen."
        )
    first = _encoder(encoder, in_channels, len(decoder_channels), unscaled_bands, frozen_levels)
    if weights is not None:
        _load_weights(first, encoder, weights, bands)
    scores = nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1)
    head = nn.Sequential(scores, nn.Upsample(scale_factor=2, mode="bilinear"))
    decoder = Decoder(levels, decoder_channels)
    return nn.Sequential(OrderedDict(encoder=first, decoder=decoder, segmentation_head=head))


def _encoder(name: str, in_channels: int, stages: int, unscaled_bands: int, frozen_levels: int) -> nn.Module:
    """Return the encoder of this name with maps for the decoder's number of stages, and set the bands that stay unscaled."""
    encoder: Any
    if name == EncoderName.lite0:
        encoder = EfficientNetLite0(in_channels, stages + 1, ScaledSameConv, frozen_levels)
        first = encoder.conv_stem
    else:
        encoder = Encoder(in_channels, ENCODER_BLOCKS[name][:stages])
        first = encoder.conv1
    first.unscaled_bands = unscaled_bands
    return encoder


def _load_weights(module: Any, encoder: str, weights: str, bands: Sequence[str]) -> None:
    """Load a file, or what smp downloads by a name."""
    from deepnets4eo.segmenters import is_local, load_pretrained

    if is_local(weights):
        load_pretrained(module, weights, bands=bands)
        return
    if encoder == EncoderName.lite0:
        raise InputError(
            f"weights {weights!r} of {encoder} are unknown. Take {EncoderName.lite0}, or a .safetensors file."
        )
    whole: Any = create_model(
        "unet", in_channels=module.conv1.in_channels, num_classes=1, encoder=encoder, weights=weights
    )
    module.load_state_dict(whole.encoder.state_dict(), strict=False)  # it has further layers


def _conv_norm_relu(before: int, after: int) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def _kernel_of_doubled(weight: Tensor) -> Tensor:
    """Return (O, I, 3, 3) of a convolution of doubled pixels → (I, O, 4, 4) of a transposed one of the pixels, stride 2, padding 1."""
    padded = F.pad(weight, (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return (rows[..., 1:] + rows[..., :-1]).flip(2, 3).transpose(0, 1)
