"""Footprints to image: one offset for all buildings, then a small one for each that its neighbours confirm.

Takes polygons of any CRS and the image whose roofs they should follow (the pre image: in a destroyed street the post
image has no roof edges left). Where no offset near by is confirmed, it is looked for farther away, against a stricter
limit. Refuses footprints and images of which only one has a CRS.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from scipy.ndimage import maximum_filter

from deepnets4eo.arrays import Points
from deepnets4eo.damage.outline_limits import chunks, larger_than_buildings, without
from deepnets4eo.damage.registration.correlation import find_peaks, orientation_field
from deepnets4eo.damage.registration.ground import LayerSampler, MetricFrame
from deepnets4eo.damage.registration.neighbours import regularise
from deepnets4eo.damage.registration.outlines import Sides, edge_agreement
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, apply_affine, mean_gsd_m, transformer
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal.outlines import groups

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

FINEST_GSD_M = 0.5
BLOCK_PX = 1536
MARGIN_PX = 256  # of a giant building, what lies farther from the centres of its block is not looked at
BORDER_PX = 4  # smoothing needs that much around
VOTERS, VOTERS_PER_BLOCK = 1500, 150  # buildings that vote for the common offset; few blocks need to be read
STEP_PX = 1.25  # distance of the points along an outline
MOST_POINTS = 1 << 18  # of all buildings compared together; only outlines that overlap have more in a block
LOCAL_RADIUS_M = 3.5
AGREE_M = 1.5
READERS = 2
LEAST_FOOTPRINTS = 3  # fewer vote for nothing
# Looked for up to 30 m off, true offsets of 13 real sets had 10 to 50 % of the votes and a ratio of 1.6 to 2.7; sets of
# another place had at most 2 % and 1.4. Pixels are twice as large there, so that it takes seconds.
WIDE_VOTERS, WIDE_COARSER = 400, 2
WIDE_SHARE, WIDE_COUNT, WIDE_RATIO = 0.05, 5, 1.5


@dataclass(frozen=True)
class FootprintAlignment:
    """How footprints must move to lie on the roofs of an image.

    dx_m, dy_m : the common offset, along the image's columns (right) and rows (down), metres.
    offsets_m : (N, 2) float64, the offset to use for each footprint, same axes. own : (N,) bool, True where it is the
    building's own best match, False where the neighbours' or the common one is used.
    agreement : (N,) float64, how well the image's edges follow the outline there, −1 to 1; NaN outside the image.
    voters : footprints that voted for the common offset.
    in_place : how much better the image's edges follow the outlines where they lie than elsewhere, in standard
    deviations of what chance gives; NaN where no footprint lies on the image.
    """

    status: Literal["ok", "failed"]
    reason: str
    dx_m: float
    dy_m: float
    peak: float
    ratio: float
    agreeing: float
    chance: float
    offsets_m: Points = field(repr=False)
    own: NDArray[np.bool_] = field(repr=False)
    agreement: NDArray[np.float64] = field(repr=False)
    grid: Grid = field(repr=False)
    voters: int = 0
    in_place: float = float("nan")

    @property
    def shift_m(self) -> float:
        """Length of the common offset."""
        return float(np.hypot(self.dx_m, self.dy_m))

    def apply(self, footprints: GeoDataFrame) -> GeoDataFrame:
        """The same footprints, each moved by its offset; CRS, ids and order are kept."""
        frame = MetricFrame.of(self.grid)
        polygons = np.asarray(footprints.geometry.values, object)
        coords, owner = shapely.get_coordinates(polygons, return_index=True)
        forth, back = _transformers(footprints.crs, self.grid)
        place = self.grid.affine * frame.to_pixel
        moved = back(apply_affine(place, apply_affine(~place, forth(coords)) + self.offsets_m[owner]))
        result = footprints.copy()
        result.geometry = shapely.set_coordinates(polygons.copy(), moved)
        return result

    def to_dict(self) -> dict[str, Any]:
        """The common part and how many buildings follow it, ready for JSON."""
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


class _Common(NamedTuple):
    """The offset that most footprints vote for, metres, and how far it can be trusted."""

    status: Literal["ok", "failed"]
    reason: str
    dx_m: float = 0.0
    dy_m: float = 0.0
    peak: float = float("nan")
    ratio: float = float("nan")
    agreeing: float = 0.0
    chance: float = 0.0


def align_footprints(
    image: Layer,
    footprints: GeoDataFrame,
    *,
    max_shift_m: float = 8.0,
    wide_shift_m: float = 30.0,
    local: bool = True,
    seed: int = 0,
) -> FootprintAlignment:
    """Find how footprints must move to follow the edges of an image.

    footprints : polygons in any CRS. max_shift_m : largest common offset looked for at first.
    wide_shift_m : largest one looked for where that fails; such an offset needs many more votes.
    local : refine each building by up to 3.5 m where its neighbours agree. seed : draws the buildings that vote.
    returns : FootprintAlignment; all offsets are 0 when it failed.
    Errors: GridError where only one of the two has a CRS; InputError for a table without rows.
    Peak memory: a block of 1,700² pixels and 250,000 points a thread, and 2 kB a building.
    """
    if not len(footprints):
        raise InputError("there are no footprints (0 rows), expected polygons. Check the layer that was read.")
    frame = MetricFrame.of(image.grid)
    gsd_m = max(mean_gsd_m(image.grid), FINEST_GSD_M if image.grid.crs is not None else 0.0)
    sides = _sides(image.grid, frame, footprints, gsd_m)
    view = LayerSampler(image, frame)
    inside = np.flatnonzero(np.isfinite(sides.centres).all(axis=1) & view.covers(np.nan_to_num(sides.centres) * gsd_m))
    rng = np.random.default_rng(seed)
    voters = _sample_buildings(sides.centres, inside, rng)
    radius_px = max(2, round(max_shift_m / gsd_m))
    votes = _scores(view, sides, voters, gsd_m, radius_px, np.zeros(2))
    common = _common(votes, radius_px, gsd_m)
    if common.status == "failed" and len(voters) >= LEAST_FOOTPRINTS and wide_shift_m > max_shift_m:
        start = _far_offset(view, image.grid, footprints, voters, wide_shift_m, gsd_m)
        if start is not None:
            start = np.rint(start / gsd_m) * gsd_m
            near = _common(_scores(view, sides, voters, gsd_m, radius_px, start), radius_px, gsd_m)
            if near.status == "ok":
                common = near._replace(dx_m=near.dx_m + float(start[0]), dy_m=near.dy_m + float(start[1]))
    empty = np.full(len(footprints), np.nan)
    base = FootprintAlignment(
        *common, np.tile(common[2:4], (len(footprints), 1)), np.zeros(len(footprints), bool), empty, image.grid,
        len(voters), in_place_score(votes),
    )  # fmt: skip
    if base.status == "failed" or not local:
        return base
    return _refined(base, view, sides, inside, gsd_m)


def _refined(
    base: FootprintAlignment, view: LayerSampler, sides: Sides, inside: NDArray[np.intp], gsd_m: float
) -> FootprintAlignment:
    """Each building's own offset around the common one, where the neighbours agree."""
    common = np.array([base.dx_m, base.dy_m])
    start = np.rint(common / gsd_m) * gsd_m  # whole pixels: nothing needs to be resampled
    radius_px = max(2, round(LOCAL_RADIUS_M / gsd_m))
    scores = _scores(view, sides, inside, gsd_m, radius_px, start)
    peaks = find_peaks(scores)
    own = start + np.column_stack((peaks.cols, peaks.rows)) * gsd_m
    clear = peaks.values > np.quantile(scores.max(axis=(1, 2)), 0.25)
    rim = np.maximum(np.abs(peaks.rows), np.abs(peaks.cols)) > radius_px - 1
    offsets, kept = regularise(sides.centres[inside] * gsd_m, own, clear & ~rim, common, AGREE_M)
    at = np.clip(np.rint((offsets - start) / gsd_m).astype(int) + radius_px, 0, 2 * radius_px)
    agreement = np.full(len(base.own), np.nan)
    agreement[inside] = scores[np.arange(len(inside)), at[:, 1], at[:, 0]]
    all_offsets, all_own = base.offsets_m.copy(), base.own.copy()
    all_offsets[inside], all_own[inside] = offsets, kept
    return FootprintAlignment(
        base.status, base.reason, base.dx_m, base.dy_m, base.peak, base.ratio, base.agreeing, base.chance,
        all_offsets, all_own, agreement, base.grid, base.voters, base.in_place,
    )  # fmt: skip


def in_place_score(votes: NDArray[np.float32]) -> float:
    """How much better edges follow outlines without any shift than with others, in standard deviations.

    votes : (N, 2r + 1, 2r + 1), agreement by shift. Each building ranks its middle (with the pixels beside it) among
    all shifts; by chance the ranks spread evenly over 0–1. NaN where no building has votes.
    """
    votes = votes[np.ptp(votes, axis=(1, 2)) > 0] if len(votes) else votes
    if not len(votes):
        return float("nan")
    best_near = maximum_filter(votes, (1, 3, 3)).reshape(len(votes), -1)
    middle = best_near[:, best_near.shape[1] // 2]
    rank = (best_near < middle[:, None]).mean(axis=1)
    return float((rank.mean() - 0.5) * np.sqrt(12 * len(rank)))


def _far_offset(
    view: LayerSampler,
    grid: Grid,
    footprints: GeoDataFrame,
    voters: NDArray[np.intp],
    wide_shift_m: float,
    gsd_m: float,
) -> NDArray[np.float64] | None:
    """An offset (x, y) in metres far off that many of the voters agree on; None where there is none."""
    gsd_m *= WIDE_COARSER
    chosen = voters[:: -(-len(voters) // WIDE_VOTERS)]
    sides = _sides(grid, MetricFrame.of(grid), footprints.iloc[chosen], gsd_m)
    radius_px = round(wide_shift_m / gsd_m)
    votes = _scores(view, sides, np.arange(len(chosen)), gsd_m, radius_px, np.zeros(2))
    found = _common(votes, radius_px, gsd_m)
    enough = found.agreeing >= max(WIDE_SHARE, WIDE_COUNT / len(chosen)) and found.ratio >= WIDE_RATIO
    return np.array([found.dx_m, found.dy_m]) if found.status == "ok" and enough else None


def _common(votes: NDArray[np.float32], radius_px: int, gsd_m: float) -> _Common:
    """The common offset from the votes of buildings, (N, 2r + 1, 2r + 1)."""
    if len(votes) < LEAST_FOOTPRINTS:
        return _Common("failed", f"{len(votes)} footprints lie on the image (at least {LEAST_FOOTPRINTS})")
    total = votes.mean(axis=0, keepdims=True)
    best, each = find_peaks(total - np.median(total)), find_peaks(votes)
    near_px = max(1.5, AGREE_M / gsd_m)
    off = np.hypot(each.rows - best.rows[0], each.cols - best.cols[0])
    agreeing = float((off <= near_px).mean())
    chance = float(np.pi * near_px**2 / (2 * radius_px + 1) ** 2)
    doubt = 3 * np.sqrt(chance * (1 - chance) / len(votes))
    dx_m, dy_m = float(best.cols[0]) * gsd_m, float(best.rows[0]) * gsd_m
    numbers = float(best.values[0]), float(best.ratios[0]), agreeing, chance
    if agreeing < 2 * chance + doubt:
        reason = f"{agreeing:.0%} of the footprints agree on one offset, chance alone gives {chance:.0%}"
        return _Common("failed", reason, 0.0, 0.0, *numbers)
    if max(abs(best.rows[0]), abs(best.cols[0])) > radius_px - 1:
        reason = f"the best offset ({dx_m:.1f}, {dy_m:.1f} m) is the largest one looked for"
        return _Common("failed", reason, 0.0, 0.0, *numbers)
    return _Common("ok", "", dx_m, dy_m, *numbers)


def _sides(grid: Grid, frame: MetricFrame, footprints: GeoDataFrame, gsd_m: float) -> Sides:
    """Outlines in working pixels of the image's frame; those larger than any building have no say."""
    forth, _ = _transformers(footprints.crs, grid)
    place = Affine.scale(1.0 / gsd_m) * ~(grid.affine * frame.to_pixel)
    polygons = np.asarray(footprints.geometry.values, object)

    def sides(rows: slice) -> Sides:
        pixels = shapely.transform(polygons[rows], lambda coords: apply_affine(place, forth(coords)))
        return Sides.of(without(pixels, larger_than_buildings(pixels, gsd_m)))

    return Sides.joined([sides(rows) for rows in chunks(len(polygons))])


def _transformers(crs: CRS | None, grid: Grid) -> tuple[Any, Any]:
    """Maps from the footprints' CRS to the image's and back."""
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


def _scores(
    view: LayerSampler,
    sides: Sides,
    buildings: NDArray[np.intp],
    gsd_m: float,
    radius_px: int,
    start: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Edge agreement of some buildings at all shifts around `start` (metres), each block of the image read once."""
    scores = np.zeros((len(buildings), 2 * radius_px + 1, 2 * radius_px + 1), np.float32)

    def block(members: NDArray[np.intp]) -> None:
        part = sides.subset(buildings[members])
        if not len(part.begin):
            return
        low, high = part.reach(STEP_PX)
        low = np.maximum(np.floor(low), part.centres.min(axis=0) - MARGIN_PX).astype(int) - radius_px - BORDER_PX
        high = np.minimum(np.ceil(high), part.centres.max(axis=0) + MARGIN_PX).astype(int) + radius_px + BORDER_PX
        corner = low * gsd_m + start
        grey, valid = view.read(
            Affine(gsd_m, 0, corner[0], 0, gsd_m, corner[1]), (int(high[1] - low[1]), int(high[0] - low[0]))
        )
        field = orientation_field(grey, valid)
        for some in groups(part.points_near(STEP_PX, low, high), MOST_POINTS):
            traced = part.subset(np.arange(len(members))[some]).trace(STEP_PX, (low, high))
            local = replace(traced, points=traced.points - low)
            scores[members[some]] = edge_agreement(field, local, radius_px)

    with ThreadPoolExecutor(READERS) as pool:
        for _ in pool.map(block, _by_block(sides.centres[buildings])):
            pass
    return scores


def _sample_buildings(centres: Points, inside: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Some buildings of each of some blocks, in random order of the blocks, until there are enough."""
    groups = _by_block(centres[inside])
    chosen: list[NDArray[np.intp]] = []
    share = max(VOTERS_PER_BLOCK, -(-VOTERS // max(len(groups), 1)))
    for k in rng.permutation(len(groups)):
        if sum(len(part) for part in chosen) >= VOTERS:
            break
        chosen.append(rng.permutation(inside[groups[k]])[:share])
    return np.sort(np.concatenate(chosen)) if chosen else inside


def _by_block(centres: Points) -> list[NDArray[np.intp]]:
    """Buildings grouped by the block their centre lies in, in row order."""
    if not len(centres):
        return []
    cell = np.floor(centres / BLOCK_PX).astype(np.intp)
    order = np.lexsort((cell[:, 0], cell[:, 1]))
    change = np.flatnonzero((np.diff(cell[order], axis=0) != 0).any(axis=1)) + 1
    return np.split(order, change)
