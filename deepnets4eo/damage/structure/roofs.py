"""Roofs that are found again: how well their pattern in the pre image agrees with the post image, and where.

In views from the side, roofs are displaced from their ground by their height, along a line that a sample shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Spectrum
from deepnets4eo.damage.images.working_grid import WorkingGrid
from deepnets4eo.damage.structure.maps import Radiometry, edge_directions, light_of, nonzero_valid
from deepnets4eo.footprints import order_by_place
from deepnets4eo.grid import Window, blocks
from deepnets4eo.prefetch import in_order
from deepnets4eo.tiling import spread_indices
from deepnets4eo.zonal import Outlines

IN_PLACE_M = 2.0  # within which outlines, registration and low roofs differ in any scene
REACH_M, MAX_REACH_PX = 12.5, 25  # farthest that a leaning roof is looked for
WIDEST_PX = 96  # of a roof that is compared: the middle of larger ones
FILTER_PX = 4  # beyond a map that its filters see
BLOCK_PX = 1024
FEW = 64  # roofs whose pixels are held together
SAMPLE = 96  # roofs that say whether a scene leans
MIN_PX = 60  # pixels of a roof of the sample
CHANCE = 0.95  # quantile of the agreement with other places, above which a roof counts as found
MIN_FOUND = 12  # roofs of the sample
LEANING_M, LEANING_SHARE = 3.0, 0.25  # distance, and share of the roofs found farther off, from which a scene leans
ENDS = (0.02, 0.98)  # quantiles of the places of roofs along the lean, between which all are looked for
ALONG_M, ACROSS_M = 1.0, 1.5  # added to the ends, and to the sides


@dataclass(frozen=True)
class RoofPlaces:
    """The positions of N roofs in the post image: (N, 2) rows and columns moved, and the agreement (N,) there, or NaN."""

    moved: Indices
    match: Floats


@dataclass(frozen=True)
class Views:
    """Both images, and N buildings in them: outlines in working pixels, and centres (N, 2), row and col."""

    working_grid: WorkingGrid
    body: Outlines
    centres: NDArray[np.float64]
    radiometry: dict[str, Radiometry]

    @cached_property
    def inside(self) -> Indices:
        """Return (M,) buildings whose centre is in the grid."""
        return np.flatnonzero(Window(0, 0, *self.working_grid.shape).holds(self.centres))

    def fields(self, window: Window) -> tuple[Spectrum, Spectrum]:
        """Return the edge directions of pre and post in a window."""
        before, after = (
            _directions(self.working_grid, name, window, self.radiometry[name]) for name in ("pre", "post")
        )
        return before, after


@dataclass(frozen=True)
class Roof:
    """A roof in the pre image: edge directions (h, w), 0 outside, its pixels as 0 and 1, and its upper left corner."""

    pattern: Spectrum
    mask: NDArray[np.float32]
    row: int
    col: int

    def beside(self, directions: Spectrum, reach: int) -> Spectrum:
        """Return a map of edge directions around the roof, with `reach` more pixels on every side."""
        rows, cols = (
            slice(begin - reach, begin + size + reach)
            for begin, size in zip((self.row, self.col), self.mask.shape, strict=True)
        )
        return directions[rows, cols]


def agreements(roofs: Sequence[Roof], around: Sequence[Spectrum]) -> Iterator[Floats]:
    """Compute the agreement of each roof with all positions in its surroundings (h + 2 r, w + 2 r): (2 r + 1, 2 r + 1), 1 for the same pattern."""
    shape = _transform_shape(around[0])
    there, patterns = np.zeros((2, len(roofs), *shape), np.complex64)
    masks = np.zeros((len(roofs), *shape), np.float32)
    for number, (roof, directions) in enumerate(zip(roofs, around, strict=True)):
        rows, cols = (slice(side) for side in roof.mask.shape)
        patterns[number, rows, cols], masks[number, rows, cols] = roof.pattern, roof.mask
        there[number, : len(directions), : directions.shape[1]] = directions
    both = scipy.fft.ifft2(scipy.fft.fft2(there) * np.conj(scipy.fft.fft2(patterns))).real
    power = np.square(there.real) + np.square(there.imag)
    powers = scipy.fft.irfft2(scipy.fft.rfft2(power) * np.conj(scipy.fft.rfft2(masks)), shape)
    for number, (roof, directions) in enumerate(zip(roofs, around, strict=True)):
        inside = tuple(slice(side - length + 1) for side, length in zip(directions.shape, roof.mask.shape, strict=True))
        own = float(np.square(np.abs(roof.pattern)).sum())  # above 0: `_best` compares no roof without edges
        yield np.asarray(both[number][inside] / np.sqrt(own * np.maximum(powers[number][inside], 1e-3)), float)


def _transform_shape(around: Spectrum) -> tuple[int, int]:
    height, width = (int(scipy.fft.next_fast_len(side, real=True)) for side in around.shape)
    return height, width


def cut_roofs(body: Outlines, members: Indices, around: Window, before: Spectrum) -> Iterator[Roof | None]:
    """Yield the roofs of some buildings in a map of the window `around`; None for a roof without a pixel in it."""
    for part in (members[first : first + FEW] for first in range(0, len(members), FEW)):
        yield from _cut_some(body, part, around, before)


def _cut_some(body: Outlines, members: Indices, around: Window, before: Spectrum) -> Iterator[Roof | None]:
    owner, flat = body.pixels(around, members)
    starts = np.searchsorted(owner, np.arange(len(members) + 1))
    rows, cols = np.divmod(flat, around.width)
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        if first == last:
            yield None
            continue
        row, col = rows[first:last], cols[first:last]
        (top, bottom), (left, right) = (_middle(int(pixels.min()), int(pixels.max()) + 1) for pixels in (row, col))
        kept = (row >= top) & (row < bottom) & (col >= left) & (col < right)
        mask = np.zeros((bottom - top, right - left), np.float32)
        mask[row[kept] - top, col[kept] - left] = 1
        yield Roof(before[top:bottom, left:right] * mask, mask, top, left)


def _middle(low: int, high: int) -> tuple[int, int]:
    """Return the middle of a range, at most as wide as the widest roof."""
    spare = max(high - low - WIDEST_PX, 0)
    return low + spare // 2, high - (spare - spare // 2)


def match_roofs(
    body: Outlines, members: Indices, around: Window, fields: tuple[Spectrum, Spectrum], reach: int
) -> Floats:
    """Return (M,) the best agreement of roofs within `reach` pixels, or NaN. fields : of pre and post in `around`."""
    before, after = fields
    return _best(list(cut_roofs(body, members, around, before)), [after] * len(members), reach, None)[1]


def _best(
    roofs: Sequence[Roof | None], after: Sequence[Spectrum], reach: int, where: NDArray[np.bool_] | None
) -> tuple[Indices, Floats]:
    """Places (N, 2) of the best agreement within `reach`, and the agreement (N,), or NaN.

    after : the map of each roof
    where : (2 r + 1, 2 r + 1) places that count
    """
    moved, match = np.zeros((len(roofs), 2), np.int64), np.full(len(roofs), np.nan)
    by_shape: dict[tuple[int, int], list[tuple[int, Roof, Spectrum]]] = {}
    for number, (roof, directions) in enumerate(zip(roofs, after, strict=True)):
        if roof is None or not roof.pattern.any():
            continue
        around = roof.beside(directions, reach)
        if around.shape == tuple(side + 2 * reach for side in roof.mask.shape):
            by_shape.setdefault(_transform_shape(around), []).append((number, roof, around))
    for some in (group[first : first + FEW] for group in by_shape.values() for first in range(0, len(group), FEW)):
        numbers, compared, surroundings = zip(*some, strict=True)
        for number, surface in zip(numbers, agreements(compared, surroundings), strict=True):
            counted = surface if where is None else np.where(where, surface, -np.inf)
            moved[number] = np.array(np.unravel_index(int(counted.argmax()), counted.shape)) - reach
            match[number] = counted.max()
    return moved, match


def find_roofs(views: Views, workers: int = 2) -> RoofPlaces | None:
    """Return the position of each of N roofs in the post image, or None if the views of both dates hardly differ."""
    reach = min(int(REACH_M / views.working_grid.gsd_m), MAX_REACH_PX)
    where, usual, chance = _search(views, reach)
    if where is None:
        return None
    centres, inside = views.centres, views.inside
    moved, match = np.tile(usual, (len(centres), 1)), np.full(len(centres), np.nan)

    def match_roofs(window: Window) -> tuple[Indices, Indices, Floats]:
        members = inside[window.holds(centres[inside])]
        around = window.grow(WIDEST_PX // 2 + reach + FILTER_PX)
        before, after = views.fields(around)
        offsets, best = _best(
            list(cut_roofs(views.body, members, around, before)), [after] * len(members), reach, where
        )
        offsets[~(best > chance)] = usual
        return members, offsets, best

    occupied = [window for window in blocks(views.working_grid.shape, BLOCK_PX) if window.holds(centres[inside]).any()]
    for members, offsets, best in in_order(match_roofs, occupied, workers):
        moved[members], match[members] = offsets, best
    return RoofPlaces(moved, match)


def _search(views: Views, reach: int) -> tuple[NDArray[np.bool_] | None, Indices, float]:
    """Places (2 r + 1, 2 r + 1) to look for roofs, or None; the usual place; the agreement that chance reaches."""
    offsets, best, elsewhere = _sample(views, reach)
    gsd_m = views.working_grid.gsd_m
    none = np.zeros(2, np.int64)
    if len(elsewhere) < MIN_FOUND:
        return None, none, 0.0
    chance = float(np.quantile(elsewhere, CHANCE))
    offsets = offsets[best > chance]
    far = np.hypot(*offsets.T) * gsd_m > LEANING_M
    if len(offsets) < MIN_FOUND or far.mean() < LEANING_SHARE:
        return None, none, chance
    return lean_line(offsets, reach, gsd_m), np.asarray(np.round(np.median(offsets, axis=0)), np.int64), chance


def _sample(views: Views, reach: int) -> tuple[Indices, Floats, Floats]:
    """Best places and agreement of a sample of roofs, and their agreement with other roofs' surroundings."""
    body, centres, inside = views.body, views.centres, views.inside
    large = inside[(body.box[inside, 2:] - body.box[inside, :2]).prod(axis=1) >= MIN_PX]
    drawn = large[order_by_place(centres[large])][spread_indices(len(large), SAMPLE)]
    roofs: list[Roof] = []
    spectra: list[Spectrum] = []
    for number, (row, col) in zip(drawn, centres[drawn].astype(np.int64), strict=True):
        around = Window(int(row), int(col), 1, 1).grow(WIDEST_PX // 2 + reach + FILTER_PX)
        before, after = views.fields(around)
        roof = next(cut_roofs(body, np.array([number]), around, before))
        if roof is not None and roof.pattern.any():
            roofs.append(roof)
            spectra.append(after)
    middle = len(spectra) // 2
    others = _best(roofs, spectra[-middle:] + spectra[:-middle], reach, None)[1]
    return *_best(roofs, spectra, reach, None), others[np.isfinite(others)]


def roof_agreement(views: Views) -> tuple[float, float]:
    """Return the median agreement of a sample of roofs within 2 m, and the 0.9 quantile of their agreement with other surroundings."""
    _, best, elsewhere = _sample(views, round(IN_PLACE_M / views.working_grid.gsd_m))
    if len(elsewhere) < MIN_FOUND:
        return float("nan"), float("nan")
    return float(np.nanmedian(best)), float(np.quantile(elsewhere, 0.9))


def lean_line(offsets: Indices, reach: int, gsd_m: float) -> NDArray[np.bool_]:
    """Return positions (2 r + 1, 2 r + 1) along the line that the roofs of a sample (M, 2) follow, or within 2 m of it."""
    middle = np.median(offsets, axis=0)
    away = offsets - middle
    near = away[np.hypot(*away.T) <= np.quantile(np.hypot(*away.T), 0.9)]  # a few are always found elsewhere by chance
    axis = np.linalg.eigh(near.T @ near)[1][:, -1]
    side = np.array([-axis[1], axis[0]])
    low, high = np.quantile(away @ axis, ENDS)
    across = float(np.quantile(np.abs(near @ side), 0.9)) + ACROSS_M / gsd_m
    steps = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
    along, beside = (grid - middle) @ axis, np.abs((grid - middle) @ side)
    on_line = (along >= low - ALONG_M / gsd_m) & (along <= high + ALONG_M / gsd_m) & (beside <= across)
    return np.asarray(on_line | (np.hypot(grid[..., 0], grid[..., 1]) <= IN_PLACE_M / gsd_m))


def _directions(working_grid: WorkingGrid, name: str, window: Window, radiometry: Radiometry) -> Spectrum:
    data, valid = working_grid.read(name, window)
    valid = nonzero_valid(data, valid)
    light = light_of(data, radiometry)
    light[~valid] = light[valid].mean() if valid.any() else 0
    return edge_directions(light, valid, radiometry)
