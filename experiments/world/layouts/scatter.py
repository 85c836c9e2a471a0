"""Scattered settlement: sites along lanes or in open land, each with its buildings around a yard, fields between.

Villages, farms, rural North America and rural Africa differ only by the numbers of their styles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from world.layouts.clearance import Rectangles, distance_m, keep_apart, outline_rows
from world.layouts.land import (
    draw_parcels,
    field_rows,
    hedgerow_rows,
    is_open,
    orchard_rows,
    water_rows,
)
from world.layouts.tables import (
    add_buildings,
    draw_counts,
    draw_curve,
    draw_outline_sizes,
    draw_types,
    draw_within,
    roof_rows,
    start_plan,
    table_rows,
    vary,
    way_rows,
)
from world.plan import ELLIPSE, NO_BUILDING, Plan, join_rows
from world.style import WorldStyle

TRIES = 8  # positions drawn for each building; the first that is free is taken


@dataclass(frozen=True)
class Sites:
    """Where people live: middles (S, 2) metres, angle (S,) radians, way (S, 2) the nearest point of a lane (NaN without lanes)."""

    middle: NDArray[np.float64]
    angle: NDArray[np.float64]
    way: NDArray[np.float64]


def scatter(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out a scattered settlement over (width, height) metres, with trees of orchards and hedgerows only; the
    style's spans are (from, to), numbers without a unit are shares, chances or counts."""
    numbers = style.numbers
    plan = start_plan(style, extent_m, rng)
    parcels = draw_parcels(extent_m, numbers["field_m"], rng)
    tilled = parcels[rng.random(len(parcels)) < style.draw(rng, "fields")]
    water = water_rows(extent_m, rng, numbers["river"], numbers["lake"], numbers["ponds"])
    lanes, courses = _lanes(style, extent_m, rng)
    sites = _sites(style, extent_m, courses, outline_rows(water), rng)
    grounds = [
        field_rows(tilled, numbers["crops"], rng),
        water,
        _yards(style, sites, rng),
        _drives(style, sites, rng),
        lanes,
    ]
    plan = plan.with_rows(areas=join_rows(grounds))
    plan = _add_types(plan, style, sites, outline_rows(join_rows([water, lanes])), rng)
    walls = outline_rows(plan.roofs)
    orchards = [
        orchard_rows(row, rng)
        for row in parcels[rng.permutation(len(parcels))[: int(draw_counts(rng, numbers["orchards"], 1)[0])]]
    ]
    trees = join_rows([table_rows("trees", x=np.zeros(0)), *orchards])
    trees = trees[is_open(trees, plan.areas) & (distance_m(trees["x"], trees["y"], walls) > 2)]
    hedges = hedgerow_rows(parcels, style.draw(rng, "hedges"), plan.areas, walls, rng)
    boxes = join_rows([_fences(style, sites, walls, rng), _junk(style, sites, walls, rng)])
    return plan.with_rows(boxes=boxes, trees=join_rows([trees, hedges]))


def _lanes(
    style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Areas of the lanes, and their points with the direction there, (K, 3)."""
    rows, courses = [table_rows("areas", np.zeros((0, 5)))], [np.zeros((0, 3))]
    straight = rng.random() < style.numbers["straight_lanes"]
    heading = rng.uniform(0, np.pi)
    for index in range(int(draw_counts(rng, style.numbers["lanes"], 1)[0])):
        if straight:  # of a survey grid: along and across one direction, with hardly a bend
            points = draw_curve(extent_m, rng, 0.8, heading + index % 2 * np.pi / 2 + rng.normal(0, 0.02))
        else:
            points = draw_curve(extent_m, rng, style.draw(rng, "meander_m"))
        material = str(rng.choice(style.numbers["lane_materials"]))
        rough, tone = 0.1 if "asphalt" in material else 0.6, rng.uniform(0.9, 1.15)
        rows.append(way_rows(points, style.draw(rng, "lane_m"), material, rough=rough, tone=tone))
        step = np.gradient(points, axis=0)
        courses.append(np.column_stack([points, np.arctan2(step[:, 1], step[:, 0])]))
    return np.concatenate(rows), np.concatenate(courses)


def _sites(
    style: WorldStyle,
    extent_m: tuple[float, float],
    courses: NDArray[np.float64],
    water: Rectangles,
    rng: np.random.Generator,
) -> Sites:
    """Sites beside lanes and in open land, a least distance apart and on dry land."""
    count = int(rng.poisson(style.draw(rng, "sites_per_ha") * extent_m[0] * extent_m[1] / 1e4))
    middle, angle = rng.uniform(-0.04, 1.04, (count, 2)) * extent_m, np.full(count, rng.uniform(0, np.pi))
    within = (courses[:, :2] > -10).all(axis=1) & (courses[:, :2] < np.array(extent_m) + 10).all(axis=1)
    courses = courses[within]
    beside = (rng.random(count) < style.draw(rng, "along_lanes")) & bool(len(courses))
    if beside.any():
        own = courses[rng.integers(len(courses), size=beside.sum())]
        away = rng.choice([-1, 1], len(own)) * draw_within(rng, style.numbers["setback_m"], len(own))
        middle[beside] = own[:, :2] + away[:, None] * np.column_stack([-np.sin(own[:, 2]), np.cos(own[:, 2])])
        angle[beside] = own[:, 2]
    gap = style.draw(rng, "site_gap_m")
    apart = keep_apart(np.column_stack([middle, np.full((count, 2), gap), angle]), np.zeros((0, 5)), 0.0)
    apart &= distance_m(middle[:, 0], middle[:, 1], water) > 8
    middle, angle = middle[apart], angle[apart] + rng.normal(0, style.numbers["askew"], apart.sum())
    way = np.full(middle.shape, np.nan)
    if len(courses):
        way = courses[np.argmin(((middle[:, None] - courses[:, :2]) ** 2).sum(axis=2), axis=1), :2]
    return Sites(middle, angle, way)


def _add_types(plan: Plan, style: WorldStyle, sites: Sites, taken: Rectangles, rng: np.random.Generator) -> Plan:
    """Buildings of all types around their sites: the main ones first, each at the first free of some positions."""
    types = style.numbers["buildings"]
    candidates, kinds = [], []
    for index, row in enumerate(types):
        numbers = draw_counts(rng, row["count"], len(sites.middle))
        numbers *= rng.random(len(numbers)) < row.get("share", 1)
        site = np.repeat(np.arange(len(sites.middle)), numbers)
        length, width = draw_outline_sizes(row, len(site), rng)
        away = draw_within(rng, row["spread_m"], (len(site), TRIES))
        turn = rng.uniform(0, 2 * np.pi, (len(site), TRIES))
        x, y = sites.middle[site, 0, None] + away * np.cos(turn), sites.middle[site, 1, None] + away * np.sin(turn)
        quarter = rng.integers(2, size=(len(site), TRIES)) * np.pi / 2 + rng.normal(0, style.numbers["askew"], x.shape)
        angle = sites.angle[site, None] + quarter
        sizes = [np.broadcast_to(values[:, None], x.shape) for values in (length, width)]
        candidates.append(np.stack([x, y, *sizes, angle], axis=2).reshape(-1, 5))
        kinds.append(np.full(len(candidates[-1]), index))
    outlines, kind = np.concatenate(candidates), np.concatenate(kinds)
    apart = keep_apart(outlines, taken, style.numbers["gap_m"], np.arange(len(outlines)) // TRIES)
    outlines, kind = outlines[apart], kind[apart]
    for index, row in enumerate(types):
        own = outlines[kind == index]
        roofs, eave = draw_types(style, row.get("roofs"), len(own), rng), draw_within(rng, row["eave_m"], len(own))
        if row.get("building", True):
            plan = add_buildings(plan, style, own, roofs, eave, rng)
        else:
            plan = plan.with_rows(roofs=roof_rows(style, own, roofs, eave, NO_BUILDING, rng))
    return _add_wings(plan, taken, float(style.draw(rng, "wings")), rng)


def _add_wings(plan: Plan, taken: Rectangles, share: float, rng: np.random.Generator) -> Plan:
    """A second part across the first, for some buildings that are long enough and have room."""
    roofs = plan.roofs
    main = np.flatnonzero((roofs["building"] >= 0) & (roofs["length"] > 9) & (rng.random(len(roofs)) < share))
    rows = roofs[main].copy()
    width = rows["length"] * rng.uniform(0.3, 0.55, len(rows))
    reach = rows["width"] * rng.uniform(0.3, 0.8, len(rows))
    u = (rows["length"] - width) / 2 * rng.choice([-1, 0.9, 1], len(rows))
    v = reach / 2 * rng.choice([-1, 1], len(rows))
    cosine, sine = np.cos(rows["angle"]), np.sin(rows["angle"])
    rows["x"] += u * cosine - v * sine
    rows["y"] += u * sine + v * cosine
    rows["length"], rows["width"], rows["angle"] = rows["width"] + reach, width, rows["angle"] + np.pi / 2
    before = np.concatenate([outline_rows(roofs), taken])
    groups = np.concatenate([roofs["building"] + 1, np.full(len(taken), -2)])
    rows = rows[keep_apart(outline_rows(rows), before, 0.8, rows["building"] + 1, groups)]
    buildings = plan.buildings.copy()
    own = buildings[rows["building"]]
    reach = np.hypot(rows["x"] - own["x"], rows["y"] - own["y"]) + np.hypot(rows["length"], rows["width"]) / 2
    np.maximum.at(buildings["radius_m"], rows["building"], reach)
    return replace(plan, buildings=buildings).with_rows(roofs=rows)


def _yards(style: WorldStyle, sites: Sites, rng: np.random.Generator) -> NDArray[Any]:
    """Ground of gardens and yards around the sites, in the order of the style."""
    groups = [table_rows("areas", np.zeros((0, 5)))]
    for row in style.numbers["yards"]:
        own = rng.random(len(sites.middle)) < row["share"]
        size = 2 * draw_within(rng, row["radius_m"], (own.sum(), 2))
        outlines = np.column_stack([sites.middle[own] + rng.normal(0, 2, size.shape), size, sites.angle[own]])
        groups.append(
            table_rows(
                "areas", outlines, shape=ELLIPSE, material=materials.CODE[row["material"]],
                rough=rng.uniform(0.2, 0.8, len(outlines)), tone=rng.normal(1, 0.08, len(outlines)).clip(0.8, 1.2),
            )
        )  # fmt: skip
    return join_rows(groups)


def _drives(style: WorldStyle, sites: Sites, rng: np.random.Generator) -> NDArray[Any]:
    """Dirt tracks from sites to their lane, with one bend."""
    own = (rng.random(len(sites.middle)) < style.numbers["drives"]) & np.isfinite(sites.way).all(axis=1)
    middle, way = sites.middle[own], sites.way[own]
    size = np.hypot(*(way - middle).T)[:, None]
    bend = (middle + way) / 2 + rng.normal(0, 0.12, middle.shape) * size
    start = middle + rng.normal(0, 1, middle.shape) * np.minimum(0.15 * size, 4)
    first, last = np.concatenate([start, bend]), np.concatenate([bend, way])
    step = last - first
    width = np.tile(rng.uniform(2, 3.6, len(middle)), 2)
    length = np.hypot(*step.T) + 0.4 * width
    outlines = np.column_stack([(first + last) / 2, length, width, np.arctan2(step[:, 1], step[:, 0])])
    code = materials.CODE[style.numbers["drive_material"]]
    return table_rows("areas", outlines, material=code, rough=0.5, tone=1.08)


def _fences(style: WorldStyle, sites: Sites, walls: Rectangles, rng: np.random.Generator) -> NDArray[Any]:
    """Rings of fences, walls or thorn hedges around sites, with an entrance."""
    own = np.flatnonzero(rng.random(len(sites.middle)) < style.draw(rng, "fences"))
    corners = int(rng.choice([4, 10, 14]))
    radius = rng.uniform(11, 24, (len(own), 1)) * rng.normal(1, 0.06, (len(own), corners))
    turn = sites.angle[own, None] + (np.arange(corners) + 0.5) / corners * 2 * np.pi
    x, y = sites.middle[own, 0, None] + radius * np.cos(turn), sites.middle[own, 1, None] + radius * np.sin(turn)
    dx, dy = np.roll(x, -1, axis=1) - x, np.roll(y, -1, axis=1) - y
    length = np.hypot(dx, dy)
    shapes = [x + dx / 2, y + dy / 2, length, np.full_like(x, rng.uniform(0.12, 0.5)), np.arctan2(dy, dx)]
    outlines = np.stack(shapes, axis=2)[:, 1:].reshape(-1, 5)
    outlines = outlines[keep_apart(outlines, walls, -0.3) if len(outlines) else slice(0)]
    colour = np.array([[120, 98, 78], [150, 140, 126], [90, 92, 74], [140, 100, 72]], float)[
        [rng.integers(4)] * len(outlines)
    ]
    return table_rows(
        "boxes",
        outlines,
        height_m=rng.uniform(0.7, 1.9),
        material=materials.CODE["wood"],
        colour=vary(colour, len(outlines), rng, 0.13),
    )


def _junk(style: WorldStyle, sites: Sites, walls: Rectangles, rng: np.random.Generator) -> NDArray[Any]:
    """Cars, trailers, heaps, sheets and machines around the sites."""
    site = np.repeat(np.arange(len(sites.middle)), rng.poisson(style.draw(rng, "junk"), len(sites.middle)))
    car = rng.random(len(site)) < 0.35
    length = np.where(car, rng.uniform(3.8, 5.6, len(site)), rng.uniform(0.5, 4.5, len(site)))
    width = np.where(car, rng.uniform(1.7, 2.1, len(site)), length * rng.uniform(0.3, 1, len(site)))
    away, turn = rng.uniform(3, 24, len(site)), rng.uniform(0, 2 * np.pi, len(site))
    x, y = sites.middle[site, 0] + away * np.cos(turn), sites.middle[site, 1] + away * np.sin(turn)
    outlines = np.column_stack([x, y, length, width, rng.uniform(0, np.pi, len(site))])
    shades = np.array(
        [[200, 200, 198], [60, 62, 66], [130, 126, 120], [120, 50, 44], [60, 80, 120], [150, 110, 80], [90, 84, 76]],
        float,
    )
    rows = table_rows(
        "boxes", outlines, height_m=np.where(car, 1.5, rng.uniform(0.2, 2.2, len(site))),
        material=np.where(car, materials.CODE["car"], materials.CODE["rubble"]),
        colour=vary(shades[rng.integers(len(shades), size=len(site))], len(site), rng, 0.13),
    )  # fmt: skip
    return rows[distance_m(x, y, walls) > np.hypot(length, width) / 2]
