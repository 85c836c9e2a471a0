"""Mud that water leaves: how much of the ground it hides, for the paint and for what an image can show of a building."""

from __future__ import annotations

import numpy as np
from numba import njit

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.intensity import Grid, sample_nodes
from deepnets4eo.synthetic.world.inundation import NEAR_M, Inundation, points_around
from deepnets4eo.synthetic.world.layouts.clearance import top_area
from deepnets4eo.synthetic.world.plan import Plan

# Ground that turns to mud or char; sealed ground gets a film.
SOFT = np.zeros(256, np.bool_)
SOFT[[CODE[name] for name in ("grass", "dry_grass", "soil", "gravel", "shrub", "mud")]] = True


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
