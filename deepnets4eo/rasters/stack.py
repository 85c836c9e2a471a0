"""Rasters of one size as bands of one: a virtual raster described in memory.

Takes files, each with its own nodata values; refuses files that differ in size, georeference or type, and names both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from rasterio.enums import MaskFlags

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats.access import is_remote
from deepnets4eo.formats.rasters import open_raster
from deepnets4eo.formats.wavelengths import raster_wavelengths_nm
from deepnets4eo.rasters.band_subset import GDAL_TYPES
from deepnets4eo.rasters.mosaic import find_tiles
from deepnets4eo.rasters.stored_values import describe_vrt, stated_values

MARK = "#bands"  # after a folder or pattern: its files are bands, not tiles


def stack_files(source: str) -> list[str]:
    """Return the files behind `FOLDER#bands` or `PATTERN#bands`, in the order of the numbers in their names (B2 before
    B10). Raises InputError without rasters."""
    return sorted(find_tiles(source.removesuffix(MARK)), key=_natural)


def stack_vrt(paths: Sequence[str]) -> tuple[str, list[float | None] | None]:
    """A GDAL virtual raster whose bands are all bands of the files, one file after the other; and their wavelengths.

    Bands have the names that the files give them, else the name of their file.
    Errors: InputError without files; GridError for files that differ in size, georeference or type.
    """
    if not paths:
        raise InputError("the list of bands is empty. Give at least one raster.")
    bands, wavelengths = list[str](), list[float | None]()
    first: tuple[object, ...] = ()
    for path in paths:
        with open_raster(path) as file:
            crs = file.crs.to_wkt() if file.crs else ""
            kind = (file.shape, tuple(round(value, 9) for value in file.transform), crs, file.dtypes[0])
            first = first or kind
            _check_same_kind(paths[0], first, path, kind)
            if MaskFlags.per_dataset in file.mask_flag_enums[0]:
                raise GridError(
                    f"{path} has a mask or an alpha band, which bands of one cube cannot keep each for itself. Write its hidden "
                    f"pixels as a nodata value: gdalwarp -dstnodata VALUE {path} OUT.tif"
                )
            names = [
                text or Path(path).stem + (f" {k + 1}" if file.count > 1 else "")
                for k, text in enumerate(file.descriptions)
            ]
            stored = stated_values(file, path)
            target = path if is_remote(path) else str(Path(path).resolve())
            for number, (name, value) in enumerate(zip(names, file.nodatavals, strict=True), start=1):
                nodata = "" if value is None else f"<NoDataValue>{value!r}</NoDataValue>"
                bands.append(
                    f'<VRTRasterBand dataType="{GDAL_TYPES[file.dtypes[0]]}" band="{len(bands) + 1}">'
                    f"<Description>{escape(name)}</Description>{nodata}{describe_vrt(stored[number - 1])}<SimpleSource>"
                    f'<SourceFilename relativeToVRT="0">{escape(target)}</SourceFilename>'
                    f"<SourceBand>{number}</SourceBand></SimpleSource></VRTRasterBand>"
                )
            wavelengths += raster_wavelengths_nm(file) or [None] * file.count
            (height, width), t = file.shape, file.transform
    affine = f"{t.c!r}, {t.a!r}, {t.b!r}, {t.f!r}, {t.d!r}, {t.e!r}"
    georeference = "" if t.is_identity else f"<GeoTransform>{affine}</GeoTransform>"
    vrt = (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{escape(crs)}</SRS>{georeference}'
        f"{''.join(bands)}</VRTDataset>"
    )
    return vrt, wavelengths if any(value is not None for value in wavelengths) else None


def _check_same_kind(first_path: str, first: tuple[object, ...], path: str, kind: tuple[object, ...]) -> None:
    names = ("size", "georeference", "CRS", "data type")
    wrong = [name for name, a, b in zip(names, first, kind, strict=True) if a != b]
    if wrong:
        raise GridError(
            f"{path} and {first_path} differ in {', '.join(wrong)}: they are no bands of one cube. Bring them to one grid "
            "and type first, e.g. with gdalwarp -tr … -ot …"
        )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", Path(name).name)]
