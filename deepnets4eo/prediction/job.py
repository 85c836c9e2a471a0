"""A run and a scene → a label raster: streamed, in bounded memory, resumable, the same bits however it is cut up.

Refuses scenes that do not fit the run, outputs that exist, memory that does not suffice, and another job's progress.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from deepnets4eo.jobs import Part, Progress, output_lock
from deepnets4eo.prediction.begun_parts import begun_job, goes_on, journals_of
from deepnets4eo.prediction.checks import check_complete, check_free, finished_compute, is_complete, output_paths
from deepnets4eo.prediction.label_task import LabelTask
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.prediction.part_jobs import part_jobs
from deepnets4eo.prediction.plan import computing, make_plan
from deepnets4eo.prediction.preparation import PreparedScene
from deepnets4eo.prediction.strips import Job, plan_strip_px, predict_strips
from deepnets4eo.rasters import LayerLike, Scene
from deepnets4eo.segmenters import Run, Segmenter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """Written files of a prediction, and the work it took.

    Parameters
    ----------
    paths : "labels", "probabilities", "entropy", "values" → file, for the products that were written; empty for a part of a job
    tiles : tiles of the lattice
    skipped : tiles without a valid pixel, which are not computed
    computed : tiles computed by this call; fewer than the rest if a job was resumed
    seconds : duration of this call
    network_s : seconds of this call in the network; on a GPU only the seconds for handing over the work
    not_finite : valid pixels, about, that are void since their scores are not finite
    """

    paths: dict[str, Path]
    tiles: int
    skipped: int
    computed: int
    seconds: float
    network_s: float
    not_finite: int = 0

    def headline(self) -> str:
        """Summarise in one line how many tiles were labelled, and how long it took."""
        empty = f", {self.skipped:,} of them without data" if self.skipped else ""
        lost = f"; {self.not_finite:,} pixels are void without finite scores" if self.not_finite else ""
        return f"{self.tiles:,} {'tile' if self.tiles == 1 else 'tiles'} labelled in {self.seconds:.0f} s{empty}{lost}"


def predict(
    run: Run | Segmenter | str | Path,
    scene: Scene | LayerLike | Mapping[str, LayerLike],
    out: str | Path,
    options: PredictOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Prediction:
    """Label a scene.

    Peak memory: the network on one tile, plus about 300 MB, whatever the scene and the number of classes.

    Errors: RunError (the scene does not fit the run, or another job was interrupted here); InputError
    (the memory does not suffice).

    OutputError (an output or the progress of an interrupted job exists, or the disk is full).

    Parameters
    ----------
    run : a run or its folder, or any segmenter
    scene : a Scene, one raster (the run's first layer), or layer → raster
    out
        The label raster: uint8 values of the legend, void 255 where a layer is not valid. Without classes the run's quantity:
        float32 in its unit, nodata NaN, a second band with the standard deviation where the run estimates it.
    options : further outputs, tiling and limits
    progress : called with the finished share, 0 … 1

    Returns
    -------
    Files and counts.
    """
    options = options or PredictOptions()
    task = LabelTask.of(run, scene)
    segmenter, prepared = task.segmenter, task.prepared
    paths = output_paths(out, options, segmenter.legend)
    with output_lock(*paths.values(), shared=options.part is not None):
        journals = journals_of(Path(out), options)
        resumed = [goes_on(options) and journal.load() for journal in journals.values()]
        check_free(out, paths, options, [run, prepared.scene], resumed=any(resumed))
        finished = {} if any(resumed) else finished_compute(paths, options)
        begun = finished or begun_job(Path(out), options, journals, resumed)
        plan = make_plan(segmenter, prepared.labelled, options, begun)
        record = task.record(plan, paths)
        if not any(resumed) and is_complete(paths, options):
            check_complete(record, paths)
        if not options.scratch:  # what is thrown away is known by the times of its inputs
            record = record.with_content()
        jobs = part_jobs(task, plan, paths, options, journals, progress, record)
        failing = jobs[0].journal.kept_on_failure(resume=options.resume, part=options.part is not None)
        with nullcontext() if options.scratch else failing:  # the job around it states how to go on
            return _run(jobs, task.identity(record, plan, paths), options, resumed, prepared)


def _run(
    jobs: Sequence[Job],
    identity: dict[str, Any],
    options: PredictOptions,
    resumed: Sequence[bool],
    prepared: PreparedScene,
) -> Prediction:
    """Compute the unfinished work of each job in turn, and write the outputs of all; a single part writes no outputs."""
    started, outputs = time.perf_counter(), jobs[0].outputs
    with computing(jobs[0].segmenter, jobs[0].compute):
        for job, begun in zip(jobs, resumed, strict=True):
            _compute(job, identity, options, resumed=begun)
        if options.part is None:
            for product in reversed(outputs.products):  # labels last: when they are there, all is
                rows = chain.from_iterable(job.journal.replay(product) for job in jobs)
                outputs.write(product, prepared.on_scene_grid(rows))
            for job in jobs:
                job.journal.remove()
    tiles, skipped, computed, not_finite = (
        sum(getattr(job.counts, name) for job in jobs) for name in ("tiles", "skipped", "computed", "not_finite")
    )
    if not_finite:
        log.warning(
            "About %s pixels are void, since their scores are not finite (NaN or infinite). Check the values of the image there, "
            "or the weights of the network.", f"{not_finite:,}",
        )  # fmt: skip
    if skipped:
        log.info("%d of %d tiles have no valid pixel and were skipped.", skipped, tiles)
    paths = dict(outputs.paths) if options.part is None else {}
    seconds, network_s = time.perf_counter() - started, sum(job.counts.network_s for job in jobs)
    return Prediction(paths, tiles, skipped, computed, seconds, network_s, not_finite)


def _compute(job: Job, identity: dict[str, Any], options: PredictOptions, *, resumed: bool) -> None:
    """Compute and record the rows of a job that are not recorded yet. Errors: RunError where those are another job's."""
    journal, which = job.journal, "" if job.part == Part.whole else f"part {job.part}: "
    if resumed:
        journal.check(identity | {"strip_px": journal.job["strip_px"]})
        for key in ("tiles", "skipped", "not_finite"):
            setattr(job.counts, key, journal.counts.get(key, 0))
        log.info(
            "Going on with an interrupted job: %s%d of %d tiles are done.", which, job.counts.tiles, job.tile_count
        )
    else:
        strip_px = options.strip_px or plan_strip_px(job, options.memory_bytes)
        journal.start(identity | {"strip_px": strip_px})
    predict_strips(job, journal.job["strip_px"])
