"""A file of points: facts, and its points in chunks or within bounds, in metres.

Values that files store in words of 8 or 16 bits become bytes, and coordinates in feet become metres; degrees are refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from deepnets4eo.arrays import Floats
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.outputs import Finding
from deepnets4eo.points.cloud import Bounds, PointCloud

METRE = "metre"
MAX_DEGREES = (180.0, 90.0)  # longitude, latitude
# times as high as wide: no scene in metres is, nearly all in degrees are, as 1 m is about 0.00001°
MAX_SLENDER = 100.0
NEAR_ORIGIN = 10.0  # widths: objects in coordinates of their own lie within

BYTE = 255
SHIFT = 8  # 65,280 or 65,535 → 255: files hold 8 bit times 256, or the whole range
SPREAD_BYTES = (256, 257)  # by which writers bring bytes to 16 bits
COLOUR_BITS = (10, 12, 16)  # of cameras, in fields of 16 bits
MAX_ODD_SHARE = 0.2  # of the colours of an 8-bit file that are above 255

DECIMAL_STEPS = (0.1, 0.01, 0.001)
ROUNDED = 1e-3  # of a step: what 64-bit numbers make of decimals

CHUNK_POINTS = 1_000_000
NO_HEIGHTS = (-9999.0, -32768.0, -32767.0, -99999.0, -999999.0)  # no place on Earth is as low, wells and the sea aside


class CloudFile(ABC):
    """A file of points; `open_cloud` makes one.

    Coordinates are in metres; the file's own CRS and units are `file_crs` and `units`.

    Parameters
    ----------
    path : the file
    crs : instead of the one of the file
    """

    point_format = "points"  # in words
    max_extent_m = 1_000_000.0  # points farther apart are no scene
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
        """Names of the arrays of `PointCloud` that were measured, as `colour`."""

    @property
    def not_measured(self) -> tuple[str, ...]:
        """Measurements that the file has room for and that are 0 everywhere."""
        return ()

    @property
    @abstractmethod
    def file_bounds(self) -> Floats:
        """Return (2, 3) least and greatest x, y and z of points that are not withheld, in the units of the file."""

    @property
    def synthetic(self) -> bool:
        """Return whether the file states that its points are synthetic."""
        return False

    @abstractmethod
    def stored_chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yield chunks of `points` points, withheld points marked, with the coordinates of the file, without CRS."""

    def stored_legend(self) -> Legend | None:
        """Return the legend that `Additions.write` stored, None without one. Raises InputError if it cannot be read."""
        return None

    def stored_findings(self) -> tuple[Finding, ...]:
        """Return the findings on the labels that `Additions.write` stored; none if they cannot be read."""
        return ()

    @property
    def is_predicted(self) -> bool:
        """Return True if `Additions.write` overwrote the classification with a prediction."""
        return False

    def _stored_crs(self) -> CRS | None:
        """Return the CRS that the file names."""
        return None

    @cached_property
    def file_crs(self) -> CRS | None:
        """Return the CRS of the coordinates in the file; None if unknown."""
        return self.given_crs if self.given_crs is not None else self._stored_crs()

    @cached_property
    def units(self) -> CloudUnits:
        """Return the metres of one unit of the coordinates; InputError for degrees and geocentric coordinates."""
        if self.file_crs is None:
            check_no_degrees(self.file_bounds, str(self.path))
        return cloud_units(self.file_crs, str(self.path))

    @property
    def crs(self) -> CRS | None:
        """The CRS of the points that are read, in metres."""
        return self.units.crs

    @property
    def bounds(self) -> Floats:
        """Return (2, 3) least and greatest x, y and z in metres; InputError for what can be no coordinates."""
        if not (np.abs(self.file_bounds) <= PointCloud.max_coordinate).all():
            low, high = self.file_bounds
            raise InputError(
                f"{self.path} has coordinates from {low.min():.6g} to {high.max():.6g}; expected finite numbers up to "
                f"{PointCloud.max_coordinate:.0e}. Correct its scales and offsets, and remove stray points."
            )
        return self.file_bounds * self._to_metres

    @property
    def step_m(self) -> Floats:
        """Return (3,) metres between coordinates that the file stores: by the decimals that its first points have, at least."""
        self.check_not_empty()
        xyz = next(self.stored_chunks(CHUNK_POINTS)).xyz
        return np.array([decimal_step(xyz[:, axis]) for axis in range(3)]) * self._to_metres

    def check_extent(self) -> None:
        """Raise InputError if the points are too far apart to be one scene, all in one line of a grid, or have heights that mean none."""
        size = np.ptp(self.bounds, axis=0)
        (lowest, highest), flat = self.file_bounds[:, 2], size[:2] == 0
        if self.point_count > 1 and flat[0] != flat[1]:
            raise InputError(
                f"{self.path}: all points have the same {'xy'[int(flat[1])]}, {self.file_bounds[0, int(flat[1])]:.10g}; expected points of a surface. "
                "Correct the scales of its header, or copy it again."
            )
        if (
            lowest != highest
            and (none := next((end for end in (lowest, highest) if end in NO_HEIGHTS), None)) is not None
        ):
            raise InputError(
                f"{self.path} has points with the height {none:.0f}, which means none. Remove them: pdal translate IN OUT range "
                f'--filters.range.limits="Z![{none:.0f}:{none:.0f}]"'
            )
        if size.max() > self.max_extent_m:
            raise InputError(
                f"{self.path} spans {' × '.join(f'{length / 1000:,.0f}' for length in size)} km; expected at most "
                f"{self.max_extent_m / 1000:,.0f} km. Some of its points, its header or its unit are wrong: see deepnets4eo check, "
                "and remove stray points."
            )

    def check_not_empty(self) -> None:
        """Raise InputError if the file has no points."""
        if self.point_count == 0:
            raise InputError(f"{self.path} has no points. Give a file with points.")

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yield `whole_chunks` without the points that are withheld; at least one is left, else InputError."""
        any_used = False
        for cloud in self.whole_chunks(points):
            used = cloud.without_withheld()
            if used is not None:
                any_used = True
                yield used
        if not any_used:
            raise self._all_withheld()

    def whole_chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yield all points in the file's order, `points` at a time (some 100 bytes each), withheld ones marked, in
        metres.

        Raises InputError for a file without points, damage, and coordinates that are no lengths.
        """
        self.check_not_empty()
        with Reading(self.path, "It is truncated or damaged. Copy or download it again."):
            for cloud in self.stored_chunks(points):
                yield self._prepare(cloud)

    def read(self, bounds: Bounds | None = None) -> PointCloud:
        """Return all points, or only points within bounds (x_min, y_min, x_max, y_max, metres), edges included.

        Raises InputError if no point is there or the file cannot be read. Memory: the points within bounds, and one
        chunk.
        """
        chunks = [
            kept for chunk in self.chunks() if (kept := chunk if bounds is None else chunk.crop(bounds)) is not None
        ]
        if not chunks:
            raise InputError(f"{self.path} has no point within {bounds}. Its points lie within {self._xy_text()}.")
        return PointCloud.join(chunks)

    @property
    def _to_metres(self) -> Floats:
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


def decimal_step(values: Floats) -> float:
    """Return the coarsest of `DECIMAL_STEPS` that divides all values, else 0.

    >>> decimal_step(np.array([4.25, 8.5, 7.0])), decimal_step(np.array([1 / 3, 1.0]))
    (0.01, 0.0)
    """
    for step in DECIMAL_STEPS:
        steps = values / step
        if (np.abs(steps - np.round(steps)) < ROUNDED).all():
            return step
    return 0.0


def colour_bits(values: NDArray[Any]) -> int:
    """Return how many bits the colours in 16-bit fields have: 8 if most non-zero values are at most 255, else 10, 12 or 16 by the largest.

    Bytes that were spread over 16 bits are multiples of 256 or 257, also in dark images.

    >>> [colour_bits(np.array([0, 200, top])) for top in (250, 1023, 4000, 65280)]
    [8, 10, 12, 16]
    >>> colour_bits(np.array([0, 7 * 256])), colour_bits(np.array([3 * 257, 14 * 257]))
    (16, 16)
    """
    known = values[values > 0]
    if not known.size or (np.median(known) <= BYTE and not _spread_over(known)):
        return 8
    if any(not (known % step).any() for step in SPREAD_BYTES):
        return 16
    return next(bits for bits in COLOUR_BITS if int(known.max()) < 1 << bits)


def _spread_over(known: NDArray[Any]) -> bool:
    """Return whether many values are above 255, as in dark images of 10 and 12 bits; single ones are errors of 8-bit files."""
    return bool((known > BYTE).mean() > MAX_ODD_SHARE)


def to_bytes(values: NDArray[Any], *, bits: int) -> NDArray[np.uint8]:
    """Return 16-bit colours of `colour_bits` as 8 bit; larger values become 255."""
    return (np.minimum(values, (1 << bits) - 1) >> (bits - 8)).astype(np.uint8)


def to_words(values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return 8-bit colours as LAS stores them, 0–65,280."""
    return np.left_shift(values.astype(np.uint16), SHIFT, dtype=np.uint16)


def as_bytes(values: NDArray[Any], name: str, source: str) -> NDArray[np.uint8]:
    """Return whole numbers 0–255 as uint8. Raises InputError for other values, naming what they are and their source."""
    if values.dtype == np.uint8:
        return values
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & (values <= BYTE) & (values % 1 == 0))
    if wrong.any():
        first = values[wrong][0]
        raise InputError(
            f"{source}: {int(wrong.sum()):,} values of {name} are not whole numbers 0–255, such as {first}. "
            "Convert them, or name the columns of a text file otherwise."
        )
    return values.astype(np.uint8)


def as_intensity(values: NDArray[Any] | None) -> NDArray[np.float32] | None:
    """Return an intensity (N,) as float32, or None if it is NaN throughout.

    Single NaN values become 0, the value that scanners store for intensities they could not measure."""
    if values is None:
        return None
    known = np.isfinite(values)
    return np.where(known, values, 0).astype(np.float32) if known.any() else None


@dataclass(frozen=True)
class CloudUnits:
    """Metres of one unit of x and y, and of z, and the CRS in metres; None if the file has no CRS."""

    horizontal_m: float = 1.0
    vertical_m: float = 1.0
    crs: CRS | None = None

    @property
    def are_metres(self) -> bool:
        """Return whether the file's coordinates are metres already."""
        return self.horizontal_m == self.vertical_m == 1.0


def cloud_units(crs: CRS | None, source: str) -> CloudUnits:
    """Return the metres of one unit, and the CRS in metres (none for a local one). Raises InputError for degrees and
    geocentric CRS.

    Without a CRS units are metres; without a vertical part heights have the horizontal unit.
    """
    if crs is None:
        return CloudUnits()
    horizontal, vertical = _split(crs)
    if not (horizontal.is_projected or horizontal.is_engineering):
        kind = "geocentric" if horizontal.is_geocentric else "in degrees, or of no known kind"
        raise InputError(
            f"{source} has the CRS {crs.name}, which is {kind}; expected a projected CRS, whose coordinates are lengths. "
            "Name the right one with --crs (crs=), or reproject it: "
            f"pdal translate {source} projected.laz reprojection --filters.reprojection.out_srs=EPSG:…"
        )
    horizontal_m = float(horizontal.axis_info[0].unit_conversion_factor)
    vertical_m = float(vertical.axis_info[0].unit_conversion_factor) if vertical is not None else horizontal_m
    if horizontal.is_engineering:  # says units, but no place on the earth
        return CloudUnits(horizontal_m, vertical_m)
    if horizontal_m == vertical_m == 1.0:
        return CloudUnits(crs=crs)
    return CloudUnits(horizontal_m, vertical_m, _in_metres(crs))


def check_no_degrees(bounds: Floats, source: str) -> None:
    """Raise InputError where bounds (2, 3) without CRS can only be degrees.

    That is where x and y are within ±180 and ±90, and heights more than 100 times as far apart. Objects in coordinates
    of a local system and poles pass.
    """
    size, farthest = bounds[1] - bounds[0], np.abs(bounds[:, :2]).max(axis=0)
    width = size[:2].max()
    if not (width > 0 and width * MAX_SLENDER < size[2] < np.inf):
        return
    if (farthest <= MAX_DEGREES).all() and farthest.max() > NEAR_ORIGIN * width:
        (x0, y0, z0), (x1, y1, z1) = bounds
        raise InputError(
            f"{source} has no CRS, and its coordinates look like degrees: x {x0:.7g} to {x1:.7g}, y {y0:.7g} to {y1:.7g}, "
            f"at heights of {z0:,.1f} to {z1:,.1f}; expected metres. Reproject it: pdal translate {source} projected.laz "
            "reprojection --filters.reprojection.in_srs=EPSG:4326 --filters.reprojection.out_srs=EPSG:…; where they are "
            "metres, name their CRS: --crs (crs=) of label-points, or --writers.las.a_srs=EPSG:… of pdal translate."
        )


def parse_crs(text: str | CRS | None) -> CRS | None:
    """Return the CRS of a text such as EPSG:2154. Raises InputError if the text is not a CRS."""
    try:
        return None if text is None else CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"{text} is no coordinate reference system. Write it like EPSG:2154.") from error


def _split(crs: CRS) -> tuple[CRS, CRS | None]:
    """Return the horizontal and the vertical part of a CRS."""
    if crs.is_bound and crs.source_crs is not None:
        return _split(crs.source_crs)
    if crs.is_compound:
        horizontal, vertical = crs.sub_crs_list[:2]
        return _split(horizontal)[0], vertical
    return crs, None


def _in_metres(crs: CRS) -> CRS:
    """Return the CRS with metres on all axes; false origins keep their units, so that places stay the same."""
    return CRS.from_json_dict(_with_metres(crs.to_json_dict()))


def _with_metres(node: dict[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in node.items() if key != "id"}
    if "coordinate_system" in node:
        axes = [dict(axis, unit=METRE) for axis in node["coordinate_system"]["axis"]]
        changed["coordinate_system"] = dict(node["coordinate_system"], axis=axes)
        changed["name"] = f"{node['name']} in metres"
    if "source_crs" in node:
        changed["source_crs"] = _with_metres(node["source_crs"])
    if "components" in node:
        changed["components"] = [_with_metres(part) for part in node["components"]]
    return changed
