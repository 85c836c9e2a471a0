"""The page of a sample: chips of images around each shape, and one key per answer; see `server` for who is let in."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.outputs.served_page.chips import Chips
from deepnets4eo.outputs.served_page.sample_answers import Answers, Row
from deepnets4eo.outputs.served_page.server import Answer, PageServer
from deepnets4eo.rasters import Layer

Colour = Sequence[int] | None


class SamplePage(PageServer):
    """The page of a sample (GeoPackage); subclasses implement `state`, and `samples` if there are further files.

    sample : the file that is answered
    layers, shapes : role on the page → image, all on one grid; and the outlines (N,) in its CRS
    numbers : id of a row → number of its shape; rows of other ids are not shown
    choices : answer → its title and colour
    about : facts for the page: unit, event, place, synthetic, aligned, dates of the images by role, answers of a round
    reviewer : written next to each answer
    """

    def __init__(
        self, sample: Path, layers: Mapping[str, Layer], shapes: NDArray[np.object_], numbers: Mapping[str, int],
        choices: Mapping[str, tuple[str, Colour]], about: dict[str, Any], *, reviewer: str | None = None,
    ) -> None:  # fmt: skip
        self.sample, self.reviewer = sample, reviewer
        self._numbers, self._choices, self._about = numbers, choices, about
        try:
            pictured = [numbers[row.id] for _, row in self.rows()]
        except sqlite3.Error as error:
            raise InputError(f"{sample} cannot be shown: {error}. Move it away to draw another sample.") from error
        self.chips = Chips(layers, shapes, pictured)
        self.one_chip = Lock()
        words = {
            "TITLE": "Review of a map", "MADE_UP": "This place and its map are made up.",
            "INSTEAD": "The sample can be filled in QGIS instead.",
        }  # fmt: skip
        super().__init__(__package__, "review", "deepnets4eo review", words)

    def state(self) -> dict[str, Any]:
        """Return lines for the page, whether enough is known, and how many rows were added. Errors: sqlite3.Error."""
        raise NotImplementedError

    def samples(self) -> dict[str, Path]:
        """Return all files that are shown, by the beginning of their rows' names."""
        return {"": self.sample}

    def rows(self) -> list[tuple[str, Row]]:
        """Return the rows that are shown, by their names on the page. Raises sqlite3.Error."""
        files = self.samples().items()
        named = ((f"{name}{row.fid}", row) for name, path in files for row in Answers(path).rows())
        return [(name, row) for name, row in named if row.id in self._numbers]

    def get(self, path: str) -> Answer:
        """Return the rows of the sample, or a chip."""
        if path == "sample.json":
            return self.as_json(HTTPStatus.OK, self.content())
        match path.split("/"):
            case ["chips", name, role, "near" | "wide" as extent] if role in self.chips.layers:
                number = self._numbers[self._row(name).id]
                with self.one_chip:
                    return HTTPStatus.OK, "image/webp", self.chips.webp(role, number, wide=extent == "wide")
        return super().get(path)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Write an answer, unless the row has changed since the page saw it; or return what the answers show."""
        if path == "state":
            return self.as_json(HTTPStatus.OK, self.state())
        if path != "answers":
            return super().post(path, body)
        name = str(body.get("fid"))
        row = self._row(name)
        file = self.samples()[name.removesuffix(str(row.fid))]
        saved = Answers(file, self.reviewer).commit_sent(row.fid, body, self._choices)
        now = dict(self.rows()).get(name)
        if now is None:
            raise self.refusal(f"This {self._about['unit']} was taken out of the sample.")
        return self.as_json(HTTPStatus.OK if saved else HTTPStatus.CONFLICT, vars(now) | {"fid": body["fid"]})

    def reason(self, error: Exception) -> str:
        """Return an error in words for the page."""
        if not isinstance(error, sqlite3.Error):
            return str(error)
        return (
            f"{self.sample.name} cannot be used: {error}. Another program may have it open, for instance QGIS "
            "while editing: save there, then answer again."
        )

    def headline(self) -> str:
        """Return how much of the sample is answered."""
        rows = self.rows()
        return f"{sum(bool(row.answer) for _, row in rows):,} of {len(rows):,} answered"

    def content(self) -> dict[str, Any]:
        """Return the answers to choose from, the rows of the sample, and the addresses of their chips."""
        choices = [
            {"key": key, "title": title, "color": None if colour is None else list(colour)}
            for key, (title, colour) in self._choices.items()
        ]
        rows = [
            vars(row)
            | self.chips.facts(self._numbers[row.id])
            | ({} if name == str(row.fid) else {"fid": name, "chosen": True})
            for name, row in self.rows()
        ]
        images = {role: self._about.get("dates", {}).get(role) for role in self.chips.layers}
        return self._about | {"choices": choices, "images": images, "reviewer": self.reviewer, "rows": rows}

    def _row(self, name: str) -> Row:
        """Return the row with this name on the page."""
        row = dict(self.rows()).get(name)
        if row is None:
            raise self.refusal(f"There is no such {self._about['unit']} in the sample.")
        return row
