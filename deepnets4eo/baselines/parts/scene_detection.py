"""Detection over a whole scene, tile by tile of its lattice, and the vector layer of what was found.

Takes a scene and a function that finds things in a prepared tile; gives all of them, those on seams once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.baselines.parts.detection import Detections
from deepnets4eo.grid import Grid, apply_affine, gsd_m
from deepnets4eo.polygons.boxes import corners
from deepnets4eo.prediction.tile_reader import ReadTile, TileReader
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling import Lattice, Tile, Tiling

if TYPE_CHECKING:
    import geopandas as gpd

# A thing on a seam may lie just beyond it for both of its tiles, as each has its own grid of cells: each keeps a little
# more than its core, and what both keep is suppressed.
SEAM_PX = 16


def detect_scene(
    scene: Scene,
    inputs: InputSpec,
    tiling: Tiling,
    find: Callable[[NDArray[np.float32]], Detections],
    *,
    max_iou: float,
    progress: Callable[[float], None] | None = None,
) -> Detections:
    """All things of a scene, boxes in its pixels, best first; those whose middle is beyond the edge or not valid are none.

    find : prepared image (C, tile, tile) → things, boxes in its pixels. Memory: one tile, and all that was found.
    """
    # a scene smaller than a tile is not filled up to its size
    side_px = min(tiling.tile_px, max(scene.shape) + 2 * tiling.halo_px)
    lattice = Lattice(scene.shape, replace(tiling, tile_px=side_px, overlap_px=0))
    reader = TileReader(scene, inputs, lattice)
    kept = []
    done = 0
    for segment in reader.read_ahead(range(lattice.rows), range(lattice.cols), workers=1):
        for read in segment:
            if read.image is not None:
                kept.append(_of_tile(find(read.image), read, scene.shape))
            done += 1
            if progress is not None:
                progress(done / len(lattice))
    return Detections.together(kept).best(max_iou)


def _of_tile(found: Detections, read: ReadTile, shape: tuple[int, int]) -> Detections:
    """What belongs to a tile, in the scene's pixels."""
    tile: Tile = read.tile
    boxes = found.boxes + (tile.window.row, tile.window.col, 0, 0, 0)
    middle = np.floor(boxes[:, :2]).astype(np.int64)
    begin = np.array([tile.core.row, tile.core.col])
    side = np.array([tile.core.height, tile.core.width])
    seam_px = min(SEAM_PX, tile.core.row - tile.window.row)
    own = ((middle >= begin - seam_px) & (middle < begin + side + seam_px)).all(axis=1)
    own &= ((middle >= 0) & (middle < np.array(shape))).all(axis=1)
    inside = np.clip(middle - begin, 0, side - 1)
    own &= read.valid[inside[:, 0], inside[:, 1]]
    return Detections(boxes[own], found.score[own], found.template[own])


def as_frame(
    found: Detections, score: NDArray[np.float64], component: NDArray[np.int64], class_name: str, grid: Grid
) -> gpd.GeoDataFrame:
    """Found things as polygons in map coordinates."""
    import geopandas as gpd

    ground = apply_affine(grid.affine, corners(found.boxes))
    row_m, col_m = gsd_m(grid)
    side_m = float(np.sqrt(row_m * col_m))
    return gpd.GeoDataFrame(
        {
            "id": [str(number) for number in range(1, len(found) + 1)],
            "class": [class_name] * len(found),
            "score": score,
            "component": component,
            "length_m": found.boxes[:, 2] * side_m,
            "width_m": found.boxes[:, 3] * side_m,
            "heading_deg": np.degrees(found.boxes[:, 4]),
        },
        geometry=list(shapely.polygons(ground)) if len(found) else [],
        crs=grid.crs.proj if grid.crs is not None else None,
    )
