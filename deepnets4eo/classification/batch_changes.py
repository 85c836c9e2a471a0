"""Semi-supervised learning from images (N, C, P, P) without labels: their weak and strong augmentation, and their weights in the loss.

Augmentations that need three channels, or would rescale each image separately, are left out: reflectance is kept.

The weights follow FixMatch (Sohn 2020) and FlexMatch (Zhang 2021), whose memory is in a buffer.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from deepnets4eo.options import Section

SHIFT = 0.125  # of the side, weak
TURN, SHEAR, MOVE = math.radians(30), 0.3, 0.3  # strong: angle, slope, share of the side
SHARPEN, GAIN, CUT = 0.8, 0.2, 0.5  # at most: share of what a blur takes away, logarithm, share of the side
DRAWN = 2  # strong changes an image


def weak(images: Tensor, *, flips: bool | str, rotations: bool, shift: float = SHIFT) -> Tensor:
    """Mirror images, quarter turns and shifts by whole pixels, the edge mirrored. (N, C, P, P) → the same."""
    if rotations:
        images = torch.where(_coins(images), images.flip(2, 3), images)
        images = torch.where(_coins(images), images.transpose(2, 3).flip(2), images)
    if flips is True:
        images = torch.where(_coins(images), images.flip(2), images)
    if flips:
        images = torch.where(_coins(images), images.flip(3), images)
    most = int(shift * images.shape[-1])
    return _shifted(images, most) if most else images


def crop(images: Tensor, least: float) -> Tensor:
    """Return a square of each image with an area of `least` to all of it, at the size of the whole. (N, C, P, P) → the same."""
    count = len(images)
    side = (least + (1 - least) * torch.rand(count)).sqrt()
    affine = torch.eye(2, 3) * side[:, None, None]
    affine[:, :, 2] = (2 * torch.rand(count, 2) - 1) * (1 - side)[:, None]
    return _resampled(images, affine)


def relight(images: Tensor, strength: float) -> Tensor:
    """One gain and offset of all bands and a smaller one of each, in standard deviations. (N, C, P, P) → the same."""
    count, bands = images.shape[:2]
    one, each = (_normal((count, size, 1, 1), images) for size in (1, bands))
    gain = torch.exp(strength * (one + each / 3))
    offset = strength * (_normal((count, 1, 1, 1), images) + _normal((count, bands, 1, 1), images) / 3)
    return images * gain + offset


def strong(images: Tensor) -> Tensor:
    """Apply two of eight changes, redrawn for each image, and cut out a square. (N, C, P, P) → the same."""
    count = len(images)
    order = torch.rand(count, len(CHANGES)).argsort(dim=1)[:, :DRAWN]
    chosen = torch.zeros(count, len(CHANGES)).scatter_(1, order, 1.0)
    size = {name: (2 * torch.rand(count) - 1) * chosen[:, number] for number, name in enumerate(CHANGES)}
    return _cut(_toned(_warped(images, size), size["sharpness"], size["gain"]))


CHANGES = ("identity", "rotate", "shear_x", "shear_y", "move_x", "move_y", "sharpness", "gain")


def _warped(images: Tensor, size: dict[str, Tensor]) -> Tensor:
    """Turn, shear and move images in one resampling, mirrored at the edges."""
    cosine, sine = torch.cos(TURN * size["rotate"]), torch.sin(TURN * size["rotate"])
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    one = torch.ones_like(cosine)
    shear = torch.stack(
        [torch.stack([one, SHEAR * size["shear_x"]], 1), torch.stack([SHEAR * size["shear_y"], one], 1)], 1
    )
    move = 2 * MOVE * torch.stack([size["move_x"], size["move_y"]], 1)[:, :, None]
    return _resampled(images, torch.cat([turn @ shear, move], dim=2))


def _toned(images: Tensor, sharpness: Tensor, gain: Tensor) -> Tensor:
    """Sharpened or blurred, and of another gain; both (N,) from −1 to 1."""
    sharper = (SHARPEN * sharpness).to(images)[:, None, None, None]
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = images + sharper * (images - blurred)
    return images * torch.exp(GAIN * gain).to(images)[:, None, None, None]


def _resampled(images: Tensor, affine: Tensor) -> Tensor:
    """Images (N, C, P, P) seen through affine maps (N, 2, 3) of coordinates from −1 to 1."""
    grid = F.affine_grid(affine.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _cut(images: Tensor) -> Tensor:
    """Set a square of up to half of the side to 0, the mean."""
    return images.masked_fill(_squares(images)[:, None], 0.0)


def _squares(images: Tensor) -> Tensor:
    """Return (N, H, W) bool, a square of up to half of the side of images (N, C, H, W)."""
    count, _, height, width = images.shape
    half = CUT * torch.rand(count) / 2
    rows, cols = ((torch.arange(side) + 0.5) / side for side in (height, width))
    row, col = torch.rand(count), torch.rand(count)
    inside = ((rows - row[:, None]).abs() < half[:, None])[:, :, None] & ((cols - col[:, None]).abs() < half[:, None])[
        :, None
    ]
    return inside.to(images.device)


def _shifted(images: Tensor, most: int) -> Tensor:
    side = images.shape[-1]
    padded = F.pad(images, (most, most, most, most), mode="reflect")
    down, right = (torch.randint(0, 2 * most + 1, (len(images), 1)) + torch.arange(side) for _ in range(2))
    which = torch.arange(len(images))
    taken = padded[which[:, None, None], :, down[:, :, None], right[:, None, :]]
    return taken.permute(0, 3, 1, 2).contiguous()


def _coins(images: Tensor) -> Tensor:
    return (torch.rand(len(images), 1, 1, 1) < 0.5).to(images.device)


def _normal(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.randn(shape).to(like)


class UnlabelledSection(Section):
    """Learning from images without labels: `data.unlabelled`, images whose labels were not drawn, and labelled images once more."""

    method: Literal["none", "fixmatch", "flexmatch"] = Field(default="none", description="none: labels alone")
    ratio: int = Field(default=7, ge=1, description="unlabelled images to each labelled one of a step")
    weight: float = Field(default=1.0, ge=0, description="on the loss without labels")
    threshold: float = Field(default=0.95, gt=0, lt=1, description="probability from which a label counts")


class FixedThreshold(nn.Module):
    """FixMatch: an image counts where its largest probability is at least τ."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__()
        self.threshold = section.threshold

    def forward(self, q: Tensor, rows: Tensor) -> Tensor:
        """q : (U, K) probabilities, rows : (U,) numbers of the images → weights (U,)"""
        return (q.amax(dim=1) >= self.threshold).to(q.dtype)


class FlexibleThreshold(FixedThreshold):
    """FlexMatch: τ · M(β(c)), M(x) = x / (2 − x); β(c) is the count of images surely of class c over the largest count of a class or the unsure."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__(section, num_classes, images)
        self.num_classes = num_classes
        self.register_buffer("sure", torch.full((images,), num_classes))  # the class of each image; K: none yet
        self.sure: Tensor

    def forward(self, q: Tensor, rows: Tensor) -> Tensor:
        """Return the weights, with input and output as in `FixedThreshold`; what is noted counts from the next step on."""
        counts = torch.bincount(self.sure, minlength=self.num_classes + 1)
        beta = counts[:-1] / counts.max().clamp_min(1)
        probability, label = q.max(dim=1)
        threshold = self.threshold * beta / (2 - beta)
        weights = (probability >= threshold[label]).to(q.dtype)
        passed = probability >= self.threshold
        self.sure[rows[passed]] = label[passed]
        return weights


WEIGHTS: dict[str, type[nn.Module]] = {"fixmatch": FixedThreshold, "flexmatch": FlexibleThreshold}


class Consistency(nn.Module):
    """The loss of unlabelled images, and what it remembers of `images` images; a part of the network in training."""

    def __init__(self, section: UnlabelledSection, num_classes: int, images: int) -> None:
        super().__init__()
        self.factor = section.weight
        self.weigh = WEIGHTS[section.method](section, num_classes, images)

    def loss(self, compared: Tensor, q: Tensor, rows: Tensor) -> Tensor:
        """Return the weighted loss of logits (U, K) of strong views, by probabilities q (U, K) of weak views, of the images `rows` (U,)."""
        if not len(q):
            return compared.sum() * 0
        each = F.cross_entropy(compared, q.argmax(dim=1), reduction="none")
        loss: Tensor = self.factor * (self.weigh(q, rows) * each).mean()
        return loss
