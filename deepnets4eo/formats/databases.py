"""Integers of GeoPackage and SQLite files as they are stored, if the declared type of their column is too narrow for them.

SQLite stores any value in any column. GDAL reads the declared type: larger numbers wrap around, text becomes 0, and columns
of an unknown type are left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

DRIVERS = ("GPKG", "SQLite")
WHOLE = "INT"  # in the declared type of a column that SQLite takes as one of integers
POINT = "POINT"  # a column of geometry
ROUNDED_FLOAT = 2**24  # from here on, 32-bit floats leave out whole numbers


@contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file without writing to it; not even a lock is written if there is no journal."""
    alone = not any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal"))
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    with closing(sqlite3.connect(address, uri=True)) as database:
        database.text_factory = lambda text: text.decode("utf-8", "replace")
        yield database


def stored_integers(path: Path, layer: str, about: Mapping[str, Any]) -> dict[str, dict[int, Any]]:
    """Return column → row key → value of the columns that GDAL would change.

    Parameters
    ----------
    path : of a file that `vector_file` yields
    layer : name of the layer
    about : what `pyogrio.read_info` reports about the layer
    """
    key = about["fid_column"]
    if about["driver"] not in DRIVERS or not key:
        return {}
    kinds = {str(name): str(kind) for name, kind in zip(about["fields"], about["dtypes"], strict=True)}
    with suppress(sqlite3.Error), open_database(path) as database:
        declared = {
            str(name): str(kind).upper()
            for _, name, kind, *_ in database.execute(f"PRAGMA table_info({_quoted(layer)})")
        }
        suspects = [name for name, kind in declared.items() if name != key and _may_change(kind, kinds.get(name))]
        changed = [name for name in suspects if _changes(database, layer, name, kinds.get(name))]
        return {
            name: dict(database.execute(f"SELECT {_quoted(key)}, {_quoted(name)} FROM {_quoted(layer)}").fetchall())
            for name in changed
        }
    return {}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _may_change(declared: str, kind: str | None) -> bool:
    return (
        (WHOLE in declared and POINT not in declared) if kind is None else kind.startswith("int") or kind == "float32"
    )


def _changes(database: sqlite3.Connection, layer: str, name: str, kind: str | None) -> bool:
    """Return whether a column has values that do not fit the type that GDAL reads it as."""
    column, table = _quoted(name), _quoted(layer)
    if kind is None:
        return True
    if kind == "float32":
        query = f"SELECT 1 FROM {table} WHERE abs({column}) >= {ROUNDED_FLOAT} LIMIT 1"
    else:
        limits = np.iinfo(kind)
        query = (
            f"SELECT 1 FROM {table} WHERE {column} IS NOT NULL AND (typeof({column}) <> 'integer' "
            f"OR {column} NOT BETWEEN {limits.min} AND {limits.max}) LIMIT 1"
        )
    return database.execute(query).fetchone() is not None
