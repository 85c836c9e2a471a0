"""The history of a run's training: one mapping of numbers per epoch, as a log and as curves.

Writes `log.csv` and `curves.png`, each atomically; reads the log again. Refuses logs that are missing or hold no numbers.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.display import drawn_text
from deepnets4eo.errors import RunError
from deepnets4eo.files import atomic_write, write_text
from deepnets4eo.outputs import csv_text
from deepnets4eo.segmenters.checksums import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, float]]

SCORES = ("overall_accuracy", "mean_f1", "mean_iou", "kappa")
FIGURE_IN = (10, 4)
OTHERS = ("epoch", "lr", "loss", "val_loss", "busy", "seconds")  # columns of a history that are no scores


def write_log(path: str | Path, history: History) -> Path:
    """Write one row per epoch and one column per number: the columns of the first epoch, then new ones as they appear."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    return write_text(path, csv_text([columns, *([row.get(key, "") for key in columns] for row in history)]))


def read_log(path: str | Path) -> list[dict[str, float]]:
    """Read the log of `write_log`: numbers by name for each epoch. Errors: RunError without a log or epochs."""
    if not Path(path).is_file():
        raise RunError(f"{path} is missing, as in models that come with weights. Give a run that was trained here.")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            history = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(f"{path} cannot be read ({error}). Copy the run's folder again.") from error
    if not history or not all("epoch" in row for row in history):
        raise RunError(f"{path} holds no epochs, expected a line for each. Copy the run's folder again.")
    return history


def draw_curves(path: str | Path, history: History, best_epoch: int | None = None) -> Path:
    """Draw the curves of `plot_curves` as PNG."""
    return _draw(path, lambda row: plot_curves(row, history, best_epoch))


def draw_runs(path: str | Path, folders: Sequence[str | Path]) -> Path:
    """Draw the curves of `plot_runs` as PNG."""
    return _draw(path, lambda row: _plot_runs(row, folders))


def plot_runs(folders: Sequence[str | Path]) -> list[Axes]:
    """Draw the trainings of several runs in one new figure, one line per run in both halves.

    Errors: RunError (a folder has no log, or one that cannot be read).

    Parameters
    ----------
    folders : the runs' folders, finished or not, as long as they have a log

    Returns
    -------
    The loss on validation (else on training) by epoch, and the first of overall accuracy, mean F1, mean IoU and kappa, or
    else of other scores, that all runs have.
    """
    row = figure_row()
    _plot_runs(row, folders)
    return row


def figure_row() -> list[Axes]:
    """Return the two halves of a new figure, for losses and for scores."""
    import matplotlib.pyplot as plt

    return list(plt.figure(figsize=FIGURE_IN, layout="constrained").subplots(1, 2))


def _plot_runs(row: Sequence[Axes], folders: Sequence[str | Path]) -> None:
    histories = {str(folder): read_log(RunFolder(folder).log) for folder in folders}
    losses, scores = row
    own = [{name for line in history for name in line} for history in histories.values()]
    shared = {name: None for history in histories.values() for line in history for name in line if name not in OTHERS}
    columns = [name for name in (*SCORES, *shared) if all(name in names for names in own)]
    loss = "val_loss" if all("val_loss" in names for names in own) else "loss"
    for axes, names in ((losses, [loss]), (scores, columns[:1])):
        axes.set(xlabel="epoch", ylabel=drawn_text(" ".join(names)).replace("_", " ") or "no score in common")
        for folder, history in histories.items():
            _plot_columns(axes, history, names, Path(folder).name)
    if losses.get_legend_handles_labels()[0]:
        losses.legend()


def _draw(path: str | Path, plot: Callable[[Sequence[Axes]], None]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=FIGURE_IN)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.13, top=0.96, wspace=0.18)
    plot(figure.subplots(1, 2))
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)
    return Path(path)


def plot_curves(row: Sequence[Axes], history: History, best_epoch: int | None = None) -> None:
    """Losses on the left, scores of the validation on the right (of class maps, else all), the kept epoch marked."""
    losses, scores = row
    losses.set(xlabel="epoch", ylabel="loss")
    scores.set(xlabel="epoch", ylabel="score on validation")
    names_of_scores = _scores_in(history)
    if names_of_scores == SCORES:
        scores.set_ylim(0, 1)
    for axes, names in ((losses, ("loss", "val_loss")), (scores, names_of_scores)):
        _plot_columns(axes, history, names)
        if best_epoch is not None:
            axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"kept epoch {best_epoch}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()


def _plot_columns(axes: Axes, history: History, names: Sequence[str], label: str | None = None) -> None:
    marker = "o" if len(history) < 3 else None
    for name in names:
        points = [(row["epoch"], row[name]) for row in history if math.isfinite(row.get(name, math.nan))]
        if points:
            axes.plot(*zip(*points, strict=True), label=drawn_text(label or name.replace("_", " ")), marker=marker)
    axes.grid(alpha=0.3)
    axes.locator_params(axis="x", integer=True)


def _scores_in(history: History) -> tuple[str, ...]:
    names = {name: None for row in history for name in row if name not in OTHERS}
    return tuple(names) if names and not names.keys() & set(SCORES) else SCORES
