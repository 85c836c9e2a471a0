"""Options for labelling a scene, each with its type, default, limits and meaning, which the command line also shows.

Imports nothing heavy, so that the help text of the verb is quick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, InstanceOf

from deepnets4eo.errors import InputError
from deepnets4eo.jobs import Executor, Part
from deepnets4eo.options import ByRuntime, InPrecision, OnDevice, key, option, option_group

if TYPE_CHECKING:
    from deepnets4eo.segmenters import Run
    from deepnets4eo.tiling import Tiling

# how a person's next click is chosen, see `next_click`
Measure: TypeAlias = Literal["entropy", "margin"]
RESULTS = "Further results"
VOTES = "Several views or runs"


@dataclass(frozen=True)
class PredictOptions:
    """Options of a prediction: files in addition to the labels, tiling of the scene, and use of the machine.

    Errors: InputError (sizes of tiles, blocks and strips, and numbers of tiles, threads and workers, below 1).

    Parameters
    ----------
    probabilities : file for the probability of each class, K bands of bytes: value / 254, 255 nodata
    entropy : file for the entropy over classes, stored in the same way; 1 if all classes are equally probable
    values : file for the quantity of a run with classes, float32 in its unit; without classes the quantity is in `out`
    tile_px, halo_px, overlap_px, scores, blending : replace the run's own tiling if given, see `Tiling`; pixels
    memory_bytes : limit of the whole process, without data that it held before
    workers : threads that read tiles; None: 2, for a GPU one per core, at most 16
    device, precision, runtime : see `device.choose`; runtime "auto" is PyTorch, or the runtime of the resumed job
    threads : threads of the network on a CPU; by default as in `device.choose` or the resumed job; 1 for an executor
    batch_tiles : tiles computed together; by default 1 on a CPU, on a GPU up to 32 in a quarter of its memory
    block_px : rows that are finished, and written, together; by default the rows of a block of the file
    strip_px : columns that are finished together; by default as many as the memory allows
    part
        One of the parts of a job that several computers share: only its rows are computed, and kept next to the output. A job
        with `resume` writes the output when all parts are done. A part that is started again continues by itself.
    resume : continue an interrupted job of the same inputs and options, or complete a job whose parts are done
    overwrite : replace existing outputs, and restart an interrupted job from the beginning
    scratch : whether the files are read once and then deleted: written fast, without overviews
    executor : computes the tiles of a scene of files in other processes, see `jobs.executors`; None: in this process

    Examples
    --------
    >>> from deepnets4eo.tiling import Tiling
    >>> PredictOptions(tile_px=256, halo_px=32).tiling(Tiling(512, 64)).core_px
    192
    """

    probabilities: Annotated[
        Path | None, option("Write the probabilities to this file: one band per class, 0–254.", RESULTS)
    ] = None
    entropy: Annotated[Path | None, option("Write the entropy over classes to this file, 0–254.", RESULTS)] = None
    values: Annotated[
        Path | None,
        option(
            "Write the quantity that the run estimates in addition to its classes to this file, e.g. heights.", RESULTS
        ),
    ] = None
    tile_px: Annotated[int | None, key("Side length of a tile, px; by default the run's.", ge=16)] = None
    halo_px: Annotated[
        int | None, key("Width of the border that is cut off each tile, px; by default the run's.", ge=0)
    ] = None
    overlap_px: Annotated[int | None, key("Width over which tiles are blended, px; 0: no blending.", ge=0)] = None
    scores: Annotated[
        str | None, key("Values that are summed where tiles overlap: probabilities, log-probabilities or raw.")
    ] = None
    blending: Annotated[
        str | None,
        key("Weights where tiles overlap: hann fades tiles out, uniform weights them equally; by default the run's."),
    ] = None
    memory_bytes: int = 4 * 10**9
    workers: int | None = None
    device: OnDevice = "auto"
    precision: InPrecision = "auto"
    runtime: ByRuntime = "auto"
    threads: Annotated[int | None, key("CPU threads of the network; by default all cores.", ge=1)] = None
    part: Part | None = None
    resume: bool = False
    overwrite: bool = False
    batch_tiles: int | None = None
    block_px: int | None = None
    strip_px: int | None = None
    scratch: bool = False
    executor: InstanceOf[Executor] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_tiles", "block_px", "strip_px", "tile_px", "threads", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    f"{name}={value} was given; expected at least 1. Give another number, or leave it out."
                )

    def tiling(self, own: Tiling) -> Tiling:
        """Return the run's tiling with the values of these options."""
        values = {name: getattr(self, name) for name in ("tile_px", "halo_px", "overlap_px", "scores", "blending")}
        return replace(own, **{name: value for name, value in values.items() if value is not None})


def _checked_scales(text: str) -> str:
    """Check the scales, and return their text unchanged. Errors: ValueError for scales that are not numbers above 0."""
    try:
        known = all(0 < value < math.inf for value in numbers(text))
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"is {text!r}, expected numbers above 0, such as 0.75,1,1.25")
    return text


def numbers(text: str) -> tuple[float, ...]:
    """Parse the numbers of `0.75,1`. Errors: ValueError."""
    return tuple(float(word) for word in text.split(","))


@option_group
class VoteOptions:
    """Several views of a scene, and several runs, that vote; see `segmenters.ensemble_run`."""

    augment: Annotated[
        str | None,
        option("Average over views: none, half-turn (2), flips (4) or turns (8); by default the run's.", VOTES),
    ] = None
    scales: Annotated[
        str, AfterValidator(_checked_scales), key("Average over scales of the image, e.g. 0.75,1,1.25.")
    ] = "1"
    ensemble: Annotated[list[str] | None, option("A further run that votes; repeatable.", VOTES)] = None
    vote: Annotated[str, key("How several runs vote: mean or majority.")] = "mean"
    dropout_passes: Annotated[
        int,
        key(
            "Average this number of passes with dropout, e.g. 30; the standard deviation of a quantity is "
            "written, too.",
            ge=0,
        ),
    ] = 0
    deviation_factor: Annotated[float, key("Factor for standard deviations, as `evaluate` reports it.", gt=0)] = 1.0

    def combine(self, runs: Sequence[Run]) -> Run:
        """Return the run whose labels the views and runs vote on. Errors: as for `ensemble_run`."""
        from deepnets4eo.segmenters import ensemble_run

        return ensemble_run(
            runs, vote=self.vote, views=self.augment, scales=numbers(self.scales), dropout_passes=self.dropout_passes,
            deviation_factor=self.deviation_factor,
        )  # fmt: skip
