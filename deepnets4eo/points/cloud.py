"""A cloud of points in memory: coordinates, and what a scanner or camera measured at each."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from pyproj import CRS


ABOUT = ("xyz", "crs", "source", "synthetic")  # fields that are no measurements


@dataclass(frozen=True, eq=False)
class PointCloud:
    """N points; what was not measured is None.

    Parameters
    ----------
    xyz
        (N, 3) float64, metres in the CRS: easting, northing, height.
    colour
        (N, 3) uint8, red, green, blue.
    near_infrared
        (N,) uint8.
    intensity
        (N,) float32, in the units of the file.
    return_number, number_of_returns
        (N,) uint8, counted from 1.
    classification
        (N,) uint8, codes of the file, e.g. those of ASPRS.
    crs
        The coordinate reference system; None where unknown.
    source
        Where the points are from, for messages.
    synthetic
        Whether the points are made up.

    Raises
    ------
    InputError
        No points, arrays of different lengths, or coordinates that are no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> len(PointCloud(np.zeros((5, 3))))
    5
    """

    xyz: NDArray[np.float64]
    colour: NDArray[np.uint8] | None = None
    near_infrared: NDArray[np.uint8] | None = None
    intensity: NDArray[np.float32] | None = None
    return_number: NDArray[np.uint8] | None = None
    number_of_returns: NDArray[np.uint8] | None = None
    classification: NDArray[np.uint8] | None = None
    crs: CRS | None = None
    source: str = "points in memory"
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.xyz.ndim != 2 or self.xyz.shape[1] != 3 or not len(self.xyz):
            raise InputError(
                f"{self.source}: coordinates of shape {self.xyz.shape}; expected (N, 3), x, y and z of at least one point"
            )
        if not np.isfinite(self.xyz).all():
            wrong = int((~np.isfinite(self.xyz).all(axis=1)).sum())
            raise InputError(
                f"{self.source}: {wrong:,} of {len(self):,} points have coordinates that are no finite numbers. Remove them"
            )
        for name, values in self.measurements().items():
            if len(values) != len(self):
                raise InputError(
                    f"{self.source}: {len(values):,} values of {name} for {len(self):,} points; expected one for each point"
                )

    def __len__(self) -> int:
        return len(self.xyz)

    def measurements(self) -> dict[str, NDArray[Any]]:
        """The arrays beside the coordinates that are not None, by name."""
        beside = [field.name for field in fields(self) if field.name not in ABOUT]
        return {name: getattr(self, name) for name in beside if getattr(self, name) is not None}

    def subset(self, index: NDArray[Any]) -> PointCloud:
        """The points at an index (M,) or of a mask (N,), with all that was measured at them; at least one."""
        return replace(
            self, xyz=self.xyz[index], **{name: values[index] for name, values in self.measurements().items()}
        )
