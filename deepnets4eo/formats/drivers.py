"""Which raster format a file is, by its first bytes, and the one GDAL driver that reads it.

Refuses every format that is not in the list, and names it where it can."""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.errors import InputError

RASTER_FORMATS = "GeoTIFF, JPEG 2000, PNG, JPEG, VRT, ERDAS .img, ENVI, EHdr (.bil), ASCII grid (.asc), DTED, SRTM .hgt, BMP, GIF, WebP"
HEAD_BYTES = 4096
VRT = "VRT"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BY_START: tuple[tuple[bytes, str], ...] = (
    *((start, "GTiff") for start in _TIFF),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"EHFA_HEADER_TAG", "HFA"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"UHL1", "DTED"),
)
_EHDR = {".bil", ".bip", ".bsq", ".flt", ".img", ".raw", ".bin"}
# What else GDAL would open, for the message: it reads other files, goes online, or has many rasters in one file.
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"<gdal_wms", "a web map service (WMS)"),
    (b"<gdal_wcs", "a web coverage service (WCS)"),
    (b"<gdal_wmts", "a web map tile service (WMTS)"),
    (b"<capabilities", "a web map tile service (WMTS)"),
    (b"<gdaltileindexdataset", "a tile index (GTI)"),
    (b"<ogrwfsdatasource", "a web feature service (WFS)"),
    (b"<ogrvrtdatasource", "a virtual vector file (OGR VRT)"),
    (b"<mrf_meta", "a Meta Raster Format index (MRF)"),
    (b"<?xml", "XML"),
    (b"%pdf", "a PDF"),
    (b"cdf", "NetCDF"),
    (b"\x89hdf", "HDF5 or NetCDF"),
    (b"\x0e\x03\x13\x01", "HDF4"),
    (b"grib", "GRIB"),
    (b"nitf", "NITF"),
    (b"nsif", "NITF"),
    (b"sqlite format 3", "GeoPackage or another SQLite database"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
)


def raster_driver(path: Path) -> str:
    """GDAL's name of the format. Errors: InputError for what is not read."""
    head = read_head(path)
    for start, driver in _BY_START:
        if head.startswith(start):
            return driver
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<vrtdataset"):
        return VRT
    if text.startswith((b"ncols", b"nrows")):
        return "AAIGrid"
    if path.suffix.lower() == ".hgt":
        return "SRTMHGT"
    header = _header_beside(path)
    if header is not None and read_head(header).lstrip().startswith(b"ENVI"):
        return "ENVI"
    if header is not None and path.suffix.lower() in _EHDR:
        return "EHdr"
    raise InputError(f"{path} is not a raster that can be read: it is {describe_head(head)}. {REMEDY}")


REMEDY = f"Read are {RASTER_FORMATS}. Turn it into one of them where you trust it: gdal_translate IN OUT.tif"


def describe_head(head: bytes) -> str:
    """Name of the format that the first bytes belong to, for messages."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, name in _REFUSED:
        if text.startswith(start):
            return name
    if text.startswith((b"{", b"[")):
        return "JSON"
    if any(head.startswith(start) for start, _ in _BY_START):
        return "a raster"
    return "empty" if not head else "of an unknown format"


def read_head(path: Path, most_bytes: int = HEAD_BYTES) -> bytes:
    """The first bytes of a file. Errors: InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error


def is_tiff(path: Path) -> bool:
    """Whether a file is a TIFF, by its first bytes."""
    return read_head(path).startswith(_TIFF)


def _header_beside(path: Path) -> Path | None:
    if path.suffix.lower() == ".hdr":
        return None
    names = (f"{path.stem}.hdr", f"{path.name}.hdr", f"{path.stem}.HDR", f"{path.name}.HDR")
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
