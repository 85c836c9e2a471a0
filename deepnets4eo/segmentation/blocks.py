"""What SegNet and the fusion networks are made of: convolution blocks, pooling that remembers, unpooling, padding.

Takes feature maps (N, C, H, W) of any precision and memory format, and keeps both. Trusts its input.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_block(channels: Sequence[int]) -> nn.Sequential:
    """3 × 3 convolution, batch normalisation, ReLU for each step from one number of channels to the next.

    The order of VGG-16-BN (Simonyan and Zisserman 2015) and of SegNet's own release, so that its weights fit.

    >>> len(conv_block([3, 64, 64]))
    6
    """
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def max_pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of 2 × 2 squares, and where they were: (N, C, H/2, W/2) each.

    The places are int64, row × W + column in the plane that was pooled; of equal values the first one counts.
    """
    pooled, places = F.max_pool2d(maps, 2, return_indices=True)
    return pooled, places


def max_unpool(maps: Tensor, places: Tensor) -> Tensor:
    """Put maps (N, C, h, w) back to the places that `max_pool` gave, zeros elsewhere: (N, C, 2h, 2w).

    >>> maps = torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]])
    >>> max_unpool(*max_pool(maps)).tolist()
    [[[[0.0, 5.0], [0.0, 0.0]]]]
    """
    if torch.compiler.is_compiling():  # F.max_unpool2d is beyond exporters; in eager mode it is twice as quick
        count, channels, height, width = maps.shape
        plane = maps.new_zeros(count, channels, 4 * height * width)
        return plane.scatter(2, places.flatten(2), maps.flatten(2)).view(count, channels, 2 * height, 2 * width)
    return F.max_unpool2d(maps, places, (2, 2))


def pad_to_stride(image: Tensor, stride_px: int) -> Tensor:
    """The image with its last row and column repeated until both sides are multiples of `stride_px`.

    >>> pad_to_stride(torch.zeros(1, 3, 33, 64), 32).shape
    torch.Size([1, 3, 64, 64])
    """
    below, right = -image.shape[2] % stride_px, -image.shape[3] % stride_px
    if not torch.compiler.is_compiling() and not (below or right):
        return image
    return F.pad(image, (0, right, 0, below), mode="replicate")


def he_init(module: nn.Module) -> None:
    """Weights of convolutions from N(0, 2 / fan-in) (He et al. 2015), biases 0; normalisation starts as identity."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
