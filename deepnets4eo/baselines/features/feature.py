"""What a feature is: named columns computed from bands, on every pixel or on a regular grid of sites.

Takes `Bands`; returns (F, h, w) float32 that depend on `halo_px` pixels around each site, and the names of the columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands

Number = TypeVar("Number", bound=np.generic)


@runtime_checkable
class Feature(Protocol):
    """A named group of columns.

    Sites of a stride s lie at rows and columns s // 2, s // 2 + s, …: one in the middle of every s × s pixels.
    """

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
    """Return the pixels at the sites of a stride.

    Parameters
    ----------
    image
        (…, h, w) of any type.
    stride_px
        Distance of the sites in pixels; sites lie at rows and columns s // 2, s // 2 + s, ….

    Returns
    -------
    (…, rows of sites, columns of sites) of the same type
        A view.

    Examples
    --------
    >>> at_sites(np.arange(25.0).reshape(5, 5), 3).tolist()
    [[6.0, 9.0], [21.0, 24.0]]
    """
    first = stride_px // 2
    return image[..., first::stride_px, first::stride_px]
