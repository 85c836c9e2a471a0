"""A sample of shapes as a GeoPackage that people answer, and its answers: each is a transaction, refused if the row has changed meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pyogrio

from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.formats import vector_file
from deepnets4eo.outputs.provenance import add_styles, register_table
from deepnets4eo.outputs.served_page.server import RequestRefusedError
from deepnets4eo.polygons import add_layer, set_fixed_times

LONGEST_NOTE = 10_000
WRITTEN_BY_PEOPLE = ("answer", "note", "reviewer")


@dataclass(frozen=True)
class Row:
    """A row of the sample: its number, place in the order, id, and answer."""

    fid: int
    look: int
    id: str
    answer: str | None
    note: str | None
    reviewer: str | None

    @property
    def is_whole(self) -> bool:
        """Return whether the values are of the types that a sample has; others come from a damaged file."""
        texts = (self.answer, self.note, self.reviewer)
        numbers = type(self.fid) is int and type(self.look) is int and isinstance(self.id, (str, int))
        return numbers and all(text is None or isinstance(text, str) for text in texts)


class Answers:
    """The rows of a sample (GeoPackage), answered one by one by a reviewer.

    LAYER, DRAWN : tables of the rows, and of how they were drawn
    GEOMETRY : column of the outlines
    """

    LAYER, DRAWN, GEOMETRY = "sample", "drawn", "geom"

    def __init__(self, path: Path, reviewer: str | None = None) -> None:
        self.path, self.reviewer = path, reviewer

    @classmethod
    def create(
        cls, path: Path, ids: Sequence[Any], shapes: gpd.GeoSeries, drawn: Mapping[str, Any], *, style: str, title: str
    ) -> None:
        """Write a sample without answers. Errors: InputError for a file that exists.

        ids, shapes : (n,) in the order of the looks
        drawn : how they were drawn, by column of `DRAWN`
        style, title : of the layer, for QGIS
        """
        if path.exists():
            raise InputError(f"{path} exists and may hold answers. Move it away to draw another sample.")
        columns = {"look": np.arange(1, len(ids) + 1), "id": ids} | dict.fromkeys(WRITTEN_BY_PEOPLE)
        frame = gpd.GeoDataFrame(columns, geometry=shapes.to_numpy(), crs=shapes.crs).rename_geometry(cls.GEOMETRY)
        frame = frame.astype(dict.fromkeys(WRITTEN_BY_PEOPLE, "string"))
        with atomic_write(path) as partial:
            add_layer(
                frame, partial, cls.LAYER, "GPKG", geometry_type="MultiPolygon", promote_to_multi=True, SPATIAL_INDEX="NO"
            )  # fmt: skip
            with closing(sqlite3.connect(partial)) as database, database:
                add_styles(database, [(cls.LAYER, "sample", style, title)], cls.GEOMETRY)
                kinds = {name: "INTEGER" if name in ("looks", "seed", "likeliest") else "TEXT" for name in drawn}
                table = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
                database.execute(f"CREATE TABLE {cls.DRAWN} (fid INTEGER PRIMARY KEY NOT NULL, {table})")
                marks = ", ?" * len(drawn)
                database.execute(f"INSERT INTO {cls.DRAWN} VALUES (1{marks})", tuple(drawn.values()))
                register_table(database, cls.DRAWN, "The map that the sample was drawn from, and how it was drawn")
            set_fixed_times(partial)  # the same draw makes the same file
            if path.exists():
                raise InputError(f"{path} was drawn by another process meanwhile. Answer that sample.")

    def open(self, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
        """Open a sample that exists. Errors: sqlite3.Error."""
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Provide the database to read; a damaged name in it, which Python cannot decode, is an error of the database, too."""
        with closing(self.open("ro")) as database:
            try:
                yield database
            except UnicodeDecodeError as error:
                raise sqlite3.DatabaseError(f"a text in it is not UTF-8 ({error.reason})") from error

    def read_draw(self, *columns: str) -> tuple[Any, ...]:
        """Return these columns of how the rows were drawn. Errors: sqlite3.Error, TypeError without a row."""
        with self._reading() as database:
            row = database.execute(f"SELECT {', '.join(columns)} FROM {self.DRAWN}").fetchone()
        return tuple(row)

    def rows(self) -> list[Row]:
        """Return all rows in their order. Errors: sqlite3.Error; InputError for values of other types."""
        columns = ", ".join(Row.__dataclass_fields__)
        with self._reading() as database:
            rows = [Row(*row) for row in database.execute(f"SELECT {columns} FROM {self.LAYER} ORDER BY look, fid")]
        if wrong := next((row for row in rows if not row.is_whole), None):
            raise InputError(
                f"{self.path} is no whole sample: row {wrong.fid!r} has the order {wrong.look!r} and the answer {wrong.answer!r}, expected a "
                "number and a text. Copy it again."
            )
        return rows

    def frame(self) -> gpd.GeoDataFrame:
        """Return the rows with their outlines, in their order. Errors: InputError for a file without them."""
        with vector_file(self.path) as path:
            try:
                frame = pyogrio.read_dataframe(path, layer=self.LAYER).sort_values("look", ignore_index=True)
            except (KeyError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
                raise InputError(f"{self.path} is no whole sample: {error}. Copy it again.") from error
        if not isinstance(frame, gpd.GeoDataFrame) or frame.geometry.isna().any() or frame.geometry.is_empty.any():
            raise InputError(f"{self.path} has rows without an outline. Copy it again.")
        return frame

    def commit(self, fid: int, answer: str | None, note: str | None, seen: tuple[str | None, str | None]) -> bool:
        """Write an answer, unless the row is no longer as seen; returns whether it was written. Raises sqlite3.Error."""
        with closing(self.open("rw")) as database, database:
            done = database.execute(
                f"UPDATE {self.LAYER} SET answer = ?, note = ?, reviewer = ?"
                " WHERE fid = ? AND COALESCE(answer, '') = ? AND COALESCE(note, '') = ?",
                (answer, note, self.reviewer, fid, seen[0] or "", seen[1] or ""),
            )
        return done.rowcount == 1

    def commit_sent(self, fid: int, body: Any, allowed: Collection[str]) -> bool:
        """Write the answer that a page has sent, as in `commit`. Raises RequestRefusedError and sqlite3.Error."""
        answer, note = _texts_of(body)
        if answer not in (None, *allowed) or len(note or "") > LONGEST_NOTE:
            expected = f"one of {', '.join(allowed)}, and a note of {LONGEST_NOTE:,} characters at most"
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, f"Expected {expected}.")
        return self.commit(fid, answer, note, _texts_of(body.get("seen")))


def _texts_of(body: Any) -> tuple[str | None, str | None]:
    """Return answer and note as sent, each None if missing."""
    try:
        answer, note = (body[name] for name in ("answer", "note"))
        for text in (answer, note):
            (text or "").encode()
    except (TypeError, KeyError, AttributeError, UnicodeEncodeError) as error:
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "Expected answer and note, text or null.") from error
    return answer or None, note or None
