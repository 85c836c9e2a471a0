"""Per-pixel features by name, for segmenters made of a scikit-learn estimator.

Takes a prepared image (C, h, w) float32; gives (F, h, w) float32 that depend on `halo_px` pixels around each.
Refuses names it does not know.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.errors import InputError

Image = NDArray[np.float32]

RADII_PX = (2, 5)


@dataclass(frozen=True)
class Feature:
    """A function (C, h, w) → (F, h, w) and how far it looks around, in pixels."""

    compute: Callable[[Image], Image]
    halo_px: int


def pixels(image: Image) -> Image:
    """The values themselves: F = C."""
    return image


def neighbourhood(image: Image) -> Image:
    """Mean and standard deviation in squares of 5 and 11 pixels, and gradient magnitude, of each band: F = 5 C."""
    parts = []
    for radius in RADII_PX:
        side = (0, 2 * radius + 1, 2 * radius + 1)
        mean = ndimage.uniform_filter(image, side, mode="nearest")
        square = ndimage.uniform_filter(image * image, side, mode="nearest")
        parts += [mean, np.sqrt(np.maximum(square - mean * mean, 0))]
    down, right = (ndimage.sobel(image, axis=axis, mode="nearest") for axis in (1, 2))
    parts.append(np.hypot(down, right) / 8)
    return np.concatenate(parts)


FEATURES = {"pixels": Feature(pixels, 0), "neighbourhood": Feature(neighbourhood, max(RADII_PX))}


def feature_stack(image: Image, names: Sequence[str]) -> Image:
    """All named features of an image, concatenated: (F, h, w) float32.

    >>> feature_stack(np.ones((3, 8, 8), np.float32), ["pixels", "neighbourhood"]).shape
    (18, 8, 8)
    """
    return np.concatenate([FEATURES[name].compute(image) for name in names])


def features_halo_px(names: Sequence[str]) -> int:
    """How far the named features look around. Errors: InputError for an unknown name, with the nearest."""
    for name in names:
        if name not in FEATURES:
            close = difflib.get_close_matches(name, FEATURES, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Choose from {', '.join(FEATURES)}."
            raise InputError(f"feature {name!r} is unknown. {hint}")
    if not names:
        raise InputError(f"no feature was named. Choose from {', '.join(FEATURES)}.")
    return max(FEATURES[name].halo_px for name in names)
