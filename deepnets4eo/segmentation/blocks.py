"""Parts of SegNet and the fusion networks: convolution blocks, pooling with indices, padding, and SegNet's two halves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError

Order = Literal["conv-bn-relu", "conv-relu-bn"]
NORM_FIRST: Order = "conv-bn-relu"
RELU_FIRST: Order = "conv-relu-bn"
ORDERS = (NORM_FIRST, RELU_FIRST)


class Vgg16:
    """The encoder of VGG-16."""

    width: ClassVar[int] = 64  # channels of the first stage
    stages: ClassVar[tuple[tuple[int, ...], ...]] = (
        (1, 1),
        (2, 2),
        (4, 4, 4),
        (8, 8, 8),
        (8, 8, 8),
    )  # convolutions, relative to the first
    stride_px: ClassVar[int] = 2 ** len(stages)


def conv_block(channels: Sequence[int], order: Order = NORM_FIRST) -> nn.Sequential:
    """3 × 3 convolution, batch normalisation and ReLU for each step from one number of channels to the next.

    Errors: InputError for another order.

    Parameters
    ----------
    channels : numbers of channels, the input's first
    order
        "conv-bn-relu", as in VGG-16-BN (Simonyan and Zisserman 2015) and in SegNet's own release; "conv-relu-bn", as in
        the PyTorch notebook of DeepNetsForEO.

    Returns
    -------
    nn.Sequential
        (N, channels[0], H, W) → (N, channels[-1], H, W).

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
    """Return the maxima of 2 × 2 squares, and their indices.

    Parameters
    ----------
    maps : (N, C, H, W)

    Returns
    -------
    pooled : (N, C, H/2, W/2)
    pool_indices : (N, C, H/2, W/2) int64, row × W + column in the plane that was pooled; of equal values the first

    Examples
    --------
    >>> [one.tolist() for one in max_pool(torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]]))]
    [[[[[5.0]]]], [[[[1]]]]]
    """
    pooled, pool_indices = F.max_pool2d(maps, 2, return_indices=True)
    return pooled, pool_indices


def max_unpool(maps: Tensor, pool_indices: Tensor) -> Tensor:
    """Put pooled maps (N, C, h, w) back to where their maxima were, zeros elsewhere: (N, C, 2h, 2w)."""
    if torch.compiler.is_compiling():  # exporters lack F.max_unpool2d; in eager mode it is twice as fast
        count, channels, height, width = maps.shape
        plane = maps.new_zeros(count, channels, 4 * height * width)
        scattered = plane.scatter(2, pool_indices.flatten(2), maps.flatten(2))
        return scattered.view(count, channels, 2 * height, 2 * width)
    return F.max_unpool2d(maps, pool_indices, (2, 2))


def pad_to_stride(image: Tensor, stride_px: int) -> Tensor:
    """Return the image with its last row and column repeated until both sides are multiples of a stride.

    Parameters
    ----------
    image : (N, C, H, W)
    stride_px : at least 1

    Returns
    -------
    (N, C, H', W') with H ≤ H' < H + stride_px and W ≤ W' < W + stride_px

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
    module : changed in place, with all modules inside

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


class SegNetEncoder(nn.Module):
    """The 13 convolutions of VGG-16-BN in five stages, each followed by 2 × 2 max-pooling that returns its indices.

    `stages` are the blocks without their pooling, for fusion.

    Errors: InputError for numbers below 1.

    Parameters
    ----------
    in_channels : bands of the image, at least 1
    width : channels of the first stage; VGG-16 has 64
    order : the order of convolution, normalisation and ReLU, see `conv_block`

    Examples
    --------
    >>> sum(parameter.numel() for parameter in SegNetEncoder(3).parameters())
    14723136
    """

    def __init__(self, in_channels: int, *, width: int = Vgg16.width, order: Order = NORM_FIRST) -> None:
        super().__init__()
        if in_channels < 1 or width < 1:
            raise InputError(f"an encoder got in_channels={in_channels}, width={width}; both must be at least 1.")
        self.in_channels, self.width = in_channels, width
        before = [in_channels, *(stage[-1] * width for stage in Vgg16.stages)]
        self.stages = nn.ModuleList(
            conv_block([start, *(relative * width for relative in stage)], order)
            for start, stage in zip(before, Vgg16.stages, strict=False)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """image : (N, C, H, W), sides multiples of 32 · returns : (N, 8·width, H/32, W/32), and pooling indices of 5 stages."""
        maps, pool_indices = image, []
        for stage in self.stages:
            maps, indices = max_pool(stage(maps))
            pool_indices.append(indices)
        return maps, pool_indices


class SegNetDecoder(nn.Module):
    """The encoder mirrored: unpooling with its indices, then as many convolutions, narrowing at the end of a stage.

    The last stage has one convolution only and leaves `width` channels; the layer that follows it makes the scores.

    Parameters
    ----------
    width : channels of the encoder's first stage; VGG-16 has 64
    order : the order of convolution, normalisation and ReLU, see `conv_block`

    Examples
    --------
    >>> sum(parameter.numel() for parameter in SegNetDecoder().parameters())
    14719872
    """

    def __init__(self, *, width: int = Vgg16.width, order: Order = NORM_FIRST) -> None:
        super().__init__()
        self.width = width
        inner = [(*reversed(stage), before[-1]) for before, stage in itertools.pairwise(Vgg16.stages)]
        chains = [*reversed(inner), Vgg16.stages[0]]
        self.stages = nn.ModuleList(conv_block([relative * width for relative in chain], order) for chain in chains)

    @property
    def channels(self) -> list[int]:
        """Channels that each stage leaves, the coarsest first."""
        return [stage[-3].out_channels for stage in self.stages]  # type: ignore[index]

    def forward(self, maps: Tensor, pool_indices: list[Tensor]) -> list[Tensor]:
        """Compute the maps of each stage, the finest (1 : 1) last.

        maps, pool_indices : from the encoder"""
        levels = []
        for stage, indices in zip(self.stages, reversed(pool_indices), strict=True):
            maps = stage(max_unpool(maps, indices))
            levels.append(maps)
        return levels
