"""Rasters opened by the one driver that belongs to their first bytes (0.1 ms a file), from a path, URL or archive.

Virtual rasters (.vrt) are read here first: refused is whatever is not known to be harmless, such as raw bytes, Python, URLs.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.parsers import expat

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from deepnets4eo.errors import PROJ_REMEDY, InputError, UnreadableError
from deepnets4eo.formats.access import address_remedy, check_beside, is_remote, limit_waiting, user_files
from deepnets4eo.formats.drivers import REMEDY, VRT, is_tiff, leave_out_raster_drivers, raster_driver
from deepnets4eo.formats.envi import check_image, check_size
from deepnets4eo.formats.picture_structure import Structure
from deepnets4eo.formats.zarr import gdal_name, parse_zarr, stated_place

READ_ERRORS = (
    RasterioError,
    CPLE_BaseError,
    UnicodeError,
)  # rasterio lets some of GDAL's errors through, and messages that are no text
MEMORY = "/vsimem/"
PAGE = re.compile(r"GTIFF_DIR:\d+:(/.*|[A-Za-z]:.*)", re.DOTALL)  # of a TIFF, by its absolute path
REMOTE = re.compile(r"(https?|s3|gs|az)://|/vsi(zip|gzip|tar|curl|s3|gs|az)/|/vsimem/")
ARCHIVES = ("/vsizip/", "/vsigzip/", "/vsitar/")
REMOTE_DRIVERS = ("GTiff", "JP2OpenJPEG", "PNG", "JPEG")  # one after the other: their first bytes are far away
MAX_BLOCK_BYTES = 1 << 30
MAX_CRS_TEXT = 60  # characters of a CRS in a sentence
MAX_NESTED = 4  # virtual rasters within virtual rasters
PROJ_VARIABLES = ("PROJ_DATA", "PROJ_LIB")
PASSING = ("408", "425", "429")  # HTTP: timeouts, and too many requests; answers of 500 and more pass, too
SIDE_IMAGES = (".ovr", ".msk")  # GDAL opens them with any driver

MAX_BYTES = 64 << 20  # of XML: a hundred thousand tiles
SOURCES = {"sourcefilename", "sourcedataset"}
TEXTS = {*SOURCES, "srs", "sourcesrs", "targetsrs"}
VRT_REMEDY = (
    "Put the VRT into a folder that holds its files, or give the files themselves (a folder of tiles, or a list)."
)
PLAIN_CRS = re.compile(r"\s*(\w+\s*\[|[A-Za-z]+:[\w:+]+\s*$|\+proj=|$)")  # WKT, EPSG:32615, PROJ; no address or file
# GDAL takes names of elements and attributes in any case, and attributes for elements: so both are listed, in lower case.
_ELEMENTS = """
    vrtdataset srs geotransform gcplist gcp metadata mdi vrtrasterband nodatavalue hidenodatavalue colorinterp
    description colortable entry categorynames category unittype offset scale maskband histograms histitem histmin
    histmax bucketcount includeoutofrange approximate histcounts simplesource complexsource averagedsource
    kernelfilteredsource nodatafrommasksource sourceband sourceproperties srcrect dstrect nodata scaleoffset
    scaleratio exponent srcmin srcmax dstmin dstmax clamp lut usemaskband colortablecomponent kernel size coefs
    overviewlist overview pixelfunctiontype pixelfunctionarguments sourcetransfertype blockxsize blockysize
    gdalwarpoptions warpmemorylimit resamplealg workingdatatype option sourcedataset transformer approxtransformer
    maxerror basetransformer genimgprojtransformer srcgeotransform srcinvgeotransform dstgeotransform
    dstinvgeotransform reprojecttransformer reprojectiontransformer sourcesrs targetsrs options bandlist bandmapping
    srcnodatareal srcnodataimag dstnodatareal dstnodataimag srcalphaband dstalphaband initdest cutline multiband
    gdalrasterattributetable fielddefn name type usage row f
"""
_ATTRIBUTES = """
    rasterxsize rasterysize subclass datatype band blockxsize blockysize relativetovrt shared domain key format
    dataaxistosrsaxismapping coordinateepoch projection id pixel line x y z info c1 c2 c3 c4 rasterband xoff yoff
    xsize ysize name resampling src dst normalized encoding version standalone min max row0min binsize tabletype index
"""
ELEMENTS, ATTRIBUTES = {*_ELEMENTS.split(), *SOURCES}, set(_ATTRIBUTES.split())
SUBCLASSES = {"VRTWarpedDataset", "VRTWarpedRasterBand", "VRTSourcedRasterBand", "VRTDerivedRasterBand"}
# GDAL 3.10 leaves its buffer as it was where a PNG of 8 bits ends early; by rows it reports that, also of addresses and archives
os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # `check` and jobs report it once, with a remedy
_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")  # of two letters at least: C: is a disk


def open_raster(
    target: str | Path, most_block_bytes: int = MAX_BLOCK_BYTES, *, honours: Collection[str] = ()
) -> DatasetReader:
    """Open a path, URL or archive by the one driver of its format; no files next to a URL are looked for.

    honours : properties that the caller handles: a file that is turned ("orientation") or has several "pages"; others are refused"""
    leave_out_raster_drivers()
    _check_proj(*(os.environ.get(variable, "") for variable in PROJ_VARIABLES))
    name = str(target)
    if name.startswith(MEMORY):  # made by this very process
        return _open(name, None)
    if (page := PAGE.fullmatch(name)) is not None and is_tiff(
        Path(page[1])
    ):  # its file is checked, and read by one driver
        _allowed_driver(_state(Path(page[1])))
        return _open(name, "GTiff")
    if is_remote(name):
        return _checked(_open_remote(name), name, honours)
    path = Path(name)
    if (store := parse_zarr(name)) is not None:
        dataset = _with_position(_open(gdal_name(store), "Zarr"), stated_place(store))
    elif not path.is_file():
        hint = "it is a folder" if path.is_dir() else "it does not exist as a file"
        raise InputError(f"{name} is not a raster: {hint}. Check the path; {REMEDY[0].lower()}{REMEDY[1:]}")
    else:
        driver = _allowed_driver(_state(path))
        dataset = _open(os.path.abspath(path), driver)  # absolute: no name can pass for a driver's prefix
    clear_messages(dataset)
    _check_described(dataset, name)
    _check_block_sizes(dataset, name, most_block_bytes)
    return _checked(dataset, name, honours)


def _with_position(dataset: DatasetReader, stated_position: tuple[str, tuple[float, ...]]) -> DatasetReader:
    """Return a raster with the CRS and transform that are stated elsewhere, if it has none itself."""
    crs, transform = stated_position
    lacks_transform = bool(transform) and dataset.transform.is_identity
    if dataset.crs is not None or not (crs or lacks_transform):
        return dataset
    try:
        stated = f"<SRS>{escape(CRS.from_user_input(crs).to_wkt())}</SRS>" if crs else ""
    except CRSError:
        stated = ""
    if lacks_transform:
        stated += f"<GeoTransform>{', '.join(map(repr, Affine(*transform).to_gdal()))}</GeoTransform>"
    with MemoryFile(ext=".vrt") as file:
        rasterio.shutil.copy(dataset, file.name, driver="VRT")
        head, mark, tail = file.read().decode().partition(">")
    dataset.close()
    with MemoryFile(f"{head}{mark}{stated}{tail}".encode(), ext=".vrt") as file:
        georeferenced: DatasetReader = rasterio.open(file.name)
    return georeferenced


def _checked(dataset: DatasetReader, name: str, honours: Collection[str]) -> DatasetReader:
    """Return a raster; InputError where its structure is not whole, or of a kind that is not honoured."""
    try:
        Structure.of_dataset(dataset).check(name, honours)
    except InputError:
        dataset.close()
        raise
    clear_messages(dataset)
    return dataset


def clear_messages(dataset: DatasetReader) -> None:
    """Clear GDAL's message about a tag that it left out on opening: the next call that looks for errors would raise it."""
    with suppress(CPLE_BaseError):
        _ = dataset.colorinterp


@lru_cache(maxsize=8)
def _check_proj(*folders: str) -> None:
    """Refuse (InputError) an environment that makes GDAL look for CRSs in the files of another PROJ."""
    try:
        CRS.from_epsg(4326)
    except (CRSError, *READ_ERRORS) as error:
        named = ", ".join(f"{name}={folder}" for name, folder in zip(PROJ_VARIABLES, folders, strict=True) if folder)
        raise InputError(
            f"GDAL does not find its table of CRSs{f' ({named} in the environment)' if named else ''}: {error}. {PROJ_REMEDY}"
        ) from error


def place_advice(dataset: DatasetReader) -> str:
    """Return how to place an image on the ground that has only RPCs, only a CRS, or no georeference; "" for any other image."""
    if dataset.gcps[0] or not dataset.transform.is_identity:
        return ""
    crs = dataset.crs if dataset.crs and (dataset.crs.is_projected or dataset.crs.is_geographic) else None
    has = "it has no CRS" if crs is None else f"it has a CRS ({crs.to_string()[:MAX_CRS_TEXT]})"
    if dataset.rpcs is not None:
        return (
            f"{has}, {'only' if crs is None else 'but only'} RPCs, which place it only together with the heights of the ground. "
            f"{'It is taken as plain pixels. ' if crs is None else ''}Put it on the ground first: gdalwarp -rpc -to RPC_DEM=dem.tif "
            "-t_srs EPSG:… in.tif out.tif"
        )
    if crs is None and dataset.crs:
        return ""  # a plane of its own
    taken = (
        ": it is taken as plain pixels"
        if crs is None
        else " but no position in it: no geotransform, control points or RPCs"
    )
    return (
        f"{has}{taken}. State the size of a pixel if the job has this option: --gsd METRES. If the coordinates of its edges are known, write both: "
        "gdal_translate -a_srs EPSG:… -a_ullr LEFT TOP RIGHT BOTTOM in.tif out.tif; or ground control points, or a world file. Only a CRS "
        "would put it in the wrong place."
    )


def _open(name: str, driver: str | None) -> DatasetReader:
    try:
        return rasterio.open(name, driver=driver)
    except UnicodeError as error:
        raise InputError(f"the name of {name}, or a text in it, is not UTF-8. Rename it, or write it again.") from error
    except READ_ERRORS as error:
        why = "the file is truncated or damaged. Check the file with gdalinfo."
        if driver == "Zarr":
            why = (
                f"it is damaged, or GDAL {rasterio.__gdal_version__} does not know how it is packed. Write it as version 2 with a usual "
                "compressor: to_zarr(…, zarr_format=2)."
            )
        raise InputError(
            f"{name} is not a raster that GDAL can open{f' as {driver}' if driver else ''}: {why}"
        ) from error


def _open_remote(name: str) -> DatasetReader:
    if not REMOTE.match(name):
        raise InputError(
            f"{name} is no address that rasters are read from: http(s), s3, gs, az, /vsizip/. {address_remedy(name)}"
        )
    limit_waiting()
    # none of the files that GDAL looks for beside an address: a server that answers all paths alike leads on without end
    alone = {} if name.startswith(ARCHIVES) else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    for driver in REMOTE_DRIVERS:
        try:
            with rasterio.Env(**alone):
                dataset = rasterio.open(name, driver=driver)
        except (*READ_ERRORS, UnicodeError) as error:
            _check_answered(name, str(error))
            continue
        _check_described(dataset, name)
        beside = [file for file in dataset.files if file.lower().endswith((*SIDE_IMAGES, ".vrt"))]
        if beside:
            dataset.close()
            raise InputError(f"{name} comes with {', '.join(beside)}, which cannot be checked there. Download both.")
        return dataset
    raise InputError(
        f"{name} is not a raster that can be opened there as {', '.join(REMOTE_DRIVERS)}. Check the address and the "
        "network, or download it."
    )


def _check_answered(name: str, reason: str) -> None:
    """Refuse (InputError) an address without an answering server, or whose server refuses to send the file."""
    if reason.startswith("CURL error"):
        raise UnreadableError(
            f"no server answers at {name} ({reason.partition(':')[2].strip()}). Check the address and the network."
        )
    if code := re.match(r"HTTP response code: ([45]\d\d)", reason):
        raise (UnreadableError if code[1] in PASSING or code[1][0] == "5" else InputError)(
            f"the server of {name} answers that it does not give it (HTTP {code[1]}). Check the address and its access."
        )


def _check_described(dataset: DatasetReader, name: str) -> None:
    """Refuse negatives, and metadata (also in an adjacent .aux.xml) that name files or URLs as overviews, which GDAL opens."""
    if dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
        kind = np.dtype(dataset.dtypes[0])
        bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * kind.itemsize))
        most = 2**bits - 1
        invert = f"where it is an image, gdal_translate -scale 0 {most} {most} 0 IN OUT.tif; " * (kind.kind == "u")
        dataset.close()
        raise InputError(
            f"{name} is a negative: its photometric interpretation is MINISWHITE, 0 is white and its largest number black. "
            f"Write its brightness: {invert}where its numbers are labels or measurements, gdal_translate IN OUT.tif keeps them."
        )
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):
        dataset.close()
        raise InputError(
            f"{name} names another file as its overviews. Remove them: gdal_translate IN OUT.tif, then gdaladdo OUT.tif"
        )


def _check_block_sizes(dataset: DatasetReader, name: str, limit_bytes: int) -> None:
    """Refuse blocks that are too large: the smallest window takes a block of each band, and a strip may be the whole image."""
    # NumPy has no complex integers
    kinds = (np.dtype(kind if kind != "complex_int16" else "complex64") for kind in dataset.dtypes)
    blocks = zip(dataset.block_shapes, kinds, strict=True)
    most = max((math.prod(shape) * kind.itemsize for shape, kind in blocks), default=0)
    if most > limit_bytes:
        dataset.close()
        raise InputError(
            f"{name} has blocks of {most:,} bytes, more than {limit_bytes:,}; each is unpacked whole. Cut it into "
            "tiles where you trust it: gdal_translate -co TILED=YES IN OUT.tif"
        )


def _stored_bytes(dataset: DatasetReader) -> int:
    """Bytes that the pixels of a file of plain numbers take at least; each may have fewer bits than a byte."""
    bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(dataset.dtypes[0]).itemsize))
    return dataset.count * dataset.height * dataset.width * bits // 8


class _State(NamedTuple):
    """File state that the choice of a driver depends on: the file, the files next to it, and the files that the user named."""

    path: Path
    mtime_ns: int
    size: int
    folder_mtime_ns: int
    named: tuple[Path, ...]


def _state(path: Path) -> _State:
    status = path.stat()
    return _State(path, status.st_mtime_ns, status.st_size, path.parent.stat().st_mtime_ns, user_files())


@lru_cache(maxsize=1 << 16)
def _allowed_driver(state: _State, nested: int = 0) -> str:
    """Return the driver of a file that may be opened. Each thread opens a file separately; the file is checked once."""
    path = state.path
    driver = raster_driver(path)
    _check_side_files(path, state.folder_mtime_ns)
    if driver == "ENVI":
        check_image(path)
    elif driver == "EHdr":
        with _open(os.path.abspath(path), driver) as dataset:
            check_size(path, _stored_bytes(dataset))
    if driver == VRT:
        if nested >= MAX_NESTED:
            raise InputError(f"{path} is a VRT within {nested} others, more than {MAX_NESTED}. Make one of them.")
        for reference in vrt_references(path):
            inner = _allowed_driver(_state(reference), nested + 1)
            if inner != VRT:
                with _open(str(reference), inner) as dataset:
                    _check_described(dataset, str(reference))
                    _checked(dataset, str(reference), ())
    return driver


def _check_side_files(path: Path, folder_mtime_ns: int) -> None:
    beside = _names_beside(path.parent, folder_mtime_ns)
    for suffix in SIDE_IMAGES:
        for name in beside.get(f"{path.name}{suffix}".lower(), ()):
            if not is_tiff(path.with_name(name)):
                raise InputError(
                    f"{path.with_name(name)}, next to {path.name}, is not a TIFF, as {suffix} files are. Remove it."
                )


@lru_cache(maxsize=64)
def _names_beside(folder: Path, mtime_ns: int) -> MappingProxyType[str, tuple[str, ...]]:
    """Side files of a folder in lower case → as they are called: GDAL takes them in any case."""
    names: dict[str, tuple[str, ...]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            low = entry.name.lower()
            if low.endswith(SIDE_IMAGES):
                names[low] = (*names.get(low, ()), entry.name)
    return MappingProxyType(names)


def vrt_references(path: Path) -> list[Path]:
    """Return the existing files that a VRT refers to; InputError for references that it must not use."""
    folder = path.resolve().parent
    references = []
    for name, relative in _Reader(path).read():
        if is_remote(name) or name.startswith("<") or _SCHEME.match(name):
            raise InputError(
                f"{path} refers to {name}, expected files next to it. Download it, or give it by itself, not through a VRT."
            )
        target = (folder / name if relative else Path(name)).resolve()
        check_beside(path, target, VRT_REMEDY)
        if target.exists():
            references.append(target)
    return references


class _Reader:
    """One pass over the XML that keeps nothing but references."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.references: list[tuple[str, bool]] = []
        self.text: list[str] | None = None
        self.relative = False

    def read(self) -> list[tuple[str, bool]]:
        """Each reference with whether it is relative to the VRT."""
        if self.path.stat().st_size > MAX_BYTES:
            raise self._refusal(f"has {self.path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
        parser = expat.ParserCreate("UTF-8")
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = lambda *_: self._refuse("declares a document type")
        parser.ProcessingInstructionHandler = lambda *_: self._refuse("holds a processing instruction")
        parser.StartCdataSectionHandler = lambda: self._refuse("holds a CDATA section")
        parser.CommentHandler = self._comment
        try:
            parser.Parse(self.path.read_bytes(), True)
        except expat.ExpatError as error:
            raise InputError(f"{self.path} is not valid XML: {error}. Make the VRT again.") from error
        return self.references

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        values = {key.lower(): value for key, value in attributes.items()}
        if name.lower() not in ELEMENTS:
            self._refuse(f"uses <{name}>")
        if len(values) < len(attributes):
            self._refuse(f"has an attribute twice in <{name}>")
        if unknown := sorted(values.keys() - ATTRIBUTES):
            self._refuse(f"uses {unknown[0]}= in <{name}>")
        if values.get("subclass", "VRTSourcedRasterBand") not in SUBCLASSES:
            self._refuse(f"has bands of the kind {values['subclass']}")
        if values.get("key", "").upper() == "OVERVIEW_FILE":
            self._refuse("names a file of overviews")
        if self.text is not None:
            self._refuse(f"has <{name}> within a text")
        if values.get("relativetovrt", "0") not in ("0", "1"):
            self._refuse(f"has relativeToVRT={values['relativetovrt']!r}")
        if name.lower() in TEXTS:
            self.text, self.relative = [], values.get("relativetovrt") == "1"

    def _end(self, name: str) -> None:
        if self.text is None:
            return
        text, self.text = "".join(self.text), None
        if name.lower() in SOURCES:
            if text != text.strip() or not text.isprintable():  # GDAL leaves blanks away, and finds another file
                self._refuse(f"has blanks or control characters in the file name {text!r}")
            self.references.append((text, self.relative))
        elif not PLAIN_CRS.match(text):
            self._refuse(f"gives its CRS as {text[:80]!r}")

    def _characters(self, text: str) -> None:
        if self.text is not None:
            self.text.append(text)

    def _comment(self, text: str) -> None:
        if "<" in text or ">" in text:
            self._refuse("holds elements in a comment")

    def _refuse(self, what: str) -> Any:
        raise self._refusal(what)

    def _refusal(self, what: str) -> InputError:
        return InputError(
            f"{self.path} {what}: only mosaics, warps and subsets of files next to a VRT are read. "
            "Turn it into a GeoTIFF where you trust it: gdal_translate IN.vrt OUT.tif"
        )
