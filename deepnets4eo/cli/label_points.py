"""`deepnets4eo label-points`: label a file of points with a trained run, or with rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.cli.options import DryRun, Json, Memory, Out, Overwrite, Resume, WhoElse, memory_bytes, others_alone
from deepnets4eo.cli.output import echo, progress, save_json, show_result

COLOURS = "Colours"


Colour = Annotated[
    Path | None, Option(help="Orthophoto of red, green, blue (and near infrared).", rich_help_panel=COLOURS)
]
Infrared = Annotated[Path | None, Option(help="Orthophoto whose first band is near infrared.", rich_help_panel=COLOURS)]
AllReturns = Annotated[
    bool, Option("--all-returns", help="Colour later returns, too, not only the first.", rich_help_panel=COLOURS)
]
View = Annotated[
    bool,
    Option(
        "--view",
        help="Show the result: in Open3D's window where there is a display, else write a page of up to 1 million points "
        "beside it (.html).",
    ),
]


def label_points(
    cloud: Annotated[
        Path,
        Argument(help="LAS, LAZ, COPC, PLY, PCD, or text with a point a line (XYZ, XYZN, XYZRGB).", show_default=False),
    ],
    model: Annotated[
        str, Option("--model", help="Run folder that was trained on points, or rules.", show_default=False)
    ],
    out: Out,
    replace: Annotated[
        bool, Option("--replace", help="Overwrite the classification, too, not only add pred_class.")
    ] = False,
    neighbour: Annotated[
        list[Path] | None, Option(help="A file of the same scene whose points count near the edges; may be repeated.")
    ] = None,
    crs: Annotated[
        str | None, Option(help="CRS of the points, where the file has none or a wrong one, e.g. EPSG:2154.")
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
    """Label a file of points; prints the path of the labelled file, .laz or .las.

    All content of the file is kept; added are pred_class, pred_prob, entropy and propagated (1 for points that no view or
    neighbourhood labelled, which take the label of the nearest labelled point).

    \b
    deepnets4eo label-points tile.laz --model rules --out labelled.laz
    deepnets4eo label-points tile.laz --model runs/snapnet --colour ortho.tif --out labelled.laz --replace"""
    from deepnets4eo import points
    from deepnets4eo.errors import InputError
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.outputs import check_not_inputs

    if infrared is not None and colour is None:
        raise InputError("--infrared belongs to an orthophoto. Name it with --colour.")
    who = others_alone(workers)
    options = points.LabelOptions(
        replace=replace, crs=crs, neighbours=tuple(neighbour or ()), memory_bytes=memory_bytes(memory), resume=resume,
        overwrite=overwrite,
    )  # fmt: skip
    page = out.with_suffix(".html")
    check_not_inputs([out, json, *([page] if view else [])], [cloud, neighbour, colour, infrared, model])
    if view:
        check_overwrite(page, overwrite=overwrite or resume)
    labeller = points.load_labeller(model)
    orthophoto = points.Orthophoto(colour, infrared, all_returns=all_returns) if colour is not None else None
    if dry_run:
        echo(points.describe_labelling(cloud, labeller, out, options, orthophoto=orthophoto))
        return
    with who.executor() as executor, progress("label-points") as advance:
        result = points.label_cloud(
            cloud, labeller, out, options, orthophoto=orthophoto, progress=advance, executor=executor
        )
    if json is not None:
        echo(save_json(result.to_dict(), json))
    show_result(result.summary(), result.path)
    if view and (written := points.show_cloud(result.path, page)) is not None:
        echo(written)
