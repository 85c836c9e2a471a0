"""Some bands of a raster as a raster described in memory (GDAL warps all bands otherwise); and which alpha bands are no mask.

Such a band is known by its name, or by its values in nine small windows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.formats import READ_ERRORS, open_raster
from deepnets4eo.rasters.band_roles import has_centre, name_band, role_indices
from deepnets4eo.rasters.values import common_nodata, same_nodata, storable_nodata

GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "int64": "Int64", "uint64": "UInt64", "float16": "Float16", "float32": "Float32", "float64": "Float64",
    "complex_int16": "CInt16", "complex64": "CFloat32", "complex128": "CFloat64",
}  # fmt: skip

MASK_NAMES = ("alpha", "mask", "opacity", "transparency")
PER_AXIS, WINDOW_PX = 3, 64
# Share of the pixels above 0 that lie below the largest value; soft edges have less, what a camera saw more.
MAX_SOFT = 0.5
LOSSY = 0.97  # of the largest value: what lossy compression makes of it


def gdal_type(dtype: str) -> str:
    """Return the name that virtual rasters have for a type of NumPy's or rasterio's."""
    return GDAL_TYPES[dtype]


def subset_bands(
    dataset: DatasetReader, bands: Sequence[int], nodata: Sequence[float | None] | None = None
) -> DatasetReader:
    """Open a raster of these bands, 1-based, of `dataset`, with its georeference and mask.

    `nodata`, one per band, replaces its own.

    If the nodata values differ, a mask marks the valid pixels: GDAL warps with one value for all bands.
    """
    own = dataset.nodatavals
    values = [own[band - 1] for band in bands] if nodata is None else list(nodata)
    if common_nodata(values) is None and any(value is not None for value in values):
        return _open(dataset, _masked(dataset, bands, values))
    wanted = [*bands, *(band for band in alpha_bands(dataset) if band not in bands)]
    if wanted == list(dataset.indexes) and all(same_nodata(values[0], own[band - 1]) for band in bands):
        return dataset
    return _open(dataset, _described(dataset, wanted, [values[0]] * len(wanted)) + _own_mask(dataset))


def without_alpha(dataset: DatasetReader) -> str:
    """Return a virtual raster, as text, with no band of `dataset` marked as alpha."""
    text = _vrt(dataset, _described(dataset, dataset.indexes, dataset.nodatavals))
    return text.replace("<ColorInterp>Alpha<", "<ColorInterp>Undefined<")


def with_columns_first(dataset: DatasetReader, column: int) -> str:
    """Return a virtual raster, as text, with the columns of `dataset` from `column` on before the others; not georeferenced."""
    height, width = dataset.shape
    parts = [(column, 0, width - column), (0, width - column, column)]
    whole = _described(dataset, dataset.indexes, dataset.nodatavals) + _own_mask(dataset)

    def cut(source: re.Match[str]) -> str:
        return "".join(
            f'<SimpleSource>{source[1]}<SrcRect xOff="{start}" yOff="0" xSize="{columns}" ySize="{height}"/>'
            f'<DstRect xOff="{first}" yOff="0" xSize="{columns}" ySize="{height}"/></SimpleSource>'
            for start, first, columns in parts
        )

    bands = re.sub(r"<SimpleSource>(.*?)</SimpleSource>", cut, whole)
    return f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{bands}</VRTDataset>'


def with_alpha_as_mask(dataset: DatasetReader) -> str:
    """Return a virtual raster, as text, whose mask is the alpha band of `dataset`.

    GDAL itself makes a mask of an alpha band only if it is the last of two or four bands."""
    alpha = _band(dataset, str(alpha_bands(dataset)[0]), None, 1, None)
    return _vrt(dataset, _described(dataset, dataset.indexes, dataset.nodatavals) + f"<MaskBand>{alpha}</MaskBand>")


def as_power(dataset: DatasetReader) -> str:
    """Return a virtual raster, as text, of the squared modulus of complex numbers: the power of radar."""
    bands = _described(dataset, dataset.indexes, [None if value is None else value**2 for value in dataset.nodatavals])
    derived = re.sub(
        r'<VRTRasterBand dataType="(C\w+)"', r'<VRTRasterBand subClass="VRTDerivedRasterBand" dataType="Float32"', bands
    )
    function = "<PixelFunctionType>intensity</PixelFunctionType><SourceTransferType>CFloat64</SourceTransferType>"
    return _vrt(dataset, derived.replace("<SimpleSource>", f"{function}<SimpleSource>"))


def _open(dataset: DatasetReader, bands: str) -> DatasetReader:
    with MemoryFile(_vrt(dataset, bands).encode(), ext=".vrt") as file:
        return open_raster(file.name)


def _vrt(dataset: DatasetReader, bands: str) -> str:
    height, width = dataset.shape
    return f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{_georeference(dataset)}{bands}</VRTDataset>'


def _described(dataset: DatasetReader, bands: Sequence[int], nodata: Sequence[float | None]) -> str:
    return "".join(
        _band(dataset, str(band), band, number, value)
        for number, (band, value) in enumerate(zip(bands, nodata, strict=True), start=1)
    )


def _own_mask(dataset: DatasetReader) -> str:
    return f"<MaskBand>{_band(dataset, 'mask,1', None, 1, None)}</MaskBand>" if _has_mask(dataset) else ""


def _masked(dataset: DatasetReader, bands: Sequence[int], nodata: Sequence[float | None]) -> str:
    """Bands, and a mask that is 0 where all that have a nodata value hold it, or where the raster's own mask or alpha band is."""
    inner = _vrt(dataset, _described(dataset, bands, nodata))  # whose bands have masks of their own
    stated = [
        number
        for number, (band, value) in enumerate(zip(bands, nodata, strict=True), start=1)
        if storable_nodata(np.dtype(dataset.dtypes[band - 1]), value) is not None
    ]
    sources = [(inner, f"mask,{number}", 0) for number in stated]  # what any band knows is laid over the others
    file = dataset.files[0]
    sources += [(file, str(band), 255) for band in alpha_bands(dataset)]  # and what these hide over all
    sources += [(file, "mask,1", 255)] if _has_mask(dataset) else []
    texts = "".join(
        f'<ComplexSource><SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename><SourceBand>{band}</SourceBand>'
        f"<NODATA>{skipped}</NODATA></ComplexSource>"
        for name, band, skipped in sources
    )
    mask = f'<MaskBand><VRTRasterBand dataType="Byte">{texts}</VRTRasterBand></MaskBand>' if stated else ""
    return _described(dataset, bands, [None] * len(bands)) + mask


def _has_mask(dataset: DatasetReader) -> bool:
    flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _georeference(dataset: DatasetReader) -> str:
    points, points_crs = dataset.gcps
    if points and dataset.transform.is_identity:
        each = "".join(
            f'<GCP Id="{k}" Pixel="{p.col!r}" Line="{p.row!r}" X="{p.x!r}" Y="{p.y!r}" Z="{p.z or 0.0!r}"/>'
            for k, p in enumerate(points)
        )
        return f'<GCPList Projection="{escape(points_crs.to_wkt() if points_crs else "")}">{each}</GCPList>'
    crs = f"<SRS>{escape(dataset.crs.to_wkt())}</SRS>" if dataset.crs else ""
    transform = ", ".join(map(repr, dataset.transform.to_gdal()))
    return crs if dataset.transform.is_identity else f"{crs}<GeoTransform>{transform}</GeoTransform>"


def _band(dataset: DatasetReader, source: str, band: int | None, number: int, nodata: float | None) -> str:
    """One band of the virtual raster; `band` : which it is of the raster, None for the mask."""
    kind, about = "Byte", ""
    if band is not None:
        kind = gdal_type(dataset.dtypes[band - 1])
        about = f"<ColorInterp>{dataset.colorinterp[band - 1].name.title()}</ColorInterp>"
        about += "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>"
    return (
        f'<VRTRasterBand dataType="{kind}" band="{number}">{about}<SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{escape(dataset.files[0])}</SourceFilename>'
        f"<SourceBand>{source}</SourceBand></SimpleSource></VRTRasterBand>"
    )


def alpha_bands(dataset: DatasetReader) -> list[int]:
    """Bands, 1-based, that the file marks as alpha."""
    return [band for band, role in enumerate(dataset.colorinterp, start=1) if role == ColorInterp.alpha]


def false_alpha(dataset: DatasetReader) -> list[int]:
    """Return the alpha bands that are not masks: by their name, else by their values."""
    return [band for band in alpha_bands(dataset) if not _is_mask(dataset, band)]


def _is_mask(dataset: DatasetReader, band: int) -> bool:
    name = dataset.descriptions[band - 1] or ""
    if any(word in name.casefold() for word in MASK_NAMES):
        return True
    if role_indices([name]) or has_centre(name_band(name)):
        return False
    try:
        values = _look(dataset, band)
    except READ_ERRORS:  # whoever reads it names the window
        return True
    seen = values[values > 0]
    if not seen.size or (seen == seen[0]).all():
        return True
    top = float(seen.max())
    whole = {1.0, 100.0, 255.0} | ({float(np.iinfo(values.dtype).max)} if values.dtype.kind in "iu" else set())
    return any(LOSSY * full <= top <= full for full in whole) and float((seen < LOSSY * top).mean()) <= MAX_SOFT


def _look(dataset: DatasetReader, band: int) -> NDArray[Any]:
    tops, lefts = (
        np.linspace(0, max(size - WINDOW_PX, 0), PER_AXIS).astype(int) for size in (dataset.height, dataset.width)
    )
    windows = [
        RasterioWindow(int(left), int(top), min(WINDOW_PX, dataset.width), min(WINDOW_PX, dataset.height))
        for top in tops
        for left in lefts
    ]
    return np.concatenate([dataset.read(band, window=window).ravel() for window in windows])
