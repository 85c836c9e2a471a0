"""The one streaming pass: blocks that hold buildings, two at a time, their sums added up per building."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums, Indices
from deepnets4eo.damage.images.working_grid import WorkingGrid
from deepnets4eo.damage.structure.maps import Maps, Radiometry, WindowSamples, measure, measure_maps
from deepnets4eo.damage.structure.roofs import IN_PLACE_M, match_roofs
from deepnets4eo.damage.structure.sums import (
    CELL_PX,
    Groups,
    at_offsets,
    best_of_shifts,
    correlation_sums,
    lowest_ground,
    open_means,
)
from deepnets4eo.grid import Window, blocks
from deepnets4eo.jobs import FinishBlocks, Journal, Part, identity_hash
from deepnets4eo.prefetch import in_order
from deepnets4eo.zonal import Outlines, Sides

BLOCK_PX = 1024
MARGIN_PX = 56  # a multiple of the cell, wide enough for the neighbourhood, the shifts and the filters
STEP_PX = 1.0  # between points along an outline
SHIFT_STEPS = 2  # on either side
SHADOW_M = (1.0, 2.0, 3.0)  # distances from the wall where shadow is looked for
SHADOW_LIGHT = -0.5  # contrast units below the typical level
DIRECTIONS = 8
IMAGES = ("pre", "post")
INSIDE = ("count", "light", "rough", "log_floor", "edge", "edge2", "right_cos", "right_sin", "red", "green", "blue", "tarp")  # fmt: skip
TARP_EXCESS = 0.12  # by which the share of blue exceeds that of red

Read = dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]


@dataclass(frozen=True)
class BuildingGeometry:
    """The buildings of a job in working pixels: sides, pixels within (own), and grown by a metre (body); centres (N, 2).

    left_out : (N,) why one is not measured, else ''; moved : (N, 2) from the pre image's roof; searched : if looked for."""

    sides: Sides
    own: Outlines
    body: Outlines
    centres: NDArray[np.float64]
    left_out: NDArray[np.object_]
    inside_share: NDArray[np.float64]
    moved: Indices
    searched: bool = False

    @cached_property
    def _by_row(self) -> tuple[Indices, NDArray[np.float64]]:
        """Return (N,) buildings by the row of their centres, and these rows; NaN last."""
        order = np.argsort(self.centres[:, 0], kind="stable")
        return order, self.centres[order, 0]

    def centres_in(self, window: Window) -> Indices:
        """Return (M,) buildings whose centres are in a window, ascending; without checking the buildings of all other rows."""
        order, rows = self._by_row
        near = order[slice(*np.searchsorted(rows, (window.row, window.row + window.height)))]
        return np.sort(near[window.holds(self.centres[near])])

    @classmethod
    def concatenate(cls, parts: list[BuildingGeometry]) -> BuildingGeometry:
        """Join the buildings of several parts."""
        return cls(
            Sides.concatenate([part.sides for part in parts]),
            Outlines.concatenate([part.own for part in parts]),
            Outlines.concatenate([part.body for part in parts]),
            np.concatenate([part.centres for part in parts]),
            np.concatenate([part.left_out for part in parts]),
            np.concatenate([part.inside_share for part in parts]),
            np.concatenate([part.moved for part in parts]),
            any(part.searched for part in parts),
        )


@dataclass(frozen=True)
class Table:
    """Named arrays (M, K) of some buildings, whose numbers (M,) ascend."""

    buildings: Indices
    rows: dict[str, BuildingSums]

    @property
    def fits(self) -> bool:
        """Return whether every array has one row of numbers per building."""
        count, arrays = self.buildings.shape, self.rows.values()
        return (
            len(count) == 1
            and self.buildings.dtype.kind in "iu"
            and all(array.ndim == 2 and array.shape[:1] == count and array.dtype.kind == "f" for array in arrays)
        )

    @classmethod
    def concatenate(cls, parts: list[Table]) -> Table:
        """Join several tables into one and remove their rows, which are thus never in memory twice."""
        rows = {name: np.concatenate([part.rows.pop(name) for part in parts]) for name in list(parts[0].rows)}
        return cls(np.concatenate([part.buildings for part in parts]), rows)


@dataclass(frozen=True)
class BlockSums:
    """Sums of a block by building: to be added, best of all shifts, of each shift where cut, of the surroundings."""

    sums: Table
    best: Table
    shifted: Table
    context: Table

    @property
    def fit(self) -> bool:
        """Return whether every table has one row of numbers per building in every array."""
        return all(table.fits for table in (self.sums, self.best, self.shifted, self.context))


@dataclass(frozen=True)
class BlockWithMargin:
    """A block: `window` is what is summed over, `around` what was read."""

    working_grid: WorkingGrid
    window: Window
    around: Window

    def flat(self, pixel: Indices) -> Indices:
        """Convert flat pixel numbers of the window to flat pixel numbers of the area that was read."""
        row, col = np.divmod(pixel, self.window.width)
        return (row + MARGIN_PX) * self.around.width + col + MARGIN_PX

    def back(self, name: str, moved: Indices) -> Indices:
        """Return (M,) the map from flat pixel numbers of a roof in post to its pixels in image `name`."""
        return -(moved @ (self.around.width, 1)) if name == "pre" else np.zeros(len(moved), np.int64)

    def pixel_indices(self, at: NDArray[np.float64]) -> Indices:
        """Return the flat pixel numbers of (row, col) positions in the read window, clipped to it."""
        row = np.clip(np.floor(at[:, 0]).astype(np.int64) - self.around.row, 0, self.around.height - 1)
        col = np.clip(np.floor(at[:, 1]).astype(np.int64) - self.around.col, 0, self.around.width - 1)
        return row * self.around.width + col

    def offsets(self) -> Indices:
        """Return (S,) the offset that each shift adds to flat pixel numbers of the read window."""
        return np.asarray(shifts_px(self.working_grid.gsd_m) @ (self.around.width, 1))


def measure_block(
    window: Window, working_grid: WorkingGrid, geometry: BuildingGeometry, radiometry: dict[str, Radiometry]
) -> BlockSums:
    """Return the sums of one block, whose sides are multiples of 8 pixels. Peak memory: 150 MB of maps and 600 bytes per building."""
    block = BlockWithMargin(working_grid, window, window.grow(MARGIN_PX))
    maps = {
        name: measure_maps(*working_grid.read(name, block.around), radiometry[name], working_grid.gsd_m)
        for name in IMAGES
        if name in working_grid.layers
    }
    others: Read = {
        name: working_grid.read(name, window)
        for name in ("cloud", "dsm_pre", "dsm_post")
        if name in working_grid.layers
    }
    pieces = [_measure(block, geometry, members, maps, others) for members in geometry.body.some_at_a_time(window)]
    sums, best, shifted = (Table.concatenate(list(tables)) for tables in zip(*pieces, strict=True))
    return BlockSums(sums, best, shifted, _context(block, geometry, maps))


def spread_over_blocks(body: Outlines, block_px: int) -> NDArray[np.bool_]:
    """Return (N,) whether a building has to be measured by several blocks."""
    limit = np.array(body.shape)
    low, high = np.clip(body.box[:, :2], 0, limit - 1), np.clip(body.box[:, 2:] - 1, 0, limit - 1)
    return np.asarray((low // block_px != high // block_px).any(axis=1))


def _measure(
    block: BlockWithMargin, geometry: BuildingGeometry, buildings: Indices, maps: dict[str, Maps], others: Read
) -> tuple[Table, Table, Table]:
    """Return sums, the best of the shifts, and sums for every shift, of some buildings."""
    moved = geometry.moved[buildings]
    sums = _inside_sums(block, geometry, buildings, maps, others)
    shifted: dict[str, BuildingSums] = {}
    for name, image in maps.items():
        back = block.back(name, moved)
        across, sums[f"{name}_shadow"] = _outline_sums(block, geometry.sides, buildings, image, back)
        shifted[f"{name}_outline"] = across
    if "pre" in maps:
        shifted |= _pair_sums(block, geometry.body, buildings, maps, block.back("pre", moved))
    window = block.window
    limit = np.array(geometry.body.shape)
    box = np.clip(geometry.body.box[buildings], 0, np.tile(limit, 2))
    whole = ((box[:, :2] >= window[:2]) & (box[:, 2:] <= np.add(window[:2], window[2:]))).all(axis=1)
    best = best_of_shifts({name: rows[whole] for name, rows in shifted.items()})
    rest = {name: rows[~whole] for name, rows in shifted.items()}
    return Table(buildings, sums), Table(buildings[whole], best), Table(buildings[~whole], rest)


def shifts_px(gsd_m: float) -> Indices:
    """Return (S, 2) shifts (row, col) up to 2 m; the zero shift is the middle one."""
    step = max(1, round(IN_PLACE_M / SHIFT_STEPS / gsd_m))
    along = np.arange(-SHIFT_STEPS, SHIFT_STEPS + 1) * step
    return np.array([(row, col) for row in along for col in along], dtype=np.int64)


def _inside_sums(
    block: BlockWithMargin, geometry: BuildingGeometry, buildings: Indices, maps: dict[str, Maps], others: Read
) -> dict[str, BuildingSums]:
    """Return sums over the pixels inside the outlines, per image over its valid pixels."""
    owner, pixel = geometry.own.pixels(block.window, buildings)
    flat, count = block.flat(pixel), len(buildings)
    every = Groups(owner, count)
    sums = {"pixels": every.sum([np.ones(len(owner), np.float32)])}
    for name, image in maps.items():
        there = flat + block.back(name, geometry.moved[buildings])[owner]
        usable, seen = every.where(image.valid.ravel()[there], there)
        sums[f"{name}_inside"] = usable.sum(_inside_values(image, seen))
        sums[f"{name}_blank"] = every.sum([image.blank.ravel()[there].astype(np.float32)])
    for name, (data, valid) in others.items():
        if name == "cloud":
            covered = ((data[0] != 0) | ~valid).ravel()[pixel]
            sums[name] = every.sum([covered.astype(np.float32)])
        else:
            good = valid.ravel()[pixel]
            high = data[0].ravel()[pixel[good]].astype(np.float64)
            sums[name] = Groups(owner[good], count).sum([np.ones_like(high), high])
    return sums


def _inside_values(maps: Maps, flat: Indices) -> Iterator[NDArray[np.generic]]:
    """Yield the value arrays that are summed inside an outline, in the order of INSIDE."""
    yield np.ones(len(flat), np.float32)
    for band in (maps.light, maps.rough, maps.log_floor):
        yield band.ravel()[flat]
    down, right = maps.along_row.ravel()[flat], maps.along_col.ravel()[flat]
    energy = down * down + right * right
    yield np.sqrt(energy)
    yield energy
    cosine, sine = right * right - down * down, 2 * down * right  # energy times cos, sin of twice the direction
    scale = 1 / (energy + np.float32(1e-9))
    yield (cosine * cosine - sine * sine) * scale  # … and of four times: directions modulo 90°
    yield 2 * cosine * sine * scale
    bands = [np.maximum(maps.bands[band].ravel()[flat].astype(np.float32), 0) for band in _colours(maps)]
    total = 1 / (bands[0] + bands[1] + bands[2] + np.float32(1e-6))
    red, green, blue = (band * total for band in bands)
    yield from (red, green, blue, (blue - red > TARP_EXCESS).astype(np.float32))


def _colours(maps: Maps) -> tuple[int, int, int]:
    """Return the red, green and blue band; an image with fewer bands is grey."""
    return (0, 1, 2) if len(maps.bands) >= 3 else (0, 0, 0)


def _outline_sums(
    block: BlockWithMargin, sides: Sides, buildings: Indices, maps: Maps, back: Indices
) -> tuple[BuildingSums, BuildingSums]:
    """Edge strength across the outline for each shift, and shadow outside the walls by their direction."""
    traced = sides.subset(buildings).trace(STEP_PX, block.window.box)
    at = traced.points[:, ::-1]  # row, col
    inside = block.window.holds(at)
    owner, at, normal = traced.owner[inside], at[inside], traced.normals[inside, ::-1].astype(np.float32)
    back = back[owner]
    samples, flat = Groups(owner, len(buildings)), block.pixel_indices(at) + back
    offsets, facing_down, facing_right = block.offsets(), *np.ascontiguousarray(normal.T)
    slopes = zip(*(at_offsets(slope, flat, offsets) for slope in (maps.along_row, maps.along_col)), strict=True)
    across = (np.abs(down * facing_down + right * facing_right) for down, right in slopes)
    outside = [
        maps.light.ravel()[block.pixel_indices(at + normal * (metres / block.working_grid.gsd_m)) + back] < SHADOW_LIGHT
        for metres in SHADOW_M
    ]
    dark = np.mean(outside, axis=0, dtype=np.float32)
    turn = np.arctan2(normal[:, 0], normal[:, 1]) / (2 * np.pi)
    facing = np.round(turn * DIRECTIONS).astype(np.int64) % DIRECTIONS
    shadow = (np.where(facing == way, value, 0) for value in (dark, np.ones_like(dark)) for way in range(DIRECTIONS))
    return samples.sum(across), samples.sum(shadow)


def _pair_sums(
    block: BlockWithMargin, body: Outlines, buildings: Indices, maps: dict[str, Maps], back: Indices
) -> dict[str, BuildingSums]:
    """Return the sums that the similarity of post and pre needs, over pixels valid in both."""
    post, pre = maps["post"], maps["pre"]
    owner, pixel = body.pixels(block.window, buildings)
    flat = block.flat(pixel)
    back = back[owner]
    both = post.valid.ravel()[flat] & pre.valid.ravel()[flat + back]
    together, pixels, offsets = Groups(owner[both], len(buildings)), (flat[both], (flat + back)[both]), block.offsets()
    return {
        "pair": together.sum([np.ones(len(pixels[0]), np.float32)]),
        "pair_light": correlation_sums(together, pixels, post.light, pre.light, offsets),
    }


def _context(block: BlockWithMargin, geometry: BuildingGeometry, maps: dict[str, Maps]) -> Table:
    """Means over the open ground around buildings centred in the block, and how well roofs are found again in place."""
    centred = geometry.centres_in(block.window)
    around = block.around
    built = np.zeros(around.height * around.width, bool)
    for members in geometry.body.some_at_a_time(around):
        owner, pixel = geometry.body.pixels(around, members)
        built[pixel] = True
        before = pixel + block.back("pre", geometry.moved[members])[owner]
        built[before[(before >= 0) & (before < len(built))]] = True
    ground = ~built.reshape(around.height, around.width)
    rows, cols = (np.floor(geometry.centres[centred]).astype(np.int64) - (around.row, around.col)).T // CELL_PX
    context, gsd_m = {}, block.working_grid.gsd_m
    if "pre" in maps and not geometry.searched:
        fields = maps["pre"].directions, maps["post"].directions
        match = match_roofs(geometry.body, centred, around, fields, round(IN_PLACE_M / gsd_m))
        context["pair_roof"] = match[:, None]
    for name, image in maps.items():
        values = [image.light, image.log_floor, *(image.bands[band] for band in _colours(image))]
        means = open_means(values, ground & image.valid, (rows, cols), gsd_m)
        means[:, 2:] /= np.maximum(means[:, 2:].sum(axis=1, keepdims=True), 1e-6)
        context[f"{name}_near"] = means
    for name in ("dsm_pre", "dsm_post"):
        if name in block.working_grid.layers:
            height, known = block.working_grid.read(name, around)
            lowest = lowest_ground(height[0].astype(np.float32), ground & known, (rows, cols), gsd_m)
            context[f"{name}_ground"] = lowest[:, None]
    return Table(centred, context)


def block_journal(folder: Path | None, working_grid: WorkingGrid, geometry: BuildingGeometry) -> Journal:
    """Return the journal of finished blocks of these images and outlines in a folder; it keeps nothing without a folder."""
    outlines = geometry.centres, geometry.sides.begin, geometry.sides.end, geometry.moved
    name = "" if folder is None else identity_hash(working_grid.grid, working_grid.gsd_m, working_grid.layers, outlines)
    return Journal(None if folder is None else folder / name, kinds=(BlockSums, Table))


def block_name(window: Window) -> str:
    """Return the name of a block in journals and messages."""
    return f"{window.row}-{window.col}"


def collect(
    working_grid: WorkingGrid,
    geometry: BuildingGeometry,
    *,
    workers: int = 2,
    progress: Callable[[float], None] | None = None,
    journal: Journal = Journal(),
    part: Part = Part.whole,
    block_px: int = BLOCK_PX,
    finish: FinishBlocks | None = None,
    step: str = "evidence",
    images: dict[str, Radiometry] | None = None,
) -> dict[str, BuildingSums]:
    """Return sums per building by name, (N, K) float64, whatever block_px; NaN context for centres outside the grid.

    Buildings of blocks that other processes (finish) fail to process are left out with the reason."""
    radiometry = radiometries(working_grid, geometry) if images is None else images
    height, width = (
        -(-side // CELL_PX) * CELL_PX for side in working_grid.shape
    )  # whole cells; no data beyond the edge
    windows = blocks((height, width), block_px)
    occupied = part.share([window for window in windows if len(geometry.body.touching(window))]) or windows[:1]

    def measure_or_load(window: Window) -> BlockSums:
        kept = journal.recall(block_name(window))
        if isinstance(kept, BlockSums) and kept.fit:
            return kept
        block = measure_block(window, working_grid, geometry, radiometry)
        journal.keep(block_name(window), block)
        return block

    if finish is not None and journal.folder is not None:
        by_name = {block_name(window): window for window in occupied}
        failed = finish(step, list(by_name), lambda name: measure_or_load(by_name[name]), journal.names(), progress)
        for name, reason in failed.items():
            _leave_out(geometry, by_name[name], f"could not be measured: {reason}")
        occupied, progress = [window for name, window in by_name.items() if name not in failed], None
    total = _Totals(len(geometry.centres), spread_over_blocks(geometry.body, block_px))
    for done, block in enumerate(in_order(measure_or_load, occupied, workers), start=1):
        if progress is not None:
            progress(done / len(occupied))
        total.add(block)
    return total.all()


def radiometries(
    working_grid: WorkingGrid, geometry: BuildingGeometry, known: Mapping[str, WindowSamples] | None = None
) -> dict[str, Radiometry]:
    """Measure the radiometry of the images, by role. known : by role, windows that were measured for other positions, and what is added to"""
    centres = geometry.centres[Window(0, 0, *working_grid.shape).holds(geometry.centres)]
    roles, known = [name for name in IMAGES if name in working_grid.layers], known or {}
    return {name: measure(working_grid.layers[name], centres, known.get(name)) for name in roles}


def _leave_out(geometry: BuildingGeometry, window: Window, reason: str) -> None:
    """Leave out the buildings that a block would have measured."""
    rows = np.union1d(geometry.body.touching(window), geometry.centres_in(window))
    geometry.left_out[rows[geometry.left_out[rows] == ""]] = reason


class _Totals:
    """Sums of N buildings in the making."""

    def __init__(self, count: int, spread: NDArray[np.bool_]) -> None:
        self._count = count
        self._spread = np.flatnonzero(spread)
        self._rows: dict[str, BuildingSums] = {}
        self._shifted: dict[str, BuildingSums] = {}

    def add(self, block: BlockSums) -> None:
        """Add one block, whose rows are freed one after the other."""
        for name, rows in _pop_rows(block.sums):
            _table(self._rows, name, self._count, rows.shape[1], 0.0)[block.sums.buildings] += rows
        for name, rows in _pop_rows(block.context):
            _table(self._rows, name, self._count, rows.shape[1], np.nan)[block.context.buildings] = rows
        for name, rows in _pop_rows(block.best):
            _table(self._rows, name, self._count, rows.shape[1], 0.0)[block.best.buildings] = rows
        index = np.searchsorted(self._spread, block.shifted.buildings)
        for name, rows in _pop_rows(block.shifted):
            _table(self._shifted, name, len(self._spread), rows.shape[1], 0.0)[index] += rows

    def all(self) -> dict[str, BuildingSums]:
        """Return the sums of all buildings, once every block is there."""
        for name, rows in best_of_shifts(self._shifted).items():
            self._rows[name][self._spread] = rows
        return self._rows


def _pop_rows(table: Table) -> Iterator[tuple[str, BuildingSums]]:
    while table.rows:
        yield table.rows.popitem()


def _table(total: dict[str, BuildingSums], name: str, rows: int, columns: int, empty: float) -> BuildingSums:
    if name not in total:
        total[name] = np.full((rows, columns), empty)
    return total[name]
