"""Connected regions of equal labels, traced block by block and joined over block edges as if traced at once.

Takes a layer of whole-number labels; returns polygons on pixel corners (x = column, y = row), holes kept, in the order
of their first pixels, the same whatever the block size. Pixels that touch only by a corner are not connected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as connected_regions

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.grid import LABELS_READ_PX, Window, blocks
from deepnets4eo.polygons.vertices import from_rings, vertices
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters.scene import Layer


class Regions(NamedTuple):
    """Regions in the order of their first pixels: polygons (N,) in pixels, values (N,) their labels."""

    polygons: NDArray[Any]
    values: NDArray[np.int64]


class _Block(NamedTuple):
    """Regions of one block; region k of `pieces` is number k + 1 in `edges`, 0 is none."""

    pieces: NDArray[Any]
    values: NDArray[np.int64]
    edges: dict[str, NDArray[np.int64]]  # region numbers along the top, bottom, left and right pixels


def trace_regions(
    layer: Layer,
    values: Sequence[int] | None = None,
    *,
    read: Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]] | None = None,
    block_px: int = LABELS_READ_PX,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Regions:
    """Trace the 4-connected regions of equal label.

    values : labels to trace, by default all but void (255); nodata is never traced
    read : returns the labels of a window (1, h, w) and their validity, in place of the layer's own
    progress : called with the share done

    Peak memory: per worker 40 bytes a pixel of a block; and all polygons.

    >>> regions = trace_regions(Layer.open(np.array([[1, 1, 0], [0, 1, 0]], np.uint8)), [1])
    >>> regions.polygons[0].wkt, regions.values.tolist()
    ('POLYGON ((0 0, 0 1, 1 1, 1 2, 2 2, 2 0, 0 0))', [1])
    """
    layer = layer.as_stored()
    if layer.count != 1 or layer.dtype.kind not in "biu":
        raise InputError(
            f"{layer.source} has {layer.count} bands of {layer.dtype}; labels are one band of whole numbers."
        )
    windows = blocks(layer.shape, block_px)
    pieces, of_piece, joints, count = [], [], [], 0
    below = np.zeros(layer.shape[1], np.int64)  # global region numbers along the lower edge of the blocks done
    aside = np.zeros(0, np.int64)  # … and along the right edge of the last block
    for done, (window, block) in enumerate(
        zip(
            windows, in_order(lambda window: _trace(read or layer.read, window, values), windows, workers), strict=True
        ),
        start=1,
    ):
        edges = {side: np.where(numbers > 0, numbers + count, 0) for side, numbers in block.edges.items()}
        columns = slice(window.col, window.col + window.width)
        joints.append(np.stack([below[columns], edges["top"]]))
        if window.col:
            joints.append(np.stack([aside, edges["left"]]))
        below[columns], aside = edges["bottom"], edges["right"]
        pieces.append(block.pieces)
        of_piece.append(block.values)
        count += len(block.pieces)
        if progress is not None:
            progress(done / len(windows))
    every = np.concatenate([np.zeros(0, np.int64), *of_piece])
    polygons, kept = _join(np.concatenate([np.zeros(0, object), *pieces]), every, np.concatenate(joints, axis=1))
    return _in_order_of_first_pixel(Regions(_corners_only(polygons), every[kept]))


def _trace(
    read: Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]], window: Window, values: Sequence[int] | None
) -> _Block:
    data, valid = read(window)
    labels = data[0].astype(np.int64)
    traced = valid & (np.isin(labels, list(values)) if values is not None else labels != VOID)
    codes = np.zeros(labels.shape, np.int32)
    _, inverse = np.unique(labels[traced], return_inverse=True)
    codes[traced] = inverse + 1
    numbers = connected_regions(codes, background=0, connectivity=1).astype(np.int32)
    rings: list[Any] = []
    ring_owner: list[int] = []
    owners: list[int] = []
    shift = Affine.translation(window.col, window.row)
    for shape, number in rasterio.features.shapes(numbers, mask=numbers > 0, connectivity=4, transform=shift):
        rings.extend(shape["coordinates"])
        ring_owner.extend([len(owners)] * len(shape["coordinates"]))
        owners.append(int(number))
    order = np.argsort(np.array(owners, np.int64))
    value_of = np.zeros(len(owners) + 1, np.int64)
    value_of[numbers[traced]] = labels[traced]
    edges = {"top": numbers[0], "bottom": numbers[-1], "left": numbers[:, 0], "right": numbers[:, -1]}
    polygons = _polygons(rings, np.array(ring_owner, np.int64))[order]
    return _Block(polygons, value_of[1:], {side: line.astype(np.int64) for side, line in edges.items()})


def _polygons(rings: list[list[tuple[float, float]]], owner: NDArray[np.int64]) -> NDArray[Any]:
    """Valid polygons from rings grouped by owner, the shell first."""
    if not rings:
        return np.zeros(0, object)
    xy = np.array([point for ring in rings for point in ring])
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    return _valid(shapely.polygons(shapely.linearrings(xy, indices=of_ring), indices=owner))


def _valid(polygons: NDArray[Any]) -> NDArray[Any]:
    """Rings that touch themselves at a corner are split into shell and holes."""
    for row in np.flatnonzero(~shapely.is_valid(polygons)):
        parts = shapely.get_parts(shapely.make_valid(polygons[row]))
        polygons[row] = max(parts, key=shapely.area)
    return polygons


def _join(
    pieces: NDArray[Any], values: NDArray[np.int64], joints: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Unite pieces that face each other over a block edge with the same value; which piece stands for each region."""
    one, other = joints[:, (joints > 0).all(axis=0)] - 1
    same = values[one] == values[other]
    links = coo_array((np.ones(int(same.sum()), bool), (one[same], other[same])), shape=(len(pieces), len(pieces)))
    region = connected_components(links, directed=False)[1] if len(pieces) else np.zeros(0, np.int64)
    order = np.argsort(region, kind="stable")
    first = np.flatnonzero(np.diff(region[order], prepend=-1))
    polygons = pieces[order[first]].copy()
    sizes = np.diff(np.append(first, len(order)))
    for row in np.flatnonzero(sizes > 1):
        polygons[row] = shapely.union_all(pieces[order[first[row] : first[row] + sizes[row]]])
    return _valid(polygons), order[first]


def _corners_only(polygons: NDArray[Any]) -> NDArray[Any]:
    """Without vertices along straight runs, and every ring from the same start: one region, one spelling."""
    if not len(polygons):
        return polygons
    xy, ring, before, after, owner = vertices(polygons)
    (ax, ay), (bx, by) = (xy - xy[before]).T, (xy[after] - xy).T
    corner = ax * by != ay * bx
    return shapely.normalize(from_rings(xy[corner], ring[corner], owner))


def _in_order_of_first_pixel(regions: Regions) -> Regions:
    if not len(regions.polygons):
        return regions
    xy, owner = shapely.get_coordinates(regions.polygons, return_index=True)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    key = xy[:, 1] * 2.0**26 + xy[:, 0]  # rasters are far narrower than 2**26 pixels, so this is exact
    order = np.argsort(np.minimum.reduceat(key, first))
    return Regions(regions.polygons[order], regions.values[order])
