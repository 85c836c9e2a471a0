"""Windows of scenes that are made from a seed when they are read: training without files, and without end.

Everything follows from the seed of the training and the epoch; no epoch repeats another. With a number of scenes these are
read again and again, with other windows each time.
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
# next to the position in the series of scenes that are read again: no other draw follows from the same numbers
SCENE_ORDER_SALT = 7919


@dataclass(frozen=True)
class StreamWindow:
    """One window: the seed of its scene, how often the scene was read before, and which of its windows it is then."""

    scene_seed: int
    number: int
    visit: int = 0


@dataclass
class StreamSamples(Generic[SceneType]):
    """Samples that `cut_window` cuts from scenes, which `make_scene` makes from a seed.

    If `processes` is above 0, that many separate processes do this. If `scenes` is above 0, there are only so many, the same for
    every `seed`: each is read once before any of them is read again.

    Peak memory: twice `mixed_scenes`; processes keep the windows of as many in files.
    """

    make_scene: Callable[[int], SceneType]
    cut_window: Callable[[SceneType, np.random.Generator], Sample]
    windows_per_epoch: int
    windows_per_scene: int = 8
    seed: int = 0
    processes: int = 0
    scenes: int = 0
    mixed_scenes: int = MIXED_SCENES
    _scenes: OrderedDict[int, Future[SceneType]] = field(default_factory=OrderedDict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)
    _pool: ScenePool | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.processes:
            self._pool = ScenePool(self._make_windows, self.processes, self.mixed_scenes)

    def windows(self, epoch: int) -> list[StreamWindow]:
        """Return the windows of an epoch, in order; the windows of `mixed_scenes` scenes are mixed."""
        rng = np.random.default_rng([self.seed, epoch])
        count = -(-self.windows_per_epoch // self.windows_per_scene)
        visits = self._visits(epoch, count) if self.scenes else [(seed, 0) for seed in rng.integers(2**31, size=count)]
        windows = []
        for start in range(0, count, self.mixed_scenes):
            mixed = [
                StreamWindow(int(seed), number, visit)
                for seed, visit in visits[start : start + self.mixed_scenes]
                for number in range(self.windows_per_scene)
            ]
            windows += [mixed[index] for index in rng.permutation(len(mixed))]
        windows = windows[: self.windows_per_epoch]
        if self._pool is not None:
            self._pool.plan([(window.scene_seed, window.visit) for window in windows])
        return windows

    def _visits(self, epoch: int, count: int) -> list[tuple[int, int]]:
        """Return seed and number of the visit of an epoch's scenes, which continue the order from where the previous epoch ended."""
        seeds = np.random.default_rng(SCENE_ORDER_SALT).integers(2**31, size=self.scenes)
        first, last = epoch * count, (epoch + 1) * count
        visits: list[tuple[int, int]] = []
        for visit in range(first // self.scenes, -(-last // self.scenes)):
            order = np.random.default_rng([self.seed, SCENE_ORDER_SALT, visit]).permutation(self.scenes)
            start = visit * self.scenes
            visits += [(int(seeds[index]), visit) for index in order[max(first - start, 0) : last - start]]
        return visits

    def read(self, window: StreamWindow) -> Sample:
        """One of these windows."""
        if self._pool is not None:
            return self._pool.take((window.scene_seed, window.visit), window.number)
        return self._cut(self._scene(window.scene_seed), window)

    def _make_windows(self, seed: int, visit: int) -> list[Sample]:
        scene = self.make_scene(seed)
        return [self._cut(scene, StreamWindow(seed, number, visit)) for number in range(self.windows_per_scene)]

    def _cut(self, scene: SceneType, window: StreamWindow) -> Sample:
        number = window.visit * self.windows_per_scene + window.number
        return self.cut_window(scene, np.random.default_rng([window.scene_seed, number]))

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
            if len(self._scenes) > 2 * self.mixed_scenes:  # threads read ahead into the next ones
                self._scenes.popitem(last=False)
        if not known:
            try:
                scene.set_result(self.make_scene(seed))
            except BaseException as error:
                scene.set_exception(error)
                raise
        return scene.result()
