"""Ids of footprints: the file's own where it has usable ones, as unique text; row numbers where it has none.

Takes the table of a vector file; refuses an id column that the file lacks.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd

from deepnets4eo.errors import InputError

# In order of trust; compared without regard to case. The GeoPackage's own row key `fid` is the last resort.
ID_COLUMNS = (
    "id",
    "uid",
    "uuid",
    "building_id",
    "bldg_id",
    "footprint_id",
    "osm_id",
    "@id",
    "osmid",
    "full_plus_code",
    "objectid",
    "fid",
)


def make_ids(table: gpd.GeoDataFrame, id_column: str | None, source: str) -> tuple[np.ndarray, bool, int]:
    """Unique text ids (N,), whether they were made up, and how many missing or repeated ones were replaced.

    A column found by name alone is used when more than half of its values are there and differ: files come with an
    `id` that is 0 or empty in every row.
    """
    names = {str(column).lower(): column for column in reversed(table.columns)}
    if id_column is not None and id_column not in table.columns:
        raise InputError(f"footprints {source} have no column {id_column!r} for ids; they have {_columns(table)}.")
    candidates = [id_column] if id_column is not None else [names[name] for name in ID_COLUMNS if name in names]
    for column in candidates:
        values = _text(table[column])
        if id_column is not None or len(set(values) - {""}) * 2 > len(values):
            ids, renamed = _unique(values)
            return ids, False, renamed
    if table.index.name == "fid" and source.lower().endswith(".gpkg"):
        return table.index.astype(str).to_numpy(dtype=object), False, 0
    return np.array([str(row) for row in range(1, len(table) + 1)], dtype=object), True, 0


def _text(column: pd.Series) -> list[str]:
    """Values as text, missing ones ''; whole numbers lose the '.0' that a missing neighbour gave them."""
    texts = []
    for value in column:
        missing = value is None or value is pd.NA or value is pd.NaT or value != value
        if not missing and isinstance(value, (float, np.floating)) and float(value).is_integer():
            value = int(value)
        texts.append("" if missing else str(value).strip())
    return texts


def _unique(values: list[str]) -> tuple[np.ndarray, int]:
    """Missing values become 'row-<number>'; a repeated id gets '-2', '-3', … from its second time on."""
    taken, seen, ids, renamed = set(values), set(), [], 0
    for row, value in enumerate(values, start=1):
        base = value or f"row-{row}"
        name, turn = base, 1
        while name in seen or (turn > 1 and name in taken):
            turn += 1
            name = f"{base}-{turn}"
        renamed += name != value
        seen.add(name)
        ids.append(name)
    return np.array(ids, dtype=object), renamed


def _columns(table: gpd.GeoDataFrame) -> str:
    return ", ".join(str(column) for column in table.columns if column != table.geometry.name)
