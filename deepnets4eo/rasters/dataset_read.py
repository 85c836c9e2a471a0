"""Windows of an open GDAL dataset: values beside what nodata values, alpha band, mask and NaN say of their validity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.grid import Window
from deepnets4eo.rasters.valid_values import Nodata, valid_values

Read = tuple[NDArray[Any], NDArray[np.bool_]]


def read_dataset(
    dataset: DatasetReader,
    window: Window | None,
    bands: Sequence[int],
    nodata: Nodata,
    shape: tuple[int, int] | None = None,
) -> Read:
    """Values (C, h, w) of a window, by default of all, or all averaged down to `shape`; and which pixels are valid.

    nodata : one value of all bands, or one for each.
    """
    part = None if window is None else RasterioWindow(window.col, window.row, window.width, window.height)
    how: dict[str, Any] = {"window": part}
    if shape is not None:
        how |= {"out_shape": (len(bands), *shape), "resampling": Resampling.average}
    data = dataset.read(list(bands), **how)
    valid = valid_values(data, nodata)
    mask_how = how | ({"out_shape": shape, "resampling": Resampling.nearest} if shape is not None else {})
    roles = list(dataset.colorinterp)
    if ColorInterp.alpha in roles:
        valid &= dataset.read(roles.index(ColorInterp.alpha) + 1, **mask_how) > 0
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0] and MaskFlags.alpha not in dataset.mask_flag_enums[0]:
        valid &= dataset.read_masks(1, **mask_how) > 0
    return data, valid
