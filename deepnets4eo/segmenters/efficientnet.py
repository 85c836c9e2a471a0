"""EfficientNet-Lite0 in plain PyTorch: an encoder whose weights of ImageNet come with the toolbox (`models/efficientnet-lite0`).

Layers have the names that timm gives them. With these weights it takes images of 0–255 as x / 127.5 − 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.segmenters.networks import EncoderName
from deepnets4eo.segmenters.pretrained import load_pretrained

STEM = 32
# Each stage of Tan & Le 2019, Table 1: widening inside its blocks, channels after it, blocks, stride of the first, side of kernels
STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip
LEVELS = (0, 1, 2, 4, 6)  # stages after which a level ends: at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size
LEVEL_CHANNELS = tuple(STAGES[stage][1] for stage in LEVELS)
NORM_EPS = 1e-3


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME": size n becomes n / stride rounded up; odd padding goes to the bottom and right."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, C, H, W) → (N, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        sides: list[int] = []
        for length, kernel, stride in zip(
            reversed(input.shape[2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            whole = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            sides += [whole // 2, whole - whole // 2]
        return super().forward(F.pad(input, sides))


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018): channels are widened, filtered each by itself, and mixed into fewer."""

    def __init__(self, before: int, widening: int, after: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = before * widening
        self.shortcut = stride == 1 and before == after
        depthwise = _depthwise(inner, stride, kernel)
        if widening == 1:
            self.conv_dw, self.bn1 = depthwise, _norm(inner)
            self.conv_pw, self.bn2 = nn.Conv2d(inner, after, 1, bias=False), _norm(after)
        else:
            self.conv_pw, self.bn1 = nn.Conv2d(before, inner, 1, bias=False), _norm(inner)
            self.conv_dw, self.bn2 = depthwise, _norm(inner)
            self.conv_pwl, self.bn3 = nn.Conv2d(inner, after, 1, bias=False), _norm(after)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, before, H, W) → (N, after, H', W')."""
        layers, mixed = list(self.children()), maps
        for conv, norm in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            mixed = F.relu6(norm(conv(mixed)), inplace=True)
        mixed = layers[-1](layers[-2](mixed))
        return mixed + maps if self.shortcut else mixed


class EfficientNetLite0(nn.Module):
    """The encoder (Tan & Le 2019, without squeeze and excitation), which returns the maps of its first `levels` levels, finest first.

    stem : class of its first convolution, `SameConv` or a class with the same arguments
    frozen_levels : number of first levels that are not trained, and whose normalisation statistics do not follow the data

    >>> network = EfficientNetLite0()
    >>> [tuple(level.shape[1:]) for level in network(torch.zeros(1, 3, 64, 64))]
    [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    """

    def __init__(
        self,
        in_channels: int = 3,
        levels: int = len(LEVELS),
        stem: type[SameConv] = SameConv,
        frozen_levels: int = 0,
    ) -> None:
        super().__init__()
        self.conv_stem = stem(in_channels, STEM, 3, stride=2, bias=False)
        self.bn1 = _norm(STEM)
        self.ends = LEVELS[:levels]
        stages, before = [], STEM
        for widening, after, count, stride, kernel in STAGES[: self.ends[-1] + 1]:
            blocks = [
                Block(after if number else before, widening, after, 1 if number else stride, kernel)
                for number in range(count)
            ]
            stages.append(nn.Sequential(*blocks))
            before = after
        self.blocks = nn.ModuleList(stages)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.frozen: list[nn.Module] = []
        if frozen_levels:
            self.frozen = [self.conv_stem, self.bn1, *self.blocks[: self.ends[frozen_levels - 1] + 1]]
        for part in self.frozen:
            part.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Set the mode of the module; levels that are frozen stay in evaluation mode."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return (N, C, H, W) → the maps of each level, (N, 16, H / 2, W / 2) first; sizes are rounded up."""
        if image.device.type == "cpu" and torch.is_grad_enabled():  # gradients of its filters are slow in bfloat16
            with torch.autocast("cpu", enabled=False):
                return self._levels(image)
        return self._levels(image)

    def _levels(self, image: Tensor) -> list[Tensor]:
        maps, levels = F.relu6(self.bn1(self.conv_stem(image)), inplace=True), []
        for number, stage in enumerate(self.blocks):
            maps = stage(maps)
            if number in self.ends:
                levels.append(maps)
        return levels


def frozen_encoder() -> EfficientNetLite0:
    """Return the encoder with the shipped weights, frozen; it takes (N, 3, H, W) red, green, blue as `shown_values`."""
    network = EfficientNetLite0()
    load_pretrained(network, EncoderName.lite0, complete=True)
    return network.eval().requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)


def shown_values(image: Tensor) -> Tensor:
    """Convert values of 0–255 of any shape to the range that the shipped weights expect."""
    return image.float() / 127.5 - 1


def _depthwise(channels: int, stride: int, kernel: int) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return SameConv(channels, channels, kernel, stride=stride, groups=channels, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPS)
