"""`deepnets4eo transitions`: hectares from one land cover to another between two maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.completion import legend_names
from deepnets4eo.cli.options import Debug, Json, Out, Overwrite, Seed
from deepnets4eo.cli.output import echo


def transitions(
    cover_pre: Annotated[str, typer.Argument(help="Label raster of land cover before.", show_default=False)],
    cover_post: Annotated[str, typer.Argument(help="Label raster of land cover after.", show_default=False)],
    out: Out,
    legend: Annotated[
        str | None,
        typer.Option(
            help="Legend of rasters that name none: a name or a YAML card.",
            show_default=False,
            autocompletion=legend_names,
        ),
    ] = None,
    block_px: Annotated[
        int | None, typer.Option(help="Side of the blocks that are drawn for the intervals, pixels.", min=1)
    ] = None,
    seed: Seed = 0,
    json: Json = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write the table from → to of two maps of land cover as CSV: hectares with 95 % intervals.

    The intervals say how much areas vary over the site, nothing about errors of the maps.

    \b
    deepnets4eo transitions cover_2012.tif cover_2020.tif --out transitions.csv
    """
    from deepnets4eo.change.cover_table import compare_covers, write_transitions
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.evaluation.options import load_legend
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.input_files import check_not_inputs

    inputs: list[str | Path | None] = [cover_pre, cover_post, legend]
    check_not_inputs([out, json], inputs)
    with output_lock(out):
        check_overwrite(out, overwrite=overwrite)
        result = compare_covers(cover_pre, cover_post, legend=load_legend(legend), block_px=block_px, seed=seed)
        write_transitions(out, result)
    if json is not None:
        show_json({"intervals": result.method, "transitions": result.table().to_dict("records")}, json)
    echo(out, err=str(json) == "-")
