"""OpenStreetMap and other vectors as tables of tagged features near an image, with the area each source covers.

Takes .osm and .pbf files, the vector files of `formats.vectors`, tables, lists of them, and mappings from class to
source.

Refuses files that are missing, damaged or no vector file, sources without CRS, and tables without any known tag.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import shapely
from pyproj import CRS

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import (
    choose_layers,
    is_parquet,
    is_remote,
    is_undefined,
    join_layers,
    read_ogr,
    read_unsorted,
    split_layer,
    vector_errors,
    vector_file,
)
from deepnets4eo.grid import Grid
from deepnets4eo.osm.covered_boxes import HALF_TURN, Boxes, may_cross, stated_boxes, west_and_east
from deepnets4eo.osm.elements import ElementTags, lacks_nodes, with_incomplete
from deepnets4eo.osm.incomplete import incomplete_elements
from deepnets4eo.osm.rules import OsmRules
from deepnets4eo.outputs import count_of

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import geopandas as gpd

    Source: TypeAlias = "str | Path | gpd.GeoDataFrame | gpd.GeoSeries"
    OsmSource: TypeAlias = "Source | Sequence[Source] | Mapping[str, Source]"

AREAS = "multipolygons"
OSM_LAYERS = ("points", "lines", AREAS)


# Tags that make a closed way an area: GDAL's own list, and what the rules may name. area=yes always does. GDAL takes no
# exceptions, such as natural=tree_row: `elements.makes_area` knows them.
class OsmFiles:
    """Files of OpenStreetMap that are read."""

    suffixes: ClassVar[set[str]] = {".osm", ".pbf"}
    formats: ClassVar[str] = "OpenStreetMap (.osm, .osm.bz2, .pbf), GeoPackage, GeoJSON, GeoParquet or Shapefile"
    area_tags: ClassVar[str] = (
        "aeroway,amenity,boundary,building,craft,geological,historic,landuse,leisure,military,natural,office,place,shop,"
        "sport,tourism,water,waterway=riverbank,highway=platform,public_transport=platform"
    )


class Features(NamedTuple):
    """One table of features, one column per tag, near the image.

    known_class : the class that all of them are known to be of; None if tags decide
    boxes : (N, 4) left, bottom, right, top around what the source covers, in the table's CRS; none if it is empty
    partial : boxes around areas that lack nodes, which are not in the table; None without any
    """

    table: gpd.GeoDataFrame
    known_class: str | None
    boxes: Boxes
    name: str
    partial: gpd.GeoSeries | None = None


def read_features(source: OsmSource, rules: OsmRules, area: Grid) -> list[Features]:
    """Read everything in a source that meets the area of a grid.

    Errors: InputError, which names the file, if a source cannot be read or has no tag of the rules.
    GridError if only one of source and grid has a CRS.
    """
    features = [part for known_class, item in _items(source, rules) for part in _read(item, known_class, rules, area)]
    for part in features:
        _check_crs(part, area)
    if not any(part.known_class is not None or {*rules.class_keys} & {*part.table.columns} for part in features):
        names = ", ".join(dict.fromkeys(part.name for part in features)) or "the source"
        columns = sorted({str(key) for part in features for key in part.table.columns if key != "geometry"})
        raise InputError(
            f"{names} has no tag that the rules know ({', '.join(rules.class_keys)}), only {columns}. "
            f"State its class: {{'{rules.names[0]}': FILE}}, on the command line {rules.names[0]}=FILE."
        )
    return features


def sources_of_words(items: list[str]) -> list[str] | dict[str, str]:
    """Return a mapping if the items are class=file, else the files; an item that exists as a whole is a file. Errors: InputError."""
    pairs = [
        ("", "", item) if Path(split_layer(item)[0]).exists() or is_remote(item) else item.partition("=")
        for item in items
    ]
    classes = {name: path for name, equals, path in pairs if equals}
    if not classes:
        return items
    if len(classes) < len(items):
        raise InputError(
            f"{' '.join(items)} mixes class=file with files that have tags, or names a class twice. "
            "Give either one file a class, or files with tags."
        )
    return classes


def read_area(path: str | Path) -> gpd.GeoSeries:
    """Read the polygons of a vector file with the area that an extract covers. Errors: InputError names the file."""
    _check_exists(path)
    import geopandas as gpd

    file, layer = split_layer(path)
    with vector_file(file) as inner, vector_errors(str(path), OsmFiles.formats):
        if is_parquet(inner):
            return gpd.read_parquet(inner).geometry
        layers = choose_layers(inner, file, layer)
        tables = [read_ogr(inner, file, layer=chosen, columns=[]) for chosen in layers]
        return (tables[0] if len(tables) == 1 else join_layers(tables, layers)).geometry


def _items(source: OsmSource, rules: OsmRules) -> Iterator[tuple[str | None, Source]]:
    if isinstance(source, Mapping):
        if strange := sorted(set(source) - set(rules.names)):
            raise InputError(
                f"OSM sources are given for {strange}, but the rules know the classes {rules.names}. Take one of these, as "
                f"in {rules.names[0]}=FILE, or rules of your own."
            )
        yield from source.items()
    elif isinstance(source, (str, Path)) or hasattr(source, "geometry"):
        yield None, source
    else:
        yield from ((None, item) for item in source)


def _read(source: Source, known_class: str | None, rules: OsmRules, area: Grid) -> Iterator[Features]:
    if not isinstance(source, (str, Path)):
        table = source.to_frame("geometry") if not hasattr(source, "columns") else source
        boxes = west_and_east(table.bounds.to_numpy())
        yield Features(rules.spread_tags(table), known_class, boxes, "the table of features")
        return
    _check_exists(source)
    file, chosen = split_layer(source)
    with vector_file(file) as path:
        if is_parquet(path):
            yield from _read_parquet(path, str(source), known_class, rules)
        elif path.suffix.lower() in OsmFiles.suffixes:
            yield from _read_osm(path, str(source), known_class, rules, area)
        else:
            yield from _read_vector(path, str(source), known_class, rules, area, chosen)


def _read_osm(path: Path, name: str, known_class: str | None, rules: OsmRules, area: Grid) -> Iterator[Features]:
    """Tables of an OpenStreetMap file: GDAL gets the tags that become columns; SQL keeps it from storing other layers."""
    import pyogrio

    tagged = " OR ".join(f'"{key}" IS NOT NULL' for key in rules.class_keys)
    with tempfile.TemporaryDirectory() as folder, vector_errors(name, OsmFiles.formats):
        settings = Path(folder) / "osm.ini"
        settings.write_text(_osm_settings(rules.keys), encoding="utf-8")
        for layer in OSM_LAYERS:
            how = {"CONFIG_FILE": str(settings), "layer": layer}
            boxes = stated_boxes(pyogrio.read_info(path, force_total_bounds=True, **how)["total_bounds"])
            query = f'SELECT * FROM "{layer}" WHERE {tagged}'
            table = read_ogr(path, name, sql=query, bbox=_box_in("EPSG:4326", area, name), CONFIG_FILE=str(settings))
            if layer == AREAS and len(table):
                table = with_incomplete(table, *incomplete_elements(path, name))
            table, partial = _whole_areas(table, name)
            if not len(boxes):
                how = {"sql": f'SELECT * FROM "{layer}"', "CONFIG_FILE": str(settings)}
                boxes = read_unsorted(lambda path, **how: list(_growing_boxes(path, **how))[-1], path, **how)
            yield Features(table, known_class, boxes, name, partial)


def _whole_areas(table: gpd.GeoDataFrame, name: str) -> tuple[gpd.GeoDataFrame, gpd.GeoSeries | None]:
    """Leave out areas without all their nodes, with a warning: they would be drawn in part. Returns boxes around them, too."""
    lacking = lacks_nodes(table) & table.geometry.geom_type.isin(("Polygon", "MultiPolygon")).to_numpy(bool)
    if not lacking.any():
        return table, None
    _log.warning(
        "%s of %s left out, with unknown ground: nodes of their ways are not in the file. Take a larger extract, or one with "
        "complete ways.", count_of(int(lacking.sum()), "area"), name,
    )  # fmt: skip
    return table[~lacking], table[lacking].geometry.envelope


def _osm_settings(keys: Sequence[str]) -> str:
    shared = f"other_tags=no\nattributes={','.join(keys)}\n"
    with_id = {layer: "yes" if layer == AREAS else "no" for layer in OSM_LAYERS}  # tells which were ways
    layers = "".join(f"[{layer}]\nosm_id={with_id[layer]}\n{shared}" for layer in OSM_LAYERS)
    unread = "".join(f"[{layer}]\nother_tags=no\n" for layer in ("multilinestrings", "other_relations"))
    return f"closed_ways_are_polygons={OsmFiles.area_tags}\nattribute_name_laundering=no\n{layers}{unread}"


def _read_parquet(path: Path, name: str, known_class: str | None, rules: OsmRules) -> Iterator[Features]:
    import geopandas as gpd

    with vector_errors(name, OsmFiles.formats):
        table = gpd.read_parquet(path)
        yield Features(rules.spread_tags(table), known_class, west_and_east(table.bounds.to_numpy()), name)


def _read_vector(
    path: Path, name: str, known_class: str | None, rules: OsmRules, area: Grid, chosen: str | None = None
) -> Iterator[Features]:
    import pyogrio

    with vector_errors(name, OsmFiles.formats):
        layers = [str(layer) for layer, kind in pyogrio.list_layers(path) if kind is not None]
        layers = layers if chosen is None else choose_layers(path, name, chosen)
        if not layers:
            raise InputError(f"{name} has no layer with geometry. Expected {OsmFiles.formats}.")
        for layer in layers:
            info = pyogrio.read_info(path, layer=layer, force_total_bounds=True)
            fields = {str(field) for field in info["fields"]}
            columns = [
                key
                for key in (*rules.keys, *ElementTags.of_ways, ElementTags.text, ElementTags.tainted)
                if key in fields
            ]
            box = None if is_undefined(info["crs"]) else _box_in(info["crs"], area, name)
            table, partial = _whole_areas(read_ogr(path, name, layer=layer, columns=columns, bbox=box), name)
            known = known_class or (layer if layer in rules.names else None)
            yield Features(rules.spread_tags(table), known, _boxes_of_layer(path, layer, info), name, partial)


def _boxes_of_layer(path: Path, layer: str, info: Mapping[str, Any]) -> Boxes:
    """Return the box that a vector file states; if it is wider than half the world, `west_and_east` boxes if all is around 180°."""
    boxes = stated_boxes(info["total_bounds"])
    wide = len(boxes) and np.ptp(boxes[:, [0, 2]]) > HALF_TURN
    if not wide or info["crs"] is None or is_undefined(info["crs"]) or not CRS(info["crs"]).is_geographic:
        return boxes
    sides = boxes
    for sides in _growing_boxes(path, layer=layer, columns=[]):
        if not may_cross(sides):
            return boxes
    return sides


def _growing_boxes(path: Path, **how: Any) -> Iterator[Boxes]:
    """Yield the boxes of `west_and_east` around all features read so far, at least once. Memory: 65,536 features."""
    import pyogrio

    boxes = np.empty((0, 4))
    yield boxes
    with pyogrio.raw.open_arrow(path, use_pyarrow=True, **how) as (facts, batches):
        for batch in batches:
            shapes = shapely.from_wkb(batch.column(facts["geometry_name"] or "wkb_geometry"), on_invalid="ignore")
            boxes = west_and_east(np.concatenate([boxes, shapely.bounds(shapes)]))
            yield boxes


def _box_in(crs: Any, area: Grid, name: str) -> tuple[float, float, float, float] | None:
    """Return the area's box in a source's CRS; None if one of them has no CRS."""
    if crs is None or area.crs is None:
        return None
    extent = area.extent
    side = max(extent.boundingbox.span_x, extent.boundingbox.span_y)
    box: tuple[float, float, float, float] = extent.to_crs(crs, resolution=side / 16).boundingbox.bbox
    if not np.isfinite(box).all():
        raise GridError(f"{name} is in {crs}, where the image ({area.crs}) does not lie. Check both CRSs.")
    return box


def _check_crs(part: Features, area: Grid) -> None:
    if (part.table.crs is None) != (area.crs is None):
        lacking, having = (part.name, "the image") if part.table.crs is None else ("the image", part.name)
        raise GridError(f"{lacking} has no CRS, {having} has one. Assign the missing one, e.g. with ogr2ogr -a_srs.")


def _check_exists(path: str | Path) -> None:
    if not is_remote(str(path)) and not Path(split_layer(path)[0]).exists():
        raise InputError(f"{path} does not exist. Check the path; expected {OsmFiles.formats}.")
