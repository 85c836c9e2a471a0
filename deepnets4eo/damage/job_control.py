"""What follows a damage job and does not shape its result: the folder of finished steps, and the progress of its passes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from deepnets4eo.jobs.parts import Progress, between

NETWORK_TIME, UNBUILT_TIME, BUILT_TIME = 4.0, 0.5, 2.0  # of the passes over the images, times that of the evidence


@dataclass(frozen=True)
class JobControl:
    """What follows the work and does not shape its result.

    Parameters
    ----------
    scratch
        Folder for finished steps, with which an interrupted job goes on, and that the parts of one job share; the caller removes
        it. None keeps nothing.
    progress
        Called with the share of the passes over the images that is done, the network's included, 0–1.
    """

    scratch: Path | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Passes:
    """Progress of the passes over the images in their order, each called with its own share that is done.

    network : over both images; evidence; unbuilt, built : of outlines without a building, of their sums and of the network for
    buildings; post : of the network over the post image alone.
    """

    network: Progress | None
    evidence: Progress | None
    unbuilt: Progress | None
    built: Progress | None
    post: Progress | None

    @classmethod
    def of(cls, progress: Progress | None, *, graded: bool, paired: bool) -> Passes:
        """The passes of a job. graded : whether the network takes part; paired : whether both images do."""
        both = graded * paired
        times = (
            both * NETWORK_TIME,
            1.0,
            paired * UNBUILT_TIME,
            both * BUILT_TIME,
            graded * (not paired) * NETWORK_TIME,
        )
        ends = np.cumsum((0.0, *times)) / sum(times)
        return cls(*(between(progress, *limits) for limits in pairwise(ends.tolist())))
