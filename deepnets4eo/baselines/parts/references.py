"""Boxes for training, from label rasters or outlines, and the windows of scenes around them with their HOG cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes, FloatImage, Floats, Indices, Mask
from deepnets4eo.baselines.features.hog import felzenszwalb_cells
from deepnets4eo.baselines.parts.detection import resize
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import transform_shapes
from deepnets4eo.polygons import boxes_around, polygonize
from deepnets4eo.prediction import TileReader
from deepnets4eo.rasters import Scene
from deepnets4eo.reprojection import to_crs
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Lattice, Tiling

if TYPE_CHECKING:
    import geopandas as gpd

SMALLEST, LARGEST = (
    0.5,
    1.8,
)  # of the median area: smaller ones are cut off by trees or the edge, larger ones are several in one
MIN_FULL_SHARE = 0.65  # share of its box that an object fills; below, it is bent, or several in one
EDGE_PX = 1.0
CORE_PX = 384
WITH_BOXES = 0.75  # of the windows at most, so that there is background without objects, too


@dataclass(frozen=True)
class References:
    """Boxes (N, 5) of one scene, and whether each is usable for training; unusable ones are not background either."""

    boxes: Boxes
    usable: Mask


def references(
    scenes: Sequence[Scene], legend: Legend, class_name: str, outlines: Sequence[gpd.GeoDataFrame] | None = None
) -> list[References]:
    """Return boxes of each scene from its labels, or from `outlines`, one layer of polygons per scene.

    Regions cut by the scene's edge, much smaller or larger than the median, or far from rectangular are not usable.

    Raises InputError if the class does not occur, or if the number of layers differs from the number of scenes.
    """
    if outlines is not None and len(outlines) != len(scenes):
        raise InputError(f"{len(outlines)} layers of outlines were given for {len(scenes)} scenes. Give one for each.")
    frames = outlines if outlines is not None else [reference_polygons(scene, legend, class_name) for scene in scenes]
    polygons = [_to_pixels(frame, scene) for frame, scene in zip(frames, scenes, strict=True)]
    areas = [shapely.area(shapes) for shapes in polygons]
    every = np.concatenate(areas)
    if not len(every):
        raise InputError(
            f"the scenes have no {class_name!r} of legend {legend.name!r}. Give scenes with labels of it, or outlines."
        )
    # the median by area is that of whole objects: fragments are many and small
    order = np.sort(every)
    median = order[min(np.searchsorted(np.cumsum(order), order.sum() / 2), len(order) - 1)]
    return [
        _usable_boxes(*regions, median, scene.shape)
        for regions, scene in zip(zip(polygons, areas, strict=True), scenes, strict=True)
    ]


def reference_polygons(scene: Scene, legend: Legend, class_name: str) -> gpd.GeoDataFrame:
    """Return connected regions of a class in the scene's labels as polygons, in the scene's CRS.

    scene : a scene with a layer `labels`
    legend, class_name : the legend of the labels, and a class of it

    Returns a GeoDataFrame, as `polygonize` does. Errors: InputError for a scene without labels.

    >>> labels = np.zeros((6, 6), np.uint8)
    >>> labels[1:3, 1:5] = 4
    >>> len(reference_polygons(Scene.open(labels=labels), Legend.load("isprs"), "car"))
    1
    """
    if Scene.label_layer not in scene.layers:
        raise InputError(
            f"a scene has the layers {sorted(scene.layers)}, not {Scene.label_layer!r}. Give labels, or outlines."
        )
    return polygonize(scene.layers[Scene.label_layer], {legend.value(class_name): class_name})


def _to_pixels(frame: gpd.GeoDataFrame, scene: Scene) -> NDArray[np.object_]:
    """Return polygons (N,) in the scene's pixels."""
    crs = scene.grid.crs.proj if scene.grid.crs is not None else None
    if crs is not None and frame.crs is not None and frame.crs != crs:
        frame = to_crs(frame, crs)
    polygons = transform_shapes(~scene.grid.affine, frame.geometry.to_numpy())
    return polygons[~(shapely.is_missing(polygons) | shapely.is_empty(polygons))]


def _usable_boxes(polygons: NDArray[np.object_], area: Floats, median: float, shape: tuple[int, int]) -> References:
    boxes = boxes_around(polygons)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    whole = (left >= EDGE_PX) & (top >= EDGE_PX) & (right <= shape[1] - EDGE_PX) & (bottom <= shape[0] - EDGE_PX)
    whole &= (area >= SMALLEST * median) & (area <= LARGEST * median)
    return References(boxes, whole & (area >= MIN_FULL_SHARE * boxes[:, 2] * boxes[:, 3]))


@dataclass
class TrainingWindow:
    """A window of a scene.

    grey : (h, w) with a margin of context around the core; `core` (h, w) pixels are inside the scene
    boxes : all boxes that touch the window, in its pixels
    usable : whether each box is usable for training and has its centre in the core
    """

    grey: FloatImage
    margin_px: int
    core: tuple[int, int]
    boxes: Boxes
    usable: Mask
    cells: dict[tuple[float, int], tuple[NDArray[np.float32], tuple[float, float]]] = field(
        default_factory=dict, repr=False
    )

    def cells_at(self, scale: float, cell_px: int) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """Return HOG cells of the window resized by a factor, and the exact factors; computed once."""
        if (scale, cell_px) not in self.cells:
            image, exact = resize(self.grey, scale)
            self.cells[scale, cell_px] = felzenszwalb_cells(image, cell_px), exact
        return self.cells[scale, cell_px]

    def in_core(self, boxes: Boxes) -> Mask:
        """Return whether the centre of each box is in the core."""
        return _inside(boxes[:, :2] - self.margin_px, np.array(self.core))


def training_windows(
    scenes: Sequence[Scene],
    reference_boxes: Sequence[References],
    inputs: InputSpec,
    grey_of: Callable[[NDArray[np.float32]], FloatImage],
    *,
    margin_px: int,
    max_windows: int,
    rng: np.random.Generator,
) -> list[TrainingWindow]:
    """Return windows of the scenes, chosen at random, those with usable boxes first; each tile is read once. grey_of :
    prepared image (C, h, w) → grey (h, w), 0 to 1."""
    chosen: list[TrainingWindow] = []
    for number, which in _choose_tiles(scenes, reference_boxes, max_windows, rng).items():
        scene, reference = scenes[number], reference_boxes[number]
        lattice = _lattice(scene, margin_px)
        reader = TileReader(scene, inputs, lattice)
        for tile_index in which:
            tile = lattice.tile(*divmod(tile_index, lattice.cols))
            image = reader.read_segment([tile])[0].image
            if image is None:
                continue
            boxes = reference.boxes - (tile.window.row, tile.window.col, 0, 0, 0)
            near = _inside(boxes[:, :2] + margin_px, np.array(image.shape[1:]) + 2 * margin_px)
            core = tile.core.clip(scene.shape)
            window = TrainingWindow(
                grey_of(image), margin_px, (core.height, core.width), boxes[near], reference.usable[near]
            )
            window.usable = window.usable & window.in_core(window.boxes)
            chosen.append(window)
    return chosen


def _choose_tiles(
    scenes: Sequence[Scene], reference_boxes: Sequence[References], max_windows: int, rng: np.random.Generator
) -> dict[int, list[int]]:
    """Return scene number → indices of its tiles that become windows."""
    full, empty = [], []
    for number, (scene, reference) in enumerate(zip(scenes, reference_boxes, strict=True)):
        lattice = _lattice(scene, 0)
        core = lattice.tiling.core_px
        middle = reference.boxes[reference.usable, :2] // core
        held = set((middle[:, 0] * lattice.cols + middle[:, 1]).astype(int).tolist())
        full += [(number, tile) for tile in range(len(lattice)) if tile in held]
        empty += [(number, tile) for tile in range(len(lattice)) if tile not in held]
    full = [full[index] for index in rng.permutation(len(full))]
    empty = [empty[index] for index in rng.permutation(len(empty))]
    number_full = max(1, round(WITH_BOXES * max_windows), max_windows - len(empty))
    full = full[:number_full]
    chosen: dict[int, list[int]] = {}
    for number, tile in sorted(full + empty[: max(0, max_windows - len(full))]):
        chosen.setdefault(number, []).append(tile)
    return chosen


def _lattice(scene: Scene, margin_px: int) -> Lattice:
    return Lattice(scene.shape, Tiling(min(CORE_PX, max(scene.shape)) + 2 * margin_px, margin_px))


def _inside(positions: Floats, shape: Indices) -> Mask:
    return np.asarray(((positions >= 0) & (positions < shape)).all(axis=1))
