"""The multi-kernel head of SegNet++: parallel last layers of several sizes, their scores averaged.

Takes feature maps; returns scores. A head of any network of the toolbox: `model.options={head: multi-kernel}`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import he_init
from deepnets4eo.segmenters.score_layer import replace_last_layer

KERNELS = (3, 5, 7)


class MultiKernelHead(nn.Module):
    """Convolutions of 3 × 3, 5 × 5 and 7 × 7 pixels side by side, averaged (Audebert et al., ACCV 2016).

    28,428 weights more than one 3 × 3 layer from 64 channels to 6 classes. Convolution is linear, so the mean of the
    layers is computed as one layer with the mean of their weights: 49 products a pixel instead of 83.

    Parameters
    ----------
    in_channels
        Channels of the maps.
    num_classes
        Classes K.
    kernels
        Odd sides of the layers, in pixels.

    Raises
    ------
    InputError
        Kernels that are not odd, or none.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in MultiKernelHead(64, 6).parameters()) - (64 * 6 * 9 + 6)
    28428
    """

    def __init__(self, in_channels: int, num_classes: int, *, kernels: Sequence[int] = KERNELS) -> None:
        super().__init__()
        if not kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise InputError(f"a multi-kernel head got kernels={list(kernels)}; expected odd sides such as [3, 5, 7].")
        self.layers = nn.ModuleList(
            nn.Conv2d(in_channels, num_classes, kernel, padding=kernel // 2) for kernel in kernels
        )
        he_init(self)

    def forward(self, maps: Tensor) -> Tensor:
        """maps : (N, in_channels, H, W) · returns : scores (N, K, H, W)."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        weights = [layer.weight for layer in layers]
        largest = max(weight.shape[-1] for weight in weights)
        margins = [(largest - weight.shape[-1]) // 2 for weight in weights]
        padded = [F.pad(weight, [margin] * 4) for weight, margin in zip(weights, margins, strict=True)]
        bias = torch.stack([layer.bias for layer in layers if layer.bias is not None]).mean(dim=0)
        return F.conv2d(maps, torch.stack(padded).mean(dim=0), bias, padding=largest // 2)


def add_multi_kernel_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Replace a network's last layer by a multi-kernel head, in place. Errors: InputError where there is no such layer."""
    return replace_last_layer(network, num_classes, lambda layer: MultiKernelHead(layer.in_channels, num_classes))
