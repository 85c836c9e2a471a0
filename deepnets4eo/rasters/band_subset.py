"""Some bands of a raster as a raster of their own, described in memory.

GDAL warps and keeps all bands that a raster has, whichever are read: three of 200 took 30 times as long as with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.formats.rasters import open_raster

GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "int64": "Int64", "uint64": "UInt64", "float16": "Float16", "float32": "Float32", "float64": "Float64",
    "complex_int16": "CInt16", "complex64": "CFloat32", "complex128": "CFloat64",
}  # fmt: skip


def subset_bands(dataset: DatasetReader, bands: Sequence[int], nodata: float | None = None) -> DatasetReader:
    """A raster whose first bands are these, 1-based, and whose place, nodata value, alpha band and mask are those of `dataset`.

    nodata : replaces the nodata value where it is given. It is `dataset` itself where that has no other bands or value.
    """
    alpha = [band for band, role in enumerate(dataset.colorinterp, start=1) if role == ColorInterp.alpha]
    wanted = [*bands, *(band for band in alpha if band not in bands)]
    nodata = dataset.nodata if nodata is None else nodata
    if wanted == list(dataset.indexes) and same_nodata(nodata, dataset.nodata):
        return dataset
    with MemoryFile(_describe(dataset, wanted, nodata).encode(), ext=".vrt") as file:
        return open_raster(file.name)


def same_nodata(first: float | None, second: float | None) -> bool:
    """Whether two values without data are the same, also where both are NaN."""
    return first == second or (first is not None and second is not None and first != first and second != second)


def _describe(dataset: DatasetReader, bands: Sequence[int], nodata: float | None) -> str:
    """A GDAL virtual raster."""
    height, width = dataset.shape
    texts = [_band(dataset, str(band), band, number, nodata) for number, band in enumerate(bands, start=1)]
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0] and MaskFlags.alpha not in dataset.mask_flag_enums[0]:
        texts.append(f"<MaskBand>{_band(dataset, 'mask,1', None, 1, None)}</MaskBand>")
    return f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{_georeference(dataset)}{"".join(texts)}</VRTDataset>'


def _georeference(dataset: DatasetReader) -> str:
    """CRS and georeference, or ground control points."""
    points, points_crs = dataset.gcps
    if points and dataset.transform.is_identity:
        each = "".join(
            f'<GCP Id="{k}" Pixel="{p.col!r}" Line="{p.row!r}" X="{p.x!r}" Y="{p.y!r}" Z="{p.z or 0.0!r}"/>'
            for k, p in enumerate(points)
        )
        return f"<GCPList Projection={quoteattr(points_crs.to_wkt() if points_crs else '')}>{each}</GCPList>"
    crs = f"<SRS>{escape(dataset.crs.to_wkt())}</SRS>" if dataset.crs else ""
    transform = ", ".join(map(repr, dataset.transform.to_gdal()))
    return crs if dataset.transform.is_identity else f"{crs}<GeoTransform>{transform}</GeoTransform>"


def _band(dataset: DatasetReader, source: str, band: int | None, number: int, nodata: float | None) -> str:
    """One band of the virtual raster; `band` : which it is of the raster, None for the mask."""
    kind, about = "Byte", ""
    if band is not None:
        kind = GDAL_TYPES[dataset.dtypes[band - 1]]
        about = f"<ColorInterp>{dataset.colorinterp[band - 1].name.title()}</ColorInterp>"
        about += "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>"
    return (
        f'<VRTRasterBand dataType="{kind}" band="{number}">{about}<SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{escape(dataset.files[0])}</SourceFilename>'
        f"<SourceBand>{source}</SourceBand></SimpleSource></VRTRasterBand>"
    )
