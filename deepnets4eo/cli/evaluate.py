"""`deepnets4eo evaluate`: score a label raster, or a folder of tiles, against a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deepnets4eo.cli.options import Debug, Seed
from deepnets4eo.cli.output import echo

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.evaluation import Intervals, Protocol


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
    dataset: Annotated[
        str | None, typer.Option(help="Score predicted tiles on this dataset's test part; REFERENCE is its folder.")
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="Where its labels lie, e.g. labels=gt/{id}.tif.")
    ] = None,
    prediction_legend: Annotated[str | None, typer.Option(help="Legend the prediction is stored in.")] = None,
    reference_legend: Annotated[str | None, typer.Option(help="Legend the reference is stored in.")] = None,
    erode: Annotated[int | None, typer.Option(help="Score also without this many px along borders.", min=0)] = None,
    boundary_px: Annotated[
        int | None, typer.Option("--boundary-px", help="Score class borders, too: right within so many px.", min=0)
    ] = None,
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
    against: Annotated[
        Path | None, typer.Option(help="An earlier --json of the same protocol: show the difference.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the confusion matrix here (PNG, PDF, SVG).")] = None,
    debug: Debug = False,
) -> None:
    """Score a label raster against a reference: per-class F1, IoU, precision, recall, and the confusion matrix.

    Values or colours, streamed; void in the reference is ignored, void in the prediction is an error.

    \b
    deepnets4eo evaluate labels.tif reference.tif --legend isprs --erode 3 --json scores.json
    deepnets4eo evaluate predicted/ reference/ --protocol isprs_vaihingen/deepnetsforeo --bootstrap 1000
    deepnets4eo evaluate predicted/ vaihingen/ --dataset isprs_vaihingen --protocol deepnetsforeo
    """
    from deepnets4eo.errors import InputError
    from deepnets4eo.evaluation import Intervals
    from deepnets4eo.evaluation.comparison import read_report
    from deepnets4eo.evaluation.report import check_figure_suffix
    from deepnets4eo.outputs.input_files import refuse_inputs

    read = [prediction, reference, legend, protocol, dataset, prediction_legend, reference_legend, against]
    refuse_inputs([json_file, csv_file, markdown_file, figure], read)
    earlier = read_report(against) if against is not None else None  # before the work, not after it
    if figure is not None:
        check_figure_suffix(figure)
    intervals = Intervals(bootstrap, tile, seed)
    stored = (prediction_legend, reference_legend)
    changed = partial(
        _changed, erode=erode, boundary_px=boundary_px, ignore=ignore, stored=stored, unknown=_unknown(unknown)
    )
    if dataset is not None and legend:
        raise InputError("--legend and --dataset do not go together: the protocol says the legend.")
    if dataset is None and layer:
        raise InputError("--layer belongs to a dataset. Name it with --dataset.")
    if dataset is not None:
        result = _score_dataset(dataset, reference, prediction, protocol, layer, changed, intervals)
    else:
        result = _score_files(prediction, reference, legend, protocol, changed, intervals)
    _show(result, earlier, json_file, csv_file, markdown_file, figure)


def _changed(
    rules: Protocol,
    *,
    erode: int | None,
    boundary_px: int | None,
    ignore: list[str] | None,
    stored: tuple[str | None, str | None],
    unknown: Literal["error", "void"],
) -> Protocol:
    """A protocol with what the options say in place of its own."""
    return replace(
        rules,
        erode_px=rules.erode_px if erode is None else erode,
        boundary_px=rules.boundary_px if boundary_px is None else boundary_px,
        ignored=tuple(ignore) if ignore else rules.ignored,
        prediction_legend=_legend(stored[0]),
        reference_legend=_legend(stored[1]),
        unknown=unknown,
    )


def _score_dataset(
    dataset: str,
    root: Path,
    predictions: Path,
    protocol: str | None,
    layer: list[str] | None,
    changed: Callable[[Protocol], Protocol],
    intervals: Intervals,
) -> dict[str, Any]:
    """Tiles of a dataset's test part; the protocol's name may have the dataset's before it."""
    from deepnets4eo.cli.options import patterns
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.evaluation import evaluate_dataset

    name = protocol.rpartition("/")[2] if protocol else None
    with progress("evaluate") as advance:
        return evaluate_dataset(
            dataset, root, predictions, name,
            layout=patterns(layer), rules=changed, intervals=intervals, progress=advance,
        )  # fmt: skip


def _score_files(
    prediction: Path,
    reference: Path,
    legend: str | None,
    protocol: str | None,
    changed: Callable[[Protocol], Protocol],
    intervals: Intervals,
) -> dict[str, Any]:
    """One raster against another, or two folders of tiles paired by name."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.evaluation import evaluate_pairs
    from deepnets4eo.evaluation.tile_pairs import pair_tiles

    folders = prediction.is_dir() and reference.is_dir()  # one folder alone is a mosaic
    pairs = pair_tiles(prediction, reference) if folders else [(prediction, reference)]
    chosen, rules = _rules(pairs[0][0], legend, protocol)
    with progress("evaluate") as advance:
        return evaluate_pairs(pairs, chosen, changed(rules), intervals=intervals, progress=advance).to_dict()


def _unknown(text: str) -> Literal["error", "void"]:
    from deepnets4eo.errors import InputError

    if text not in ("error", "void"):
        raise InputError(f'--unknown is "{text}", expected error or void.')
    return "void" if text == "void" else "error"


def _rules(prediction: Path, legend: str | None, protocol: str | None) -> tuple[Legend, Protocol]:
    """Legend and protocol: what the options say, else the dataset card's protocol, else the prediction's own legend."""
    from deepnets4eo.cards.dataset_card import load_protocol
    from deepnets4eo.errors import InputError
    from deepnets4eo.evaluation import Protocol, card_protocol, written_legend
    from deepnets4eo.rasters.scene import Layer

    named = load_protocol(protocol) if protocol else None
    chosen = _legend(legend or (named.legend if named else None)) or written_legend(Layer.open(prediction))
    if chosen is None:
        raise InputError(f"{prediction} does not say its legend and no --legend was given. Name one: --legend isprs.")
    return chosen, card_protocol(protocol or "", named) if named is not None else Protocol()


def _legend(name: str | None) -> Legend | None:
    from deepnets4eo.cards.legend import Legend

    return Legend.load(name) if name else None


def _show(
    result: dict[str, Any],
    earlier: Mapping[str, Any] | None,
    json_file: Path | None,
    csv_file: Path | None,
    markdown: Path | None,
    figure: Path | None,
) -> None:
    """The tables on stdout; where files are asked for, their paths on stdout and the tables on stderr."""
    from deepnets4eo.cards.dataset_card import PublishedScores
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.evaluation import comparison, report
    from deepnets4eo.files import write_text

    asked = any(target is not None for target in (json_file, csv_file, markdown, figure))
    text = report.text_table(result)
    if result.get("published"):
        rows = {method: PublishedScores(**scores) for method, scores in result["published"].items()}
        name = result["protocol"]["name"]
        text += f"\nPublished on {name}, F1 and OA in percent\n{comparison.published_table(result, rows)}"
    if earlier is not None:
        text += f"\n{comparison.comparison_table({'earlier': earlier, 'this result': result})}"
    echo(text, err=asked, nl=False)
    if json_file is not None:
        show_json(result, json_file)
    if csv_file is not None:
        echo(write_text(csv_file, report.csv_table(result)))
    if markdown is not None:
        echo(write_text(markdown, report.markdown_table(result)))
    if figure is not None:
        echo(report.confusion_figure(result, figure))
