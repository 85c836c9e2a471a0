"""From a grey image, or a scene tile by tile, to boxes: templates correlated at several scales, local maxima,
suppression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import Boxes, FloatImage, Floats, Indices, Mask
from deepnets4eo.baselines.features.hog import felzenszwalb_cells
from deepnets4eo.baselines.parts.boxes import suppress
from deepnets4eo.baselines.parts.templates import PartSettings, TemplateBank, correlate, pad_half_frame, part_scores
from deepnets4eo.grid import Grid, apply_affine, gsd_m
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.polygons import corners, outlines
from deepnets4eo.prediction import ReadTile, TileReader
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Lattice, Tile, Tiling

if TYPE_CHECKING:
    import geopandas as gpd

# An object on a seam may lie just beyond it for both of its tiles, as each has its own grid of cells: each keeps a
# little more than its core, and duplicates are suppressed.
SEAM_PX = 16


@dataclass(frozen=True)
class Detections:
    """Detections: boxes (N, 5), score (N,) float32 logit or SVM margin, template (N,)."""

    boxes: Boxes
    score: NDArray[np.float32]
    template: Indices

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Indices | Mask) -> Detections:
        """Return some of them."""
        return Detections(self.boxes[rows], self.score[rows], self.template[rows])

    @classmethod
    def concatenate(cls, parts: list[Detections]) -> Detections:
        """Join several into one."""
        if not parts:
            return cls(np.zeros((0, 5)), np.zeros(0, np.float32), np.zeros(0, np.int64))
        boxes = np.concatenate([part.boxes for part in parts])
        score = np.concatenate([part.score for part in parts])
        return cls(boxes, score, np.concatenate([part.template for part in parts]))

    def best(self, max_iou: float) -> Detections:
        """Return those that overlap no better one by more than `max_iou`."""
        return self.take(suppress(outlines(self.boxes), self.score.astype(np.float64), max_iou))


@name_missing_extra()
def resize(grey: FloatImage, scale: float) -> tuple[FloatImage, tuple[float, float]]:
    """Return an image resized without aliasing, and the exact factors along rows and columns after rounding."""
    import torch

    shape = max(1, round(grey.shape[0] * scale)), max(1, round(grey.shape[1] * scale))
    if shape == grey.shape:
        return grey, (1.0, 1.0)
    image = torch.from_numpy(np.ascontiguousarray(grey))[None, None]
    out = torch.nn.functional.interpolate(image, shape, mode="bilinear", antialias=True, align_corners=False)
    return out[0, 0].numpy(), (shape[0] / grey.shape[0], shape[1] / grey.shape[1])


def logits(
    cells: FloatImage, bank: TemplateBank, settings: PartSettings, *, fine: FloatImage | None = None, threads: int = 1
) -> FloatImage:
    """Return the logit of each template, (T, rows, columns), for frames that begin half a frame before the cells. fine
    : cells of half the side, needed where templates have parts."""
    room = pad_half_frame(cells, bank.shapes.frame)
    scores = correlate(room, bank.weights, normalised=settings.score == "ncc", threads=threads)
    if settings.score == "svm":
        scores += bank.bias[:, None, None]
    if fine is not None:
        scores += part_scores(fine, bank, (scores.shape[1], scores.shape[2]), threads)
    scores *= bank.slope[:, None, None]
    scores += bank.offset[:, None, None]
    return scores


def local_maxima(scores: FloatImage, least: float) -> tuple[Indices, Indices, Indices]:
    """Return template, row and column of the local maxima over 3 × 3 cells and all templates that reach `least`."""
    best = scores.max(axis=0)
    top = (best >= least) & (best == ndimage.maximum_filter(best, 3, mode="nearest"))
    rows, cols = np.nonzero(top)
    return scores[:, rows, cols].argmax(axis=0), rows, cols


def find_objects(
    grey: FloatImage, bank: TemplateBank, settings: PartSettings, *, least: float, scale: float = 1.0, threads: int = 1
) -> Detections:
    """Return suppressed detections of one image with a logit of at least `least`; boxes in its pixels.

    scale : factor that brings the image to the pixels of training

    Memory: 4 T bytes a cell and scale.
    """
    shapes, detections = bank.shapes, []
    for factor in settings.scales:
        image, exact = resize(grey, factor * scale)
        cells = felzenszwalb_cells(image, shapes.cell_px)
        if not cells.size:
            continue
        fine = felzenszwalb_cells(image, shapes.cell_px // 2) if bank.parts is not None else None
        scores = logits(cells, bank, settings, fine=fine, threads=threads)
        template, rows, cols = local_maxima(scores, least)
        start = np.array(shapes.frame) // 2
        boxes = shapes.boxes(template, rows - start[0], cols - start[1], exact)
        detections.append(Detections(boxes, scores[template, rows, cols], template))
    return Detections.concatenate(detections).best(settings.max_iou)


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

    find : prepared image (C, tile, tile) → detections

    Memory: one tile, and all detections.
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
    detections: Detections, score: Floats, component: Indices, class_name: str, grid: Grid
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
