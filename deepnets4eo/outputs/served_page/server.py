"""The server of an interactive page, only for the browsers of this computer: 127.0.0.1, by a random token.

Requests of other hosts and sites are refused, and the page loads nothing from elsewhere. `NAME.html` is its main part, in the frame
`page.html`; `NAME.css` and `NAME.js` follow the shared `page.css` and `page.js`.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, TypeAlias

from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.outputs.safe_text import COLOURS, asset_text, fill_template

HOST = "127.0.0.1"
PORT = 8620  # where it is free, else any: a tunnel from another computer needs one that is known
TYPES = {"css": "text/css", "js": "text/javascript"}
PICTURES = {"webp": "image/webp"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MAX_BYTES = 1 << 18  # of a request's body
TIMEOUT_S = 60

Answer: TypeAlias = tuple[HTTPStatus, str, bytes]  # with the type of its content

log = logging.getLogger(__name__)


class PageServer(ThreadingHTTPServer):
    """A page of a package's `assets`, answered at `address` within `serve_forever`; subclasses implement `get` and `post`.

    package, name : of its assets
    verb : command that serves it
    words : TITLE, MADE_UP (what a SYNTHETIC page shows), INSTEAD (what to do without JavaScript), as HTML
    """

    daemon_threads = True
    request_queue_size = 64  # a browser opens six connections a page at once, and a busy computer accepts them late
    allow_reuse_address = sys.platform != "win32"  # where it lets two programs share a port

    def __init__(self, package: str, name: str, verb: str, words: Mapping[str, str]) -> None:
        kinds = ("css", "js")
        own, shared = ((package, f"{name}.{kind}") for kind in kinds), ((__package__, f"page.{kind}") for kind in kinds)
        self.assets = {file: (where, file) for where, file in (*own, *shared, ("deepnets4eo.outputs", COLOURS))}
        parts = {**words, "NAME": name, "MAIN": asset_text(package, f"{name}.html")}
        self.html = fill_template(asset_text(__package__, "page.html"), parts)
        self.token, self.verb = secrets.token_urlsafe(24), verb
        try:
            super().__init__((HOST, PORT), _Handler)
        except OSError:
            super().__init__((HOST, 0), _Handler)
        self.address = f"http://{HOST}:{self.server_port}/{self.token}/"

    def get(self, path: str) -> Answer:
        """Return the answer at a path behind the token, other than assets. Errors: RequestRefusedError."""
        raise RequestRefusedError(HTTPStatus.NOT_FOUND, f"There is no page {path!r}.")

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Do what was sent. Errors: RequestRefusedError, and errors of the toolbox and of SQLite, which the page shows."""
        raise RequestRefusedError(HTTPStatus.NOT_FOUND, f"There is no page {path!r}.")

    def serve(self) -> None:
        """Serve until it is interrupted (Ctrl-C)."""
        with self, suppress(KeyboardInterrupt):
            self.serve_forever()

    @staticmethod
    def as_json(status: HTTPStatus, value: Any) -> Answer:
        """Return an answer of plain values."""
        return status, "application/json", json.dumps(value).encode()

    @staticmethod
    def refusal(message: str, status: HTTPStatus = HTTPStatus.NOT_FOUND) -> RequestRefusedError:
        """Return the error of a request that gets no answer."""
        return RequestRefusedError(status, message)

    def reason(self, error: Exception) -> str:
        """Return an error in words for the page."""
        return str(error)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what broke an answer off: mostly a page that was closed."""
        log.debug("an answer to %s broke off", client_address, exc_info=True)


class RequestRefusedError(Exception):
    """A request that gets no answer. status : of HTTP."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "deepnets4eo", ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(lambda path: self.server.post(path, self._body()))

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _respond(self, act: Callable[[str], Answer]) -> None:
        try:
            status, kind, body = act(self._path())
        except RequestRefusedError as refused:
            self.close_connection = True  # its body was not read
            status, kind, body = self.server.as_json(refused.status, {"error": str(refused)})
        except (sqlite3.Error, DeepNets4EOError) as error:
            status, kind, body = self.server.as_json(
                HTTPStatus.SERVICE_UNAVAILABLE, {"error": self.server.reason(error)}
            )
        with suppress(ConnectionError):  # the page was closed
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if "image" not in kind else kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def _path(self) -> str:
        """Return the requested path, behind the token."""
        hosts = [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]
        if self.headers.get_all("Host") not in [[host] for host in hosts]:
            raise RequestRefusedError(HTTPStatus.FORBIDDEN, "This host is not served here.")
        if (origin := self.headers.get("Origin")) is not None and origin != f"http://{self.headers['Host']}":
            raise RequestRefusedError(HTTPStatus.FORBIDDEN, "Another site has no access.")
        token, slash, path = self.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise RequestRefusedError(HTTPStatus.FORBIDDEN, f"Open the address that `{self.server.verb}` printed.")
        return path

    def _get(self, path: str) -> Answer:
        if not path:
            return HTTPStatus.OK, "text/html", self.server.html.encode()
        if path in self.server.assets:
            package, name = self.server.assets[path]
            body = (files(package) / "assets" / name).read_bytes()
            return HTTPStatus.OK, (TYPES | PICTURES)[name.rpartition(".")[2]], body
        return self.server.get(path)

    def _body(self) -> dict[str, Any]:
        """Return the JSON of a request. A page of another site cannot send this type without permission."""
        length = self.headers.get("Content-Length", "")
        known = length.isdecimal() and len(length) < 10 and int(length) <= MAX_BYTES
        if not known or self.headers.get_content_type() != "application/json":
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, f"Expected JSON of {MAX_BYTES:,} bytes at most.")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "Expected JSON.") from error
        return body if isinstance(body, dict) else {}
