"""Parts of large roofs: the mean over a hall averages away the damage to a third of it.

A network grades a roof by the mean of its pixels. A large roof is graded by parts as well, and the most damaged part decides its
probability of damage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely

from deepnets4eo.arrays import Floats, Geometries, Indices
from deepnets4eo.damage.network.pairs import box_centres, in_pixels
from deepnets4eo.damage.table.probabilities import set_damaged_probability
from deepnets4eo.damage.table.vocabulary import MAJOR
from deepnets4eo.zonal import Outlines

# Roofs from this area on have parts of about this side. Looked at: a market (a hall of 1,930 m² without a third of its roof: .17 as a whole, .83 by
# its worst part), four cities of Türkiye and Mexico 05 and 10, where the worst part of 4 of 27 intact roofs exceeds .8.
MIN_ROOF_M2, PART_M = 1000.0, 16.0
MAX_PARTS = 400  # of one roof, whatever its size
MIN_FILLED = 0.5  # share of a part that the roof fills; smaller pieces are its border


@dataclass(frozen=True)
class Roofs:
    """Outlines of N roofs, followed by the outlines of P parts of large ones.

    outlines : N + P outlines on one raster
    whole : (P,) row of the roof that each part belongs to
    """

    outlines: Outlines
    whole: Indices = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, shapes: Geometries, gsd_m: float, shape: tuple[int, int]) -> Roofs:
        """Make them from polygons (N,) in pixels of `gsd_m` metres of a raster of `shape`."""
        shapes = shapely.force_2d(shapes)
        large = np.flatnonzero(shapely.area(shapes) * gsd_m**2 >= MIN_ROOF_M2)
        parts = [roof_parts(shapes[row], PART_M / gsd_m) for row in large]
        whole = np.repeat(large, [len(of_roof) for of_roof in parts])
        return cls(in_pixels(np.concatenate([shapes, *parts]), shape), whole)

    def __len__(self) -> int:
        return len(self.outlines) - len(self.whole)

    @property
    def centres(self) -> Indices:
        """Return (N, 2) row and column of the middle of each roof."""
        return box_centres(self.outlines, self.outlines.shape)[: len(self)]

    def by_worst_part(self, probabilities: Floats) -> Floats:
        """Return (N, 4) probabilities of the grades of roofs, damaged as probably as their most damaged part.

        probabilities : (N + P, 4), NaN for outlines without a valid pixel
        """
        roofs, parts = np.split(probabilities, [len(self)])
        damaged = roofs[:, MAJOR:].sum(axis=1)
        worst = damaged.copy()
        np.fmax.at(worst, self.whole, parts[:, MAJOR:].sum(axis=1))
        raised = worst > damaged
        out = roofs.copy()
        out[raised] = set_damaged_probability(roofs[raised], worst[raised])
        return out


def roof_parts(roof: shapely.Geometry, side_px: float) -> Geometries:
    """Cut a roof along its longer and shorter side into equal rectangles of nearly `side_px`; without those that it hardly fills."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(roof))[:4]
    if len(corners) < 4:  # no area
        return np.zeros(0, object)
    sides = corners[[1, 3]] - corners[0]
    side_px = max(side_px, float(np.sqrt(np.prod(np.linalg.norm(sides, axis=1)) / MAX_PARTS)))
    numbers = np.maximum(1, np.rint(np.linalg.norm(sides, axis=1) / side_px)).astype(int)
    steps = sides / numbers[:, None]
    begins = np.stack(np.meshgrid(*map(np.arange, numbers), indexing="ij"), axis=-1).reshape(-1, 2)
    around = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    cells = shapely.polygons(corners[0] + (begins[:, None] + around) @ steps)
    parts = np.array([_polygons(piece) for piece in shapely.intersection(shapely.make_valid(roof), cells)], object)
    return parts[shapely.area(parts) >= MIN_FILLED * shapely.area(cells)]


def _polygons(piece: shapely.Geometry) -> shapely.Geometry:
    """Return the polygons of a piece; an intersection may touch along a line as well."""
    members = shapely.get_parts(piece)
    return shapely.multipolygons(members[shapely.get_type_id(members) == shapely.GeometryType.POLYGON])
