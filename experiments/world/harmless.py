"""Changes between two dates that are no damage: people build, park, mend, dig and tidy up.

Takes a plan whose objects are there at both dates; returns one whose dates differ. A building that people take down is
there BEFORE only, a new one AFTER only: such buildings have no grade of damage, and are to be left out of its truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from world.layouts.clearance import keep_apart, outline_rows
from world.layouts.tables import add_infrared, car_colours, table_rows, vary
from world.plan import (
    AFTER,
    BEFORE,
    BOTH,
    CROP_ROWS,
    FLAT,
    GABLE,
    HIP,
    MONO,
    NO_BUILDING,
    NO_ROWS,
    PLAIN,
    SHEETS,
    TABLES,
    TILES,
    Plan,
    join_rows,
)

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


_USUAL = 0.55  # chance of each kind of change at a site
_NEW_COLOURS = np.array(
    [[176, 104, 78], [96, 94, 96], [206, 204, 198], [150, 150, 150], [120, 78, 62], [88, 112, 150], [140, 146, 132]]
)


def change(plan: Plan, rng: np.random.Generator) -> Plan:
    """Change a plan between its dates as people and seasons of work do, without damage.

    Parameters
    ----------
    plan : the plan; its objects are there at both dates
    rng : source of all draws

    Returns
    -------
    Plan
        With objects that are there at one date only. Few or many of the kinds of change happen, each to few or many
        objects; at some sites none.
    """
    amount = float(rng.beta(1.0, 2.2))  # of all changes at this site
    for act in _ACTS:
        if rng.random() < _USUAL:
            plan = act(plan, amount * rng.uniform(0.3, 1.7), rng)
    return plan


def roof_again(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Give some buildings a new covering of another colour, and clean or weather others; `amount` of the change is
    about 0–1."""
    count = len(plan.buildings)
    draw = rng.random(count)
    renewed, toned = draw < 0.12 * amount, (draw > 1 - 0.4 * amount)
    owner, own = plan.roofs["building"], _of_buildings(plan)
    if not own.any():
        return plan
    colour = add_infrared(_NEW_COLOURS[rng.integers(0, len(_NEW_COLOURS), count)] * rng.normal(1, 0.08, (count, 1)))
    tone = np.where(rng.random(count) < 0.5, rng.uniform(1.08, 1.35, count), rng.uniform(0.7, 0.93, count))
    rows = np.flatnonzero(own & (renewed | toned)[owner])
    after = plan.roofs[rows]
    new = renewed[after["building"]]
    pick = rng.choice([TILES, SHEETS, PLAIN], count).astype(np.uint8)[after["building"]]
    after["colour"] = np.where(
        new[:, None], colour[after["building"]], after["colour"] * tone[after["building"], None]
    ).clip(6, 250)
    after["surface"] = np.where(new & (after["kind"] != FLAT), pick, after["surface"])
    after["relief"] *= np.where(tone[after["building"]] > 1, 0.5, 1.3)
    return _renew_roofs(plan, rows, after)


def extend(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Add extensions to buildings, sheds and carports beside them, and new buildings on free ground, all at the later
    date; `amount` of the change is about 0–1."""
    own = np.flatnonzero(_of_buildings(plan))
    chosen_rows = own[rng.random(len(own)) < 0.1 * amount]
    base = plan.roofs[chosen_rows]
    n = len(base)
    rows = base.copy()
    rows["length"], rows["width"] = np.minimum(rng.uniform(3, 8, n), base["length"]), rng.uniform(2.2, 4.5, n)
    side = rng.choice([-1.0, 1.0], n)
    across = side * (base["width"] + rows["width"]) / 2
    rows["x"] = base["x"] - across * np.sin(base["angle"])
    rows["y"] = base["y"] + across * np.cos(base["angle"])
    rows["eave_m"] = np.minimum(base["eave_m"], 2.7)
    rows["kind"], rows["rise"] = rng.choice([FLAT, MONO], n), 0.15
    rows["colour"] = vary((150, 146, 140), n, rng, 0.2)
    shed = rng.random(n) < 0.5
    rows["building"][shed] = NO_BUILDING
    rows["x"][shed] -= (side * np.sin(base["angle"]))[shed] * 1.5
    rows["y"][shed] += (side * np.cos(base["angle"]))[shed] * 1.5
    rows["when"] = AFTER
    free = is_free(plan, rows, -0.05)  # walls touch
    return _build_new(plan.with_rows(roofs=rows[free]), amount, rng)


def _build_new(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """New buildings that look like one of the site, on ground of their own with a strip of earth."""
    own = np.flatnonzero(_of_buildings(plan))
    count = min(int(rng.poisson(3 * amount)), len(own))
    if not count:
        return plan
    rows = plan.roofs[rng.choice(own, count, replace=False)].copy()
    rows["x"], rows["y"] = rng.uniform(0, plan.extent_m[0], count), rng.uniform(0, plan.extent_m[1], count)
    rows["when"] = AFTER
    rows = rows[is_free(plan, rows, 2.0)]
    model = plan.buildings[rows["building"]]
    model["x"], model["y"], model["when"] = rows["x"], rows["y"], AFTER
    model["radius_m"] = np.hypot(rows["length"], rows["width"]) / 2
    model["key"] = rng.integers(0, 2**32, len(rows), dtype=np.uint32)
    rows["building"] = len(plan.buildings) + np.arange(len(rows))
    earth = _ground_around(rows, 5.0, material=CODE["soil"], tone=1.1, rough=0.6)
    return plan.with_rows(roofs=rows, buildings=model, areas=earth)


def take_down(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Let people take down a few buildings and clear the plots, which leaves bare or green ground; `amount` of the
    change is about 0–1."""
    gone = (rng.random(len(plan.buildings)) < 0.025 * amount) & (plan.buildings["when"] == BOTH)
    if not gone.any():
        return plan
    buildings, roofs, boxes = plan.buildings.copy(), plan.roofs.copy(), plan.boxes.copy()
    buildings["when"][gone] = BEFORE
    of_gone = (roofs["building"] != NO_BUILDING) & gone[roofs["building"]]
    roofs["when"][of_gone] &= BEFORE
    parts = roofs[of_gone & (roofs["when"] > 0)]
    for part in parts:
        boxes["when"][_on(part, boxes)] &= BEFORE
    cover = str(rng.choice(["soil", "soil", "gravel", "grass", "dry_grass"]))
    earth = _ground_around(parts, 3.0, material=CODE[cover], tone=rng.uniform(0.85, 1.2), rough=0.5)
    plan = replace(plan, buildings=buildings, roofs=roofs[roofs["when"] > 0], boxes=boxes[boxes["when"] > 0])
    return plan.with_rows(areas=earth)


def mount_panels(plan: Plan, amount: float, rng: np.random.Generator) -> Plan:
    """Mount solar panels on roofs at the later date; `amount` of the change is about 0–1."""
    usable = _of_buildings(plan) & np.isin(plan.roofs["kind"], (FLAT, GABLE, HIP, MONO)) & (plan.roofs["width"] > 5)
    base = plan.roofs[usable & (rng.random(len(plan.roofs)) < 0.15 * amount)]
    n = len(base)
    rows = np.zeros(n, TABLES["boxes"])
    rows["length"], rows["width"] = (
        base["length"] * rng.uniform(0.25, 0.75, n),
        base["width"] * rng.uniform(0.2, 0.36, n),
    )
    along, across = rng.uniform(-0.1, 0.1, n) * base["length"], rng.choice([-0.25, 0.25], n) * base["width"]
    cosine, sine = np.cos(base["angle"]), np.sin(base["angle"])
    rows["x"], rows["y"] = base["x"] + along * cosine - across * sine, base["y"] + along * sine + across * cosine
    rows["angle"], rows["on_roof"], rows["when"] = base["angle"], 1, AFTER
    rows["height_m"] = np.where(base["kind"] == FLAT, 0.5, 0.12)
    rows["material"], rows["colour"] = CODE["roof"], vary((38, 44, 62), n, rng)
    return plan.with_rows(boxes=rows)


def _renew_roofs(plan: Plan, rows: NDArray[np.intp], after: NDArray[Any]) -> Plan:
    """The plan with other roofs after; the old ones are there before only."""
    roofs = plan.roofs.copy()
    roofs["when"][rows] = BEFORE
    after["when"] = AFTER
    return replace(plan, roofs=join_rows([roofs, after]))


def _of_buildings(plan: Plan) -> NDArray[np.bool_]:
    """Roofs of buildings, not of other structures, that are there at both dates."""
    own: NDArray[np.bool_] = (plan.roofs["building"] != NO_BUILDING) & (plan.roofs["when"] == BOTH)
    return own


def _ground_around(roofs: NDArray[Any], strip_m: float, **columns: Any) -> NDArray[Any]:
    """Areas under roofs and half a strip around them, there after only."""
    areas = table_rows("areas", outline_rows(roofs), when=AFTER, **columns)
    for side in ("length", "width"):
        areas[side] += strip_m
    return areas


def _on(part: Any, boxes: NDArray[Any]) -> NDArray[np.bool_]:
    """Boxes that stand on a roof."""
    dx, dy = boxes["x"] - part["x"], boxes["y"] - part["y"]
    cosine, sine = np.cos(part["angle"]), np.sin(part["angle"])
    inside = (np.abs(dx * cosine + dy * sine) < part["length"] / 2) & (
        np.abs(dy * cosine - dx * sine) < part["width"] / 2
    )
    on_it: NDArray[np.bool_] = inside & (boxes["on_roof"] > 0)
    return on_it


_ACTS: tuple[Callable[[Plan, float, np.random.Generator], Plan], ...] = (
    move_cars,
    change_fields,
    cover_pools,
    roof_again,
    extend,
    take_down,
    mount_panels,
    dig,
    put_things_on_ground,
    fell_trees,
)
