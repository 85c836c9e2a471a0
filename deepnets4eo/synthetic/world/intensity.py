"""Where a hazard strikes: its intensity over a place, on a coarse grid of nodes `CELL_M` apart.

Node (i, j) lies at x = j · CELL_M, y = i · CELL_M; values between nodes are bilinear, beyond the grid those of its edge.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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
