"""Open GDAL handles of a source, lent to one thread at a time.

GDAL keeps decoded blocks by handle, so the one used last is lent first: threads that take turns decode a block once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rasterio.io import DatasetReader


class Handles:
    """Handles of one source; as many are open as threads have read it at once."""

    def __init__(self) -> None:
        self._idle: list[DatasetReader] = []
        self._process, self._inherited = os.getpid(), list[list[DatasetReader]]()

    @contextmanager
    def lend(self, open_dataset: Callable[[], DatasetReader]) -> Iterator[DatasetReader]:
        """Lend a handle that no other thread uses within the `with` block; a new one is opened where all are lent."""
        if os.getpid() != self._process:  # a forked process shares the position in the files of handles it inherited
            self._process, self._inherited, self._idle = os.getpid(), [*self._inherited, self._idle], []
        idle = self._idle
        try:
            handle = idle.pop()
        except IndexError:  # not looked up before: another thread may take the last one in between
            handle = open_dataset()
        try:
            yield handle
        finally:
            idle.append(handle)
