"""Progress of work that is one of several steps: each says its own share, the caller sees that of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[float], None]  # called with the share that is done, 0–1


def between(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """Return what a step calls that is the work from `begin` to `end` of all; None where it is none of it, or without `progress`.

    >>> between(print, 0.5, 1.0)(0.5)
    0.75
    """
    if progress is None or begin == end:
        return None
    return lambda share: progress(begin + (end - begin) * share)
