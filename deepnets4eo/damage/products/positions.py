"""Buildings in WGS 84, piece by piece, for formats that know no other CRS.

Takes a table of buildings with a CRS; yields columns and outlines of some thousand rows at a time, so that memory does
not grow with the city.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.footprints.repair import cut_at_antimeridian, eastward
from deepnets4eo.polygons.vertices import centres, map_shapes

if TYPE_CHECKING:
    import geopandas as gpd

ROWS = 20_000
DECIMALS = 7  # of a degree: a centimetre
SHARE_DECIMALS = 4
PROPERTIES = ("id", "damage", "damage_prob", "confidence", "damage_set", "status", "reason", "method")
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Piece:
    """Some buildings: column name to values (None where missing), and their outlines in longitude and latitude."""

    columns: dict[str, list[Any]]
    shapes: NDArray[np.object_]


def has_position(crs: Any) -> bool:
    """Whether coordinates in this CRS have a longitude and latitude: false for plain pixels and local engineering CRSs."""
    if crs is None:
        return False
    try:
        pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    except pyproj.exceptions.ProjError:
        return False
    return True


def pieces(buildings: gpd.GeoDataFrame, rows: int = ROWS) -> Iterator[Piece]:
    """The buildings in their order, at most `rows` at a time.

    Outlines follow RFC 7946: WGS 84, outer rings counterclockwise, cut at the antimeridian, 7 decimals. Probabilities
    have 4 decimals. Errors: InputError for buildings without a position on the earth.
    """
    if not has_position(buildings.crs):
        raise InputError("the buildings have no CRS, so they have no longitude and latitude. Give images with a CRS.")
    to_lonlat = pyproj.Transformer.from_crs(buildings.crs, 4326, always_xy=True)
    for start in range(0, len(buildings), rows):
        part = buildings.iloc[start : start + rows]
        yield Piece({name: _values(part[name]) for name in PROPERTIES}, _lonlat(part.geometry.to_numpy(), to_lonlat))


def middles(shapes: NDArray[np.object_]) -> NDArray[np.float64]:
    """Centroids of outlines as `pieces` gives them: (N, 2) float64, longitude −180 to 180 and latitude, NaN for no shape."""
    left, _, right, _ = shapely.bounds(shapes).T
    halves = right - left > 180  # cut at the antimeridian: both parts side by side again
    whole = shapes.copy()
    whole[halves] = shapely.transform(shapes[halves], eastward)
    lon, lat = centres(whole).T
    return np.column_stack([np.where(lon > 180, lon - 360, lon), lat])


def xml_text(value: Any) -> str:
    """Text for XML 1.0: escaped, characters that it cannot hold replaced by a question mark."""
    text = NOT_IN_XML.sub("?", str(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lonlat(shapes: NDArray[np.object_], to_lonlat: pyproj.Transformer) -> NDArray[np.object_]:
    outlines = map_shapes(shapes, lambda xy: np.column_stack(to_lonlat.transform(xy[:, 0], xy[:, 1])))
    outlines = cut_at_antimeridian(outlines)
    outlines = shapely.orient_polygons(outlines, exterior_cw=False)
    rounded: NDArray[np.object_] = shapely.set_coordinates(
        outlines, np.round(shapely.get_coordinates(outlines), DECIMALS)
    )
    return rounded


def _values(column: Any) -> list[Any]:
    """Plain values; None for what is missing, "" where the map has an empty text."""
    if column.dtype.kind == "f":
        rounded = np.round(column.to_numpy(float), SHARE_DECIMALS)
        return [None if missing else value for value, missing in zip(rounded.tolist(), np.isnan(rounded), strict=True)]
    return [None if missing else str(value) for value, missing in zip(column.tolist(), column.isna(), strict=True)]
