"""Fully convolutional networks: scores of a VGG-16 at strides 32, 16 and 8, each doubled and added to the next finer ones."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import SegNetEncoder, Vgg16, he_init, pad_to_stride
from deepnets4eo.segmentation.weights import load_encoder

STRIDES = (32, 16, 8)
HIDDEN = 4096  # channels of the two layers after the last pooling
DROPOUT = 0.5


class FCN(nn.Module):
    """FCN-32s, FCN-16s or FCN-8s (Long, Shelhamer, Darrell, CVPR 2015) of a VGG-16 with batch normalisation.

    Transposed convolutions double the scores of coarser strides. They begin as bilinear interpolation and are trained;
    the last step to full size stays bilinear.

    The scoring layers at strides 16 and 8 begin at zero, as published.

    Sides that are not multiples of 32 are padded by repeating the last row and column, and cut again.

    Errors: InputError for another stride, numbers below 1, and weights that do not fit.

    Parameters
    ----------
    in_channels, num_classes : bands of the image and classes K, at least 1
    stride : of the finest scores, 32, 16 or 8
    hidden : channels of the two layers after the last pooling, published 4,096; they have 120 of the 134 million weights
    width : channels of the first stage; VGG-16 has 64, trials need fewer
    weights : first weights of the encoder: "imagenet" (VGG-16-BN, downloaded) or a safetensors file, see `load_encoder`

    Examples
    --------
    >>> network = FCN(4, 6, width=4, hidden=8).eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        stride: int = STRIDES[-1],
        hidden: int = HIDDEN,
        width: int = Vgg16.width,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        if stride not in STRIDES or hidden < 1:
            raise InputError(
                f"a fully convolutional network got stride={stride}, hidden={hidden}; expected a stride of 32, 16 or 8, and 1 channel or more."
            )
        self.encoder = SegNetEncoder(in_channels, width=width)
        self.hidden = nn.Sequential(
            nn.Conv2d(8 * width, hidden, 7, padding=3), nn.ReLU(inplace=True), nn.Dropout2d(DROPOUT),
            nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True), nn.Dropout2d(DROPOUT),
        )  # fmt: skip
        finer = STRIDES.index(stride)
        self.doubling = nn.ModuleList(
            nn.ConvTranspose2d(num_classes, num_classes, 4, 2, 1, bias=False) for _ in range(finer)
        )
        channels = [hidden, 8 * width, 4 * width][: finer + 1]  # at strides 32, 16, 8
        self.scores = nn.ModuleList(nn.Conv2d(count, num_classes, 1) for count in channels)
        he_init(self)
        self._begin_as_published(num_classes)
        if weights is not None:
            load_encoder(self.encoder, weights)

    def _begin_as_published(self, num_classes: int) -> None:
        tent = torch.tensor([0.25, 0.75, 0.75, 0.25])
        for name, weights in self.named_parameters():
            if name.startswith("doubling."):
                weights.data.copy_(torch.eye(num_classes)[:, :, None, None] * tent[:, None] * tent)
            elif name in ("scores.1.weight", "scores.2.weight"):
                nn.init.zeros_(weights)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) float32, scaled as its inputs are → logits (N, K, H, W)."""
        height, width = image.shape[2:]
        maps, pooled = pad_to_stride(image, Vgg16.stride_px), []
        for stage in self.encoder.stages:
            maps = F.max_pool2d(stage(maps), 2)
            pooled.append(maps)
        levels = [self.hidden(maps), *pooled[3::-1]]  # at strides 32, 16, 8, …
        scores = self.scores[0](levels[0])
        for doubling, layer, finer in zip(self.doubling, list(self.scores)[1:], levels[1:], strict=False):
            scores = doubling(scores) + layer(finer)
        times = STRIDES[len(self.doubling)]
        whole = F.interpolate(scores, scale_factor=float(times), mode="bilinear", align_corners=False)
        return whole[:, :, :height, :width]
