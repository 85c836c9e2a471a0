"""Heights of one date on the cells of a block, heights from a column of a table, and sums of cells over many footprints.

Takes a file of points, points in memory, a raster or a layer. Vegetation and noise of a classified cloud do not count.
Buildings are numbered in the order of the outlines.

The rule of thumb follows FEMA 329, Debris Estimating Field Guide (2010): a building leaves 33 % of its enclosed
volume.

Reviews find 30 to 50 % uncertainty, hence 0.25 to 0.40. Volumes are bulk volumes, air between pieces included.

Errors follow Rolstad et al. (2009), doi:10.3189/002214309789470950: an area whose height errors are alike counts
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray

from deepnets4eo.arrays import FloatImage, Floats, Indices, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, crop, metres_on_the_ground, utm_code, whole, window_under
from deepnets4eo.outputs import Finding, count_of
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.height_grid import class_share, height_grid
from deepnets4eo.points.rubble.motion import RigidMotion
from deepnets4eo.points.rubble.rubble_map import RUBBLE_CLASS
from deepnets4eo.rasters import moving_variance
from deepnets4eo.read_as import are_metres, check_ground_metres, check_two_surface_models
from deepnets4eo.terrain import (
    impossible,
    open_further,
    warn_of_impossible,
    without_gaps,
)
from deepnets4eo.zonal import Outlines

if TYPE_CHECKING:
    from deepnets4eo.footprints import Footprints
    from deepnets4eo.rasters import Layer


HeightSource: TypeAlias = "str | Path | PointCloud | Layer"
WALL_M = 2.0  # above it a cell holds a roof or wall, whose top counts; below, rubble, whose mean counts
MIN_STANDING_BUILDINGS = 5  # buildings from which a systematic offset is estimated
MIN_OFFSET_M = 0.5  # smaller ones are within the accuracy of heights and the shape of roofs
REMEDY = "Give metres above 0 as numbers with a decimal point, and leave unknown heights empty."

LOW, MID, HIGH = 0.25, 0.33, 0.40
SPHERICAL = 5.0  # a spherical correlation of range L acts over an area of pi L² / 5

MIN_BESIDE = 3  # known cells around one without points, from which it takes their mean
WINDOW_PX = 5  # side of the square in which a plane is fitted


@dataclass(frozen=True)
class BlockHeights:
    """Heights (h, w) of one date in metres, NaN if unknown.

    top : of roofs and walls
    mean, lowest : of all points
    rubble : share of the points of a cell that are classified as rubble
    """

    grid: Grid
    top: FloatImage
    mean: FloatImage
    lowest: FloatImage
    rubble: FloatImage | None = None

    def above(self, terrain: FloatImage) -> FloatImage:
        """Return (h, w) heights above a terrain: the top of standing objects, the mean of lying material."""
        return np.where(self.top - terrain > WALL_M, self.top, self.mean) - terrain

    def above_lying(self, terrain: FloatImage) -> FloatImage:
        """Return (h, w) heights above a terrain of lying material: the mean of all points."""
        return self.mean - terrain

    def raise_by(self, by_m: float) -> BlockHeights:
        """Return the heights raised by `by_m`."""
        shift = np.float32(by_m)
        return BlockHeights(self.grid, self.top + shift, self.mean + shift, self.lowest + shift, self.rubble)


@dataclass(frozen=True)
class Heights:
    """Heights of one date, from points (`cloud`) or a surface model (`layer`); one is None. `motion` brings them onto another date."""

    cloud: Any
    layer: Layer | None
    motion: RigidMotion | None = None

    @classmethod
    def open(cls, source: HeightSource) -> Heights:
        """Open a source. Errors: InputError for what holds no points or heights."""
        from deepnets4eo.points.files import open_cloud

        if isinstance(source, PointCloud):
            used = source.without_withheld()
            if used is None:
                raise InputError(f"all {len(source):,} points of {source.source} are withheld. Give other points.")
            return cls(used, None)
        if isinstance(source, (str, Path)) and is_of_points(source):
            cloud = open_cloud(source)
            if not cloud.point_count:
                raise InputError(f"{source} has no points. Give a cloud of the buildings.")
            return cls(cloud, None)
        return cls(None, open_further(source, "the surface model", "metres"))

    @property
    def source(self) -> str:
        """File or other origin, for messages."""
        if self.layer is not None:
            return self.layer.source
        return self.cloud.source if isinstance(self.cloud, PointCloud) else str(self.cloud.path)

    @property
    def crs(self) -> Any:
        """Return the CRS of the heights, or None if unknown."""
        if self.layer is None:
            return self.cloud.crs
        return self.layer.height_crs

    @property
    def synthetic(self) -> bool:
        """Return whether the heights are marked as synthetic."""
        return bool((self.layer or self.cloud).synthetic)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        if self.layer is not None:
            box = self.layer.grid.extent.boundingbox
            xyz = np.array([[box.left, box.bottom], [box.right, box.top]])
        else:
            xyz = self.cloud.xyz if isinstance(self.cloud, PointCloud) else self.cloud.bounds
        (left, bottom), (right, top) = xyz[:, :2].min(axis=0), xyz[:, :2].max(axis=0)
        if self.motion is not None:
            corners = np.array([[x, y, self.motion.centre[2]] for x in (left, right) for y in (bottom, top)])
            (left, bottom, _), (right, top, _) = (end(self.motion.apply(corners), axis=0) for end in (np.min, np.max))
        return float(left), float(bottom), float(right), float(top)

    @property
    def unit_m(self) -> float:
        """Metres of one unit of a file of points that has a unit, but no CRS; else 1."""
        if self.layer is not None or isinstance(self.cloud, PointCloud) or self.cloud.crs is not None:
            return 1.0
        return float(self.cloud.units.horizontal_m)

    def check_metres(self) -> None:
        """Refuse coordinates or heights that are no metres. Errors: InputError."""
        crs, (left, bottom, right, top) = self.crs, self.bounds
        if crs is None:
            return
        if crs.is_geographic:
            raise InputError(f"{self.source} has coordinates in degrees. Bring it to a CRS in metres, such as UTM.")
        position = (left + right) / 2, (bottom + top) / 2
        if self.layer is not None:
            check_ground_metres(crs, position, self.source)
        elif not are_metres(unit_m := metres_on_the_ground(crs, position)):
            raise InputError(
                f"{self.source} is in {crs.name}, where a unit is {unit_m:.3g} m on the ground; expected a CRS in metres, such "
                f"as UTM. Bring it to one: `pdal translate {self.source} metres.laz reprojection "
                f"--filters.reprojection.out_srs={utm_code(crs, position)}`."
            )

    def check_other_date(self, before: Heights) -> None:
        """Refuse one source for both dates, and two surface models in different units. Errors: InputError."""
        if self.layer is not None and before.layer is not None:
            check_two_surface_models(before.layer, self.layer, ("--pre", "POST"))
        elif self.cloud is not None and before.cloud is not None and _are_one_cloud(self.cloud, before.cloud):
            raise InputError(
                f"--pre and POST are one point cloud, {self.source}: no height can have changed between them. Give the clouds of two dates."
            )

    @property
    def from_points(self) -> bool:
        """Return whether these are points, not a surface model."""
        return self.layer is None

    def chunks(self) -> Iterable[PointCloud]:
        """Return the points as an iterable of chunks."""
        chunks = [self.cloud] if isinstance(self.cloud, PointCloud) else self.cloud.chunks()
        return chunks if self.motion is None else (self.lay(cloud) for cloud in chunks)

    def lay(self, cloud: PointCloud) -> PointCloud:
        """Points of this date where the other date has them."""
        return cloud if self.motion is None else replace(cloud, xyz=self.motion.apply(cloud.xyz))

    def on(self, grid: Grid) -> BlockHeights:
        """Heights on the cells of a grid in their CRS. Errors: NoHeightsError where a cloud has none."""
        if self.layer is not None:
            heights = _mean_heights(self.layer, grid, self.motion)
            return BlockHeights(grid, heights, heights, heights)
        cells = height_grid(self.chunks, grid, leave_out=PointCloud.vegetation_codes)
        rubble = class_share(self.chunks, grid, RUBBLE_CLASS)
        return BlockHeights(grid, cells.top, cells.mean, cells.lowest, rubble)


def is_of_points(source: HeightSource) -> bool:
    """Return whether heights are points, in memory or by the suffix of their file."""
    from deepnets4eo.points.files import is_cloud_path

    return is_cloud_path(source) if isinstance(source, (str, Path)) else isinstance(source, PointCloud)


def _mean_heights(layer: Layer, grid: Grid, motion: RigidMotion | None) -> FloatImage:
    """Means (h, w) over the cells of a grid, without impossible heights."""
    from deepnets4eo.rasters import Layer

    part = window_under(layer.grid if motion is None else motion.grid_of(layer.grid), grid)
    data, valid = layer.read(part)
    wrong = valid & impossible(data[0])
    if wrong.any():
        warn_of_impossible(int(wrong.sum()), layer.source)
    if wrong.any() or motion is not None:
        known = np.where(valid & ~wrong, data, np.nan).astype(np.float32)
        own = crop(layer.grid, part)
        if motion is not None:
            known, own = motion.raise_heights(known[0], own)[None], motion.grid_of(own)
        layer = Layer.open(known, grid=own, nodata=np.nan)
    data, valid = layer.on(grid, "average").read()
    return np.where(valid, data[0], np.nan).astype(np.float32)


def _are_one_cloud(one: Any, other: Any) -> bool:
    """Return whether two clouds are one file."""
    if isinstance(one, PointCloud) or isinstance(other, PointCloud):
        return False
    return bool(Path(one.path).resolve() == Path(other.path).resolve())


def stated_heights(outlines: Footprints, column: str | None) -> tuple[Floats, tuple[Finding, ...]]:
    """Return the heights (N,) above ground in a column, metres, NaN if unknown, and a finding if values are words, 0 or less.

    Raises InputError if the column is missing or contains no height.
    """
    table = outlines.attributes
    if column is None:
        return np.full(len(outlines), np.nan), ()
    if table is None or column not in table:
        names = [] if table is None else list(table.columns)
        raise InputError(f"the footprints have no column {column!r}; they have {', '.join(map(str, names))}.")
    heights_m = pd.to_numeric(table[column], errors="coerce").to_numpy(float, na_value=np.nan)
    usable = np.isfinite(heights_m) & (heights_m > 0)
    stated = table[column].notna().to_numpy() & (table[column].astype(str).str.strip() != "").to_numpy()
    wrong = stated & ~usable
    example = f"{table[column].to_numpy()[wrong][0]!s:.40}" if wrong.any() else ""
    if not usable.any():
        raise InputError(
            f"the column {column!r} of the footprints {outlines.source} holds no height: of "
            f"{count_of(len(outlines), 'value')}, {wrong.sum()} cannot be used{f' ({example} for one)' if example else ''}. {REMEDY}"
        )
    if not wrong.any():
        return heights_m, ()
    numbers = {"number": int(wrong.sum()), "stated": int(stated.sum())}
    texts = {"column": Finding.verbatim(repr(column)), "example": Finding.verbatim(example)}
    return np.where(usable, heights_m, np.nan), (Finding("heights_unusable", "caution", {**numbers, **texts}),)


def systematic_offset_m(above_roofs_m: Floats) -> float:
    """Return the median offset of stated heights above the roofs of standing buildings (N,), metres.

    It is 0 if it is below 0.5 m or there are fewer than 5 buildings.

    >>> systematic_offset_m(np.array([2.4, 2.5, 2.6, 2.5, 9.0])), systematic_offset_m(np.array([2.5, 2.5]))
    (2.5, 0.0)
    """
    known = above_roofs_m[np.isfinite(above_roofs_m)]
    offset_m = float(np.median(known)) if len(known) >= MIN_STANDING_BUILDINGS else 0.0
    return offset_m if abs(offset_m) >= MIN_OFFSET_M else 0.0


def without_offset(heights_m: Floats, offset_m: float) -> Floats:
    """Return (N,) stated heights minus an offset, NaN if the result is not above 0."""
    left = heights_m - offset_m
    with np.errstate(invalid="ignore"):
        return np.where(left > 0, left, np.nan)


@dataclass(frozen=True)
class BuildingCells:
    """Pairs (P,) of a building (`owner`) and a cell whose centre it encloses (`flat`), of `count` buildings."""

    owner: Indices
    flat: Indices
    count: int

    @classmethod
    def from_outlines(cls, outlines: NDArray[Any], grid: Grid) -> BuildingCells:
        """Find the cells of N outlines in the grid's CRS."""
        painted = Outlines.on(outlines, grid)
        window = whole(grid)
        index = painted.touching(window)
        owner, flat = painted.pixels(window, index)
        return cls(index[owner], flat, len(outlines))

    def of_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return (P,) values of an (h, w) image."""
        return image.reshape(-1)[self.flat]

    def of_heights(self, image: FloatImage) -> FloatImage:
        """Return (P,) values of an (h, w) image; unknown cells take the mean of their neighbours in plans if 3 or more are known."""
        from scipy.ndimage import convolve

        inside = np.zeros(image.shape, bool)
        inside.reshape(-1)[self.flat] = True
        known = inside & np.isfinite(image)
        around = np.ones((3, 3), np.float32)
        number = convolve(known.astype(np.float32), around, mode="constant")
        total = convolve(np.where(known, image, 0).astype(np.float32), around, mode="constant")
        filled = np.where(~known & (number >= MIN_BESIDE), total / np.maximum(number, 1), image)
        return np.asarray(self.of_image(filled))

    def total(self, values: NDArray[Any]) -> Floats:
        """Return (N,) sums of (P,) values, NaN left out."""
        known = np.nan_to_num(np.asarray(values, float))
        return np.bincount(self.owner, weights=known, minlength=self.count).astype(np.float64)

    def mean(self, values: NDArray[Any], known: Mask) -> Floats:
        """Return (N,) means of the known values of (P,); NaN if none is known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total(np.where(known, values, 0)) / self.total(known)

    def mean_of_parts(self, values: NDArray[Any], known: Mask, inner: Mask) -> Floats:
        """Return (N,) means of known values (P,). A part without known cells takes the mean of the other.

        Inner part and edge of a plan count by their cells, as a scan from the street sees more of the edge.
        """
        plain = self.mean(values, known)
        means = [self.mean(values, known & part) for part in (inner, ~inner)]
        means = [np.where(np.isfinite(part), part, plain) for part in means]
        share = self.mean(inner, np.ones(len(inner), bool))
        return share * means[0] + (1 - share) * means[1]

    def quantile(self, values: NDArray[Any], share: float) -> Floats:
        """Return (N,) quantile of the known (P,) values of each building, NaN without any."""
        known = np.isfinite(values)
        owner, value = self.owner[known], np.asarray(values, float)[known]
        order = np.lexsort((value, owner))
        number = np.bincount(owner, minlength=self.count)
        first = np.cumsum(number) - number
        position = first + np.floor(np.maximum(number - 1, 0) * share).astype(np.int64)
        out = np.full(self.count, np.nan)
        some = number > 0
        out[some] = value[order][position[some]]
        return out


def shrink(outlines: NDArray[Any], by_m: float) -> NDArray[Any]:
    """Outlines without their outer margin; narrow ones keep at least half of it."""
    shrunk = shapely.buffer(outlines, -by_m, join_style="mitre")
    half = shapely.buffer(outlines, -by_m / 2, join_style="mitre")
    shrunk = np.where(shapely.is_empty(shrunk), half, shrunk)
    return np.where(shapely.is_empty(shrunk), outlines, shrunk)


def nearest_building(cells: BuildingCells, shape: tuple[int, int]) -> tuple[Indices, FloatImage]:
    """Return (h, w) number of the nearest building, −1 without any, and its distance in cells, 0 inside."""
    from scipy.ndimage import distance_transform_edt

    painted = np.full(shape, -1, np.int64)
    painted.reshape(-1)[cells.flat] = cells.owner
    if not len(cells.flat):
        return painted, np.full(shape, np.inf, np.float32)
    distance, (row, col) = distance_transform_edt(painted < 0, return_indices=True)
    return painted[row, col], distance.astype(np.float32)


def roughness(heights: FloatImage) -> FloatImage:
    """Return the standard deviation (h, w) of heights about the best plane in a square around each cell, metres; gaps are
    filled first."""
    from scipy.ndimage import correlate1d

    z = without_gaps(heights, np.isfinite(heights)).astype(np.float64)
    z -= z.mean()
    step = np.arange(WINDOW_PX) - WINDOW_PX // 2
    spread = float((step**2).mean())
    variance = moving_variance(z, WINDOW_PX, "nearest")[1]
    even, ramp = np.full(WINDOW_PX, 1 / WINDOW_PX), step / WINDOW_PX
    for axis in (0, 1):
        along = correlate1d(correlate1d(z, ramp, axis=axis, mode="nearest"), even, axis=1 - axis, mode="nearest")
        variance -= along**2 / spread
    return np.sqrt(np.maximum(variance, 0)).astype(np.float32)


class VolumeRange(NamedTuple):
    """The least, the likely and the greatest volume, (N,) m³ each."""

    low: Floats
    mid: Floats
    high: Floats


def rule_of_thumb(area_m2: ArrayLike, height_m: ArrayLike, destroyed_share: ArrayLike = 1.0) -> VolumeRange:
    """Estimate the debris of buildings: 0.33 (0.25 to 0.40) · area · mean height before the event · destroyed share."""
    enclosed = np.asarray(area_m2, float) * np.maximum(np.asarray(height_m, float), 0) * np.asarray(destroyed_share)
    return VolumeRange(LOW * enclosed, MID * enclosed, HIGH * enclosed)


def volume_sigma(cells: ArrayLike, cell_area_m2: float, sigma_m: float, correlation_m: float) -> Floats:
    """Return the standard error (N,) in m³ of sums over n cells: cell area · sigma · sqrt(n · n_corr).

    Here n_corr = pi · correlation_m² / (5 · cell area), from 1 to n.
    """
    number = np.asarray(cells, float)
    # Errors of neighbouring cells are correlated (noise of matching, gaps that are filled): as independent ones, the error of a volume would
    # fall with the root of the number of cells, and intervals of large buildings would be far too narrow. Cells within the correlation
    # length count as one.
    together = max(np.pi * correlation_m**2 / (SPHERICAL * cell_area_m2), 1.0)
    return cell_area_m2 * sigma_m * np.sqrt(number * np.minimum(together, np.maximum(number, 1.0)))


def nmad(values: ArrayLike) -> float:
    """Return 1.4826 · median of the distances from the median, without NaN."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(1.4826 * np.median(np.abs(known - np.median(known)))) if len(known) else float("nan")
