"""Files that GDAL reads otherwise than they state: pages of a TIFF as bands of one raster, and turned pictures made upright.

Pages of different sizes, types or several bands are refused. A turned picture is copied into memory.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.errors import InputError
from deepnets4eo.formats import Declared, Structure, colour_table, open_raster
from deepnets4eo.rasters.band_subset import gdal_type
from deepnets4eo.rasters.values import describe_vrt

MAX_COPY_BYTES = 2 << 30  # of a picture that is copied to be turned


def as_stated(dataset: DatasetReader, name: str, structure: Structure) -> MemoryFile | None:
    """Return a raster as its structure states it; None if GDAL reads it so. Raises InputError for what cannot be honoured."""
    if structure.pages > 1:
        return MemoryFile(_pages_as_bands(dataset, name, structure).encode(), ext=".vrt")
    return _upright_copy(dataset, name, structure.orientation) if structure.turned else None


def turn_upright(data: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (..., h, w) as they are to be seen, by an orientation 1 to 8 of EXIF.

    >>> turn_upright(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    if orientation >= 5:
        data = np.swapaxes(data, -1, -2)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    cols = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(data[..., rows, cols])


def _pages_as_bands(dataset: DatasetReader, name: str, structure: Structure) -> str:
    """Return a virtual raster, as text, whose bands are the pages of a TIFF."""
    bands = []
    for number, directory in enumerate(structure.directories, start=1):
        with open_raster(f"GTIFF_DIR:{directory + 1}:{dataset.name}") as page:
            if (page.count, page.shape, page.dtypes[:1]) != (1, dataset.shape, dataset.dtypes[:1]) or structure.turned:
                structure.check(name)  # which refuses pages
            declared = Declared.of_dataset(page, name).bands[0]
            nodata = "" if declared.nodata is None else f"<NoDataValue>{declared.nodata!r}</NoDataValue>"
            bands.append(
                f'<VRTRasterBand dataType="{gdal_type(page.dtypes[0])}" band="{number}">'
                f"<Description>{escape(declared.name)}</Description>{nodata}{describe_vrt(declared.stored)}<SimpleSource>"
                f'<SourceFilename relativeToVRT="0">{escape(page.name)}</SourceFilename><SourceBand>1</SourceBand>'
                "</SimpleSource></VRTRasterBand>"
            )
    if not bands:  # of an address, whose pages are not looked at
        structure.check(name)
    crs = f"<SRS>{escape(dataset.crs.to_wkt())}</SRS>" if dataset.crs else ""
    transform = ", ".join(map(repr, dataset.transform.to_gdal()))
    geotransform = "" if dataset.transform.is_identity else f"<GeoTransform>{transform}</GeoTransform>"
    height, width = dataset.shape
    return f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{crs}{geotransform}{"".join(bands)}</VRTDataset>'


def _upright_copy(dataset: DatasetReader, name: str, orientation: int) -> MemoryFile:
    """Return a turned picture upright, with its bands, mask, colours and tags."""
    kind = np.dtype(dataset.dtypes[0])
    size = math.prod(dataset.shape) * dataset.count * kind.itemsize
    if size > MAX_COPY_BYTES:
        raise InputError(
            f"{name} states that it is turned (orientation {orientation}) and has {size:,} bytes, more than the {MAX_COPY_BYTES:,} that are "
            "turned in memory. Write its pixels upright, e.g. mogrify -auto-orient FILE."
        )
    data = turn_upright(dataset.read(), orientation)
    file = MemoryFile()
    profile = dict(driver="GTiff", count=dataset.count, height=data.shape[1], width=data.shape[2], dtype=data.dtype)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), file.open(**profile, nodata=dataset.nodata) as copy:
        copy.write(data)
        copy.colorinterp = dataset.colorinterp
        copy.descriptions, copy.units = dataset.descriptions, dataset.units
        copy.scales, copy.offsets = dataset.scales, dataset.offsets
        copy.update_tags(**dataset.tags())
        for band in dataset.indexes:
            copy.update_tags(band, **dataset.tags(band))
            if (table := colour_table(dataset, band)) is not None:
                copy.write_colormap(band, table)
        flags = dataset.mask_flag_enums[0]
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
            copy.write_mask(turn_upright(dataset.read_masks(1), orientation))
    return file
