"""How images (N, C, P, P) without labels are changed while a network learns, each by draws of its own: weakly or strongly.

What needs three channels, or would give each image a scale of its own, is left out: reflectance is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.125  # of the side, weak
TURN, SHEAR, MOVE = math.radians(30), 0.3, 0.3  # strong: angle, slope, share of the side
SHARPEN, GAIN, CUT = 0.8, 0.2, 0.5  # at most: share of what a blur takes away, logarithm, share of the side
DRAWN = 2  # strong changes an image


def weak(images: Tensor, *, flips: bool, rotations: bool, shift: float = SHIFT) -> Tensor:
    """Mirror images, quarter turns and shifts by whole pixels, the edge mirrored. (N, C, P, P) → the same."""
    if rotations:
        images = torch.where(_coins(images), images.flip(2, 3), images)
        images = torch.where(_coins(images), images.transpose(2, 3).flip(2), images)
    if flips:
        images = torch.where(_coins(images), images.flip(2), images)
        images = torch.where(_coins(images), images.flip(3), images)
    most = int(shift * images.shape[-1])
    return _shifted(images, most) if most else images


def crop(images: Tensor, least: float) -> Tensor:
    """A square of each image, of `least` of its area to all of it, at the size of the whole. (N, C, P, P) → the same."""
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
    """Two of eight changes for each image, drawn anew, and a square cut out. (N, C, P, P) → the same."""
    count = len(images)
    order = torch.rand(count, len(CHANGES)).argsort(dim=1)[:, :DRAWN]
    chosen = torch.zeros(count, len(CHANGES)).scatter_(1, order, 1.0)
    size = {name: (2 * torch.rand(count) - 1) * chosen[:, number] for number, name in enumerate(CHANGES)}
    return _cut(_toned(_warped(images, size), size["sharpness"], size["gain"]))


def strong_in_place(images: Tensor) -> Tensor:
    """Sharper or blurred, brighter or darker, every pixel where it was. (N, C, H, W) → the same."""
    return _toned(images, *(2 * torch.rand(2, len(images)) - 1))


def cut_mix(images: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that puts a square of the next image into each image (N, C, H, W) and its labels (French et al. 2020)."""
    inside = _squares(images)

    def mix(values: Tensor) -> Tensor:
        return torch.where(inside[:, None] if values.ndim == 4 else inside, values.roll(1, 0), values)

    return mix


CHANGES = ("identity", "rotate", "shear_x", "shear_y", "move_x", "move_y", "sharpness", "gain")


def _warped(images: Tensor, size: dict[str, Tensor]) -> Tensor:
    """Turned, sheared and moved in one resampling, mirrored at the edges."""
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
    """A square of up to half of the side set to 0, the mean."""
    return images.masked_fill(_squares(images)[:, None], 0.0)


def _squares(images: Tensor) -> Tensor:
    """(N, H, W) bool, a square of up to half of the side of images (N, C, H, W)."""
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
