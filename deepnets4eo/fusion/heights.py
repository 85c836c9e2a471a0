"""Heights above ground (nDSM): of an array at once, of a raster of any size block by block.

Takes a surface model, with a terrain model or without; refuses terrain that does not lie on the same pixels.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.files import refuse_existing
from deepnets4eo.fusion.terrain import MAX_BUILDING_M, Method, Surface, ground, reach_px
from deepnets4eo.grid import Window, blocks, gsd_m
from deepnets4eo.rasters.ahead import in_order
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.scene import Layer, LayerLike

BLOCK_PX = 1024
ALIGNED_PX = 64  # coarse steps of the terrain's bridging fall on the same pixels in all blocks


def ndsm(
    dsm: NDArray[np.floating],
    dtm: NDArray[np.floating] | None = None,
    *,
    gsd_m: float = 1.0,
    method: Method = "zhang",
    max_building_m: float = MAX_BUILDING_M,
) -> Surface:
    """Height above ground (h, w) float32 in metres; NaN where the surface, or a terrain that is given, is NaN.

    dsm, dtm : (h, w) metres. Without a terrain model the ground is estimated: see `ground`; then nothing lies below 0.
    Errors: InputError for shapes that differ, or a surface that is unknown everywhere and has no terrain model.

    >>> ndsm(np.array([[5.0, 9.0]]), np.array([[4.0, np.nan]])).tolist()
    [[1.0, nan]]
    """
    if dtm is None:
        terrain = ground(dsm, gsd_m, method=method, max_building_m=max_building_m)
        return np.maximum(dsm - terrain, 0).astype(np.float32)  # only single wrong pixels lie below their ground
    if dtm.shape != dsm.shape:
        raise InputError(f"the dsm has the shape {dsm.shape}, the dtm {dtm.shape}. Warp one onto the other's grid.")
    return (dsm - dtm).astype(np.float32)


def ndsm_raster(
    dsm: LayerLike,
    out: str | Path,
    *,
    dtm: LayerLike | None = None,
    method: Method = "zhang",
    max_building_m: float = MAX_BUILDING_M,
    block_px: int = BLOCK_PX,
    overwrite: bool = False,
) -> Path:
    """Write the heights above ground of a surface model as a COG, float32 metres with NaN for no data.

    dsm, dtm : rasters of one band; a dtm on another grid is warped. max_building_m : see `ground`.
    Memory: O((block_px + 4·max_building_m / gsd)²) per core, whatever the raster's size.
    Errors: OutputError where `out` exists and is not to be overwritten; InputError for several bands.
    """
    surface = _one_band(Layer.open(dsm), "dsm")
    terrain = None if dtm is None else _one_band(Layer.open(dtm).on(surface.grid), "dtm")
    refuse_existing(out, overwrite=overwrite)
    side_m = sum(gsd_m(surface.grid)) / 2
    halo_px = math.ceil(reach_px(side_m, max_building_m) / ALIGNED_PX) * ALIGNED_PX if terrain is None else 0

    def heights(window: Window) -> Surface:
        around = window.grown(halo_px).clipped(surface.shape)
        upper = _read(surface, around)
        if not np.isfinite(upper).any():
            return np.full((window.height, window.width), np.nan, np.float32)
        lower = None if terrain is None else _read(terrain, around)
        above = ndsm(upper, lower, gsd_m=side_m, method=method, max_building_m=max_building_m)
        rows, cols = window.within(around).slices
        return above[rows, cols]

    windows = blocks(surface.shape, block_px)
    tags = {"GROUND": method if terrain is None else terrain.source}
    with CogWriter(out, surface.grid, dtype="float32", nodata=math.nan, band_names=["ndsm"], tags=tags) as writer:
        for window, values in zip(windows, in_order(heights, windows), strict=True):
            writer.write(window, values)
    return Path(out)


def _one_band(layer: Layer, name: str) -> Layer:
    if layer.count != 1:
        raise InputError(
            f"{name}: {layer.source} has {layer.count} bands, expected one of heights. Choose one of them."
        )
    return layer


def _read(layer: Layer, window: Window) -> Surface:
    data, valid = layer.read(window)
    return np.where(valid, data[0], np.nan).astype(np.float32)
