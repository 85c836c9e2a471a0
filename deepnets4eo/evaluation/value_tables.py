"""Text, Markdown and CSV of the scores of a quantity, such as heights, and a figure of the scores of its deviations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.metrics import SCORES
from deepnets4eo.outputs import csv_text, markdown_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_DATE = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
TITLES = {
    "rmse": "RMSE",
    "mae": "MAE",
    "nmad": "NMAD",
    "le90": "LE90",
    "r2": "R²",
    "delta1": "δ1",
    "delta2": "δ2",
    "delta3": "δ3",
}


def text_table(report: Mapping[str, Any]) -> str:
    """Return the scores of a report as text: all pixels, then the scores by class and by level."""
    table = align_columns(_table(report)).rstrip("\n")
    return "\n".join([_title(report), table, *_remarks(report)]) + "\n"


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text: the first column aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def markdown_table(report: Mapping[str, Any]) -> str:
    """Return the table of `text_table` as Markdown."""
    return markdown_section(_title(report), _table(report), _remarks(report)) + "\n"


def markdown_section(title: str, rows: Sequence[Sequence[str]], items: Sequence[str]) -> str:
    """Return a heading, a table whose first row is its head, and a list."""
    head, *body = [[markdown_text(cell) for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *body)]
    return "\n".join([f"### {markdown_text(title)}", "", *lines, "", *(f"- {markdown_text(item)}" for item in items)])


def csv_table(report: Mapping[str, Any]) -> str:
    """Return one value per row: group (all, class, level), its name, score, value."""
    rows: list[list[Any]] = [["group", "name", "score", "value"]]
    for group, name, scores in _groups(report):
        rows += [[group, name, score, "" if math.isnan(scores[score]) else repr(scores[score])] for score in SCORES]
    return csv_text(rows)


def headline(report: Mapping[str, Any]) -> str:
    """Return RMSE, mean absolute error and bias in one line."""
    unit, values = report["quantity"]["unit"], report["values"]
    return f"RMSE {values['rmse']:.3g} {unit}, MAE {values['mae']:.3g} {unit}, bias {values['bias']:+.3g} {unit}"


def _groups(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    yield "all", "", report["values"]
    for group in ("class", "level"):
        for name, scores in report.get(f"by_{group}", {}).items():
            yield group, name, scores


def _title(report: Mapping[str, Any]) -> str:
    quantity = report["quantity"]
    return f"Errors of {quantity['name']}: RMSE to LE90 in {quantity['unit']}, others are shares or ratios"


def _table(report: Mapping[str, Any]) -> list[list[str]]:
    unit = report["quantity"]["unit"]
    rows = [["", "pixels", *(TITLES.get(score, score) for score in SCORES)]]
    for group, name, scores in _groups(report):
        if group == "level":  # the reference hardly varies between two levels
            scores = {**scores, "r2": math.nan}
        title = {"all": "all", "class": name, "level": f"{name} {unit}"}[group]
        rows.append(
            [
                title,
                f"{scores['pixels']:,}",
                *("–" if math.isnan(scores[score]) else f"{scores[score]:.3f}" for score in SCORES),
            ]
        )
    return rows


def _remarks(report: Mapping[str, Any]) -> list[str]:
    values = report["values"]
    missed, zero = values["unpredicted"], values["pixels"] - values["positive"]
    return [
        *([f"{missed:,} reference pixels have no prediction and enter no score."] if missed else []),
        *([f"rel, rms_log, log10 and δ leave out {zero:,} pixels whose reference is not above 0."] if zero else []),
        *(_of_deviations(report["deviations"]) if "deviations" in report else []),
        *(f"Note: {note}" for note in report.get("notes", [])),
    ]


def _of_deviations(scores: Mapping[str, Any]) -> list[str]:
    half = scores["ause"] / scores["ause_of_random"] if scores["ause_of_random"] else float("nan")
    return [
        f"Standard deviations: the intervals of 50 and 90 % hold {scores['coverage_50']:.1%} and {scores['coverage_90']:.1%} of the "
        f"pixels; times {scores['factor']:.3f} (--set deviation_factor) those of 90 % would hold 90 %.",
        f"Leaving out the most uncertain pixels first: AUSE {scores['ause']:.3f}, at random {scores['ause_of_random']:.3f} ({half:.0%} "
        "of it).",
    ]


def sparsification_figure(report: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the error of the remaining pixels as the most uncertain are removed, with the best and a random order, as a figure."""
    from matplotlib.figure import Figure  # 0.3 s that only this function needs

    if "deviations" not in report:
        raise InputError(
            f"--figure {path} of values draws their standard deviations, and the prediction has none. Leave it out, or predict with "
            "--set dropout_passes=30."
        )
    removed, by_deviation, by_error = np.array(report["deviations"]["sparsification"]).T
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(by_error[0], color="0.6", linestyle=":", label="at random")
    axes.plot(100 * removed, by_deviation, label="greatest deviation first")
    axes.plot(100 * removed, by_error, color="0.3", linestyle="--", label="greatest error first")
    axes.set_xlabel("pixels left out, %")
    axes.set_ylabel(f"RMSE of the others, {report['quantity']['unit']}")
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure; equal figures give equal files."""
    from matplotlib import rc_context

    with atomic_write(path) as partial, rc_context({"svg.hashsalt": "deepnets4eo"}):
        figure.savefig(partial, dpi=150, metadata=NO_DATE.get(Path(path).suffix.lower()))
    return Path(path)
