"""What a feature is: named columns computed from bands, on every pixel or on a regular grid of sites; and the plainest ones, the band values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands

Number = TypeVar("Number", bound=np.generic)
RADII_PX = (2, 5)


@runtime_checkable
class Feature(Protocol):
    """A named group of columns.

    Sites of a stride s lie at rows and columns s // 2, s // 2 + s, …: one in the middle of every s × s pixels."""

    @property
    def name(self) -> str:
        """The name in recipes."""

    @property
    def halo_px(self) -> int:
        """Pixels around a site on which a value depends."""

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the F columns. Errors: InputError where a band that it needs is missing."""

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (F, number of sites down, number of sites across) float32."""


@runtime_checkable
class FittedFeature(Feature, Protocol):
    """A feature that learns from the training pixels before it can be computed, e.g. principal components."""

    def fit(self, bands: Bands) -> Feature:
        """Return the feature, learned from all pixels of `bands`, (C, n, 1). Errors: InputError for too few pixels."""


@dataclass(frozen=True)
class DenseFeature:
    """A feature that is computed on all pixels and then read at the sites.

    Parameters
    ----------
    name
        The name in recipes.
    halo_px
        Pixels around a site on which a value depends.
    names
        Function: bands → F names of columns; raises InputError where a band is missing.
    dense
        Function: bands → (F, h, w) float32.

    Examples
    --------
    >>> grey = DenseFeature("grey", 0, lambda bands: ["grey"], lambda bands: bands.grey()[None])
    >>> grey.compute(Bands(np.full((1, 4, 4), 255, np.float32), ("image.pan",)), stride_px=2).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """

    name: str
    halo_px: int
    names: Callable[[Bands], list[str]]
    dense: Callable[[Bands], FloatImage]

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        return self.names(bands)

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (F, h, w) float32."""
        return at_sites(self.dense(bands), stride_px)


def at_sites(image: NDArray[Number], stride_px: int) -> NDArray[Number]:
    """Return a view of the pixels at the sites of a stride s: rows and columns s // 2, s // 2 + s, ….

    Parameters
    ----------
    image : (…, h, w) of any type
    stride_px : distance of the sites in pixels

    Returns
    -------
    (…, rows of sites, columns of sites) of the same type

    Examples
    --------
    >>> at_sites(np.arange(25.0).reshape(5, 5), 3).tolist()
    [[6.0, 9.0], [21.0, 24.0]]
    """
    first = stride_px // 2
    return image[..., first::stride_px, first::stride_px]


def neighbourhood(bands: Bands) -> FloatImage:
    """Return mean and standard deviation in squares of 5 and 11 pixels, and gradient magnitude, of each band: F = 5 C."""
    parts = []
    for radius in RADII_PX:
        side = (0, 2 * radius + 1, 2 * radius + 1)
        # about the mean: float32 squares of metres above sea level are too coarse for the differences
        level = bands.values.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
        centred = bands.values - level
        mean = ndimage.uniform_filter(centred, side, mode="nearest")
        square = ndimage.uniform_filter(centred * centred, side, mode="nearest")
        parts += [mean + level, np.sqrt(np.maximum(square - mean * mean, 0))]
    down, right = (ndimage.sobel(bands.values, axis=axis, mode="nearest") for axis in (1, 2))
    parts.append(np.hypot(down, right) / 8)
    return np.concatenate(parts)


def _neighbourhood_names(bands: Bands) -> list[str]:
    sides = [2 * radius + 1 for radius in RADII_PX]
    kinds = [f"{kind}{side}" for side in sides for kind in ("mean", "deviation")] + ["gradient"]
    return [f"{kind}.{band}" for kind in kinds for band in bands.names]


PIXELS = DenseFeature("pixels", 0, lambda bands: list(bands.names), lambda bands: bands.values)
NEIGHBOURHOOD = DenseFeature("neighbourhood", max(RADII_PX), _neighbourhood_names, neighbourhood)
