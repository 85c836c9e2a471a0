"""Harmless changes on the ground: cars, fields, pools, earthworks, containers, stalls, trees that are felled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.layouts.clearance import keep_apart, outline_rows
from deepnets4eo.synthetic.world.layouts.palette import car_colours, vary
from deepnets4eo.synthetic.world.layouts.tables import table_rows
from deepnets4eo.synthetic.world.plan import AFTER, BEFORE, BOTH, CROP_ROWS, NO_ROWS, TABLES, Plan, join_rows

_FIELD_M2 = 150.0  # smaller patches are gardens
_SOFT = ("grass", "dry_grass", "soil", "mud")
_STREETS = ("asphalt", "old_asphalt")


def is_free(plan: Plan, rows: NDArray[Any], gap_m: float = 0.5) -> NDArray[np.bool_]:
    """Return (N,) bool, which rows of roofs, boxes or areas stand free of roofs, water, streets and one another by
    `gap_m`; a gap a little below 0 lets walls touch."""
    hard = np.isin(plan.areas["material"], [CODE[name] for name in (*_STREETS, "water", "pool")])
    taken = np.concatenate([outline_rows(plan.roofs), outline_rows(plan.areas[hard])])
    return keep_apart(outline_rows(rows), taken, gap_m)


def move_cars(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Let some cars leave, others come, and others stand where one was; `amount` of the change is about 0–1."""
    boxes = plan.boxes.copy()
    cars = np.flatnonzero((boxes["material"] == CODE["car"]) & (boxes["when"] == BOTH))
    moved = cars[rng.random(len(cars)) < 0.4 + 0.6 * amount]  # cars move even where little else changes
    fate = rng.choice(3, len(moved))
    boxes["when"][moved] = np.where(fate == 1, AFTER, BEFORE)
    others = plan.boxes[moved[fate == 2]]
    others["when"], others["colour"] = AFTER, car_colours(len(others), rng)
    return replace(plan, boxes=join_rows([boxes, others]))


def change_fields(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Harvest, plough or sow fields, and let lawns dry or grow; `amount` of the change is about 0–1."""
    areas = plan.areas
    soft = np.isin(areas["material"], [CODE[name] for name in _SOFT]) & (areas["when"] == BOTH)
    large = areas["length"] * areas["width"] > _FIELD_M2
    rows = np.flatnonzero(soft & large & (rng.random(len(areas)) < 0.2 + 0.8 * amount))
    after = areas[rows]
    n = len(after)
    field = after["pattern"] == CROP_ROWS  # others are lawns and open ground, not ploughed
    cover = np.array([CODE[name] for name in ("grass", "dry_grass", "soil", "soil")])
    after["material"] = np.where(field & (rng.random(n) < 0.7), cover[rng.integers(0, 4, n)], after["material"])
    lawn = ~field & np.isin(after["material"], cover[:2])
    after["material"] = np.where(lawn & (rng.random(n) < 0.4), cover[rng.integers(0, 2, n)], after["material"])
    after["tone"] *= rng.uniform(0.85, 1.18, n)
    worked = field & ((after["material"] == CODE["soil"]) | (rng.random(n) < 0.4))
    after["pattern"] = np.where(worked, CROP_ROWS, NO_ROWS)
    after["period_m"], after["strength"] = rng.uniform(0.8, 6.0, n), rng.uniform(0.1, 0.6, n)
    return _renew_areas(plan, rows, after)


def cover_pools(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Cover or uncover pools, and empty others; `amount` of the change is about 0–1."""
    pools = plan.areas["material"] == CODE["pool"]
    pools &= (plan.areas["when"] == BOTH) & (rng.random(len(plan.areas)) < 0.2 + 0.5 * amount)
    rows = np.flatnonzero(pools)
    empty = rng.random(len(rows)) < 0.4
    after = plan.areas[rows[empty]]
    after["material"], after["tone"] = CODE["concrete"], rng.uniform(0.7, 1.1, len(after))
    base = plan.areas[rows[~empty]]
    tones = [(60, 84, 130), (72, 104, 96), (150, 152, 154)]
    covers = box_rows(
        base, 0.15, vary(tones[int(rng.integers(3))], len(base), rng), "wood", int(rng.choice([BEFORE, AFTER]))
    )
    return _renew_areas(plan, rows[empty], after).with_rows(boxes=covers)


def dig(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Dig up or fill open ground, which shows bare earth with heaps and machines; `amount` of the change is about 0–1."""
    count = int(rng.poisson(3 * amount))
    rows = _anywhere(plan, count, (5.0, 40.0), rng)
    rows = rows[is_free(plan, rows, 1.0)]
    date = int(rng.choice([BEFORE, AFTER, AFTER]))
    rows["material"], rows["tone"], rows["rough"] = CODE["soil"], rng.uniform(0.85, 1.25, len(rows)), 0.7
    rows["when"] = date
    heaps = np.repeat(rows, rng.integers(0, 8, len(rows)))
    n = len(heaps)
    heaps["x"] += rng.uniform(-0.35, 0.35, n) * heaps["width"]
    heaps["y"] += rng.uniform(-0.35, 0.35, n) * heaps["width"]
    heaps["length"], heaps["width"] = rng.uniform(1.0, 6.0, n), rng.uniform(1.0, 3.0, n)
    heaps["angle"] = rng.uniform(0, np.pi, n)
    colour = vary((150, 128, 100), n, rng, 0.15)
    colour[rng.random(n) < 0.2] = (214, 168, 52, 180)  # machines
    boxes = box_rows(heaps, rng.uniform(0.4, 2.5, n), colour, "rubble", date)
    return plan.with_rows(areas=rows, boxes=boxes)


def put_things_on_ground(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Put containers, market stalls, stacks or tarps on free ground, or take them away; `amount` of the change is about
    0–1."""
    kind = rng.integers(3)
    count = int(rng.poisson(12 * amount))
    size, height = [((5.9, 12.3), 2.6), ((2.0, 4.0), 2.3), ((2.0, 9.0), 0.2)][kind]
    rows = _anywhere(plan, count, size, rng)
    rows["width"] = 2.45 if kind == 0 else rows["width"]
    if kind == 1 and count:  # stalls stand together
        middle = rng.uniform(0.1, 0.9, 2) * plan.extent_m
        rows["x"], rows["y"] = (middle[axis] + rng.normal(0, 12, count) for axis in (0, 1))
    rows = rows[is_free(plan, rows)]
    tones = np.array([[60, 96, 170], [196, 60, 48], [216, 212, 204], [80, 130, 96], [206, 166, 70], [176, 84, 60]])
    colour = vary((1.0, 1.0, 1.0), len(rows), rng)
    colour[:, :3] = tones[rng.integers(0, len(tones), len(rows))] * rng.uniform(0.8, 1.1, (len(rows), 1))
    colour[:, 3] = 0.8 * colour[:, 0] + 30
    return plan.with_rows(boxes=box_rows(rows, height, colour, "wood", int(rng.choice([BEFORE, AFTER, AFTER]))))


def fell_trees(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Fell some trees and shrubs, and let others grow up; `amount` of the change is about 0–1."""
    trees = plan.trees.copy()
    rows = np.flatnonzero((trees["when"] == BOTH) & (rng.random(len(trees)) < 0.12 * amount))
    trees["when"][rows] = rng.choice([BEFORE, BEFORE, AFTER], len(rows))
    return replace(plan, trees=trees)


def box_rows(rows: NDArray[Any], height_m: Any, colour: NDArray[Any], material: str, when: int) -> NDArray[Any]:
    """Return (N,) boxes over the rectangles of rows, with heights, display colours (N, 4), a material name, and the
    date BEFORE, AFTER or BOTH."""
    columns = {"height_m": height_m, "colour": colour, "material": CODE[material], "when": when}
    return table_rows("boxes", outline_rows(rows), **columns)


def _anywhere(plan: Plan, count: int, size_m: tuple[float, float], rng: np.random.Generator) -> NDArray[Any]:
    """Areas of drawn sizes anywhere on the site."""
    rows = np.zeros(count, TABLES["areas"])
    rows["x"], rows["y"] = rng.uniform(0, plan.extent_m[0], count), rng.uniform(0, plan.extent_m[1], count)
    rows["length"] = rng.uniform(*size_m, count)
    rows["width"] = rows["length"] * rng.uniform(0.4, 1.0, count)
    rows["angle"] = rng.uniform(0, np.pi)
    return rows


def _renew_areas(plan: Plan, rows: NDArray[np.intp], after: NDArray[Any]) -> Plan:
    """The plan with other areas after, each painted where its old one was in the order."""
    before = plan.areas.copy()
    before["when"][rows] = BEFORE
    after["when"] = AFTER
    return replace(plan, areas=np.insert(before, rows + 1, after))
