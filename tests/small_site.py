"""A web server of this computer whose pages are JSON, text or functions of its handler, and what it was asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def small_site() -> Iterator[tuple[str, dict[str, Any]]]:
    """Its address, and path → page; "asked" lists the paths with their headers, "posted" what was posted as JSON."""
    pages: dict[str, Any] = {"asked": [], "posted": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(urlsplit(self.path).path)
            pages["asked"].append((self.path, dict(self.headers)))
            try:
                if callable(page):
                    page(self)
                    return
                body = page if isinstance(page, bytes) else json.dumps(page).encode()
                self.send_response(404 if page is None else 200)
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # the other side has seen enough
                return

        def do_POST(self) -> None:
            pages["posted"].append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()
