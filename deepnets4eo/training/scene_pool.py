"""Scenes that other processes make ahead of their reader, each with all its windows cut.

Scenes of the synthetic world are drawn in Python, one process on one core. A single process would keep a GPU waiting.

Windows come back in files of the system's temporary folder (`TMPDIR`, best in memory). A pipe of as many megabytes
would take turns with the Python of the training.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

Window = dict[str, NDArray[Any]]
Visit = tuple[int, int]  # seed of a scene, and how often it was read before
_work: Callable[[Visit], _Packed] | None = None  # of a process of the pool


class ScenePool:
    """Windows by the seed and visit of their scene, each taken once; at most `ahead` scenes are prepared before they are read.

    The processes are forks, so that the function that makes the scenes needs no pickle: start the pool before a GPU is used.
    Errors: InputError if the system has no forks.
    """

    def __init__(self, make_windows: Callable[[int, int], list[Window]], processes: int, ahead: int) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise InputError(
                "processes that make scenes need Linux or macOS. Set data.processes=0, so that threads do."
            )
        context = multiprocessing.get_context("fork")
        self._folder = TemporaryDirectory(prefix="windows-")
        self._pool = ProcessPoolExecutor(processes, context, _begin, (make_windows, Path(self._folder.name)))
        self._ahead, self._lock = ahead, threading.Lock()
        self._position: dict[Visit, int] = {}  # of a scene in the order of the epoch
        self._furthest = 0
        self._coming: deque[Visit] = deque()
        self._made: dict[Visit, Future[_Packed]] = {}
        self._unread: Counter[Visit] = Counter()
        self._pool.submit(int).result()  # all processes start here, before threads and a GPU do

    def plan(self, visits: Sequence[Visit]) -> None:
        """Start making the scenes of these windows, in order, with one visit per window; scenes of an earlier plan are dropped."""
        with self._lock:
            self._drop(list(self._made))
            self._unread, self._furthest = Counter(visits), 0
            self._position = {visit: position for position, visit in enumerate(self._unread)}
            self._coming = deque(self._position)
            self._make_ahead()

    def take(self, visit: Visit, number: int) -> Window:
        """Take the window `number` of a scene; wait until it is made."""
        with self._lock:
            self._furthest = max(self._furthest, self._position.get(visit, 0))
            if visit not in self._made:
                self._made[visit] = self._pool.submit(_make, visit)
            future = self._made[visit]
            self._make_ahead()
        window = future.result().window(number)
        with self._lock:
            self._unread[visit] -= 1
            if self._unread[visit] <= 0:
                self._drop([visit])
        return window

    def _make_ahead(self) -> None:
        """Make the next scenes; drop scenes that other processes read, or that a resumed training has read before."""
        oldest = self._furthest - 2 * self._ahead
        self._drop([visit for visit in self._made if self._position.get(visit, oldest) < oldest])
        while self._coming and self._position[self._coming[0]] <= self._furthest + self._ahead:
            visit = self._coming.popleft()
            if visit not in self._made and self._unread[visit] > 0 and self._position[visit] >= oldest:
                self._made[visit] = self._pool.submit(_make, visit)

    def _drop(self, visits: Sequence[Visit]) -> None:
        for visit in visits:
            future = self._made.pop(visit, None)
            if future is not None and not future.cancel():
                future.add_done_callback(_delete)


@dataclass(frozen=True)
class _Packed:
    """Windows of one scene in a file: of each layer its shape with the windows first, type and first byte."""

    path: Path
    layers: dict[str, tuple[tuple[int, ...], str, int]]

    @classmethod
    def write(cls, path: Path, windows: Sequence[Window]) -> _Packed:
        """Windows of one shape in a new file."""
        layers, start = {}, 0
        with path.open("wb") as file:
            for name in windows[0]:
                stack = np.stack([window[name] for window in windows])
                layers[name] = stack.shape, stack.dtype.str, start
                start += file.write(np.ascontiguousarray(stack).data.cast("B"))
        return cls(path, layers)

    def window(self, number: int) -> Window:
        """One window, read."""
        return {name: np.memmap(self.path, kind, "r", start, shape)[number].copy().view(np.ndarray)
                for name, (shape, kind, start) in self.layers.items()}  # fmt: skip

    def delete(self) -> None:
        """Give the room back."""
        self.path.unlink()


def _delete(future: Future[_Packed]) -> None:
    if future.exception() is None:
        future.result().delete()


def _begin(make_windows: Callable[[int, int], list[Window]], folder: Path) -> None:
    global _work
    _work = partial(_write, make_windows, folder)
    with contextlib.suppress(ModuleNotFoundError):
        import torch

        torch.set_num_threads(1)  # as many processes as cores, and OpenMP's threads do not survive a fork


def _write(make_windows: Callable[[int, int], list[Window]], folder: Path, visit: Visit) -> _Packed:
    return _Packed.write(folder / "-".join(map(str, visit)), make_windows(*visit))


def _make(visit: Visit) -> _Packed:
    assert _work is not None
    return _work(visit)
