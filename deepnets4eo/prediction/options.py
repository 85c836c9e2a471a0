"""What a prediction writes beside labels, how it cuts the scene, and what it may use of the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.jobs.parts import Part
from deepnets4eo.rasters.cog import BLOCK_PX
from deepnets4eo.tiling import Tiling


@dataclass(frozen=True)
class PredictOptions:
    """What a prediction writes beside labels, how it cuts the scene, and what it may use of the machine.

    Parameters
    ----------
    probabilities
        File for the probability of each class, K bands packed as bytes: value / 254, 255 nodata.
    entropy
        File for the entropy over classes, packed likewise; 1 where all classes are equally probable.
    tile_px, halo_px, overlap_px, scores, blending
        Replace the run's own tiling where given, see `Tiling`; pixels.
    memory_bytes
        Limit of the whole process; data that it held before, beyond 1 GB of Python and its libraries, are not counted.
    workers
        Threads that read tiles.
    device, precision
        See `device.choose`.
    threads
        The threads of the network on a CPU; by default those of `device.choose`, and on resuming those of the
        interrupted job.
    batch_tiles
        Tiles computed together; by default 1 on a CPU, on a GPU as many as take a quarter of its memory (at most 32).
    block_px
        Rows that are finished, and written, together.
    strip_px
        Columns that are finished together; by default as many as the memory allows.
    part
        One of the parts of a job that several computers share: only its rows are computed, and kept beside the output; a job that
        resumes it writes the output, when all parts are done. A part that is started again goes on by itself.
    resume
        Continue an interrupted job of the same inputs and options, or complete one whose parts are done.
    overwrite
        Replace outputs that exist, and begin again where a job was interrupted.

    Raises
    ------
    InputError
        Sizes of tiles, blocks and strips, and numbers of tiles, threads and workers, below 1.

    Examples
    --------
    >>> PredictOptions(tile_px=256, halo_px=32).tiling(Tiling(512, 64)).core_px
    192
    """

    probabilities: Path | None = None
    entropy: Path | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    overlap_px: int | None = None
    scores: str | None = None
    blending: str | None = None
    memory_bytes: int = 4 * 10**9
    workers: int = 2
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    part: Part | None = None
    resume: bool = False
    overwrite: bool = False
    batch_tiles: int | None = None
    block_px: int = BLOCK_PX
    strip_px: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_tiles", "block_px", "strip_px", "tile_px", "threads", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    f"{name}={value} was given; expected at least 1. Give another number, or leave it out."
                )

    def tiling(self, own: Tiling) -> Tiling:
        """The run's tiling with the values of these options."""
        values = {name: getattr(self, name) for name in ("tile_px", "halo_px", "overlap_px", "scores", "blending")}
        return replace(own, **{name: value for name, value in values.items() if value is not None})
