"""What a feature is: named columns computed from bands, on every pixel or on a regular grid of sites.

Takes `Bands`; gives (F, h, w) float32 that depend on `halo_px` pixels around each site, and the columns' names.
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
        """As recipes call it."""

    @property
    def halo_px(self) -> int:
        """How far it looks around a site, in pixels."""

    def columns(self, bands: Bands) -> list[str]:
        """Names of the F columns. Errors: InputError where a band that it needs is missing."""

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """(F, number of sites down, number of sites across) float32."""


@dataclass(frozen=True)
class DenseFeature:
    """A feature that is computed on all pixels and picked at the sites.

    dense : (bands) → (F, h, w). names : (bands) → F names.
    """

    name: str
    halo_px: int
    names: Callable[[Bands], list[str]]
    dense: Callable[[Bands], FloatImage]

    def columns(self, bands: Bands) -> list[str]:
        """Names of the columns."""
        return self.names(bands)

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Values at the sites, (F, h, w) float32."""
        return at_sites(self.dense(bands), stride_px)


def at_sites(image: NDArray[Number], stride_px: int) -> NDArray[Number]:
    """The pixels (…, h, w) at the sites of a stride.

    >>> at_sites(np.arange(25.0).reshape(5, 5), 3).tolist()
    [[6.0, 9.0], [21.0, 24.0]]
    """
    first = stride_px // 2
    return image[..., first::stride_px, first::stride_px]
