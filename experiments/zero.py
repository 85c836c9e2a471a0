"""The zero of a table: the answer that needs no training, scored on the table's own test data, which every learned row must beat.

Takes labels, shares or values of the test data; returns a `Zero`, which a table prints as a row and its results.json stores.

A row that does not beat its zero by more than its spread over the seeds has learnt nothing that this table can show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from score_table import BenchmarkScenes

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer, Scene

OVERALL = ("overall_accuracy", "mean_f1", "mean_iou", "kappa")


@dataclass(frozen=True)
class Zero:
    """A trivial answer and its scores on the test data, in the units of the table that it is a row of."""

    name: str
    scores: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a results.json."""
        return {"name": self.name, **{key: round(float(value), 4) for key, value in self.scores.items()}}

    def line(self) -> str:
        """Return the row in words, for the notes below a table."""
        return f"{self.name}, without training: " + ", ".join(
            f"{key} {value:.4g}" for key, value in self.scores.items()
        )


def largest_class(counts: NDArray[Any] | Sequence[float]) -> Zero:
    """A map of only the largest class. counts : (K,) test pixels (or patches) of each class; scores in percent."""
    counts = np.asarray(counts, float)
    matrix = ConfusionMatrix(len(counts))
    truth = np.arange(len(counts))
    matrix.matrix[truth, int(counts.argmax())] = np.round(counts).astype(np.int64)
    return Zero("largest class", {name: 100 * float(getattr(matrix, name)) for name in OVERALL})


def largest_class_of(paths: Iterable[str], legend: Legend) -> Zero:
    """A map of only the largest class of label rasters in the legend."""
    counts = np.zeros(legend.num_classes)
    for path in paths:
        values = Layer.open(path, labels=True).read()[0][0]
        counts += np.bincount(legend.to_index()[values].ravel(), minlength=VOID + 1)[: len(counts)]
    return largest_class(counts)


def largest_class_of_folds(folds: Sequence[BenchmarkScenes], legend: Legend) -> Zero:
    """A map of only the largest class of all scenes that the folds test on."""
    return largest_class_of((one[Scene.label_layer] for fold in folds for one in fold.test.values()), legend)


def everything(share: float, name: str = "everything changed") -> Zero:
    """Everything of one class, as in "everything changed" or "all damaged". share : of it in the test data, 0 to 1; scores in percent."""
    return Zero(
        name, {"f1": 200 * share / (1 + share), "iou": 100 * share, "overall_accuracy": 100 * share, "kappa": 0.0}
    )


def chance(classes: int) -> Zero:
    """A guess among so many classes of equal size, in percent."""
    return Zero("chance", {"overall_accuracy": 100 / classes})


def constant(truth: NDArray[Any], known: NDArray[Any], value: float | None = None) -> Zero:
    """One value everywhere. truth : of the test data; known : where it counts; value : by default its own median, the best there is."""
    values = np.asarray(truth, float)[np.asarray(known, bool)]
    return Zero("constant", _errors(values - (np.median(values) if value is None else value)))


def median_of_rows(truth: Sequence[NDArray[Any]], known: Sequence[NDArray[Any]]) -> Zero:
    """The median of each image row over all other images: depth and height by where a pixel is, with no image seen.

    truth, known : (H, W) each, of one height; an image's rows take the median of the others, or of all values if no other knows it.
    """
    stack = np.where(np.stack(known), np.stack(truth).astype(float), np.nan)
    errors = []
    for number, (values, mask) in enumerate(zip(stack, known, strict=True)):
        others = np.delete(stack, number, axis=0)
        rows = np.full(stack.shape[1], np.nanmedian(others))
        seen = np.isfinite(others).any(axis=(0, 2))
        rows[seen] = np.nanmedian(others[:, seen], axis=(0, 2))
        errors.append((values - rows[:, None])[np.asarray(mask, bool)])
    return Zero("median of the image row", _errors(np.concatenate(errors)))


def plain(name: str, **scores: float) -> Zero:
    """A plain rule or the raw difference, scored by the table itself."""
    return Zero(name, scores)


def beats(values: Sequence[float], zero: float, *, higher: bool = True) -> bool:
    """Return whether a row beats its zero by more than its spread. values : one per seed; higher : whether more is better."""
    gain = (float(np.mean(values)) - zero) * (1 if higher else -1)
    return gain > (float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


def _errors(errors: NDArray[Any]) -> dict[str, float]:
    return {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}
