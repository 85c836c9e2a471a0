"""Writing vector layers: the format follows from the suffix, and nothing half-written takes the final name.

Takes a GeoDataFrame, or many of polygons one after the other, and a path; refuses suffixes it has no format for, and outlines in
pixels as GeoJSON."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.formats import write_frame
from deepnets4eo.rasters import is_placed, without_heights
from deepnets4eo.reprojection import in_degrees

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow as pa
    import pyproj

    from deepnets4eo.rasters import Layer

log = logging.getLogger(__name__)
FIXED_TIME = "1980-01-01T00:00:00.000Z"  # as ZIP files have where no time is stated
CHANGE_COUNTERS = (24, 92)  # in the header: file change counter, and the one its page count is valid for
TIME_COLUMNS = {"gpkg_contents": "last_change", "gpkg_metadata_reference": "timestamp", "layer_styles": "update_time"}
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf", ".parquet": "", ".geoparquet": ""}

PARQUET: dict[str, Any] = {"schema_version": "1.1.0", "write_covering_bbox": True}


def check_vector_suffix(path: str | Path) -> Path:
    """Return the path if its suffix names a writable format; else raise InputError with the list of these formats."""
    if Path(path).suffix.lower() not in DRIVERS:
        raise InputError(
            f"{path} ends in {Path(path).suffix or 'nothing'!r}, which names no vector format. "
            f"Expected one of {', '.join(DRIVERS)}."
        )
    return Path(path)


def check_ground(labels: Layer, path: str | Path) -> None:
    """Say what areas mean where labels have no CRS; refuse GeoJSON there, which is read as degrees. Errors: InputError."""
    if is_placed(labels.grid):
        return
    if DRIVERS.get(Path(path).suffix.lower()) == "GeoJSON":
        raise InputError(
            f"{labels.source} has no CRS, but {path} is GeoJSON, whose coordinates are read as degrees. Write a .gpkg, or "
            f'georeference it first, e.g. with gdal_edit.py -a_srs EPSG:32633 -a_ullr LEFT TOP RIGHT BOTTOM "{labels.source}".'
        )
    if labels.grid.crs is not None:  # on a plane in metres
        return
    log.warning(
        "%s has no CRS: lengths and areas are in pixels. State the size of a pixel (--gsd), or assign a CRS for sizes on the "
        "ground.",
        labels.source,
    )


def write_vector(frame: gpd.GeoDataFrame, path: str | Path, layer: str | None = None) -> Path:
    """Write one layer as GeoPackage, GeoJSON (in WGS 84, as its standard prescribes), FlatGeobuf or GeoParquet.

    Errors: InputError (another suffix); OutputError (the file cannot be written).

    Parameters
    ----------
    frame : the features
    path : the file; its suffix (.gpkg, .geojson, .fgb, .parquet, .geoparquet) names the format
    layer : name inside the file, by default the file's own without suffix

    Returns
    -------
    The path.
    """
    path = check_vector_suffix(path)
    driver, frame = DRIVERS[path.suffix.lower()], without_heights(frame)
    with atomic_write(path) as partial:
        if not driver:
            frame.to_parquet(partial, **PARQUET)
            return path
        if driver == "GeoJSON":
            frame = in_degrees(frame)
        add_layer(frame, partial, layer or path.stem, driver)
        if driver == "GPKG":
            set_fixed_times(partial)
    return path


def write_layers(frames: Mapping[str, gpd.GeoDataFrame], path: Path) -> Path:
    """Write a GeoPackage with these layers and no others. Errors: as for `write_vector`."""
    with atomic_write(path) as partial:
        for layer, frame in frames.items():
            add_layer(without_heights(frame), partial, layer, "GPKG")
        set_fixed_times(partial)
    return path


def add_layer(frame: gpd.GeoDataFrame, path: Path, layer: str, driver: str, **options: Any) -> None:
    """Write a layer into a new or existing file, in any CRS. options : as for `pyogrio.write_dataframe`."""
    options = {"geometry_type": _kind(frame), "append": path.exists(), **options}
    if frame.crs is None or _has_wkt1(frame.crs):
        write_frame(frame, path, layer=layer, driver=driver, **options)
    else:
        _add_by_wkt2(frame, path, layer, driver, **options)


def _add_by_wkt2(frame: gpd.GeoDataFrame, path: Path, layer: str, driver: str, **options: Any) -> None:
    """Write a layer whose CRS has no WKT 1, such as a rotated pole, which `pyogrio.write_dataframe` cannot write."""
    import pyarrow as pa
    import pyogrio

    options.pop("use_arrow", None)
    if options.pop("promote_to_multi", False):
        parts, owner = shapely.get_parts(frame.geometry.to_numpy(), return_index=True)
        multi = shapely.multipolygons(parts, indices=owner, out=np.full(len(frame), None, object))
        frame = frame.set_geometry(multi, crs=frame.crs)
    kind = options.pop("geometry_type") or "Unknown"
    pyogrio.write_arrow(
        pa.table(frame.to_arrow(index=False)), path, layer=layer, driver=driver, geometry_name=frame.geometry.name,
        geometry_type=kind, crs=_crs_text(frame.crs), **options,
    )  # fmt: skip


def _has_wkt1(crs: pyproj.CRS) -> bool:
    from pyproj.exceptions import CRSError

    try:
        crs.to_wkt("WKT1_GDAL")
    except CRSError:
        return False
    return True


def _crs_text(crs: pyproj.CRS) -> str:
    """Return a CRS as GDAL reads it: its EPSG code, else WKT 1, which more programs read; WKT 2 if it has no other form."""
    code = crs.to_epsg()
    if code:
        return f"EPSG:{code}"
    return crs.to_wkt("WKT1_GDAL" if _has_wkt1(crs) else "WKT2_2019")


def write_tables(frames: Iterator[gpd.GeoDataFrame], path: str | Path) -> Path:
    """Write tables of polygons as one layer, one after the other, all with the first one's columns and CRS."""
    path = check_vector_suffix(path)
    driver = DRIVERS[path.suffix.lower()]
    first = next(frames)  # before anything is written: an error of reading is none of writing
    flat: Iterator[gpd.GeoDataFrame] = map(without_heights, chain([first], frames))
    with atomic_write(path) as partial:
        if not driver:
            _write_parquet(flat, partial)
            return path
        if driver == "GeoJSON":
            flat = map(in_degrees, flat)
        _write_ogr(flat, partial, path.stem, driver)
        if driver == "GPKG":
            set_fixed_times(partial)
    return path


def _write_parquet(frames: Iterator[gpd.GeoDataFrame], path: Path) -> None:
    """Tables as groups of rows. The bounds of all, which the standard does not require, are left out: they are not known at first."""
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        writer = None
        for frame in frames:
            encoded = io.BytesIO()
            frame.to_parquet(encoded, index=False, **PARQUET)
            table = pq.read_table(encoded)
            if writer is None:
                metadata = dict(table.schema.metadata)
                about = json.loads(metadata[b"geo"])
                about["columns"]["geometry"].pop("bbox", None)
                metadata[b"geo"] = json.dumps(about).encode()
                writer = stack.enter_context(pq.ParquetWriter(path, table.schema.with_metadata(metadata)))
            writer.write_table(table.replace_schema_metadata(metadata))


def _write_ogr(frames: Iterator[gpd.GeoDataFrame], path: Path, layer: str, driver: str) -> None:
    """Tables as a stream of Arrow, which GDAL takes batch by batch."""
    import pyarrow as pa
    import pyogrio

    first, failed = next(frames), list[BaseException]()
    schema = pa.table(first.to_arrow(index=False)).schema
    crs = None if first.crs is None else _crs_text(first.crs)
    kind = "Unknown" if driver == "GeoJSON" else "Polygon"  # outlines cut at the antimeridian have several parts

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for frame in chain([first], frames):
                yield from pa.table(frame.to_arrow(index=False)).to_batches()
        except BaseException as error:
            failed.append(error)
            raise

    stream = pa.RecordBatchReader.from_batches(schema, batches())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # plain pixels have none
        try:
            pyogrio.write_arrow(
                stream, path, layer=layer, driver=driver, geometry_name="geometry", geometry_type=kind, crs=crs
            )
        except RuntimeError:  # that a batch could not be had, without the reason
            if failed:
                raise failed[0] from None
            raise


def set_fixed_times(path: Path) -> None:
    """Put fixed times and a fixed count of changes into a GeoPackage, so that equal layers make equal files."""
    with closing(sqlite3.connect(path)) as database, database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column in TIME_COLUMNS.items():
            if table in tables:
                database.execute(f"UPDATE {table} SET {column} = ?", (FIXED_TIME,))
    with path.open("r+b") as file:
        for offset in CHANGE_COUNTERS:  # the two must be equal
            file.seek(offset)
            file.write((1).to_bytes(4, "big"))


def _kind(frame: gpd.GeoDataFrame) -> str | None:
    """Return the geometry type, also for an empty layer of polygons, so that other programs recognise it."""
    kinds = set(frame.geometry.geom_type.dropna())
    return "Polygon" if kinds <= {"Polygon"} else None
