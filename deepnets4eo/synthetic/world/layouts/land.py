"""Open land: fields in parcels, orchards, hedgerows, rivers, ponds and lakes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from deepnets4eo.synthetic.world.layouts.clearance import Rectangles, distance_m, top_area
from deepnets4eo.synthetic.world.layouts.tables import draw_counts, draw_curve, table_rows, way_rows
from deepnets4eo.synthetic.world.plan import CROP_ROWS, DECIDUOUS, ELLIPSE, EVERGREEN, NO_ROWS, SHRUB, join_rows
from deepnets4eo.synthetic.world.vegetation import tree_rows

Extent = tuple[float, float]


def draw_parcels(extent_m: Extent, size_m: tuple[float, float], rng: np.random.Generator) -> Rectangles:
    """Divide a place and its surroundings into parcels (N, 5) of one direction without gaps, with sides of `size_m`
    (from, to)."""
    extent = np.array(extent_m)
    half = 0.5 * float(np.hypot(*extent)) + 10
    corners = np.array([[-half, half, -half, half]])
    limit = size_m[1] * np.array([1, rng.choice([1, 1, 0.6, 0.35])])
    for _ in range(12):
        sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 2]], axis=1)
        axis = np.argmax(sides / limit, axis=1)
        row = np.arange(len(corners))
        large = (sides[row, axis] > limit[axis]) & (sides[row, axis] > 2 * size_m[0])
        if not large.any():
            break
        low, high = corners[row, 2 * axis], corners[row, 2 * axis + 1]
        cut = low + (high - low) * rng.uniform(0.3, 0.7, len(row))
        one, other = corners.copy(), corners.copy()
        one[row, 2 * axis + 1], other[row, 2 * axis] = cut, cut
        corners = np.concatenate([np.where(large[:, None], one, corners), other[large]])
    turn = rng.uniform(0, np.pi)
    u, v = (corners[:, 0] + corners[:, 1]) / 2, (corners[:, 2] + corners[:, 3]) / 2
    x = extent[0] / 2 + u * np.cos(turn) - v * np.sin(turn)
    y = extent[1] / 2 + u * np.sin(turn) + v * np.cos(turn)
    length, width = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 2]
    parcels = np.column_stack([x, y, length, width, np.full(len(x), turn)])
    return parcels[(np.abs(parcels[:, :2] - extent / 2) < extent / 2 + (length + width)[:, None] / 2).all(axis=1)]


def field_rows(parcels: Rectangles, crops: dict[str, float], rng: np.random.Generator) -> NDArray[Any]:
    """Return fields on parcels (N, 5) as areas: crops by their shares, stubble, meadow, ploughed soil, most in rows,
    with a grassy border between."""
    shares = np.array(list(crops.values()))
    codes = np.array([materials.CODE[name] for name in crops])
    outlines = parcels.copy()
    outlines[:, 2:4] = np.maximum(outlines[:, 2:4] - rng.uniform(0, 3), 2)
    across = rng.random(len(outlines)) < 0.3  # rows run along the rectangle's long axis
    outlines[across, 2], outlines[across, 3] = outlines[across, 3], outlines[across, 2].copy()
    outlines[across, 4] += np.pi / 2
    count = len(outlines)
    return table_rows(
        "areas", outlines, material=codes[rng.choice(len(codes), count, p=shares / shares.sum())],
        pattern=np.where(rng.random(count) < 0.75, CROP_ROWS, NO_ROWS),
        period_m=np.exp(rng.uniform(np.log(0.6), np.log(9), count)), strength=rng.uniform(0.02, 0.5, count) ** 1.3,
        rough=rng.uniform(0, 0.3, count), tone=rng.normal(1, 0.14, count).clip(0.6, 1.4),
    )  # fmt: skip


def hedgerow_rows(
    parcels: Rectangles, share: float, areas: NDArray[Any], walls: Rectangles, rng: np.random.Generator
) -> NDArray[Any]:
    """Return rows of shrubs and trees along a share of the borders of parcels; none stands on ways, in water or near
    buildings (M, 5)."""
    own = parcels[rng.random(len(parcels)) < share]
    spacing = rng.uniform(1.2, 4)
    numbers = (own[:, 2] / spacing).astype(int)
    line = np.repeat(own, numbers, axis=0)
    rank = np.arange(len(line)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    along = rank * spacing - line[:, 2] / 2 + rng.normal(0, 0.4, len(line))
    across = -line[:, 3] / 2 + rng.normal(0, 0.4, len(line))
    x = line[:, 0] + along * np.cos(line[:, 4]) - across * np.sin(line[:, 4])
    y = line[:, 1] + along * np.sin(line[:, 4]) + across * np.cos(line[:, 4])
    tall = rng.random(len(x)) < rng.uniform(0, 0.6)
    rows = tree_rows(
        x, y, np.where(tall, rng.uniform(1.5, 4.5, len(x)), rng.uniform(0.7, 1.6, len(x))), SHRUB, (0.9, 1.6), rng
    )
    rows["kind"][tall] = DECIDUOUS
    rows["height_m"][tall] *= 1.7
    return rows[is_open(rows, areas) & (distance_m(x, y, walls) > rows["radius"])]


def is_open(rows: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N,) bool, whether trees stand on no way and in no water."""
    wet = np.isin(areas["material"], [materials.CODE[name] for name in ("water", "asphalt", "old_asphalt", "concrete")])
    track = (areas["pattern"] == NO_ROWS) & (np.minimum(areas["length"], areas["width"]) < 7)
    return ~np.append(wet | track, False)[top_area(rows["x"], rows["y"], areas)]


def orchard_rows(outline: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Return equal trees in rows on a rectangle (5,): fruit, olives, vines or young plantings."""
    x, y, length, width, angle = outline
    step_u, step_v = rng.uniform(2.2, 9), rng.uniform(3, 10)
    radius = rng.uniform(0.25, 0.55) * min(step_u, step_v)
    u, v = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(-length / 2 + 2, length / 2 - 1, step_u), np.arange(-width / 2 + 2, width / 2 - 1, step_v)
        )
    )
    kept = rng.random(len(u)) > rng.uniform(0, 0.2)
    u, v = u[kept] + rng.normal(0, 0.15, kept.sum()), v[kept] + rng.normal(0, 0.15, kept.sum())
    kind = int(rng.choice([DECIDUOUS, DECIDUOUS, EVERGREEN, SHRUB]))
    size = radius * rng.normal(1, 0.12, len(u)).clip(0.6, 1.4)
    return tree_rows(
        x + u * np.cos(angle) - v * np.sin(angle),
        y + u * np.sin(angle) + v * np.cos(angle),
        size,
        kind,
        (1.1, 1.7),
        rng,
    )


def water_rows(
    extent_m: Extent, rng: np.random.Generator, river: float, lake: float, ponds: tuple[int, int]
) -> NDArray[Any]:
    """Return water bodies with their banks as areas; `river` and `lake` are chances, `ponds` the number of ponds (from,
    to)."""
    groups = [table_rows("areas", np.zeros((0, 5)))]
    bank = str(rng.choice(["mud", "soil", "grass", "shrub"]))
    if rng.random() < river:
        course, width = draw_curve(extent_m, rng, rng.uniform(5, 70)), float(np.exp(rng.uniform(np.log(3), np.log(60))))
        groups += [
            way_rows(course, width + rng.uniform(2, 10), bank, rough=0.6),
            way_rows(course, width, "water", rough=rng.uniform(0, 0.5)),
        ]
    if rng.random() < lake:
        middle = rng.uniform(-0.1, 1.1, 2) * extent_m
        groups.append(_pools(middle + rng.normal(0, 30, (4, 2)), rng.uniform(50, 160, 4), bank, rng))
    count = int(draw_counts(rng, ponds, 1)[0])
    groups.append(_pools(rng.random((count, 2)) * extent_m, rng.uniform(6, 34, count), bank, rng))
    return join_rows(groups)


def _pools(
    middles: NDArray[np.float64], sizes: NDArray[np.float64], bank: str, rng: np.random.Generator
) -> NDArray[Any]:
    """Ragged ellipses of water, each over its bank; all banks lie below all water."""
    count = len(sizes)
    outlines = np.column_stack([middles, sizes, sizes * rng.uniform(0.4, 1, count), rng.uniform(0, np.pi, count)])
    wide = outlines + np.array([0, 0, 1, 1, 0]) * rng.uniform(2, 7)
    rough = rng.uniform(0.05, 0.5)
    return join_rows(
        [
            table_rows("areas", wide, shape=ELLIPSE, material=materials.CODE[bank], rough=rough + 0.2),
            table_rows("areas", outlines, shape=ELLIPSE, material=materials.CODE["water"], rough=rough),
        ]
    )
