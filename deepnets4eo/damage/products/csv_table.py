"""damage.csv: one row per building with latitude and longitude of its centroid, for spreadsheets.

Takes a DamageMap whose buildings have a CRS; refuses others. No cell is a formula. What is known of the event is in every
row: a table has no other place for it, and rows of several events are put together. UTF-8 without a byte order mark, which
would become part of the name of the first column for programs that do not expect it. The page saves the same columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepnets4eo.damage.products.positions import DECIMALS, PROPERTIES, middles, pieces
from deepnets4eo.files import atomic_write
from deepnets4eo.outputs.csv_cells import csv_text

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent


def write_csv(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write id, latitude, longitude (degrees, WGS 84), the grade's columns and those of the event. Memory: one piece.

    Errors: InputError for buildings without a position on the earth; OutputError when the disk refuses.
    """
    path = Path(path)
    first, *others = PROPERTIES
    event = damage_map.event.columns_of_rows(synthetic=damage_map.synthetic)
    with (
        atomic_write(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        stream.write(csv_text([[first, "latitude", "longitude", *others, *event]]))
        for piece in pieces(damage_map.buildings):
            lon, lat = middles(piece.shapes).T
            degrees = (np.round(axis, DECIMALS).tolist() for axis in (lat, lon))
            known = ([None if value != value else value for value in values] for values in degrees)
            same = ([value] * len(piece.columns[first]) for value in event.values())
            columns = (piece.columns[name] for name in others)
            stream.write(csv_text(zip(piece.columns[first], *known, *columns, *same, strict=True)))
    return path
