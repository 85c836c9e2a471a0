"""`deepnets4eo score`: damage rasters against a benchmark's targets, by its official rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Debug, Json
from deepnets4eo.cli.output import echo
from deepnets4eo.errors import InputError

BENCHMARKS = ("xview2",)


def score(
    benchmark: Annotated[str, typer.Argument(help="Whose rule: xview2.")],
    prediction_dir: Annotated[Path, typer.Argument(metavar="PRED_DIR", help="Folder of prediction PNGs.")],
    target_dir: Annotated[Path, typer.Argument(metavar="TARGET_DIR", help="Folder of target PNGs.")],
    json: Json = None,
    debug: Debug = False,
) -> None:
    """Score damage rasters by a benchmark's official rule.

    Example: deepnets4eo score xview2 predictions/ targets/

    Example: deepnets4eo score xview2 predictions/ targets/ --json score.json
    """
    if benchmark not in BENCHMARKS:
        raise InputError(f'"{benchmark}" is not a benchmark with a rule here. Use one of: {", ".join(BENCHMARKS)}.')
    from deepnets4eo.damage.xview2 import score_folders
    from deepnets4eo.files import write_json
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([json], [prediction_dir, target_dir])

    result = score_folders(prediction_dir, target_dir)
    values = result.to_dict()
    echo(f"{result.images} image(s) scored", err=True)
    if result.absent:
        echo(f"no target shows {', '.join(result.absent)}: the damage F1 is nearly 0 by the rules", err=True)
    for name, value in values.items():
        echo(f"{name:<25}{value:.6f}", err=json is not None)
    if json is not None:
        echo(write_json(json, values))
