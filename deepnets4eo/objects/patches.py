"""Patches around objects, rotated so that the long side runs down the patch: all objects have the same direction.

Takes a layer and a table of objects with `heading_deg` and geometry; reads each block once. Pixels beyond the raster
are 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import apply_affine, gsd_m
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal import resample_patches

if TYPE_CHECKING:
    import geopandas as gpd

DIAGONAL = 2**0.5


@name_missing_extra()
def upright_patches(layer: Layer, objects: gpd.GeoDataFrame, extent_m: float, side_px: int) -> NDArray[np.float32]:
    """Return patches around the objects' centres, rotated so that the long side runs down.

    Parameters
    ----------
    layer
        The image, C bands.
    objects
        With `geometry` and `heading_deg`, as from `extract_objects`; the rotation is right up to a half turn.
    extent_m
        Side of a patch on the ground in metres.
    side_px
        Side of a patch in pixels.

    Returns
    -------
    (N, C, side_px, side_px) float32
        Values of the layer, 0 where not valid.

    Raises
    ------
    InputError
        For objects without headings.
    GridError
        Where only one of layer and objects has a CRS.

    Notes
    -----
    Memory: all patches at twice their size.

    Examples
    --------
    >>> labels = np.zeros((12, 12), np.uint8)
    >>> labels[4:8, 2:9] = 4
    >>> from deepnets4eo.objects import extract_objects
    >>> cars = extract_objects(labels, "car", "isprs")
    >>> upright_patches(Layer.open(labels), cars, extent_m=8, side_px=16).shape
    (1, 1, 16, 16)
    """
    import torch

    if "heading_deg" not in objects.columns:
        raise InputError(
            f"objects have the columns {sorted(map(str, objects.columns))}, not 'heading_deg'. Use the table of extract_objects."
        )
    out = np.zeros((len(objects), layer.count, side_px, side_px), np.float32)
    wide = int(np.ceil(side_px * DIAGONAL))
    row_m, col_m = gsd_m(layer.grid)
    extent_px = extent_m * wide / side_px / ((row_m + col_m) / 2)
    turns = np.radians(_turn_deg(objects, layer))
    for rows, data, valid in resample_patches(layer, _centres(objects, layer), np.full(len(objects), extent_px), wide):
        values = torch.from_numpy(np.where(valid[:, None], data, 0).astype(np.float32))
        cos, sin = (torch.from_numpy(wave(turns[rows])).float() * side_px / wide for wave in (np.cos, np.sin))
        zero = torch.zeros_like(cos)
        theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
        positions = torch.nn.functional.affine_grid(
            theta, [len(rows), layer.count, side_px, side_px], align_corners=False
        )
        out[rows] = torch.nn.functional.grid_sample(values, positions, mode="bilinear", align_corners=False).numpy()
    return out


def _centres(objects: gpd.GeoDataFrame, layer: Layer) -> NDArray[np.float64]:
    """Return centres (N, 2) as column and row of the layer."""
    if (objects.crs is None) != (layer.grid.crs is None):
        raise GridError(f"one of objects and {layer.source} has a CRS, the other has none. Assign the missing one.")
    points: Any = objects.geometry.centroid
    if objects.crs is not None and layer.grid.crs is not None and objects.crs != layer.grid.crs.proj:
        points = points.to_crs(layer.grid.crs.proj)
    return apply_affine(~layer.grid.affine, shapely.get_coordinates(points.to_numpy()).reshape(-1, 2))


def _turn_deg(objects: gpd.GeoDataFrame, layer: Layer) -> NDArray[np.float64]:
    """Return the clockwise angle of each object's long side from the image's top."""
    affine = layer.grid.affine
    top = 0.0 if layer.grid.crs is None else float(np.degrees(np.arctan2(-affine.b, -affine.e)))
    return objects["heading_deg"].to_numpy(np.float64) - top
