"""A line per minute from every training, however long its steps take: forests and statistics of images have no epochs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deepnets4eo.outputs import duration_text

log = logging.getLogger(__name__)

PACKAGE = "deepnets4eo"
EVERY_S = 60.0


class _LastLine(logging.Handler):
    """Time of the last line that was logged or drawn, and the text of the last logged line."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s, self.text = time.monotonic(), ""

    def emit(self, record: logging.LogRecord) -> None:
        self.at_s = time.monotonic()
        if record.name != __name__:
            self.text = record.getMessage()


_open: list[_LastLine] = []


def progress_drawn() -> None:
    """Note that a bar on the terminal has just moved, so that no line is needed."""
    for last in _open:
        last.at_s = time.monotonic()


@contextmanager
def line_per_minute(task: str, every_s: float | None = None) -> Iterator[None]:
    """Log within a `with` block that the work continues, if nothing was logged for a minute (`every_s` seconds)."""
    every = EVERY_S if every_s is None else every_s
    last, ended, began = _LastLine(), threading.Event(), time.monotonic()

    def run() -> None:
        while not ended.wait(max(last.at_s + every - time.monotonic(), every / 10)):
            if time.monotonic() - last.at_s >= every:
                log.info(
                    "%s: %s so far%s",
                    task,
                    duration_text(time.monotonic() - began),
                    f", at: {last.text}" if last.text else "",
                )

    package, thread = logging.getLogger(PACKAGE), threading.Thread(target=run, daemon=True)
    package.addHandler(last)
    _open.append(last)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _open.remove(last)
        package.removeHandler(last)
