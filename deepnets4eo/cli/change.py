"""`deepnets4eo change`: what changed between two images, or between two maps of land cover."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from deepnets4eo.change.options import ChangeOptions, TransitionOptions
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


@with_options(ChangeOptions, TransitionOptions)
def change(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before: a raster or a folder of tiles.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after, whose grid the map gets.")],
    out: Out,
    transitions: Annotated[
        bool,
        typer.Option("--transitions", help="PRE and POST are maps of land cover: write hectares from → to as CSV."),
    ] = False,
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
    from deepnets4eo.outputs.input_files import check_not_inputs

    about, silent = EventInfo.parse(event or []), str(json) == "-"
    if transitions:
        if options != ChangeOptions(seed=options.seed) or about != EventInfo() or dry_run or resume:
            raise InputError(
                "--transitions compares two maps of land cover: only --legend, --json, --overwrite, --set block_px=… and "
                "--set seed=… go with it. Leave the other options out."
            )
        from deepnets4eo.change.cover_table import write_cover_table

        check_not_inputs([out, json], [pre, post, drawing.legend])
        table = write_cover_table(pre, post, out, drawing, seed=options.seed, overwrite=overwrite)
        if json is not None:
            show_json({"intervals": table.method, "transitions": table.table().to_dict("records")}, json)
        show_result(table.headline(), out, err=silent)
        return
    if drawing != TransitionOptions():
        raise InputError(
            "--legend and --set block_px belong to maps of land cover. Add --transitions, or leave them out."
        )
    from deepnets4eo.change.job import check_outputs, describe, map_change
    from deepnets4eo.jobs.executors import Workers

    who = Workers.parse(workers)
    options = replace(options, memory_bytes=memory_bytes(memory), device=device, workers=who.threads)
    check_not_inputs([json], [pre, post, *options.further_inputs.values()])
    if dry_run:
        echo(describe(pre, post, out, options, overwrite=overwrite, resume=resume))
        return
    check_outputs(pre, post, out, options)
    with who.executor(options.memory_bytes) as executor, progress("change") as advance:
        result = map_change(
            pre, post, out, options, event=about, resume=resume, overwrite=overwrite, progress=advance, executor=executor,
        )  # fmt: skip
    if json is not None:
        show_json(result.summary, json)
    echo("Open report.html in a browser, change.gpkg in QGIS.", err=silent)
    show_result(result.headline(), *result.paths.values(), err=silent)
    end_with_findings(result.findings)
