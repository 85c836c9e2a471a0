"""Boxes for training: connected regions of a class in label rasters, or a vector layer of outlines.

Takes scenes with `labels`, or a GeoDataFrame for each scene; returns oriented boxes in pixels and which are usable.
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

SMALLEST, LARGEST = (
    0.5,
    1.8,
)  # of the median area: smaller ones are cut off by trees or the edge, larger ones are several in one
FULL = 0.65  # share of its box that an object fills; below, it is bent, or several in one
EDGE_PX = 1.0


@dataclass(frozen=True)
class References:
    """Boxes (N, 5) of one scene, and whether each is usable for training; unusable ones are not background either."""

    boxes: Boxes
    usable: NDArray[np.bool_]


def references(
    scenes: Sequence[Scene], legend: Legend, class_name: str, outlines: Sequence[gpd.GeoDataFrame] | None = None
) -> list[References]:
    """Return boxes of each scene. outlines : one layer of polygons a scene, used instead of its labels.

    Regions cut by the scene's edge, much smaller or larger than the median, or far from rectangular are not usable.
    Errors: InputError where the class does not occur, or the number of layers is not that of scenes.
    """
    if outlines is not None and len(outlines) != len(scenes):
        raise InputError(f"{len(outlines)} layers of outlines were given for {len(scenes)} scenes. Give one for each.")
    frames = outlines if outlines is not None else [reference_polygons(scene, legend, class_name) for scene in scenes]
    polygons = [_to_pixels(frame, scene) for frame, scene in zip(frames, scenes, strict=True)]
    areas = [shapely.area(one) for one in polygons]
    every = np.concatenate(areas)
    if not len(every):
        raise InputError(
            f"the scenes have no {class_name!r} of legend {legend.name!r}. Give scenes with labels of it, or outlines."
        )
    # the median by area is that of whole objects: fragments are many and small
    order = np.sort(every)
    median = order[min(np.searchsorted(np.cumsum(order), order.sum() / 2), len(order) - 1)]
    return [
        _usable_boxes(*one, median, scene.shape)
        for one, scene in zip(zip(polygons, areas, strict=True), scenes, strict=True)
    ]


def reference_polygons(scene: Scene, legend: Legend, class_name: str) -> gpd.GeoDataFrame:
    """Return connected regions of a class in the scene's labels as polygons.

    Parameters
    ----------
    scene
        A scene with a layer `labels`.
    legend
        The legend of the labels.
    class_name
        A class of it.

    Returns
    -------
    GeoDataFrame
        As `polygonize` returns it, in the scene's CRS.

    Raises
    ------
    InputError
        For a scene without labels.

    Examples
    --------
    >>> labels = np.zeros((6, 6), np.uint8)
    >>> labels[1:3, 1:5] = 4
    >>> len(reference_polygons(Scene.open(labels=labels), Legend.load("isprs"), "car"))
    1
    """
    if LABELS not in scene.layers:
        raise InputError(f"a scene has the layers {sorted(scene.layers)}, not {LABELS!r}. Give labels, or outlines.")
    return polygonize(scene.layers[LABELS], {legend.value(class_name): class_name})


def reference_outlines(scene: Scene, legend: Legend, class_name: str) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the regions of a class in a labelled scene, and rectangles around them with a column `difficult`.

    Parameters
    ----------
    scene
        A scene with a layer `labels`.
    legend
        The legend of the labels.
    class_name
        A class of it.

    Returns
    -------
    tuple of two GeoDataFrame
        Regions, and rectangles as `evaluate_detections` takes them; `difficult` are those that are not usable for
        training either.

    Raises
    ------
    InputError
        For a scene without labels.

    Examples
    --------
    >>> labels = np.zeros((6, 6), np.uint8)
    >>> labels[1:3, 2:6] = 4
    >>> regions, boxes = reference_outlines(Scene.open(labels=labels), Legend.load("isprs"), "car")
    >>> boxes["difficult"].tolist()  # the scene's edge cuts it
    [True]
    """
    regions = reference_polygons(scene, legend, class_name)
    usable = references([scene], legend, class_name)[0].usable if len(regions) else np.zeros(0, bool)
    boxes = regions.set_geometry(regions.geometry.minimum_rotated_rectangle())
    return regions, boxes.assign(difficult=~usable)


def _to_pixels(frame: gpd.GeoDataFrame, scene: Scene) -> NDArray[np.object_]:
    """Return polygons (N,) in the scene's pixels."""
    crs = scene.grid.crs.proj if scene.grid.crs is not None else None
    if crs is not None and frame.crs is not None and frame.crs != crs:
        frame = frame.to_crs(crs)
    polygons = transform_shapes(~scene.grid.affine, frame.geometry.to_numpy())
    return polygons[~(shapely.is_missing(polygons) | shapely.is_empty(polygons))]


def _usable_boxes(
    polygons: NDArray[np.object_], area: NDArray[np.float64], median: float, shape: tuple[int, int]
) -> References:
    boxes = boxes_around(polygons)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    whole = (left >= EDGE_PX) & (top >= EDGE_PX) & (right <= shape[1] - EDGE_PX) & (bottom <= shape[0] - EDGE_PX)
    whole &= (area >= SMALLEST * median) & (area <= LARGEST * median)
    return References(boxes, whole & (area >= FULL * boxes[:, 2] * boxes[:, 3]))
