"""Ids of footprints: the file's own where usable, as unique text, else row numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from deepnets4eo.errors import InputError
from deepnets4eo.osm.elements import with_way_ids
from deepnets4eo.outputs import Phrase

# In order of trust; compared without regard to case. The file's own row keys are the last resort.
ID_COLUMNS = (
    "id",
    "uid",
    "uuid",
    "building_id",
    "bldg_id",
    "footprint_id",
    "osm_id",
    "osm_way_id",
    "@id",
    "osmid",
    "full_id",
    "full_plus_code",
    "objectid",
    "fid",
)
ROW_KEY = "row_key"  # name of a table's index that holds keys or feature ids which the file itself gives


class Ids(NamedTuple):
    """Unique ids (N,): whether row numbers (`made`), how many `renamed`, why a column was not used."""

    texts: np.ndarray
    made: bool
    renamed: int
    passed_over: Phrase | None


def make_ids(table: gpd.GeoDataFrame, id_column: str | None, source: str) -> Ids:
    """Return unique text ids of the named column, the first usable column, the file's row keys, or row numbers."""
    if id_column is not None:
        ids, renamed = _unique(_named(table, id_column, source))
        return Ids(ids, False, renamed, None)
    column, passed_over = usable_column(table)
    if column is not None:
        ids, renamed = _unique(_text(_values(table, column)))
        return Ids(ids, False, renamed, None)
    if table.index.name == ROW_KEY:
        keys = table.index.to_series()
        fault = _fault(keys) or _scarcity(keys)
        if not fault:
            ids, renamed = _unique(_text(keys))
            return Ids(ids, False, renamed, passed_over)
        passed_over = passed_over or Phrase("ids_of_features", {"fault": fault})
    rows = np.array([str(row) for row in range(1, len(table) + 1)], dtype=object)
    return Ids(rows, True, 0, passed_over)


def usable_column(table: gpd.GeoDataFrame) -> tuple[Any, Phrase | None]:
    """Return the first of `ID_COLUMNS` with over half its values distinct, and why the first existing column was rejected.

    Without such a column, return another column whose name ends with "id" and whose values are all distinct, such as `egid`.
    """
    names = {str(column).lower(): column for column in reversed(table.columns)}
    passed_over: Phrase | None = None
    for column in (names[name] for name in ID_COLUMNS if name in names):
        values = _values(table, column)
        fault = _fault(values) or _scarcity(values)
        if not fault:
            return column, None
        passed_over = passed_over or Phrase("ids_of_column", {"column": Phrase.verbatim(repr(column)), "fault": fault})
    for column in table.columns:
        name = str(column).lower()
        if name.endswith("id") and not name.endswith("centroid") and name not in ID_COLUMNS:
            values = _values(table, column)
            if not _fault(values) and values.notna().all() and len(set(_text(values)) - {""}) == len(values):
                return column, None
    return None, passed_over


def _values(table: gpd.GeoDataFrame, column: Any) -> pd.Series:
    """Return a column of ids; "osm_id" contains only relations, and closed ways have their ids in another column."""
    return with_way_ids(table) if column == "osm_id" else table[column]


def _named(table: gpd.GeoDataFrame, column: str, source: str) -> list[str]:
    """Values of the column that the user named."""
    if column not in table.columns or column == table.geometry.name:
        raise InputError(f"footprints {source} have no column {column!r} for ids; they have {_columns(table)}.")
    fault = _fault(table[column])
    if fault:
        raise InputError(
            f"column {column!r} of the footprints {source} gives no ids: it {fault.text()}. Write one id per row as text, "
            f"or call another column id; they have {_columns(table)}."
        )
    return _text(table[column])


def _fault(values: pd.Series) -> Phrase | None:
    """Return the reason why some values are not ids, or None if all are."""
    if any(pd.api.types.is_list_like(value) for value in values):
        return Phrase("ids_lists")
    limit = 2.0 ** (24 if values.dtype == np.float32 else 53)  # from here on, floats leave out whole numbers
    floats = (float(value) for value in values if isinstance(value, (float, np.floating)))
    if any(value.is_integer() and abs(value) >= limit for value in floats):
        return Phrase("ids_rounded")
    return None


def _scarcity(values: pd.Series) -> Phrase | None:
    """Return the reason why too few values are distinct, or None if enough are."""
    different = len(set(_text(values)) - {""})
    if different * 2 > len(values):
        return None
    return Phrase("ids_repeated", {"different": different, "rows": len(values)}) if different else Phrase("ids_empty")


def _text(column: pd.Series) -> list[str]:
    """Values as text, missing ones ''; whole numbers without '.0'."""
    texts = []
    for value in column:
        missing = value is None or value is pd.NA or value is pd.NaT or value != value
        if not missing and isinstance(value, (float, np.floating)) and float(value).is_integer():
            value = int(value)
        texts.append("" if missing else str(value).strip())
    return texts


def _unique(values: list[str]) -> tuple[np.ndarray, int]:
    """Missing values become 'row-<number>'; a repeated id gets '-2', '-3', …."""
    taken, seen, ids, renamed = set(values), set(), [], 0
    turns: dict[str, int] = {}  # the last number tried of each id: from 1 again, many equal ids would take hours
    for row, value in enumerate(values, start=1):
        base = value or f"row-{row}"
        name, turn = base, turns.get(base, 1)
        while name in seen or (turn > 1 and name in taken):
            turn += 1
            name = f"{base}-{turn}"
        turns[base] = turn
        renamed += name != value
        seen.add(name)
        ids.append(name)
    return np.array(ids, dtype=object), renamed


def _columns(table: gpd.GeoDataFrame) -> str:
    return ", ".join(str(column) for column in table.columns if column != table.geometry.name)
