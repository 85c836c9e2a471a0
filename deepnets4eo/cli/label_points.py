"""`deepnets4eo label-points`: label a file of points with a trained run, or with rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.cli.options import DryRun, Json, Memory, Out, Overwrite, Resume, WhoElse, memory_bytes, others_alone
from deepnets4eo.cli.output import echo, is_stdout, progress, show_findings, show_json, show_result

COLOURS = "Colours"


Colour = Annotated[
    str | None, Option(help="Orthophoto with red, green, blue (and near infrared).", rich_help_panel=COLOURS)
]
Infrared = Annotated[str | None, Option(help="Orthophoto whose first band is near infrared.", rich_help_panel=COLOURS)]
AllReturns = Annotated[
    bool, Option("--all-returns", help="Colour all returns, not only the first.", rich_help_panel=COLOURS)
]
View = Annotated[
    bool,
    Option(
        "--view",
        help="Show the result in a window of Open3D; without a display, write a page of up to 1 million points "
        "next to the result (.html).",
    ),
]


def label_points(
    cloud: Annotated[
        Path,
        Argument(
            help="Point cloud: LAS, LAZ, COPC, PLY, PCD, or text with one point per line (XYZ, XYZN, XYZRGB).",
        ),
    ],
    model: Annotated[str, Option("--model", help="Run folder of a network trained on points, or rules.")],
    out: Out,
    replace: Annotated[
        bool, Option("--replace", help="Also overwrite the classification, in addition to the new column pred_class.")
    ] = False,
    neighbour: Annotated[
        list[Path] | None,
        Option(help="Neighbouring file of the same scene, whose points are used near the edges; repeatable."),
    ] = None,
    crs: Annotated[
        str | None, Option(help="CRS of the points, if the CRS in the file is missing or wrong, e.g. EPSG:2154.")
    ] = None,
    colour: Colour = None,
    infrared: Infrared = None,
    all_returns: AllReturns = False,
    view: View = False,
    memory: Memory = "4GB",
    workers: WhoElse = None,
    json: Json = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Label a point cloud, and print the path of the labelled file, .laz or .las.

    The labelled file keeps all content and adds pred_class, pred_prob, entropy and propagated (1 for points that no view or
    neighbourhood labelled, which take the label of the nearest labelled point).

    \b
    deepnets4eo label-points tile.laz --model rules --out labelled.laz
    deepnets4eo label-points tile.laz --model runs/snapnet --colour ortho.tif --out labelled.laz --replace"""
    from deepnets4eo import points
    from deepnets4eo.errors import InputError
    from deepnets4eo.files import check_file_name, check_overwrite
    from deepnets4eo.outputs import check_not_inputs

    if infrared is not None and colour is None:
        raise InputError("--infrared belongs to an orthophoto. Name it with --colour.")
    who = others_alone(workers)
    options = points.LabelOptions(
        replace=replace, crs=crs, neighbours=tuple(neighbour or ()), memory_bytes=memory_bytes(memory), resume=resume,
        overwrite=overwrite,
    )  # fmt: skip
    page = check_file_name(out).with_suffix(".html")
    check_not_inputs([out, json, *([page] if view else [])], [cloud, neighbour, colour, infrared, model])
    if view:
        check_overwrite(page, overwrite=overwrite or resume)
    labeller = points.load_labeller(model)
    orthophoto = points.Orthophoto(colour, infrared, all_returns=all_returns) if colour is not None else None
    job = points.LabelJob.plan(cloud, labeller, out, options, orthophoto)
    if dry_run:
        echo(job.describe())
        return
    with who.executor() as executor, progress("label-points") as advance:
        result = job.run(advance, executor)
    silent = is_stdout(json)
    if json is not None:
        show_json(result.to_dict(), json)
    show_result(result.summary(), result.path, err=silent)
    show_findings(result.findings)
    if view and (written := points.show_cloud(result.path, page)) is not None:
        echo(written, err=silent)
