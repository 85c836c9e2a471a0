"""One confusion matrix of class indices (void 255), counted while streaming, and every score derived from it.

A class that does not occur has the score NaN and is left out of means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import check_no_mask
from deepnets4eo.cards import VOID
from deepnets4eo.display import MAX_NAMES, Summary, WithSummary, count_text
from deepnets4eo.errors import InputError

CHUNK_PX = 1 << 18  # pixels counted at once: bincount widens them to 8 bytes each


@dataclass(eq=False, repr=False)
class ConfusionMatrix(WithSummary):
    """Counts of (reference, prediction) pairs, and the scores derived from them.

    Reference pixels that are void, or no class (≥ num_classes or negative), are ignored.

    Where the reference has a class and the prediction is void or no class, the pixel counts as an error (`unpredicted`),
    so that leaving difficult pixels out never improves a score.

    Parameters
    ----------
    num_classes : K, without void: 1 to 255

    Attributes
    ----------
    matrix : (K, K) int64, rows = reference, columns = prediction
    unpredicted : (K,) int64, reference pixels of each class without a prediction

    Examples
    --------
    >>> counts = ConfusionMatrix(2).update(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 1]))
    >>> counts.matrix.tolist(), round(counts.overall_accuracy, 4)
    ([[1, 1], [0, 1]], 0.6667)
    """

    matrix: np.ndarray
    unpredicted: np.ndarray

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= VOID:
            raise InputError(f"Got num_classes={num_classes}, expected 1 to {VOID}.")
        self.matrix = np.zeros((num_classes, num_classes), np.int64)
        self.unpredicted = np.zeros(num_classes, np.int64)

    @classmethod
    def from_matrix(cls, matrix: np.ndarray | Sequence[Sequence[int]]) -> ConfusionMatrix:
        """Return a confusion matrix from known counts (K, K), integers, rows = reference."""
        counts = np.asarray(matrix)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not np.issubdtype(counts.dtype, np.integer):
            raise InputError(f"Got counts {counts.shape} {counts.dtype}, expected square integers, rows = reference.")
        if counts.min(initial=0) < 0 or counts.max(initial=0) > np.iinfo(np.int64).max:
            raise InputError(
                f"Got counts from {counts.min()} to {counts.max()}, expected numbers of pixels, 0 or more."
            )
        result = cls(len(counts))
        result.matrix += counts.astype(np.int64)
        return result

    def update(self, reference: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None) -> ConfusionMatrix:
        """Count a pair of arrays of class indices 0 … K − 1, all else being void, of any shape; return this matrix.

        valid : bool of the same shape; False pixels are ignored. Errors: InputError (the shapes differ, or
        an array has a mask or no integers). Memory does not grow with the arrays."""
        check_no_mask(reference, "reference")
        check_no_mask(prediction, "prediction")
        reference, prediction = np.asarray(reference), np.asarray(prediction)
        for name, array in (("prediction", prediction), ("valid", valid)):
            if array is not None and array.shape != reference.shape:
                raise InputError(f"Reference is {reference.shape}, {name} {array.shape}. Bring them on one grid first.")
        for name, array in (("reference", reference), ("prediction", prediction)):
            if array.dtype.kind not in "iub":
                raise InputError(f"The {name} is {array.dtype}, expected integer labels. Take the argmax of scores.")
        keep = None if valid is None else np.asarray(valid, bool).ravel()
        rows, columns = reference.ravel(), prediction.ravel()
        pairs = np.zeros(1 << 16, np.int64)
        for start in range(0, rows.size, CHUNK_PX):
            chunk = slice(start, start + CHUNK_PX)
            row = _to_bytes(rows[chunk], self.num_classes)
            if keep is not None:
                row = np.where(keep[chunk], row, np.uint8(VOID))
            key = row.astype(np.uint16) << 8 | _to_bytes(columns[chunk], self.num_classes)
            pairs += np.bincount(key, minlength=pairs.size)
        counts = pairs.reshape(256, 256)[: self.num_classes]
        self.matrix += counts[:, : self.num_classes]
        self.unpredicted += counts[:, self.num_classes :].sum(axis=1)
        return self

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Return the counts of both, as if all pixels had been counted in one."""
        if self.num_classes != other.num_classes:
            raise InputError(f"Got {self.num_classes} and {other.num_classes} classes; add those of one legend only.")
        result = ConfusionMatrix.from_matrix(self.matrix + other.matrix)
        result.unpredicted = self.unpredicted + other.unpredicted
        return result

    def ignoring(self, classes: Iterable[int]) -> ConfusionMatrix:
        """Return the counts without the reference pixels of `classes`; predicting one of them elsewhere stays an error.

        The result has K − len(classes) rows and columns. InputError for other indices, and if no class would be left."""
        ignored = set(classes)
        if strange := sorted(ignored - set(range(self.num_classes))):
            raise InputError(f"Got the classes {strange} to ignore, expected indices 0 to {self.num_classes - 1}.")
        kept = [index for index in range(self.num_classes) if index not in ignored]
        result = ConfusionMatrix.from_matrix(self.matrix[np.ix_(kept, kept)])
        result.unpredicted = self.unpredicted[kept] + np.delete(self.matrix[kept], kept, axis=1).sum(axis=1)
        return result

    @property
    def num_classes(self) -> int:
        """K, without void."""
        return len(self.matrix)

    @property
    def total(self) -> int:
        """Number of counted reference pixels, the unpredicted included."""
        return int(self.matrix.sum() + self.unpredicted.sum())

    @property
    def absent(self) -> tuple[int, ...]:
        """Classes that occur neither in the reference nor in the prediction: NaN, and left out of means."""
        return tuple(np.flatnonzero(self._rows + self._columns == 0).tolist())

    @property
    def overall_accuracy(self) -> float:
        """Share of reference pixels that were predicted as their class."""
        return float(_ratio(np.trace(self.matrix), self.total))

    @property
    def kappa(self) -> float:
        """Return Cohen's kappa: agreement beyond that expected of independent labels with equal totals; NaN when that is 1."""
        chance = float(np.dot(self._rows / max(self.total, 1), self._columns / max(self.total, 1)))
        return float(_ratio(self.overall_accuracy - chance, 1.0 - chance))

    @property
    def precision(self) -> np.ndarray:
        """Return (K,) share of the pixels predicted as a class that are of it; NaN for a class never predicted."""
        return _ratio(np.diagonal(self.matrix), self._columns)

    @property
    def recall(self) -> np.ndarray:
        """Return (K,) share of a class's reference pixels that were predicted as it; NaN for a class not in the reference."""
        return _ratio(np.diagonal(self.matrix), self._rows)

    @property
    def f1(self) -> np.ndarray:
        """Return (K,) F1 = 2·TP / (reference + predicted); 0 for a class only predicted, NaN for an absent one."""
        return _ratio(2 * np.diagonal(self.matrix), self._rows + self._columns)

    @property
    def iou(self) -> np.ndarray:
        """Return (K,) intersection over union = TP / (reference + predicted − TP); NaN for an absent class."""
        hits = np.diagonal(self.matrix)
        return _ratio(hits, self._rows + self._columns - hits)

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the classes that occur."""
        return _mean(self.f1)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur."""
        return _mean(self.iou)

    @property
    def average_accuracy(self) -> float:
        """Mean recall over the classes of the reference."""
        return _mean(self.recall)

    @property
    def fw_iou(self) -> float:
        """IoU weighted by the classes' share of the reference."""
        return float(_ratio(np.nansum(self._rows * np.nan_to_num(self.iou)), self.total))

    def _summary(self) -> Summary:
        """Overall scores, and a line for each of the first classes: how often it is in the reference, and its scores."""
        head = {"pixels": f"{self.total:,} pixels of {count_text(self.num_classes, 'class', 'classes')}"}
        facts = {
            "overall accuracy": f"{self.overall_accuracy:.3f}",
            "mean IoU": f"{self.mean_iou:.3f}",
            "kappa": f"{self.kappa:.3f}",
        }
        if self.unpredicted.any():
            facts["without a prediction"] = f"{self.unpredicted.sum():,}, counted as errors"
        for number, (count, iou, f1) in enumerate(zip(self._rows[:MAX_NAMES], self.iou, self.f1, strict=False)):
            facts[f"class {number}"] = f"{count:,} in the reference, IoU {iou:.3f}, F1 {f1:.3f}"
        if self.num_classes > MAX_NAMES:
            facts["further classes"] = f"{self.num_classes - MAX_NAMES}"
        return Summary(type(self).__name__, head, facts)

    @property
    def _rows(self) -> np.ndarray:
        return self.matrix.sum(axis=1) + self.unpredicted

    @property
    def _columns(self) -> np.ndarray:
        return self.matrix.sum(axis=0)


def _to_bytes(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels as uint8; what is no class becomes void."""
    if labels.dtype == np.uint8:
        return labels
    return np.where((labels >= 0) & (labels < num_classes), labels, VOID).astype(np.uint8)


def _ratio(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(part, whole)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
