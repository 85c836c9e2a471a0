"""Heads of any network of the toolbox: the multi-kernel head of SegNet++, and the distance head with its target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.segmentation.blocks import he_init
from deepnets4eo.segmenters import replace_last_layer

if TYPE_CHECKING:
    from torch import Tensor

KERNELS = (3, 5, 7)
CLIP_PX = 16
SHORT_CLIP_PX = 127  # up to it, squares of distances and their sums fit 16 bits, which is twice as fast
SHORT_SIDE_PX = 30_000


class MultiKernelHead(nn.Module):
    """Convolutions of 3 × 3, 5 × 5 and 7 × 7 pixels side by side, averaged (Audebert et al., ACCV 2016).

    Convolution is linear, so their mean is computed as one layer with the mean of their weights.

    Errors: InputError for kernels that are not odd, or none.

    Parameters
    ----------
    in_channels, num_classes : channels of the maps, and classes K
    kernels : odd sides of the layers, in pixels

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
        """Compute scores (N, K, H, W).

        maps : (N, in_channels, H, W)"""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        weights = [layer.weight for layer in layers]
        largest = max(weight.shape[-1] for weight in weights)
        margins = [(largest - weight.shape[-1]) // 2 for weight in weights]
        padded = [F.pad(weight, [margin] * 4) for weight, margin in zip(weights, margins, strict=True)]
        bias = torch.stack([layer.bias for layer in layers if layer.bias is not None]).mean(dim=0)
        return F.conv2d(maps, torch.stack(padded).mean(dim=0), bias, padding=largest // 2)


def add_multi_kernel_head(network: nn.Module, num_classes: int) -> nn.Module:
    """Replace a network's last layer by a multi-kernel head, in place. Errors: InputError if there is no such layer."""
    return replace_last_layer(network, num_classes, lambda layer: MultiKernelHead(layer.in_channels, num_classes))


@name_missing_extra()
def signed_distance(labels: ByteImage, num_classes: int, clip_px: int = CLIP_PX) -> FloatImage:
    """Distance from each pixel to the nearest one on the other side of the class's border, for each class.

    Euclidean, between centres of pixels. Source: Audebert, Boulch, Le Saux, Lefèvre, CVIU 2019. Peak memory: some 20
    bytes × K × H × W.

    Errors: InputError for a `clip_px` below 1.

    Parameters
    ----------
    labels : (H, W) uint8, class indices 0 … K − 1, void 255
    num_classes : K
    clip_px : pixels beyond which all distances are equal, at least 1

    Returns
    -------
    (K, H, W) float32 in [-1, 1], in units of clip_px
        Inside a class +distance to the nearest pixel of another class, outside −distance to the nearest pixel of the
        class. Only void is 0: it is on neither side, and distances reach across it. A class that is absent is −1
        throughout, one without others +1.

    Examples
    --------
    >>> labels = np.zeros((1, 6), np.uint8)
    >>> labels[0, 2:5] = 1
    >>> signed_distance(labels, 2, clip_px=2)[1].tolist()
    [[-1.0, -0.5, 0.5, 1.0, 0.5, -0.5]]
    """
    import torch

    check_clip(clip_px)
    distance, _ = _signed(torch.from_numpy(np.ascontiguousarray(labels))[None], num_classes, clip_px)
    return np.asarray(distance[0].numpy())


def window_targets(mask: Tensor, num_classes: int, clip_px: int = CLIP_PX) -> tuple[Tensor, Tensor]:
    """Return signed distances (N, K, H, W) in windows of labels (N, H, W), and where void and edges cannot change them."""
    import torch

    distance, void = _signed(mask, num_classes, clip_px)
    height, width = mask.shape[1:]
    below = torch.arange(1, height + 1, device=mask.device).clamp_max(clip_px)
    beside = torch.arange(1, width + 1, device=mask.device).clamp_max(clip_px)
    rows, cols = torch.minimum(below, below.flip(0)), torch.minimum(beside, beside.flip(0))
    free_px = torch.minimum(rows[:, None], cols[None, :]).float().expand(mask.shape)
    if bool(void.any()):
        free_px = torch.minimum(free_px, _squared(void[:, None], clip_px)[:, 0].float().sqrt())
    known = distance.abs() <= (free_px / clip_px)[:, None]
    return distance, known & ~void[:, None]


def check_clip(clip_px: int) -> None:
    """Refuse radii below one pixel."""
    if clip_px < 1:
        raise InputError(f"clip_px={clip_px} leaves no distance to learn; choose 1 or more.")


def _signed(mask: Tensor, num_classes: int, clip_px: int) -> tuple[Tensor, Tensor]:
    """Return (N, K, H, W) float32 in [-1, 1], and (N, H, W) bool, the void pixels; image by image if there is a cache (CPU)."""
    import torch

    void = mask == VOID
    parts = mask.split(1) if mask.device.type == "cpu" else [mask]
    return torch.cat([_signed_part(part, num_classes, clip_px) for part in parts]), void


def _signed_part(mask: Tensor, num_classes: int, clip_px: int) -> Tensor:
    import torch

    own = mask[:, None] == torch.arange(num_classes, device=mask.device, dtype=mask.dtype)[:, None, None]
    outside = _squared(own, clip_px)
    # the nearest pixel of another class is the nearest of those of all others
    inside = outside.masked_fill(own, clip_px * clip_px).amin(dim=1, keepdim=True)
    distance = torch.where(own, inside.float().sqrt(), -outside.float().sqrt()) / clip_px
    return distance.masked_fill((mask == VOID)[:, None], 0.0)


def _squared(sources: Tensor, clip_px: int) -> Tensor:
    """Compute the exact squared distance, at most clip_px², to the nearest True of each (H, W) plane, (…, H, W)."""
    import torch

    height, width = sources.shape[-2:]
    short = clip_px <= SHORT_CLIP_PX and width <= SHORT_SIDE_PX
    dtype = torch.int16 if short else torch.int32
    col = torch.arange(width, dtype=dtype, device=sources.device)
    beyond = torch.tensor([-clip_px, width + clip_px], dtype=dtype, device=sources.device)
    left = torch.where(sources, col, beyond[0]).cummax(dim=-1).values
    right = torch.where(sources, col, beyond[1]).flip(-1).cummin(dim=-1).values.flip(-1)
    along = torch.minimum(col - left, right - col).clamp_max(clip_px).square()
    nearest = along.clone()
    for step in range(1, min(clip_px, height)):
        for target, source in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            part = nearest[..., target, :]
            torch.minimum(part, along[..., source, :] + step * step, out=part)
    return nearest.clamp_max(clip_px * clip_px)


class DistanceHead(nn.Module):
    """Signed distances estimated from the maps, and scores from maps and distances together.

    Distances pass a hard tanh, as their truth does. The scores are made from them, too, so that the classes train them.

    In training the last estimate is kept until `extra_loss` has compared it with the truth. Source: Audebert, Boulch,
    Le Saux, Lefèvre, CVIU 2019.

    Errors: InputError for settings outside these ranges.

    Parameters
    ----------
    in_channels, num_classes : channels of the maps, and classes K
    clip_px : pixels beyond which all distances are equal, at least 1
    weight : the factor λ of CE + λ · L1, at least 0
    kernel : odd side of both layers, in pixels

    Examples
    --------
    >>> head = DistanceHead(64, 6)
    >>> head(torch.zeros(1, 64, 32, 32)).shape
    torch.Size([1, 6, 32, 32])
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, clip_px: int = CLIP_PX, weight: float = 1.0, kernel: int = 3
    ) -> None:
        super().__init__()
        check_clip(clip_px)
        if weight < 0 or kernel < 1 or kernel % 2 == 0:
            raise InputError(f"a distance head got weight={weight}, kernel={kernel}; expected at least 0, and odd.")
        self.clip_px, self.weight = clip_px, weight
        self.distance = nn.Conv2d(in_channels, num_classes, kernel, padding=kernel // 2)
        self.scores = nn.Conv2d(in_channels + num_classes, num_classes, kernel, padding=kernel // 2)
        self.estimate: Tensor | None = None

    def forward(self, maps: Tensor) -> Tensor:
        """Compute scores (N, K, H, W).

        maps : (N, in_channels, H, W)"""
        estimate = F.hardtanh(self.distance(maps))
        self.estimate = estimate if self.training else None
        scores: Tensor = self.scores(torch.cat([maps, estimate], dim=1))
        return scores

    def extra_loss(self, mask: Tensor) -> Tensor:
        """Return λ · mean of |estimate − truth| over the pixels and classes whose truth is known in the window, ()
        float32.

        mask : (N, H, W) int64, void 255, of the last batch in training; each estimate is compared once."""
        if self.estimate is None:
            raise InputError(
                "a distance head has no loss before a batch in training. Run the network on one in training mode first."
            )
        estimate, self.estimate = self.estimate.float(), None
        height, width = mask.shape[1:]
        if estimate.shape[-1] < width:  # the network enlarges its scores afterwards
            estimate = F.interpolate(estimate, (height, width), mode="bilinear", align_corners=True)
        truth, known = window_targets(mask, estimate.shape[1], self.clip_px)
        apart = (estimate[:, :, :height, :width] - truth).abs() * known
        return self.weight * apart.sum() / known.sum().clamp_min(1)


def add_distance_head(
    network: nn.Module, num_classes: int, *, clip_px: int = CLIP_PX, weight: float = 1.0
) -> nn.Module:
    """Replace a network's last layer by a distance head with its kernel, in place; InputError without such a layer."""

    def build(layer: nn.Conv2d) -> DistanceHead:
        kernel = int(layer.kernel_size[0])
        return DistanceHead(layer.in_channels, num_classes, clip_px=clip_px, weight=weight, kernel=kernel)

    return replace_last_layer(network, num_classes, build)
