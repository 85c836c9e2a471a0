"""`deepnets4eo rubble`: height loss, rubble and debris volume of every building from clouds or surface models."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import DryRun, Event, Out, Overwrite, formats
from deepnets4eo.cli.output import echo, end_with_findings, progress, show_result
from deepnets4eo.outputs import EventInfo
from deepnets4eo.points import RubbleOptions


@with_options(RubbleOptions)
def rubble(
    post: Annotated[
        str, Argument(metavar="POST", help="Heights after the event: a point cloud (LAS, LAZ, …) or a raster.")
    ],
    footprints: Annotated[str, Option(help="Building outlines in any vector format.")],
    out: Out,
    pre: Annotated[
        list[str] | None,
        Option(
            help="Heights before the event; without them, low and rough surfaces count as rubble. Several files, as DATE=FILE with the oldest "
            "first, also give the history of each building; POST may then be DATE=FILE, too."
        ),
    ] = None,
    options: RubbleOptions = RubbleOptions(),
    event: Event = None,
    also: Annotated[
        str | None,
        Option(
            metavar="FORMATS",
            help="Further formats: any of laz,cityjson,roofs; or none. By default laz,cityjson. roofs adds triangles of roofs to the CityJSON, from "
            "dense points before the event (needs Open3D).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Measure how much of each building has collapsed, and the volume of debris with its interval.

    \b
    deepnets4eo rubble post.laz --pre pre.laz --footprints footprints.gpkg --out rubble
    deepnets4eo rubble dsm_post.tif --pre dsm_pre.tif --footprints footprints.gpkg --set least_loss_m=2.5 --out rubble
    deepnets4eo rubble 2023=c.laz --pre 2010=a.laz --pre 2016=b.laz --footprints footprints.gpkg --out rubble"""
    from deepnets4eo.jobs import JobOutput
    from deepnets4eo.points.rubble import RubbleJob

    about, output = EventInfo.parse(event or []), JobOutput(out, overwrite=overwrite)
    job = RubbleJob.plan(post, pre or [], footprints, output, options, about, formats(also))
    if job.left_out:
        echo(f"note: {', '.join(job.left_out)} need points: not written, as {job.post} is a surface model.", err=True)
    if dry_run:
        echo(job.describe())
        return
    with progress("rubble") as advance:
        result, paths = job.run(advance)
    show_result(result.headline(), *paths.values())
    end_with_findings(result.findings)
