"""`deepnets4eo change`: what changed between two images, or between two maps of land cover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepnets4eo.change.options import ChangeOptions, TransitionOptions
from deepnets4eo.cli.completion import legend_names
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import (
    Device,
    DryRun,
    Event,
    Json,
    Memory,
    Out,
    Overwrite,
    Resume,
    WhoWorks,
    memory_bytes,
)
from deepnets4eo.cli.output import echo, end_with_findings, progress, show_json, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.outputs.event import EventInfo

if TYPE_CHECKING:
    from deepnets4eo.jobs.executors import Workers


@with_options(ChangeOptions, TransitionOptions)
def change(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before: a raster or a folder of tiles.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after, whose grid the map gets.")],
    out: Out,
    transitions: Annotated[
        bool,
        typer.Option("--transitions", help="PRE and POST are maps of land cover: write hectares from → to as CSV."),
    ] = False,
    legend: Annotated[
        str | None,
        typer.Option(
            help="With --transitions: legend of rasters that name none, a name or a YAML card.",
            show_default=False,
            autocompletion=legend_names,
        ),
    ] = None,
    options: ChangeOptions = ChangeOptions(),
    drawing: TransitionOptions = TransitionOptions(),
    event: Event = None,
    memory: Memory = "4GB",
    workers: WhoWorks = "2",
    device: Device = "auto",
    json: Json = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Map what changed between two images: labels, scores, polygons and a page, without training or with a run.

    With --transitions both are label rasters, and the result is a table of areas with 95 % intervals, which say how much
    areas vary over the site, nothing about errors of the maps.

    \b
    deepnets4eo change pre.tif post.tif --out change
    deepnets4eo change pre.tif post.tif --out change --method cva --set threshold=otsu --min-area 100
    deepnets4eo change pre.tif post.tif --out change --model runs/fc-siam-diff --set normalise=regression
    deepnets4eo change cover_2012.tif cover_2020.tif --transitions --out transitions.csv"""
    about = EventInfo.parse(event or [])
    if transitions:
        if options != ChangeOptions(seed=options.seed) or about != EventInfo() or dry_run or resume:
            raise InputError(
                "--transitions compares two maps of land cover: only --legend, --json, --overwrite, --set block_px=… and "
                "--set seed=… go with it. Leave the other options out."
            )
        _write_transitions(pre, post, out, legend, drawing, options.seed, json, overwrite=overwrite)
        return
    if legend is not None or drawing != TransitionOptions():
        raise InputError(
            "--legend and --set block_px belong to maps of land cover. Add --transitions, or leave them out."
        )
    from deepnets4eo.jobs.executors import Workers

    who = Workers.parse(workers)
    options = replace(options, memory_bytes=memory_bytes(memory), device=device, workers=who.threads)
    if dry_run:
        echo(_foreseen(pre, post, out, options, json, overwrite=overwrite, resume=resume))
        return
    _map_change(pre, post, out, options, about, json, who, overwrite=overwrite, resume=resume)


def _foreseen(
    pre: str, post: str, out: Path, options: ChangeOptions, json: Path | None, *, overwrite: bool, resume: bool
) -> str:
    """Check everything that the job needs; the line that says what it would do."""
    from deepnets4eo.change.job import check_options, check_outputs, load_change_run
    from deepnets4eo.change.pair import open_pair
    from deepnets4eo.jobs.scratch import check_job_output
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([json], [pre, post, *options.further_inputs.values()])
    check_outputs(pre, post, out, options)
    check_options(options)
    load_change_run(options)
    check_job_output(out, overwrite=overwrite, resume=resume)
    pair = open_pair(pre, post, options)
    rows, cols = pair.scene.shape
    return f"{rows} x {cols} px would be mapped into {out}; registration {pair.registration.status}"


def _map_change(
    pre: str, post: str, out: Path, options: ChangeOptions, event: EventInfo, json: Path | None, who: Workers, *,
    overwrite: bool, resume: bool,
) -> None:  # fmt: skip
    from deepnets4eo.change.job import check_outputs, map_change
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([json], [pre, post, *options.further_inputs.values()])
    check_outputs(pre, post, out, options)
    with who.executor(options.memory_bytes) as executor, progress("change") as advance:
        result = map_change(
            pre, post, out, options, event=event, resume=resume, overwrite=overwrite, progress=advance, executor=executor,
        )  # fmt: skip
    silent = str(json) == "-"
    if json is not None:
        show_json(result.summary, json)
    echo(f"Open {result.paths['report.html']} in a browser, {result.paths['change.gpkg']} in QGIS.", err=silent)
    show_result(result.headline(), *result.paths.values(), err=silent)
    end_with_findings(result.findings)


def _write_transitions(
    pre: str, post: str, out: Path, legend: str | None, drawing: TransitionOptions, seed: int, json: Path | None, *,
    overwrite: bool,
) -> None:  # fmt: skip
    from deepnets4eo.change.cover_table import compare_covers, write_transitions
    from deepnets4eo.evaluation.options import load_legend
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([out, json], [pre, post, legend])
    with output_lock(out):
        check_overwrite(out, overwrite=overwrite)
        result = compare_covers(pre, post, legend=load_legend(legend), block_px=drawing.block_px, seed=seed)
        write_transitions(out, result)
    if json is not None:
        show_json({"intervals": result.method, "transitions": result.table().to_dict("records")}, json)
    show_result(result.headline(), out, err=str(json) == "-")
