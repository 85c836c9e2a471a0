"""`deepnets4eo evaluate`: scores of a label raster, a folder of tiles, points or heights, against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import patterns
from deepnets4eo.cli.output import echo, is_stdout, progress, show_json, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Intervals, ProtocolChanges, ReportFiles, ScoredFiles, ValueRules
from deepnets4eo.segmenters import RunFolder


@with_options(ScoredFiles, ProtocolChanges, ValueRules, Intervals, ReportFiles)
def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(help="Label raster, raster of heights, labelled points, or folder of tiles."),
    ],
    reference: Annotated[Path, typer.Argument(help="Reference, or folder of tiles with the same names.")],
    scored: ScoredFiles = ScoredFiles(),
    changes: ProtocolChanges = ProtocolChanges(),
    values: ValueRules = ValueRules(),
    intervals: Intervals = Intervals(),
    files: ReportFiles = ReportFiles(),
) -> None:
    """Score a label raster or labelled points against a reference: per-class F1, IoU, precision, recall, and the confusion matrix.

    Reads label values or colours. Rasters of heights or depth get errors in their unit: in total, by class and by
    level.

    Void in the reference is ignored; void in the prediction counts as an error.

    \b
    deepnets4eo evaluate labels.tif reference.tif --legend isprs --erode 3 --json scores.json
    deepnets4eo evaluate predicted/ vaihingen/ --dataset isprs_vaihingen --protocol deepnetsforeo --bootstrap 1000
    deepnets4eo evaluate heights.tif ndsm.tif --set class_map=labels.tif
    deepnets4eo evaluate labelled.laz reference.laz --legend ign_lidar_hd
    """
    from deepnets4eo.evaluation import comparison, report
    from deepnets4eo.jobs import output_lock
    from deepnets4eo.outputs import check_not_inputs

    if RunFolder(prediction).is_run:
        raise InputError(
            f"{prediction} is a run, whose own scores are in its metrics.json. Give labels that it made, with deepnets4eo predict, or rank "
            "the labels of whole images: deepnets4eo suspects."
        )
    if RunFolder(reference).is_run:
        raise InputError(
            f"{reference} is a run, expected a reference. Score the labels that it made against the reference: deepnets4eo evaluate "
            f"{prediction} REFERENCE --withheld {reference}, where only what it withheld is to count."
        )
    legends = (changes.prediction_legend, changes.reference_legend)
    check_not_inputs(
        files.paths(), [prediction, reference, scored.legend, scored.protocol, scored.dataset, *legends, scored.against]
    )
    if scored.dataset is not None and scored.legend:
        raise InputError("--legend and --dataset do not go together: the protocol has the legend.")
    if scored.dataset is None and scored.layer:
        raise InputError("--layer belongs to a dataset. Name it with --dataset.")
    if files.figure is not None:
        report.check_figure_suffix(files.figure)
    earlier = (
        None if scored.against is None else comparison.read_report(scored.against)
    )  # before the work, not after it
    result = _scores(prediction, reference, scored, changes, values, intervals)
    echo(comparison.full_table(result, earlier), err=bool(files.paths()), nl=False)  # else the tables go to stdout
    show_result(report.headline(result))
    if files.json is not None:
        show_json(result, files.json)
    with output_lock(*(path for path in files.paths() if not is_stdout(path))):
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
    from deepnets4eo.evaluation import evaluate_dataset, evaluate_files
    from deepnets4eo.points import evaluate_by_options
    from deepnets4eo.points.files import is_cloud_path

    with progress("evaluate") as advance:
        if scored.dataset is not None:
            name = scored.protocol.rpartition("/")[2] if scored.protocol else None  # may be DATASET/PROTOCOL
            return evaluate_dataset(
                scored.dataset, reference, prediction, name, layout=patterns(scored.layer),
                rules=lambda rules: rules.apply_changes(changes), intervals=intervals, progress=advance,
            )  # fmt: skip
        if is_cloud_path(prediction):
            return evaluate_by_options(prediction, reference, scored, changes, intervals=intervals, progress=advance)
        return evaluate_files(
            prediction, reference, scored, changes, intervals=intervals, progress=advance, values=values
        )
