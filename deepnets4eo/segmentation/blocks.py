"""Parts of SegNet and the fusion networks: convolution blocks, pooling with indices, unpooling, padding.

Takes feature maps (N, C, H, W) of any precision and memory format, and keeps both. Refuses unknown orders of layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError

Order = Literal["conv-bn-relu", "conv-relu-bn"]
NORM_FIRST: Order = "conv-bn-relu"
RELU_FIRST: Order = "conv-relu-bn"
ORDERS = (NORM_FIRST, RELU_FIRST)


def conv_block(channels: Sequence[int], order: Order = NORM_FIRST) -> nn.Sequential:
    """3 × 3 convolution, batch normalisation and ReLU for each step from one number of channels to the next.

    Parameters
    ----------
    channels
        Numbers of channels, the input's first.
    order
        "conv-bn-relu", as in VGG-16-BN (Simonyan and Zisserman 2015) and in SegNet's own release; "conv-relu-bn", as
        in the PyTorch notebook of DeepNetsForEO.

    Returns
    -------
    nn.Sequential
        (N, channels[0], H, W) → (N, channels[-1], H, W).

    Raises
    ------
    InputError
        Another order.

    Examples
    --------
    >>> len(conv_block([3, 64, 64]))
    6
    """
    if order not in ORDERS:
        raise InputError(f"order={order!r} is unknown. Choose from {', '.join(ORDERS)}.")
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        norm, relu = nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        layers += [nn.Conv2d(before, after, 3, padding=1), *((norm, relu) if order == NORM_FIRST else (relu, norm))]
    return nn.Sequential(*layers)


def max_pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of 2 × 2 squares, and their indices.

    Parameters
    ----------
    maps
        (N, C, H, W).

    Returns
    -------
    pooled : Tensor
        (N, C, H/2, W/2).
    pool_indices : Tensor
        (N, C, H/2, W/2) int64, row × W + column in the plane that was pooled; of equal values the first one counts.

    Examples
    --------
    >>> [one.tolist() for one in max_pool(torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]]))]
    [[[[[5.0]]]], [[[[1]]]]]
    """
    pooled, pool_indices = F.max_pool2d(maps, 2, return_indices=True)
    return pooled, pool_indices


def max_unpool(maps: Tensor, pool_indices: Tensor) -> Tensor:
    """Put pooled maps back to where their maxima were, zeros elsewhere.

    Parameters
    ----------
    maps
        (N, C, h, w).
    pool_indices
        (N, C, h, w) int64, from `max_pool`.

    Returns
    -------
    Tensor
        (N, C, 2h, 2w).

    Examples
    --------
    >>> maps = torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]])
    >>> max_unpool(*max_pool(maps)).tolist()
    [[[[0.0, 5.0], [0.0, 0.0]]]]
    """
    if torch.compiler.is_compiling():  # exporters lack F.max_unpool2d; in eager mode it is twice as fast
        count, channels, height, width = maps.shape
        plane = maps.new_zeros(count, channels, 4 * height * width)
        scattered = plane.scatter(2, pool_indices.flatten(2), maps.flatten(2))
        return scattered.view(count, channels, 2 * height, 2 * width)
    return F.max_unpool2d(maps, pool_indices, (2, 2))


def pad_to_stride(image: Tensor, stride_px: int) -> Tensor:
    """The image with its last row and column repeated until both sides are multiples of a stride.

    Parameters
    ----------
    image
        (N, C, H, W).
    stride_px
        At least 1.

    Returns
    -------
    Tensor
        (N, C, H', W') with H ≤ H' < H + stride_px, W' likewise.

    Examples
    --------
    >>> pad_to_stride(torch.zeros(1, 3, 33, 64), 32).shape
    torch.Size([1, 3, 64, 64])
    """
    below, right = -image.shape[2] % stride_px, -image.shape[3] % stride_px
    if not torch.compiler.is_compiling() and not (below or right):
        return image
    return F.pad(image, (0, right, 0, below), mode="replicate")


def he_init(module: nn.Module) -> None:
    """Draw weights of convolutions from N(0, 2 / fan-in), biases 0 (He et al. 2015); normalisation stays identity.

    Parameters
    ----------
    module
        Changed in place, with all modules inside.

    Examples
    --------
    >>> layer = nn.Conv2d(3, 8, 3)
    >>> he_init(layer)
    >>> layer.bias.abs().max().item()
    0.0
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
