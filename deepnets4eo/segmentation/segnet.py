"""SegNet: a VGG-16 encoder, and a decoder that puts values back to where the encoder found its maxima.

Takes images of any number of bands and any size; gives logits of the same size.
Refuses images of another number of bands than it was built for, and weights of another shape.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import conv_block, he_init, max_pool, max_unpool, pad_to_stride
from deepnets4eo.segmentation.deep_supervision import SideOutputs

WIDTH = 64  # channels of VGG-16's first stage
STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))  # convolutions of each encoder stage, relative to the first
STRIDE_PX = 2 ** len(STAGES)


class SegNetEncoder(nn.Module):
    """The 13 convolutions of VGG-16-BN in five stages, each followed by 2 × 2 max-pooling that remembers.

    width : channels of the first stage; VGG-16 has 64. `stages` are the blocks without their pooling, for fusion.

    >>> sum(parameter.numel() for parameter in SegNetEncoder(3).parameters())
    14723136
    """

    def __init__(self, in_channels: int, *, width: int = WIDTH) -> None:
        super().__init__()
        if in_channels < 1 or width < 1:
            raise InputError(f"an encoder got in_channels={in_channels}, width={width}; both must be at least 1.")
        self.in_channels, self.width = in_channels, width
        before = [in_channels, *(stage[-1] * width for stage in STAGES)]
        self.stages = nn.ModuleList(
            conv_block([start, *(relative * width for relative in stage)])
            for start, stage in zip(before, STAGES, strict=False)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """image : (N, C, H, W), sides multiples of 32 · returns : (N, 8·width, H/32, W/32), and 5 planes of places."""
        maps, places = image, []
        for stage in self.stages:
            maps, found = max_pool(stage(maps))
            places.append(found)
        return maps, places


class SegNetDecoder(nn.Module):
    """The encoder mirrored: unpooling with its places, then as many convolutions, narrowing at the end of a stage.

    The last stage has one convolution only and leaves `width` channels: the layer that follows gives the scores.

    >>> sum(parameter.numel() for parameter in SegNetDecoder().parameters())
    14719872
    """

    def __init__(self, *, width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        inner = [(*reversed(stage), before[-1]) for before, stage in itertools.pairwise(STAGES)]
        chains = [*reversed(inner), STAGES[0]]
        self.stages = nn.ModuleList(conv_block([relative * width for relative in chain]) for chain in chains)

    @property
    def channels(self) -> list[int]:
        """Channels that each stage leaves, the coarsest first."""
        return [stage[-2].num_features for stage in self.stages]  # type: ignore[index]

    def forward(self, maps: Tensor, places: list[Tensor]) -> list[Tensor]:
        """maps, places : as the encoder gives them · returns : the maps of each stage, the finest (1 : 1) last."""
        levels = []
        for stage, found in zip(self.stages, reversed(places), strict=True):
            maps = stage(max_unpool(maps, found))
            levels.append(maps)
        return levels


class SegNet(nn.Module):
    """SegNet (Badrinarayanan et al. 2017) as used for aerial images (Audebert et al., ACCV 2016).

    29,441,280 + 576 C + 577 K weights for C bands and K classes. Convolution, normalisation, ReLU in this order, as in
    VGG-16-BN and in the original release; He initialisation. Sides that are no multiples of 32 are padded by their last
    row and column and cut again, so that a batch of one is normalised over 4 values or more, whatever its size.

    width : channels of the first stage; smaller ones for trials. weights : of the encoder, "imagenet" (VGG-16-BN,
    downloaded on demand) or a safetensors file, see `vgg.load_encoder`. deep_supervision : in training, also predict
    at 1:2, 1:4 and 1:8 from the decoder's inner stages; those layers are not used otherwise.
    Errors: InputError for weights that do not fit.

    >>> import torch
    >>> network = SegNet(4, 6, width=4).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        width: int = WIDTH,
        weights: str | Path | None = None,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = SegNetEncoder(in_channels, width=width)
        self.decoder = SegNetDecoder(width=width)
        channels = self.decoder.channels
        self.sides = SideOutputs(channels[-2:-5:-1], num_classes) if deep_supervision else None
        self.head: nn.Module = nn.Conv2d(channels[-1], num_classes, 3, padding=1)
        he_init(self)
        if weights is not None:
            from deepnets4eo.segmentation.vgg import load_encoder

            load_encoder(self.encoder, weights)

    def levels(self, image: Tensor) -> list[Tensor]:
        """Maps before the last layer at 1:16, 1:8, 1:4, 1:2 and 1:1 of the padded image; the last are (N, width, ·, ·)."""
        if image.shape[1] != self.encoder.in_channels:
            raise InputError(
                f"an image of {image.shape[1]} bands was given to a SegNet of {self.encoder.in_channels}. "
                "Choose the bands that it was built for, or build it with in_channels of the image."
            )
        padded = pad_to_stride(image, STRIDE_PX)
        levels: list[Tensor] = self.decoder(*self.encoder(padded))
        return levels

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """image : (N, C, H, W) float32, standardised · returns : logits (N, K, H, W).

        In training with deep supervision: a tuple of logits (N, K, ·, ·), the first at full size, then 1:2, 1:4, 1:8.
        """
        height, width = image.shape[2:]
        levels = self.levels(image)
        logits: Tensor = self.head(levels[-1])[:, :, :height, :width]
        if self.sides is None or not self.training:
            return logits
        return (logits, *self.sides(levels[-2:-5:-1], (height, width)))
