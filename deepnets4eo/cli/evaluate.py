"""`deepnets4eo evaluate`: score a label raster, or a folder of tiles, against a reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepnets4eo.cli.completion import dataset_names, legend_names, protocol_names
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Debug, Seed
from deepnets4eo.cli.output import echo
from deepnets4eo.evaluation.options import (
    LEGENDS,
    PROTOCOL,
    RESULTS,
    Intervals,
    ProtocolChanges,
    ReportFiles,
    load_legend,
)

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.evaluation import Protocol


@with_options(ProtocolChanges)
@with_options(Intervals, seed=Seed)
@with_options(ReportFiles)
def evaluate(
    prediction: Annotated[Path, typer.Argument(help="Label raster, or folder of tiles.", show_default=False)],
    reference: Annotated[
        Path, typer.Argument(help="Reference, or folder of tiles of the same names.", show_default=False)
    ],
    legend: Annotated[
        str | None,
        typer.Option(
            help="Legend to score in: a name or a YAML card.",
            show_default=False,
            autocompletion=legend_names,
            rich_help_panel=LEGENDS["group"],
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="DATASET/PROTOCOL of a dataset card: legend, erosion, ignored classes.",
            autocompletion=protocol_names,
            rich_help_panel=PROTOCOL["group"],
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Score predicted tiles on this dataset's test part; REFERENCE is its folder.",
            autocompletion=dataset_names,
            rich_help_panel=PROTOCOL["group"],
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", help="Where its labels lie, e.g. labels=gt/{id}.tif.", rich_help_panel=PROTOCOL["group"]
        ),
    ] = None,
    changes: ProtocolChanges = ProtocolChanges(),
    intervals: Intervals = Intervals(),
    files: ReportFiles = ReportFiles(),
    against: Annotated[
        Path | None,
        typer.Option(
            help="An earlier --json of the same protocol: show the difference.", rich_help_panel=RESULTS["group"]
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Score a label raster or labelled points against a reference: per-class F1, IoU, precision, recall, and the confusion matrix.

    Reads label values or colours. Void in the reference is ignored, void in the prediction counts as an error.

    \b
    deepnets4eo evaluate labels.tif reference.tif --legend isprs --erode 3 --json scores.json
    deepnets4eo evaluate predicted/ reference/ --protocol isprs_vaihingen/deepnetsforeo --bootstrap 1000
    deepnets4eo evaluate predicted/ vaihingen/ --dataset isprs_vaihingen --protocol deepnetsforeo
    deepnets4eo evaluate labelled.laz reference.laz --legend ign_lidar_hd
    """
    from deepnets4eo.errors import InputError
    from deepnets4eo.evaluation.comparison import read_report
    from deepnets4eo.evaluation.report import check_figure_suffix
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.points.files import CLOUD_SUFFIXES

    legends = (changes.prediction_legend, changes.reference_legend)
    check_not_inputs(files.paths(), [prediction, reference, legend, protocol, dataset, *legends, against])
    earlier = read_report(against) if against is not None else None  # before the work, not after it
    if files.figure is not None:
        check_figure_suffix(files.figure)
    if dataset is not None and legend:
        raise InputError("--legend and --dataset do not go together: the protocol has the legend.")
    if dataset is None and layer:
        raise InputError("--layer belongs to a dataset. Name it with --dataset.")
    if dataset is not None:
        result = _score_dataset(dataset, reference, prediction, protocol, layer, changes, intervals)
    elif prediction.suffix.lower() in CLOUD_SUFFIXES:
        result = _score_points(prediction, reference, legend, protocol, changes, intervals)
    else:
        result = _score_files(prediction, reference, legend, protocol, changes, intervals)
    _show(result, earlier, files)


def _score_points(
    labelled: Path,
    reference: Path,
    legend: str | None,
    protocol: str | None,
    changes: ProtocolChanges,
    intervals: Intervals,
) -> dict[str, Any]:
    """Scores labelled points against the classification of the same points."""
    from deepnets4eo.cards.dataset_card import load_protocol
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.errors import InputError
    from deepnets4eo.points import evaluate_cloud

    if intervals.draws or changes != ProtocolChanges(ignore=changes.ignore, unknown=changes.unknown):
        raise InputError("Of the rules of scoring, points have --legend, --protocol, --ignore and --unknown only.")
    of_card = load_protocol(protocol) if protocol else None
    ignored = changes.ignore or (of_card.ignored_classes if of_card is not None else ())
    chosen = load_legend(legend or (of_card.legend if of_card is not None else None))
    with progress("evaluate") as advance:
        return evaluate_cloud(
            labelled, reference, chosen, ignored=ignored, unknown_is_void=changes.unknown == "void", progress=advance
        )


def _score_dataset(
    dataset: str,
    root: Path,
    predictions: Path,
    protocol: str | None,
    layer: list[str] | None,
    changes: ProtocolChanges,
    intervals: Intervals,
) -> dict[str, Any]:
    """Scores the tiles of a dataset's test part; the protocol may be written as DATASET/PROTOCOL."""
    from deepnets4eo.cli.options import patterns
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.evaluation import evaluate_dataset

    name = protocol.rpartition("/")[2] if protocol else None
    with progress("evaluate") as advance:
        return evaluate_dataset(
            dataset, root, predictions, name,
            layout=patterns(layer), rules=lambda rules: rules.apply_changes(changes), intervals=intervals, progress=advance,
        )  # fmt: skip


def _score_files(
    prediction: Path,
    reference: Path,
    legend: str | None,
    protocol: str | None,
    changes: ProtocolChanges,
    intervals: Intervals,
) -> dict[str, Any]:
    """Scores one raster against another, or two folders of tiles paired by name."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.evaluation import evaluate_pairs
    from deepnets4eo.evaluation.tile_pairs import pair_tiles

    folders = prediction.is_dir() and reference.is_dir()  # one folder alone is a mosaic
    pairs = pair_tiles(prediction, reference) if folders else [(prediction, reference)]
    chosen, rules = _rules(pairs[0][0], legend, protocol)
    with progress("evaluate") as advance:
        return evaluate_pairs(
            pairs, chosen, rules.apply_changes(changes), intervals=intervals, progress=advance
        ).to_dict()


def _rules(prediction: Path, legend: str | None, protocol: str | None) -> tuple[Legend, Protocol]:
    """Returns legend and protocol of the options, else of the dataset card, else the legend of the prediction."""
    from deepnets4eo.cards.dataset_card import load_protocol
    from deepnets4eo.errors import InputError
    from deepnets4eo.evaluation import Protocol, card_protocol
    from deepnets4eo.rasters.scene import Layer

    of_card = load_protocol(protocol) if protocol else None
    chosen = load_legend(legend or (of_card.legend if of_card else None)) or Layer.open(prediction).legend
    if chosen is None:
        raise InputError(f"{prediction} has no legend in its tags and no --legend was given. Give one: --legend isprs.")
    return chosen, card_protocol(protocol or "", of_card) if of_card is not None else Protocol()


def _show(result: dict[str, Any], earlier: Mapping[str, Any] | None, files: ReportFiles) -> None:
    """Print the tables to stdout; where files are written, their paths to stdout and the tables to stderr."""
    from deepnets4eo.cards.dataset_card import PublishedScores
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.evaluation import comparison, report
    from deepnets4eo.files import write_text

    text = report.text_table(result)
    if result.get("published"):
        rows = {method: PublishedScores(**scores) for method, scores in result["published"].items()}
        name = result["protocol"]["name"]
        text += f"\nPublished on {name}, F1 and OA in percent\n{comparison.published_table(result, rows)}"
    if earlier is not None:
        text += f"\n{comparison.comparison_table({'earlier': earlier, 'this result': result})}"
    echo(text, err=bool(files.paths()), nl=False)
    if files.json is not None:
        show_json(result, files.json)
    if files.csv is not None:
        echo(write_text(files.csv, report.csv_table(result)))
    if files.markdown is not None:
        echo(write_text(files.markdown, report.markdown_table(result)))
    if files.figure is not None:
        echo(report.confusion_figure(result, files.figure))
