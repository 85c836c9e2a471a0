"""A page on which a person grades the buildings of a sample: chips of both images; see `outputs.served_page` for who is let in.

An answer is a transaction of SQLite, refused where the row is no longer as the person saw it."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.review.answers import LAYER, open_sample, read_filled
from deepnets4eo.damage.review.counts import ANSWERS, CANNOT_TELL, CLOUD, NO_BUILDING
from deepnets4eo.damage.vocabulary import GRADES, TITLES, colors
from deepnets4eo.errors import InputError
from deepnets4eo.files import sha256
from deepnets4eo.grid import Window, apply_affine, gsd_m
from deepnets4eo.outputs.map_page.page import rings_in_pixels
from deepnets4eo.outputs.map_page.panels import render_window, stretch_of, three_bands
from deepnets4eo.outputs.served_page.server import Answer, PageServer, RequestRefusedError, as_json
from deepnets4eo.rasters.display import colour_bands
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration.pair import UNMOVED, ImagePair, on_post_grid

LEAST_M, LEAST_PX = 40.0, 64  # side of the ground around a building
AROUND = 2.2  # times the longer side of its outline
WIDE = 3.0  # times that where more of the surroundings is shown
MOST_PX = 3072  # of the image are read along a side
SHOWN_PX = 800
QUALITY = 90
MEASURED = 24  # chips over which brightness is stretched


@dataclass(frozen=True)
class Row:
    """A building of the sample: number of the row, place in the order, id, and answer."""

    fid: int
    look: int
    id: str
    answer: str | None
    note: str | None
    reviewer: str | None


class Answers:
    """The rows of a sample (GeoPackage), answered one by one by a reviewer."""

    def __init__(self, path: Path, reviewer: str | None = None) -> None:
        self.path, self.reviewer = path, reviewer

    def rows(self) -> list[Row]:
        """All rows in their order. Errors: sqlite3.Error."""
        columns = ", ".join(Row.__dataclass_fields__)
        with closing(open_sample(self.path, "ro")) as database:
            return [Row(*row) for row in database.execute(f"SELECT {columns} FROM {LAYER} ORDER BY look, fid")]

    def commit(self, fid: int, answer: str | None, note: str | None, seen: tuple[str | None, str | None]) -> bool:
        """Whether an answer was written: not where the row is no longer as seen. Errors: sqlite3.Error."""
        with closing(open_sample(self.path, "rw")) as database, database:
            done = database.execute(
                f"UPDATE {LAYER} SET answer = ?, note = ?, reviewer = ?"
                " WHERE fid = ? AND COALESCE(answer, '') = ? AND COALESCE(note, '') = ?",
                (answer, note, self.reviewer, fid, seen[0] or "", seen[1] or ""),
            )
        return done.rowcount == 1


class Chips:
    """Both images of a map around outlines (n,). Errors: InputError for images that are gone, or others."""

    def __init__(self, folder: Path, shapes: NDArray[np.object_]) -> None:
        manifest, summary = (_read_json(folder / name) for name in ("manifest.json", "summary.json"))
        self.event, self.synthetic = manifest["event"], bool(manifest["synthetic"])
        registration = summary.get("registration", {})
        self.aligned = registration.get("status") != "failed"
        pre, post = (_files_of(role, manifest["inputs"], folder) for role in ("pre", "post"))
        if not post:
            raise InputError(f"{folder / 'manifest.json'} names no image after the event. Fill the sample in QGIS.")
        pair = ImagePair.open(pre or None, post, gsd_m=manifest["parameters"].get("gsd_m"), as_shown=True)
        pair = pair.pair_by_pixels().declare_nodata("pre").declare_nodata("post")
        layers = (
            {}
            if pair.pre is None
            else {"pre": on_post_grid(pair.pre, pair.post.grid, registration.get("matrix", UNMOVED))}
        )
        layers["post"] = pair.post
        self.layers = {role: layer.subset(colour_bands(layer)) for role, layer in layers.items()}
        self.grid, self._shapes = pair.post.grid, shapes
        bounds = shapely.bounds(shapes)
        corners = apply_affine(~self.grid.affine, bounds[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
        self._low, self._high = corners.min(axis=1), corners.max(axis=1)
        self._stretch = {role: self._measure(layer) for role, layer in self.layers.items()}

    def window(self, number: int, *, wide: bool = False) -> Window:
        """Pixels of the image after around a building: a square on the ground."""
        row_m, col_m = gsd_m(self.grid)
        across, down = self._high[number] - self._low[number]
        side_m = max(LEAST_M, LEAST_PX * max(row_m, col_m), AROUND * max(across * col_m, down * row_m))
        side_m *= WIDE if wide else 1
        height, width = (min(MOST_PX, max(1, math.ceil(side_m / step))) for step in (row_m, col_m))
        col, row = (self._low[number] + self._high[number]) / 2
        return Window(round(row - height / 2), round(col - width / 2), height, width)

    def rings(self, number: int) -> list[list[list[float]]]:
        """The outline in pixels of the image after."""
        return rings_in_pixels(self._shapes[[number]], self.grid)

    def webp(self, role: str, number: int, *, wide: bool = False) -> bytes:
        """The picture of a building. Memory: six times MOST_PX² pixels."""
        window = self.window(number, wide=wide)
        step_px = -(-max(window.height, window.width) // SHOWN_PX)
        return render_window(self.layers[role], window, step_px, self._stretch[role], QUALITY).webp

    def _measure(self, layer: Layer) -> NDArray[np.float32]:
        """What becomes black and white in all chips of an image, by pixels around some buildings."""
        seen = [np.zeros((3, 0))]
        for number in range(min(MEASURED, len(self._shapes))):
            data, valid = layer.read(self.window(number))
            seen.append(three_bands(data)[:, valid][:, :: max(1, int(valid.sum()) // 10_000)])
        values = np.concatenate(seen, axis=1)
        return stretch_of(values, np.ones(values.shape[1], bool))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}. It comes with the map; give the folder that `deepnets4eo damage` wrote."
        ) from error


def _files_of(role: str, inputs: dict[str, Any], folder: Path) -> list[str]:
    """The files of an image. Paths from another folder are looked for above the map's."""
    named = sorted(
        (int(match[1] or 0), facts)
        for name, facts in inputs.items()
        if (match := re.fullmatch(rf"{role}(?:_(\d+))?", name))
    )
    return [_file_of(role, facts, folder) for _, facts in named]


def _file_of(role: str, facts: dict[str, Any], folder: Path) -> str:
    paths = [base / facts["path"] for base in (Path(), *folder.resolve().parents)]
    there = [path for path in paths if path.is_file()]
    same = [
        path for path in there
        if facts.get("bytes") in (None, path.stat().st_size) and facts.get("sha256") in (None, sha256(path))
    ]  # fmt: skip
    if not same:
        wrong = "is another file by now" if there else "is not on this machine"
        raise InputError(
            f"{facts['path']}, the {role} image of this map, {wrong}. Put it back, or fill the sample in QGIS instead."
        )
    return str(same[0])


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
