"""The long work of a damage job: its steps over the images, what a journal keeps of them, and progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from deepnets4eo.jobs import FinishBlocks, Journal, Part, Progress, between

T = TypeVar("T")

# Steps over the images, in their order: names of folders and blocks
EVIDENCE, UNBUILT, BUILDINGS, NETWORK, NETWORK_POST = "evidence", "unbuilt", "buildings", "network", "network_post"
WATER = "water"
NETWORK_TIME, UNBUILT_TIME, BUILT_TIME = 4.0, 0.5, 2.0  # of these steps, times that of the evidence


@dataclass(frozen=True)
class TileWork:
    """The work of a pass over tiles: the journal that keeps it, the part that is computed, and the processes; failed : building → why."""

    journal: Journal = Journal()
    part: Part = Part.whole
    progress: Progress | None = None
    finish: FinishBlocks | None = None
    step: str = ""
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """Settings of the long work of a job, which do not shape its result.

    part : the part whose share is done, None for a job that also keeps the results of whole steps; finish : lets other processes do the blocks;
    progress : of each step; failed : building → why it could not be graded."""

    journal: Journal = Journal()
    part: Part | None = None
    finish: FinishBlocks | None = None
    progress: Mapping[str, Progress | None] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def share(self) -> Part:
        """The part whose blocks are done."""
        return self.part or Part.whole

    @property
    def is_whole(self) -> bool:
        """Return True if all blocks are done here."""
        return self.share == Part.whole

    def folder(self, step: str) -> Path | None:
        """Return the folder of the blocks that a step keeps, or None if nothing is kept."""
        return self.journal.folder_of(step)

    def tiles(self, step: str) -> TileWork:
        """Return what a network's pass over tiles keeps and does."""
        return TileWork(
            self.journal.tiles(step), self.share, self.progress.get(step), self.finish, step, failed=self.failed
        )

    def run(self, name: str, step: Callable[[], T]) -> T:
        """Return the result of a step; the job that makes the map keeps it, a part has only its share."""
        if self.part is not None:
            return step()
        return self.journal.run(name, step, complete=lambda: not self.failed)


def step_progress(progress: Progress | None, *, graded: bool, paired: bool) -> dict[str, Progress | None]:
    """Return the progress of each step as its share of the whole. graded : whether the network takes part; paired : whether both images do."""
    both = graded * paired
    times = {
        EVIDENCE: 1.0,
        UNBUILT: paired * UNBUILT_TIME,
        BUILDINGS: both * BUILT_TIME,
        NETWORK: both * NETWORK_TIME,
        NETWORK_POST: graded * (not paired) * NETWORK_TIME,
    }
    ends = np.cumsum((0.0, *times.values())) / sum(times.values())
    return {step: between(progress, *limits) for step, limits in zip(times, pairwise(ends.tolist()), strict=True)}
