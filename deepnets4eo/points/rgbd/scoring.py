"""Scores of labelled frames, counted at their own pixels in one confusion matrix; void is ignored.

The published ones are overall_accuracy (OA), average_accuracy (MA, the mean over classes) and mean_iou.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.rgbd.frame_files import FrameSource
from deepnets4eo.points.rgbd.labeller import FrameLabeller
from deepnets4eo.points.rgbd.layouts import frame_classes


def score_frames(
    labeller: FrameLabeller, frames: Iterable[FrameSource], *, unknown_is_void: bool = False
) -> dict[str, Any]:
    """Label frames, and count all their labelled pixels.

    Parameters
    ----------
    labeller
        The labeller of the frames.
    frames
        With labels, read one at a time.
    unknown_is_void
        Whether codes that the legend does not have are void.

    Returns
    -------
    All scores, fractions; NaN where nothing was counted.

    Raises
    ------
    InputError
        Frames without labels, or with codes that the legend does not have.
    """
    legend = labeller.legend
    matrix = ConfusionMatrix(legend.num_classes)
    for source in frames:
        frame = source.read()
        reference = frame_classes(frame, legend, unknown_is_void=unknown_is_void)
        matrix.update(reference, labeller.scores(frame).argmax(axis=0))
    return report.scores(matrix, legend.names) | {"legend": legend.name}
