"""One way for tests to write a small raster file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine


def write_geotiff(
    path: Path,
    array: np.ndarray,
    *,
    crs: Any = "EPSG:32631",
    origin: tuple[float, float] = (500_000, 5_000_000),
    gsd: float = 1.0,
    transform: Affine | None = None,
    tags: Mapping[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write `array` (H, W) or (C, H, W) north up with its top left corner at `origin`; returns `path`.

    crs : None writes a file without georeference.
    transform : instead of origin and gsd.
    profile : further creation options of GDAL (nodata, driver, tiled, …).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = array if array.ndim == 3 else array[None]
    if transform is None and crs is not None:
        transform = Affine(gsd, 0, origin[0], 0, -gsd, origin[1])
    options = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype, **profile}
    height, width = bands.shape[1:]
    with rasterio.open(path, "w", height=height, width=width, crs=crs, transform=transform, **options) as file:
        file.write(bands)
        file.update_tags(**(tags or {}))
    return path
