"""Published figures beside ours, as Markdown, CSV and JSON.

Takes outcomes and the published scores of a dataset card; refuses nothing: a figure that one of them lacks is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.cards import PublishedScores
from deepnets4eo.files import write_json, write_text
from deepnets4eo.outputs import csv_text, markdown_text
from score_table.rows import Outcome, scored_names

Line = tuple[str, str, dict[str, float], float, float, float, float]
"""Row, whose, F1 by class (percent), OA (percent), kappa, seconds of training, seconds of prediction."""


def markdown(
    outcomes: Sequence[Outcome],
    classes: Sequence[str],
    published: Mapping[str, PublishedScores],
    title: str,
    *,
    rest: bool = False,
) -> str:
    """The table as Markdown: each published row above ours of the same name, F1 and OA in percent.

    Parameters
    ----------
    outcomes : our rows
    classes : names of the classes that are columns; the mean F1 is over those that occur, a dash where a row lacks some
    published : name of a row → its published scores in percent
    title : heading of the table
    rest : whether published rows without one of ours follow below

    Returns
    -------
    Lines of Markdown.

    Examples
    --------
    >>> ours = Outcome("U-Net", {"f1": {"road": 0.5}, "overall_accuracy": 0.75, "kappa": 0.5})
    >>> print(markdown([ours], ["road"], {}, "Roads").splitlines()[-1])
    | U-Net | ours | 50.00 | 50.00 | 75.00 | 0.50 | – | – |
    """
    head = ["method", "whose", *map(markdown_text, classes), "mean F1", "OA", "kappa", "train s", "predict s"]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for name, whose, f1, accuracy, kappa, training, prediction in _lines(outcomes, classes, published, rest=rest):
        by_class = [_format(f1.get(one)) for one in classes]
        overall = (_format(_mean(f1, classes)), _format(accuracy), _format(kappa))
        rows.append([markdown_text(name), whose, *by_class, *overall, _format(training, 0), _format(prediction, 0)])
    return "\n".join([f"## {markdown_text(title)}", "", *(f"| {' | '.join(row)} |" for row in rows), ""])


def write_table(
    outcomes: Sequence[Outcome],
    classes: Sequence[str],
    published: Mapping[str, PublishedScores],
    out: str | Path,
    *,
    title: str,
    notes: Mapping[str, Any] | None = None,
    rest: bool = False,
) -> str:
    """Write table.md, table.csv and table.json into a folder.

    Parameters
    ----------
    outcomes, classes, published, title, rest : the same as in `markdown`
    out : the folder
    notes : what a reader needs beside the figures: protocol, split, seed, …

    Returns
    -------
    The Markdown.

    Examples
    --------
    ```python
    write_table(outcomes, legend.names, card.published, "table", title="ISPRS Vaihingen", notes={"seed": 0})
    ```
    """
    folder = Path(out)
    text = markdown(outcomes, classes, published, title, rest=rest)
    text += "".join(f"\n- {markdown_text(key)}: {markdown_text(value)}" for key, value in (notes or {}).items()) + "\n"
    write_text(folder / "table.md", text)
    rows: list[list[Any]] = [["method", "whose", *(f"f1.{one}" for one in classes), "overall_accuracy", "kappa", "train_seconds",
             "predict_seconds"]]  # fmt: skip
    for name, whose, f1, *others in _lines(outcomes, classes, published, rest=rest):
        rows.append([name, whose, *(_cell(f1.get(one, math.nan)) for one in classes), *map(_cell, others)])
    write_text(folder / "table.csv", csv_text(rows))
    write_json(
        folder / "table.json",
        {
            "title": title,
            "notes": dict(notes or {}),
            "ours": {one.name: {"scores": one.scores, "scored": list(one.scored)} for one in outcomes},
            "published": {name: scores.model_dump() for name, scores in published.items()},
        },
    )
    return text


def _lines(
    outcomes: Sequence[Outcome], classes: Sequence[str], published: Mapping[str, PublishedScores], *, rest: bool
) -> Iterator[Line]:
    nan = float("nan")
    for outcome in outcomes:
        if outcome.name in published:
            yield _published_line(outcome.name, published[outcome.name])
        scored = scored_names(outcome, classes)
        f1 = {
            name: nan if value is None else 100 * value
            for name, value in outcome.scores["f1"].items()
            if name in scored
        }
        whole = not outcome.scored
        accuracy = 100 * outcome.scores["overall_accuracy"] if whole else nan
        kappa = outcome.scores["kappa"] if whole else nan
        yield outcome.name, "ours", f1, accuracy, kappa, outcome.train_seconds, outcome.predict_seconds
    ours = {outcome.name for outcome in outcomes} if rest else published.keys()
    for name in (one for one in published if one not in ours):
        yield _published_line(name, published[name])


def _published_line(name: str, scores: PublishedScores) -> Line:
    nan = float("nan")
    accuracy = nan if scores.overall_accuracy is None else scores.overall_accuracy
    return name, "published", dict(scores.f1), accuracy, nan if scores.kappa is None else scores.kappa, nan, nan


def _mean(f1: Mapping[str, float], classes: Sequence[str]) -> float:
    """The mean over the table's classes without those that occur nowhere (NaN); NaN where a class has no score."""
    known = [f1[name] for name in classes if name in f1 and not math.isnan(f1[name])]
    return sum(known) / len(known) if known and all(name in f1 for name in classes) else math.nan


def _format(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _cell(value: float) -> float | str:
    return "" if math.isnan(value) else round(value, 4)
