"""What a hazard does to a place: the grade and mode of damage of every building, and the plan of both dates.

`draw_outcome` holds the drawn share of damaged buildings; roofs that lie lower, trees that fall and loose pieces are
rows of the plan, what only the paint shows is in the `Outcome`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.damage_cover import RIM_M
from deepnets4eo.synthetic.world.damage_modes import DEBRIS, MODE, MOST_VISIBLE
from deepnets4eo.synthetic.world.damage_state import EFFECTS, Outcome
from deepnets4eo.synthetic.world.debris_boxes import add_debris
from deepnets4eo.synthetic.world.hazard import Hazard
from deepnets4eo.synthetic.world.intensity import (
    CELL_M,
    Grid,
    draw_intensity,
    node_positions,
    sample_nodes,
    smooth_noise,
)
from deepnets4eo.synthetic.world.inundation import FIELDS as WATER_FIELDS
from deepnets4eo.synthetic.world.inundation import draw_inundation, grade_by_depth
from deepnets4eo.synthetic.world.moved_roofs import lean_m, move_roofs
from deepnets4eo.synthetic.world.mud import mud_at_walls
from deepnets4eo.synthetic.world.plan import CONSTRUCTIONS, Plan
from deepnets4eo.synthetic.world.tree_damage import damage_trees

__all__ = ["EFFECTS", "Outcome", "draw_outcome"]

SEEN_MUD = 0.25, 0.45  # share of the ground at the walls that mud hides, from which it is recognised as such
SEEN_LEAN_M = 0.8, 1.5  # from which a leaning roof looks like minor, like major damage: two and three pixels of 0.5 m
SEEN_RIM_M = 0.8, 1.3  # the same of broken edges


def draw_outcome(plan: Plan, hazard: Hazard, rng: np.random.Generator) -> tuple[Plan, Outcome]:
    """Draw what a hazard does to a place.

    Parameters
    ----------
    plan
        The place before; buildings that are there at both dates can be damaged, rows of the table the others.
    hazard
        The kind of event.
    rng
        Source of the draw; the same state is the same outcome.

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
    visible = np.minimum(grades, MOST_VISIBLE[modes])
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
