"""A run and a scene → a label raster: streamed, in bounded memory, resumable, the same bits however it is cut up.

Refuses scenes that do not fit the run, outputs that exist, memory that does not suffice, and another job's progress.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from deepnets4eo.cards.legend import Legend
from deepnets4eo.device import TORCH, Compute, choose, readers_for, torch_settings
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.evaluation.withheld import FLOAT32, PRECISION, RUN
from deepnets4eo.files import check_overwrite
from deepnets4eo.jobs.identity import identity
from deepnets4eo.jobs.lock import output_lock
from deepnets4eo.jobs.parts import WHOLE, Part, between
from deepnets4eo.jobs.row_journal import RowJournal
from deepnets4eo.outputs.input_files import check_not_inputs, label_raster_files
from deepnets4eo.prediction.memory import batch_size
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.prediction.outputs import ENTROPY, LABELS, PROBABILITIES, VALUES, Outputs
from deepnets4eo.prediction.preparation import PreparedScene, open_scene, prepare_scene
from deepnets4eo.prediction.strips import Job, plan_strip_px, predict_strips
from deepnets4eo.prediction.tile_blocks import TILES, TileBlocks, TileTask
from deepnets4eo.prediction.tile_reader import SceneScaling, TileReader
from deepnets4eo.rasters.cog import BLOCK_PX, LEVEL, check_raster_suffix
from deepnets4eo.rasters.gdal_cache import CACHE_BYTES, gdal_cache
from deepnets4eo.rasters.scene import LayerLike, Scene
from deepnets4eo.segmenters.any_size import scaled_beforehand, window_scalers
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.segmenters.ensemble import ensemble_run
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter
from deepnets4eo.tiling import Lattice, Tiling
from deepnets4eo.tiling.lattice import SMALLEST_SIDE_PX, UNIFORM
from deepnets4eo.version import __version__, code_version

log = logging.getLogger(__name__)

SYNTHETIC = "SYNTHETIC"
GPU_READERS = 16  # on an H200 with 16 cores twice the tiles a second of two
STRETCH = "STRETCH"  # tag: how the layers that are not of 8 bits were shown to the run


@dataclass(frozen=True)
class Prediction:
    """What was written, and the work it took.

    Parameters
    ----------
    paths : "labels", "probabilities", "entropy", "values" → file, those that were written; none by a part of a job
    tiles : tiles of the lattice
    skipped : tiles without a valid pixel, which are not computed
    computed : tiles computed by this call; fewer than the rest where a job was resumed
    seconds : duration of this call
    network_s : seconds of this call in the network; on a GPU those of handing the work over
    """

    paths: dict[str, Path]
    tiles: int
    skipped: int
    computed: int
    seconds: float
    network_s: float

    def headline(self) -> str:
        """What was labelled, and how long it took, in one line."""
        empty = f", {self.skipped:,} of them without data" if self.skipped else ""
        return f"{self.tiles:,} {'tile' if self.tiles == 1 else 'tiles'} labelled in {self.seconds:.0f} s{empty}"


def predict(
    run: Run | Segmenter | str | Path,
    scene: Scene | LayerLike | Mapping[str, LayerLike],
    out: str | Path,
    options: PredictOptions | None = None,
    *,
    progress: Callable[[float], None] | None = None,
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
    labeller = _labeller(run)
    segmenter, identity = _segmenter_of(labeller)
    scene = open_scene(scene, segmenter)
    prepared = prepare_scene(scene, labeller)
    paths = _paths(out, options, segmenter.legend)
    with output_lock(*paths.values(), shared=options.part is not None):
        journals = _journals(Path(out), options)
        resumed = [_goes_on(options) and journal.load() for journal in journals.values()]
        _check(out, paths, options, [run, scene], resumed=any(resumed))
        plan = _plan(segmenter, prepared.labelled, options, _begun_job(Path(out), options, journals, resumed))
        compute, lattice = plan.compute, plan.lattice
        tags = _tags(segmenter, identity, prepared, lattice.tiling) | {PRECISION: compute.precision}
        outputs = Outputs(paths, scene.grid, segmenter.legend, tags, 0 if options.scratch else LEVEL)
        scalers = window_scalers(segmenter)
        scaling = SceneScaling(prepared.labelled, segmenter.inputs, scalers[0].unscaled_bands) if scalers else None
        reader = TileReader(prepared.labelled, segmenter.inputs, lattice, scaling)
        blocks = _remote_blocks(options, segmenter, prepared.labelled, plan, journals, paths)
        jobs = [
            Job(
                segmenter, lattice, compute, reader, outputs, journal, plan.batch_tiles, options.block_px or BLOCK_PX,
                options.workers or readers_for(compute.device, on_cpu=2, on_gpu=GPU_READERS),
                between(progress, number / len(journals), (number + 1) / len(journals)), part,
                blocks[part],
            )
            for number, (part, journal) in enumerate(journals.items())
        ]  # fmt: skip
        return _run(jobs, _identity(identity, plan, segmenter, prepared, paths), options, resumed, prepared)


def _remote_blocks(
    options: PredictOptions, segmenter: Segmenter, scene: Scene, plan: _Plan, journals: Mapping[Part, RowJournal],
    paths: Mapping[str, Path],
) -> dict[Part, TileBlocks | None]:  # fmt: skip
    """The tiles of each part that other processes compute, None without any. Errors: InputError for a scene of arrays."""
    if options.executor is None:
        return dict.fromkeys(journals)
    with_scores = paths.keys() != {LABELS} or plan.lattice.tiling.blends
    task = TileTask(scene, plan.lattice, plan.compute, plan.batch_tiles, with_scores)
    task.check()
    return {
        part: TileBlocks(options.executor, task, segmenter, journal.folder.resolve() / TILES)
        for part, journal in journals.items()
    }


def check_outputs(
    out: str | Path, options: PredictOptions, inputs: Sequence[Run | Segmenter | Scene | str | Path]
) -> None:
    """Refuse the outputs that `predict` would refuse, without its work: files that exist, or are inputs, and lost progress.

    Errors: OutputError (an output or the progress of an interrupted job exists, or an output is an input).

    Parameters
    ----------
    out : the label raster
    options : as given to `predict`
    inputs : the scene, and every run or its folder

    Examples
    --------
    >>> check_outputs("labels.tif", PredictOptions(), ["runs/unet"])
    """
    paths = _paths(out, options)
    resumed = options.resume and any(journal.is_begun for journal in _journals(Path(out), options).values())
    _check(out, paths, options, inputs, resumed=resumed)


def _paths(out: str | Path, options: PredictOptions, legend: Legend | None = None) -> dict[str, Path]:
    """The file of each product, `out` first. Errors: InputError for products that a run of this legend does not have."""
    paths = {LABELS: out, VALUES: options.values, PROBABILITIES: options.probabilities, ENTROPY: options.entropy}
    if legend is not None and not legend.classes:
        if options.values or options.probabilities or options.entropy:
            raise InputError(
                f"the run estimates {legend.name} and has no classes: --out is its raster. Leave out --values, --probabilities and "
                "--entropy."
            )
        return {VALUES: Path(out)}
    if legend is not None and legend.quantity is None and options.values:
        raise InputError(f"--values {options.values}: the run has classes alone, {legend.name}. Leave it out.")
    return {name: Path(path) for name, path in paths.items() if path is not None}


def _check(
    out: str | Path, paths: Mapping[str, Path], options: PredictOptions, inputs: Sequence[Any], *, resumed: bool
) -> None:
    """Refuse outputs that are inputs or exist, and to discard what an interrupted job has finished."""
    written = [*label_raster_files(Path(out)), *(path for path in paths.values() if path != Path(out))]
    read = [item.folder if isinstance(item, Run) else item for item in inputs]
    check_not_inputs(written, [list(item.layers.values()) if isinstance(item, Scene) else item for item in read])
    complete = options.resume and not resumed and all(path.is_file() for path in paths.values())
    for path in paths.values():
        check_overwrite(check_raster_suffix(path), overwrite=options.overwrite, resume=resumed, complete=complete)
    if options.part is None:
        for part in [WHOLE, *RowJournal.parts(Path(out))]:
            RowJournal(Path(out), part).check_kept(overwrite=options.overwrite, resume=options.resume)


def describe(run: Run, scene: Scene, options: PredictOptions, out: str | Path | None = None) -> str:
    """What `predict` would do, in one line.

    Errors: RunError (the scene does not fit the run, or another job was interrupted at `out`).

    Parameters
    ----------
    run : a loaded run
    scene : an open scene
    options : of `predict`
    out : the label raster, beside which an interrupted job is looked for

    Returns
    -------
    Size, tiles, classes, device, precision and threads; of an interrupted job also the tiles that are done.
    """
    run = _labeller(run)
    prepared = prepare_scene(scene, run)
    journals = _journals(Path(out), options).values() if out is not None and options.resume else ()
    interrupted = [journal for journal in journals if journal.load()]
    begun = interrupted[0].job if interrupted else {}
    cut = options if begun else replace(options, batch_tiles=1)  # to find this number takes a tile on a GPU
    plan = _plan(run.segmenter, prepared.labelled, cut, begun)
    lattice, compute = plan.lattice, plan.compute
    text = (
        f"{scene.shape[0]} x {scene.shape[1]} px, {len(lattice)} tiles of {lattice.tiling.tile_px} px "
        f"({lattice.tiling.blending if lattice.tiling.blends else 'crop'}, step {lattice.tiling.stride_px} px), {_describe_legend(run.legend)}, "
        f"on {compute.device} in {compute.precision} with {compute.threads} threads"
        f"{'' if compute.runtime == TORCH else f' by {compute.runtime}'}"
    ) + (f"; {prepared}" if str(prepared) else "")
    if out is None or not interrupted:
        return text
    identity = _identity(_segmenter_of(run)[1], plan, run.segmenter, prepared, _paths(out, options, run.legend))
    for journal in interrupted:
        journal.check(identity | {"strip_px": journal.job["strip_px"]})
    done = sum(journal.counts.get("tiles", 0) for journal in interrupted)
    return f"{text}; goes on with an interrupted job: {done} of {len(lattice)} tiles are done"


def _describe_legend(legend: Legend) -> str:
    classes = [f"{legend.num_classes} classes"] if legend.classes else []
    return " and ".join([*classes, *([] if legend.quantity is None else [str(legend.quantity)])])


def _goes_on(options: PredictOptions) -> bool:
    """Whether what is finished is used: where the user says so, and by a part that is started again."""
    return options.resume or (options.part is not None and not options.overwrite)


def _journals(out: Path, options: PredictOptions) -> dict[Part, RowJournal]:
    """The journals of the parts that this call computes; OutputError where the job was divided in another way."""
    if options.overwrite and options.part is None and not options.resume:
        RowJournal.remove_parts(out)
    kept = RowJournal.parts(out) if _goes_on(options) else []
    if options.part is not None and kept and kept[0].total != options.part.total:
        raise OutputError(
            f"{out} was divided into {kept[0].total} parts before, now into {options.part.total}. Give the same number, or begin again "
            "with --overwrite in place of --part."
        )
    parts = [options.part] if options.part is not None else kept or [WHOLE]
    return {part: RowJournal(out, part) for part in parts}


def _begun_job(
    out: Path, options: PredictOptions, journals: Mapping[Part, RowJournal], resumed: Sequence[bool]
) -> Mapping[str, Any]:
    """The description of the job as it was begun, of another part where this one was not; {} of a new job."""
    for journal, loaded in zip(journals.values(), resumed, strict=True):
        if loaded:
            return journal.job
    others = RowJournal.parts(out) if options.part is not None and _goes_on(options) else []
    for journal in (RowJournal(out, part) for part in others):
        if journal.load():
            return journal.job
    return {}


class _Plan(NamedTuple):
    """How a scene is cut and computed."""

    lattice: Lattice
    compute: Compute
    batch_tiles: int


def _plan(segmenter: Segmenter, scene: Scene, options: PredictOptions, begun: Mapping[str, Any]) -> _Plan:
    """By the options, and where they leave it open as the interrupted job began, whose description is `begun`."""
    before = begun.get("compute", {})
    threads = options.threads or before.get("threads") or (None if options.executor is None else 1)
    without_networks = _only_float32(segmenter)
    exact = options.precision == "auto" and (without_networks or segmenter.legend.quantity is not None)
    runtime = before.get("runtime", "auto") if options.runtime == "auto" else options.runtime
    compute = choose(options.device, FLOAT32 if exact else options.precision, threads, runtime=runtime)
    if without_networks:
        compute = replace(compute, precision=FLOAT32)
    lattice = Lattice(scene.shape, _tiling(segmenter, options, scene.shape))
    compute = _with_runtime(compute, segmenter, len(lattice) * lattice.tiling.tile_px**2)
    together = options.batch_tiles or before.get("batch_tiles")
    return _Plan(lattice, compute, together or batch_size(segmenter, compute, lattice.tiling.tile_px))


def _with_runtime(compute: Compute, segmenter: Segmenter, pixels: int) -> Compute:
    """The runtime that pays for so many pixels of tiles. Errors: InputError for one that cannot compute the segmenter."""
    if getattr(segmenter, "compiles", False):
        return compute.for_pixels(pixels)
    if compute.runtime not in ("auto", TORCH):
        raise InputError(
            f"--runtime {compute.runtime} is for networks that label whole tiles; the run is of the kind {segmenter.kind!r}, whose passes "
            "or patches PyTorch computes. Leave it out."
        )
    return replace(compute, runtime=TORCH)


def _only_float32(segmenter: Any) -> bool:
    """Whether nothing in a segmenter computes in another precision, whichever is chosen: no network is part of it."""
    members = getattr(segmenter, "members", ())
    return getattr(segmenter, "only_float32", False) or (bool(members) and all(map(_only_float32, members)))


def _tiling(segmenter: Segmenter, options: PredictOptions, shape: tuple[int, int]) -> Tiling:
    """How the scene is cut: unless the options name a side of tiles, with the side that computes the fewest pixels of it."""
    tiling = options.tiling(segmenter.tiling)
    return tiling if options.tile_px is not None else tiling.least_work(shape, _other_sides(segmenter, tiling))


def _other_sides(segmenter: Segmenter, tiling: Tiling) -> Sequence[int]:
    """Sides of tiles that do as well as the run's: half the core for any size, up to a quarter off for networks; small tiles stay."""
    half_px = tiling.core_px // 2
    if getattr(segmenter, "any_tile", False) and not tiling.blends:
        return [half_px + 2 * tiling.halo_px] if half_px >= SMALLEST_SIDE_PX else []
    return tiling.similar_sides if isinstance(segmenter, NetworkSegmenter) and tiling.blending != UNIFORM else []


def _run(
    jobs: Sequence[Job],
    identity: dict[str, Any],
    options: PredictOptions,
    resumed: Sequence[bool],
    prepared: PreparedScene,
) -> Prediction:
    """Compute what each job has not finished, one after the other, and write the outputs of all; not of a part alone."""
    started, outputs = time.perf_counter(), jobs[0].outputs
    scaled = scaled_beforehand(window_scalers(jobs[0].segmenter))
    with gdal_cache(CACHE_BYTES), torch_settings(jobs[0].compute), scaled:
        jobs[0].segmenter.to(jobs[0].compute)
        for job, begun in zip(jobs, resumed, strict=True):
            _compute(job, identity, options, resumed=begun)
        if options.part is None:
            for product in reversed(outputs.products):  # labels last: when they are there, all is
                rows = chain.from_iterable(job.journal.replay(product) for job in jobs)
                outputs.write(product, prepared.on_scene_grid(rows))
            for job in jobs:
                job.journal.remove()
    tiles, skipped, computed = (
        sum(getattr(job.counts, name) for job in jobs) for name in ("tiles", "skipped", "computed")
    )
    if skipped:
        log.info("%d of %d tiles have no valid pixel and were skipped.", skipped, tiles)
    paths = dict(outputs.paths) if options.part is None else {}
    seconds, network_s = time.perf_counter() - started, sum(job.counts.network_s for job in jobs)
    return Prediction(paths, tiles, skipped, computed, seconds, network_s)


def _compute(job: Job, identity: dict[str, Any], options: PredictOptions, *, resumed: bool) -> None:
    """Compute and record the rows of a job that are not recorded yet. Errors: RunError where those are another job's."""
    journal, which = job.journal, "" if job.part == WHOLE else f"part {job.part}: "
    if resumed:
        journal.check(identity | {"strip_px": journal.job["strip_px"]})
        job.counts.tiles, job.counts.skipped = (journal.counts.get(key, 0) for key in ("tiles", "skipped"))
        log.info(
            "Going on with an interrupted job: %s%d of %d tiles are done.", which, job.counts.tiles, job.tile_count
        )
    else:
        strip_px = options.strip_px or plan_strip_px(job, options.memory_bytes)
        journal.start(identity | {"strip_px": strip_px})
    predict_strips(job, journal.job["strip_px"])


def _labeller(run: Run | Segmenter | str | Path) -> Any:
    """The run, loaded, with the views of its recipe unless others were chosen; a bare segmenter as it is."""
    if isinstance(run, (str, Path)):
        run = load_run(run)
    return ensemble_run([run]) if isinstance(run, Run) and "views" not in run.card else run


def _segmenter_of(run: Run | Segmenter) -> tuple[Segmenter, str]:
    """The segmenter, and its identity: the hash of the run's card."""
    if isinstance(run, Run):
        return run.segmenter, hash_of(run.card)
    return run, f"unsaved-{uuid.uuid4().hex}"  # its weights have no hash, so a job with it cannot be resumed


def _identity(
    run: str, plan: _Plan, segmenter: Segmenter, prepared: PreparedScene, paths: Mapping[str, Path]
) -> dict[str, Any]:
    scene = prepared.labelled
    layers = {name: identity(scene.layers[name]) for name in segmenter.inputs.present(scene)}
    return {
        "run": run,
        "scene": layers,
        "grid": identity(scene.grid),
        "stretch": _stretches(prepared),
        "tiling": plan.lattice.tiling.to_dict(),
        "compute": plan.compute.to_dict() | {"batch_tiles": plan.batch_tiles},
        "outputs": {name: str(path) for name, path in paths.items()},
        "version": code_version(),
    }


def _stretches(prepared: PreparedScene) -> dict[str, dict[str, list[float]]]:
    return {name: stretch.to_dict() for name, stretch in prepared.stretches.items()}


def _tags(segmenter: Segmenter, identity: str, prepared: PreparedScene, tiling: Tiling) -> dict[str, str]:
    made = {layer.tags[SYNTHETIC] for layer in prepared.scene.layers.values() if layer.synthetic}
    tags = {
        "SOFTWARE": f"deepnets4eo {__version__}",
        RUN: identity,
        "SEGMENTER": segmenter.kind,
        "TILING": ", ".join(f"{key}={value}" for key, value in tiling.to_dict().items()),
    }
    if prepared.stretches:
        tags[STRETCH] = json.dumps(_stretches(prepared))
    return tags | ({SYNTHETIC: "; ".join(sorted(made))} if made else {})
