"""Colours of an orthophoto at points: in memory, and for whole files that are written again with colours.

Takes points in a CRS and rasters; reads the blocks of the rasters that points lie on. Memory: one block, 8 bytes a point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, apply_affine, transformer
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.rasters.layer import Layer, LayerLike

BLOCK_PX = 1024
BYTE = 255


class Orthophoto:
    """An orthophoto, and where it is not among its bands the near infrared.

    Parameters
    ----------
    colour
        Raster of red, green and blue, 8 bit; a fourth band is near infrared.
    infrared
        Raster whose first band is near infrared, e.g. one of near infrared, red and green (IRC).
    all_returns
        Whether later returns have colours, too. A camera sees what reflects first: by default only return 1 has colours,
        the others are black.

    Raises
    ------
    InputError
        A raster has too few bands, other values than 8 bit, or no CRS.
    """

    def __init__(self, colour: LayerLike, infrared: LayerLike | None = None, *, all_returns: bool = False) -> None:
        opened = Layer.open(colour)
        if opened.count < 3:
            raise InputError(
                f"{opened.source} has {opened.count} bands, expected red, green and blue. Give an orthophoto in colours."
            )
        self._colour = opened.subset(opened.bands[:3])
        near = Layer.open(infrared) if infrared is not None else opened if opened.count > 3 else None
        self._near = None if near is None else near.subset([near.bands[0 if infrared is not None else 3]])
        self._all_returns = all_returns
        for layer in (self._colour, *([self._near] if self._near else [])):
            if layer.dtype != np.uint8:
                raise InputError(
                    f"{layer.source} holds {layer.dtype}, expected colours of 8 bit. Scale it: gdal_translate -ot Byte -scale"
                )

    @property
    def measurements(self) -> tuple[str, ...]:
        """What it adds to points."""
        return ("colour", "near_infrared") if self._near is not None else ("colour",)

    def colourise(self, cloud: PointCloud) -> tuple[PointCloud, int]:
        """Returns the points with its colours, and how many of them lie beyond it or on void pixels and are black.

        Parameters
        ----------
        cloud
            Points; those without CRS are taken to have that of the orthophoto.

        Returns
        -------
        tuple of PointCloud and int
            Colours and near infrared replace those of the cloud.

        Raises
        ------
        InputError
            The orthophoto cannot be read there.
        """
        colour, seen = _sample(self._colour, cloud)
        near = None if self._near is None else _sample(self._near, cloud)[0][:, 0]
        if not self._all_returns and cloud.return_number is not None:
            later = cloud.return_number > 1
            colour[later] = 0
            if near is not None:
                near[later] = 0
        result = replace(cloud, colour=colour, near_infrared=cloud.near_infrared if near is None else near)
        return result, int((~seen).sum())


def _sample(layer: Layer, cloud: PointCloud) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns the values (N, bands) of the pixels that points lie on, and which points have any (N,)."""
    rows, cols = _pixels(layer, cloud)
    values = np.zeros((len(cloud), layer.count), np.uint8)
    seen = np.zeros(len(cloud), bool)
    for points, window in _windows(rows, cols, layer.shape):
        data, valid = layer.read(window)
        at = rows[points] - window.row, cols[points] - window.col
        values[points] = np.where(valid[at], data[:, at[0], at[1]], 0).T
        seen[points] = valid[at]
    return values, seen


def _pixels(layer: Layer, cloud: PointCloud) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    xy = cloud.xyz[:, :2]
    if cloud.crs is not None and layer.grid.crs is not None and cloud.crs.to_2d() != layer.grid.crs.proj:
        xy = np.column_stack(transformer(cloud.crs, layer.grid.crs.proj).transform(*xy.T))
    cols, rows = apply_affine(~layer.grid.affine, xy).T
    far = ~(np.isfinite(rows) & np.isfinite(cols))
    return tuple(np.where(far, -1, np.floor(np.where(far, 0, axis))).astype(np.int64) for axis in (rows, cols))  # type: ignore[return-value]


def _windows(
    rows: NDArray[np.int64], cols: NDArray[np.int64], shape: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], Window]]:
    """Yields the points of each block of the raster that has any, and the window around them."""
    inside = np.flatnonzero((rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1]))
    if not len(inside):
        return
    block = rows[inside] // BLOCK_PX * (shape[1] // BLOCK_PX + 1) + cols[inside] // BLOCK_PX
    order = np.argsort(block, kind="stable")
    for points in np.split(inside[order], np.flatnonzero(np.diff(block[order])) + 1):
        row, col = rows[points], cols[points]
        top, left = int(row.min()), int(col.min())
        yield points, Window(top, left, int(row.max()) + 1 - top, int(col.max()) + 1 - left)
