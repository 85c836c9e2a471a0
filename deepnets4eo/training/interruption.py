"""Ctrl-C during a training: the step that runs is finished, so that its state can be saved; a second one stops at once."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

log = logging.getLogger(__name__)


class Interruption:
    """Whether a training is to stop: `requested` is True once Ctrl-C was pressed within `watch`.

    >>> interruption = Interruption()
    >>> with interruption.watch():
    ...     interruption.requested
    False
    """

    def __init__(self) -> None:
        self.requested = False

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Note the first Ctrl-C within the context; the second raises KeyboardInterrupt. Only the main thread can
        watch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        with contextlib.suppress(RuntimeError):  # the signal came while another line was being written
            log.warning("interrupted: the step is finished and saved first. Press Ctrl-C again to stop at once.")
