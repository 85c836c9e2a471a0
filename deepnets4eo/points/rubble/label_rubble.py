"""The points of a cloud with the class of rubble where debris lies.

Takes a cloud and polygons of rubble; a point is rubble within a polygon, above its terrain and no higher than its heap.
Vegetation, noise and withheld points keep their class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.rubble.vocabulary import RUBBLE_CLASS, VEGETATION_CLASSES

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.points.files import CloudFile

SLACK_M = 0.5  # terrain and heaps of a patch are not level


def rubble_classes(cloud: PointCloud, rubble: gpd.GeoDataFrame) -> NDArray[np.uint8]:
    """Return the classes (N,) of points with rubble among them; points without classes count as 1, unclassified. The
    polygons have terrain_m and highest_m, as in `RubbleMap.rubble`."""
    classes = np.ones(len(cloud), np.uint8) if cloud.classification is None else cloud.classification.copy()
    if not len(rubble):
        return classes
    left, bottom, right, top = rubble.total_bounds
    x, y, z = cloud.xyz.T
    near = np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
    near = near[(cloud.counted & ~np.isin(classes, VEGETATION_CLASSES))[near]]
    tree = shapely.STRtree(rubble.geometry.to_numpy())
    point, patch = tree.query(shapely.points(cloud.xyz[near, :2]), predicate="intersects")
    terrain, highest = (rubble[name].to_numpy(float)[patch] for name in ("terrain_m", "highest_m"))
    height = z[near[point]] - terrain
    classes[near[point[(height >= -SLACK_M) & (height <= highest + SLACK_M)]]] = RUBBLE_CLASS
    return classes


def write_rubble_points(file: CloudFile, rubble: gpd.GeoDataFrame, out: Path, about: Sequence[str] = ()) -> Path:
    """Write the points of a file again with the class of rubble inside polygons in metres; all else stays. Raises
    OutputError where it cannot be written. Memory: one chunk."""
    from deepnets4eo.points.files.las_writer import Additions, write_points

    def values(_: slice, cloud: PointCloud | None) -> dict[str, NDArray[Any]]:
        assert cloud is not None, "points are passed with_clouds"
        return {"classification": rubble_classes(cloud, rubble)}

    write_points(file, out, values, Additions(highest_code=RUBBLE_CLASS, text=tuple(about)), with_clouds=True)
    return out
