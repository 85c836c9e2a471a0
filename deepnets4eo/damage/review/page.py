"""A page on which a person grades the buildings of a sample; see `outputs.served_page` for who is let in."""

from __future__ import annotations

import sqlite3
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from deepnets4eo.damage.review.answers import read_filled
from deepnets4eo.damage.review.counts import ANSWERS, CANNOT_TELL, CLOUD, NO_BUILDING
from deepnets4eo.damage.review.looks import Answers, Chips
from deepnets4eo.damage.vocabulary import GRADES, TITLES, colors
from deepnets4eo.errors import InputError
from deepnets4eo.grid import gsd_m
from deepnets4eo.outputs.served_page.server import Answer, PageServer, RequestRefusedError, as_json

LONGEST_NOTE = 10_000
OTHERS = {NO_BUILDING: "No building", CLOUD: "Under cloud", CANNOT_TELL: "Cannot tell"}  # answers beside the grades


class ReviewServer(PageServer):
    """The page of a sample (GeoPackage) of the map in a folder; `reviewer` is written beside each answer. Errors: InputError."""

    def __init__(self, folder: Path, sample: Path, reviewer: str | None = None) -> None:
        buildings = read_filled(sample, folder / "damage.parquet").buildings
        self.answers = Answers(sample, reviewer)
        try:
            rows = self.answers.rows()
        except sqlite3.Error as error:
            raise InputError(f"{sample} cannot be shown: {error}. Move it away to draw another sample.") from error
        buildings = buildings[~(buildings.geometry.isna() | buildings.geometry.is_empty)]
        shapes = dict(zip(buildings["id"], buildings.geometry, strict=True))
        there = [row for row in rows if row.id in shapes]
        self.fids = [row.fid for row in there]
        self.chips = Chips(folder, np.array([shapes[row.id] for row in there], object))
        self.one_chip = Lock()
        super().__init__(__package__, "review", "deepnets4eo review")

    def get(self, path: str) -> Answer:
        """The rows of the sample, or a chip."""
        if path == "sample.json":
            return as_json(HTTPStatus.OK, self.content())
        match path.split("/"):
            case ["chips", fid, role, "near" | "wide" as extent] if role in self.chips.layers:
                number = self._number(fid)
                with self.one_chip:
                    return HTTPStatus.OK, "image/webp", self.chips.webp(role, number, wide=extent == "wide")
        return super().get(path)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Write an answer, unless the row has another one by now than the page saw."""
        if path != "answers":
            return super().post(path, body)
        fid = self.fids[self._number(body.get("fid"))]
        answer, note = _answer_of(body)
        saved = self.answers.commit(fid, answer, note, _texts_of(body.get("seen")))
        rows = [row for row in self.answers.rows() if row.fid == fid]
        if not rows:
            raise RequestRefusedError(HTTPStatus.NOT_FOUND, "This building was taken out of the sample.")
        return as_json(HTTPStatus.OK if saved else HTTPStatus.CONFLICT, vars(rows[0]))

    def reason(self, error: Exception) -> str:
        """An error in words for the page."""
        if not isinstance(error, sqlite3.Error):
            return str(error)
        return (
            f"{self.answers.path.name} cannot be used: {error}. Another program may have it open, for instance QGIS "
            "while editing: save there, then answer again."
        )

    def headline(self) -> str:
        """How far the sample is answered."""
        rows = self.answers.rows()
        return f"{sum(bool(row.answer) for row in rows):,} of {len(rows):,} answered"

    def content(self) -> dict[str, Any]:
        """Answers to choose from, rows of the sample, and where their chips lie."""
        palette, chips = colors(), self.chips
        choices = [{"key": grade, "title": TITLES[grade], "color": list(palette[grade])} for grade in GRADES]
        at = {fid: number for number, fid in enumerate(self.fids)}
        return {
            "choices": [*choices, *({"key": key, "title": title, "color": None} for key, title in OTHERS.items())],
            "images": {role: chips.event.get(f"date_{role}") for role in chips.layers},
            "aligned": chips.aligned, "synthetic": chips.synthetic, "event": chips.event.get("name"),
            "place": chips.event.get("place"), "reviewer": self.answers.reviewer,
            "rows": [vars(row) | self._where(at[row.fid]) for row in self.answers.rows() if row.fid in at],
        }  # fmt: skip

    def _where(self, number: int) -> dict[str, Any]:
        """Outline of a building, and left, top, width and height of its chips in pixels of the image after, and metres."""
        windows = [self.chips.window(number, wide=wide) for wide in (False, True)]
        col_m = gsd_m(self.chips.grid)[1]
        return {
            "rings": self.chips.rings(number),
            "windows": [[window.col, window.row, window.width, window.height] for window in windows],
            "across_m": [window.width * col_m for window in windows] if self.chips.grid.crs is not None else None,
        }

    def _number(self, fid: Any) -> int:
        try:
            return self.fids.index(int(fid))
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestRefusedError(HTTPStatus.NOT_FOUND, "There is no such building in the sample.") from error


def _answer_of(body: Any) -> tuple[str | None, str | None]:
    """A new answer and note, each None where there is none."""
    answer, note = _texts_of(body)
    if answer not in (None, *ANSWERS) or len(note or "") > LONGEST_NOTE:
        expected = f"one of {', '.join(ANSWERS)}, and a note of {LONGEST_NOTE:,} characters at most"
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, f"Expected {expected}.")
    return answer, note


def _texts_of(body: Any) -> tuple[str | None, str | None]:
    """Answer and note as they are."""
    try:
        answer, note = (body[name] for name in ("answer", "note"))
        for text in (answer, note):
            (text or "").encode()
    except (TypeError, KeyError, AttributeError, UnicodeEncodeError) as error:
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "Expected answer and note, text or null.") from error
    return answer or None, note or None
