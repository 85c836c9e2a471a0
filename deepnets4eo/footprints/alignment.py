"""Footprints to an image: one offset for all buildings (a larger one is tried last), then a small one where neighbours agree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask, Points, Spectrum
from deepnets4eo.errors import InputError
from deepnets4eo.footprints.offsets import FootprintAlignment, crs_maps, regularise
from deepnets4eo.footprints.outlines import encloses_others, larger_than_buildings, order_by_place, without
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.outputs import Phrase
from deepnets4eo.polygons import map_shapes
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import orientation_field
from deepnets4eo.registration.ground import LayerSampler, MetricFrame
from deepnets4eo.registration.tiepoints import find_peaks
from deepnets4eo.zonal import CHUNK, OutlinePoints, Sides, chunks, groups

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

FINEST_GSD_M = 0.5
BLOCK_PX = 1536
MARGIN_PX = 256  # of a giant building, what lies farther from the centres of its block is not compared
BORDER_PX = 4  # smoothing needs that much around
SAMPLED, SAMPLED_PER_BLOCK = 1500, 150  # buildings behind the common offset; few blocks need to be read
STEP_PX = 1.25  # distance of the points along an outline
MAX_POINTS = 1 << 18  # of all buildings compared together; only outlines that overlap have more in a block
LOCAL_RADIUS_M = 3.5
AGREE_M = 1.5
READERS = 2
SLIVER = (
    1 / 10
)  # width by length of an outline that is a line rather than a building, if it is narrower than a pixel, too
MIN_FOOTPRINTS = 3  # fewer give no common offset
# Over shifts of up to 30 m, 10 to 50 % of the buildings of 13 real sets agreed with the true offset, at a ratio of 1.6 to
# 2.7; of sets of another site at most 2 % did, at a ratio of 1.4. Pixels are twice as large, so that it takes seconds.
WIDE_SAMPLED, WIDE_COARSER = 400, 2
WIDE_SHARE, WIDE_COUNT, WIDE_RATIO = 0.05, 5, 1.5


class BuildingSides(NamedTuple):
    """N buildings in working pixels: their outer sides, and the middles (N, 2) of their boxes."""

    sides: Sides
    centres: Points

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> BuildingSides:
        """Take (N,) polygons in working pixels apart."""
        bounds = shapely.bounds(polygons)
        return cls(Sides.of(polygons, holes=False), 0.5 * (bounds[:, :2] + bounds[:, 2:]))

    def subset(self, buildings: NDArray[np.intp]) -> BuildingSides:
        """Return some buildings (M,) in the given order."""
        return BuildingSides(self.sides.subset(buildings), self.centres[buildings])


class _Common(NamedTuple):
    """The offset that most footprints agree with, and how reliable it is."""

    status: Literal["ok", "failed"]
    why: Phrase | None
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

    Peak memory: a block of 1,700² pixels and 250,000 points per thread, and 2 kB per building.

    Errors: GridError if only one of the two has a CRS; InputError for a table without rows.

    Parameters
    ----------
    image : image whose roofs the footprints should follow; any CRS, resolution and bands
    footprints : (N,) polygons in any CRS; in pixels if the image has no CRS
    max_shift_m, wide_shift_m : largest common offset tried at first, and after a failure, metres; more buildings must agree with the latter
    local : refine each building by up to 3.5 m if its neighbours agree
    seed : draws the buildings that determine the common offset

    Returns
    -------
    FootprintAlignment; all offsets are 0 when it failed
    """
    if not len(footprints):
        raise InputError("there are no footprints (0 rows), expected polygons. Check the layer that was read.")
    frame = MetricFrame.of(image.grid)
    gsd_m = max(image.gsd_m, FINEST_GSD_M if image.grid.crs is not None else 0.0)
    buildings = _building_sides(image.grid, frame, footprints, gsd_m)
    centres, sampler = buildings.centres, LayerSampler(image, frame)
    covered = np.isfinite(centres).all(axis=1) & sampler.covers(np.nan_to_num(centres) * gsd_m)
    covered &= ~(encloses_others(np.asarray(footprints.geometry.values, object)) | _slivers(buildings.sides))
    by_place = order_by_place(centres[:, ::-1], buildings.sides.areas)
    inside = by_place[covered[by_place]]
    sampled = _sample_buildings(centres, inside, np.random.default_rng(seed))
    radius_px = max(2, round(max_shift_m / gsd_m))
    scores = _scores(sampler, buildings, sampled, gsd_m, radius_px, np.zeros(2))
    common = _common(scores, radius_px, gsd_m)
    if common.status == "failed" and len(sampled) >= MIN_FOOTPRINTS and wide_shift_m > max_shift_m:
        start = _far_offset(sampler, image.grid, footprints, sampled, wide_shift_m, gsd_m)
        if start is not None:
            start = np.rint(start / gsd_m) * gsd_m
            near = _common(_scores(sampler, buildings, sampled, gsd_m, radius_px, start), radius_px, gsd_m)
            if near.status == "ok":
                common = near._replace(dx_m=near.dx_m + float(start[0]), dy_m=near.dy_m + float(start[1]))
    base = FootprintAlignment(
        *common,
        offsets_m=np.tile(common[2:4], (len(footprints), 1)),
        own=np.zeros(len(footprints), bool),
        agreement=np.full(len(footprints), np.nan),
        grid=image.grid,
        voters=len(sampled),
        in_place=in_place_score(scores),
    )
    return _refine(base, sampler, buildings, inside, gsd_m) if base.status == "ok" and local else base


def _slivers(sides: Sides) -> Mask:
    """Return (N,) whether an outline is a sliver, whose long sides both follow one edge, of anything."""
    half = sides.perimeters / 2
    width = (half - np.sqrt(np.maximum(half**2 - 4 * sides.areas, 0))) / 2
    return np.asarray((width < 1) & (width < SLIVER * (half - width)))


def _refine(
    base: FootprintAlignment, sampler: LayerSampler, buildings: BuildingSides, inside: NDArray[np.intp], gsd_m: float
) -> FootprintAlignment:
    """Each building's own offset around the common one."""
    common = np.array([base.dx_m, base.dy_m])
    start = np.rint(common / gsd_m) * gsd_m  # whole pixels: nothing needs to be resampled
    radius_px = max(2, round(LOCAL_RADIUS_M / gsd_m))
    scores = _scores(sampler, buildings, inside, gsd_m, radius_px, start)
    peaks = find_peaks(scores)
    own = start + np.column_stack((peaks.cols, peaks.rows)) * gsd_m
    clear = peaks.values > np.quantile(scores.max(axis=(1, 2)), 0.25)
    rim = np.maximum(np.abs(peaks.rows), np.abs(peaks.cols)) > radius_px - 1
    offsets, kept = regularise(buildings.centres[inside] * gsd_m, own, clear & ~rim, common, AGREE_M)
    at = np.clip(np.rint((offsets - start) / gsd_m).astype(int) + radius_px, 0, 2 * radius_px)
    all_offsets, all_own, agreement = base.offsets_m.copy(), base.own.copy(), base.agreement.copy()
    all_offsets[inside], all_own[inside] = offsets, kept
    agreement[inside] = scores[np.arange(len(inside)), at[:, 1], at[:, 0]]
    return replace(base, offsets_m=all_offsets, own=all_own, agreement=agreement)


def in_place_score(scores: NDArray[np.float32]) -> float:
    """By how many deviations edges follow outlines better unmoved, from scores (N, 2r + 1, 2r + 1)."""
    scores = scores[np.ptp(scores, axis=(1, 2)) > 0] if len(scores) else scores
    if not len(scores):
        return float("nan")
    best_near = scipy.ndimage.maximum_filter(scores, (1, 3, 3)).reshape(len(scores), -1)
    middle = best_near[:, best_near.shape[1] // 2]
    rank = (best_near < middle[:, None]).mean(axis=1)
    return float((rank.mean() - 0.5) * np.sqrt(12 * len(rank)))


def _far_offset(
    sampler: LayerSampler,
    grid: Grid,
    footprints: GeoDataFrame,
    sampled: NDArray[np.intp],
    wide_shift_m: float,
    gsd_m: float,
) -> Floats | None:
    """Return a large offset (x, y) in metres that many sampled buildings agree with, or None."""
    gsd_m *= WIDE_COARSER
    chosen = sampled[:: -(-len(sampled) // WIDE_SAMPLED)]
    buildings = _building_sides(grid, MetricFrame.of(grid), footprints.iloc[chosen], gsd_m)
    radius_px = round(wide_shift_m / gsd_m)
    common = _common(
        _scores(sampler, buildings, np.arange(len(chosen)), gsd_m, radius_px, np.zeros(2)), radius_px, gsd_m
    )
    enough = common.agreeing >= max(WIDE_SHARE, WIDE_COUNT / len(chosen)) and common.ratio >= WIDE_RATIO
    return np.array([common.dx_m, common.dy_m]) if common.status == "ok" and enough else None


def _common(scores: NDArray[np.float32], radius_px: int, gsd_m: float) -> _Common:
    """Return the common offset from agreements (N, 2r + 1, 2r + 1)."""
    if len(scores) < MIN_FOOTPRINTS:
        return _Common("failed", Phrase("few_footprints", {"number": len(scores), "least": MIN_FOOTPRINTS}))
    # The mean over buildings has a clear peak even if single buildings do not agree: fences and roads repeat. So buildings are also counted
    # whose own best offset is near the common one; they have to be twice as many as by chance in a search of this size, and three
    # deviations more. An offset at the rim of the search may go on beyond it, and is none.
    total = scores.mean(axis=0, keepdims=True)
    best, each = find_peaks(total - np.median(total)), find_peaks(scores)
    near_px = max(1.5, AGREE_M / gsd_m)
    off = np.hypot(each.rows - best.rows[0], each.cols - best.cols[0])
    agreeing = float((off <= near_px).mean())
    chance = float(np.pi * near_px**2 / (2 * radius_px + 1) ** 2)
    deviation = np.sqrt(chance * (1 - chance) / len(scores))
    dx_m, dy_m = float(best.cols[0]) * gsd_m, float(best.rows[0]) * gsd_m
    numbers = float(best.values[0]), float(best.ratios[0]), agreeing, chance
    if agreeing < 2 * chance + 3 * deviation:
        why = Phrase("footprints_agree_by_chance", {"agreeing": agreeing, "chance": chance})
        return _Common("failed", why, 0.0, 0.0, *numbers)
    if max(abs(best.rows[0]), abs(best.cols[0])) > radius_px - 1:
        why = Phrase("offset_is_the_largest", {"dx_m": dx_m, "dy_m": dy_m})
        return _Common("failed", why, 0.0, 0.0, *numbers)
    return _Common("ok", None, dx_m, dy_m, *numbers)


def _building_sides(
    grid: Grid, frame: MetricFrame, footprints: GeoDataFrame, gsd_m: float, chunk: int = CHUNK
) -> BuildingSides:
    """Outlines in working pixels of the image's frame; too large ones have no sides."""
    forth, _ = crs_maps(footprints.crs, grid)
    to_working = Affine.scale(1.0 / gsd_m) * ~(grid.affine * frame.to_pixel)
    polygons = np.asarray(footprints.geometry.values, object)

    def part(rows: slice) -> BuildingSides:
        pixels = map_shapes(polygons[rows], lambda coords: apply_affine(to_working, forth(coords)))
        return BuildingSides.of(without(pixels, larger_than_buildings(pixels, gsd_m)))

    sides, centres = zip(*(part(rows) for rows in chunks(len(polygons), chunk)), strict=True)
    return BuildingSides(Sides.concatenate(list(sides)), np.concatenate(centres))


def _scores(
    sampler: LayerSampler,
    buildings: BuildingSides,
    numbers: NDArray[np.intp],
    gsd_m: float,
    radius_px: int,
    start: Floats,
    most_points: int = MAX_POINTS,
) -> NDArray[np.float32]:
    """Edge agreement of some buildings at all shifts around `start` (metres)."""
    scores = np.zeros((len(numbers), 2 * radius_px + 1, 2 * radius_px + 1), np.float32)

    def score_block(members: NDArray[np.intp]) -> None:
        sides, centres = buildings.subset(numbers[members])
        if not len(sides.begin):
            return
        low, high = sides.reach(STEP_PX)
        low = np.maximum(np.floor(low), centres.min(axis=0) - MARGIN_PX).astype(int) - radius_px - BORDER_PX
        high = np.minimum(np.ceil(high), centres.max(axis=0) + MARGIN_PX).astype(int) + radius_px + BORDER_PX
        corner, box = low * gsd_m + start, (low, high)
        grey, valid = sampler.read(
            Affine(gsd_m, 0, corner[0], 0, gsd_m, corner[1]), (int(high[1] - low[1]), int(high[0] - low[0]))
        )
        field = orientation_field(grey, valid)
        for run in groups(sides.count_points(STEP_PX, box), most_points):
            traced = sides.subset(np.arange(len(members))[run]).trace(STEP_PX, box)
            scores[members[run]] = edge_agreement(field, replace(traced, points=traced.points - low), radius_px)

    for _ in in_order(score_block, _by_block(buildings.centres[numbers]), READERS):
        pass
    return scores


def _sample_buildings(centres: Points, inside: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw buildings from each of some blocks until there are enough; ordered as `inside`."""
    blocks = _by_block(centres[inside])
    chosen: list[NDArray[np.intp]] = []
    share = max(SAMPLED_PER_BLOCK, -(-SAMPLED // max(len(blocks), 1)))
    for k in rng.permutation(len(blocks)):
        if sum(len(part) for part in chosen) >= SAMPLED:
            break
        chosen.append(rng.permutation(blocks[k])[:share])
    return inside[np.sort(np.concatenate(chosen))] if chosen else inside


def _by_block(centres: Points) -> list[NDArray[np.intp]]:
    """Return buildings grouped by the block of their centre, in row order."""
    if not len(centres):
        return []
    cell = np.floor(centres / BLOCK_PX).astype(np.intp)
    order = np.lexsort((cell[:, 0], cell[:, 1]))
    change = np.flatnonzero((np.diff(cell[order], axis=0) != 0).any(axis=1)) + 1
    return np.split(order, change)


TIE_PX = 1e-4  # points on a border of pixels belong to the later one, however their coordinates were rounded


def squared_normals(outlines: OutlinePoints) -> NDArray[np.complex64]:
    """Return (P,) normals as complex numbers, squared as gradients in `orientation_field`."""
    normals = outlines.normals[:, 0] + 1j * outlines.normals[:, 1]
    return (normals * normals).astype(np.complex64)


def edge_agreement(field: Spectrum, outlines: OutlinePoints, radius_px: int) -> NDArray[np.float32]:
    """Return how well edges of a field (h, w) follow N outlines at every shift, (N, 2r + 1, 2r + 1), −1 to 1."""
    height, width = field.shape
    side = 2 * radius_px + 1
    padded = np.zeros((height + side - 1, width + side - 1), np.complex64)
    padded[radius_px : radius_px + height, radius_px : radius_px + width] = field
    col, row = np.floor(outlines.points + TIE_PX).astype(np.intp).T
    inside = (row >= 0) & (col >= 0) & (row < height) & (col < width)
    first = np.where(inside, row * padded.shape[1] + col, 0)
    normals = np.where(inside, squared_normals(outlines), 0).astype(np.complex64)
    flat = padded.view(np.float32).ravel()
    reach = ((side - 1) * padded.shape[1] + side - 1) * 2
    lengths = np.diff(outlines.starts)
    weights = (normals / np.repeat(np.maximum(outlines.whole, 1), lengths)).astype(np.complex64).view(np.float32)
    columns = np.repeat(2 * first, 2)
    columns[1::2] += 1
    along = scipy.sparse.csr_matrix((weights, columns, 2 * outlines.starts), shape=(len(lengths), len(flat) - reach))
    scores = np.empty((len(lengths), side, side), np.float32)
    for dy in range(side):
        for dx in range(side):
            start = 2 * (dy * padded.shape[1] + dx)
            scores[:, dy, dx] = along @ flat[start : start + along.shape[1]]
    return scores
