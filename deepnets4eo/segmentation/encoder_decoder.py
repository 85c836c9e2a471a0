"""SegNet's two halves: a VGG-16 encoder, and a decoder that puts values back to where the encoder had its maxima.

Takes images of any number of bands, sides multiples of 32; returns maps. The fusion networks are built from them, too.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import NORM_FIRST, Order, conv_block, max_pool, max_unpool

WIDTH = 64  # channels of VGG-16's first stage
STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))  # convolutions of each encoder stage, relative to the first
STRIDE_PX = 2 ** len(STAGES)


class SegNetEncoder(nn.Module):
    """The 13 convolutions of VGG-16-BN in five stages, each followed by 2 × 2 max-pooling that returns its indices.

    `stages` are the blocks without their pooling, for fusion.

    Parameters
    ----------
    in_channels
        Bands of the image, at least 1.
    width
        Channels of the first stage; VGG-16 has 64.
    order
        The order of convolution, normalisation and ReLU, see `conv_block`.

    Raises
    ------
    InputError
        Numbers below 1.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in SegNetEncoder(3).parameters())
    14723136
    """

    def __init__(self, in_channels: int, *, width: int = WIDTH, order: Order = NORM_FIRST) -> None:
        super().__init__()
        if in_channels < 1 or width < 1:
            raise InputError(f"an encoder got in_channels={in_channels}, width={width}; both must be at least 1.")
        self.in_channels, self.width = in_channels, width
        before = [in_channels, *(stage[-1] * width for stage in STAGES)]
        self.stages = nn.ModuleList(
            conv_block([start, *(relative * width for relative in stage)], order)
            for start, stage in zip(before, STAGES, strict=False)
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
    width
        Channels of the encoder's first stage; VGG-16 has 64.
    order
        The order of convolution, normalisation and ReLU, see `conv_block`.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in SegNetDecoder().parameters())
    14719872
    """

    def __init__(self, *, width: int = WIDTH, order: Order = NORM_FIRST) -> None:
        super().__init__()
        self.width = width
        inner = [(*reversed(stage), before[-1]) for before, stage in itertools.pairwise(STAGES)]
        chains = [*reversed(inner), STAGES[0]]
        self.stages = nn.ModuleList(conv_block([relative * width for relative in chain], order) for chain in chains)

    @property
    def channels(self) -> list[int]:
        """Channels that each stage leaves, the coarsest first."""
        return [stage[-3].out_channels for stage in self.stages]  # type: ignore[index]

    def forward(self, maps: Tensor, pool_indices: list[Tensor]) -> list[Tensor]:
        """maps, pool_indices : from the encoder · returns : the maps of each stage, the finest (1 : 1) last."""
        levels = []
        for stage, indices in zip(self.stages, reversed(pool_indices), strict=True):
            maps = stage(max_unpool(maps, indices))
            levels.append(maps)
        return levels
