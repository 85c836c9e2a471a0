"""Windows of scenes that are made from a seed when they are read: training without files, and without end.

Everything follows from the seed of the training and the epoch; no epoch repeats another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from deepnets4eo.cards import run_path
from deepnets4eo.segmenters import RunFolder, open_sealed
from deepnets4eo.training.data import Sample
from deepnets4eo.training.scene_pool import ScenePool

SceneType = TypeVar("SceneType")

MIXED_SCENES = 32  # whose windows are mixed: of four, a network forgets one kind of site over the next
KEPT_SCENES = 2 * MIXED_SCENES  # in memory: threads read ahead into the next ones


@dataclass(frozen=True)
class StreamWindow:
    """One window: the seed of its scene, and which of the scene's windows it is."""

    scene_seed: int
    number: int


@dataclass
class StreamSamples(Generic[SceneType]):
    """Samples that `cut_window` cuts from scenes, which `make_scene` makes from a seed.

    If `processes` is above 0, that many separate processes do this.

    Peak memory: 64 scenes; processes keep the windows of as many in files.
    """

    make_scene: Callable[[int], SceneType]
    cut_window: Callable[[SceneType, np.random.Generator], Sample]
    windows_per_epoch: int
    windows_per_scene: int = 8
    seed: int = 0
    processes: int = 0
    _scenes: OrderedDict[int, Future[SceneType]] = field(default_factory=OrderedDict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)
    _pool: ScenePool | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.processes:
            self._pool = ScenePool(self._make_windows, self.processes, MIXED_SCENES)

    def windows(self, epoch: int) -> list[StreamWindow]:
        """Return the windows of an epoch, in order; the windows of 32 scenes are mixed."""
        rng = np.random.default_rng([self.seed, epoch])
        count = -(-self.windows_per_epoch // self.windows_per_scene)
        seeds = rng.integers(2**31, size=count)
        windows = []
        for start in range(0, count, MIXED_SCENES):
            mixed = [
                StreamWindow(int(seed), number)
                for seed in seeds[start : start + MIXED_SCENES]
                for number in range(self.windows_per_scene)
            ]
            windows += [mixed[index] for index in rng.permutation(len(mixed))]
        windows = windows[: self.windows_per_epoch]
        if self._pool is not None:
            self._pool.plan([window.scene_seed for window in windows])
        return windows

    def read(self, window: StreamWindow) -> Sample:
        """One of these windows."""
        if self._pool is not None:
            return self._pool.take(window.scene_seed, window.number)
        return self._cut(self._scene(window.scene_seed), window)

    def _make_windows(self, seed: int) -> list[Sample]:
        scene = self.make_scene(seed)
        return [self._cut(scene, StreamWindow(seed, number)) for number in range(self.windows_per_scene)]

    def _cut(self, scene: SceneType, window: StreamWindow) -> Sample:
        return self.cut_window(scene, np.random.default_rng([window.scene_seed, window.number]))

    def learnt(self, epochs: int, start: str | Path | None) -> int:
        """Count the windows that weights have learnt from, including the windows of the run, training or model `start` before."""
        windows = epochs * self.windows_per_epoch
        former = [] if start is None else sorted(run_path(start).glob(f"**/{RunFolder(start).card.name}"))
        return windows + (int(open_sealed(former[0].parent)["notes"].get("windows", 0)) if former else 0)

    def _scene(self, seed: int) -> SceneType:
        """Return the scene of a seed; the first of several threads that need it makes it, while others make other scenes."""
        with self._lock:
            known = seed in self._scenes
            scene = self._scenes.setdefault(seed, Future())
            self._scenes.move_to_end(seed)
            if len(self._scenes) > KEPT_SCENES:
                self._scenes.popitem(last=False)
        if not known:
            try:
                scene.set_result(self.make_scene(seed))
            except BaseException as error:
                scene.set_exception(error)
                raise
        return scene.result()
