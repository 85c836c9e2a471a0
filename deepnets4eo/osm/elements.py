"""Meaning of rows in OpenStreetMap tables: the type of element that a row is, and the effect of its tags.

Takes tables with one column per tag, as GDAL, Overpass, OSMnx and QuickOSM write them; tags in GDAL's single text column
count too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from deepnets4eo.arrays import Mask

if TYPE_CHECKING:
    import pandas as pd

WAY_ID = "osm_way_id"  # of a way that GDAL has closed to an area; its osm_id is then missing
ID_COLUMNS = ("osm_id", WAY_ID, "@id", "osmid", "full_id")
KIND_COLUMNS = ("osm_type", "element_type", "element")  # node, way or relation
WAY = r"^w(?:ay/|ay$|\d)"  # way/12 (Overpass), way (OSMnx), w12 (QuickOSM)


class ElementTags:
    """Columns and values that state what an element is."""

    text: ClassVar[str] = "other_tags"  # where GDAL puts the tags that have no column, as "key"=>"value"
    of_ways: ClassVar[tuple[str, ...]] = (WAY_ID, "@id", "full_id", *KIND_COLUMNS)
    tainted: ClassVar[str] = (
        "tainted"  # marks elements whose nodes are not all in the data, in files of osmtogeojson, as of Overpass Turbo
    )
    absent: ClassVar[tuple[str, ...]] = ("", "no", "0", "False")  # values of a tag for something that is not there


GONE = ("no", "demolished", "razed", "removed")  # values of `building` where none stands, whatever else is said

# What closed ways are, see the wiki of OpenStreetMap on areas: of these keys always areas, but for the values named in
# LINE_VALUES; of those in AREA_VALUES only with these values; of any other key, as barrier, they are lines. area=yes and
# area=no stand above all.
AREA_KEYS = (
    "aeroway", "amenity", "area:highway", "boundary", "building", "building:part", "craft", "geological", "golf", "historic",
    "indoor", "landuse", "leisure", "man_made", "military", "natural", "office", "place", "public_transport", "ruins", "shop",
    "sport", "tourism", "water",
)  # fmt: skip
LINE_VALUES = {
    "natural": ("tree_row", "coastline", "cliff", "ridge", "arete"),
    "man_made": ("cutline", "embankment", "pipeline"), "aeroway": ("taxiway",),
}  # fmt: skip
AREA_VALUES = {
    "highway": ("platform", "services", "rest_area", "escape", "elevator"),
    "waterway": ("riverbank", "dock", "boatyard", "dam"),
    "railway": ("station", "turntable", "roundhouse", "platform"),
    "power": ("plant", "substation", "generator", "transformer"),
}  # fmt: skip
OTHER_THINGS = (
    "aeroway", "amenity", "barrier", "boundary", "golf", "highway", "landuse", "leisure", "man_made", "military", "natural",
    "place", "power", "railway", "sport", "water", "waterway",
)  # fmt: skip


def tag_values(table: pd.DataFrame, key: str) -> Any:
    """Text of a tag in each row, from its column or GDAL's text column; "" where a row does not have it."""
    import pandas as pd

    if key in table.columns:
        column = table[key].astype("string").str.strip()
    elif ElementTags.text in table.columns:
        column = table[ElementTags.text].astype("string").str.extract(f'"{key}"=>"([^"]*)"', expand=False)
    else:
        column = pd.Series(pd.NA, index=table.index, dtype="string")
    return column.fillna("")


def closed_ways(table: pd.DataFrame) -> Mask:
    """Return (N,) bool: rows marked as ways, so that a polygon is a closed way and its tags decide whether it is an area."""
    ways = np.zeros(len(table), bool)
    for name in ElementTags.of_ways:
        if name in table.columns:
            text = table[name].astype("string").fillna("")
            ways |= (text != "" if name == WAY_ID else text.str.contains(WAY)).to_numpy(bool)
    return ways


def makes_area(table: pd.DataFrame, key: str) -> Mask:
    """Return (N,) bool: rows whose value of a tag makes a closed way an area; area=yes and area=no decide if given."""
    values, area = tag_values(table, key), tag_values(table, "area")
    if key in AREA_VALUES:
        says = values.isin(AREA_VALUES[key])
    else:
        says = ~values.isin(LINE_VALUES.get(key, ())) if key in AREA_KEYS else values.isin(())
    return np.asarray((says & (area != "no")) | (area == "yes"), bool)


def no_buildings(table: pd.DataFrame) -> Mask:
    """Return (N,) bool: rows that are not a building, or one that is gone or below ground, in a table that marks buildings.

    In OpenStreetMap these are rows without a `building` tag if others have one, or rows tagged as something else.

    In any other table such rows are only looked for if it has both kinds. In a table without tags no row is excluded.
    """
    value = tag_values(table, "building")
    building = ~value.isin(ElementTags.absent).to_numpy(bool)
    element, other = np.zeros(len(table), bool), np.zeros(len(table), bool)
    for name in (name for name in (*ID_COLUMNS, *KIND_COLUMNS) if name in table.columns):
        element |= table[name].notna().to_numpy(bool)
    if table.index.dtype == object:  # ids beside the properties of GeoJSON
        element |= table.index.astype(str).str.match(r"(way|relation)/\d").astype(bool)
    for key in OTHER_THINGS:
        other |= ~tag_values(table, key).isin(ElementTags.absent).to_numpy(bool)
    known = building.any()
    below = ~tag_values(table, "is_underground").isin((*ElementTags.absent, "false")) | (
        tag_values(table, "location") == "underground"
    )
    gone = (value.str.lower().isin(GONE) | below).to_numpy(bool)
    return np.asarray(gone | (~building & ((element & (known | other)) | (other & known))))


def lacks_nodes(table: pd.DataFrame) -> Mask:
    """Return (N,) bool: rows of elements whose nodes are not all known, so that the outline is only a part."""
    return np.asarray(tag_values(table, ElementTags.tainted).str.lower().isin(("true", "yes", "1")), bool)


def with_incomplete(table: pd.DataFrame, ways: set[int], relations: set[int]) -> pd.DataFrame:
    """Mark the rows of GDAL's areas that are of these ways and relations, for `lacks_nodes`."""
    if not ways and not relations:
        return table
    lacking = np.zeros(len(table), bool)
    for column, numbers in ((WAY_ID, ways), ("osm_id", relations)):
        if column in table.columns:
            lacking |= table[column].isin([str(number) for number in numbers]).to_numpy()
    return table.assign(**{ElementTags.tainted: lacking})


def with_way_ids(table: pd.DataFrame) -> pd.Series:
    """Return the ids of GDAL's areas: ids of relations (`osm_id`), and if they are missing, ids of closed ways."""
    ids = table["osm_id"]
    return ids if WAY_ID not in table.columns else ids.astype(object).where(ids.notna(), table[WAY_ID].astype(object))
