"""Scores of a labelled file of points against a reference, at the original points, with the one confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import Legend, load_protocol
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Evaluation, Intervals, Protocol, ProtocolChanges, ScoredFiles, load_legend
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.cloud import PointCloud, has_asprs_noise, legend_codes
from deepnets4eo.points.files import CloudFile, open_cloud

PREDICTED = "pred_class"
NEAR_M = 0.002  # between the same point of two files, in addition to half a step of each


def evaluate_by_options(
    labelled: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, *, intervals: Intervals,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score a labelled file by the options of the verb `evaluate`. Errors: InputError for rules that points do not have."""
    if intervals.draws or changes != ProtocolChanges(ignore=changes.ignore, unknown=changes.unknown):
        raise InputError("Points can be scored with --legend, --protocol, --ignore and --unknown only.")
    of_card = load_protocol(scored.protocol) if scored.protocol else None
    ignored = changes.ignore or (of_card.ignored_classes if of_card is not None else ())
    chosen = load_legend(scored.legend or (of_card.legend if of_card is not None else None))
    return evaluate_cloud(
        labelled, reference, chosen, ignored=ignored, unknown_is_void=changes.unknown == "void", progress=progress
    )


def evaluate_cloud(
    labelled: str | Path,
    reference: str | Path,
    legend: Legend | None = None,
    *,
    ignored: Sequence[str] = (),
    unknown_is_void: bool = False,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Score a labelled file of points against the classification of the same points.

    Parameters
    ----------
    labelled : file whose dimension `pred_class` is scored, or its classification if that is missing
    reference : the same points in the same order; it may be the same file
    legend : by default the legend of the labelled file
    ignored : names of classes whose reference points are left out
    unknown_is_void : whether codes that the legend lacks are void, and not an error
    progress : called with the finished share, 0–1

    Returns
    -------
    dict
        As `evaluate` returns for rasters. Points that are void in the reference or withheld are left out, and so are
        points that the reference classifies as noise if `pred_class` is scored; points without label count as errors.

    Raises
    ------
    InputError
        Different points, codes that the legend lacks, or no classified point in the reference.
    """
    predicted, truth, chosen, has_labels = _open_both(labelled, reference, legend)
    for name in ignored:
        chosen.index(name)
    noise_left_alone = has_labels and has_asprs_noise(chosen)
    matrix, indices, done = ConfusionMatrix(chosen.num_classes), chosen.to_index(), 0
    near_m = NEAR_M + (predicted.step_m + truth.step_m) / 2
    for ours, theirs in zip(predicted.whole_chunks(), truth.whole_chunks(), strict=True):
        if not (np.abs(ours.xyz - theirs.xyz) <= near_m).all():
            raise InputError(
                f"{labelled} and {reference} hold other points, or the same in another order, from point {done:,} on. "
                "Label the reference file itself, so that the order is kept."
            )
        used = _scored(ours, theirs, noise_left_alone=noise_left_alone)
        if used.any():
            rows = indices[legend_codes(theirs.subset(used), chosen, unknown_is_void=unknown_is_void)]
            columns = indices[legend_codes(ours.subset(used), chosen, unknown_is_void=True)]
            matrix.update(rows, columns)
        done += len(theirs)
        if progress is not None:
            progress(done / truth.point_count)
    ignored = tuple(chosen.names[chosen.index(name)] for name in ignored)
    counted = matrix.ignoring([chosen.index(name) for name in ignored])
    if not counted.total:
        raise InputError(
            f"{reference} has no classified point: all are void or ignored in the legend {chosen.name}. "
            "Give a reference whose points are classified, or the legend of its codes (--legend)."
        )
    result = Evaluation(
        chosen,
        Protocol(ignored=ignored, unknown="void" if unknown_is_void else "error"),
        counted,
        None,
        inputs=[{"prediction": str(labelled), "reference": str(reference)}],
    )
    return result.to_dict() | {"unit": "points"}


def _open_both(
    labelled: str | Path, reference: str | Path, legend: Legend | None
) -> tuple[CloudFile, CloudFile, Legend, bool]:
    """Return both files, the legend to score in, and whether labels are apart from the classification. Errors: InputError."""
    predicted = open_cloud(labelled)
    has_labels = PREDICTED in getattr(predicted, "extra_dimensions", ())
    if has_labels:
        predicted = open_cloud(labelled, classes=PREDICTED)
    truth = open_cloud(reference)
    if truth.is_predicted:
        raise InputError(
            f"the classification of {reference} was overwritten with a prediction (label-points --replace), expected one "
            "that is independent of it. Give the file as it was before."
        )
    chosen = legend or predicted.stored_legend()
    if chosen is None:
        raise InputError(f"{labelled} holds no legend and none was given. Give one: --legend ign_lidar_hd.")
    if predicted.point_count != truth.point_count:
        raise InputError(
            f"{labelled} has {predicted.point_count:,} points, {reference} has {truth.point_count:,}; "
            "expected the same points in the same order. Label the reference file itself."
        )
    return predicted, truth, chosen, has_labels


def _scored(predicted: PointCloud, truth: PointCloud, *, noise_left_alone: bool) -> NDArray[np.bool_]:
    """Return (N,) which points are scored."""
    used = np.ones(len(truth), bool)
    for cloud in (predicted, truth):
        if cloud.withheld is not None:
            used &= ~cloud.withheld
    return used & ~truth.noise if noise_left_alone else used
