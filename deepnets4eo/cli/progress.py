"""Progress of long work: a bar on a terminal, log lines elsewhere; always on stderr.

Takes a title; yields a function that is called with the share done, 0–1.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG_EVERY_S = 10.0


@contextmanager
def progress(title: str) -> Iterator[Callable[[float], None]]:
    """A context whose value is a function that takes the share of the work that is done, 0–1."""
    if not sys.stderr.isatty():
        yield _log_progress(title)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _log_progress(title: str) -> Callable[[float], None]:
    last = time.monotonic()

    def advance(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_EVERY_S:
            last = time.monotonic()
            logging.getLogger(__name__).info("%s: %.0f %%", title, 100 * share)

    return advance
