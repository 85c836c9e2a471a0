"""A page on which a person grades the buildings of a sample, served to the browsers of this computer alone.

Takes the folder of a map and its sample. It listens on 127.0.0.1; its address holds a random token, without which nothing is given out,
and requests that name another host or come from another site are refused. The page loads nothing from elsewhere (its content security
policy says so to the browser). Names and notes go to it as JSON and are set as text. One chip is rendered at a time.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from deepnets4eo.damage.review.answers import read_filled
from deepnets4eo.damage.review.counts import ANSWERS, CANNOT_TELL
from deepnets4eo.damage.review.looks import Answers, Chips
from deepnets4eo.damage.vocabulary import GRADES, TITLES, colors
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.grid import gsd_m

HOST, PORT = (
    "127.0.0.1",
    8620,
)  # the port where it is free, else any, so that a tunnel to another computer can be told it
PARTS = {
    "": ("review.html", "text/html"),
    "review.css": ("review.css", "text/css"),
    "review.js": ("review.js", "text/javascript"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MOST_BYTES = 1 << 18  # of a request's body
LONGEST_NOTE = 10_000
TIMEOUT_S = 60

log = logging.getLogger(__name__)


class ReviewServer(ThreadingHTTPServer):
    """The page of a sample; listens once it is made, and answers within `serve_forever`.

    Parameters
    ----------
    folder
        Folder of the damage map.
    sample
        A GeoPackage of drawn or chosen buildings, whose rows get the answers.
    reviewer
        Who answers; written beside each answer. None for no name.

    Attributes
    ----------
    address : str
        Where the page is, with its token.

    Raises
    ------
    InputError
        See `read_filled`; an image of the map is gone or is another one.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # where it lets two programs share a port

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
        self.token, self.one_chip = secrets.token_urlsafe(24), Lock()
        try:
            super().__init__((HOST, PORT), _Handler)
        except OSError:
            super().__init__((HOST, 0), _Handler)
        self.address = f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what broke an answer off: mostly a page that was closed."""
        log.debug("an answer to %s broke off", client_address, exc_info=True)

    def content(self) -> dict[str, Any]:
        """What the page is made of: answers to choose from, rows of the sample, and where their chips lie."""
        palette, chips = colors(), self.chips
        choices = [{"key": grade, "title": TITLES[grade], "color": list(palette[grade])} for grade in GRADES]
        at = {fid: number for number, fid in enumerate(self.fids)}
        return {
            "choices": [*choices, {"key": CANNOT_TELL, "title": "Cannot tell", "color": None}],
            "images": {role: chips.event.get(f"date_{role}") for role in chips.layers},
            "aligned": chips.aligned, "synthetic": chips.synthetic, "event": chips.event.get("name"),
            "place": chips.event.get("place"), "reviewer": self.answers.reviewer,
            "rows": [vars(row) | self._where(at[row.fid]) for row in self.answers.rows() if row.fid in at],
        }  # fmt: skip

    def _where(self, number: int) -> dict[str, Any]:
        """Outline of a building, and what its chips show: left, top, width and height in pixels of the image after, and metres."""
        windows = [self.chips.window(number, wide=wide) for wide in (False, True)]
        col_m = gsd_m(self.chips.grid)[1]
        return {
            "rings": self.chips.rings(number),
            "windows": [[window.col, window.row, window.width, window.height] for window in windows],
            "across_m": [window.width * col_m for window in windows] if self.chips.grid.crs is not None else None,
        }


class _RefusedError(Exception):
    """A request that gets no answer. status : of HTTP."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "deepnets4eo", ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _respond(self, act: Callable[[str], tuple[HTTPStatus, str, bytes]]) -> None:
        try:
            status, kind, body = act(self._path())
        except _RefusedError as refused:
            self.close_connection = True  # its body was not read
            status, kind, body = _json(refused.status, {"error": str(refused)})
        except (sqlite3.Error, DeepNets4EOError) as error:
            status, kind, body = _json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": self._reason(error)})
        with suppress(ConnectionError):  # the page was closed
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if "image" not in kind else kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def _reason(self, error: Exception) -> str:
        if not isinstance(error, sqlite3.Error):
            return str(error)
        return (
            f"{self.server.answers.path.name} cannot be used: {error}. Another program may have it open, for instance QGIS "
            "while editing: save there, then answer again."
        )

    def _path(self) -> str:
        """What was requested, behind the token."""
        hosts = [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]
        if self.headers.get_all("Host") not in [[host] for host in hosts]:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This host is not served here.")
        if (origin := self.headers.get("Origin")) is not None and origin != f"http://{self.headers['Host']}":
            raise _RefusedError(HTTPStatus.FORBIDDEN, "Another site has no access.")
        token, slash, path = self.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "Open the address that `deepnets4eo review` printed.")
        return path

    def _get(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path in PARTS:
            name, kind = PARTS[path]
            return HTTPStatus.OK, kind, (files(__package__) / "assets" / name).read_bytes()
        if path == "sample.json":
            return _json(HTTPStatus.OK, self.server.content())
        match path.split("/"):
            case ["chips", fid, role, "near" | "wide" as extent] if role in self.server.chips.layers:
                number = self._number(fid)
                with self.server.one_chip:
                    return HTTPStatus.OK, "image/webp", self.server.chips.webp(role, number, wide=extent == "wide")
        raise _RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _number(self, fid: Any) -> int:
        try:
            return self.server.fids.index(int(fid))
        except (TypeError, ValueError, OverflowError) as error:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is no such building in the sample.") from error

    def _post(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path != "answers":
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")
        body = self._body()
        fid = self.server.fids[self._number(body.get("fid"))]
        answer, note = _answer_of(body)
        saved = self.server.answers.commit(fid, answer, note, _texts_of(body.get("seen")))
        rows = [row for row in self.server.answers.rows() if row.fid == fid]
        if not rows:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "This building was taken out of the sample.")
        return _json(HTTPStatus.OK if saved else HTTPStatus.CONFLICT, vars(rows[0]))

    def _body(self) -> Any:
        """The JSON of a request. A page of another site cannot send this type without leave."""
        length = self.headers.get("Content-Length", "")
        known = length.isdecimal() and len(length) < 10 and int(length) <= MOST_BYTES
        if not known or self.headers.get_content_type() != "application/json":
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"Expected JSON of {MOST_BYTES:,} bytes at most.")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "Expected JSON.") from error
        return body if isinstance(body, dict) else {}


def _answer_of(body: Any) -> tuple[str | None, str | None]:
    """A new answer and note, each None where there is none."""
    answer, note = _texts_of(body)
    if answer not in (None, *ANSWERS) or len(note or "") > LONGEST_NOTE:
        expected = f"one of {', '.join(ANSWERS)}, and a note of {LONGEST_NOTE:,} characters at most"
        raise _RefusedError(HTTPStatus.BAD_REQUEST, f"Expected {expected}.")
    return answer, note


def _texts_of(body: Any) -> tuple[str | None, str | None]:
    """Answer and note as they are."""
    try:
        answer, note = (body[name] for name in ("answer", "note"))
        for text in (answer, note):
            (text or "").encode()
    except (TypeError, KeyError, AttributeError, UnicodeEncodeError) as error:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "Expected answer and note, text or null.") from error
    return answer or None, note or None


def _json(status: HTTPStatus, value: Any) -> tuple[HTTPStatus, str, bytes]:
    return status, "application/json", json.dumps(value).encode()


def serve_page(server: ReviewServer) -> str:
    """Serve until it is interrupted (Ctrl-C). returns : how far the sample is answered."""
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
    rows = server.answers.rows()
    return f"{sum(bool(row.answer) for row in rows):,} of {len(rows):,} answered"
