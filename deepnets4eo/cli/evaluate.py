"""`deepnets4eo evaluate`: score a label raster, or a folder of tiles, against a reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepnets4eo.cli.options import Debug, Seed

if TYPE_CHECKING:
    from deepnets4eo.evaluation import Protocol
    from deepnets4eo.legend import Legend


def evaluate(
    prediction: Annotated[Path, typer.Argument(help="Label raster, or folder of tiles.", show_default=False)],
    reference: Annotated[
        Path, typer.Argument(help="Reference, or folder of tiles of the same names.", show_default=False)
    ],
    legend: Annotated[
        str | None, typer.Option(help="Legend to score in: a name or a YAML card.", show_default=False)
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="DATASET/PROTOCOL of a dataset card: legend, erosion, ignored classes.")
    ] = None,
    prediction_legend: Annotated[str | None, typer.Option(help="Legend the prediction is stored in.")] = None,
    reference_legend: Annotated[str | None, typer.Option(help="Legend the reference is stored in.")] = None,
    erode: Annotated[int | None, typer.Option(help="Score also without this many px along borders.", min=0)] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Class whose reference pixels are left out.")] = None,
    unknown: Annotated[str, typer.Option(help="Labels that the legend lacks: error or void.")] = "error",
    bootstrap: Annotated[int, typer.Option(help="Draws for intervals over tiles; 0 for none.", min=0)] = 0,
    tile: Annotated[int, typer.Option(help="Side of those tiles in px.", min=16)] = 512,
    seed: Seed = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores here as JSON; - for stdout.")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the scores here as CSV.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the confusion matrix here (PNG, PDF, SVG).")] = None,
    debug: Debug = False,
) -> None:
    """Score a label raster against a reference: per-class F1, IoU, precision, recall, and the confusion matrix.

    Values or colours, streamed; void in the reference is ignored, void in the prediction is an error.

    \b
    deepnets4eo evaluate labels.tif reference.tif --legend isprs --erode 3 --json scores.json
    deepnets4eo evaluate predicted/ reference/ --protocol isprs_vaihingen/deepnetsforeo --bootstrap 1000
    """
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.evaluation import Intervals, evaluate_pairs
    from deepnets4eo.evaluation.tile_pairs import pair_tiles

    folders = prediction.is_dir() and reference.is_dir()  # one folder alone is a mosaic
    pairs = pair_tiles(prediction, reference) if folders else [(prediction, reference)]
    chosen, rules = _rules(pairs[0][0], legend, protocol, unknown)
    rules = replace(
        rules,
        erode_px=rules.erode_px if erode is None else erode,
        ignored=tuple(ignore) if ignore else rules.ignored,
        prediction_legend=_legend(prediction_legend),
        reference_legend=_legend(reference_legend),
    )
    with progress("evaluate") as advance:
        intervals = Intervals(bootstrap, tile, seed)
        result = evaluate_pairs(pairs, chosen, rules, intervals=intervals, progress=advance).to_dict()
    _show(result, json_file, csv_file, markdown_file, figure)


def _rules(prediction: Path, legend: str | None, protocol: str | None, unknown: str) -> tuple[Legend, Protocol]:
    """Legend and protocol: what the options say, else the dataset card's protocol, else the prediction's own legend."""
    from deepnets4eo.dataset_card import load_protocol
    from deepnets4eo.errors import InputError
    from deepnets4eo.evaluation import Protocol, written_legend
    from deepnets4eo.scene import Layer

    if unknown not in ("error", "void"):
        raise InputError(f'--unknown is "{unknown}", expected error or void.')
    named = load_protocol(protocol) if protocol else None
    chosen = _legend(legend or (named.legend if named else None)) or written_legend(Layer.open(prediction))
    if chosen is None:
        raise InputError(f"{prediction} does not say its legend and no --legend was given. Name one: --legend isprs.")
    rules = Protocol(name=protocol or "", unknown="void" if unknown == "void" else "error")
    if named is not None:
        card = named.model_dump(mode="json", exclude_none=True)
        rules = replace(rules, erode_px=named.erode_px, ignored=named.ignored_classes, card=card)
    return chosen, rules


def _legend(name: str | None) -> Legend | None:
    from deepnets4eo.legend import Legend

    return Legend.load(name) if name else None


def _show(
    result: dict[str, Any], json_file: Path | None, csv_file: Path | None, markdown: Path | None, figure: Path | None
) -> None:
    """The table on stdout; where files are asked for, their paths on stdout and the table on stderr."""
    from deepnets4eo import report
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.files import write_text

    asked = any(target is not None for target in (json_file, csv_file, markdown, figure))
    typer.echo(report.text_table(result), err=asked, nl=False)
    if json_file is not None:
        show_json(result, json_file)
    if csv_file is not None:
        typer.echo(write_text(csv_file, report.csv_table(result)))
    if markdown is not None:
        typer.echo(write_text(markdown, report.markdown_table(result)))
    if figure is not None:
        typer.echo(report.confusion_figure(result, figure))
