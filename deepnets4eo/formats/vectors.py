"""Vector files handed to GDAL only when their first bytes show a harmless format, and read as tables.

Refuses formats that query other files or services, and GeoJSON whose CRS is a link. Errors name the file.
"""

from __future__ import annotations

import csv
import json
import logging
import mmap
import re
import shutil
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit
from xml.parsers import expat

import numpy as np

from deepnets4eo.addresses import portable_name
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.formats.access import address_remedy, is_remote
from deepnets4eo.formats.databases import open_database, stored_integers
from deepnets4eo.formats.drivers import describe_head, is_raster, leave_out_vector_drivers, read_head
from deepnets4eo.formats.unpacking import UnpackLimits, check_unpacked_size, unpack
from deepnets4eo.formats.vector_writing import write_frame
from deepnets4eo.formats.web import WebRequest, download, failure_text
from deepnets4eo.grid import EXCHANGED, FARTHEST_DEGREES
from deepnets4eo.plugins import load_plugin, plugins_of

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow


log = logging.getLogger(__name__)
T = TypeVar("T")

VECTOR_FORMATS = "GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet, KML, GML, SpatiaLite, File Geodatabase, OpenStreetMap or tables of WKT"
HEAD_BYTES = 1 << 16
BLANKS = b"\xef\xbb\xbf \t\r\n\x1e"  # that may stand before JSON
TABLES = (".csv", ".tsv", ".psv")
SEPARATORS = (",", ";", "\t", "|")
NUMBERS = {
    "Integer64": re.compile(r"-?(0|[1-9]\d{0,17})"),
    "Real": re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?"),
}  # without zeros in front, which codes have
WKT = "WKT"  # the column of geometry that GDAL finds by itself
WKT_NAMES = (WKT.lower(), "geometry", "geom", "the_geom", "wkt_geom")
COORDINATE_NAMES = (("latitude", "lat", "y"), ("longitude", "lon", "lng", "long", "x"))
OPEN_BUILDINGS = {"latitude", "longitude", "full_plus_code"}  # columns of Google's, which are in degrees
TYPED_ROWS = 10_000  # that the types of a table's columns are taken from
MAX_ROWS = 100_000_000  # of a Parquet file: one value may stand for any number of rows
# Drivers look for these anywhere in the first bytes: a query over other sources, a web service, a command to run.
MARKS = {
    b"<ogrvrtdatasource": "a virtual vector file (OGR VRT)", b"<ogrwfsdatasource": "a web feature service (WFS)",
    b"gdal_streamed_alg": "a GDAL command (GDALG)", b"<gdaltileindexdataset": "a tile index (GTI)",
}  # fmt: skip
# The CRS of a GeoJSON file, also with its letters written as \u0063: what follows is read as JSON
CRS = re.compile(rb'"(?:c|\\u0063)(?:r|\\u0072)(?:s|\\u0073)"\s*:\s*(?=\{)')
MAX_CRS_BYTES = 1 << 16
VIRTUAL_TABLE = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\W+(\w+)", re.IGNORECASE | re.DOTALL)
MODULES = {
    "rtree", "rtree_i32", "geopoly", "fts3", "fts4", "fts5", "virtualspatialindex", "virtualelementary", "virtualknn",
    "virtualknn2", "virtualgeometry",
}  # fmt: skip
OWN_FUNCTIONS = re.compile(r"\b(ogr|gdal)_|\b(load_extension|readfile)\b", re.IGNORECASE)
LINKS = {"link", "url"}
# No server runs at this address: what a driver tries to fetch fails
OFFLINE = {
    "GDAL_HTTP_PROXY": "http://127.0.0.1:1", "GDAL_HTTPS_PROXY": "http://127.0.0.1:1",
    "GML_SKIP_RESOLVE_ELEMS": "ALL", "GML_DOWNLOAD_SCHEMA": "NO", "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
}  # fmt: skip

GEOJSON = re.compile(r"\.(geo)?json(\.(gz|bz2|zip))?$", re.IGNORECASE)
FORMATS = "GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet"
# sentences of GDAL's that no user can follow
OPTION_ADVICE = re.compile(r"[^.;]*\b(config|configuration|open) option\b[^.;]*[.;]?")
UNSORTED = "OSM_USE_CUSTOM_INDEXING"  # in what GDAL says of nodes out of order
FALLBACK = "ISO-8859-1"  # takes any byte
UNDEFINED = ("Undefined Cartesian SRS", "Undefined SRS")
ROUNDED_FROM = 2.0**53  # from here on, 64-bit floats leave out whole numbers


@contextmanager
def vector_file(source: str | Path, limit_bytes: int = UnpackLimits.max_bytes) -> Iterator[Path]:
    """Provide a local file to read within the context, from a path, packed or not, or a web address; what GDAL, pyarrow, GEOS and PROJ
    raise there becomes InputError."""
    leave_out_vector_drivers()
    with ExitStack() as files:
        with Reading(source, _REMEDY):
            inner = files.enter_context(unpack(files.enter_context(_local(str(source), limit_bytes)), limit_bytes))
            inner = files.enter_context(_read_with_plugin(inner, str(source)))
            _check(inner, str(source), limit_bytes)
            files.enter_context(_gdal_offline())
            named = files.enter_context(_by_content(inner))
        with Reading(source, _REMEDY):  # what libraries raise for geometries and CRSs has classes of its own
            yield named


@contextmanager
def _read_with_plugin(path: Path, name: str) -> Iterator[Path]:
    """Provide the file itself, or the table of the reader that another package has registered for its suffix as a FlatGeobuf file."""
    entry = plugins_of("vector_readers").get(path.suffix.lower().removeprefix("."))
    if entry is None:
        yield path
        return
    import geopandas as gpd

    remedy = f"Its reader is {entry.value}: report it to the authors of that package."
    with Reading(name, remedy):
        table = load_plugin(entry)(str(path))
    if not isinstance(table, gpd.GeoDataFrame):
        raise InputError(f"{name} was read as {type(table).__name__}; expected a geopandas.GeoDataFrame. {remedy}")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{path.stem}.fgb"
        write_frame(table, made, driver="FlatGeobuf", SPATIAL_INDEX="NO")  # an index would change the order of rows
        yield made


@contextmanager
def _by_content(path: Path) -> Iterator[Path]:
    """Provide the file by the name that GDAL needs: GeoJSON in a text table's name, WKT tables with names, types and CRS."""
    is_table = path.suffix.lower() in TABLES
    is_json = is_table and read_head(path, HEAD_BYTES).lstrip(BLANKS).startswith((b"{", b"["))
    if not is_json and not (is_table and _wkt_columns(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        if not is_json:
            yield _typed_table(path, Path(folder))
            return
        named = Path(folder) / f"{path.stem}.geojson"
        try:
            named.symlink_to(path.absolute())
        except OSError:  # Windows allows links to some users alone
            shutil.copyfile(path, named)
        yield named


def _columns(path: Path) -> list[str]:
    """Return the names in the first line of a table."""
    line = read_head(path, HEAD_BYTES).lstrip(BLANKS).splitlines()[:1] or [b""]
    mark = max(SEPARATORS, key=lambda one: line[0].count(one.encode()))
    return [name.strip().strip('"') for name in line[0].decode("utf-8", "replace").split(mark)]


def _wkt_columns(path: Path) -> list[str]:
    """Return the names in the first line of a table with a column of WKT; none for any other table."""
    names = _columns(path)
    return names if any(name.lower() in WKT_NAMES for name in names) else []


def coordinate_columns(path: Path) -> list[str]:
    """Return the names of the columns of latitude and longitude of a table without outlines, or none."""
    if path.suffix.lower() not in TABLES or _wkt_columns(path):
        return []
    names = {name.lower(): name for name in _columns(path)}
    columns = [next((names[word] for word in words if word in names), "") for words in COORDINATE_NAMES]
    return columns if all(columns) else []


def _typed_table(path: Path, folder: Path) -> Path:
    """Write a copy whose WKT column has GDAL's name, with column types and, for Open Buildings, the CRS in files next to it."""
    names, copy = _wkt_columns(path), folder / path.name
    shape = next(name for name in names if name.lower() in WKT_NAMES)
    with path.open("rb") as file, copy.open("wb") as out:
        head = file.readline()
        mark = max(SEPARATORS, key=lambda one: head.count(one.encode()))
        out.write(mark.join(f'"{WKT if name == shape else name}"' for name in names).encode() + b"\n")
        shutil.copyfileobj(file, out)
    rows: list[list[str]] = []
    with (
        path.open(encoding="utf-8", errors="replace", newline="") as text,
        suppress(csv.Error),
    ):  # cells that are too long
        rows.extend(islice(csv.reader(text, delimiter=mark), 1, TYPED_ROWS))
    cells = zip(names, zip_longest(*rows, fillvalue=""), strict=False)
    kinds = [WKT if name == shape else _kind(column) for name, column in cells] or ["String"] * len(names)
    copy.with_suffix(".csvt").write_text(",".join(f'"{kind}"' for kind in kinds), encoding="utf-8")
    beside = path.with_suffix(".prj")
    if {name.lower() for name in names} >= OPEN_BUILDINGS:
        import pyproj

        copy.with_suffix(".prj").write_text(pyproj.CRS("EPSG:4326").to_wkt("WKT1_GDAL"), encoding="utf-8")
    elif beside.is_file():
        shutil.copyfile(beside, copy.with_suffix(".prj"))
    return copy


def _kind(cells: Sequence[str]) -> str:
    """Return GDAL's type name for a column of these cells: whole numbers, numbers or text."""
    values = [cell for cell in cells if cell.strip()]
    for kind, pattern in NUMBERS.items():
        if values and all(pattern.fullmatch(value.strip()) for value in values):
            return kind
    return "String"


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, which pyarrow reads."""
    return path.is_file() and read_head(path, HEAD_BYTES).startswith(b"PAR1")


@dataclass(frozen=True)
class Coordinates:
    """Coordinates of a table of outlines, and whether they fit its CRS. name : of its file, by which GeoJSON is recognised"""

    table: gpd.GeoDataFrame
    name: str | Path = ""
    remedy: ClassVar[str] = (
        "State their CRS: --footprints-crs EPSG:…, or --footprints-crs pixels if they are in pixels of the image."
    )

    def problem(self, remedy: str = remedy) -> str:
        """Return, without a subject, why most of them are not in the degrees of the CRS, and the remedy; "" if they are."""
        crs, shapes = self.table.crs, self.table.geometry
        if crs is None or not crs.is_geographic:
            return ""
        with np.errstate(invalid="ignore"):
            beyond = (np.abs(shapes.bounds.to_numpy()) > FARTHEST_DEGREES * 2).any(axis=1)
        if beyond.sum() * 2 <= int((~shapes.isna()).sum()):
            return ""
        west, south, east, north = self.table.total_bounds
        message = f"are in {crs.to_string()} (degrees) by their file, but reach from ({west:.6g}, {south:.6g}) to ({east:.6g}, {north:.6g})"
        exchanged = max(abs(west), abs(east)) <= 90 and max(abs(south), abs(north)) <= 180
        return f"{message}: {EXCHANGED}" if exchanged else f"{message}. {remedy}"

    @property
    def are_pixels(self) -> bool:
        """Return whether an image without CRS has them as its pixels: without a CRS, or GeoJSON that is not in degrees."""
        return self.table.crs is None or (GEOJSON.search(str(self.name)) is not None and bool(self.problem()))


def _check(path: Path, name: str, limit_bytes: int) -> None:
    from pyogrio.util import vsi_path

    if vsi_path(str(path)) != str(path):  # pyogrio would open another file than the one checked here
        raise InputError(f"{name} cannot be read by this name: !, ; and line breaks mean something else. Rename it.")
    if path.is_dir():
        if path.suffix.lower() != ".gdb" or not list(path.glob("a0000000*.gdbtable")):
            raise InputError(f"{name} is a folder, and no File Geodatabase. Read are {VECTOR_FORMATS}.")
        return
    head = read_head(path, HEAD_BYTES)
    low = head.lower()
    for mark, kind in MARKS.items():
        if mark in low:
            raise InputError(
                f"{name} could not be read: it is {kind}, which reads other files or goes online. {_REMEDY}"
            )
    if head.startswith((b"fgb\x03", b"\x00\x00\x27\x0a", b"PMTiles")) or head[4:15] == b"\x0a\x09OSMHeader":
        return
    if head.startswith(b"PAR1"):
        _check_parquet(path, name, limit_bytes)
    elif head.startswith(b"SQLite format 3\0"):
        _check_database(path, name)
    else:
        text = head.lstrip(BLANKS)
        if text.startswith((b"{", b"[")):
            _check_crs_not_linked(path, name)
        elif columns := coordinate_columns(path):
            raise InputError(
                f"{name} is a table of points (columns {' and '.join(columns)}), without outlines. Expected a column of polygons as "
                "WKT, called geometry; give outlines of OpenStreetMap or another map, or make points of it: ogr2ogr -oo "
                f"X_POSSIBLE_NAMES={columns[1]} -oo Y_POSSIBLE_NAMES={columns[0]} -a_srs EPSG:4326 points.gpkg {name}"
            )
        elif not (path.suffix.lower() in TABLES and _wkt_columns(path)) and not (
            text.startswith(b"<") and _xml_kind(head)
        ):
            remedy = OF_RASTERS if is_raster(head) else _REMEDY
            raise InputError(f"{name} could not be read: it is {describe_head(head)}, no vector file. {remedy}")


OF_RASTERS = (
    f"Give outlines as {VECTOR_FORMATS}: those of a raster of labels are made by `deepnets4eo polygons`; for buildings, `damage` takes - and "
    "finds them itself. Or was it meant as one of the images, which come first?"
)
_REMEDY = f"Read are {VECTOR_FORMATS}. Turn it into one of them where you trust it: ogr2ogr OUT.gpkg IN"


class _RootFoundError(Exception):
    """Ends the reading of XML at its first element."""


def _xml_kind(head: bytes) -> bool:
    """Return whether XML is KML, GML or OpenStreetMap, by its first element; never with a document type, which has entities."""
    roots: list[str] = []

    def start(name: str, _: Any) -> None:
        roots.append(name)
        raise _RootFoundError

    def refuse(*_: Any) -> None:
        raise _RootFoundError

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, refuse
    with suppress(
        _RootFoundError, expat.ExpatError, ValueError, LookupError
    ):  # the last two: encodings that expat lacks
        parser.Parse(head, False)
    name = roots[0].rpartition(":")[2] if roots else ""
    return name in ("kml", "osm") or (bool(name) and b"opengis.net/gml" in head)


def _check_crs_not_linked(path: Path, name: str) -> None:
    """GDAL would fetch the CRS from where the link leads."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in CRS.finditer(text):
            text_of_crs = text[match.end() : match.end() + MAX_CRS_BYTES].decode("utf-8", "replace")
            try:
                crs, _ = json.JSONDecoder().raw_decode(text_of_crs)
            except (ValueError, RecursionError):
                crs = {"type": "link"}  # not JSON: what GDAL makes of it is unknown
            if isinstance(crs, dict) and str(crs.get("type")).lower() in LINKS:
                raise InputError(
                    f"{name} gives its CRS as a link, which would be fetched. Write it as a name instead, for example "
                    '"crs": {"type": "name", "properties": {"name": "EPSG:32615"}}, or leave it out for longitude and '
                    "latitude."
                )


def _check_database(path: Path, name: str) -> None:
    """GeoPackage and SpatiaLite: tables that are windows on other files, and views that call functions of GDAL's."""
    try:
        with open_database(path) as database:
            entries = database.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{name} could not be read: {error}. Is the file whole?") from error
    for kind, entry, text in entries:
        module = VIRTUAL_TABLE.match(str(text))
        foreign = module is not None and module[1].lower() not in MODULES
        if foreign or (kind in ("view", "trigger") and OWN_FUNCTIONS.search(str(text))):
            raise InputError(
                f"{name} could not be read: its {kind} {entry!r} reads other files or goes online. {_REMEDY}"
            )


def _check_parquet(path: Path, name: str, limit_bytes: int, most_rows: int = MAX_ROWS) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            about = file.metadata
            groups = [about.row_group(number) for number in range(about.num_row_groups)]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name} could not be read as GeoParquet: {error}. Is the file whole?") from error
    if about.num_rows > most_rows:
        raise InputError(f"{name} announces {about.num_rows:,} rows, more than {most_rows:,}. Cut out the area needed.")
    check_unpacked_size(Path(name), sum(group.total_byte_size for group in groups), path.stat().st_size, limit_bytes)


@contextmanager
def _local(name: str, limit_bytes: int) -> Iterator[Path]:
    if not is_remote(name):
        if not Path(name).exists():
            raise InputError(f"{name} does not exist. Check the path; read are {VECTOR_FORMATS}.")
        yield Path(name).absolute()  # absolute: no name can pass for a driver's prefix
        return
    address = urlsplit(name)
    if address.scheme not in WebRequest.schemes:
        raise InputError(f"{name} is no address that vector files are read from: only http(s). {address_remedy(name)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / portable_name(PurePosixPath(address.path).name or "downloaded")
        try:
            download(name, path, lambda written: check_unpacked_size(Path(name), written, written, limit_bytes))
        except WebRequest.errors as error:
            if isinstance(error, InputError):
                raise
            reason = failure_text(error)
            raise InputError(f"{name} could not be downloaded: {reason}. Check the address and the network.") from error
        yield path


class _Offline:
    """The vector library's own GDAL without network while any thread reads: some harmless formats fetch things."""

    def __init__(self) -> None:
        self._lock, self._count, self._before = threading.Lock(), 0, dict[str, Any]()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        import pyogrio

        with self._lock:
            if not self._count:
                self._before = {key: pyogrio.get_gdal_config_option(key) for key in OFFLINE}
                pyogrio.set_gdal_config_options(OFFLINE)
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    pyogrio.set_gdal_config_options(self._before)


_gdal_offline = _Offline()


@contextmanager
def vector_errors(name: str, expected: str = FORMATS) -> Iterator[None]:
    """Turn what reading a vector file may raise into an InputError; open rings are not reported."""
    remedy = f"Expected a whole file in {expected}; was it copied completely, with its companions (.shx, .dbf, .prj)?"
    with warnings.catch_warnings(), Reading(name, remedy, words=_plain_words):
        warnings.filterwarnings("ignore", "Non closed ring")
        yield


def _plain_words(_: BaseException, message: str) -> str:
    """Return a message without GDAL's advice that no user can follow."""
    return OPTION_ADVICE.sub("", message)


def read_ogr(path: Path, name: str, warn: Callable[[str], object] = log.warning, **how: Any) -> gpd.GeoDataFrame:
    """Return what `pyogrio.read_dataframe` reads, within `vector_errors`.

    Text that is not in the file's encoding is read as Latin-1, with a warning. With `layer` and `fid_as_index`, integers are
    those that the file stores, also where the type of their column is too narrow for them.
    """
    import pandas as pd
    import pyogrio

    stored: dict[str, dict[int, Any]] = {}
    if how.get("fid_as_index") and how.get("layer") is not None:
        about = pyogrio.read_info(path, layer=how["layer"])
        stored = stored_integers(path, how["layer"], about)
        how |= {"columns": [field for field in about["fields"] if field not in stored]} if stored else {}
    try:
        table = read_unsorted(pyogrio.read_dataframe, path, **how)
    except UnicodeDecodeError:
        warn(encoding_note(name))
        table = pyogrio.read_dataframe(path, encoding=FALLBACK, **how)
    for column, values in stored.items():
        table[column] = pd.Series([values.get(key) for key in table.index], table.index, dtype=object).convert_dtypes()
    if path.suffix.lower() in TABLES and WKT in table:
        table = table.drop(columns=WKT)
    return without_undefined_crs(table)


def read_unsorted(read: Callable[..., T], path: Path, **how: Any) -> T:
    """Return the result of a pyogrio function, also for OpenStreetMap files of editors, with unordered nodes or ids below 0."""
    from pyogrio.errors import DataSourceError, FeatureError

    try:
        return read(path, **how)
    except (DataSourceError, FeatureError) as error:
        if UNSORTED not in str(error):
            raise
    return read(path, USE_CUSTOM_INDEXING="NO", **how)


def without_undefined_crs(table: Any) -> Any:
    """Return the table without a CRS that declares itself undefined (GeoPackages with the SRS −1)."""
    undefined = table.crs is not None and is_undefined(table.crs) if hasattr(table, "crs") else False
    return table.set_crs(None, allow_override=True) if undefined else table


def is_undefined(crs: Any) -> bool:
    """Return whether a CRS, or the text of a CRS, declares itself undefined and has no place on Earth."""
    return str(getattr(crs, "name", crs)).removeprefix('LOCAL_CS["').removeprefix('ENGCRS["').startswith(UNDEFINED)


def keep_whole_numbers(
    table: gpd.GeoDataFrame, integers: Iterable[str], read: Callable[[list[str]], pyarrow.Table]
) -> gpd.GeoDataFrame:
    """Return the table with the exact numbers of columns `integers`, which are floats because of gaps."""
    import pandas as pd
    import pyarrow

    names = [name for name in integers if table[name].dtype == "float64" and (table[name].abs() >= ROUNDED_FROM).any()]
    if not names:
        return table
    whole = {pyarrow.int64(): pd.Int64Dtype(), pyarrow.uint64(): pd.UInt64Dtype()}
    exact = read(names).to_pandas(types_mapper=whole.get, ignore_metadata=True)
    return table.assign(**{name: exact[name].array for name in names})


def encoding_note(name: str | Path) -> str:
    """Return a note on a file whose text is not in the encoding that it states."""
    return (
        f"{name} holds text that is not in the encoding it states (UTF-8, or what its .cpg says); it is read as {FALLBACK}. "
        "Check names with accents; write the right encoding into the .cpg."
    )
