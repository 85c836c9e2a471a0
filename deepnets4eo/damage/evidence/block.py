"""One block of the pass: read, measure the pixels, and sum over the parts of buildings that lie in it.

Takes a window of the working grid; gives sums per building for the collector to add up. Cost: pixels of the block
plus pixels of the buildings in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.canvas import Canvas
from deepnets4eo.damage.evidence.context import CELL_PX, FAR_M, NEAR_M, lowest_ground, open_means
from deepnets4eo.damage.evidence.filters import Map, box
from deepnets4eo.damage.evidence.maps import Maps, measure_maps
from deepnets4eo.damage.evidence.outlines import Edges, Ints, fill, trace
from deepnets4eo.damage.evidence.radiometry import Radiometry
from deepnets4eo.damage.evidence.sums import Groups, Rows, correlation_sums
from deepnets4eo.grid import Window

BLOCK_PX = 1024
MARGIN_PX = 96  # a multiple of the cell, wide enough for the widest context, the shifts and the filters
SHIFT_M = 2.0  # farthest that outlines and chips are moved to find their best place
SHIFT_STEPS = 2  # on either side
BODY_M = 1.0  # similarity is taken over the building and its edge
SHADOW_M = (1.0, 2.0, 3.0)  # distances from the wall where shadow is looked for
SHADOW_LIGHT = -0.5  # contrast units below the typical level
DIRECTIONS = 8
IMAGES = ("pre", "post")



@dataclass(frozen=True)
class Outlined:
    """The buildings of a job in working pixels: their outlines, and the same grown by a metre."""

    own: Edges
    body: Edges
    centres: NDArray[np.float64]  # (N, 2) row, col


@dataclass(frozen=True)
class BlockSums:
    """Sums of one block: `own` and values by name for some buildings, and context for those centred in the block."""

    buildings: Ints
    sums: dict[str, Rows]
    centred: Ints
    context: dict[str, Rows]


@dataclass(frozen=True)
class _View:
    """Maps of one image in a block, and the window they cover."""

    maps: Maps
    window: Window


def measure_block(
    window: Window, canvas: Canvas, outlined: Outlined, radiometry: dict[str, Radiometry]
) -> BlockSums | None:
    """Sums of one block, or None where it holds no building.

    Peak memory: some 40 float32 maps of the block and its margin (230 MB for 1024 pixels).
    """
    buildings = outlined.body.touching(window)
    if not len(buildings):
        return None
    around = window.grown(MARGIN_PX)
    views = {name: _view(canvas, name, around, radiometry[name]) for name in IMAGES if name in canvas.layers}
    sums = _inside_sums(canvas, outlined.own, buildings, window, views)
    for name, view in views.items():
        sums |= {f"{name}_{key}": value for key, value in _outline_sums(outlined.own, buildings, window, view, canvas).items()}
    if "pre" in views:
        sums |= _pair_sums(outlined.body, buildings, window, views, canvas)
    centred, context = _context(canvas, outlined, window, around, views)
    return BlockSums(buildings, sums, centred, context)


def shifts_px(gsd_m: float) -> Ints:
    """(S, 2) shifts (row, col) up to 2 m, the zero shift among them."""
    step = max(1, round(SHIFT_M / SHIFT_STEPS / gsd_m))
    along = np.arange(-SHIFT_STEPS, SHIFT_STEPS + 1) * step
    return np.array([(row, col) for row in along for col in along], dtype=np.int64)


def _view(canvas: Canvas, name: str, around: Window, radiometry: Radiometry) -> _View:
    data, valid = canvas.read(name, around)
    return _View(measure_maps(data, valid, radiometry, canvas.gsd_m), around)


def _inside_sums(
    canvas: Canvas, edges: Edges, buildings: Ints, window: Window, views: dict[str, _View]
) -> dict[str, Rows]:
    """Sums over the pixels inside the outlines, per image over its valid ones."""
    owner, pixel = fill(edges, buildings, window)
    row, col = np.divmod(pixel, window.width)
    everything = Groups(owner, len(buildings))
    sums = {"pixels": everything.sum([np.ones(len(owner), np.float32)])}
    flat = (row + MARGIN_PX) * (window.width + 2 * MARGIN_PX) + col + MARGIN_PX
    for name, view in views.items():
        usable = view.maps.valid.ravel()[flat]
        sums[f"{name}_inside"] = Groups(owner[usable], len(buildings)).sum(_inside_values(view.maps, flat[usable]))
    if "cloud" in canvas.layers:
        cloud, known = canvas.read("cloud", window)
        sums["cloud"] = everything.sum([((cloud[0] != 0) & known).ravel()[pixel].astype(np.float32)])
    for name in ("dsm_pre", "dsm_post"):
        if name in canvas.layers:
            height, known = canvas.read(name, window)
            good = known.ravel()[pixel]
            high = height[0].astype(np.float64).ravel()[pixel[good]]
            sums[name] = Groups(owner[good], len(buildings)).sum([np.ones_like(high), high])
    return sums


INSIDE = ("count", "light", "light2", "rough", "floor", "log_floor", "edge", "edge2", "right_cos", "right_sin",
          "line_cos", "line_sin", "red", "green", "blue", "vegetation", "tarp")  # fmt: skip


def _inside_values(maps: Maps, flat: Ints) -> list[NDArray[np.generic]]:
    """The value arrays summed inside an outline, in the order of INSIDE."""
    light, rough, floor = (band.ravel()[flat] for band in (maps.light, maps.rough, maps.floor))
    down, right = maps.along_row.ravel()[flat], maps.along_col.ravel()[flat]
    red, green, blue = (band.ravel()[flat] for band in (maps.red, maps.green, maps.blue))
    squared = down * down + right * right
    line_cos, line_sin = right * right - down * down, 2 * down * right  # |g|² times cos, sin of twice the direction
    length = squared + np.float32(1e-9)
    right_cos = (line_cos * line_cos - line_sin * line_sin) / length  # … and of four times: mod 90°
    right_sin = 2 * line_cos * line_sin / length
    values = [np.ones_like(light), light, light * light, rough, floor, np.log2(floor + np.float32(0.003))]
    values += [maps.edge.ravel()[flat], squared, right_cos, right_sin, line_cos, line_sin, red, green, blue]
    return [*values, (2 * green - red - blue > 0.06), (blue - red > 0.12)]


def _outline_sums(edges: Edges, buildings: Ints, window: Window, view: _View, canvas: Canvas) -> dict[str, Rows]:
    """Edge strength across the outline for each shift, and light outside the walls by the way they face."""
    owner, at, normal = trace(edges, buildings)
    inside = (at[:, 0] >= window.row) & (at[:, 0] < window.row + window.height)
    inside &= (at[:, 1] >= window.col) & (at[:, 1] < window.col + window.width)
    owner, at, normal = owner[inside], at[inside], normal[inside].astype(np.float32)
    groups, width = Groups(owner, len(buildings)), view.window.width
    flat = _flat(at, view.window)
    down, right = view.maps.along_row.ravel(), view.maps.along_col.ravel()
    values: list[NDArray[np.generic]] = []
    for row, col in shifts_px(canvas.gsd_m):
        place = flat + row * width + col
        values.append(np.abs(down[place] * normal[:, 0] + right[place] * normal[:, 1]))
    light = view.maps.light.ravel()
    outside = [light[_flat(at + normal * (metres / canvas.gsd_m), view.window)] for metres in SHADOW_M]
    dark = np.mean([value < SHADOW_LIGHT for value in outside], axis=0, dtype=np.float32)
    facing = np.floor((np.arctan2(normal[:, 0], normal[:, 1]) / (2 * np.pi) + 1 / 16) * DIRECTIONS).astype(int) % DIRECTIONS
    shadow = [np.where(facing == way, value, 0) for value in (dark, np.ones_like(dark)) for way in range(DIRECTIONS)]
    return {"outline": groups.sum(values), "shadow": groups.sum(shadow)}


def _flat(at: NDArray[np.float64], window: Window) -> Ints:
    row = np.clip(np.floor(at[:, 0]).astype(np.int64) - window.row, 0, window.height - 1)
    col = np.clip(np.floor(at[:, 1]).astype(np.int64) - window.col, 0, window.width - 1)
    return row * window.width + col


def _pair_sums(
    edges: Edges, buildings: Ints, window: Window, views: dict[str, _View], canvas: Canvas
) -> dict[str, Rows]:
    """What the similarity of post and pre needs, over pixels valid in both."""
    owner, pixel = fill(edges, buildings, window)
    row, col = np.divmod(pixel, window.width)
    width = window.width + 2 * MARGIN_PX
    flat = (row + MARGIN_PX) * width + col + MARGIN_PX
    post, pre = views["post"].maps, views["pre"].maps
    usable = (post.valid & pre.valid).ravel()[flat]
    owner, flat = owner[usable], flat[usable]
    groups = Groups(owner, len(buildings))
    shifts = shifts_px(canvas.gsd_m)
    offsets = shifts[:, 0] * width + shifts[:, 1]
    sums = {"pair": groups.sum([np.ones(len(flat), np.float32)])}
    for key, first, second in (("edges", _soft(post.edge), _soft(pre.edge)), ("light", post.light, pre.light)):
        sums[f"pair_{key}"] = correlation_sums(groups, flat, first, second, offsets)
    return sums


def _soft(edge: Map) -> Map:
    return box(np.sqrt(edge), 3)


CONTEXT = ("light", "light2", "rough", "log_floor", "red", "green", "blue", "edge")


def _context(
    canvas: Canvas, outlined: Outlined, window: Window, around: Window, views: dict[str, _View]
) -> tuple[Ints, dict[str, Rows]]:
    """Means over the open ground around the buildings centred in the block."""
    centre = np.floor(outlined.centres)
    with np.errstate(invalid="ignore"):
        inside = (centre[:, 0] >= window.row) & (centre[:, 0] < window.row + window.height)
        inside &= (centre[:, 1] >= window.col) & (centre[:, 1] < window.col + window.width)
    centred = np.flatnonzero(inside)
    if not len(centred):
        return centred, {}
    built = np.zeros(around.height * around.width, bool)
    built[fill(outlined.body, outlined.body.touching(around), around)[1]] = True
    open_ground = ~built.reshape(around.height, around.width)
    rows, cols = (centre[centred] - (around.row, around.col)).astype(np.int64).T // CELL_PX
    context = {}
    for name, view in views.items():
        maps, ground = view.maps, open_ground & view.maps.valid
        values = [maps.light, maps.light * maps.light, maps.rough, np.log2(maps.floor + np.float32(0.003))]
        values += [maps.red, maps.green, maps.blue, maps.edge]
        for reach, radius_m in (("near", NEAR_M), ("far", FAR_M)):
            context[f"{name}_{reach}"] = open_means(values, ground, (rows, cols), radius_m, canvas.gsd_m)
    for name in ("dsm_pre", "dsm_post"):
        if name in canvas.layers:
            height, known = canvas.read(name, around)
            ground = open_ground & known
            context[f"{name}_ground"] = lowest_ground(height[0].astype(np.float32), ground, (rows, cols), canvas.gsd_m)[:, None]
    return centred, context
