"""Things on roofs: water tanks, air conditioners, laundry, dishes, canopies, panels, skylights, columns, chimneys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.blocks import repeat_runs
from deepnets4eo.synthetic.world.layouts.clearance import Rects, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.palette import add_infrared, vary

# length, width and height from–to in metres, and colours
_THINGS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], list[tuple[int, int, int]]]] = {
    "tank": ((0.9, 1.7), (0.9, 1.7), (1.0, 1.8), [(40, 40, 42), (216, 216, 212), (170, 172, 174), (84, 112, 150)]),
    "conditioner": ((0.8, 1.8), (0.5, 1.2), (0.6, 1.1), [(196, 196, 192), (150, 150, 148)]),
    "laundry": ((2.0, 6.0), (0.3, 0.9), (1.2, 1.8), [(214, 210, 206), (150, 66, 70), (76, 96, 150), (190, 160, 90)]),
    "dish": ((0.7, 1.2), (0.7, 1.2), (0.8, 1.2), [(208, 206, 200)]),
    "clutter": ((0.5, 3.0), (0.4, 1.6), (0.3, 1.0), [(120, 104, 86), (90, 84, 80), (160, 146, 124), (128, 80, 60)]),
    "heater": ((1.6, 2.2), (1.0, 1.6), (0.6, 1.0), [(38, 44, 58)]),
    "canopy": ((2.5, 5.0), (2.0, 4.0), (2.1, 2.5), [(150, 96, 72), (84, 112, 150), (172, 172, 168), (120, 140, 116)]),
    "chimney": ((0.8, 2.2), (0.6, 1.2), (0.8, 2.2), [(138, 100, 84), (176, 150, 126), (196, 190, 180)]),
    "window": ((0.9, 1.4), (0.8, 1.2), (0.1, 0.3), [(60, 66, 76), (120, 130, 142)]),
    "vent": ((0.5, 2.5), (0.5, 2.0), (0.4, 1.6), [(170, 170, 168), (128, 128, 128), (210, 210, 206)]),
}


def add_roof_things(draft: Draft, roofs: Rects, shares: dict[str, float], per_100_m2: float) -> None:
    """Add `per_100_m2` things to roofs (N, 5), parallel to their edges, by the shares of their kinds: tank,
    conditioner, laundry, dish, clutter, heater, canopy, chimney, window, vent."""
    rng = draft.rng
    counts = rng.poisson(np.minimum(roofs[:, 2] * roofs[:, 3] / 100 * per_100_m2, 60))
    roof, _ = repeat_runs(counts)
    names = list(shares)
    weights = np.array([shares[name] for name in names], float)
    kind = rng.choice(len(names), len(roof), p=weights / weights.sum())
    base = roofs[roof]
    n = len(roof)
    low, high = (np.array([[_THINGS[name][axis][end] for axis in range(3)] for name in names])[kind] for end in (0, 1))
    size = rng.uniform(low, high) if n else np.zeros((0, 3))
    size[:, :2] = np.minimum(size[:, :2], base[:, 2:4] * 0.45)
    where = rng.uniform(-0.5, 0.5, (n, 2)) * np.maximum(base[:, 2:4] - size[:, :2].max(axis=1, keepdims=True) - 0.8, 0)
    tones = np.array([_THINGS[name][3][rng.integers(len(_THINGS[name][3]))] for name in names], float)
    own = np.array(
        [_THINGS[names[k]][3][j % len(_THINGS[names[k]][3])] for k, j in zip(kind, rng.integers(0, 9, n), strict=True)]
    )
    # half of the things have the usual colour of the site
    colour = np.where(rng.random((n, 1)) < 0.5, tones[kind], own.reshape(n, 3)) * rng.uniform(0.85, 1.12, (n, 1))
    turn = np.where(rng.random(n) < 0.5, np.pi / 2, 0.0)
    rects = within(base, where[:, 0], where[:, 1], size[:, 0], size[:, 1], turn)
    draft.add_boxes(rects, size[:, 2], add_infrared(colour), on_roof=1)


def add_columns(draft: Draft, roofs: Rects) -> None:
    """Add the stubs of columns to roofs (N, 5) on which a storey may follow."""
    rng = draft.rng
    along, across = (np.maximum(2, np.round(roofs[:, axis] / 4.0)).astype(int) for axis in (2, 3))
    roof, k = repeat_runs(along * across)
    i, j = k // across[roof], k % across[roof]
    u = (i / (along[roof] - 1) - 0.5) * (roofs[roof, 2] - 0.8)
    v = (j / (across[roof] - 1) - 0.5) * (roofs[roof, 3] - 0.8)
    height = rng.uniform(0.6, 2.8, len(roofs))[roof]
    draft.add_boxes(within(roofs[roof], u, v, 0.4, 0.4), height, vary((150, 142, 130), len(roof), rng), on_roof=1)


def add_skylights(draft: Draft, roofs: Rects, axis_v: NDArray[np.float64]) -> None:
    """Add one row of skylights to each hall roof (N, 5), along its length at `axis_v` metres across it; translucent,
    paler or darker than the roof."""
    rng = draft.rng
    pitch = rng.uniform(5.0, 14.0)
    length = rng.uniform(0.25, 0.95) * pitch
    counts = np.maximum(((roofs[:, 2] - 4) / pitch).astype(int), 0)
    roof, k = repeat_runs(counts)
    u = (k + 0.5) * pitch - counts[roof] * pitch / 2
    tone = (206, 212, 208) if rng.random() < 0.65 else (84, 92, 100)
    colour = vary(tone, len(roof), rng, 0.06)
    draft.add_boxes(within(roofs[roof], u, axis_v[roof], length, rng.uniform(1.0, 2.4)), 0.25, colour, on_roof=1)


def add_panels(draft: Draft, roofs: Rects, share: float) -> None:
    """Add rows of solar panels to flat roofs (N, 5); each row takes `share` (0–1) of the length of the roof."""
    pitch = draft.rng.uniform(2.2, 3.5)
    counts = np.maximum(((roofs[:, 3] - 2.5) / pitch).astype(int), 0)
    roof, k = repeat_runs(counts)
    v = (k + 0.5) * pitch - counts[roof] * pitch / 2
    rows = within(roofs[roof], 0.0, v, np.maximum((roofs[roof, 2] - 2.0) * share, 1.0), 1.6)
    draft.add_boxes(rows, 0.5, vary((40, 48, 70), len(rows), draft.rng, 0.06), on_roof=1)
