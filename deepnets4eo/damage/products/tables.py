"""The buildings with all their columns: damage.gpkg (with findings and styles) and damage.parquet."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd

from deepnets4eo.damage.products.qgis_styles import (
    areas_style,
    buildings_style,
    extent_style,
    qml,
    without_outlines_style,
)
from deepnets4eo.damage.table.vocabulary import METHODS, STATUSES, SUBJECT
from deepnets4eo.files import atomic_write
from deepnets4eo.outputs import add_event, add_styles, register_table
from deepnets4eo.polygons import add_layer, set_fixed_times
from deepnets4eo.rasters import without_heights

if TYPE_CHECKING:
    from deepnets4eo.damage.products.content import DamageMapContent

GEOMETRY = "geom"
WITHOUT_OUTLINES, AREAS = "imaged_without_outlines", "areas"

ALWAYS = {  # what the fixed columns say, shown by QGIS as field comments
    "id": "identifier of the building, from the footprints where they had one",
    "damage": "grade of visible damage; empty where not assessed; not-known where the images do not show how many are damaged, unless certain",
    "damage_rank": "rank by probable damage: 1 for the building that is most probably damaged",
    "likeliest": "grade that is likeliest if as many buildings are damaged as expected; the images do not show how many",
    "damage_prob": "probability of major damage or worse, 0 to 1",
    "confidence": "confidence in the grade, 0 to 1",
    "damage_set": "grades that cannot be excluded at 90 %, with commas between",
    "status": " or ".join(STATUSES),
    "reason": "why a building was not assessed, or graded by the network or by water around it",
    "inundated": "whether new water surrounds the building: yes, no or not known (all buildings, if no new water is seen and the event may be a flood)",
    "method": "{}: both images compared; {}: only the post image; {}: only the surrounding water".format(*METHODS),
    "dx_px": "shift applied to the outline along columns, pixels of the post image",
    "dy_px": "shift applied to the outline along rows, pixels of the post image",
    "pre_off_m": "how far the pre image may lie off there, metres: half of the nearest tie points lie off by more",
}

_COMMENTS_TABLE = """CREATE TABLE gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name))"""


_FINDINGS_TABLE = """CREATE TABLE findings (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL, message TEXT NOT NULL,
    remedy TEXT NOT NULL, affected INTEGER NOT NULL DEFAULT 0)"""


_ESTIMATES_TABLE = """CREATE TABLE estimates (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, quantity TEXT NOT NULL, of TEXT NOT NULL, value DOUBLE, low_95 DOUBLE,
    high_95 DOUBLE)"""


def write_gpkg(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write the known layers and the tables `event`, `findings`, `estimates` and `layer_styles`. Errors: OutputError."""
    path = Path(path)
    with atomic_write(path) as partial:
        _write_layer(damage_map.buildings, partial, "buildings")
        _write_layer(damage_map.assessed_extent, partial, "assessed_extent")
        if damage_map.extent_without_outlines is not None:
            _write_layer(damage_map.extent_without_outlines, partial, WITHOUT_OUTLINES)
        if damage_map.areas is not None:
            _write_layer(damage_map.areas, partial, AREAS)
        with closing(sqlite3.connect(partial)) as database, database:
            _add_styles(database, damage_map)
            add_event(database, damage_map.event, SUBJECT, "buildings")
            _add_findings(database, damage_map)
            _add_estimates(database, damage_map)
            _add_comments(database, {**ALWAYS, **damage_map.meaning}, set(damage_map.buildings.columns))
        set_fixed_times(partial)
    return path


def _write_layer(frame: gpd.GeoDataFrame, path: Path, layer: str) -> None:
    frame = without_heights(frame)
    frame = frame if frame.geometry.name == GEOMETRY else frame.rename_geometry(GEOMETRY)
    add_layer(frame, path, layer, "GPKG", geometry_type="MultiPolygon", promote_to_multi=True, use_arrow=True)


def _add_styles(database: sqlite3.Connection, damage_map: DamageMapContent) -> None:
    rows = [
        ("buildings", "damage", qml(*buildings_style(damage_map.table.ranked)), "Visible damage by building"),
        ("assessed_extent", "assessed extent", qml(extent_style()), "Where buildings could be assessed"),
    ]
    if damage_map.extent_without_outlines is not None:
        words = "without outlines", qml(without_outlines_style()), "Imaged ground without a footprint near by"
        rows.append((WITHOUT_OUTLINES, *words))
    if damage_map.areas is not None:
        rows.append((AREAS, "share damaged", qml(areas_style()), "Share of damaged buildings by area"))
    add_styles(database, rows, GEOMETRY)


def _add_findings(database: sqlite3.Connection, damage_map: DamageMapContent) -> None:
    database.execute(_FINDINGS_TABLE)
    names = ("code", "severity", "message", "remedy", "affected")
    rows = [tuple(item.to_dict()[name] for name in names) for item in damage_map.findings]
    database.executemany(f"INSERT INTO findings ({', '.join(names)}) VALUES (?, ?, ?, ?, ?)", rows)
    register_table(database, "findings", "What limits the worth of this map, worst first")
    worst = damage_map.findings[:1]
    notes = [f"{item.severity.upper()}: {item.message} All findings are in the table `findings`." for item in worst]
    database.execute(
        "UPDATE gpkg_contents SET description = ? || char(10) || description WHERE table_name = 'buildings'",
        ("\n".join([*notes, damage_map.headline()]),),
    )


def _add_estimates(database: sqlite3.Connection, damage_map: DamageMapContent) -> None:
    database.execute(_ESTIMATES_TABLE)
    insert_estimates(database, damage_map)
    register_table(database, "estimates", "Share, numbers and built areas of damaged buildings, with 95 % intervals")


def insert_estimates(database: sqlite3.Connection, damage_map: DamageMapContent) -> None:
    """Fill the table of estimates of a map."""
    share = damage_map.damaged_share
    rows = []
    if share:
        rows.append(("share", "damaged", share["value"], *(share["interval_95"] or (None, None))))
    for quantity in ("buildings", "built_area_m2"):
        known = {
            grade: row for grade, row in (damage_map.known_estimates.get(quantity) or {}).items() if row is not None
        }
        rows += [(quantity, grade, row["expected"], *row["interval_95"]) for grade, row in known.items()]
    database.executemany("INSERT INTO estimates (quantity, of, value, low_95, high_95) VALUES (?, ?, ?, ?, ?)", rows)


def _add_comments(database: sqlite3.Connection, comments: dict[str, str], columns: set[str]) -> None:
    database.execute(_COMMENTS_TABLE)
    database.execute(
        "CREATE TABLE IF NOT EXISTS gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL,"
        " definition TEXT NOT NULL, scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE"
        " (table_name, column_name, extension_name))"
    )
    database.execute(
        "INSERT INTO gpkg_extensions VALUES ('gpkg_data_columns', NULL, 'gpkg_schema',"
        " 'http://www.geopackage.org/spec121/#extension_schema', 'read-write')"
    )
    rows = [("buildings", column, text) for column, text in comments.items() if column in columns]
    database.executemany("INSERT INTO gpkg_data_columns (table_name, column_name, description) VALUES (?, ?, ?)", rows)


_ROWS_PER_GROUP = 65_536  # small enough that a city quarter reads a few groups, large enough to compress


def write_parquet(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write GeoParquet 1.1.0: WKB, zstd, `covering.bbox`; the event is in the table's `attrs`."""
    path = Path(path)
    buildings = damage_map.buildings
    if buildings.geometry.name != "geometry":
        buildings = buildings.rename_geometry("geometry")
    buildings = buildings.copy(deep=False)
    buildings.attrs = {"event": damage_map.event.to_dict(), "synthetic": damage_map.synthetic}
    with atomic_write(path) as partial:
        buildings.to_parquet(
            partial,
            index=False,
            compression="zstd",
            geometry_encoding="WKB",
            write_covering_bbox=True,
            schema_version="1.1.0",
            row_group_size=_ROWS_PER_GROUP,
        )
    return path
