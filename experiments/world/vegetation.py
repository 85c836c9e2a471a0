"""Plants the trees of a place: over roofs, in gardens, along streets, in woods, and shrubs along walls.

Takes the plan with its buildings and ways and the style's density, kinds and share of roofs under crowns. Stems stand
neither in buildings nor on sealed ground or in water; crowns may reach over roofs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic import materials
from world.layouts.clearance import Rectangles, distance_m, outline_rows, top_area
from world.layouts.tables import table_rows
from world.plan import CROP_ROWS, DECIDUOUS, EVERGREEN, PALM, SHRUB, Plan, join_rows
from world.style import WorldStyle

MARGIN_M = 15.0  # trees stand this far beyond the place, for their shadows and crowns
STEM_GAP_M = 0.7
CLEARING_M = (0.5, 25.0)  # width of what is cleared of woods around buildings, from and to
TREELESS = ("asphalt", "old_asphalt", "concrete", "water", "pool", "paint")
# share of palms and of shrubs among single trees, by climate
PALMS = {"tropical": 0.3, "mediterranean": 0.08, "dry": 0.06}
SHRUBS = {"dry": 0.5, "mediterranean": 0.4}


def plant(plan: Plan, style: WorldStyle, rng: np.random.Generator) -> Plan:
    """Add the vegetation of a style to a plan.

    Parameters
    ----------
    plan : with its buildings, ways and fields; trees that it has already are kept
    style
        `climate`, `trees_per_ha`, `evergreen` and `over_roofs`, and, where its numbers have them, the shares `woods`
        (of the land), `street_trees` (of the streets' sides) and `palms` (of single trees), each from and to.
    rng : source of the trees

    Returns
    -------
    The plan with more trees.
    """
    walls = outline_rows(plan.roofs)
    evergreen = float(rng.uniform(*style.evergreen))
    palms = float(rng.uniform(*style.numbers.get("palms", (0, 2 * PALMS.get(style.climate, 0)))))
    groups = [
        _trees_over_roofs(plan, walls, style, rng),
        _single_trees(plan, walls, style, rng),
        wood_rows(plan, walls, float(rng.uniform(*style.numbers.get("woods", (0, 0)))), rng),
        _street_trees(plan, walls, float(rng.uniform(*style.numbers.get("street_trees", (0, 0.4)))), rng),
    ]
    groups = [mix_kinds(rows, evergreen, palms, rng) for rows in groups]
    return plan.with_rows(trees=join_rows([*groups, _shrubs_along_walls(plan, walls, rng)]))


def tree_rows(
    x: NDArray[Any], y: NDArray[Any], radius: NDArray[Any], kind: int, slender: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[Any]:  # fmt: skip
    """Return trees (N,) of one kind (`DECIDUOUS`, `EVERGREEN`, `SHRUB` or `PALM`) from positions and crown radii in
    metres; `slender` is the span of height over radius."""
    height = np.maximum(radius * rng.uniform(*slender, len(x)), 0.6)
    return table_rows("trees", x=x, y=y, radius=radius, height_m=height, kind=kind, tone=_tones(len(x), rng))


def _tones(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(1, 0.13, count).clip(0.6, 1.45)


def _broad_trees(x: NDArray[Any], y: NDArray[Any], radius: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    return tree_rows(x, y, radius, DECIDUOUS, (1.6, 2.8), rng)


def mix_kinds(rows: NDArray[Any], evergreen: float, palms: float, rng: np.random.Generator) -> NDArray[Any]:
    """Turn shares 0–1 of deciduous trees into palms and, of the others, into conifers, in place; returns the same rows."""
    draw = rng.random(len(rows))
    broad = rows["kind"] == DECIDUOUS
    palm, conifer = broad & (draw < palms), broad & (draw >= palms) & (draw < palms + (1 - palms) * evergreen)
    rows["kind"][palm], rows["kind"][conifer] = PALM, EVERGREEN
    rows["radius"][palm] = rows["radius"][palm].clip(1.6, 3.4)
    rows["height_m"][palm] = np.maximum(rows["height_m"][palm], rng.uniform(5, 13, palm.sum()))
    rows["height_m"][conifer] *= rng.uniform(1.0, 1.5, conifer.sum())
    return rows


def _may_stand(plan: Plan, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a tree can grow there: no sealed ground, no water, no field, no way."""
    treeless = np.array([materials.CODE[name] for name in TREELESS])
    areas = plan.areas
    narrow = (np.minimum(areas["length"], areas["width"]) < 7) & (areas["material"] != materials.CODE["grass"])
    blocked = np.isin(areas["material"], treeless) | (areas["pattern"] == CROP_ROWS) | narrow
    return ~np.append(blocked, plan.ground in treeless)[top_area(x, y, areas)]


def _stand(
    plan: Plan, walls: Rectangles, rows: NDArray[Any], overhang_m: float, rng: np.random.Generator
) -> NDArray[Any]:
    """Trees that stand free of walls and ways, the crowns cut back to reach over a roof by some metres at most."""
    rows = rows[_may_stand(plan, rows["x"], rows["y"])]
    distance = distance_m(rows["x"], rows["y"], walls)
    limit = np.where(distance < 12, distance + rng.uniform(-0.5, overhang_m, len(rows)), np.inf)
    smaller = np.minimum(limit / rows["radius"], 1)
    rows["radius"] *= smaller
    rows["height_m"] *= 0.3 + 0.7 * smaller
    return rows[(distance > STEM_GAP_M) & (rows["radius"] > 0.6)]


def _scatter(plan: Plan, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, span = -MARGIN_M, np.array(plan.extent_m) + 2 * MARGIN_M
    x, y = (low + rng.random((count, 2)) * span).T
    return x, y


def _hectares(plan: Plan) -> float:
    return (plan.extent_m[0] + 2 * MARGIN_M) * (plan.extent_m[1] + 2 * MARGIN_M) / 1e4


def _single_trees(plan: Plan, walls: Rectangles, style: WorldStyle, rng: np.random.Generator) -> NDArray[Any]:
    """Trees of gardens and open land: alone or in groups, with the bushes between."""
    count = int(rng.poisson(rng.uniform(*style.trees_per_ha) * _hectares(plan)))
    x, y = _scatter(plan, count, rng)
    clumps = rng.integers(max(count // 7, 1), size=count)
    in_clump = rng.random(count) < rng.uniform(0.1, 0.8)
    spread = rng.uniform(3, 9)
    x = np.where(in_clump, x[clumps] + rng.normal(0, spread, count), x) if count else x
    y = np.where(in_clump, y[clumps] + rng.normal(0, spread, count), y) if count else y
    size = np.exp(rng.normal(np.log(rng.uniform(2.0, 3.6)), 0.38, count)).clip(0.9, 9)
    shrub = rng.random(count) < SHRUBS.get(style.climate, 0.2)
    rows = _broad_trees(x, y, size, rng)
    rows["kind"][shrub] = SHRUB
    rows["radius"][shrub] = rng.uniform(0.6, 1.8, shrub.sum())
    rows["height_m"][shrub] = rows["radius"][shrub] * rng.uniform(0.9, 1.5, shrub.sum())
    return _stand(plan, walls, rows, 1.5, rng)


def smooth_field(
    x: NDArray[Any], y: NDArray[Any], period_m: tuple[float, float], rng: np.random.Generator
) -> NDArray[Any]:
    """Return a smooth random field (N,) at points, of mean about 0 and standard deviation about 1, with wavelengths
    from the span `period_m`."""
    total = np.zeros(len(x))
    for _ in range(6):
        turn, number = rng.uniform(0, 2 * np.pi), 2 * np.pi / rng.uniform(*period_m)
        total += np.cos(number * (np.cos(turn) * x + np.sin(turn) * y) + rng.uniform(0, 2 * np.pi))
    return total / np.sqrt(3)


def wood_positions(
    extent_m: tuple[float, float], spacing_m: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y (N,) in metres of closely standing trees: a shaken grid of `spacing_m` over the place and its
    margin."""
    axes = [np.arange(-MARGIN_M, side + MARGIN_M, spacing_m) for side in extent_m]
    x, y = (values.ravel() for values in np.meshgrid(*axes))
    return x + rng.uniform(-0.55, 0.55, len(x)) * spacing_m, y + rng.uniform(-0.55, 0.55, len(x)) * spacing_m


def wood_rows(plan: Plan, walls: Rectangles, share: float, rng: np.random.Generator) -> NDArray[Any]:
    """Return deciduous trees in woods on a share 0–1 of the land, in shapes of a smooth field with touching crowns;
    ways, waters and fields stay free, and crowns reach over buildings (M, 5) by a little at most."""
    if share < 0.01:
        return table_rows("trees", x=np.zeros(0))
    spacing = rng.uniform(3.8, 6.5)
    x, y = wood_positions(plan.extent_m, spacing, rng)
    field = smooth_field(x, y, (50, 220), rng) + rng.normal(0, 0.15, len(x))
    inside = field >= np.quantile(field, 1 - share)
    clearing = distance_m(x, y, walls, CLEARING_M[1]) < rng.uniform(*CLEARING_M) * rng.uniform(0.5, 1, len(x))
    inside &= ~clearing | (rng.random(len(x)) < rng.uniform(0, 0.5))
    x, y = x[inside], y[inside]
    size = spacing * np.exp(rng.normal(np.log(0.62), 0.28, len(x)))
    return _stand(plan, walls, _broad_trees(x, y, size, rng), rng.uniform(-0.5, 2.5), rng)


def _street_trees(plan: Plan, walls: Rectangles, share: float, rng: np.random.Generator) -> NDArray[Any]:
    """Rows of equal trees along sealed ways."""
    sealed = np.isin(plan.areas["material"], [materials.CODE[name] for name in ("asphalt", "old_asphalt", "concrete")])
    narrow = (plan.areas["width"] < 16) & (plan.areas["length"] > plan.areas["width"] * 0.5)
    ways = plan.areas[sealed & narrow & (plan.areas["shape"] == 0)]
    spacing = rng.uniform(7, 15)
    sides = np.repeat(ways, 2)
    numbers = (sides["length"] / spacing + rng.random(len(sides))).astype(int) * (rng.random(len(sides)) < share)
    trees = np.repeat(sides, numbers)
    sign = np.repeat(np.tile([-1.0, 1.0], len(ways)), numbers)
    rank = np.arange(len(trees)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    along = ((rank + 0.5) / np.maximum(np.repeat(numbers, numbers), 1) - 0.5) * trees["length"]
    across = sign * (trees["width"] / 2 + rng.uniform(1.2, 3.0)) + rng.normal(0, 0.25, len(trees))
    cosine, sine = np.cos(trees["angle"]), np.sin(trees["angle"])
    x, y = trees["x"] + along * cosine - across * sine, trees["y"] + along * sine + across * cosine
    size = rng.uniform(1.6, 4.5) * rng.normal(1, 0.14, len(x)).clip(0.6, 1.4)
    return _stand(plan, walls, _broad_trees(x, y, size, rng), 1.0, rng)


def _shrubs_along_walls(plan: Plan, walls: Rectangles, rng: np.random.Generator) -> NDArray[Any]:
    """Bushes beside buildings."""
    if not len(walls):
        return table_rows("trees", x=np.zeros(0))
    own = walls[rng.integers(len(walls), size=rng.poisson(rng.uniform(0, 1.2) * min(len(walls), 400)))]
    x, y = _beside(own, rng.uniform(0.8, 2.2, len(own)), rng)
    rows = tree_rows(x, y, rng.uniform(0.6, 1.5, len(x)), SHRUB, (0.9, 1.6), rng)
    return _stand(plan, walls, rows, 0.2, rng)


def _beside(
    outlines: Rectangles, away_m: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One point beside each rectangle, at a distance from its sides."""
    x, y, length, width, angle = outlines.T
    on_long = rng.random(len(x)) < length / (length + width)
    sign, other = rng.choice([-1.0, 1.0], len(x)), rng.uniform(-0.55, 0.55, len(x))
    along = np.where(on_long, other * length, sign * (length / 2 + away_m))
    across = np.where(on_long, sign * (width / 2 + away_m), other * width)
    return x + along * np.cos(angle) - across * np.sin(angle), y + along * np.sin(angle) + across * np.cos(angle)


def _trees_over_roofs(plan: Plan, walls: Rectangles, style: WorldStyle, rng: np.random.Generator) -> NDArray[Any]:
    """Return trees whose crowns hide 20–80 % of the largest roof of a share of the buildings. From ten sets of one to
    four trees for each building, the one that comes nearest the share to hide is taken."""
    chosen = _roofs_to_hide(plan, float(rng.uniform(*style.over_roofs)), rng)
    count, sets, most = len(chosen), 10, 4
    if not count:
        return table_rows("trees", x=np.zeros(0))
    own = np.repeat(outline_rows(chosen), sets * most, axis=0)
    side = own[:, 3]
    radius = (side * rng.uniform(0.3, 0.95, len(own)) + 0.4).clip(1.2, rng.uniform(5.5, 9))
    x, y = _beside(own, rng.uniform(STEM_GAP_M + 0.05, 1.0 + 0.25 * radius), rng)
    free = (distance_m(x, y, walls, 2.0) > STEM_GAP_M) & _may_stand(plan, x, y)
    number = np.repeat(rng.integers(1, most + 1, (count, sets)).ravel(), most)
    free &= np.tile(np.arange(most), count * sets) < number
    hidden = _hidden_share(own, x, y, np.where(free, radius, 0)).reshape(count, sets)
    target = rng.uniform(0.2, 0.8, (count, 1))
    best = np.argmin(np.abs(hidden - target) + (hidden > 0.8), axis=1)
    taken = (np.arange(sets) == best[:, None]).repeat(most) & free
    rows = _broad_trees(x[taken], y[taken], radius[taken], rng)
    eave = np.repeat(chosen["eave_m"], sets * most)[taken]
    rows["height_m"] = np.maximum(rows["height_m"], eave * rng.uniform(1.3, 1.8, len(rows)) + 2.5)
    return rows


def _roofs_to_hide(plan: Plan, share: float, rng: np.random.Generator) -> NDArray[Any]:
    """The largest roof of each of the buildings drawn; halls wider than any crown are left out."""
    roofs = plan.roofs[plan.roofs["building"] >= 0]
    order = np.lexsort((-roofs["length"] * roofs["width"], roofs["building"]))
    _, first = np.unique(roofs["building"][order], return_index=True)
    largest = roofs[order[first]]
    return largest[(rng.random(len(largest)) < share) & (largest["width"] < 22)]


def _hidden_share(own: Rectangles, x: NDArray[Any], y: NDArray[Any], radius: NDArray[Any]) -> NDArray[np.float64]:
    """Share of each building's roof under each set of four crowns, from 49 points of the roof."""
    most, steps = 4, (np.arange(7) + 0.5) / 7 - 0.5
    cosine, sine = np.cos(own[:, 4]), np.sin(own[:, 4])
    along = (x - own[:, 0]) * cosine + (y - own[:, 1]) * sine
    across = (y - own[:, 1]) * cosine - (x - own[:, 0]) * sine
    square_u = (steps[None] * own[:, 2:3] - along[:, None]).astype(np.float32) ** 2
    square_v = (steps[None] * own[:, 3:4] - across[:, None]).astype(np.float32) ** 2
    under = square_u[:, :, None] + square_v[:, None] < (radius[:, None, None] ** 2).astype(np.float32)
    return under.reshape(-1, most, 49).any(axis=1).mean(axis=1)
