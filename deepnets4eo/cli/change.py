"""`deepnets4eo change`: what changed between two images."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from deepnets4eo.change.options import ChangeOptions
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import (
    Debug,
    Device,
    DryRun,
    Json,
    Memory,
    Out,
    Overwrite,
    Resume,
    Seed,
    Workers,
    memory_bytes,
)
from deepnets4eo.cli.output import echo
from deepnets4eo.outputs.event import EventInfo


@with_options(ChangeOptions, workers=Workers, seed=Seed)
@with_options(EventInfo)
def change(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before: a raster or a folder of tiles.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after, whose grid the map gets.")],
    out: Out,
    options: ChangeOptions = ChangeOptions(),
    event: EventInfo = EventInfo(),
    memory: Memory = "4GB",
    device: Device = "auto",
    json: Json = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Map what changed between two images: labels, scores, polygons and a page, without training or with a run.

    \b
    deepnets4eo change pre.tif post.tif --out change
    deepnets4eo change pre.tif post.tif --out change --method cva --threshold otsu --min-area 100
    deepnets4eo change pre.tif post.tif --out change --model runs/fc-siam-diff --normalise regression
    """
    from deepnets4eo.change.job import check_options, check_outputs, load_change_run, map_change
    from deepnets4eo.change.pair import open_pair
    from deepnets4eo.cli.findings import end_with_findings
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.jobs.scratch import check_job_output
    from deepnets4eo.outputs.input_files import check_not_inputs

    options = replace(options, memory_bytes=memory_bytes(memory), device=device)
    check_not_inputs([json], [pre, post, *options.further_inputs.values()])
    check_outputs(pre, post, out, options)
    if dry_run:
        check_options(options)
        load_change_run(options)
        check_job_output(out, overwrite=overwrite, resume=resume)
        pair = open_pair(pre, post, options)
        rows, cols = pair.scene.shape
        echo(f"{rows} x {cols} px would be mapped into {out}; registration {pair.registration.status}")
        return
    with progress("change") as advance:
        result = map_change(pre, post, out, options, event=event, resume=resume, overwrite=overwrite, progress=advance)
    silent = str(json) == "-"
    if json is not None:
        show_json(result.summary, json)
    echo(f"Open {result.paths['report.html']} in a browser, {result.paths['change.gpkg']} in QGIS.", err=silent)
    for path in result.paths.values():
        echo(path, err=silent)
    end_with_findings(result.findings)
