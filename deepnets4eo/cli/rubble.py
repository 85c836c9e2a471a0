"""`deepnets4eo rubble`: height loss, rubble and debris volume of every building from clouds or surface models."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import DryRun, Event, Out, Overwrite, formats
from deepnets4eo.cli.output import echo, end_with_findings, progress, show_result
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.points.rubble.rubble_map import RubbleOptions


@with_options(RubbleOptions)
def rubble(
    post: Annotated[
        str, Argument(metavar="POST", help="Heights after the event: LAS, LAZ or other points; or a raster.")
    ],
    footprints: Annotated[str, Option(help="Building outlines, any vector format.", show_default=False)],
    out: Out,
    pre: Annotated[
        list[str] | None,
        Option(
            help="Heights before the event; without them, rubble is what is low and rough. Several, as DATE=FILE and the oldest "
            "first, also write the history of each building; then POST may be DATE=FILE, too."
        ),
    ] = None,
    options: RubbleOptions = RubbleOptions(),
    event: Event = None,
    also: Annotated[
        str | None,
        Option(
            metavar="FORMATS",
            help="Which of laz,cityjson,roofs to write too, or none; laz,cityjson by default. roofs: as triangles in the CityJSON, from "
            "dense points before the event (needs Open3D).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Measure how much of each building has come down, and the volume of debris with its interval.

    \b
    deepnets4eo rubble post.laz --pre pre.laz --footprints footprints.gpkg --out rubble
    deepnets4eo rubble dsm_post.tif --pre dsm_pre.tif --footprints footprints.gpkg --set least_loss_m=2.5 --out rubble
    deepnets4eo rubble 2023=c.laz --pre 2010=a.laz --pre 2016=b.laz --footprints footprints.gpkg --out rubble"""
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.findings import count_of
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.points import check_heights, debris_history, debris_volumes, save_rubble
    from deepnets4eo.points.rubble.history import check_dates, parse_dated
    from deepnets4eo.points.rubble.job import read_outlines
    from deepnets4eo.points.rubble.products import ALSO, PRODUCTS, check_products, products_of_points

    about = EventInfo.parse(event or [])
    dates, files = zip(*map(parse_dated, [*(pre or []), post]), strict=True)
    *before, post = files
    if len(before) > 1:
        check_dates(dates, len(dates))
    check_not_inputs([out, *(out / name for name in PRODUCTS)], [*files, footprints])
    further = check_products(ALSO if (chosen := formats(also)) is None else chosen, (before or [None])[0])
    check_overwrite(out, overwrite=overwrite)
    outlines = read_outlines(footprints, options)
    for later in files[1:] or files:
        check_heights(later, outlines, *before[:1])
    if needing := products_of_points(post, further):
        echo(f"note: {', '.join(needing)} need points: not written, as {post} is a surface model.", err=True)
    if dry_run:
        echo(f"{count_of(len(outlines), 'building')} would be measured into {out}")
        return
    with output_lock(out), progress("rubble") as advance:
        if len(before) > 1:
            result = debris_history(files, dates, outlines, options, event=about, progress=advance)
        else:
            result = debris_volumes(post, outlines, *(before or [None]), options, event=about, progress=advance)
        paths = save_rubble(result, out, post, also=further, pre=(before or [None])[0], overwrite=overwrite)
    show_result(result.headline(), *paths.values())
    end_with_findings(result.findings)
