"""`deepnets4eo evaluate`: scores of a label raster, a folder of tiles, points or damage rasters, against a reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepnets4eo.cli.completion import dataset_names, legend_names, protocol_names
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import memory_bytes, patterns
from deepnets4eo.cli.output import echo, progress, show_json, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.options import (
    LEGENDS,
    PROTOCOL,
    Intervals,
    PageOptions,
    ProtocolChanges,
    ReportFiles,
    ScoredFiles,
    load_legend,
)

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.evaluation import Protocol

XVIEW2 = "xview2"  # a protocol of its own: the damage score of a challenge
Legends = Annotated[
    str | None,
    typer.Option(
        help="Legend to score in: a name or a YAML card.",
        show_default=False,
        autocompletion=legend_names,
        rich_help_panel=LEGENDS["group"],
    ),
]
Protocols = Annotated[
    str | None,
    typer.Option(
        help="DATASET/PROTOCOL of a dataset card: legend, erosion, ignored classes; or xview2, for folders of damage rasters.",
        autocompletion=protocol_names,
        rich_help_panel=PROTOCOL["group"],
    ),
]
Datasets = Annotated[
    str | None,
    typer.Option(
        help="Score predicted tiles on this dataset's test part; REFERENCE is its folder.",
        autocompletion=dataset_names,
        rich_help_panel=PROTOCOL["group"],
    ),
]


@with_options(
    ScoredFiles, ProtocolChanges, Intervals, ReportFiles, PageOptions,
    legend=Legends, protocol=Protocols, dataset=Datasets,
)  # fmt: skip
def evaluate(
    prediction: Annotated[
        Path, typer.Argument(help="Label raster, points, or folder of tiles; a run with --page.", show_default=False)
    ],
    reference: Annotated[
        Path | None,
        typer.Argument(help="Reference, or folder of tiles of the same names; none with --page.", show_default=False),
    ] = None,
    scored: ScoredFiles = ScoredFiles(),
    changes: ProtocolChanges = ProtocolChanges(),
    intervals: Intervals = Intervals(),
    files: ReportFiles = ReportFiles(),
    page: PageOptions = PageOptions(),
) -> None:
    """Score a label raster or labelled points against a reference: per-class F1, IoU, precision, recall, and the confusion matrix.

    Reads label values or colours. Void in the reference is ignored, void in the prediction counts as an error. With --page,
    the page of a hyperspectral run, whose scores are those of withheld pixels.

    \b
    deepnets4eo evaluate labels.tif reference.tif --legend isprs --erode 3 --json scores.json
    deepnets4eo evaluate predicted/ reference/ --protocol isprs_vaihingen/deepnetsforeo --bootstrap 1000
    deepnets4eo evaluate predicted/ vaihingen/ --dataset isprs_vaihingen --protocol deepnetsforeo
    deepnets4eo evaluate labelled.laz reference.laz --legend ign_lidar_hd
    deepnets4eo evaluate predictions/ targets/ --protocol xview2 --json score.json
    deepnets4eo evaluate runs/hamida --page runs/hamida-page"""
    if page.page is not None:
        _write_page(prediction, reference, page, scored, files)
        return
    if page != PageOptions():
        raise InputError("--data, --overwrite, --set memory and --set device belong to --page. Leave them out.")
    if reference is None:
        raise InputError("REFERENCE is missing. Give the reference, or --page for the page of a hyperspectral run.")
    if scored.protocol == XVIEW2:
        _score_damage(prediction, reference, scored, changes, intervals, files)
        return
    _check(prediction, reference, scored, changes, files)
    earlier = _earlier(scored.against)  # before the work, not after it
    _show(_score(prediction, reference, scored, changes, intervals), earlier, files)


def _check(
    prediction: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, files: ReportFiles
) -> None:
    """Refuse outputs that would replace inputs, and options that do not go together. Errors: InputError, OutputError."""
    from deepnets4eo.evaluation.report import check_figure_suffix
    from deepnets4eo.outputs.input_files import check_not_inputs

    legends = (changes.prediction_legend, changes.reference_legend)
    read = [prediction, reference, scored.legend, scored.protocol, scored.dataset, *legends, scored.against]
    check_not_inputs(files.paths(), read)
    if files.figure is not None:
        check_figure_suffix(files.figure)
    if scored.dataset is not None and scored.legend:
        raise InputError("--legend and --dataset do not go together: the protocol has the legend.")
    if scored.dataset is None and scored.layer:
        raise InputError("--layer belongs to a dataset. Name it with --dataset.")


def _earlier(path: Path | None) -> Mapping[str, Any] | None:
    from deepnets4eo.evaluation.comparison import read_report

    return None if path is None else read_report(path)


def _score(
    prediction: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals
) -> dict[str, Any]:
    """Scores of a dataset's tiles, of points, or of rasters, by what is given."""
    from deepnets4eo.points.files import CLOUD_SUFFIXES

    if scored.dataset is not None:
        return _score_dataset(scored.dataset, reference, prediction, scored, changes, intervals)
    if prediction.suffix.lower() in CLOUD_SUFFIXES:
        return _score_points(prediction, reference, scored, changes, intervals)
    return _score_files(prediction, reference, scored, changes, intervals)


def _score_points(
    labelled: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals
) -> dict[str, Any]:
    """Scores labelled points against the classification of the same points."""
    from deepnets4eo.cards.dataset_card import load_protocol
    from deepnets4eo.points import evaluate_cloud

    if intervals.draws or changes != ProtocolChanges(ignore=changes.ignore, unknown=changes.unknown):
        raise InputError("Of the rules of scoring, points have --legend, --protocol, --ignore and --unknown only.")
    of_card = load_protocol(scored.protocol) if scored.protocol else None
    ignored = changes.ignore or (of_card.ignored_classes if of_card is not None else ())
    chosen = load_legend(scored.legend or (of_card.legend if of_card is not None else None))
    with progress("evaluate") as advance:
        return evaluate_cloud(
            labelled, reference, chosen, ignored=ignored, unknown_is_void=changes.unknown == "void", progress=advance
        )


def _score_dataset(
    dataset: str, root: Path, predictions: Path, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals
) -> dict[str, Any]:
    """Scores the tiles of a dataset's test part; the protocol may be written as DATASET/PROTOCOL."""
    from deepnets4eo.evaluation import evaluate_dataset

    name = scored.protocol.rpartition("/")[2] if scored.protocol else None
    with progress("evaluate") as advance:
        return evaluate_dataset(
            dataset, root, predictions, name, layout=patterns(scored.layer),
            rules=lambda rules: rules.apply_changes(changes), intervals=intervals, progress=advance,
        )  # fmt: skip


def _score_files(
    prediction: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals
) -> dict[str, Any]:
    """Scores one raster against another, or two folders of tiles paired by name."""
    from deepnets4eo.evaluation import evaluate_pairs
    from deepnets4eo.evaluation.pairs import pair_tiles

    folders = prediction.is_dir() and reference.is_dir()  # one folder alone is a mosaic
    pairs = pair_tiles(prediction, reference) if folders else [(prediction, reference)]
    chosen, rules = _rules(pairs[0][0], scored.legend, scored.protocol)
    with progress("evaluate") as advance:
        return evaluate_pairs(
            pairs, chosen, rules.apply_changes(changes), intervals=intervals, progress=advance
        ).to_dict()


def _rules(prediction: Path, legend: str | None, protocol: str | None) -> tuple[Legend, Protocol]:
    """Returns legend and protocol of the options, else of the dataset card, else the legend of the prediction."""
    from deepnets4eo.cards.dataset_card import load_protocol
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
    show_result(report.headline(result))
    if files.json is not None:
        show_json(result, files.json)
    if files.csv is not None:
        echo(write_text(files.csv, report.csv_table(result)))
    if files.markdown is not None:
        echo(write_text(files.markdown, report.markdown_table(result)))
    if files.figure is not None:
        echo(report.confusion_figure(result, files.figure))


def _score_damage(
    predictions: Path, targets: Path, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals,
    files: ReportFiles,
) -> None:  # fmt: skip
    """Scores folders of damage rasters by the rules of the xView2 challenge, which have no other options."""
    from deepnets4eo.damage.xview2 import score_folders
    from deepnets4eo.outputs.input_files import check_not_inputs

    others = changes != ProtocolChanges() or intervals != Intervals() or files != ReportFiles(json=files.json)
    if others or scored != ScoredFiles(protocol=XVIEW2):
        raise InputError(
            "--protocol xview2 has rules of its own: only --json goes with it. Leave the other options out."
        )
    check_not_inputs([files.json], [predictions, targets])
    result = score_folders(predictions, targets)
    values = result.to_dict()
    if result.absent:
        echo(f"no target shows {', '.join(result.absent)}: the damage F1 is nearly 0 by the rules", err=True)
    for name, value in values.items():
        echo(f"{name:<25}{value:.6f}", err=files.json is not None)
    show_result(f"xView2 score {values['score']:.4f} of {result.images} {'image' if result.images == 1 else 'images'}")
    if files.json is not None:
        show_json(values, files.json)


def _write_page(
    run: Path, reference: Path | None, options: PageOptions, scored: ScoredFiles, files: ReportFiles
) -> None:
    """The page of a hyperspectral run, whose maps are predicted here."""
    from deepnets4eo.hyperspectral import run_report
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.prediction import PredictOptions

    if reference is not None or scored != ScoredFiles() or files != ReportFiles():
        raise InputError(
            "--page takes a run alone, and --data, --overwrite, --set memory and --set device. Leave the reference and the "
            "other options out."
        )
    assert options.page is not None
    data = options.data or []
    check_not_inputs([options.page], [run, *data])
    work = PredictOptions(memory_bytes=memory_bytes(options.memory), device=options.device)
    page = run_report.report(run, options.page, data=data, options=work, overwrite=options.overwrite)
    show_result(f"page of {run}", page)
