"""What a hazard does to a place: the grade and mode of damage of every building, and the plan of both dates.

`draw_outcome` holds the drawn share of damaged buildings; roofs that lie lower, trees that fall and loose pieces are
rows of the plan, what only the paint shows is in the `Outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from world.damage_cover import RIM_M
from world.hazard import DEBRIS, MAX_VISIBLE, MODE, NO_ROOF, PIECES, Hazard
from world.intensity import (
    CELL_M,
    WATER_FIELDS,
    Grid,
    Inundation,
    draw_intensity,
    draw_inundation,
    grade_by_depth,
    mud_at_walls,
    node_positions,
    sample_nodes,
    smooth_noise,
)
from world.plan import (
    AFTER,
    BARE,
    BEFORE,
    BOTH,
    BOX,
    CHARRED,
    CONSTRUCTIONS,
    NO_BUILDING,
    SHRUB,
    Plan,
    join_rows,
)

# Effects of hazards on the ground (mud, scorch, ash, dust: share of the ground at full intensity; crater), loose pieces
# (debris, blown down-wind), trees (felled, stripped, charred), cars moved, tents put up; of water its depth, clear,
# drained and flow.
EFFECTS = (
    "mud", "scorch", "ash", "dust", "crater", "debris", "blown", "felled", "stripped", "charred", "cars", "tents",
    "depth", "clear", "drained", "flow",
)  # fmt: skip

LEAN = 0.04, 0.2  # metres sideways per metre of height: of every leaning building, and more at full strength
MAX_LEAN_M = 4.0  # what leans further falls
_LOOSE = [MODE[name] for name in ("opened", "partial", "peeled", "leaning", "pancake")]
MAX_TRUNKS = 1500
MAX_BOXES = 2500
PER_M2 = 0.035  # larger pieces at full density
SEEN_MUD = 0.25, 0.45  # share of the ground at the walls that mud hides, from which it is recognised as such
SEEN_LEAN_M = 0.8, 1.5  # from which a leaning roof looks like minor, like major damage: two and three pixels of 0.5 m
SEEN_RIM_M = 0.8, 1.3  # the same of broken edges


@dataclass(frozen=True)
class Outcome:
    """Damage of a place.

    Parameters
    ----------
    hazard : the name of the hazard
    seed : the seed of the noise in the paint
    grades : (N,) uint8 true grade of each building: 0 none, 1 minor, 2 major, 3 destroyed
    visible : (N,) uint8 grade that a view from above can show, at most the true one
    modes : (N,) uint8 codes of `hazard.MODE`
    strength : (N,) float32 0–1, how far the mode goes within its grade
    heading : (N,) float32 radians, towards which a building opens or falls
    seeds : (N,) int64 of the noise of each building
    effects : strength of the effects on ground and trees, 0–1 (depth: metres), by name of `EFFECTS`
    intensity : (R, C) float32 0–1 at the nodes of `intensity.node_positions`
    debris : (R, C) float32 0–1, density of loose pieces on the ground
    water : depth of water or mud, or None
    """

    hazard: str
    seed: int
    grades: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    modes: NDArray[np.uint8]
    strength: NDArray[np.float32]
    heading: NDArray[np.float32]
    seeds: NDArray[np.int64]
    effects: dict[str, float]
    intensity: Grid
    debris: Grid
    water: Inundation | None = None


def draw_outcome(plan: Plan, hazard: Hazard, rng: np.random.Generator) -> tuple[Plan, Outcome]:
    """Draw what a hazard does to a place.

    Parameters
    ----------
    plan : the place before; buildings that are there at both dates can be damaged, rows of the table the others
    hazard : the kind of event
    rng : source of the draw; the same state is the same outcome

    Returns
    -------
    The plan of both dates, and the outcome with one entry a row of `plan.buildings`.
    """
    share = hazard.draw_share(rng)
    effects = {name: float(rng.uniform(*hazard.effects.get(name, (0.0, 0.0)))) for name in EFFECTS}
    water = draw_inundation(rng, plan, hazard, share, effects) if hazard.field in WATER_FIELDS else None
    if water is None:
        intensity = draw_intensity(rng, hazard.field, plan.extent_m, rng.uniform(*hazard.reach))
    else:
        intensity = np.asarray(np.clip(water.depth_m / 1.5, 0, 1), np.float32)
    frailty = np.array([hazard.frailty.get(name, 1.0) for name in CONSTRUCTIONS])[plan.buildings["construction"]]
    if water is None:
        local = sample_nodes(intensity, plan.buildings["x"], plan.buildings["y"])
        grades = _grade_by_rank(rng, hazard, share, local * frailty)
        modes = _draw_modes(rng, hazard, grades, plan.buildings["construction"])
    else:
        grades, modes = grade_by_depth(rng, plan.buildings, water, frailty, mud=hazard.name == "lahar")
    gone = plan.buildings["when"] != 3  # built or taken down by people between the dates
    grades[gone], modes[gone] = 0, MODE["whole"]
    count = len(grades)
    heading = _common_heading(rng, count, effects["blown"])
    mud = None
    if water is not None and water.drained:
        mud = mud_at_walls(plan, water, effects["mud"], lahar=hazard.name == "lahar")
    seed, strength = int(rng.integers(1 << 30)), rng.random(count).astype(np.float32)
    outcome = Outcome(
        hazard=hazard.name,
        seed=seed,
        grades=grades,
        visible=_visible(rng, grades, modes, strength, plan.buildings["eave_m"], mud),
        modes=modes,
        strength=strength,
        heading=heading,
        seeds=rng.integers(1 << 30, size=count),
        effects=effects,
        intensity=intensity,
        debris=_debris_density(rng, plan, modes, intensity, effects),
        water=water,
    )
    if hazard.name == "none":
        return plan, outcome
    plan = move_roofs(plan, outcome)
    plan = damage_trees(plan, outcome, rng)
    return add_debris(plan, outcome, rng), outcome


def _grade_by_rank(
    rng: np.random.Generator, hazard: Hazard, share: float, force: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Grades whose shares are those drawn, the frailest at the strongest intensity first."""
    count = len(force)
    if not count:
        return np.zeros(0, np.uint8)
    follow = rng.uniform(*hazard.clustering)
    ranked = np.argsort(np.argsort(force)) / max(count - 1, 1)
    score = follow * ranked + (1 - follow) * rng.random(count) + rng.normal(0, 0.05, count)
    grades = rng.dirichlet(hazard.grades) * share
    bounds = np.cumsum([1 - share, grades[0], grades[1]])
    order = (np.argsort(np.argsort(score)) + rng.random()) / count
    return np.searchsorted(bounds, order, side="right").astype(np.uint8)


def _draw_modes(
    rng: np.random.Generator, hazard: Hazard, grades: NDArray[np.uint8], construction: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Way to fail of each building, by its construction and grade."""
    modes = np.zeros(len(grades), np.uint8)
    for name, code in CONSTRUCTIONS.items():
        tables = hazard.modes.get(name, hazard.modes.get("other", ()))
        for grade, weights in enumerate(tables, start=1):
            rows = np.flatnonzero((grades == grade) & (construction == code))
            chance = np.array(list(weights.values()), float)
            codes = np.array([MODE[mode] for mode in weights], np.uint8)
            modes[rows] = rng.choice(codes, size=len(rows), p=chance / chance.sum())
    return modes


def _visible(
    rng: np.random.Generator,
    grades: NDArray[np.uint8],
    modes: NDArray[np.uint8],
    strength: NDArray[np.float32],
    eave_m: NDArray[np.float32],
    mud: Grid | None,
) -> NDArray[np.uint8]:
    """Grade as visible from above, at most the true one. mud : (N,) share of the ground that mud hides at the walls; None where no
    water has gone."""
    visible = np.minimum(grades, MAX_VISIBLE[modes])
    soft = modes == MODE["soft_storey"]
    visible[soft & (rng.random(len(modes)) < 0.6)] = 0
    rim_m = RIM_M[0] + RIM_M[1] * strength
    for mode, size_m, seen_m in (("leaning", lean_m(eave_m, strength), SEEN_LEAN_M), ("edges", rim_m, SEEN_RIM_M)):
        rows = modes == MODE[mode]
        visible[rows] = np.minimum(visible, np.searchsorted(seen_m, size_m, side="right"))[rows]
    if mud is not None:
        needed = rng.uniform(*SEEN_MUD, len(modes))
        visible[(mud < needed) & (modes == MODE["water_near"])] = 0
        around = modes == MODE["water_around"]
        visible[(mud < needed) & around] = 1
        visible[(mud < needed / 2) & around] = 0
    return visible


def _common_heading(rng: np.random.Generator, count: int, common: float) -> NDArray[np.float32]:
    """Headings about one direction where a wind blows, any direction otherwise."""
    wind = rng.uniform(-np.pi, np.pi)
    spread = np.pi * (1 - common) + 0.5
    return np.asarray(wind + rng.uniform(-spread, spread, count), np.float32)


def _debris_density(
    rng: np.random.Generator, plan: Plan, modes: NDArray[np.uint8], intensity: Grid, effects: dict[str, float]
) -> Grid:
    """Loose pieces on the ground: those of the path, and around damaged buildings."""
    from scipy.ndimage import gaussian_filter

    patches = np.clip(0.35 + 0.9 * smooth_noise(rng, plan.extent_m, 24.0), 0.03, 1.2)
    density = effects["debris"] * intensity**2 * patches
    rows = np.flatnonzero(DEBRIS[modes] > 0)
    if len(rows):
        sources = plan.buildings[rows]
        x, y = node_positions(plan.extent_m)
        spots = np.zeros(intensity.shape, np.float32)
        j = np.clip(np.rint(sources["x"] / CELL_M), 0, x.size - 1).astype(int)
        i = np.clip(np.rint(sources["y"] / CELL_M), 0, y.size - 1).astype(int)
        np.add.at(spots, (i, j), 0.7 * DEBRIS[modes[rows]])
        # one width for all: that of the usual building, and the drift of the wind
        width = (0.55 * float(np.median(sources["radius_m"])) + 1.5 + 3.0 * effects["blown"]) / CELL_M
        density += 2 * np.pi * width**2 * gaussian_filter(spots, width, truncate=3.0)
    return np.clip(density, 0, 1).astype(np.float32)


def add_debris(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Return the plan with the larger pieces of debris and tents in the open as boxes after the event, and with cars
    moved."""
    plan = _move_cars(_clear_things(plan, outcome, rng), outcome, rng)
    return plan.with_rows(boxes=join_rows([_pieces(plan, outcome, rng), _tents(plan, outcome, rng)]))


def _pieces(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> NDArray[Any]:
    """Pieces on the ground, in clumps, coloured like the buildings they come from."""
    width, height = plan.extent_m
    x, y = node_positions(plan.extent_m)
    total = float(outcome.debris.mean()) * width * height * PER_M2
    count = min(int(rng.poisson(total)), MAX_BOXES)
    rows = np.zeros(count, BOX)
    if not count:
        return rows
    weight = outcome.debris.ravel().astype(np.float64)
    cell = rng.choice(weight.size, size=count, p=weight / weight.sum())
    i, j = np.divmod(cell, x.size)
    rows["x"] = x[0, j] + rng.normal(0, 2.2, count)
    rows["y"] = y[i, 0] + rng.normal(0, 2.2, count)
    rows["length"] = np.clip(rng.lognormal(0.1, 0.6, count), 0.3, 6.0)
    rows["width"] = np.clip(rows["length"] * rng.uniform(0.15, 0.8, count), 0.2, 2.5)
    rows["angle"] = rng.uniform(0, np.pi, count)
    rows["height_m"] = np.clip(rng.lognormal(-1.3, 0.6, count), 0.05, 1.5)
    rows["material"], rows["when"] = CODE["rubble"], AFTER
    rows["colour"] = _colours(plan, outcome, rng, count)
    return rows


def _colours(plan: Plan, outcome: Outcome, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Colours of pieces: of the constructions that failed, dulled by the dust of the place."""
    sources = plan.buildings["construction"][DEBRIS[outcome.modes] > 0]
    sources = sources if len(sources) else np.array([CONSTRUCTIONS["wood"]])
    colours = PIECES[rng.choice(sources, count), rng.integers(3, size=count)]
    dull = rng.uniform(0.0, 0.5)
    colours = colours + dull * (np.array([150, 132, 116, 146], np.float32) - colours)
    return np.asarray(colours * rng.uniform(0.6, 1.15, (count, 1)), np.float32)


def _tents(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> NDArray[Any]:
    """Tents and shelters of people who left their houses, in rows on open ground."""
    count = int(rng.poisson(outcome.effects["tents"] * 12)) if (outcome.grades > 1).any() else 0
    rows = np.zeros(count, BOX)
    if not count:
        return rows
    centre, angle = rng.uniform(0.1, 0.9, 2) * plan.extent_m, rng.uniform(0, np.pi)
    spot = np.arange(count)
    u, v = (spot % 4) * 6.5, (spot // 4) * 8.0
    rows["x"] = centre[0] + u * np.cos(angle) - v * np.sin(angle)
    rows["y"] = centre[1] + u * np.sin(angle) + v * np.cos(angle)
    rows["length"], rows["width"], rows["height_m"] = 5.0, 3.6, 2.0
    rows["angle"], rows["material"], rows["when"] = angle, CODE["tarp"], AFTER
    rows["colour"] = np.where(rng.random((count, 1)) < 0.75, (206, 204, 198, 206), (92, 116, 160, 140))
    free = np.ones(count, bool)
    for building in plan.buildings:
        free &= np.hypot(rows["x"] - building["x"], rows["y"] - building["y"]) > building["radius_m"] + 3
    return rows[free]


def _clear_things(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Take away fences, hedges and other low things where wind, flow or fire was strong."""
    effects, boxes = outcome.effects, plan.boxes
    chance = max(effects["flow"], 0.8 * effects["blown"], 0.9 * effects["scorch"])
    low = (
        (boxes["when"] == BOTH) & (boxes["on_roof"] == 0) & (boxes["height_m"] < 3) & (boxes["material"] != CODE["car"])
    )
    force = sample_nodes(outcome.intensity, boxes["x"], boxes["y"])
    gone = low & (rng.random(len(boxes)) < chance * force)
    boxes = boxes.copy()
    boxes["when"][gone] = BEFORE
    return replace(plan, boxes=boxes)


def _move_cars(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Throw or float cars where the event was strong."""
    boxes = plan.boxes
    car = (boxes["material"] == CODE["car"]) & (boxes["when"] & AFTER > 0)
    force = sample_nodes(outcome.intensity, boxes["x"], boxes["y"])
    moved = car & (rng.random(len(boxes)) < outcome.effects["cars"] * force)
    if not moved.any():
        return plan
    after, before = boxes[moved].copy(), boxes.copy()
    after["x"] += rng.normal(0, 6, len(after))
    after["y"] += rng.normal(0, 6, len(after))
    after["angle"] += rng.uniform(0, np.pi, len(after))
    after["when"] = AFTER
    before["when"][moved] &= BEFORE
    return replace(plan, boxes=join_rows([before[before["when"] > 0], after]))


def damage_trees(plan: Plan, outcome: Outcome, rng: np.random.Generator) -> Plan:
    """Fell, strip and char trees by the intensity at them; returns the plan with the trees of both dates, and the wood
    on the ground as boxes after the event."""
    trees, effects = plan.trees, outcome.effects
    if not len(trees) or max(effects["felled"], effects["stripped"], effects["charred"]) == 0:
        return plan
    force = sample_nodes(outcome.intensity, trees["x"], trees["y"])
    there = trees["when"] & AFTER > 0
    height = np.clip(trees["height_m"] / 10.0, 0.4, 1.5)  # tall trees fall first
    felled = there & (rng.random(len(trees)) < effects["felled"] * force * height) & (trees["kind"] != SHRUB)
    charred = there & ~felled & (rng.random(len(trees)) < effects["charred"] * np.sqrt(force))
    stripped = there & ~felled & ~charred & (rng.random(len(trees)) < effects["stripped"] * force)
    changed = charred | stripped
    after = trees[changed].copy()
    after["kind"] = np.where(charred[changed], CHARRED, BARE)
    after["when"] = AFTER
    after["radius"] *= rng.uniform(0.75, 1.0, len(after))
    before = trees.copy()
    before["when"][felled | changed] &= BEFORE
    wood = _fallen_wood(trees[felled], outcome, rng)
    trees = join_rows([before[before["when"] > 0], after])
    return replace(plan, trees=trees).with_rows(boxes=wood)


def _fallen_wood(trees: NDArray[Any], outcome: Outcome, rng: np.random.Generator) -> NDArray[Any]:
    """A trunk and a few boughs for each felled tree, mostly lying the same way."""
    if outcome.water is not None and outcome.water.flow > 0.6:
        trees = trees[rng.random(len(trees)) < 0.3]  # the flow takes most
    trees = trees[:MAX_TRUNKS]
    count, repeat = len(trees), 5
    wind = float(np.median(outcome.heading)) if len(outcome.heading) else float(rng.uniform(-3, 3))
    heading = wind + rng.normal(0, 0.3 + 1.5 * (1 - outcome.effects["blown"]), count)
    rows = np.zeros(count * (1 + repeat), BOX)
    trunk, bough = rows[:count], rows[count:]
    length = trees["height_m"] * rng.uniform(0.6, 0.95, count)
    _lay(trunk, trees["x"], trees["y"], heading, length * 0.5)
    trunk["length"], trunk["width"] = length, np.clip(trees["radius"] * 0.16, 0.3, 0.9)
    of = np.repeat(np.arange(count), repeat)
    tip = length[of] * rng.uniform(0.35, 1.05, len(of))
    _lay(bough, trees["x"][of], trees["y"][of], heading[of], tip)
    side = trees["radius"][of] * 0.45
    bough["x"] += rng.normal(0, 1, len(of)) * side
    bough["y"] += rng.normal(0, 1, len(of)) * side
    bough["angle"] += rng.normal(0, 0.8, len(of))
    bough["length"] = rng.uniform(0.9, 3.2, len(of)) * np.clip(trees["radius"][of] / 3, 0.5, 1.5)
    bough["width"] = rng.uniform(0.2, 0.8, len(of))
    rows["height_m"] = np.where(np.arange(len(rows)) < count, 0.5, rng.uniform(0.3, 1.0, len(rows)))
    rows["material"], rows["when"] = CODE["wood"], AFTER
    mix = rng.random((len(rows), 1))
    rows["colour"] = np.array([66, 60, 48, 92]) + mix * np.array([46, 40, 36, 44])
    return rows


def _lay(rows: NDArray[Any], x: NDArray[Any], y: NDArray[Any], heading: NDArray[Any], reach: NDArray[Any]) -> None:
    rows["x"], rows["y"] = x + reach * np.cos(heading), y + reach * np.sin(heading)
    rows["angle"] = heading


def move_roofs(plan: Plan, outcome: Outcome) -> Plan:
    """Return the plan in which the roofs of buildings that sank or lean have a row before and, at the end of `roofs`, a
    row after; a roof that stays keeps its row."""
    plan = _clear_roofs(plan, outcome)
    owner = plan.roofs["building"]
    has_owner = (owner != NO_BUILDING) & (plan.roofs["when"] & AFTER > 0)
    mode = np.where(has_owner, outcome.modes[np.maximum(owner, 0)] if len(outcome.modes) else 0, 0)
    rows = np.flatnonzero(np.isin(mode, [MODE[name] for name in ("pancake", "soft_storey", "leaning")]))
    if not len(rows):
        return plan
    after, building = plan.roofs[rows].copy(), owner[rows]
    strength, heading = outcome.strength[building], outcome.heading[building]
    eave = plan.buildings["eave_m"][building]
    storeys = np.maximum(plan.buildings["storeys"][building], 1)
    pancake, soft = mode[rows] == MODE["pancake"], mode[rows] == MODE["soft_storey"]
    # floors of 0.3–0.9 m remain of storeys of about 3 m; one storey is missing where the ground storey gave way
    drop = np.where(
        pancake, eave * (0.9 - 0.2 * strength), np.where(soft, eave / storeys * 0.9, eave * 0.15 * strength)
    )
    slip = np.where(pancake, 2.0 * strength, np.where(soft, 0.9 * strength, lean_m(eave, strength)))
    after["eave_m"] = np.maximum(after["eave_m"] - drop, 0.4)
    after["x"] += slip * np.cos(heading)
    after["y"] += slip * np.sin(heading)
    after["angle"] += np.where(soft, 0.02, 0.09) * np.sin(7.0 * heading)
    after["parapet_m"] *= np.where(pancake, 0.3, 1.0)
    after["rise"] *= np.where(pancake, 0.6, 1.0)
    after["when"] = AFTER
    roofs = plan.roofs.copy()
    roofs["when"][rows] &= BEFORE
    keep = roofs["when"] > 0
    return replace(plan, roofs=join_rows([roofs[keep], after]))


def lean_m(eave_m: NDArray[np.floating], strength: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return by how many metres (N,) the roofs of leaning buildings lie beside their foundations; `strength` is 0–1."""
    return np.minimum(eave_m * (LEAN[0] + LEAN[1] * strength), MAX_LEAN_M)


def _clear_roofs(plan: Plan, outcome: Outcome) -> Plan:
    """Take away what stood on roofs that are gone, and two thirds of what stood on those that moved."""
    on_roof = np.flatnonzero(plan.boxes["on_roof"] > 0)
    hit = np.flatnonzero(NO_ROOF[outcome.modes] | np.isin(outcome.modes, _LOOSE))
    if not len(on_roof) or not len(hit):
        return plan
    from scipy.spatial import cKDTree

    centres = np.stack([plan.buildings["x"], plan.buildings["y"]], axis=1)
    things = np.stack([plan.boxes["x"][on_roof], plan.boxes["y"][on_roof]], axis=1)
    distance, nearest = cKDTree(centres).query(things)
    gone = np.isin(nearest, hit) & (distance < plan.buildings["radius_m"][nearest])
    gone &= NO_ROOF[outcome.modes[nearest]] | (np.arange(len(gone)) % 3 > 0)
    boxes = plan.boxes.copy()
    boxes["when"][on_roof[gone]] &= BEFORE
    return replace(plan, boxes=boxes[boxes["when"] > 0])
