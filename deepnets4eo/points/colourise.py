"""Colours of an orthophoto at points: in memory, and for whole files that are written again with colours.

Takes points in a CRS and rasters; reads the blocks of the rasters under the points. Memory: one block, 8 bytes per point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, apply_affine, transformer
from deepnets4eo.jobs import new_output
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files import open_cloud
from deepnets4eo.rasters import Layer, LayerLike, role_indices
from deepnets4eo.read_as import IMAGE, Door

BLOCK_PX = 1024
EDGE_PX = 1e-3  # tiles of points and of orthophotos end at the same lines


class Orthophoto:
    """An orthophoto, and the near infrared if it is not among its bands.

    Parameters
    ----------
    colour : raster of red, green and blue, 8 bit, in the order that its bands state, else in this one; a fourth band is near infrared
    infrared : raster whose first band is near infrared, such as IRC, unless its bands name another
    all_returns : whether later returns have colours, too; a camera sees what reflects first, so they are black by default

    Raises
    ------
    InputError
        A raster has too few bands, or other values than 8 bit.
    """

    def __init__(self, colour: LayerLike, infrared: LayerLike | None = None, *, all_returns: bool = False) -> None:
        opened = IMAGE.open(colour, Door("the orthophoto", collars="data")).as_shown()
        if opened.count < 3:
            raise InputError(
                f"{opened.source} has {opened.count} bands, expected red, green and blue. Give an orthophoto in colours."
            )
        self._colour = opened.subset(opened.declared_colours or opened.bands[:3])
        near = opened if opened.count > 3 else None
        if infrared is not None:
            near = IMAGE.open(infrared, Door("the infrared image", collars="data")).as_shown()
        self._near = None if near is None else near.subset([_near_band(near, 0 if infrared is not None else 3)])
        self.all_returns = all_returns
        for layer in self.layers:
            if layer.dtype != np.uint8:
                raise InputError(
                    f"{layer.source} holds {layer.dtype}, expected colours of 8 bit. Scale it: gdal_translate -ot Byte -scale"
                )

    @property
    def measurements(self) -> tuple[str, ...]:
        """Return the names of the measurements that it adds to points."""
        return ("colour", "near_infrared") if self._near is not None else ("colour",)

    @property
    def layers(self) -> list[Layer]:
        """The rasters that are read."""
        return [layer for layer in (self._colour, self._near) if layer is not None]

    def colourise(self, cloud: PointCloud, counted: int | None = None) -> tuple[PointCloud, int]:
        """Return the points with the colours of the image; points without a CRS are in its CRS.

        Also return how many of the first `counted` points (None: all) are beyond it or on void pixels, and so black.
        Raises InputError if the image cannot be read there.
        """
        colour, seen = _sample(self._colour, cloud)
        near = None if self._near is None else _sample(self._near, cloud)[0][:, 0]
        if not self.all_returns and cloud.return_number is not None:
            later = cloud.return_number > 1
            colour[later] = 0
            if near is not None:
                near[later] = 0
        result = replace(cloud, colour=colour, near_infrared=cloud.near_infrared if near is None else near)
        return result, int((~seen[:counted]).sum())


def _near_band(layer: Layer, otherwise: int) -> int:
    """Return the band that is near infrared by its name, else the band at an index."""
    return layer.bands[role_indices(layer.band_names).get("nir", otherwise)]


def colourise_cloud(
    path: str | Path,
    orthophoto: Orthophoto,
    out: str | Path,
    *,
    crs: str | None = None,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write a file of points again with the colours and near infrared of an orthophoto.

    Parameters
    ----------
    path, out, crs, overwrite, progress : as of `label_cloud` and `LabelOptions`
    orthophoto : the colours

    Returns
    -------
    The number of points that are black because they are beyond the orthophoto or on void pixels.

    Raises
    ------
    InputError
        The file cannot be read, or the orthophoto covers none of its points.
    OutputError
        The output exists, is an input, or cannot be written.
    """
    with name_missing_extra():
        from deepnets4eo.points.files.las_writer import Additions

        out = Additions.check_name(Path(out))
    check_not_inputs([out], [path, orthophoto.layers])
    with new_output(out, overwrite=overwrite):
        file = open_cloud(path, crs=crs)
        beyond, additions = 0, Additions(colour=True, near_infrared="near_infrared" in orthophoto.measurements)

        def values(points: slice, cloud: PointCloud | None) -> dict[str, NDArray[np.uint16]]:
            nonlocal beyond
            assert cloud is not None
            coloured, without = orthophoto.colourise(cloud)
            beyond += without
            if beyond == file.point_count:
                raise InputError(
                    f"{orthophoto.layers[0].source} covers no point of {path}. Check the CRS of both (--crs)."
                )
            return additions.stored_colours(coloured)

        additions.write(file, out, values, with_clouds=True, progress=progress)
        return beyond


def _sample(layer: Layer, cloud: PointCloud) -> tuple[NDArray[np.uint8], Mask]:
    """Return values (N, bands) of the pixels at the points, and a mask (N,) of the points with values."""
    rows, cols = _pixels(layer, cloud)
    values = np.zeros((len(cloud), layer.count), np.uint8)
    seen = np.zeros(len(cloud), bool)
    for points, window in _windows(rows, cols, layer.shape):
        data, valid = layer.read(window)
        at = rows[points] - window.row, cols[points] - window.col
        values[points] = np.where(valid[at], data[:, at[0], at[1]], 0).T
        seen[points] = valid[at]
    return values, seen


def _pixels(layer: Layer, cloud: PointCloud) -> tuple[Indices, Indices]:
    xy = cloud.xyz[:, :2]
    if cloud.crs is not None and layer.grid.crs is not None and cloud.crs.to_2d() != layer.grid.crs.proj:
        xy = np.column_stack(transformer(cloud.crs, layer.grid.crs.proj).transform(*xy.T))
    cols, rows = apply_affine(~layer.grid.affine, xy).T
    return _whole(rows, layer.shape[0]), _whole(cols, layer.shape[1])


def _whole(axis: Floats, size_px: int) -> Indices:
    """Pixels (N,) of positions; on the outer edges the outer pixels, beyond −1."""
    near = np.isfinite(axis) & (axis >= -EDGE_PX) & (axis <= size_px + EDGE_PX)
    return np.where(near, np.clip(np.floor(np.where(near, axis, 0)), 0, size_px - 1), -1).astype(np.int64)


def _windows(rows: Indices, cols: Indices, shape: tuple[int, int]) -> Iterator[tuple[Indices, Window]]:
    """Yield the points of each block of the raster, and the window around them."""
    inside = np.flatnonzero((rows >= 0) & (cols >= 0))
    if not len(inside):
        return
    block = rows[inside] // BLOCK_PX * (shape[1] // BLOCK_PX + 1) + cols[inside] // BLOCK_PX
    order = np.argsort(block, kind="stable")
    for points in np.split(inside[order], np.flatnonzero(np.diff(block[order])) + 1):
        row, col = rows[points], cols[points]
        top, left = int(row.min()), int(col.min())
        yield points, Window(top, left, int(row.max()) + 1 - top, int(col.max()) + 1 - left)
