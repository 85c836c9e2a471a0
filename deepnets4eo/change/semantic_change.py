"""The score of semantic change over a series of label maps, and the labels of DynamicEarthNet.

SCS = (BC + SC) / 2 (Toker et al., DynamicEarthNet, CVPR 2022): how well changed pixels are found, and how well they are
labelled. Takes class indices, void 255; counts stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix


class SemanticChangeScore:
    """Counts of changes between consecutive label maps.

    A pixel changes if its label differs from its label in the map before. Pixels that are void in the reference at either
    date do not count.

    Parameters
    ----------
    num_classes : K, without void

    Examples
    --------
    >>> reference = np.array([[[0, 0, 1, 1]], [[0, 1, 1, 0]]])
    >>> prediction = np.array([[[0, 0, 1, 1]], [[0, 1, 0, 1]]])
    >>> score = SemanticChangeScore(2).update(reference, prediction)
    >>> [round(value, 3) for value in (score.binary_change, score.semantic_change, score.score)]
    [0.333, 0.25, 0.292]
    """

    def __init__(self, num_classes: int) -> None:
        self._binary, self._semantic = ConfusionMatrix(2), ConfusionMatrix(num_classes)

    def update(self, reference: NDArray[np.integer], prediction: NDArray[np.integer]) -> SemanticChangeScore:
        """Count the maps (T, H, W) of class indices of one site; returns this object. Raises InputError for other shapes, or one date."""
        reference, prediction = np.asarray(reference), np.asarray(prediction)
        if reference.shape != prediction.shape or reference.ndim != 3 or len(reference) < 2:
            raise InputError(
                f"reference is {reference.shape} and prediction {prediction.shape}, expected both (T, H, W) with 2 dates or more."
            )
        for index in range(1, len(reference)):
            known = (reference[index - 1] != VOID) & (reference[index] != VOID)
            changed = reference[index] != reference[index - 1]
            moved = prediction[index] != prediction[index - 1]
            self._binary.update(changed.astype(np.uint8), moved.astype(np.uint8), known)
            self._semantic.update(reference[index], prediction[index], known & changed)
        return self

    @property
    def binary_change(self) -> float:
        """BC: intersection over union of changed pixels, all dates and sites together; NaN without any."""
        return float(self._binary.iou[1])

    @property
    def semantic_change(self) -> float:
        """SC: mean IoU of the labels where the reference changes, over the classes it changes to; NaN without change."""
        counted = self._semantic.matrix.sum(axis=1) + self._semantic.unpredicted > 0
        return float(self._semantic.iou[counted].mean()) if counted.any() else float("nan")

    @property
    def score(self) -> float:
        """SCS: the mean of both."""
        return (self.binary_change + self.semantic_change) / 2
