"""The result of laying footprints on an image: an offset for each, its own where its neighbours agree; none if that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy
import shapely
from affine import Affine
from pyproj import CRS

from deepnets4eo.arrays import Floats, Indices, Mask, Points
from deepnets4eo.errors import GridError
from deepnets4eo.grid import Grid, apply_affine, transformer
from deepnets4eo.outputs import Phrase
from deepnets4eo.registration.ground import MetricFrame, crs_change
from deepnets4eo.zonal import chunks

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

NEIGHBOURS = 8
RADIUS_M = 150.0
MIN_NEIGHBOURS = 3
SAME_DIGITS = 2  # of metres: outlines that agree so far are copies of one
CHUNK = 50_000  # buildings whose neighbours are compared at the same time


@dataclass(frozen=True)
class FootprintAlignment:
    """Offsets that move footprints onto the roofs of an image.

    Parameters
    ----------
    status, why : "ok", or "failed" with all offsets 0, and the reason of the failure
    dx_m, dy_m : the common offset, along the image's columns (right) and rows (down), metres
    peak, ratio : mean agreement at the common offset above the median of all offsets, and its multiple of the second best's
    agreeing, chance : share of the sampled buildings whose own best offset is near the common one, and by chance, 0–1
    offsets_m : (N, 2), the offset of each footprint, metres, along the same axes as dx_m and dy_m
    own : (N,) bool, whether the offset is the building's own best match
    agreement : (N,), how well the image's edges follow the moved outline, −1 to 1; NaN outside the image
    grid : of the image
    voters : number of footprints that determine the common offset
    in_place
        How much better the image's edges follow the outlines without any offset than with others, in standard
        deviations of chance; NaN if no footprint is on the image.
    """

    status: Literal["ok", "failed"]
    why: Phrase | None
    dx_m: float
    dy_m: float
    peak: float
    ratio: float
    agreeing: float
    chance: float
    offsets_m: Points = field(repr=False)
    own: Mask = field(repr=False)
    agreement: Floats = field(repr=False)
    grid: Grid = field(repr=False)
    voters: int = 0
    in_place: float = float("nan")

    @property
    def reason(self) -> str:
        """The reason in English; empty without one."""
        return "" if self.why is None else self.why.text()

    @property
    def shift_m(self) -> float:
        """Length of the common offset."""
        return float(np.hypot(self.dx_m, self.dy_m))

    def lines(self, unit: str) -> list[str]:
        """Return the result in words; unit : of lengths, such as m."""
        return [
            f"footprints: {self.status}" + (f" ({self.reason})" if self.reason else ""),
            f"  they must move {self.dx_m:+.2f} {unit} right, {self.dy_m:+.2f} {unit} down to follow the pre image",
            f"  {self.agreeing:.0%} agree by themselves (chance: {self.chance:.0%}); {int(self.own.sum())} of "
            f"{len(self.own)} keep an offset of their own, the others take their neighbours'",
        ]

    def apply(self, footprints: GeoDataFrame) -> GeoDataFrame:
        """Return the footprints moved by their offsets; footprints outside the reach of the image's CRS stay."""
        polygons = np.asarray(footprints.geometry.values, object)
        coords, owner = shapely.get_coordinates(polygons, return_index=True)
        forth, back = crs_maps(footprints.crs, self.grid)
        to_ground = self._to_ground
        moved = back(apply_affine(to_ground, apply_affine(~to_ground, forth(coords)) + self.offsets_m[owner]))
        beyond = np.isin(owner, owner[~np.isfinite(moved).all(axis=1)])
        moved[beyond] = coords[beyond]
        result = footprints.copy()
        result.geometry = shapely.set_coordinates(polygons.copy(), moved)
        return result

    def offsets_px(self, grid: Grid, points: Points, rows: slice = slice(None)) -> Points:
        """Return the offsets in another grid's pixels. points : (M, 2) places of footprints `rows`, pixels (col, row) of `grid`.

        Returns (M, 2) in its pixels, 0 beyond the reach of the image's CRS. Errors: GridError if only one grid has a CRS."""
        forth, back = crs_change(grid, self.grid), crs_change(self.grid, grid)
        to_ground, offsets = self._to_ground, self.offsets_m[rows]
        if grid.crs == self.grid.crs:  # the same everywhere, without the rounding of large coordinates
            a, b, _, d, e, _, *_ = ~grid.affine * to_ground
            return apply_affine(Affine(a, b, 0, d, e, 0), offsets)
        metres = apply_affine(~to_ground, forth(apply_affine(grid.affine, points)))
        moved = apply_affine(~grid.affine, back(apply_affine(to_ground, metres + offsets)))
        known = np.isfinite(moved).all(axis=1) & (offsets != 0).any(axis=1)
        return np.where(known[:, None], moved - points, 0.0)

    @property
    def _to_ground(self) -> Affine:
        """Metres of the offsets' axes → ground coordinates."""
        return self.grid.affine * MetricFrame.of(self.grid).to_pixel

    def to_dict(self) -> dict[str, Any]:
        """Return the common part, ready for JSON."""
        return {
            "status": self.status,
            "reason": self.reason,
            "dx_m": self.dx_m,
            "dy_m": self.dy_m,
            "peak": self.peak,
            "ratio": self.ratio,
            "agreeing": self.agreeing,
            "chance": self.chance,
            "buildings": len(self.own),
            "own": int(self.own.sum()),
            "in_place": self.in_place if np.isfinite(self.in_place) else None,
        }


def crs_maps(crs: CRS | None, grid: Grid) -> tuple[Any, Any]:
    """Return maps of coordinates (N, 2) from the footprints' CRS to the image's and back. Errors: GridError."""
    if (crs is None) != (grid.crs is None):
        raise GridError(
            f"the footprints have {'no CRS' if crs is None else 'a CRS'} and the image has "
            f"{'none' if grid.crs is None else 'one'}. Assign the missing one."
        )
    if crs is None or grid.crs is None:
        return (lambda coords: coords), (lambda coords: coords)
    image_crs = CRS.from_wkt(grid.crs.to_wkt())
    if CRS.from_user_input(crs) == image_crs:
        return (lambda coords: coords), (lambda coords: coords)
    forth, back = transformer(crs, image_crs), transformer(image_crs, crs)
    return (
        lambda coords: np.column_stack(forth.transform(coords[:, 0], coords[:, 1])),
        lambda coords: np.column_stack(back.transform(coords[:, 0], coords[:, 1])),
    )


def regularise(
    points: Points, offsets: Points, reliable: Mask, fallback: Points, tolerance_m: float, chunk: int = CHUNK
) -> tuple[Points, Mask]:
    """Keep an offset (N, 2) that is reliable and agrees with the neighbours' median, else take that, else `fallback`.

    Returns offsets (N, 2), and whether a building's own was kept (N,)."""
    first, copy_of = _distinct(points, offsets)
    if len(first) < len(points):
        around = np.array(np.broadcast_to(fallback, offsets.shape), float)[first]
        used, kept = regularise(points[first], offsets[first], reliable[first], around, tolerance_m, chunk)
        return used[copy_of], kept[copy_of]
    result = np.array(np.broadcast_to(fallback, offsets.shape), float)
    own = np.zeros(len(points), bool)
    if not reliable.any():
        return result, own
    index = np.flatnonzero(reliable)
    tree = scipy.spatial.cKDTree(points[index])
    for part in chunks(len(points), chunk):
        distance, nearest = tree.query(points[part], NEIGHBOURS + 1, distance_upper_bound=RADIUS_M)
        here = np.arange(len(points))[part]
        neighbour = index[np.minimum(nearest, len(index) - 1)]
        known = np.isfinite(np.asarray(distance, float)) & (neighbour != here[:, None])
        middle, spread = _median(np.where(known[..., None], offsets[neighbour], np.nan), known)
        enough = known.sum(axis=1) >= MIN_NEIGHBOURS
        result[here[enough]] = middle[enough]
        off = np.hypot(*(offsets[part] - result[part]).T)
        own[part] = reliable[part] & (off <= np.where(enough, np.maximum(tolerance_m, 2 * spread), tolerance_m))
    result[own] = offsets[own]
    return result, own


def _distinct(points: Points, offsets: Points) -> tuple[Indices, Indices]:
    """Return the rows that differ in position or offset, and the index of the row among them that each row copies."""
    rows = np.round(np.nan_to_num(np.hstack([points, offsets])), SAME_DIGITS)
    _, first, copy_of = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, copy_of.reshape(-1)


def _median(offsets: Floats, known: Mask) -> tuple[Points, Floats]:
    """Median over the neighbours, (n, 2), and their median distance from it, (n,)."""
    filled = np.where(np.expand_dims(known.any(axis=1), (1, 2)), offsets, 0.0)
    middle = np.nanmedian(filled, axis=1)
    away = np.hypot(*(filled - middle[:, None, :]).transpose(2, 0, 1))
    return middle, np.nanmedian(away, axis=1)
