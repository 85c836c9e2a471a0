"""Patches around buildings, in block order: each block is read once and all its patches are cut from that read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import LABELS_READ_PX, Grid, Window, apply_affine
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters.scene import Layer

BATCH = 1024


class PatchBatch(NamedTuple):
    """Some patches.

    Parameters
    ----------
    rows : (n,) int64, which of the centres they lie around
    data : (n, C, p, p) values
    valid : (n, p, p) bool, True where known
    """

    rows: NDArray[np.int64]
    data: NDArray[Any]
    valid: NDArray[np.bool_]


def patch_centres(polygons: NDArray[Any], grid: Grid) -> NDArray[np.float64]:
    """Return the centres of the bounding boxes of polygons, in pixels.

    Parameters
    ----------
    polygons : (N,) shapely geometries in the grid's CRS
    grid : where the pixels lie

    Returns
    -------
    (N, 2) float64, column and row; NaN for missing and empty ones

    Examples
    --------
    >>> patch_centres(np.array([shapely.box(0, 0, 4, 2)]), Layer.open(np.zeros((9, 9))).grid).tolist()
    [[2.0, 1.0]]
    """
    west, south, east, north = shapely.bounds(polygons).T
    return apply_affine(~grid.affine, np.column_stack([(west + east) / 2, (south + north) / 2]))


def cut_patches(
    layer: Layer,
    centres: NDArray[np.floating],
    side_px: int,
    *,
    block_px: int = LABELS_READ_PX,
    batch: int = BATCH,
    workers: int | None = None,
) -> Iterator[PatchBatch]:
    """Cut a square of side_px × side_px pixels around every centre, without resampling.

    What lies beyond the raster's edge is not valid. Peak memory: per worker one block grown by a patch, and one batch.

    Parameters
    ----------
    layer : raster with C bands
    centres : (N, 2) column and row, as from `patch_centres`; the first pixel's centre is (0.5, 0.5)
    side_px, block_px : sides of a patch, and of the blocks that are read at once, pixels
    batch : most patches in one batch
    workers : threads that read ahead, by default one per core

    Yields
    ------
    PatchBatch in the layer's own type; every centre comes once, in block order

    Raises
    ------
    InputError
        For centres that are not finite.

    Examples
    --------
    >>> layer = Layer.open(np.arange(25, dtype=np.uint8).reshape(5, 5))
    >>> next(cut_patches(layer, np.array([[2.5, 2.5]]), 3)).data[0, 0].tolist()
    [[6, 7, 8], [11, 12, 13], [16, 17, 18]]
    """
    corners = np.floor(_check_centres(centres) - side_px / 2 + 0.5).astype(np.int64)[:, ::-1]
    groups = _by_block(centres, block_px)
    windows = [_around(corners[group], corners[group] + side_px) for group in groups]
    for group, window, (data, valid) in zip(groups, windows, in_order(layer.read, windows, workers), strict=True):
        squares = sliding_window_view(data, (side_px, side_px), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
        valid_squares = sliding_window_view(valid, (side_px, side_px))
        for index in _pieces(group, batch):
            row, col = (corners[index] - [window.row, window.col]).T
            yield PatchBatch(index, squares[row, col], valid_squares[row, col])


def resample_patches(
    layer: Layer,
    centres: NDArray[np.floating],
    extents_px: NDArray[np.floating],
    side_px: int,
    *,
    block_px: int = LABELS_READ_PX,
    batch: int = BATCH,
) -> Iterator[PatchBatch]:
    """Cut a square of its own extent around every centre, and bring it to side_px × side_px pixels.

    Peak memory: per worker one block grown by its largest extent, and one batch.

    Parameters
    ----------
    layer, centres, side_px, block_px, batch : the same as for `cut_patches`
    extents_px : (N,) or a single number, side of the square to cut, in the layer's pixels, above 0

    Yields
    ------
    PatchBatch in float32
        Bilinear where a patch is enlarged, averaged where it is reduced; a pixel is valid where everything it is made
        from is.

    Raises
    ------
    InputError
        For centres that are not finite, or extents that are not above 0.

    Examples
    --------
    >>> layer = Layer.open(np.arange(16, dtype=np.uint8).reshape(4, 4))
    >>> next(resample_patches(layer, np.array([[2.0, 2.0]]), 4.0, 2)).data[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    centres = _check_centres(centres)
    extents = np.broadcast_to(np.asarray(extents_px, np.float64), len(centres))
    if not (extents > 0).all():
        raise InputError(f"patch extents must be above 0 pixels, got {extents.min():.6g}.")
    groups = _by_block(centres, block_px)
    reach = extents[:, None] / 2 + 1
    low, high = np.floor(centres - reach)[:, ::-1].astype(np.int64), np.ceil(centres + reach)[:, ::-1].astype(np.int64)
    windows = [_around(low[group], high[group]) for group in groups]
    for group, window, (data, valid) in zip(groups, windows, in_order(layer.read, windows), strict=True):
        fine = np.maximum(np.ceil(extents[group] / side_px), 1).astype(int)  # samples across one output pixel
        for samples in np.unique(fine):
            for index in _pieces(group[fine == samples], max(1, batch // int(samples) ** 2)):
                middles = centres[index] - [window.col, window.row]
                yield PatchBatch(index, *_sample(data, valid, middles, extents[index], (side_px, int(samples))))


def _sample(
    data: NDArray[Any], valid: NDArray[np.bool_], middles: NDArray[Any], extents: NDArray[Any], sides: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bilinear samples (n, C, p, p) of a block, several per output pixel and averaged."""
    side, samples = sides
    steps = (np.arange(side * samples) + 0.5) / (side * samples) - 0.5
    col, row = (middles[:, axis, None] + extents[:, None] * steps - 0.5 for axis in (0, 1))
    (col0, col1, right), (row0, row1, down) = _neighbours(col, valid.shape[1]), _neighbours(row, valid.shape[0])
    total = np.zeros((len(middles), len(data), len(steps), len(steps)), np.float32)
    fine_valid = np.ones((len(middles), len(steps), len(steps)), bool)
    for rows, row_weight in ((row0, 1 - down), (row1, down)):
        for cols, col_weight in ((col0, 1 - right), (col1, right)):
            weight = row_weight[:, :, None] * col_weight[:, None, :]
            at = rows[:, :, None], cols[:, None, :]
            usable = valid[at]
            fine_valid &= usable | (weight == 0)
            values = np.where(usable, data[:, at[0], at[1]], 0).astype(np.float32)
            total += values.transpose(1, 0, 2, 3) * weight[:, None].astype(np.float32)
    if samples == 1:
        return total, fine_valid
    blocked: NDArray[np.float32] = total.reshape(*total.shape[:2], side, samples, side, samples).mean(axis=(3, 5))
    every: NDArray[np.bool_] = np.all(fine_valid.reshape(len(middles), side, samples, side, samples), axis=(2, 4))
    return blocked, every


def _neighbours(at: NDArray[Any], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """The two pixels around each position along one axis, and the weight of the second."""
    first = np.floor(at)
    near = np.clip(first.astype(np.int64), 0, length - 1)
    return near, np.minimum(near + 1, length - 1), at - first


def _check_centres(centres: NDArray[np.floating]) -> NDArray[np.float64]:
    centres = np.asarray(centres, np.float64).reshape(-1, 2)
    if not (finite := np.isfinite(centres).all(axis=1)).all():
        raise InputError(
            f"{int((~finite).sum())} of {len(centres)} patch centres are not finite. Leave those rows out."
        )
    return centres


def _by_block(centres: NDArray[np.floating], block_px: int) -> list[NDArray[np.int64]]:
    """Rows of `centres` grouped by the block they lie in, blocks in row order."""
    if not len(centres):
        return []
    col, row = np.floor_divide(centres, block_px).astype(np.int64).T
    order = np.lexsort((col, row))
    borders = np.flatnonzero((np.diff(row[order]) != 0) | (np.diff(col[order]) != 0)) + 1
    return np.split(order, borders)


def _around(low: NDArray[np.int64], high: NDArray[np.int64]) -> Window:
    """The smallest window around boxes (n, 2) given as (row, col) of their first and after-last pixels."""
    (top, left), (bottom, right) = low.min(axis=0), high.max(axis=0)
    return Window(int(top), int(left), int(bottom - top), int(right - left))


def _pieces(index: NDArray[np.int64], length: int) -> Iterator[NDArray[np.int64]]:
    for at in range(0, len(index), length):
        yield index[at : at + length]
