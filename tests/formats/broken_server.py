"""A web server for one file that breaks off or stalls beyond the first bytes, or that has it at every path: `python broken_server.py FILE break|stall|all`."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEAD_BYTES = 16_384  # that GDAL asks for when it opens a file


class Handler(BaseHTTPRequestHandler):
    """Answers with ranges of the file; beyond the first bytes with half of what it announces."""

    name, content, fault, asked = "", b"", "", Path()

    def do_HEAD(self) -> None:
        if self._knows():
            self._announce(0, len(self.content), 200)

    def do_GET(self) -> None:
        if not self._knows():
            return
        asked = self.headers.get("Range", "").removeprefix("bytes=").split("-")
        first, stop = (
            (int(asked[0]), min(int(asked[1]) + 1, len(self.content))) if len(asked) == 2 else (0, len(self.content))
        )
        self._announce(first, stop, 206 if len(asked) == 2 else 200)
        body = self.content[first:stop]
        if stop <= HEAD_BYTES or self.fault == "all":
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) // 2])
        if self.fault == "stall":
            time.sleep(60)
        self.close_connection = True

    def _knows(self) -> bool:
        known = self.fault == "all" or self.path == f"/{self.name}"
        if self.fault == "all":
            with self.asked.open("a") as log:
                log.write(f"{self.path}\n")
        if not known:
            self.send_error(404)
        return known

    def _announce(self, first: int, stop: int, status: int) -> None:
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - first))
        self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(self.content)}")
        self.end_headers()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    Handler.name, Handler.content, Handler.fault = path.name, path.read_bytes(), sys.argv[2]
    Handler.asked = path.with_name("asked.txt")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
