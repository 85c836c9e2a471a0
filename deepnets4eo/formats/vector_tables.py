"""Vector files as tables: errors of their libraries become errors that name the file, here only.

Takes paths and what pyogrio takes; returns GeoDataFrames. Text that is not in the encoding that a file states is read
as Latin-1, with a warning. Refuses what GDAL, GEOS, PROJ or Arrow cannot read.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow

log = logging.getLogger(__name__)

FORMATS = "GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet"
FALLBACK = "ISO-8859-1"  # takes any byte
UNDEFINED = ("Undefined Cartesian SRS", "Undefined SRS")
ROUNDED_FROM = 2.0**53  # from here on, 64-bit floats leave out whole numbers


@contextmanager
def vector_errors(name: str, expected: str = FORMATS) -> Iterator[None]:
    """Turn what reading a vector file may raise into an InputError; open rings, which GDAL closes, are not reported."""
    import pyarrow
    import pyogrio
    import pyproj
    import shapely

    files = (
        pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError, pyogrio.errors.GeometryError,
        pyogrio.errors.FieldError, pyogrio.errors.CRSError, pyarrow.ArrowException, pyproj.exceptions.ProjError,
        shapely.errors.ShapelyError,
    )  # fmt: skip
    # what their Python parts raise for metadata of the wrong kind, dates that are none, text in no encoding, folders
    # UnboundLocalError: pyogrio's own, for a CRS that GDAL cannot write
    values = (
        UnboundLocalError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
        OSError,
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Non closed ring")
            yield
    except InputError:
        raise
    except (*files, *values) as error:
        reason = str(error) if isinstance(error, (*files, ValueError, OSError)) else repr(error)
        raise InputError(
            f"{name} could not be read: {reason.rstrip('.')}. Expected a whole file in {expected}; was it copied completely, "
            "with its companions (.shx, .dbf, .prj)?"
        ) from error


def read_ogr(path: Path, name: str, **how: Any) -> gpd.GeoDataFrame:
    """`pyogrio.read_dataframe`, and again as Latin-1 where text is not in the encoding that the file states.

    name : as the user gave it, for the warning. Call it within `vector_errors`.
    """
    import pyogrio

    try:
        table = pyogrio.read_dataframe(path, **how)
    except UnicodeDecodeError:
        log.warning("%s", encoding_note(name))
        table = pyogrio.read_dataframe(path, encoding=FALLBACK, **how)
    return without_undefined_crs(table)


def without_undefined_crs(table: Any) -> Any:
    """The table, without the CRS that GDAL gives those that state an undefined one (GeoPackages with the SRS −1)."""
    undefined = table.crs is not None and is_undefined(table.crs) if hasattr(table, "crs") else False
    return table.set_crs(None, allow_override=True) if undefined else table


def is_undefined(crs: Any) -> bool:
    """Whether a CRS, or the text of one, says that it is undefined and has no place on Earth."""
    return str(getattr(crs, "name", crs)).removeprefix('LOCAL_CS["').removeprefix('ENGCRS["').startswith(UNDEFINED)


def keep_whole_numbers(
    table: gpd.GeoDataFrame, integers: Iterable[str], read: Callable[[list[str]], pyarrow.Table]
) -> gpd.GeoDataFrame:
    """The table, with whole numbers that were rounded because a neighbour is missing as they stand in the file.

    A column of integers with a gap comes as floats. integers : columns that are integers in the file. read : gives some of
    them from the file again, every row. Call it within `vector_errors`.
    """
    import pandas as pd
    import pyarrow

    names = [name for name in integers if table[name].dtype == "float64" and (table[name].abs() >= ROUNDED_FROM).any()]
    if not names:
        return table
    whole = {pyarrow.int64(): pd.Int64Dtype(), pyarrow.uint64(): pd.UInt64Dtype()}
    exact = read(names).to_pandas(types_mapper=whole.get, ignore_metadata=True)
    return table.assign(**{name: exact[name].array for name in names})


def encoding_note(name: str | Path) -> str:
    """What to say of a file whose text is not in the encoding that it states."""
    return (
        f"{name} holds text that is not in the encoding it states (UTF-8, or what its .cpg says); it is read as {FALLBACK}. "
        "Check names with accents; write the right encoding into the .cpg."
    )
