"""Parts of a file that GDAL reports as dropped, such as a tag that it cannot read: not an error, but a problem of the file."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DROPPED = re.compile(r"\b(ignored|not read|failed to decode)\b", re.IGNORECASE)
SOURCE = re.compile(r"^CPLE_\w+ in (?:[^:]*: )?")  # before GDAL's own words
MAX_REPORTED = 3  # of one file


class _Reports(logging.Handler):
    """Keeps what is reported in one thread, each sentence once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        text = SOURCE.sub("", record.getMessage())
        if record.thread == self._thread and DROPPED.search(text) and text not in self.texts:
            self.texts.append(text)


@contextmanager
def dropped_words(problems: list[str]) -> Iterator[None]:
    """Add to the problems what GDAL drops of the files that are read within the context."""
    reports, log = _Reports(), logging.getLogger("rasterio")
    log.addHandler(reports)
    try:
        yield
    finally:
        log.removeHandler(reports)
    if reports.texts:
        problems.append(
            f"GDAL cannot read a part of what it states: {'; '.join(text.rstrip('.') for text in reports.texts[:MAX_REPORTED])}. Write it again: gdal_translate IN OUT.tif"
        )
