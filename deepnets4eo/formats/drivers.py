"""Recognition of a raster file's format by its first bytes, and the one GDAL driver that reads it.

Refuses every format that is not in the list, and names the format if it can.

The command line has its own process, and switches off drivers of formats that nothing here reads, so that no file in
disguise can reach them.
"""

from __future__ import annotations

import logging
import os
from functools import cache
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
_GZIP = b"\x1f\x8b"
NUMBERS = (
    ".img",
    ".dat",
    ".raw",
    ".bsq",
    ".bil",
    ".bip",
    ".bin",
    ".cube",
    ".sli",
    ".slb",
)  # suffixes of ENVI's files of numbers
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
    (b"pcidsk", "PCIDSK"),
    (b"sqlite format 3", "GeoPackage or another SQLite database"),
    (b"pk\x03\x04", "a ZIP archive"),
    (_GZIP, "a gzip archive"),
)

NEEDED_ALONE = "DEEPNETS4EO_NEEDED_DRIVERS"  # in the environment, so that processes of workers know it as well
# Of the wheels' GDAL 3.9 to 3.12. None is needed for images or outlines: conda's rasterio and pyogrio share one GDAL.
UNNEEDED_OF_RASTERS = [
        "ACE2", "ADRG", "AIG", "AVCBin", "AVCE00", "AirSAR", "BAG", "BIGGIF", "BLX", "BSB", "BT", "BYN", "CALS", "CEOS",
    "COASP", "COSAR", "CPG", "CTG", "CTable2", "DAAS", "DIMAP", "DIPEx", "DOQ1", "DOQ2", "ECRGTOC", "EEDA", "EEDAI", "EIR",
    "ELAS", "ERS", "ESAT", "ESRIC", "FAST", "FIT", "GDALG", "GFF", "GNMDatabase", "GNMFile", "GRASSASCIIGrid", "GRIB", "GS7BG",
    "GSAG", "GSBG", "GSC", "GTI", "GTX", "GXF", "GenBin", "HDF4", "HDF4Image", "HDF5", "HDF5Image", "HF2", "HTTP", "ILWIS",
    "IRIS", "ISCE", "ISG", "ISIS2", "ISIS3", "JAXAPALSAR", "JDEM", "KMLSUPEROVERLAY", "KRO", "L1B", "LAN", "LCP", "LIBERTIFF",
    "LOSLAS", "Leveller", "MAP", "MFF", "MFF2", "MRF", "MSGN", "MiraMonRaster", "NDF", "NGSGEOID", "NITF", "NOAA_B", "NSIDCbin",
    "NTv2", "NWT_GRC", "NWT_GRD", "OGR_VRT", "OZI", "PAux", "PCIDSK", "PCRaster", "PDF", "PDS", "PDS4", "PLMOSAIC", "PNM",
    "PRF", "R", "RCM", "RIK", "RMF", "ROI_PAC", "RPFTOC", "RRASTER", "RS2", "RST", "Rasterlite", "S102", "S104", "S111", "SAFE",
    "SAGA", "SAR_CEOS", "SDTS", "SENTINEL2", "SGI", "SIGDEM", "SNAP_TIFF", "SNODAS", "SRP", "STACIT", "STACTA", "TGA", "TIL",
    "TSX", "Terragen", "USGSDEM", "VICAR", "WCS", "WMS", "WMTS", "XPM", "XYZ", "ZMap", "netCDF",
]  # fmt: skip
UNNEEDED_OF_VECTORS = [
        "AVCBin", "AVCE00", "AmigoCloud", "CSW", "Carto", "DGN", "DXF", "EDIGEO", "EEDA", "Elasticsearch", "GPSBabel", "GPX",
    "GTFS", "GeoRSS", "HTTP", "Idrisi", "JML", "LVBAG", "MapML", "MiraMonVector", "NGW", "OAPIF", "ODS", "OGCAPI", "OGR_GMT",
    "OGR_PDS", "OGR_VRT", "PCIDSK", "PDF", "PDS4", "PGDUMP", "PLSCENES", "S57", "SXF", "Selafin", "VDV", "VFK", "VICAR", "WAsP",
    "WFS", "XLSX",
]  # fmt: skip


def need_few_drivers() -> None:
    """State that the process is the command line's, which needs few drivers of GDAL; its processes of workers know it too."""
    os.environ.setdefault(NEEDED_ALONE, "1")


@cache
def leave_out_raster_drivers() -> None:
    """Take what no image needs out of rasterio's GDAL, where the process is the command line's; before its first use."""
    if NEEDED_ALONE not in os.environ:
        return
    import rasterio

    log = logging.getLogger("rasterio._env")
    level = log.level
    log.setLevel(logging.ERROR)  # else it warns of each driver that this GDAL lacks anyway
    named = os.environ.get("GDAL_SKIP", "")  # GDAL takes blanks between names where there is no comma
    names = [*(named.split(",") if "," in named else named.split()), *UNNEEDED_OF_RASTERS]
    with rasterio.Env(GDAL_SKIP=",".join(names)):
        log.setLevel(level)


@cache
def leave_out_vector_drivers() -> None:
    """Take what no outlines need out of pyogrio's GDAL, where the process is the command line's."""
    if NEEDED_ALONE not in os.environ:
        return
    import pyogrio
    from pyogrio.core import _register_drivers  # of which GDAL's own last step reads what to leave out

    there = pyogrio.list_drivers()  # GDAL prints a line for each name that it lacks
    pyogrio.set_gdal_config_options({"OGR_SKIP": ",".join(name for name in UNNEEDED_OF_VECTORS if name in there)})
    _register_drivers()
    pyogrio.set_gdal_config_options({"OGR_SKIP": None})


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
    other = _other_format(text)  # whose numbers have no header of ENVI; a header next to it belongs to another file
    if header is not None and not other and read_head(header).lstrip().startswith(b"ENVI"):
        _check_numbers_of(header, path)
        return "ENVI"
    if header is not None and not other and path.suffix.lower() in _EHDR:
        return "EHdr"
    raise InputError(f"{path} is not a raster that can be read: it is {describe_head(head)}. {REMEDY}")


REMEDY = f"Read are {RASTER_FORMATS}. Turn it into one of them where you trust it: gdal_translate IN OUT.tif"


def describe_head(head: bytes) -> str:
    """Name of the format that the first bytes belong to, for messages."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if name := next((name for start, name in _REFUSED if text.startswith(start)), ""):
        return name
    if text.startswith((b"{", b"[")):
        return "JSON"
    if is_raster(head):
        return "an image"
    return "empty" if not head else "of an unknown format"


def _other_format(text: bytes) -> bool:
    """Return whether first bytes, in lower case, are of a format that is refused; gzip may be numbers of ENVI."""
    return not text.startswith(_GZIP) and any(text.startswith(start) for start, _ in _REFUSED)


def is_raster(head: bytes) -> bool:
    """Return whether the first bytes are of a raster that is read."""
    return any(head.startswith(start) for start, _ in _BY_START)


def read_head(path: Path, most_bytes: int = HEAD_BYTES) -> bytes:
    """Return the first bytes of a file. Errors: InputError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error


def is_tiff(path: Path) -> bool:
    """Return whether a file is a TIFF, by its first bytes."""
    return read_head(path).startswith(_TIFF)


def _header_beside(path: Path) -> Path | None:
    if path.suffix.lower() == ".hdr":
        return None
    names = (f"{path.stem}.hdr", f"{path.name}.hdr", f"{path.stem}.HDR", f"{path.name}.HDR")
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _check_numbers_of(header: Path, path: Path) -> None:
    """Refuse (InputError) a file of an unusual suffix next to the file of numbers that a header belongs to."""
    if header.stem == path.name or path.suffix.lower() in ("", *NUMBERS):
        return
    stem = header.with_suffix("")
    own = next((file for file in map(stem.with_suffix, ("", *NUMBERS)) if file != path and file.is_file()), None)
    if own is not None:
        raise InputError(
            f"{path} is not a raster that can be read: the header next to it, {header.name}, belongs to {own.name}. Give {own.name}, or name the "
            f"header of {path.name} {path.name}.hdr. {REMEDY}"
        )
