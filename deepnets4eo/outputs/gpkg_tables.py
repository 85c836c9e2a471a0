"""Tables without geometry in a GeoPackage, such as what the map is of.

Takes a file that GDAL wrote, or its open database; other layers stay as they are.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from deepnets4eo.outputs.event import EventTexts
from deepnets4eo.polygons.vector_files import set_fixed_times

_EVENT_TABLE = "CREATE TABLE event (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, field TEXT NOT NULL, value TEXT)"


def write_event(path: Path, event: EventTexts, subject: str, layer: str) -> None:
    """Add what is known of the event to a file of polygons; where nothing is known, the file stays as it is.

    subject : what is mapped, for the title. layer : whose description gets it.
    """
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


def register_table(database: sqlite3.Connection, table: str, description: str) -> None:
    """Make a table known to readers of GeoPackages as one without geometry."""
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)"
        " VALUES (?, 'attributes', ?, ?, 0)",
        (table, table, description),
    )
