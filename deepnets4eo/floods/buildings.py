"""Buildings in a flood: the share of new water in each outline and in the ring around it.

A roof hides the water under it, so that the ring is what says whether a building stands in the flood.
Takes a raster of the legend `water` and outlines in its CRS. Memory: that of zonal counts, and two polygons a building.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.grid import mean_gsd_m, transform_shapes
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal import class_counts

INNER_M, OUTER_M = 2.0, 12.0  # of the ring: eaves hide what is nearer, farther ground is the neighbours'
LEAST_PX = 1.5  # of the width of the ring, so that coarse pixels fill it
LEAST_SHARE = 0.4  # of the ring under water, of a building that stands in it
LEAST_SEEN = 0.5  # of the ring, else it is not known
YES, NO, NOT_KNOWN = "yes", "no", "not known"


@dataclass(frozen=True)
class BuildingWater:
    """Water in and around buildings.

    Attributes
    ----------
    share, ring_share : (N,) float64
        Share of water in the outline and in its ring, 0–1, NaN where nothing was seen.
    inundated : (N,) object
        "yes", "no" or "not known".
    """

    share: NDArray[np.float64]
    ring_share: NDArray[np.float64]
    inundated: NDArray[np.object_]


def water_around(
    water: Layer, outlines: NDArray[np.object_], *, any_water: bool = False, workers: int | None = None
) -> BuildingWater:
    """Measure the water in and around each building.

    Parameters
    ----------
    water : Layer
        Labels 0 dry, 1 permanent water, 2 flood, 255 not seen.
    outlines : (N,) polygons
        In the CRS of the raster.
    any_water : bool
        Count permanent water, too: where there is no date before, it is not known which water is new.
    workers : int | None
        Threads.

    Returns
    -------
    BuildingWater
        A building stands in water if it fills more than 0.4 of the ring from 2 to 12 m around the outline; at least one and a
        half pixels wide.

    Examples
    --------
    >>> labels = np.zeros((60, 60), np.uint8)
    >>> labels[:, :30] = 2
    >>> houses = np.array([shapely.box(10, 10, 18, 18), shapely.box(45, 45, 53, 53)])
    >>> water_around(Layer.open(labels), houses).inundated.tolist()
    ['yes', 'no']
    """
    rings = _rings(water, outlines)
    classes = [FLOOD, PERMANENT_WATER] if any_water else [FLOOD]
    counts = class_counts(water, np.concatenate([outlines, rings]), FLOOD + 1, workers=workers).counts
    seen, wet = counts.sum(axis=1), counts[:, classes].sum(axis=1)
    shares = np.divide(wet, seen, out=np.full(len(seen), np.nan), where=seen > 0)
    share, ring_share = np.split(shares, 2)
    pixel = abs(water.grid.affine.determinant)
    known = seen[len(outlines) :] * pixel >= LEAST_SEEN * shapely.area(rings)
    inundated = np.where(known, np.where(ring_share > LEAST_SHARE, YES, NO), NOT_KNOWN).astype(object)
    return BuildingWater(share, ring_share, inundated)


def _rings(water: Layer, outlines: NDArray[np.object_]) -> NDArray[np.object_]:
    """The ground around each outline, in the CRS of the raster."""
    grid = water.grid
    pixel_m = 1.0 if grid.crs is None else mean_gsd_m(grid)
    inner, outer = INNER_M / pixel_m, max(OUTER_M / pixel_m, LEAST_PX + INNER_M / pixel_m)
    pixels = transform_shapes(~grid.affine, outlines)
    rings = shapely.difference(shapely.buffer(pixels, outer, quad_segs=4), shapely.buffer(pixels, inner, quad_segs=4))
    around: NDArray[np.object_] = transform_shapes(grid.affine, rings)
    return around
