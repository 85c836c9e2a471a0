"""Scores as text, Markdown, CSV and JSON, and the confusion matrix as a figure.

Takes a confusion matrix and class names, or the dictionary made from them.
A class that does not occur is written as "–", with a remark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deepnets4eo.display import drawn_text
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import value_tables
from deepnets4eo.evaluation.options import ReportFiles
from deepnets4eo.files import write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.outputs import csv_text, markdown_text


class ScoreNames:
    """Names of the scores of a report: over all classes, and of each class."""

    overall: ClassVar[tuple[str, ...]] = (
        "overall_accuracy",
        "kappa",
        "average_accuracy",
        "mean_f1",
        "mean_iou",
        "fw_iou",
    )
    by_class: ClassVar[tuple[str, ...]] = ("f1", "iou", "precision", "recall")


Report = Mapping[str, Any]


def scores(matrix: ConfusionMatrix, names: Sequence[str]) -> dict[str, Any]:
    """Return all scores by name: six numbers, four mappings by class and the counts; fractions, NaN if undefined."""
    result: dict[str, Any] = {score: getattr(matrix, score) for score in ScoreNames.overall}
    for score in ScoreNames.by_class:
        result[score] = {name: float(value) for name, value in zip(names, getattr(matrix, score), strict=True)}
    result["confusion"] = matrix.matrix.tolist()
    result["classes"] = list(names)
    result["pixels"] = matrix.total
    result["unpredicted"] = {name: int(count) for name, count in zip(names, matrix.unpredicted, strict=True)}
    result["absent_classes"] = [names[index] for index in matrix.absent]
    return result


def text_table(report: Report) -> str:
    """Return scores by class and overall, in percent, with the eroded scores below; for values, return their errors."""
    if "classes" not in report:
        return value_tables.text_table(report)
    parts = []
    for title, part in _sections(report):
        table = value_tables.align_columns(list(_class_rows(part)))
        parts.append("\n".join([title, table, *_overall_lines(part, report.get("intervals"), title), *_remarks(part)]))
    parts += ["\n".join(lines) for lines in _boundary_lines(report)]
    return "\n\n".join([*parts, *(f"Note: {note}" for note in report.get("notes", []))]) + "\n"


def headline(report: Report) -> str:
    """Return overall accuracy, mean F1 and mean IoU in percent, and errors of values, if the report has them, in one line; also of the eroded reference."""
    values = [value_tables.headline(report)] if "quantity" in report else []
    scores = ", ".join([*_overall_scores(report), *values])
    if not report.get("eroded"):
        return scores
    eroded = ", ".join(_overall_scores(report["eroded"]))
    return f"full reference: {scores}; {_eroded_reference(report)}: {eroded}"


def _overall_scores(part: Report) -> list[str]:
    overall = (("overall accuracy", "overall_accuracy"), ("mean F1", "mean_f1"), ("mean IoU", "mean_iou"))
    return [f"{title} {percent(part[key])} %" for title, key in overall if key in part]


def markdown_table(report: Report) -> str:
    """Return the table of `text_table` as Markdown."""
    if "classes" not in report:
        return value_tables.markdown_table(report)
    parts = []
    for title, part in _sections(report):
        lines = [*_overall_lines(part, report.get("intervals"), title), *_remarks(part)]
        parts.append(value_tables.markdown_section(title, list(_class_rows(part)), lines))
    for first, *rest in _boundary_lines(report):
        parts.append("\n".join([f"### {markdown_text(first)}", "", *(f"- {markdown_text(line)}" for line in rest)]))
    return "\n\n".join([*parts, *(f"Note: {markdown_text(note)}" for note in report.get("notes", []))]) + "\n"


def csv_table(report: Report) -> str:
    """Return one value per row: reference (full, eroded), score, class, fraction; for values see `value_tables.csv_table`."""
    if "classes" not in report:
        return value_tables.csv_table(report)
    rows: list[list[Any]] = [["reference", "score", "class", "value"]]
    for reference, part in (("full", report), ("eroded", report.get("eroded"))):
        if part is None:
            continue
        rows += [[reference, score, "", _number(part[score])] for score in ScoreNames.overall]
        rows += [
            [reference, score, name, _number(value)]
            for score in ScoreNames.by_class
            for name, value in part[score].items()
        ]
    boundaries = report.get("boundaries", {})
    for score in (score for score in ScoreNames.by_class if score in boundaries):
        rows += [["boundary", score, name, _number(value)] for name, value in boundaries[score].items()]
    return csv_text(rows)


def confusion_csv(report: Report) -> str:
    """Return the confusion matrix in pixels as CSV, rows = reference; the last column counts unpredicted pixels."""
    rows = [["reference \\ prediction", *report["classes"], "unpredicted"]]
    for name, row in zip(report["classes"], report["confusion"], strict=True):
        rows.append([name, *row, report["unpredicted"][name]])
    return csv_text(rows)


def write_tables(report: Report, files: ReportFiles) -> Iterator[Path]:
    """Write the requested tables and figure, and yield each path when its file is written; the JSON is not written."""
    if files.csv is not None:
        yield write_text(files.csv, csv_table(report))
    if files.markdown is not None:
        yield write_text(files.markdown, markdown_table(report))
    if files.figure is not None:
        draw = confusion_figure if "classes" in report else value_tables.sparsification_figure
        yield draw(report, files.figure)


def check_figure_suffix(path: str | Path) -> None:
    """Raise InputError if matplotlib cannot write a figure with this suffix; called before long work."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise InputError(
            f"{path} is no kind of figure that can be drawn. Name it .png, .pdf or .svg; known are {', '.join(known)}."
        )


def confusion_figure(report: Report, path: str | Path, title: str = "") -> Path:
    """Write the confusion matrix as a figure (PNG, PDF or SVG), each row in percent of its reference class."""
    from matplotlib.figure import Figure  # 0.3 s that only this function needs

    names, counts = report["classes"], np.array(report["confusion"], float)
    totals = counts.sum(axis=1) + np.array([report["unpredicted"][name] for name in names])
    share = np.divide(counts, totals[:, None], out=np.full(counts.shape, np.nan), where=totals[:, None] > 0)
    side = 2.2 + 0.62 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=1)
    for (row, col), value in np.ndenumerate(share):
        if np.isfinite(value):
            color = "white" if value > 0.5 else "black"
            axes.text(col, row, f"{100 * value:.1f}", ha="center", va="center", color=color, fontsize=8)
    drawn = [drawn_text(name) for name in names]
    axes.set_xticks(range(len(names)), drawn, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), drawn)
    axes.set_xlabel("prediction")
    axes.set_ylabel("reference")
    overall = f"OA {percent(report['overall_accuracy'])} %, mean F1 {percent(report['mean_f1'])} %"
    axes.set_title(f"{drawn_text(title)}\n{overall}" if title else overall, fontsize=9)
    return value_tables.save_figure(figure, path)


def _sections(report: Report) -> Iterator[tuple[str, Report]]:
    legend = f"legend {report['legend']}, " if "legend" in report else ""
    yield f"Scores in percent, {legend}full reference", report
    if report.get("eroded"):
        yield f"Scores in percent, {legend}{_eroded_reference(report)}", report["eroded"]


def _eroded_reference(report: Report) -> str:
    return f"reference without {report.get('protocol', {}).get('erode_px', 0)} px along the borders"


def _class_rows(part: Report) -> Iterator[Sequence[str]]:
    yield "class", "F1", "IoU", "precision", "recall", f"reference {part.get('unit', 'px')}"
    for index, name in enumerate(part["classes"]):
        pixels = sum(part["confusion"][index]) + part["unpredicted"][name]
        yield name, *(percent(part[score][name]) for score in ScoreNames.by_class), f"{pixels:,}"


def _overall_lines(part: Report, intervals: Mapping[str, Sequence[float]] | None, title: str) -> list[str]:
    """Return the lines of the overall scores; only the full reference has intervals."""
    lines = []
    for score in ScoreNames.overall:
        line = f"{score.replace('_', ' ')}: {percent(part[score])}"
        if intervals and score in intervals and title.endswith("full reference"):
            line += f" ({percent(intervals[score][0])} to {percent(intervals[score][1])})"
        lines.append(line)
    return lines


def _boundary_lines(report: Report) -> Iterator[list[str]]:
    """Yield the lines of each set of boundary scores that the report has; the first line is the title."""
    boundaries = report.get("boundaries")
    if boundaries:
        by_class = [f"{name}: {percent(value)}" for name, value in boundaries["f1"].items()]
        title = f"F1 of class borders in percent, right within {boundaries['radius_px']} px"
        yield [title, *by_class, f"mean: {percent(boundaries['mean_f1'])}"]


def _remarks(part: Report) -> list[str]:
    remarks = []
    if part["absent_classes"]:
        remarks.append(f"Not in the reference nor predicted, left out of means: {', '.join(part['absent_classes'])}.")
    missed = sum(part["unpredicted"].values())
    if missed:
        remarks.append(
            f"{missed:,} of {part['pixels']:,} reference {part.get('unit', 'pixels')} have no prediction and count as errors."
        )
    return remarks


def percent(value: float | None) -> str:
    """Return a share of 0–1 in percent with two digits; a dash for None and NaN."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(float(value))
