"""The buildings in formats for other programs: CSV, GeoJSON, KML and vector tiles, in longitude and latitude."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Geometries
from deepnets4eo.damage.products.crosswalk import has_position
from deepnets4eo.damage.products.summary import area_rows, caveats, description_lines
from deepnets4eo.damage.table.vocabulary import QUARTERS, TITLES, UNGRADED, colors, worst_first
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write, plain
from deepnets4eo.formats import write_frame
from deepnets4eo.outputs import csv_text
from deepnets4eo.polygons import centres, map_shapes
from deepnets4eo.reprojection import cut_at_antimeridian

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.products.content import DamageMapContent

ROWS = 20_000
DECIMALS = 7  # of a degree: a centimetre
SHARE_DECIMALS = 4
PROPERTIES = ("id", "damage", "damage_prob", "confidence", "damage_set", "status", "reason", "method")
RANK = "damage_rank"  # of maps that do not show how many buildings are damaged
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class BuildingRows:
    """Some buildings: column name to values (None if missing), and their outlines in longitude and latitude."""

    columns: dict[str, list[Any]]
    shapes: Geometries


def pieces(buildings: gpd.GeoDataFrame, rows: int = ROWS, *, unplaced: bool = False) -> Iterator[BuildingRows]:
    """Yield the buildings in order, `rows` at a time, with outlines as in RFC 7946. Raises InputError.

    Outlines stay unchanged if the buildings have no position and may be `unplaced`."""
    has_degrees = has_position(buildings.crs)
    if not has_degrees and not unplaced:
        raise InputError("the buildings have no CRS, so they have no longitude and latitude. Give images with a CRS.")
    to_lonlat = pyproj.Transformer.from_crs(buildings.crs, 4326, always_xy=True) if has_degrees else None
    for start in range(0, len(buildings), rows):
        part = buildings.iloc[start : start + rows]
        shapes = part.geometry.to_numpy()
        shapes = shapes if to_lonlat is None else in_lonlat(shapes, to_lonlat)
        yield BuildingRows({name: _values(part[name]) for name in properties_of(buildings)}, shapes)


def properties_of(buildings: gpd.GeoDataFrame) -> list[str]:
    """Return the columns that these formats have of a building."""
    return [*PROPERTIES, *([RANK] if RANK in buildings.columns else [])]


def middles(shapes: Geometries) -> NDArray[np.float64]:
    """Return (N, 2) longitude −180 to 180 and latitude of the centroids of outlines of `pieces`, NaN for no shape."""
    left, _, right, _ = shapely.bounds(shapes).T
    halves = right - left > 180  # cut at the antimeridian: both parts side by side again
    whole = shapes.copy()
    whole[halves] = shapely.transform(shapes[halves], _eastward)
    lon, lat = centres(whole).T
    return np.column_stack([np.where(lon > 180, lon - 360, lon), lat])


def _eastward(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees (N, 2) with longitudes from 0 to 360."""
    return np.column_stack([xy[:, 0] % 360.0, xy[:, 1]])


def clean_text(value: Any) -> str:
    """Return a value as text, with a question mark for each character that XML cannot contain."""
    return NOT_IN_XML.sub("?", str(value))


def xml_text(value: Any) -> str:
    """Escape text for XML 1.0; characters that XML lacks are replaced by a question mark."""
    text = clean_text(value)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def in_lonlat(shapes: Geometries, to_lonlat: pyproj.Transformer) -> Geometries:
    """Return outlines (N,) in longitude and latitude, cut at the antimeridian, counterclockwise, 7 decimals (RFC 7946)."""
    outlines = map_shapes(shapes, lambda xy: np.column_stack(to_lonlat.transform(xy[:, 0], xy[:, 1])))
    outlines = cut_at_antimeridian(outlines)
    outlines = shapely.orient_polygons(outlines, exterior_cw=False)
    rounded: Geometries = shapely.set_coordinates(outlines, np.round(shapely.get_coordinates(outlines), DECIMALS))
    return rounded


def _values(column: Any) -> list[Any]:
    """Plain values; None for what is missing."""
    if column.dtype.kind == "f":
        rounded = np.round(column.to_numpy(float), SHARE_DECIMALS)
        return [None if missing else value for value, missing in zip(rounded.tolist(), np.isnan(rounded), strict=True)]
    return [None if missing else str(value) for value, missing in zip(column.tolist(), column.isna(), strict=True)]


def write_csv(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write id, position, the grade's columns and the event's columns. Raises OutputError.

    The position is latitude and longitude, or y and x of an image without a position on the Earth: row and column in pixels
    unless the map states otherwise."""
    path = Path(path)
    first, *others = properties_of(damage_map.buildings)
    event = damage_map.event.columns_of_rows(synthetic=damage_map.synthetic)
    with (
        atomic_write(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        has_degrees = has_position(damage_map.buildings.crs)
        stream.write(csv_text([[first, *(("latitude", "longitude") if has_degrees else ("y", "x")), *others, *event]]))
        for piece in pieces(damage_map.buildings, unplaced=True):
            lon, lat = middles(piece.shapes).T if has_degrees else centres(piece.shapes).T
            degrees = (np.round(axis, DECIMALS).tolist() for axis in (lat, lon))
            known = ([None if value != value else value for value in values] for values in degrees)
            same = ([value] * len(piece.columns[first]) for value in event.values())
            columns = (piece.columns[name] for name in others)
            stream.write(csv_text(zip(piece.columns[first], *known, *columns, *same, strict=True)))
    return path


def write_areas_csv(areas: gpd.GeoDataFrame, path: Path) -> Path:
    """Write the counts of areas, a row each."""
    rows = area_rows(areas)
    with atomic_write(path) as partial:
        text = csv_text([list(areas.columns.drop(areas.geometry.name)), *(list(row.values()) for row in rows)])
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    return path


def write_geojson(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write a feature a line, with event, findings and caveats of the collection. Errors: InputError, OutputError."""
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


TILE_DRIVERS = {".pmtiles": "PMTiles", ".mbtiles": "MBTiles"}
# A tile is 2.4 km wide at the first, so that it holds some thousand buildings: GDAL thins out fuller ones, which takes minutes. Programs
# magnify those of the last, whose coordinates are 30 cm apart.
ZOOMS = {"MINZOOM": 14, "MAXZOOM": 15}


def write_tiles(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write vector tiles, PMTiles or MBTiles by the suffix, at zooms 14 and 15. Errors: InputError, OutputError."""
    import geopandas as gpd

    path = Path(path)
    parts = list(pieces(damage_map.buildings))
    columns = {
        name: [value for part in parts for value in part.columns[name]] for name in properties_of(damage_map.buildings)
    }
    shapes = np.concatenate([part.shapes for part in parts]) if parts else np.zeros(0, object)
    described = {"NAME": damage_map.title, "DESCRIPTION": "\n".join(description_lines(damage_map))}
    with atomic_write(path) as partial:
        write_frame(
            gpd.GeoDataFrame(columns, geometry=shapes, crs=4326), partial, layer="buildings",
            driver=TILE_DRIVERS[path.suffix], geometry_type="MultiPolygon", promote_to_multi=True, **ZOOMS, **described,
        )  # fmt: skip
        west, _, east, _ = shapely.total_bounds(shapes)
        if east - west > 180:  # GDAL takes the middle of these for the centre, which is half of the Earth away
            _open_at(partial, *_centre(shapes), zoom=ZOOMS["MINZOOM"])
    return path


def _centre(shapes: Geometries) -> tuple[float, float]:
    """Longitude −180 to 180 and latitude of the middle of outlines on both sides of the antimeridian."""
    points = _eastward(middles(shapes))
    lon, lat = (np.nanmin(points, axis=0) + np.nanmax(points, axis=0)) / 2
    return float(lon - 360 if lon > 180 else lon), float(lat)


CENTRE_IN_HEADER = 119  # of PMTiles 3: longitude and latitude in 1e-7 degrees, as 32-bit integers


def _open_at(path: Path, lon: float, lat: float, zoom: int) -> None:
    """Write the position that programs show when they open an archive of tiles."""
    if path.suffix == ".pmtiles":
        with path.open("r+b") as file:
            file.seek(CENTRE_IN_HEADER)
            file.write(struct.pack("<ii", round(lon * 1e7), round(lat * 1e7)))
        return
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE metadata SET value = ? WHERE name = 'center'", (f"{lon:.{DECIMALS}f},{lat:.{DECIMALS}f},{zoom}",)
        )


HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document>\n'
FILL = "40"  # opacity of the fill in hexadecimal, of ff
WIDTH_PX = 2
POINT = f"%.{DECIMALS}f,%.{DECIMALS}f "


def write_kml(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write KML 2.2, with event, findings and caveats as description. Errors: InputError, OutputError."""
    path = Path(path)
    grades = damage_map.table.classes.to_numpy(str)
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(HEAD + _description(damage_map) + "".join(_styles(damage_map.table.shown_classes)))
        for grade in worst_first(damage_map.table.shown_classes):
            stream.write(f"<Folder><name>{TITLES[grade]}</name>\n")
            for piece in pieces(damage_map.buildings[grades == grade]):
                _write_placemarks(stream, piece, grade, damage_map.table.ranked)
            stream.write("</Folder>\n")
        stream.write("</Document>\n</kml>\n")
    return path


def _description(damage_map: DamageMapContent) -> str:
    title = ("SYNTHETIC " if damage_map.synthetic else "") + damage_map.title
    text = "\n".join(description_lines(damage_map))
    return f"<name>{xml_text(title)}</name>\n<description>{xml_text(text)}</description>\n"


def _styles(classes: Sequence[str]) -> Iterator[str]:
    palette = colors()
    for grade in classes:
        red, green, blue = palette[grade]
        color = f"{blue:02x}{green:02x}{red:02x}"  # the order of KML, after the opacity
        yield (
            f'<Style id="{grade}"><LineStyle><color>ff{color}</color><width>{WIDTH_PX}</width></LineStyle>'
            f"<PolyStyle><color>{FILL}{color}</color></PolyStyle></Style>\n"
        )


def _write_placemarks(stream: IO[str], piece: BuildingRows, grade: str, ranked: int) -> None:
    names = ("id", "damage_prob", "confidence", "damage_set", "status", "reason", "method")
    ranks = piece.columns.get(RANK, [None] * len(piece.shapes))
    for name, *values, geometry, rank in zip(
        *(piece.columns[name] for name in names), _geometries(piece.shapes), ranks, strict=True
    ):
        words = _rank_words(rank, ranked, values[2]) if grade in QUARTERS else _words(grade, *values)
        stream.write(
            f"<Placemark><name>{xml_text(name)}</name><description>{xml_text(words)}</description>"
            f"<styleUrl>#{grade}</styleUrl>{geometry}</Placemark>\n"
        )


def _words(
    grade: str, prob: float | None, confidence: float | None, grades: str | None, status: str, reason: str, method: str
) -> str:
    if grade == UNGRADED:
        return f"{TITLES[grade]}: {reason or status}"
    possible = f", not excluded: {grades.replace(',', ', ')}" if grades else ""
    return f"{TITLES[grade]}. Probability of major damage or worse {prob}, confidence {confidence}{possible}, method {method}."


def _rank_words(rank: float, ranked: int, grades: str | None) -> str:
    possible = f" Not excluded: {grades.replace(',', ', ')}." if grades else ""
    return f"Damaged or not is not known. Rank {rank:.0f} of {ranked} by probable damage.{possible}"


def _geometries(shapes: Geometries) -> list[str]:
    """Return a Polygon for each shape, or a MultiGeometry of several."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    bounds: list[str] = [""] * len(parts)
    for part, ring in zip(part_of_ring.tolist(), _rings(rings), strict=True):
        side = "inner" if bounds[part] else "outer"
        bounds[part] += f"<{side}BoundaryIs>{ring}</{side}BoundaryIs>"
    polygons: list[list[str]] = [[] for _ in shapes]
    for shape, bound in zip(shape_of_part.tolist(), bounds, strict=True):
        polygons[shape].append(f"<Polygon>{bound}</Polygon>")
    return [texts[0] if len(texts) == 1 else f"<MultiGeometry>{''.join(texts)}</MultiGeometry>" for texts in polygons]


def _rings(rings: Geometries) -> Iterator[str]:
    points = shapely.get_coordinates(rings).ravel().tolist()
    ends = np.cumsum(shapely.get_num_coordinates(rings) * 2).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        text = POINT * ((end - start) // 2) % tuple(points[start:end])
        yield f"<LinearRing><coordinates>{text[:-1]}</coordinates></LinearRing>"
