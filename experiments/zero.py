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


def class_counts(paths: Iterable[str], legend: Legend) -> NDArray[np.int64]:
    """Return (K,) pixels of each class in label rasters in the legend."""
    counts = np.zeros(legend.num_classes, np.int64)
    for path in paths:
        values = Layer.open(path, labels=True).read()[0][0]
        counts += np.bincount(legend.to_index()[values].ravel(), minlength=VOID + 1)[: len(counts)]
    return counts


def largest_class_of_folds(folds: Sequence[BenchmarkScenes], legend: Legend) -> Zero:
    """A map of only the largest class of all scenes that the folds test on."""
    return largest_class(class_counts((one[Scene.label_layer] for fold in folds for one in fold.test.values()), legend))


def zeros_of_tile(folds: Sequence[BenchmarkScenes], legend: Legend) -> dict[str, Any]:
    """Return the zeros of a table of classical rows: scores of a map of only the largest class, and F1 of each class called everywhere."""
    counts = class_counts((one[Scene.label_layer] for fold in folds for one in fold.test.values()), legend)
    shares = dict(zip(legend.names, counts / counts.sum(), strict=True))
    return largest_class(counts).to_dict() | {
        "f1": {name: round(everything(share).scores["f1"], 2) for name, share in shares.items()}
    }


def everything(share: float, name: str = "everything changed") -> Zero:
    """Everything of one class, as in "everything changed" or "all damaged". share : of it in the test data, 0 to 1; scores in percent."""
    return Zero(
        name, {"f1": 200 * share / (1 + share), "iou": 100 * share, "overall_accuracy": 100 * share, "kappa": 0.0}
    )


def chance(classes: int) -> Zero:
    """A guess among so many classes of equal size, in percent."""
    return Zero("chance", {"overall_accuracy": 100 / classes})


def constant(learnt: Sequence[NDArray[Any]], tested: Sequence[NDArray[Any]]) -> Zero:
    """The median of the training data everywhere. learnt, tested : values of any shape, NaN where unknown"""
    median = np.nanmedian(np.concatenate([np.ravel(values) for values in learnt]))
    return Zero("constant", _errors([values - median for values in tested]))


def median_of_rows(learnt: Sequence[NDArray[Any]], tested: Sequence[NDArray[Any]]) -> Zero:
    """The median of each image row over the training images: depth by where a pixel is, with no image seen.

    learnt, tested : (H, W) each, of one height, NaN where unknown; rows that no training image knows take the median of all.
    """
    known = np.stack(learnt).astype(float)
    rows = np.full(known.shape[1], np.nanmedian(known))
    seen = np.isfinite(known).any(axis=(0, 2))
    rows[seen] = np.nanmedian(known[:, seen], axis=(0, 2))
    return Zero("median of the image row", _errors([values - rows[:, None] for values in tested]))


def plain(name: str, **scores: float) -> Zero:
    """A plain rule or the raw difference, scored by the table itself."""
    return Zero(name, scores)


def beats(values: Sequence[float], zero: float, *, higher: bool = True) -> bool:
    """Return whether a row beats its zero by more than its spread. values : one per seed; higher : whether more is better."""
    gain = (float(np.mean(values)) - zero) * (1 if higher else -1)
    return gain > (float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


def _errors(errors: Sequence[NDArray[Any]]) -> dict[str, float]:
    known = np.concatenate([np.ravel(values) for values in errors]).astype(float)
    known = known[np.isfinite(known)]
    return {"rmse": float(np.sqrt(np.mean(known**2))), "mae": float(np.mean(np.abs(known)))}
