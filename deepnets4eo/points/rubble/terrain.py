"""The terrain under buildings, and how the heights of two dates lie against each other on ground that did not change.

The cells of all footprints are taken out before the ground filter, so that neither houses nor heaps shape the terrain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble.debris_rule import nmad
from deepnets4eo.points.rubble.surfaces import BlockHeights
from deepnets4eo.terrain import ground

STABLE_M = 0.4  # what is lower than this above the terrain at both dates is ground
FAR_M = 5.0  # larger differences of ground are no offset between two dates, but work of men
LEAST_CELLS = 50
LEAST_SIGMA_M = 0.02


@dataclass(frozen=True)
class VerticalFit:
    """How two dates' heights fit on stable ground: metres added to the heights before, spread of the remaining
    differences (NaN where none was measured), and number of cells."""

    shift_m: float = 0.0
    nmad_m: float = float("nan")
    cells: int = 0


def terrain_under(heights: BlockHeights, built: NDArray[np.bool_], cell_m: float) -> FloatImage:
    """Return terrain heights (h, w), known everywhere; `built` are cells of footprints with a margin. Raises
    NoHeightsError where no height is known beside the footprints."""
    open_ground = np.where(built, np.nan, heights.lowest)
    if not np.isfinite(open_ground).any():
        raise NoHeightsError("no height is known beside the footprints. Give heights of a wider area.")
    return ground(open_ground, cell_m, slope=0.3)


def fit_vertically(pre: BlockHeights, post: BlockHeights, terrain: FloatImage, built: NDArray[np.bool_]) -> VerticalFit:
    """Measure how much higher post is than pre on stable ground: the median difference and the spread about it; cells
    that are `built` do not count."""
    difference = post.mean - pre.mean
    with np.errstate(invalid="ignore"):
        stable = ~built & (np.abs(pre.mean - terrain) < STABLE_M) & (np.abs(difference) < FAR_M)
    if stable.sum() < LEAST_CELLS:
        return VerticalFit(cells=int(stable.sum()))
    first = float(np.median(difference[stable]))
    near = stable & (np.abs(difference - first) < STABLE_M)  # without cars, fallen trees, debris on the ground
    left = difference[near]
    return VerticalFit(float(np.median(left)), max(nmad(left), LEAST_SIGMA_M), int(near.sum()))
