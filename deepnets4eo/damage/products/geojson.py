"""damage.geojson: the buildings as RFC 7946 says, for programs and web maps.

Takes a DamageMap whose buildings have a CRS; refuses others. Evidence is left out: it is in damage.gpkg.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from deepnets4eo.damage.products.positions import pieces
from deepnets4eo.damage.products.summary import caveats
from deepnets4eo.files import atomic_write, plain

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent


def write_geojson(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write a feature a line; event, findings and caveats are members of the collection. Memory: one piece.

    Errors: InputError for buildings without a position on the earth; OutputError when the disk refuses.
    """
    path = Path(path)
    head = {
        "type": "FeatureCollection",
        "title": damage_map.title,
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
        "caveats": caveats(damage_map),
    }
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(json.dumps(plain(head), ensure_ascii=False, allow_nan=False)[:-1] + ', "features": [')
        separator = "\n"
        for piece in pieces(damage_map.buildings):
            rows = zip(*piece.columns.values(), strict=True)
            shapes = np.array(piece.shapes, object)
            shapes[shapely.is_empty(shapes)] = None  # RFC 7946 has no empty rings
            for geometry, row in zip(shapely.to_geojson(shapes), rows, strict=True):
                properties = json.dumps(dict(zip(piece.columns, row, strict=True)), ensure_ascii=False)
                stream.write(
                    f'{separator}{{"type":"Feature","geometry":{geometry or "null"},"properties":{properties}}}'
                )
                separator = ",\n"
        stream.write("\n]}\n")
    return path
