"""`deepnets4eo report`: what a hyperspectral run learnt and how well, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Debug, Device, Memory, Out, Overwrite, memory_bytes
from deepnets4eo.cli.output import echo


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run of the task hyperspectral.", show_default=False)],
    out: Out,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Where the training's files lie now; by default where they lay then."),
    ] = None,
    memory: Memory = "4GB",
    device: Device = "auto",
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write the page of a hyperspectral run: maps with legend, mean spectra with spread, confusion matrix, leakage.

    All scores are those of withheld pixels. The maps are predicted here and stay in the folder.

    \b
    deepnets4eo report runs/hamida --out runs/hamida-report
    """
    from deepnets4eo.hyperspectral import run_report
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.prediction import PredictOptions

    check_not_inputs([out], [run, *(data or [])])
    options = PredictOptions(memory_bytes=memory_bytes(memory), device=device)
    echo(run_report.report(run, out, data=data or [], options=options, overwrite=overwrite))
