"""Learning curves and the log of a training.

Takes the history: one mapping of numbers per epoch. Writes `log.csv` and `curves.png`, each atomically.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from deepnets4eo.files import atomic_write, write_text
from deepnets4eo.outputs.csv_cells import csv_text

History = Sequence[Mapping[str, float]]

SCORES = ("overall_accuracy", "mean_f1", "mean_iou", "kappa")
OTHERS = ("epoch", "lr", "loss", "val_loss", "busy", "seconds")  # columns of a history that are no scores


def write_log(path: str | Path, history: History) -> Path:
    """One row per epoch, one column per number; columns are those of the first epoch, then new ones as they come."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    return write_text(path, csv_text([columns, *([row.get(key, "") for key in columns] for row in history)]))


def draw_curves(path: str | Path, history: History, best_epoch: int | None = None) -> Path:
    """Losses on the left, scores of the validation on the right, the kept epoch marked; PNG.

    The scores are those of class maps; where a task has none of these, all of its own.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4))
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.13, top=0.96, wspace=0.18)
    losses, scores = figure.subplots(1, 2)
    losses.set(xlabel="epoch", ylabel="loss")
    scores.set(xlabel="epoch", ylabel="score on validation")
    names_of_scores = _scores_in(history)
    if names_of_scores == SCORES:
        scores.set_ylim(0, 1)
    marker = "o" if len(history) < 3 else None
    for axes, names in ((losses, ("loss", "val_loss")), (scores, names_of_scores)):
        for name in names:
            points = [(row["epoch"], row[name]) for row in history if math.isfinite(row.get(name, math.nan))]
            if points:
                axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker=marker)
        if best_epoch is not None:
            axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"kept epoch {best_epoch}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)
    return Path(path)


def _scores_in(history: History) -> tuple[str, ...]:
    names = {name: None for row in history for name in row if name not in OTHERS}
    return tuple(names) if names and not names.keys() & set(SCORES) else SCORES
