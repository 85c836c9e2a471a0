"""`deepnets4eo change`: what changed between two images."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from deepnets4eo.change import ChangeOptions
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import DryRun, Event, Json, Memory, Out, Overwrite, Resume, WhoWorks, memory_bytes
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo
from deepnets4eo.segmenters import is_onnx


@with_options(ChangeOptions)
def change(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before: a raster or a folder of tiles.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after; the map has the grid of this image.")],
    out: Out,
    image_after: Annotated[
        str | None, typer.Argument(metavar="", help="POST if the first argument is a network, FILE.onnx.", hidden=True)
    ] = None,
    options: ChangeOptions = ChangeOptions(),
    event: Event = None,
    memory: Memory = "4GB",
    workers: WhoWorks = "2",
    json: Json = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Map what changed between two images: labels, scores, polygons and a page, without training or with a run.

    \b
    deepnets4eo change pre.tif post.tif --out change
    deepnets4eo change pre.tif post.tif --out change --method cva --set threshold=otsu --min-area 100
    deepnets4eo change pre.tif post.tif --out change --model runs/fc-siam-diff --set normalise=training
    deepnets4eo change network.onnx pre.tif post.tif --out change"""
    from deepnets4eo.change import ChangeJob
    from deepnets4eo.cli.map_verb import run_map
    from deepnets4eo.jobs import JobOutput, Workers
    from deepnets4eo.outputs import check_not_inputs

    pre, post, options = _network_first(pre, post, image_after, options)
    who = Workers.parse(workers)
    options = replace(options, memory_bytes=memory_bytes(memory), workers=who.threads)
    check_not_inputs([json], [pre, post, *options.further_inputs.values()])
    job = ChangeJob(pre, post, JobOutput(out, resume, overwrite), options, EventInfo.parse(event or []))
    run_map(job, dry_run=dry_run, json=json, workers=who)


def _network_first(pre: str, post: str, last: str | None, options: ChangeOptions) -> tuple[str, str, ChangeOptions]:
    """Return both images and the options if a network of others, FILE.onnx, comes first. Raises InputError for three other arguments."""
    if last is None:
        return pre, post, options
    if not is_onnx(pre) or options.model is not None:
        raise InputError(
            f"change got {pre}, {post} and {last}; expected PRE POST, or FILE.onnx PRE POST without --model. Name a run with --model RUN."
        )
    return post, last, replace(options, model=pre)
