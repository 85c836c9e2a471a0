"""Detection over a whole scene, tile by tile of its lattice, and the vector layer of the detections.

Takes a scene and a function that detects objects in a prepared tile; returns all of them, those on seams once.
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

# An object on a seam may lie just beyond it for both of its tiles, as each has its own grid of cells: each keeps a
# little more than its core, and duplicates are suppressed.
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
    """Return all objects of a scene, boxes in its pixels, best first; centres beyond the edge or not valid are left out.

    find : prepared image (C, tile, tile) → detections, boxes in its pixels. Memory: one tile, and all detections.
    """
    # a scene smaller than a tile is not filled up to its size
    side_px = min(tiling.tile_px, max(scene.shape) + 2 * tiling.halo_px)
    lattice = Lattice(scene.shape, replace(tiling, tile_px=side_px, overlap_px=0, blending="hann"))
    reader = TileReader(scene, inputs, lattice)
    kept = []
    done = 0
    for segment in reader.read_ahead(range(lattice.rows), range(lattice.cols), workers=1):
        for read in segment:
            if read.image is not None:
                kept.append(_detections_of_tile(find(read.image), read, scene.shape))
            done += 1
            if progress is not None:
                progress(done / len(lattice))
    return Detections.concatenate(kept).best(max_iou)


def _detections_of_tile(detections: Detections, read: ReadTile, shape: tuple[int, int]) -> Detections:
    """Return what belongs to a tile, in the scene's pixels."""
    tile: Tile = read.tile
    boxes = detections.boxes + (tile.window.row, tile.window.col, 0, 0, 0)
    centre = np.floor(boxes[:, :2]).astype(np.int64)
    begin = np.array([tile.core.row, tile.core.col])
    side = np.array([tile.core.height, tile.core.width])
    seam_px = min(SEAM_PX, tile.core.row - tile.window.row)
    own = ((centre >= begin - seam_px) & (centre < begin + side + seam_px)).all(axis=1)
    own &= ((centre >= 0) & (centre < np.array(shape))).all(axis=1)
    inside = np.clip(centre - begin, 0, side - 1)
    own &= read.valid[inside[:, 0], inside[:, 1]]
    return Detections(boxes[own], detections.score[own], detections.template[own])


def to_geodataframe(
    detections: Detections, score: NDArray[np.float64], component: NDArray[np.int64], class_name: str, grid: Grid
) -> gpd.GeoDataFrame:
    """Return detections as polygons in map coordinates."""
    import geopandas as gpd

    ground = apply_affine(grid.affine, corners(detections.boxes))
    row_m, col_m = gsd_m(grid)
    side_m = float(np.sqrt(row_m * col_m))
    return gpd.GeoDataFrame(
        {
            "id": [str(number) for number in range(1, len(detections) + 1)],
            "class": [class_name] * len(detections),
            "score": score,
            "component": component,
            "length_m": detections.boxes[:, 2] * side_m,
            "width_m": detections.boxes[:, 3] * side_m,
            "heading_deg": np.degrees(detections.boxes[:, 4]),
        },
        geometry=list(shapely.polygons(ground)) if len(detections) else [],
        crs=grid.crs.proj if grid.crs is not None else None,
    )
