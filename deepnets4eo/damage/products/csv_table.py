"""damage.csv: one row per building with latitude and longitude of its centroid, for spreadsheets.

Takes a DamageMap whose buildings have a CRS; refuses others. No cell is a formula.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from deepnets4eo.damage.products.positions import DECIMALS, PROPERTIES, pieces
from deepnets4eo.files import atomic_write
from deepnets4eo.outputs.csv_cells import csv_text

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent


def write_csv(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write id, latitude, longitude (degrees, WGS 84) and the grade's columns. Memory: one piece.

    Errors: InputError for buildings without a position on the earth; OutputError when the disk refuses.
    """
    path = Path(path)
    first, *others = PROPERTIES
    with (
        atomic_write(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        stream.write(csv_text([[first, "latitude", "longitude", *others]]))
        for piece in pieces(damage_map.buildings):
            middle = shapely.centroid(piece.shapes)
            degrees = (np.round(axis(middle), DECIMALS).tolist() for axis in (shapely.get_y, shapely.get_x))
            known = ([None if value != value else value for value in values] for values in degrees)
            stream.write(
                csv_text(zip(piece.columns[first], *known, *(piece.columns[name] for name in others), strict=True))
            )
    return path
