"""A page for grading the buildings of a sample: chips of both images; see `outputs.served_page` for who is let in.

An answer is a transaction of SQLite, refused if the row is no longer as the person saw it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.review.answers import Answers, Row
from deepnets4eo.damage.review.counts import ANSWERS, CANNOT_TELL, CLOUD, NO_BUILDING
from deepnets4eo.damage.review.map_images import MapImages
from deepnets4eo.damage.review.rounds import Rounds
from deepnets4eo.damage.vocabulary import GRADES, TITLES, colors
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, apply_affine, gsd_m
from deepnets4eo.outputs.map_page import render_window, rings_in_pixels, stretch_of, three_bands
from deepnets4eo.outputs.served_page import Answer, PageServer, RequestRefusedError, as_json
from deepnets4eo.rasters import Layer

MIN_M, MIN_PX = 40.0, 64  # side of the ground around a building
AROUND = 2.2  # times the longer side of its outline
WIDE = 3.0  # times that where more of the surroundings is shown
MAX_PX = 3072  # of the image are read along a side
SHOWN_PX = 800
QUALITY = 90
MEASURED = 24  # chips over which brightness is stretched


class Chips:
    """Both images of a map around outlines (N,), as bright as around the rows (n,). Errors: InputError for images that are gone, or others."""

    def __init__(self, folder: Path, shapes: NDArray[np.object_], rows: Sequence[int]) -> None:
        self.map = MapImages.open(folder)
        self.layers = self.map.layers
        self.grid, self._shapes = self.layers["post"].grid, shapes
        bounds = shapely.bounds(shapes)
        corners = apply_affine(~self.grid.affine, bounds[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
        self._low, self._high = corners.min(axis=1), corners.max(axis=1)
        self._stretch = {role: self._measure(layer, rows[:MEASURED]) for role, layer in self.layers.items()}

    def window(self, number: int, *, wide: bool = False) -> Window:
        """Pixels of the image after around a building: a square on the ground."""
        row_m, col_m = gsd_m(self.grid)
        across, down = self._high[number] - self._low[number]
        side_m = max(MIN_M, MIN_PX * max(row_m, col_m), AROUND * max(across * col_m, down * row_m))
        side_m *= WIDE if wide else 1
        height, width = (min(MAX_PX, max(1, math.ceil(side_m / step))) for step in (row_m, col_m))
        col, row = (self._low[number] + self._high[number]) / 2
        return Window(round(row - height / 2), round(col - width / 2), height, width)

    def rings(self, number: int) -> list[list[list[float]]]:
        """Return the outline in pixels of the image after."""
        return rings_in_pixels(self._shapes[[number]], self.grid)

    def webp(self, role: str, number: int, *, wide: bool = False) -> bytes:
        """Draw the picture of a building. Memory: six times MAX_PX² pixels."""
        window = self.window(number, wide=wide)
        step_px = -(-max(window.height, window.width) // SHOWN_PX)
        return render_window(self.layers[role], window, step_px, self._stretch[role], QUALITY).webp

    def _measure(self, layer: Layer, rows: Sequence[int]) -> NDArray[np.float32]:
        """Measure which values become black and white in all chips of an image, by pixels around some buildings."""
        seen = [np.zeros((3, 0))]
        for row in rows:
            data, valid = layer.read(self.window(row))
            seen.append(three_bands(data)[:, valid][:, :: max(1, int(valid.sum()) // 10_000)])
        values = np.concatenate(seen, axis=1)
        return stretch_of(values, np.ones(values.shape[1], bool))


LONGEST_NOTE = 10_000
OTHERS = {NO_BUILDING: "No building", CLOUD: "Under cloud", CANNOT_TELL: "Cannot tell"}  # answers beside the grades


class ReviewServer(PageServer):
    """The page of a sample (GeoPackage) of the map in a folder; `reviewer` is written next to each answer. Raises InputError.

    count : buildings of a round, half of them chosen from earlier answers and half from the sample; None: only the sample.
    """

    def __init__(self, folder: Path, sample: Path, reviewer: str | None = None, count: int | None = None) -> None:
        self.reviewer, self.rounds = reviewer, Rounds(folder, sample, count)
        buildings = self.rounds.buildings
        shapes = buildings.geometry
        visible = ~(shapes.isna() | shapes.is_empty)
        self._row_of = dict(zip(buildings["id"][visible], np.flatnonzero(visible), strict=True))
        try:
            rows = [row for _, row in self.rows()]
        except sqlite3.Error as error:
            raise InputError(f"{sample} cannot be shown: {error}. Move it away to draw another sample.") from error
        self.chips = Chips(folder, shapes.to_numpy(), [self._row_of[row.id] for row in rows])
        self.one_chip = Lock()
        super().__init__(__package__, "review", "deepnets4eo review")

    @property
    def answers(self) -> Answers:
        """Those of the sample."""
        return Answers(self.rounds.sample, self.reviewer)

    def rows(self) -> list[tuple[str, Row]]:
        """Return the rows that are shown, by their names on the page: the rows of the sample, then the chosen rows. Raises sqlite3.Error."""
        files = [("", self.rounds.sample), *((f"{path.stem}-", path) for path in self.rounds.chosen)]
        named = ((f"{name}{row.fid}", row) for name, path in files for row in Answers(path).rows())
        return [(name, row) for name, row in named if row.id in self._row_of]

    def get(self, path: str) -> Answer:
        """Return the rows of the sample, or a chip."""
        if path == "sample.json":
            return as_json(HTTPStatus.OK, self.content())
        match path.split("/"):
            case ["chips", name, role, "near" | "wide" as extent] if role in self.chips.layers:
                number = self._row_of[self._row(name).id]
                with self.one_chip:
                    return HTTPStatus.OK, "image/webp", self.chips.webp(role, number, wide=extent == "wide")
        return super().get(path)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Write an answer, unless the row has changed since the page saw it; or return what the answers show."""
        if path == "state":
            return as_json(HTTPStatus.OK, self.rounds.state())
        if path != "answers":
            return super().post(path, body)
        name = body.get("fid")
        row = self._row(name)
        answer, note = _answer_of(body)
        file = str(name).rpartition("-")[0]
        answers = Answers(self.rounds.folder / f"{file}.gpkg", self.reviewer) if file else self.answers
        saved = answers.commit(row.fid, answer, note, _texts_of(body.get("seen")))
        now = dict(self.rows()).get(str(name))
        if now is None:
            raise RequestRefusedError(HTTPStatus.NOT_FOUND, "This building was taken out of the sample.")
        return as_json(HTTPStatus.OK if saved else HTTPStatus.CONFLICT, vars(now) | {"fid": name})

    def reason(self, error: Exception) -> str:
        """Return an error in words for the page."""
        if not isinstance(error, sqlite3.Error):
            return str(error)
        return (
            f"{self.answers.path.name} cannot be used: {error}. Another program may have it open, for instance QGIS "
            "while editing: save there, then answer again."
        )

    def headline(self) -> str:
        """Return how much of the sample is answered."""
        rows = self.rows()
        return f"{sum(bool(row.answer) for _, row in rows):,} of {len(rows):,} answered"

    def content(self) -> dict[str, Any]:
        """Return the answers to choose from, the rows of the sample, and the addresses of their chips."""
        palette, chips = colors(), self.chips.map
        choices = [{"key": grade, "title": TITLES[grade], "color": list(palette[grade])} for grade in GRADES]
        return {
            "choices": [*choices, *({"key": key, "title": title, "color": None} for key, title in OTHERS.items())],
            "images": {role: chips.event.get(f"date_{role}") for role in chips.layers},
            "aligned": chips.aligned, "synthetic": chips.synthetic, "event": chips.event.get("name"),
            "place": chips.event.get("place"), "reviewer": self.reviewer,
            "round": self.rounds.size,
            "rows": [
                vars(row) | self._where(self._row_of[row.id]) | ({} if name == str(row.fid) else {"fid": name, "chosen": True})
                for name, row in self.rows()
            ],
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

    def _row(self, name: Any) -> Row:
        """Return the row with this name on the page."""
        row = dict(self.rows()).get(str(name))
        if row is None:
            raise RequestRefusedError(HTTPStatus.NOT_FOUND, "There is no such building in the sample.")
        return row


def _answer_of(body: Any) -> tuple[str | None, str | None]:
    """Return a new answer and note, each None if missing."""
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
