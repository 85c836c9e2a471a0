"""Tie points: windows spread over the overlap, in bounded number, and the shift in each by correlated edges.

Windows of different sites, matched on purpose, set each pair's threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, Points, Spectrum
from deepnets4eo.errors import GridError
from deepnets4eo.grid import apply_affine
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer
from deepnets4eo.registration.ground import LayerSampler, MetricFrame
from deepnets4eo.tiling import spread_indices
from deepnets4eo.zonal import chunks

MAX_SURFACES = 4096  # surfaces compared together
EXCLUDED_PX = 5  # half width of the square around the peak that holds no second peak

AHEAD = 4  # windows of each image read before they are compared
HELD_PX = 1 << 24  # of windows of both images read in one go, 168 MB: nearly all pairs are read once from top to bottom
MIN_VALID_SHARE = 0.8  # share of a window that must be valid in both images
DECOY_QUANTILE = 0.95  # a match is reliable when it beats this share of the matches made by chance
MIN_FILLED_SHARE = (
    0.5  # share of a regular grid's windows that hold data, below which a finer grid is searched for such
)
MIN_SHARE = 1 / 256  # the finer grid has at most so many times the windows
CHUNK = 32  # windows held at a time, spread over the overlap
FEW_ROWS = 32  # of a field made at once: they stay in the cache of the processor
MIN_OVERLAP_PX = 48
PROBES = 8  # along each side, that say whether images fill what both cover
SEEN_POINTS = 64  # along each side, among which those with data are looked for
DECOY_STEP = 2  # every other window is also matched with one of another site
IDENTITY = Affine.identity()
Box: TypeAlias = tuple[float, float, float, float]
Seen: TypeAlias = tuple[NDArray[np.float32], Mask]


@dataclass(frozen=True)
class SampledPair:
    """Two images in one frame and the part of it, in metres, that both show."""

    pre: LayerSampler
    post: LayerSampler
    box: Box  # left, top, right, bottom
    gsd_m: float

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height of the common part in metres."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    @property
    def middle(self) -> Points:
        """The middle of the common part, (1, 2)."""
        left, top, right, bottom = self.box
        return np.array([[(left + right) / 2, (top + bottom) / 2]])


def make_pair(pre: Layer, post: Layer, *, least_px: int = MIN_OVERLAP_PX) -> SampledPair:
    """Both layers in the frame of the post image, with the part, of at least `least_px` coarse pixels, that both show."""
    frame = MetricFrame.of(post.grid)
    pre_sampler, post_sampler = LayerSampler(pre, frame), LayerSampler(post, frame)
    left, top, right, bottom = pre_sampler.bounds()
    width, height = frame.extent
    box = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
    gsd_m = max(post.gsd_m, pre_sampler.gsd_m)
    common = [max(box[2] - box[0], 0.0) / gsd_m, max(box[3] - box[1], 0.0) / gsd_m]
    if min(common) == 0 or min(common) < least_px:
        where = (
            f"in metres from the upper left of the post image, the post image spans 0–{width:.0f} × 0–{height:.0f}, the pre "
            f"image {left:.0f}–{right:.0f} × {top:.0f}–{bottom:.0f}"
        )
        if min(common) == 0:
            raise GridError(
                f"{pre.source} and {post.source} do not overlap: {where}. Check that they show one site and that their CRSs "
                "are right."
            )
        raise GridError(
            f"{pre.source} and {post.source} share {common[0]:.0f} × {common[1]:.0f} pixels of {gsd_m:.3g} m, the coarser of "
            f"both; expected at least {least_px} × {least_px}: {where}. Give images that share more ground, or "
            "finer ones."
        )
    return SampledPair(
        pre_sampler, post_sampler, _box_of_data(pre_sampler, post_sampler, box) if least_px else box, gsd_m
    )


def _box_of_data(pre: LayerSampler, post: LayerSampler, box: Box) -> Box:
    """Return the part of a box with data in both images, if spread pixels show that less than half of the box has data."""
    points = _spread_points(box, PROBES)
    filled = (
        point
        for point in points
        if all(sampler.read(Affine.translation(*point), (2, 2))[1].any() for sampler in (pre, post))
    )
    enough = math.ceil(MIN_FILLED_SHARE * len(points))
    if len(list(islice(filled, enough))) == enough:  # without the other points: each decodes a block of both files
        return box
    points = _spread_points(box, SEEN_POINTS)
    seen = points[pre.shows(points) & post.shows(points)]
    if not len(seen):
        return box
    step = np.array([box[2] - box[0], box[3] - box[1]]) / SEEN_POINTS
    low, high = np.maximum(seen.min(axis=0) - step, box[:2]), np.minimum(seen.max(axis=0) + step, box[2:])
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _spread_points(box: Box, per_side: int) -> Points:
    """(per_side², 2) points of a box, the middles of as many parts."""
    share = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(box[0] + share * (box[2] - box[0]), box[1] + share * (box[3] - box[1]))
    return np.column_stack((x.ravel(), y.ravel()))


@dataclass(frozen=True)
class Search:
    """Settings for comparing windows: side and reach in pixels of `gsd_m`."""

    side_px: int
    radius_px: int
    gsd_m: float
    max_count: int

    @property
    def side_m(self) -> float:
        """Side of a window in metres."""
        return self.side_px * self.gsd_m


@dataclass(frozen=True)
class Matches:
    """Shifts between both images, one row per window; coordinates in metres of the frame."""

    points: Points  # (N, 2) centres in the post image
    targets: Points  # (N, 2) where the same thing lies in the pre image
    values: Floats
    ratios: Floats
    reliable: Mask
    surfaces: NDArray[np.float32]


def match_spread(pair: SampledPair, search: Search, model: Affine, seed: int) -> Matches:
    """Compare windows spread over the overlap of both images; use a finer grid if most windows of a regular grid have no data."""
    centres = window_centres(pair, search, model)
    matches = match_windows(pair, search, centres, model, seed)
    if len(matches.points) >= MIN_FILLED_SHARE * len(centres):
        return matches
    filled = _filled_centres(pair, search, model, len(matches.points) / max(len(centres), 1))
    return match_windows(pair, search, filled, model, seed) if len(filled) > len(matches.points) else matches


def _filled_centres(pair: SampledPair, search: Search, model: Affine, share: float) -> Points:
    """Return centres of at most `max_count` windows with data in both images; share : of the regular windows with data."""
    finer = replace(search, max_count=math.ceil(search.max_count / max(share, MIN_SHARE)))
    centres = window_centres(pair, finer, model)
    filled = np.ones(len(centres), bool)
    for step in _steps(search):
        filled &= pair.post.shows(centres + step) & pair.pre.shows(apply_affine(model, centres + step))
    kept: Points = centres[filled]
    return kept[spread_indices(len(kept), search.max_count)]


def window_centres(pair: SampledPair, search: Search, model: Affine = IDENTITY) -> Points:
    """Centres (N, 2), frame metres, of at most `max_count` windows of a regular grid on both images."""
    left, top, _, _ = pair.box
    sides = pair.sides
    stride = max(search.side_m / 2, math.sqrt(sides[0] * sides[1] / search.max_count))
    counts = [max(1, int((side - search.side_m) / stride + 1e-6) + 1) for side in sides]
    while counts[0] * counts[1] > search.max_count:
        counts[int(counts[1] > counts[0])] -= 1
    axes = []
    for start, side, count in zip((left, top), sides, counts, strict=True):
        slack = max(side - search.side_m, 0.0)
        spread = np.linspace(0.0, slack, count) if count > 1 else np.array([slack / 2])
        axes.append(start + search.side_m / 2 + spread)
    x, y = np.meshgrid(*axes)
    centres = np.column_stack((x.ravel(), y.ravel()))
    visible = np.ones(len(centres), bool)
    for step in _steps(search):
        corner = centres + step
        visible &= pair.post.covers(corner) & pair.pre.covers(apply_affine(model, corner))
    kept: Points = centres[visible]
    return kept


def _steps(search: Search) -> Iterator[tuple[float, float]]:
    """Yield steps from the centre of a window to the positions that are probed: the centre, and near the corners."""
    half = 0.4 * search.side_m
    yield from ((0, 0), (-half, -half), (half, -half), (-half, half), (half, half))


def match_windows(pair: SampledPair, search: Search, centres: Points, model: Affine, seed: int) -> Matches:
    """Compare the windows around `centres`, the pre image resampled through `model`; those with little data are left out.

    Peak memory: four complex64 patches for each of 32 windows, and `HELD_PX` values of each image.
    """
    count = max(1, round(len(centres) / CHUNK))
    chunks = [centres[k::count] for k in range(count)]
    seen = _read_windows(pair, search, np.concatenate(chunks), [model])
    fields = (_field_pair(pre, post) for post, (pre,) in seen)
    parts = [_match_chunk(search, chunk, fields, (seed, k)) for k, chunk in enumerate(chunks)]
    points, surface, decoys = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    if not len(points):
        return _no_matches(search)
    # How high a peak is depends on texture, blur and season, so no fixed limit suits all pairs. Windows compared with the ground of other
    # windows of the same pair show how high peaks get by chance here, and matches have to exceed nearly all of these. Peaks at the rim of
    # the search are slopes of a peak outside of it.
    peaks = find_peaks(surface)
    shift = np.column_stack((peaks.cols, peaks.rows)) * search.gsd_m
    reliable = peaks.values > np.quantile(find_peaks(decoys).values, DECOY_QUANTILE)
    edge = np.maximum(np.abs(peaks.rows), np.abs(peaks.cols)) > search.radius_px - 1
    return Matches(points, apply_affine(model, points + shift), peaks.values, peaks.ratios, reliable & ~edge, surface)


def _match_chunk(
    search: Search, centres: Points, fields: Iterator[tuple[Spectrum, Spectrum] | None], seed: tuple[int, int]
) -> tuple[Points, NDArray[np.float32], NDArray[np.float32]]:
    """Points that have data, their surfaces, and the surfaces of mismatched windows of the same chunk."""
    weight = taper((search.side_px, search.side_px))
    patches = list(islice(fields, len(centres)))
    kept = [i for i, patch in enumerate(patches) if patch is not None]
    if not kept:
        none = _no_matches(search)
        return none.points, none.surfaces, none.surfaces
    points = centres[kept]
    pre, post = (
        scipy.fft.fft2(np.stack([patch[i] * weight for patch in patches if patch is not None])) for i in (0, 1)
    )
    tested = np.arange(0, len(points), DECOY_STEP)
    elsewhere = _elsewhere(points, search.side_m, seed)[tested]
    decoys = correlate_spectra(pre[elsewhere], post[tested], search.radius_px)
    return points, correlate_spectra(pre, post, search.radius_px), decoys


def gradient_correlations(pair: SampledPair, search: Search, centres: Points, models: Sequence[Affine]) -> list[Floats]:
    """Compute the gradient correlation of the windows around `centres` without any search, for each model (N,); NaN if data are missing."""
    weight = taper((search.side_px, search.side_px)) ** 2

    def correlation(patches: tuple[Spectrum, Spectrum] | None) -> float:
        if patches is None:
            return float("nan")
        pre, post = patches
        energy = (weight * np.abs(pre) ** 2).sum() * (weight * np.abs(post) ** 2).sum()
        return float((weight * (pre * np.conj(post)).real).sum() / max(float(np.sqrt(energy)), 1e-12))

    seen = _read_windows(pair, search, centres, models)
    values = [[correlation(_field_pair(pre, post)) for pre in pres] for post, pres in seen]
    return list(np.array(values, float).reshape(-1, len(models)).T)


def _field_pair(pre: Seen, post: Seen) -> tuple[Spectrum, Spectrum] | None:
    """Return the orientation fields of a window of both images; None if too few of its pixels are valid."""
    if min(post[1].mean(), pre[1].mean()) < MIN_VALID_SHARE:
        return None
    both = pre[1] & post[1]
    return orientation_field(pre[0], both), orientation_field(post[0], both)


def _read_windows(
    pair: SampledPair, search: Search, centres: Points, models: Sequence[Affine]
) -> Iterator[tuple[Seen, list[Seen]]]:
    """Yield the windows of the post image, and of the pre image through each model, in the order of `centres`.

    They are read from top to bottom, so that blocks of the files are decoded once.
    """

    def read(image: LayerSampler, centre: Floats, moved: Affine) -> Seen:
        corner = centre - search.side_m / 2
        window = Affine(search.gsd_m, 0, corner[0], 0, search.gsd_m, corner[1])
        return image.read(moved * window, (search.side_px, search.side_px))

    for rows in chunks(len(centres), max(1, HELD_PX // search.side_px**2)):
        part = centres[rows]
        order = np.lexsort((part[:, 0], part[:, 1]))
        # One thread for each image: two threads on one file decode its blocks twice, each into a cache of its own.
        posts = in_order(lambda centre: read(pair.post, centre, IDENTITY), part[order], 1, AHEAD)
        pres = in_order(lambda centre: [read(pair.pre, centre, model) for model in models], part[order], 1, AHEAD)
        held = dict(zip(order.tolist(), zip(posts, pres, strict=True), strict=True))
        yield from (held.pop(number) for number in range(len(part)))


def _elsewhere(points: Points, apart_m: float, seed: tuple[int, int]) -> NDArray[np.intp]:
    """Choose for each window another window that shows a different site; the furthest if none is far enough away."""
    distance = np.hypot(*(points[:, None, :] - points[None, :, :]).transpose(2, 0, 1))
    draw = np.random.default_rng(seed).random(distance.shape)
    score = np.where(distance >= apart_m, 2.0 + draw, distance / (1.0 + distance.max()))
    chosen: NDArray[np.intp] = score.argmax(axis=1)
    return chosen


def _no_matches(search: Search) -> Matches:
    empty, none = np.empty((0, 2)), np.empty(0)
    side = 2 * search.radius_px + 1
    return Matches(empty, empty, none, none, np.empty(0, bool), np.empty((0, side, side), np.float32))


class Peaks(NamedTuple):
    """Best shift of each of N correlation surfaces, sub-pixel, and two measures of how reliable it is."""

    rows: Floats
    cols: Floats
    values: Floats  # height of the peak, 1 for identical patches
    ratios: Floats  # peak over the second peak; large when there is one clear answer


def orientation_field(
    grey: FloatImage, valid: Mask | None = None, sigma_px: float = 1.0, floor: float | None = None
) -> Spectrum:
    """Squared gradient directions (h, w) complex64, angle twice the gradient's, modulus 0–1 by noise (`floor`), 0 near holes."""
    down, right = _smooth_gradient(grey, sigma_px)
    holes = _holes(valid, sigma_px)
    floor = _noise_floor(down, right, holes) if floor is None else floor
    field = np.empty(grey.shape, np.complex64)
    for top in range(0, len(grey), FEW_ROWS):
        rows = slice(top, top + FEW_ROWS)
        down_power, right_power = down[rows] * down[rows], right[rows] * right[rows]
        power = down_power + right_power
        power += floor
        np.divide(right_power - down_power, power, out=field.real[rows])
        np.divide(2 * right[rows] * down[rows], power, out=field.imag[rows])
    if holes is not None:
        field[holes] = 0
    return field


def gradient_floor(grey: FloatImage, valid: Mask | None, sigma_px: float) -> float:
    """Return the median gradient power of a patch (h, w): the `floor` that `orientation_field` uses if none is given."""
    return _noise_floor(*_smooth_gradient(grey, sigma_px), _holes(valid, sigma_px))


def _smooth_gradient(grey: FloatImage, sigma_px: float) -> tuple[FloatImage, FloatImage]:
    """Differences of next but one pixels of the smoothed patch, along rows and columns; 0 at the rim."""
    smooth = scipy.ndimage.gaussian_filter(grey, sigma_px, mode="nearest", truncate=3.0)
    down, right = np.zeros_like(smooth), np.zeros_like(smooth)
    np.subtract(smooth[2:], smooth[:-2], out=down[1:-1])
    np.subtract(smooth[:, 2:], smooth[:, :-2], out=right[:, 1:-1])
    return down, right


def _holes(valid: Mask | None, sigma_px: float) -> Mask | None:
    return None if valid is None or valid.all() else _near_holes(valid, int(3 * sigma_px) + 1)


def _near_holes(valid: Mask, reach_px: int) -> Mask:
    near: Mask = scipy.ndimage.maximum_filter((~valid).astype(np.uint8), 2 * reach_px + 1) > 0
    return near


def _noise_floor(down: FloatImage, right: FloatImage, holes: Mask | None) -> float:
    """Median gradient power, from every fourth row and column; gradients well above it count fully."""
    few = np.s_[::4, ::4]
    sample = np.square(down[few]) + np.square(right[few])
    sample = sample if holes is None else sample[~holes[few]]
    return float(np.median(sample)) + 1e-9 if sample.size else 1.0


def taper(shape: tuple[int, int]) -> FloatImage:
    """Return a Hann window with a flat middle half, (h, w) float32."""
    rows, cols = (_tukey(side) for side in shape)
    return np.outer(rows, cols).astype(np.float32)


def _tukey(side: int) -> Floats:
    position = (np.arange(side) + 0.5) / side
    edge = np.minimum(position, 1 - position)
    return np.where(edge < 0.25, 0.5 - 0.5 * np.cos(np.pi * edge / 0.25), 1.0)


def correlate_spectra(a: Spectrum, b: Spectrum, radius_px: int) -> NDArray[np.float32]:
    """Correlation (N, 2·radius + 1, 2·radius + 1) of patches by their transforms (N, h, w); the middle is shift (0, 0)."""
    size = a.shape[-2] * a.shape[-1]
    energy = np.sqrt(_energy(a) * _energy(b)) / size
    full = scipy.fft.ifft2(a * np.conj(b)).real / np.maximum(energy, 1e-12)[..., None, None]
    reach = np.arange(-radius_px, radius_px + 1)
    cut: NDArray[np.float32] = full[..., reach[:, None], reach[None, :]].astype(np.float32)
    return cut


def _energy(spectra: Spectrum) -> NDArray[np.float32]:
    """Sum of squared moduli of each patch."""
    parts = np.ascontiguousarray(spectra).view(np.float32).reshape(*spectra.shape[:-2], -1)
    energy: NDArray[np.float32] = np.einsum("...i,...i->...", parts, parts)
    return energy


def find_peaks(surface: NDArray[np.float32]) -> Peaks:
    """Sub-pixel maximum of each surface, (N, 2r + 1, 2r + 1), relative to the middle."""
    parts = [_find_peaks(surface[rows]) for rows in chunks(len(surface), MAX_SURFACES)]
    return Peaks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _find_peaks(surface: NDArray[np.float32]) -> Peaks:
    count, height, width = surface.shape
    radius = height // 2
    index = np.arange(count)
    row, col = np.unravel_index(surface.reshape(count, -1).argmax(axis=1), (height, width))
    value = surface[index, row, col].astype(np.float64)
    far = np.maximum(
        np.abs(np.arange(height)[None, :, None] - row[:, None, None]),
        np.abs(np.arange(width)[None, None, :] - col[:, None, None]),
    )
    second = np.where(far > EXCLUDED_PX, surface, -np.inf).reshape(count, -1).max(axis=1)
    ratio = value / np.maximum(second, 1e-3)
    fine_row = row + _parabola(surface, index, row, col, (1, 0))
    fine_col = col + _parabola(surface, index, row, col, (0, 1))
    return Peaks(fine_row - radius, fine_col - radius, value, ratio)


def _parabola(
    surface: NDArray[np.float32],
    index: NDArray[np.intp],
    row: NDArray[np.intp],
    col: NDArray[np.intp],
    step: tuple[int, int],
) -> Floats:
    """Offset of the vertex of the parabola through the maximum and its two neighbours; 0 on the rim."""
    height, width = surface.shape[1:]
    inside = (row >= step[0]) & (col >= step[1]) & (row < height - step[0]) & (col < width - step[1])
    before = surface[index, np.maximum(row - step[0], 0), np.maximum(col - step[1], 0)].astype(np.float64)
    after = surface[index, np.minimum(row + step[0], height - 1), np.minimum(col + step[1], width - 1)].astype(
        np.float64
    )
    centre = surface[index, row, col].astype(np.float64)
    bend = 2 * centre - before - after
    offset = np.where(bend > 1e-9, 0.5 * (after - before) / np.maximum(bend, 1e-9), 0.0)
    return np.where(inside, np.clip(offset, -0.5, 0.5), 0.0)
