"""`deepnets4eo evaluate`: scores of a label raster, a folder of tiles, points or damage rasters, against a reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import memory_bytes, patterns
from deepnets4eo.cli.output import echo, progress, show_json, show_result
from deepnets4eo.evaluation.options import (
    XVIEW2,
    Intervals,
    PageOptions,
    ProtocolChanges,
    ReportFiles,
    ScoredFiles,
    ValueRules,
    WrongLabels,
    check_together,
    load_legend,
)
from deepnets4eo.segmenters.checksums import is_run


@with_options(ScoredFiles, ProtocolChanges, ValueRules, Intervals, ReportFiles, PageOptions, WrongLabels)
def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(
            help="Label raster, points, or folder of tiles; a run with --page, or of images with --wrong-labels.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Argument(help="Reference, or folder of tiles of the same names; none with --page.", show_default=False),
    ] = None,
    scored: ScoredFiles = ScoredFiles(),
    changes: ProtocolChanges = ProtocolChanges(),
    values: ValueRules = ValueRules(),
    intervals: Intervals = Intervals(),
    files: ReportFiles = ReportFiles(),
    page: PageOptions = PageOptions(),
    wrong: WrongLabels = WrongLabels(),
) -> None:
    """Score a label raster or labelled points against a reference: per-class F1, IoU, precision, recall, and the confusion matrix.

    Reads label values or colours; of rasters of heights or depth it gives errors in their unit, whole, by class and by level. Void in the reference is ignored, void in the prediction counts as an error. With --page,
    the page of a hyperspectral run, whose scores are those of withheld pixels.

    \b
    deepnets4eo evaluate labels.tif reference.tif --legend isprs --erode 3 --json scores.json
    deepnets4eo evaluate predicted/ reference/ --protocol isprs_vaihingen/deepnetsforeo --bootstrap 1000
    deepnets4eo evaluate predicted/ vaihingen/ --dataset isprs_vaihingen --protocol deepnetsforeo
    deepnets4eo evaluate heights.tif ndsm.tif --set class_map=labels.tif
    deepnets4eo evaluate labelled.laz reference.laz --legend ign_lidar_hd
    deepnets4eo evaluate predictions/ targets/ --protocol xview2 --json score.json
    deepnets4eo evaluate probabilities.tif reference.tif --wrong-labels suspects.gpkg
    deepnets4eo evaluate runs/eurosat EuroSAT_MS --wrong-labels suspects.csv
    deepnets4eo evaluate runs/hamida --page runs/hamida-page"""
    check_together(prediction, reference, scored, changes, intervals, files, page, wrong)
    if reference is None:
        _write_page(prediction, page)
    elif wrong.wrong_labels is not None and is_run(prediction):
        _write_wrong_images(prediction, reference, wrong.wrong_labels)
    elif wrong.wrong_labels is not None:
        _write_wrong_labels(prediction, reference, wrong, scored.legend, changes.reference_legend)
    elif scored.protocol == XVIEW2:
        _score_damage(prediction, reference, files)
    else:
        _score_labels(prediction, reference, scored, changes, values, intervals, files)


def _score_labels(
    prediction: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, values: ValueRules, intervals: Intervals,
    files: ReportFiles,
) -> None:  # fmt: skip
    """Where files are written, their paths go to stdout and the tables to stderr; else the tables go to stdout."""
    from deepnets4eo.evaluation import comparison, report

    if files.figure is not None:
        report.check_figure_suffix(files.figure)
    earlier = (
        None if scored.against is None else comparison.read_report(scored.against)
    )  # before the work, not after it
    result = _scores(prediction, reference, scored, changes, values, intervals)
    echo(comparison.full_table(result, earlier), err=bool(files.paths()), nl=False)
    show_result(report.headline(result))
    if files.json is not None:
        show_json(result, files.json)
    for path in report.write_tables(result, files):
        echo(path)


def _scores(
    prediction: Path,
    reference: Path,
    scored: ScoredFiles,
    changes: ProtocolChanges,
    values: ValueRules,
    intervals: Intervals,
) -> dict[str, Any]:
    """Scores of a dataset's tiles, of points, or of rasters, by what is given."""
    from deepnets4eo.evaluation.pairs import evaluate_dataset, evaluate_files
    from deepnets4eo.points.evaluation import evaluate_by_options
    from deepnets4eo.points.files import CLOUD_SUFFIXES

    with progress("evaluate") as advance:
        if scored.dataset is not None:
            name = scored.protocol.rpartition("/")[2] if scored.protocol else None  # may be DATASET/PROTOCOL
            return evaluate_dataset(
                scored.dataset, reference, prediction, name, layout=patterns(scored.layer),
                rules=lambda rules: rules.apply_changes(changes), intervals=intervals, progress=advance,
            )  # fmt: skip
        if prediction.suffix.lower() in CLOUD_SUFFIXES:
            return evaluate_by_options(prediction, reference, scored, changes, intervals=intervals, progress=advance)
        return evaluate_files(
            prediction, reference, scored, changes, intervals=intervals, progress=advance, values=values
        )


def _score_damage(predictions: Path, targets: Path, files: ReportFiles) -> None:
    from deepnets4eo.damage.xview2 import score_folders

    result = score_folders(predictions, targets)
    if result.absent:
        echo(f"no target shows {', '.join(result.absent)}: the damage F1 is nearly 0 by the rules", err=True)
    for name, value in result.to_dict().items():
        echo(f"{name:<25}{value:.6f}", err=files.json is not None)
    show_result(result.headline())
    if files.json is not None:
        show_json(result.to_dict(), files.json)


def _write_wrong_labels(
    probabilities: Path, reference: Path, wrong: WrongLabels, legend: str | None, stored: str | None
) -> None:
    from deepnets4eo.evaluation.suspects import find_wrong_labels
    from deepnets4eo.polygons.vector_files import check_vector_suffix, write_vector

    assert wrong.wrong_labels is not None
    check_vector_suffix(wrong.wrong_labels)
    with progress("evaluate") as advance:
        table = find_wrong_labels(
            probabilities, reference, load_legend(legend), labels_legend=load_legend(stored), least_px=wrong.least_px,
            progress=advance,
        )  # fmt: skip
    for name, share in table.attrs["shares"].items():
        if not math.isnan(share):  # the network is sure somewhere
            echo(f"{name}: {share:.1%} of its labels are probably wrong", err=True)
    write_vector(table, wrong.wrong_labels)
    area = table["area_m2"].sum()
    show_result(f"{len(table)} regions that are probably labelled wrongly, {area:,.0f} m²", wrong.wrong_labels)


def _write_wrong_images(run: Path, images: Path, out: Path) -> None:
    from deepnets4eo.classification import find_wrong_images
    from deepnets4eo.files import write_text
    from deepnets4eo.segmenters.run import load_run

    table = find_wrong_images(load_run(run), [images])
    write_text(out, table.to_csv(index=False))
    show_result(f"labels of images that are probably wrong: {len(table)}", out)


def _write_page(run: Path, page: PageOptions) -> None:
    from deepnets4eo.hyperspectral import run_report
    from deepnets4eo.prediction import PredictOptions

    assert page.page is not None
    work = PredictOptions(memory_bytes=memory_bytes(page.memory), device=page.device)
    written = run_report.report(run, page.page, data=page.data or [], options=work, overwrite=page.overwrite)
    show_result(f"page of {run}", written)
