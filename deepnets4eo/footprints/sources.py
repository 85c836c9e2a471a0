"""Outlines of buildings in a box of degrees, with origin and date: from files, or online from OpenStreetMap or Overture Maps."""

from __future__ import annotations

import json
import logging
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from deepnets4eo.addresses import file_name_of
from deepnets4eo.arrays import Mask
from deepnets4eo.degree_boxes import Box, box_parts, box_shape, box_text, check_box
from deepnets4eo.errors import InputError
from deepnets4eo.footprints.days import parse_days
from deepnets4eo.footprints.files import read_table
from deepnets4eo.footprints.read import date_column, read_footprints
from deepnets4eo.formats import (
    Session,
    WebRequest,
    check_online,
    failure_text,
    is_parquet,
    read_ogr,
    split_layer,
    vector_errors,
    vector_file,
)
from deepnets4eo.jobs import new_output
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.osm.elements import ElementTags, closed_ways, lacks_nodes, no_buildings, with_incomplete, with_way_ids
from deepnets4eo.osm.incomplete import incomplete_elements
from deepnets4eo.osm.reading import OsmFiles
from deepnets4eo.outputs import count_of
from deepnets4eo.polygons import write_vector
from deepnets4eo.reprojection import to_crs

log = logging.getLogger(__name__)

OSM, OVERTURE = "osm", "overture"
SERVER_ENDS = "/interpreter"
OVERPASS = f"https://overpass-api.de/api{SERVER_ENDS}"
SERVER_S = 180  # that the server may take for one square
ANSWER_S, MAX_ANSWER_BYTES = 300, 1 << 30  # until its answer is here
SQUARE_DEGREES, MAX_SQUARES = 0.1, 100  # of one request, and in all: a large city
FIRST_DAY = pd.Timestamp("2004-08-09", tz="UTC")  # of OpenStreetMap; an earlier one stands where a file has none
COLUMNS = ("id", "source", "source_date", "building")
STANDING = ("building", "location")  # tags that say whether a building stands above the ground


@dataclass(frozen=True)
class BuildingOutlines:
    """Outlines as rows of COLUMNS and geometry in degrees, and whom to name as their source."""

    frame: gpd.GeoDataFrame
    credit: str


def find_buildings(
    source: str | Path, box: Box, *, online: bool = False, progress: Callable[[float], None] | None = None
) -> BuildingOutlines:
    """Return the outlines of buildings that meet a box.

    Errors: InputError for a wrong or too large box; a service without `online`, or that does not answer in full; no building.

    Parameters
    ----------
    source
        A file: OpenStreetMap (.osm, .osm.bz2, .pbf), GeoParquet of Overture Maps, or any other vector file of outlines. With `online`
        also "osm" for OpenStreetMap by its Overpass server, another such server (its address ends in /interpreter), or "overture"
        for the latest release of Overture Maps (extra `overture`).
    box : west, south, east and north, degrees; west is greater than east across 180°
    online : whether a service on the internet may be used
    progress : called with the share (0-1) of squares that have arrived

    Returns
    -------
    Whole outlines, even if they extend beyond the box, without duplicates.
    """
    box, name = check_box(box), str(source)
    server = OVERPASS if name == OSM else name
    if name != OVERTURE and not server.endswith(SERVER_ENDS):
        outlines = BuildingOutlines(_read(_from_file, name, box), "")
    elif not online:
        raise InputError(
            f"buildings of {name} would be downloaded. Add --online, or give an extract on this computer: .osm.pbf as Geofabrik offers "
            "it, or GeoParquet of Overture Maps."
        )
    elif name != OVERTURE:
        check_online("buildings of OpenStreetMap")
        outlines = BuildingOutlines(_read(_from_overpass, server, box, progress), "© OpenStreetMap contributors, ODbL")
    else:
        check_online("buildings of Overture Maps")
        outlines = BuildingOutlines(
            _read(_from_overture, OVERTURE, box), "Overture Maps Foundation, ODbL; sources in the column source"
        )
    if not len(outlines.frame):
        raise InputError(
            f"{name} has no building within {box_text(box)} (west, south, east, north). Check the box, or take another source."
        )
    return outlines


def _read(reader: Callable[..., gpd.GeoDataFrame], name: str, *how: Any) -> gpd.GeoDataFrame:
    """Read the table of a source. Errors: InputError, which names the source."""
    with vector_errors(f"buildings of {name}", OsmFiles.formats):
        return reader(name, *how)


def write_buildings(outlines: BuildingOutlines, out: str | Path, *, overwrite: bool = False) -> Path:
    """Write outlines, in the format of the suffix. Errors: OutputError where the file exists."""
    with new_output(out, overwrite=overwrite):
        return write_vector(outlines.frame, out, layer="buildings")


def _from_file(name: str, box: Box) -> gpd.GeoDataFrame:
    with vector_file(split_layer(name)[0]) as path:
        if path.suffix.lower() in OsmFiles.suffixes:
            return _from_osm_file(path, name, box)
        if is_parquet(path):
            return _from_parquet(path, name, box)
    footprints = read_footprints(name)
    frame = footprints.to("EPSG:4326").frame
    others = pd.DataFrame() if footprints.attributes is None else footprints.attributes
    column = date_column(others)
    dates = None if column is None else others[column].to_numpy()
    kinds = others["building"].to_numpy() if "building" in others else None
    return _within(_table(frame["id"], frame.geometry.to_numpy(), file_name_of(name), dates, kinds), box)


def _from_osm_file(path: Path, name: str, box: Box) -> gpd.GeoDataFrame:
    """Areas with a tag `building` of an OpenStreetMap file."""
    settings = f"closed_ways_are_polygons={OsmFiles.area_tags}\n[multipolygons]\nosm_id=yes\nosm_timestamp=yes\nattributes=building,location\n"
    with tempfile.TemporaryDirectory() as folder, vector_errors(name, OsmFiles.formats):
        file = Path(folder) / "osm.ini"
        file.write_text(settings, encoding="utf-8")
        query = 'SELECT * FROM "multipolygons" WHERE building IS NOT NULL'
        parts = [read_ogr(path, name, sql=query, bbox=part, CONFIG_FILE=str(file)) for part in box_parts(box)]
    table = _united(parts, ("osm_id", "osm_way_id"))
    table = with_incomplete(table, *incomplete_elements(path, name))
    table = table[~table["building"].isin(ElementTags.absent) & ~no_buildings(table)]
    table = table[~_left_out(lacks_nodes(table), name)]
    kinds = np.where(closed_ways(table), "way", "relation")
    ids = [f"{kind}/{number}" for kind, number in zip(kinds, with_way_ids(table), strict=True)]
    return _within(
        _table(ids, table.geometry.to_numpy(), "OpenStreetMap", table.get("osm_timestamp"), table["building"]), box
    )


def _united(parts: Sequence[gpd.GeoDataFrame], keys: Sequence[str]) -> gpd.GeoDataFrame:
    """Return the rows of the parts of a box, each once."""
    if len(parts) == 1:
        return parts[0]
    table = pd.concat(parts, ignore_index=True)
    return table if not keys else table.drop_duplicates([*keys]).reset_index(drop=True)


def _left_out(lacking: Mask, name: str) -> Mask:
    """Return (N,) the outlines without all their nodes, with a warning if there are any."""
    if lacking.any():
        log.warning(
            "%s of %s left out: nodes of their ways were not sent or are not in the file. Take a larger extract, or one "
            "with complete ways.",
            count_of(int(lacking.sum()), "outline"), name,
        )  # fmt: skip
    return lacking


def _from_parquet(path: Path, name: str, box: Box) -> gpd.GeoDataFrame:
    """Rows of a GeoParquet file that meet a box."""
    table = read_table(path)
    if table.crs is None:
        raise InputError(f"{name} has no CRS. Assign the one its coordinates are in, for instance with ogr2ogr -a_srs.")
    return _overture_table(to_crs(table, "EPSG:4326"), name, box)


def _overture_table(table: gpd.GeoDataFrame, name: str, box: Box) -> gpd.GeoDataFrame:
    table = table[~no_buildings(table)]
    first = [_first_source(value) for value in table["sources"]] if "sources" in table else [{}] * len(table)
    column = date_column(table)
    dates = [entry.get("update_time") for entry in first] if column is None else table[column]
    kinds = next((table[key] for key in ("class", "building") if key in table), None)
    sources = [str(entry.get("dataset") or file_name_of(name)) for entry in first]
    ids = table["id"] if "id" in table else range(len(table))
    return _within(_table(ids, table.geometry.to_numpy(), sources, dates, kinds), box)


def _first_source(value: Any) -> Mapping[str, Any]:
    """Return the source of an Overture Maps outline: the entry that is for no single property, else the first."""
    listed = value if isinstance(value, (list, tuple, np.ndarray)) else ()
    entries = [item for item in listed if isinstance(item, Mapping)]
    whole = [entry for entry in entries if not entry.get("property")]
    return (whole or entries or [{}])[0]


def _from_overture(name: str, box: Box) -> gpd.GeoDataFrame:
    with name_missing_extra():
        from overturemaps import core
    try:
        parts = [core.geodataframe("building", bbox=part) for part in box_parts(box)]
    except Exception as error:  # its package raises no narrower class
        raise InputError(f"Overture Maps did not answer: {error}. Check the network, or give an extract.") from error
    parts = [part.set_crs("EPSG:4326", allow_override=True) for part in parts]
    table = _united(parts, [column for column in ("id",) if column in parts[0]])
    return _overture_table(table, name, box)


def _from_overpass(server: str, box: Box, progress: Callable[[float], None] | None) -> gpd.GeoDataFrame:
    """Read the buildings of a box from Overpass, square by square, each element once."""
    squares = [square for part in box_parts(box) for square in _squares(part)]
    if len(squares) > MAX_SQUARES:
        raise InputError(
            f"the box {box_text(box)} is too large for the server ({len(squares)} squares of {SQUARE_DEGREES}°, {MAX_SQUARES} at most). "
            "Take an extract such as Geofabrik's .osm.pbf, and give it in place of osm."
        )
    elements: dict[str, Mapping[str, Any]] = {}
    for number, square in enumerate(squares, start=1):
        for element in _ask(server, square):
            elements[f"{element.get('type')}/{element.get('id')}"] = element
        if progress is not None:
            progress(number / len(squares))
    _left_out(np.array([_lacks_nodes(element) for element in elements.values()], bool), server)
    shapes = {key: None if _lacks_nodes(element) else _shape(element) for key, element in elements.items()}
    kept = [key for key, shape in shapes.items() if shape is not None]
    known = [elements[key].get("tags") or {} for key in kept]
    tags = pd.DataFrame(
        [[element_tags.get(tag) for tag in STANDING] for element_tags in known], kept, list(STANDING), dtype=object
    )
    tags = tags[~no_buildings(tags.reset_index(drop=True))]
    kept = tags.index.tolist()
    return _within(
        _table(
            kept, np.array([shapes[key] for key in kept], object), "OpenStreetMap",
            [elements[key].get("timestamp") for key in kept], tags["building"].tolist(),
        ),
        box,
    )  # fmt: skip


def _squares(box: Box) -> Iterator[Box]:
    west, south, east, north = box
    cols, rows = (max(1, int(np.ceil(side / SQUARE_DEGREES - 1e-9))) for side in (east - west, north - south))
    xs, ys = np.linspace(west, east, cols + 1).tolist(), np.linspace(south, north, rows + 1).tolist()
    for (left, right), (bottom, top) in product(pairwise(xs), pairwise(ys)):
        yield left, bottom, right, top


def _ask(server: str, square: Box) -> list[Mapping[str, Any]]:
    """Return the elements of one square. Errors: InputError."""
    west, south, east, north = square
    within = f"({south:.7f},{west:.7f},{north:.7f},{east:.7f})"
    query = f'[out:json][timeout:{SERVER_S}];(way["building"]{within};relation["building"]["type"="multipolygon"]{within};);out meta geom;'
    data = urllib.parse.urlencode({"data": query}).encode()
    try:
        answer = Session(server, MAX_ANSWER_BYTES).read(
            server, seconds=SERVER_S + ANSWER_S, most_bytes=MAX_ANSWER_BYTES, data=data
        )
        content = json.loads(answer.content)
    except (*WebRequest.errors, RecursionError) as error:
        raise InputError(
            f"{server} did not answer for {box_text(square)}: {failure_text(error)}. Try again later, give another server's address, or an extract."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("elements"), list):
        raise InputError(f"{server} answered without a list of elements. Is it an Overpass server?")
    if content.get("remark"):  # what came before it is not all
        raise InputError(
            f"{server} did not finish {box_text(square)}: {content['remark']}. Take a smaller box, or give an extract."
        )
    return [element for element in content["elements"] if isinstance(element, dict)]


def _shape(element: Mapping[str, Any]) -> shapely.Geometry | None:
    """Return the area of a closed way or of a relation of ways, or None."""
    if element.get("type") == "way":
        line = _line(element)
        closed = line is not None and len(line) >= 4 and (line[0] == line[-1]).all()
        return shapely.Polygon(line) if closed and line is not None else None
    lines: dict[bool, list[shapely.Geometry]] = {True: [], False: []}
    for member in element.get("members") or ():
        line = _line(member)
        if line is not None and len(line) >= 2:
            lines[member.get("role") != "inner"].append(shapely.LineString(line))
    outer, inner = (shapely.union_all(shapely.get_parts(shapely.polygonize(lines[side]))) for side in (True, False))
    area = shapely.difference(outer, inner)
    return None if area.is_empty else area


def _lacks_nodes(element: Mapping[str, Any]) -> bool:
    """Return whether nodes of a way, or of a member of a relation, were not sent: they are null."""
    return any(None in (item.get("geometry") or ()) for item in (element, *(element.get("members") or ())))


def _line(item: Mapping[str, Any]) -> np.ndarray | None:
    points = item.get("geometry") or ()
    return np.array([(point["lon"], point["lat"]) for point in points]) if points else None


def _table(ids: Any, shapes: np.ndarray, source: Any, dates: Any, kinds: Any) -> gpd.GeoDataFrame:
    """Return a table of one row per outline; days as text YYYY-MM-DD, or None."""
    days = parse_days(pd.Series(list(dates) if dates is not None else [None] * len(shapes), dtype=object))
    days = days.where(days >= FIRST_DAY)
    text = days.dt.strftime("%Y-%m-%d").astype(object)
    values = {
        "id": [str(key) for key in ids], "source": source, "source_date": text.where(days.notna(), None).to_numpy(),
        "building": list(kinds) if kinds is not None else None,
    }  # fmt: skip
    return gpd.GeoDataFrame(values, geometry=shapes, crs="EPSG:4326", index=range(len(shapes)))[[*COLUMNS, "geometry"]]


def _within(table: gpd.GeoDataFrame, box: Box) -> gpd.GeoDataFrame:
    """Return the outlines that meet the box."""
    shapes = table.geometry.to_numpy()
    return table[shapely.intersects(shapely.make_valid(shapes), box_shape(box))].reset_index(drop=True)
