"""Description of a prediction in words, after its checks, without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepnets4eo.cards import Legend
from deepnets4eo.prediction.begun_parts import computed_by, journals_of
from deepnets4eo.prediction.checks import check_complete, finished_compute, is_complete, output_paths
from deepnets4eo.prediction.label_task import LabelTask
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.prediction.plan import make_plan
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Run


def describe(run: Run, scene: Scene, options: PredictOptions, out: str | Path | None = None) -> str:
    """Describe in one line what `predict` would do.

    Errors: RunError (the scene does not fit the run, or another job was interrupted at `out`).

    Parameters
    ----------
    run : a loaded run
    scene : an open scene
    options : as for `predict`
    out : the label raster; an interrupted job is searched for next to it

    Returns
    -------
    Size, tiles, classes, device, precision and threads; for an interrupted job also the number of finished tiles.
    """
    task = LabelTask.of(run, scene)
    prepared, legend = task.prepared, task.segmenter.legend
    journals = journals_of(Path(out), options).values() if out is not None and options.resume else ()
    interrupted = [journal for journal in journals if journal.load()]
    begun: Mapping[str, Any] = computed_by(interrupted[0]) if interrupted else {}
    if not begun and out is not None:
        begun = finished_compute(output_paths(out, options, legend), options)
    cut = options if begun else replace(options, batch_tiles=1)  # to find this number takes a tile on a GPU
    plan = make_plan(task.segmenter, prepared.labelled, cut, begun)
    lattice, compute = plan.lattice, plan.compute
    text = (
        f"{scene.shape[0]} x {scene.shape[1]} px, {len(lattice)} tiles of {lattice.tiling.tile_px} px "
        f"({lattice.tiling.blending if lattice.tiling.blends else 'crop'}, step {lattice.tiling.stride_px} px), {_describe_legend(legend)}, "
        f"on {compute.device} in {compute.arithmetic} with {compute.threads} threads"
        f"{'' if compute.by_torch else f' by {compute.runtime}'}"
    ) + (f"; {prepared}" if str(prepared) else "")
    if out is None:
        return text
    paths = output_paths(out, options, legend)
    if not interrupted:
        if is_complete(paths, options):
            check_complete(task.record(plan, paths), paths)
        return text
    identity = task.identity(task.record(plan, paths).with_content(), plan, paths)
    for journal in interrupted:
        journal.check(identity | {"strip_px": journal.job["strip_px"]})
    done = sum(journal.counts.get("tiles", 0) for journal in interrupted)
    return f"{text}; goes on with an interrupted job: {done} of {len(lattice)} tiles are done"


def _describe_legend(legend: Legend) -> str:
    classes = [f"{legend.num_classes} classes"] if legend.classes else []
    return " and ".join([*classes, *([] if legend.quantity is None else [str(legend.quantity)])])
