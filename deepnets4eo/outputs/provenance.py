"""Provenance of a product: its inputs with their hashes, the versions that shape it, and the event that the map shows.

The event becomes a table without geometry in a GeoPackage that GDAL wrote; its other layers stay unchanged."""

from __future__ import annotations

import platform
import shlex
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deepnets4eo.addresses import name_of, without_secrets
from deepnets4eo.files import sha256
from deepnets4eo.formats import is_remote, split_layer
from deepnets4eo.outputs.event import EventTexts
from deepnets4eo.polygons import set_fixed_times
from deepnets4eo.prefetch import in_order
from deepnets4eo.system import file_time, stated_time
from deepnets4eo.version import __version__

RUN = "run"  # role of a network among the inputs
_EVENT_TABLE = "CREATE TABLE event (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, field TEXT NOT NULL, value TEXT)"

LIBRARIES = ("numpy", "rasterio", "pyogrio", "geopandas", "shapely", "pyproj", "pyarrow", "scikit-image", "torch")
_STYLES_TABLE = """CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""
_QML = """<qgis version="3.28"><renderer-v2 type="{0}" attr="{1}"><categories>{2}</categories><symbols>{3}</symbols></renderer-v2></qgis>"""
_CATEGORY = """<category symbol="{0}" value="{1}" label="{1}" render="true" type="string"/>"""
_FILLED = """<symbol type="fill" name="{0}" alpha="0.6">
<layer class="SimpleFill"><Option type="Map"><Option type="QString" name="color" value="{1},255"/>
<Option type="QString" name="outline_color" value="{2},255"/><Option type="QString" name="outline_width" value="0.2"/>
</Option></layer></symbol>"""


def product_time(inputs: Mapping[str, str]) -> datetime | None:
    """Return the time that a product states, so that equal inputs make equal files at any clock.

    Errors: InputError (SOURCE_DATE_EPOCH is not a time).

    Parameters
    ----------
    inputs : role → file that the product is made from. Addresses, missing files, times before 1970 or beyond the year 9999
        (which no product can state) and networks (whose time is the time of their installation) are ignored

    Returns
    -------
    SOURCE_DATE_EPOCH of the environment, else the newest time of the inputs, in UTC and whole seconds; None if neither is known.
    """
    if (stated := stated_time()) is not None:
        return stated
    files = [Path(source) for role, source in inputs.items() if role != RUN and not is_remote(source)]
    times = [time for file in files if file.exists() and (time := file_time(file)) is not None]
    return max(times, default=None)


def manifest(
    summary: Mapping[str, Any],
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Any],
    folder: Path,
    names: Sequence[str],
    **further: Any,
) -> dict[str, Any]:
    """Return how a map was made, for manifest.json: `summary`, `inputs` by role, `names` of its files, `further` of its kind."""
    return {
        **{name: summary[name] for name in ("product", "synthetic", "event", "findings")},
        "created_utc": (product_time({}) or datetime.now(UTC)).isoformat(timespec="seconds"),
        "command": shlex.join(map(without_secrets, sys.argv)),
        "parameters": without_secrets(parameters),
        "seed": parameters.get("seed"),
        **further,
        "inputs": dict(inputs),
        "outputs": dict(zip(names, in_order(file_facts, [folder / name for name in names]), strict=True)),
        "versions": versions(),
    }


def write_event(path: Path, event: EventTexts, subject: str, layer: str) -> None:
    """Add what is known of the event to the `layer` of a file of polygons, `subject` in its title; else leave it as it is."""
    if not event.lines:
        return
    with closing(sqlite3.connect(path)) as database, database:
        add_event(database, event, subject, layer)
    set_fixed_times(path)


def add_event(database: sqlite3.Connection, event: EventTexts, subject: str, layer: str) -> None:
    """Make the table `event`, and put title and event into the description of a layer, which QGIS shows."""
    database.execute(_EVENT_TABLE)
    values = event.to_dict()
    sources = values.pop("from_files", {})
    rows = [*values.items(), *((f"{name}_from", source) for name, source in sources.items())]
    database.executemany("INSERT INTO event (field, value) VALUES (?, ?)", rows)
    register_table(database, "event", "Event, place, dates, sensors, credit and producer of this map")
    database.execute(
        "UPDATE gpkg_contents SET description = ? WHERE table_name = ?",
        ("\n".join([event.title(subject), *event.lines]), layer),
    )


def filled_qml(color: Sequence[int]) -> str:
    """Return the QGIS style of regions of one kind: filled so that the ground shows through, with darker outlines."""
    return _QML.format("singleSymbol", "", "", _filled(0, color))


def categories_qml(column: str, colors: Mapping[str, Sequence[int]]) -> str:
    """Return the QGIS style of filled regions with a colour for each value of a column, plain words."""
    categories = "".join(_CATEGORY.format(number, value) for number, value in enumerate(colors))
    symbols = "".join(_filled(number, color) for number, color in enumerate(colors.values()))
    return _QML.format("categorizedSymbol", column, categories, symbols)


def _filled(number: int, color: Sequence[int]) -> str:
    return _FILLED.format(number, *(",".join(str(int(value * part)) for value in color[:3]) for part in (1.0, 0.5)))


def write_styles(path: Path, styles: Sequence[tuple[str, str, str, str]]) -> None:
    """Add QGIS styles to a file of polygons; see `add_styles`."""
    with closing(sqlite3.connect(path)) as database, database:
        add_styles(database, styles)
    set_fixed_times(path)


def add_styles(
    database: sqlite3.Connection, styles: Sequence[tuple[str, str, str, str]], geometry: str = "geom"
) -> None:
    """Create the table of styles for QGIS (layer, name, QML, description), for the column `geometry`."""
    database.execute(_STYLES_TABLE)
    database.executemany(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
        " styleQML, styleSLD, useAsDefault, description, owner) VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '')",
        [(layer, geometry, name, qml, description) for layer, name, qml, description in styles],
    )
    register_table(database, "layer_styles", "QGIS styles of the layers")


def register_table(database: sqlite3.Connection, table: str, description: str) -> None:
    """Make a table known to readers of GeoPackages as one without geometry."""
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)"
        " VALUES (?, 'attributes', ?, ?, 0)",
        (table, table, description),
    )


def describe(source: str) -> dict[str, Any]:
    """Return a file's size and SHA-256, a folder's file by file; a URL or an array is only named, its hash null."""
    path, name = Path(split_layer(source)[0]), name_of(source)
    if path.is_file():
        return {"path": name, **file_facts(path)}
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        return {"path": name, "files": {item.relative_to(path).as_posix(): file_facts(item) for item in files}}
    return {"path": name, "sha256": None, "bytes": None}


@cache
def versions() -> dict[str, str]:
    """Return the versions of this package, of Python, of the system and of the libraries that shape the result."""
    versions = {"deepnets4eo": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def file_facts(path: Path) -> dict[str, Any]:
    """Return a file's SHA-256 and size in bytes."""
    return {"sha256": sha256(path), "bytes": path.stat().st_size}
