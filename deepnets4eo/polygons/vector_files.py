"""Writing vector layers: the format follows from the suffix, and nothing half-written takes the final name.

Takes a GeoDataFrame and a path; refuses suffixes it has no format for, and outlines in pixels as GeoJSON."""

from __future__ import annotations

import logging
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.rasters.plane_crs import is_placed, without_heights

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.rasters.scene import Layer

log = logging.getLogger(__name__)
FIXED_TIME = "1980-01-01T00:00:00.000Z"  # as ZIP files have where no time is stated
CHANGE_COUNTERS = (24, 92)  # in the header: file change counter, and the one its page count is valid for
TIME_COLUMNS = {"gpkg_contents": "last_change", "gpkg_metadata_reference": "timestamp", "layer_styles": "update_time"}
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf", ".parquet": "", ".geoparquet": ""}


def check_vector_suffix(path: str | Path) -> Path:
    """The path, if its suffix names a format that can be written; else InputError lists those that do."""
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
            f'assign the CRS first, e.g. with gdal_edit.py -a_srs EPSG:32633 "{labels.source}".'
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

    Parameters
    ----------
    frame : the features
    path : the file; its suffix (.gpkg, .geojson, .fgb, .parquet, .geoparquet) names the format
    layer : name inside the file, by default the file's own without suffix

    Returns
    -------
    The path.

    Raises
    ------
    InputError
        Another suffix.
    OutputError
        The file cannot be written.

    Examples
    --------
    ::

        write_vector(polygonize(Layer.open("labels.tif")), "regions.gpkg")
    """
    import pyogrio

    path = check_vector_suffix(path)
    driver, frame = DRIVERS[path.suffix.lower()], without_heights(frame)
    with atomic_write(path) as partial:
        if not driver:
            frame.to_parquet(partial, schema_version="1.1.0", write_covering_bbox=True)
            return path
        if driver == "GeoJSON" and frame.crs is not None:
            frame = frame.to_crs("EPSG:4326")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # plain pixels have none
            pyogrio.write_dataframe(frame, partial, layer=layer or path.stem, driver=driver, geometry_type=_kind(frame))
        if driver == "GPKG":
            set_fixed_times(partial)
    return path


def set_fixed_times(path: Path) -> None:
    """Put one fixed time into a GeoPackage's fields for the last change, so that equal layers make equal files.
    SQLite's count of changes, which differs with the driver's transactions, gets a fixed value as well."""
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
    """The geometry type, also of an empty layer of polygons, so that other programs know it."""
    kinds = set(frame.geometry.geom_type.dropna())
    return "Polygon" if kinds <= {"Polygon"} else None
