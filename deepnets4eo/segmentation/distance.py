"""Signed distance to the borders of each class, truncated and scaled: the target of a distance head.

Takes labels as class indices (0 … K − 1, void 255), of whole tiles or batches of windows.
Refuses radii below one pixel. Truncated at `clip_px`, a margin as wide makes a window exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

CLIP_PX = 16
SHORT_CLIP_PX = 127  # up to it, squares of distances and their sums fit 16 bits, which is twice as fast
SHORT_SIDE_PX = 30_000


def signed_distance(labels: ByteImage, num_classes: int, clip_px: int = CLIP_PX) -> FloatImage:
    """Distance from each pixel to the nearest one on the other side of the class's border, for each class.

    Euclidean, between centres of pixels. Source: Audebert, Boulch, Le Saux, Lefèvre, CVIU 2019.
    Peak memory: some 20 bytes × K × H × W.

    Parameters
    ----------
    labels
        (H, W) uint8, class indices 0 … K − 1, void 255.
    num_classes
        K.
    clip_px
        Pixels beyond which all distances are equal, at least 1.

    Returns
    -------
    FloatImage
        (K, H, W) in [-1, 1], in units of clip_px: inside a class +distance to the nearest pixel of another class,
        outside −distance to the nearest pixel of the class. Only void is 0: it is on neither side, and distances
        reach across it. A class that is absent is −1 throughout, one without others +1.

    Raises
    ------
    InputError
        A `clip_px` below 1.

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
    """Signed distances in windows cut out of something larger, and where they are those of the whole.

    mask : (N, H, W), class indices 0 … K − 1, void 255, on any device. returns : distance (N, K, H, W) float32 as
    `signed_distance`; known (N, K, H, W) bool, True where neither void nor what lies beyond the window can change it:
    both are farther away than the nearest border, or than clip_px.
    """
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
    """(N, K, H, W) float32 in [-1, 1] and (N, H, W) bool, the void pixels; image by image where there is a cache."""
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
    """Squared distance to the nearest True of each (H, W) plane, at most clip_px²: (…, H, W) integers.

    Along rows by scans, then over the rows within reach: exact, and fast on a GPU.
    """
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
