"""Where a hazard strikes: its intensity over a place on a coarse grid of nodes `CELL_M` apart, and water and mud with their depth.

Node (i, j) lies at x = j · CELL_M, y = i · CELL_M; values between nodes are bilinear, beyond the grid those of its edge. Grades by
depth are those of xBD's joint scale: water or mud at a part of the walls is minor, all around major, over the eaves or through the
structure destroyed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from world.hazard import MODE, Hazard
from world.layouts.clearance import top_area
from world.plan import Plan

# Ground that turns to mud or char; sealed ground gets a film.
SOFT = np.zeros(256, np.bool_)
SOFT[[CODE[name] for name in ("grass", "dry_grass", "soil", "gravel", "shrub", "mud")]] = True
WATER_FIELDS = ("valley", "coast")
NEAR_M = 0.1  # depth at which a wall counts as wet
AROUND_M = 0.35  # depth at the middle from which water that touches all sides makes major damage
# Depth at which flowing water of full strength takes a house of frailty 1 (wood 2–4 m, concrete beyond 8 m in surveys).
SWEPT_M = 2.0
SEA_SHARE = 0.08  # of the place; less water is a river or a pond
_RING = np.linspace(0, 2 * np.pi, 12, endpoint=False)

CELL_M = 4.0

Grid = NDArray[np.float32]
Form = Callable[[np.random.Generator, tuple[float, float], float], Grid]


def node_positions(extent_m: tuple[float, float]) -> tuple[Grid, Grid]:
    """Return the positions in metres of the nodes over a place of (width, height) metres: x (1, C), y (R, 1) float32."""
    width, height = extent_m
    x = np.arange(int(np.ceil(width / CELL_M)) + 1, dtype=np.float32) * np.float32(CELL_M)
    y = np.arange(int(np.ceil(height / CELL_M)) + 1, dtype=np.float32) * np.float32(CELL_M)
    return x[None], y[:, None]


def sample_nodes(grid: Grid, x: NDArray[np.floating], y: NDArray[np.floating]) -> Grid:
    """Return the values of a grid (R, C) of nodes at positions in metres."""
    rows, cols = grid.shape
    u = np.clip(np.asarray(x) / CELL_M, 0, cols - 1.001)
    v = np.clip(np.asarray(y) / CELL_M, 0, rows - 1.001)
    j, i = u.astype(np.int64), v.astype(np.int64)
    f, g = u - j, v - i
    upper = grid[i, j] * (1 - f) + grid[i, j + 1] * f
    lower = grid[i + 1, j] * (1 - f) + grid[i + 1, j + 1] * f
    return np.asarray(upper * (1 - g) + lower * g, np.float32)


def smooth_noise(rng: np.random.Generator, extent_m: tuple[float, float], period_m: float) -> Grid:
    """Return smooth random values (R, C) of about −1 to 1 at the nodes, in two octaves, the broad one with `period_m`
    between its values."""
    x, y = node_positions(extent_m)
    total = np.zeros((y.size, x.size), np.float32)
    for period, weight in ((period_m, 0.7), (period_m / 2.3, 0.3)):
        u, v = x[0] / period, y[:, 0] / period
        j, i = u.astype(np.int64), v.astype(np.int64)
        random = rng.uniform(-1, 1, (int(i[-1]) + 2, int(j[-1]) + 2)).astype(np.float32)
        f, g = _ease(u - j)[None], _ease(v - i)[:, None]
        rows = random[i] * (1 - g) + random[i + 1] * g
        total += np.float32(weight) * (rows[:, j] * (1 - f) + rows[:, j + 1] * f)
    return total * np.float32(1.4)


def _ease(fraction: NDArray[np.floating]) -> Grid:
    return np.asarray(fraction * fraction * (3 - 2 * fraction), np.float32)


def draw_intensity(rng: np.random.Generator, field: str, extent_m: tuple[float, float], reach: float) -> Grid:
    """Draw the intensity (R, C) 0–1 of a hazard at the nodes over a place. `field` is a key of `FIELDS`, `reach` the
    width of the form over the smaller side of the place."""
    grid = FIELDS[field](rng, extent_m, reach * min(extent_m))
    noise = smooth_noise(rng, extent_m, 45.0)
    return np.clip(grid * (1 + 0.2 * noise), 0, 1).astype(np.float32)


def bent_line(rng: np.random.Generator, extent_m: tuple[float, float], bend: float) -> Grid:
    """Return the distance (R, C) in metres from a bent line across the middle half of a place, negative on one side.
    `bend` is the amplitude over the smaller side."""
    x, y = node_positions(extent_m)
    size = min(extent_m)
    angle = rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(0.25, 0.75, 2) * extent_m
    along = (x - middle[0]) * np.cos(angle) + (y - middle[1]) * np.sin(angle)
    across = (y - middle[1]) * np.cos(angle) - (x - middle[0]) * np.sin(angle)
    phase = rng.uniform(0, 6.3, 2)
    wave = np.sin(along / size * rng.uniform(3, 7) + phase[0]) + 0.4 * np.sin(along / size * 13 + phase[1])
    return np.asarray(across - bend * size * wave, np.float32)


def edge_distance(rng: np.random.Generator, extent_m: tuple[float, float], heading: float | None = None) -> Grid:
    """Return the distance (R, C) in metres from a ragged line near one edge of a place, growing across it along
    `heading` (radians; drawn where None)."""
    x, y = node_positions(extent_m)
    drawn = rng.uniform(0, 2 * np.pi)
    angle = drawn if heading is None else heading
    across = x * np.cos(angle) + y * np.sin(angle)
    return np.asarray(across - across.min() + 12 * smooth_noise(rng, extent_m, 70.0), np.float32)


def _track(rng: np.random.Generator, extent_m: tuple[float, float], reach_m: float) -> Grid:
    return np.asarray(np.exp(-((bent_line(rng, extent_m, 0.06) / reach_m) ** 2)), np.float32)


def _clusters(rng: np.random.Generator, extent_m: tuple[float, float], reach_m: float) -> Grid:
    x, y = node_positions(extent_m)
    total = np.full((y.size, x.size), 0.15, np.float32)
    for centre in rng.uniform(0, 1, (int(rng.integers(2, 7)), 2)) * extent_m:
        radius = reach_m * rng.uniform(0.5, 1.2)
        total += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2) * np.float32(rng.uniform(0.5, 1))
    return np.minimum(total, 1)


def _wide(rng: np.random.Generator, extent_m: tuple[float, float], reach_m: float) -> Grid:
    return np.asarray(0.6 + 0.35 * smooth_noise(rng, extent_m, max(reach_m, 30.0)), np.float32)


def _radial(rng: np.random.Generator, extent_m: tuple[float, float], reach_m: float) -> Grid:
    x, y = node_positions(extent_m)
    centre = rng.uniform(0.05, 0.95, 2) * extent_m
    distance = np.hypot(x - centre[0], y - centre[1])
    return np.asarray(1 / (1 + (distance / reach_m) ** 2.5), np.float32)


def _front(rng: np.random.Generator, extent_m: tuple[float, float], reach_m: float) -> Grid:
    distance = edge_distance(rng, extent_m) + 30 * smooth_noise(rng, extent_m, 60.0)
    embers = 0.3 * np.maximum(smooth_noise(rng, extent_m, 35.0), 0)
    return np.asarray(1 / (1 + np.exp((distance - 1.4 * reach_m) / 14)) + embers, np.float32)


FIELDS: dict[str, Form] = {"track": _track, "clusters": _clusters, "wide": _wide, "radial": _radial, "front": _front}


@dataclass(frozen=True)
class Inundation:
    """Water or mud over a place: `depth_m` (R, C) at the nodes, negative where the ground stays dry; `clear` 0 brown to
    1 clear; `drained` where the water has gone and left mud; `flow` 0 still to 1 a wave that takes houses."""

    depth_m: Grid
    clear: float
    drained: bool
    flow: float


def draw_inundation(
    rng: np.random.Generator, plan: Plan, hazard: Hazard, share: float, effects: dict[str, float]
) -> Inundation:
    """Draw the depth of water from the field "valley" or "coast" of a hazard so that it wets the walls of a share of
    the buildings. `effects["depth"]` is the fall of the ground over the place in metres."""
    ground = _ground_form(rng, plan, hazard.field) * np.float32(effects["depth"])
    walls = _lowest_wall(ground, plan.buildings)
    if walls.size:
        level = float(np.quantile(walls, share)) if share else float(walls.min()) - 0.3
        level += NEAR_M + 0.01
    else:
        level = float(np.quantile(ground, rng.uniform(0.05, 0.5)))
    return Inundation(
        depth_m=np.float32(level) - ground,
        clear=effects.get("clear", 0.0) ** 2,
        drained=bool(rng.random() < effects["drained"]),
        flow=effects["flow"],
    )


def _ground_form(rng: np.random.Generator, plan: Plan, field: str) -> Grid:
    """Height of the ground over the lowest place, about 0–1, at the nodes."""
    size = min(plan.extent_m)
    if field == "coast":
        distance = edge_distance(rng, plan.extent_m, _inland(plan)) / np.float32(np.hypot(*plan.extent_m))
        return np.asarray(distance + 0.04 * smooth_noise(rng, plan.extent_m, 50.0), np.float32)
    distance = np.abs(bent_line(rng, plan.extent_m, 0.1)) / np.float32(0.8 * size)
    return np.asarray(np.minimum(distance, 1.2) + 0.12 * smooth_noise(rng, plan.extent_m, 60.0), np.float32)


def _inland(plan: Plan) -> float | None:
    """Direction away from the sea, radians; None where the place has no sea."""
    x, y = (axis.ravel() for axis in np.broadcast_arrays(*node_positions(plan.extent_m)))
    on_water = np.append(plan.areas["material"] == CODE["water"], False)[top_area(x, y, plan.areas)]
    if on_water.mean() < SEA_SHARE:
        return None
    away_x, away_y = (axis[~on_water].mean() - axis[on_water].mean() if not on_water.all() else 1.0 for axis in (x, y))
    return float(np.arctan2(away_y, away_x))


def points_around(buildings: NDArray[Any]) -> tuple[Grid, Grid]:
    """Return x, y (N, 13) in metres of the middle and of 12 points around each building; the middle comes first."""
    reach = buildings["radius_m"][:, None] * 0.75
    x = buildings["x"][:, None] + np.concatenate([np.zeros_like(reach), reach * np.cos(_RING)], axis=1)
    y = buildings["y"][:, None] + np.concatenate([np.zeros_like(reach), reach * np.sin(_RING)], axis=1)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _lowest_wall(ground: Grid, buildings: NDArray[Any]) -> Grid:
    if not len(buildings):
        return np.zeros(0, np.float32)
    return np.asarray(sample_nodes(ground, *points_around(buildings)).min(axis=1), np.float32)


def grade_by_depth(
    rng: np.random.Generator, buildings: NDArray[Any], water: Inundation, frailty: NDArray[np.floating], *, mud: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return grades and modes (N,) uint8 of buildings by the depth and flow of the water at them. `frailty` (N,) is how
    soon each fails, about 1; `mud` buries what it does not take."""
    count = len(buildings)
    if not count:
        return np.zeros(0, np.uint8), np.zeros(0, np.uint8)
    depth = sample_nodes(water.depth_m, *points_around(buildings))
    middle, wet = depth[:, 0], (depth > NEAR_M).mean(axis=1)
    grades, modes = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    near = wet > 0
    around = near & (wet == 1) & (middle > AROUND_M)
    grades[near], modes[near] = 1, MODE["water_near"]
    grades[around], modes[around] = 2, MODE["water_around"]
    limit = buildings["eave_m"] * (0.7 if mud else 1.0) - 0.3
    covered = around & (middle > limit) & (mud | (not water.drained))
    grades[covered], modes[covered] = 3, MODE["buried" if mud else "submerged"]
    force = water.flow * np.maximum(middle, 0) * frailty * np.exp(rng.normal(0, 0.35, count))
    taken = around & (force > SWEPT_M * np.maximum(buildings["storeys"], 1) ** 0.4)
    grades[taken] = 3
    modes[taken] = np.where(rng.random(int(taken.sum())) < 0.35 + 0.5 * water.flow, MODE["slab"], MODE["rubble"])
    torn = around & ~taken & (force > 0.7 * SWEPT_M)
    modes[torn & ~covered] = MODE["partial"]
    return grades, modes


@njit(cache=True, nogil=True, error_model="numpy")
def mud_share(depth, force, broad, middle, mud, soft, drained, lahar):  # type: ignore[no-untyped-def]
    """Share of mud over the ground: where water was, or churned by the wind."""
    if not drained:
        return (force + 0.16 * broad + 0.1 * middle - 0.35) * 1.6 * mud * (1.0 if soft else 0.25)
    if depth <= -0.3:
        return 0.0
    ragged = depth + 0.07 * broad + 0.05 * middle
    share = min(ragged / 0.4, 1.0) * mud * (0.85 + 0.15 * broad + 0.08 * middle) * (1.0 if soft else 0.6)
    thick = ragged / 0.6 if lahar else ragged - 1.0  # no jump: a border of tones would follow the depth's line
    return share + 0.35 * min(max(thick, 0.0), 1.0)


def mud_at_walls(plan: Plan, water: Inundation, mud: float, *, lahar: bool) -> Grid:
    """Return the share (N,) of the ground that mud hides at the walls that were wet, 0 where no wall was; one value a
    row of `plan.buildings`. `mud` is the strength of the effect, `lahar` says that the mud itself flowed."""
    x, y = points_around(plan.buildings)
    depth = sample_nodes(water.depth_m, x, y)
    soft = np.append(SOFT[plan.areas["material"]], SOFT[plan.ground])[
        top_area(x.ravel(), y.ravel(), plan.areas)
    ].reshape(depth.shape)
    return _mean_share(depth, soft, np.float32(mud), lahar)


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_share(depth, soft, mud, lahar):  # type: ignore[no-untyped-def]
    means = np.zeros(len(depth), np.float32)
    for building in range(len(depth)):
        total, wet = 0.0, 0
        for point in range(1, depth.shape[1]):  # the first one is the middle, under the roof
            if depth[building, point] > NEAR_M:
                total += min(
                    mud_share(depth[building, point], 0.0, 0.0, 0.0, mud, soft[building, point], True, lahar), 0.96
                )
                wet += 1
        if wet > 0:
            means[building] = total / wet
    return means
