"""A file of points: facts that need no reading of all points, and its points in chunks or within bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import ABOUT, MOST_COORDINATE, PointCloud
from deepnets4eo.points.files.units import CloudUnits, check_no_degrees, cloud_units

CHUNK_POINTS = 1_000_000
MOST_EXTENT_M = 1_000_000.0
Bounds: TypeAlias = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in metres


class CloudFile(ABC):
    """A file of points; `open_cloud` makes one.

    Coordinates are in metres whatever the unit of the file; its own CRS and units are those of `file_crs` and `units`.

    Parameters
    ----------
    path
        The file.
    crs
        The CRS, instead of the one of the file.
    """

    point_format = "points"  # in words
    asprs = True  # whether the classification has the codes of ASPRS, where 7 and 18 are noise

    def __init__(self, path: Path, crs: CRS | None = None) -> None:
        self.path = path
        self.given_crs = crs

    @property
    @abstractmethod
    def point_count(self) -> int:
        """Number of points, withheld ones included."""

    @property
    @abstractmethod
    def measurements(self) -> tuple[str, ...]:
        """What was measured at the points: names of arrays of `PointCloud`, as `colour`."""

    @property
    def not_measured(self) -> tuple[str, ...]:
        """Names of measurements that the file has room for and that are 0 everywhere."""
        return ()

    @property
    @abstractmethod
    def file_bounds(self) -> NDArray[np.float64]:
        """(2, 3) least and greatest x, y and z of its points, but for withheld ones, in the units of the file."""

    @property
    def synthetic(self) -> bool:
        """Whether the file says that its points are made up."""
        return False

    @abstractmethod
    def stored_chunks(self, points: int) -> Iterator[PointCloud]:
        """Yields chunks of so many points, withheld ones marked, with the coordinates of the file, without CRS."""

    def _stored_crs(self) -> CRS | None:
        """Returns the CRS that the file names."""
        return None

    @cached_property
    def file_crs(self) -> CRS | None:
        """The CRS of the coordinates as they stand in the file; None where unknown."""
        return self.given_crs if self.given_crs is not None else self._stored_crs()

    @cached_property
    def units(self) -> CloudUnits:
        """What one unit of the coordinates is in metres; InputError for degrees and geocentric coordinates."""
        if self.file_crs is None:
            check_no_degrees(self.file_bounds, str(self.path))
        return cloud_units(self.file_crs, str(self.path))

    @property
    def crs(self) -> CRS | None:
        """The CRS of the points that are read, in metres."""
        return self.units.crs

    @property
    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) least and greatest x, y and z in metres; InputError for what can be no coordinates."""
        if not (np.abs(self.file_bounds) <= MOST_COORDINATE).all():
            low, high = self.file_bounds
            raise InputError(
                f"{self.path} has coordinates from {low.min():.6g} to {high.max():.6g}; expected finite numbers up to "
                f"{MOST_COORDINATE:.0e}. Mend its scales and offsets, and remove stray points."
            )
        return self.file_bounds * self._to_metres

    def check_extent(self) -> None:
        """Raises InputError where the points lie too far apart to be one scene."""
        size = np.ptp(self.bounds, axis=0)
        if size.max() > MOST_EXTENT_M:
            raise InputError(
                f"{self.path} spans {' × '.join(f'{length / 1000:,.0f}' for length in size)} km; expected at most "
                f"{MOST_EXTENT_M / 1000:,.0f} km. Some of its points, its header or its unit are wrong: see deepnets4eo check, "
                "and remove stray points."
            )

    def check_not_empty(self) -> None:
        """Raises InputError where the file has no points."""
        if self.point_count == 0:
            raise InputError(f"{self.path} has no points. Give a file with points.")

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yields the points in the file's order, some at a time, without those that are withheld.

        Parameters
        ----------
        points
            How many points of the file are read for a chunk. Memory: some 100 bytes a point of one chunk.

        Yields
        ------
        PointCloud
            Coordinates in metres.

        Raises
        ------
        InputError
            The file has no points, is damaged, or has coordinates that are no lengths.
        """
        any_used = False
        for cloud in self.whole_chunks(points):
            used = without_withheld(cloud)
            if used is not None:
                any_used = True
                yield used
        if not any_used:
            raise self._all_withheld()

    def whole_chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yields all points in the file's order, some at a time; those that are withheld are marked.

        Parameters
        ----------
        points
            How many points a chunk has, but for the last one. Memory: some 100 bytes a point of one chunk.

        Yields
        ------
        PointCloud
            Coordinates in metres.

        Raises
        ------
        InputError
            The file has no points, is damaged, or has coordinates that are no lengths.
        """
        self.check_not_empty()
        for cloud in self.stored_chunks(points):
            yield self._prepare(cloud)

    def read(self, bounds: Bounds | None = None) -> PointCloud:
        """Returns the points within bounds, edges included, or all points.

        Parameters
        ----------
        bounds
            Least x and y, greatest x and y, in metres. Memory: the points within them, and one chunk.

        Returns
        -------
        PointCloud
            The points.

        Raises
        ------
        InputError
            No point lies within the bounds, or the file cannot be read.
        """
        chunks = [
            kept for chunk in self.chunks() if (kept := chunk if bounds is None else _crop(chunk, bounds)) is not None
        ]
        if not chunks:
            raise InputError(f"{self.path} has no point within {bounds}. Its points lie within {self._xy_text()}.")
        return join_clouds(chunks)

    @property
    def _to_metres(self) -> NDArray[np.float64]:
        return np.array([self.units.horizontal_m, self.units.horizontal_m, self.units.vertical_m])

    def _prepare(self, cloud: PointCloud) -> PointCloud:
        xyz = cloud.xyz if self.units.are_metres else cloud.xyz * self._to_metres
        return replace(cloud, xyz=xyz, crs=self.crs, source=str(self.path), synthetic=self.synthetic, asprs=self.asprs)

    def _all_withheld(self) -> InputError:
        return InputError(
            f"{self.path} has no point that counts: all {self.point_count:,} are withheld. Give a file with other points."
        )

    def _xy_text(self) -> str:
        (x0, y0, _), (x1, y1, _) = self.bounds
        return f"x {x0:,.1f} to {x1:,.1f}, y {y0:,.1f} to {y1:,.1f}"


def join_clouds(clouds: list[PointCloud]) -> PointCloud:
    """Return the points of clouds of one kind as one cloud with the CRS and source of the first; a measurement that one
    of them lacks is left out."""
    if len(clouds) == 1:
        return clouds[0]
    names = set.intersection(*(set(cloud.measurements()) for cloud in clouds))
    every: dict[str, Any] = {
        field.name: np.concatenate([getattr(cloud, field.name) for cloud in clouds]) if field.name in names else None
        for field in fields(PointCloud)
        if field.name not in ABOUT
    }
    withheld = None
    if any(cloud.withheld is not None for cloud in clouds):
        withheld = np.concatenate([_withheld(cloud) for cloud in clouds])
    return replace(clouds[0], xyz=np.concatenate([cloud.xyz for cloud in clouds]), withheld=withheld, **every)


def without_withheld(cloud: PointCloud) -> PointCloud | None:
    """Returns the points that are not withheld; None where all are."""
    if cloud.withheld is None:
        return cloud
    used = np.flatnonzero(~cloud.withheld)
    return replace(cloud.subset(used), withheld=None) if len(used) else None


def _withheld(cloud: PointCloud) -> NDArray[np.bool_]:
    return np.zeros(len(cloud), bool) if cloud.withheld is None else cloud.withheld


def within(xyz: NDArray[np.float64], bounds: Bounds) -> NDArray[np.bool_]:
    """Returns which points (N, 3) lie within bounds, edges included: (N,) bool."""
    x_min, y_min, x_max, y_max = bounds
    x, y = xyz[:, 0], xyz[:, 1]
    return np.asarray((x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max))


def _crop(cloud: PointCloud, bounds: Bounds) -> PointCloud | None:
    inside = within(cloud.xyz, bounds)
    return cloud.subset(inside) if inside.any() else None
