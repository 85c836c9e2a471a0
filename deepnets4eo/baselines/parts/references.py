"""Boxes to learn from: connected regions of a class in label rasters, or a vector layer of outlines.

Takes scenes with `labels`, or a GeoDataFrame for each scene; gives oriented boxes in pixels and which are fit to learn.
Refuses labels that show nothing of the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import transform_shapes
from deepnets4eo.polygons import polygonize
from deepnets4eo.polygons.boxes import boxes_around
from deepnets4eo.rasters.scene import LABELS, Scene

if TYPE_CHECKING:
    import geopandas as gpd

SMALLEST, LARGEST = 0.5, 1.8  # of the median area: less is cut off by trees or the edge, more is several in one
FULL = 0.65  # share of its box that a thing fills; less is bent, or several in one
EDGE_PX = 1.0


@dataclass(frozen=True)
class References:
    """Boxes (N, 5) of one scene, and whether each is fit to learn from; those that are not are no background either."""

    boxes: Boxes
    usable: NDArray[np.bool_]


def references(
    scenes: Sequence[Scene], legend: Legend, class_name: str, outlines: Sequence[gpd.GeoDataFrame] | None = None
) -> list[References]:
    """Boxes of each scene. outlines : one layer of polygons a scene, used in place of its labels.

    Regions cut by the scene's edge, much smaller or larger than the median, or far from rectangular are not usable.
    Errors: InputError where nothing of the class is found, or the number of layers is not that of scenes.
    """
    if outlines is not None and len(outlines) != len(scenes):
        raise InputError(f"{len(outlines)} layers of outlines were given for {len(scenes)} scenes. Give one for each.")
    frames = outlines if outlines is not None else [reference_polygons(scene, legend, class_name) for scene in scenes]
    polygons = [_in_pixels(frame, scene) for frame, scene in zip(frames, scenes, strict=True)]
    areas = [shapely.area(one) for one in polygons]
    every = np.concatenate(areas)
    if not len(every):
        raise InputError(
            f"the scenes show no {class_name!r} of legend {legend.name!r}. Give scenes with labels of it, or outlines."
        )
    # the median by area is that of whole things: crumbs are many and small
    order = np.sort(every)
    median = order[min(np.searchsorted(np.cumsum(order), order.sum() / 2), len(order) - 1)]
    return [
        _fit_to_learn(*one, median, scene.shape)
        for one, scene in zip(zip(polygons, areas, strict=True), scenes, strict=True)
    ]


def reference_polygons(scene: Scene, legend: Legend, class_name: str) -> gpd.GeoDataFrame:
    """Connected regions of a class in the scene's labels, as polygons. Errors: InputError without labels."""
    if LABELS not in scene.layers:
        raise InputError(f"a scene has the layers {sorted(scene.layers)}, not {LABELS!r}. Give labels, or outlines.")
    return polygonize(scene.layers[LABELS], {legend.value(class_name): class_name})


def reference_outlines(scene: Scene, legend: Legend, class_name: str) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """What a labelled scene shows of a class: its regions, and rectangles around them with a column `difficult`.

    Rectangles are what `evaluate_detections` takes; difficult are those that are not fit to learn from, either.
    """
    regions = reference_polygons(scene, legend, class_name)
    usable = references([scene], legend, class_name)[0].usable if len(regions) else np.zeros(0, bool)
    boxes = regions.set_geometry(regions.geometry.minimum_rotated_rectangle())
    return regions, boxes.assign(difficult=~usable)


def _in_pixels(frame: gpd.GeoDataFrame, scene: Scene) -> NDArray[np.object_]:
    """Polygons (N,) in the scene's pixels."""
    crs = scene.grid.crs.proj if scene.grid.crs is not None else None
    if crs is not None and frame.crs is not None and frame.crs != crs:
        frame = frame.to_crs(crs)
    polygons = transform_shapes(~scene.grid.affine, frame.geometry.to_numpy())
    return polygons[~(shapely.is_missing(polygons) | shapely.is_empty(polygons))]


def _fit_to_learn(
    polygons: NDArray[np.object_], area: NDArray[np.float64], median: float, shape: tuple[int, int]
) -> References:
    boxes = boxes_around(polygons)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    whole = (left >= EDGE_PX) & (top >= EDGE_PX) & (right <= shape[1] - EDGE_PX) & (bottom <= shape[0] - EDGE_PX)
    whole &= (area >= SMALLEST * median) & (area <= LARGEST * median)
    return References(boxes, whole & (area >= FULL * boxes[:, 2] * boxes[:, 3]))
