"""SegNet: a VGG-16 encoder, and a decoder that puts values back to where the encoder had its maxima."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import (
    NORM_FIRST,
    Order,
    SegNetDecoder,
    SegNetEncoder,
    Vgg16,
    he_init,
    pad_to_stride,
)
from deepnets4eo.segmentation.weights import load_encoder


class SegNet(nn.Module):
    """SegNet (Badrinarayanan et al. 2017) as used for aerial images (Audebert et al., ACCV 2016).

    29,441,280 + 576 C + 577 K weights for C bands and K classes; He initialisation.

    Sides that are not multiples of 32 are padded by repeating the last row and column, and cut again.

    Errors: InputError for numbers below 1, and weights that do not fit.

    Parameters
    ----------
    in_channels, num_classes : bands C of the image and classes K, at least 1
    width : channels of the first stage; VGG-16 has 64, trials need fewer
    order
        "conv-bn-relu" as in VGG-16-BN and the original release, or "conv-relu-bn" for weights of the notebook of
        DeepNetsForEO (see `load_notebook`).
    weights : first weights of the encoder: "imagenet" (VGG-16-BN, downloaded) or a safetensors file, see `load_encoder`
    deep_supervision : in training, also predict at 1:2, 1:4 and 1:8 from the decoder's inner stages

    Examples
    --------
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
        width: int = Vgg16.width,
        order: Order = NORM_FIRST,
        weights: str | Path | None = None,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.order = order
        self.encoder = SegNetEncoder(in_channels, width=width, order=order)
        self.decoder = SegNetDecoder(width=width, order=order)
        channels = self.decoder.channels
        self.sides = SideOutputs(channels[-2:-5:-1], num_classes) if deep_supervision else None
        self.head: nn.Module = nn.Conv2d(channels[-1], num_classes, 3, padding=1)
        he_init(self)
        if weights is not None:
            load_encoder(self.encoder, weights)

    def levels(self, image: Tensor) -> list[Tensor]:
        """Return the maps before the last layer at 1:16, 1:8, 1:4, 1:2 and 1:1 of the padded image; the last are (N, width, ·, ·)."""
        if image.shape[1] != self.encoder.in_channels:
            raise InputError(
                f"an image of {image.shape[1]} bands was given to a SegNet of {self.encoder.in_channels}. "
                "Choose the bands that it was built for, or build it with in_channels of the image."
            )
        padded = pad_to_stride(image, Vgg16.stride_px)
        levels: list[Tensor] = self.decoder(*self.encoder(padded))
        return levels

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (N, K, H, W) of an image (N, C, H, W) float32, scaled as its inputs are.

        In training with deep supervision: a tuple of logits (N, K, ·, ·), the first at full size, then 1:2, 1:4, 1:8.
        """
        height, width = image.shape[2:]
        levels = self.levels(image)
        logits: Tensor = self.head(levels[-1])[:, :, :height, :width]
        if self.sides is None or not self.training:
            return logits
        return (logits, *self.sides(levels[-2:-5:-1], (height, width)))


class SideOutputs(nn.Module):
    """A last layer on each inner stage (Audebert et al., ISPRS J. 2018), the finest first; stage k has the scale 1 : 2^(k+1)."""

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(count, num_classes, 3, padding=1) for count in channels)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> list[Tensor]:
        """levels : (N, channels, ·, ·), the finest first · returns : logits (N, K, height, width), interpolated."""
        height, width = shape
        scores = [head(maps) for head, maps in zip(self.heads, levels, strict=True)]
        sides = [
            F.interpolate(score, scale_factor=2.0 ** (level + 1), mode="bilinear", align_corners=False)
            for level, score in enumerate(scores)
        ]
        return [side[:, :, :height, :width] for side in sides]
