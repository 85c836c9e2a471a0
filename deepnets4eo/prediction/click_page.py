"""Page for correcting a label map by clicks, tile by tile; a page with an outdated state overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from threading import Lock
from typing import Any

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.grid import gsd_m
from deepnets4eo.outputs import one_or_many
from deepnets4eo.outputs.map_page import render_window, stretch_of, three_bands
from deepnets4eo.outputs.served_page import PageServer
from deepnets4eo.prediction.click_review import ClickReview
from deepnets4eo.prediction.click_session import ClickSession
from deepnets4eo.tiling import spread_windows

SAMPLES, SAMPLE_PX = 8, 64  # windows along each axis, and their side, that black and white are taken from
QUALITY = 90


class ClickServer(PageServer):
    """The page, with a title, of a label map that is corrected; InputError where the image cannot be read."""

    def __init__(self, review: ClickReview, title: str) -> None:
        self.review, self.title = review, title
        layer = next(iter(review.scene.layers.values()))
        self._layer = layer.subset(layer.shown_bands)
        parts = [self._layer.read(window) for window in spread_windows(review.scene.shape, (SAMPLE_PX,) * 2, SAMPLES)]
        values = np.concatenate([three_bands(data)[:, valid] for data, valid in parts], axis=1)
        self._stretch = stretch_of(values, np.ones(values.shape[1], bool))
        self._version, self._one = 0, Lock()
        words = {
            "TITLE": "Correction of a label map", "MADE_UP": "This place is made up.",
            "INSTEAD": "Points drawn in QGIS correct labels, too: deepnets4eo predict --clicks.",
        }  # fmt: skip
        super().__init__(__package__, "clicks", "deepnets4eo clicks", words)

    def get(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Return the content of the page, its present state, the picture of a tile, or the labels of a state."""
        with self._one:
            match path.split("/"):
                case ["page.json"]:
                    return self.as_json(HTTPStatus.OK, self._content())
                case ["state.json"]:
                    return self.as_json(HTTPStatus.OK, self._state())
                case ["tile", number] if number in map(str, range(len(self.review.tiles))):
                    window = self.review.tiles[int(number)]
                    return (
                        HTTPStatus.OK,
                        "image/webp",
                        render_window(self._layer, window, 1, self._stretch, QUALITY).webp,
                    )
                case ["labels", version] if version == str(self._version):
                    return HTTPStatus.OK, "application/octet-stream", self.review.labels.tobytes()
        return super().get(path)

    def post(self, path: str, body: dict[str, Any]) -> tuple[HTTPStatus, str, bytes]:
        """Do what was sent where the page saw the present state, and return the next one."""
        acts: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "click": self._click, "undo": self._undo, "follow": self._follow, "tile": self._open, "next": self._next,
        }  # fmt: skip
        if path not in acts:
            return super().post(path, body)
        with self._one:
            if body.get("version") != self._version:
                return self.as_json(HTTPStatus.CONFLICT, self._state())
            try:
                done = acts[path](body)
            except InputError as error:
                raise self.refusal(str(error), HTTPStatus.BAD_REQUEST) from error
            return self.as_json(HTTPStatus.OK, self._state() | done)

    def headline(self) -> str:
        """Summarise how much was corrected."""
        tiles = int(self.review.clicked_tiles().sum())
        return f"{one_or_many(len(self.review.clicks), 'one click', f'{len(self.review.clicks):,} clicks')} on {tiles:,} of {len(self.review.tiles):,} tiles"

    def _content(self) -> dict[str, Any]:
        review = self.review
        classes = [{"title": entry.name, "color": list(entry.color)} for entry in review.legend.classes]
        tiles = [[tile.row, tile.col, tile.height, tile.width] for tile in review.tiles]
        return {
            "title": self.title, "classes": classes, "tiles": tiles, "synthetic": review.scene.synthetic, "measure": review.measure,
            "takes_clicks": review.session.takes_clicks, "gsd_m": gsd_m(review.grid)[1] if review.grid.crs is not None else None,
        }  # fmt: skip

    def _state(self) -> dict[str, Any]:
        review, session = self.review, self.review.session
        marks = zip(
            *(values.tolist() for values in (session.clicks.rows, session.clicks.cols, session.clicks.classes)),
            strict=True,
        )
        return {
            "version": self._version, "tile": review.number, "marks": list(marks), "undoable": session.undoable > 0,
            "follows": session.follows, "clicks": len(review.clicks), "clicked": review.clicked_tiles().tolist(),
        }  # fmt: skip

    def _stroke(self, act: Callable[[ClickSession], object]) -> dict[str, Any]:
        changed = self.review.stroke(act)
        self._version += 1
        return {"changed": changed}

    def _click(self, body: dict[str, Any]) -> dict[str, Any]:
        row, col, index = (_whole(body, name) for name in ("row", "col", "class"))
        return self._stroke(lambda session: session.click(row, col, index))

    def _undo(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._stroke(ClickSession.undo)

    def _follow(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._stroke(lambda session: session.follow(on=body.get("on") is True))

    def _open(self, body: dict[str, Any]) -> dict[str, Any]:
        number = self.review.next_tile() if body.get("number") is None else _whole(body, "number")
        if number is None:
            return {"all": True}
        if not 0 <= number < len(self.review.tiles):
            raise self.refusal(f"There are {len(self.review.tiles):,} tiles.", HTTPStatus.BAD_REQUEST)
        self.review.open(number)
        self._version += 1
        return {}

    def _next(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"next": list(self.review.next_click())}


def _whole(body: dict[str, Any], name: str) -> int:
    """Return a whole number from the request body."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 1 << 31:
        raise PageServer.refusal(f"Expected a whole number as {name}.", HTTPStatus.BAD_REQUEST)
    return value
