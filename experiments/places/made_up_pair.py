"""A pair of the miniature world as a damage job gets it: two images, and outlines a little off with their visible grades. SYNTHETIC."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.scene import Layer
from places.working_grid import CRS, metric_grid

PAIR_PX = 512
FOOTPRINT_ERROR_M = 0.7  # what registration leaves, as measured on real pairs


@dataclass(frozen=True)
class MadeUpPair:
    """Images before and after, and the outlines of buildings at both dates: `id`, `damage` as seen from above, geometry."""

    pre: Layer
    post: Layer
    outlines: gpd.GeoDataFrame


def world_pair(seed: int, style: str, hazard: str, rng: np.random.Generator) -> MadeUpPair:
    """The pair of a seed. rng : source of the error of the outlines."""
    from deepnets4eo.synthetic.world import draw_pair
    from deepnets4eo.synthetic.world.plan import BOTH

    sample = draw_pair(seed, style=style, hazard=hazard, size_px=PAIR_PX)
    shapes = np.array(sample.polygons(), dtype=object)
    rows = np.flatnonzero((sample.plan.buildings["when"] == BOTH) & (shapely.area(shapes) > 0))
    grid = metric_grid(sample.labels_pre.shape, (sample.gsd_m, sample.gsd_m))
    names = {"id": [f"b{row:04d}" for row in rows], "damage": np.array(GRADES, dtype=object)[sample.visible[rows]]}
    outlines = gpd.GeoDataFrame(names, geometry=transform_shapes(grid.affine, shapes[rows]), crs=CRS)
    outlines.geometry = outlines.geometry.translate(*rng.normal(0, FOOTPRINT_ERROR_M, 2))
    pre, post = (Layer.open(np.ascontiguousarray(image[:3]), grid=grid) for image in (sample.pre, sample.post))
    return MadeUpPair(pre, post, outlines)
