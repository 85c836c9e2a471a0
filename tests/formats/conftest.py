"""A web server on this computer that writes down what it is asked for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


class WebServer:
    """Serves a folder at `url`; `requests` are those since the test began. In a process of its own: GDAL keeps the
    interpreter's lock while it opens an address."""

    def __init__(self, url: str, folder: Path, log: Path) -> None:
        self.url, self.folder, self._log, self._seen = url, folder, log, 0

    def begin(self) -> None:
        """Forget what was asked before."""
        self._seen = len(self._log.read_text().splitlines())

    @property
    def requests(self) -> list[str]:
        """The lines of its log."""
        return self._log.read_text().splitlines()[self._seen :]


@pytest.fixture(scope="session")
def running_server(tmp_path_factory) -> Iterator[WebServer]:
    """One server for all tests."""
    folder = tmp_path_factory.mktemp("served")
    log = tmp_path_factory.mktemp("log") / "requests.txt"
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with log.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as process:
        port = process.stdout.readline().partition(" port ")[2].split()[0]
        yield WebServer(f"http://127.0.0.1:{port}", folder, log)
        process.terminate()


@pytest.fixture
def server(running_server) -> WebServer:
    """The server, with nothing asked yet."""
    running_server.begin()
    return running_server
