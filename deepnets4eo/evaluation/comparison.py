"""Tables of several results: reports of the same protocol, and figures published on the same data.

Takes the dictionaries that `Evaluation.to_dict` makes (or the JSON of them), and cards' published scores.
Refuses to compare reports of different rules, and names each difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from deepnets4eo.cards.dataset_card import PublishedScores
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.report import OVERALL, Report, percent
from deepnets4eo.files import read_json


class _StoredReport(BaseModel):
    """The keys of a stored report that a comparison uses, and their types; other keys are ignored."""

    classes: list[str] = Field(min_length=1)
    f1: dict[str, float | None]
    protocol: dict[str, Any]
    overall_accuracy: float | None
    kappa: float | None
    average_accuracy: float | None
    mean_f1: float | None
    mean_iou: float | None
    fw_iou: float | None
    confusion: list[list[int]] | None = None
    unpredicted: dict[str, int] | None = None
    pixels: int | None = None

    @model_validator(mode="after")
    def _one_row_a_class(self) -> _StoredReport:
        count, rows = len(self.classes), self.confusion
        if rows is not None and (len(rows) != count or any(len(row) != count for row in rows)):
            raise ValueError(f"expected {count} rows of {count} numbers, one a class")
        if rows is not None and any(not 0 <= number < 2**53 for row in rows for number in row):
            raise ValueError("expected counts of pixels, 0 or more")
        return self


IRRELEVANT = {"stored_in", "card.source"}  # they do not change the meaning of a score


def read_report(path: str | Path) -> Report:
    """Returns a report that `evaluate --json` wrote; InputError names the file and the value that is wrong."""
    report = read_json(path)
    try:
        _StoredReport.model_validate(report)
    except ValidationError as error:
        problem = error.errors()[0]
        location = ".".join(str(part) for part in problem["loc"]) or "confusion"
        raise InputError(
            f"{path} is no report of scores: {location}: {problem['msg']}. Give what evaluate --json wrote."
        ) from error
    return dict(report)


def differences(first: Report, second: Report) -> list[str]:
    """Returns the differences in the rules of two reports, in words; empty where they can be compared."""
    lines = []
    if first.get("legend") != second.get("legend"):
        lines.append(f"legend {first.get('legend')} and {second.get('legend')}")
    elif first.get("classes") != second.get("classes"):
        lines.append(f"classes {', '.join(first['classes'])} and {', '.join(second['classes'])}")
    left, right = _flatten(first.get("protocol", {})), _flatten(second.get("protocol", {}))
    for key in dict.fromkeys([*left, *right]):
        if left.get(key) != right.get(key):
            lines.append(f"protocol.{key} {_format_value(left.get(key))} and {_format_value(right.get(key))}")
    if bool(first.get("eroded")) != bool(second.get("eroded")):
        lines.append("an eroded reference in one of them only")
    if not lines and _reference_pixels(first) != _reference_pixels(second):
        lines.append(f"references of {first.get('pixels'):,} and {second.get('pixels'):,} pixels, not the same labels")
    return lines


def compare(reports: Mapping[str, Report]) -> dict[str, dict[str, float | None]]:
    """Returns score → name of the result → value as a fraction: overall scores, then `f1 CLASS` by class.

    Raises InputError where two were not scored under the same protocol, with the differences.
    """
    if len(reports) < 2:
        raise InputError(f"got {len(reports)} report, expected two or more to compare.")
    for name, one in reports.items():
        if lacking := [key for key in ("classes", "f1", "protocol", *OVERALL) if key not in one]:
            raise InputError(f"{name} is no report of scores: it has no {lacking[0]}. Give what evaluate --json wrote.")
    (name, first), *others = reports.items()
    for other, second in others:
        if lines := differences(first, second):
            raise InputError(
                f"{name} and {other} cannot be compared: they differ in {'; '.join(lines)}. "
                "Score both under the same protocol."
            )
    table: dict[str, dict[str, float | None]] = {
        score: {key: one.get(score) for key, one in reports.items()} for score in OVERALL
    }
    for label in first["classes"]:
        table[f"f1 {label}"] = {key: one["f1"].get(label) for key, one in reports.items()}
    return table


def comparison_table(reports: Mapping[str, Report]) -> str:
    """Returns `compare` as text in percent; of two results also the second minus the first, in points."""
    table = compare(reports)
    names = list(reports)
    head = ["", *names, *(["difference"] if len(names) == 2 else [])]
    rows = [head]
    for score, values in table.items():
        ordered = [values[name] for name in names]
        row = [score.replace("_", " "), *(percent(value) for value in ordered)]
        if len(names) == 2:
            row.append(_points(ordered[0], ordered[1]))
        rows.append(row)
    return align_columns(rows)


def published_table(report: Report, published: Mapping[str, PublishedScores]) -> str:
    """Returns a table of a result and of published ones: F1 by class and overall accuracy in percent, kappa.

    published : `DatasetCard.published`, those of the report's protocol only. Where that scores without borders and the
    report has such scores, the table has them instead of the full ones.
    """
    without_borders = report.get("protocol", {}).get("card", {}).get("reference") == "eroded"
    part = (report.get("eroded") if without_borders else None) or report
    head = ["method", *part["classes"], "OA", "kappa"]
    own = ["this result", *(percent(part["f1"][name]) for name in part["classes"])]
    rows = [head, [*own, percent(part["overall_accuracy"]), _number(part["kappa"])]]
    for method, scores in published.items():
        row = [method, *(_number(scores.f1.get(name)) for name in part["classes"])]
        rows.append([*row, _number(scores.overall_accuracy), _number(scores.kappa)])
    return align_columns(rows)


def _reference_pixels(report: Report) -> list[int]:
    """Returns the reference pixels of each class, which are the same for all predictions."""
    if "confusion" not in report:
        return []
    rows = np.array(report["confusion"], np.int64).sum(axis=1)
    unpredicted: Mapping[str, int] = report.get("unpredicted") or {}
    return [int(row) + unpredicted.get(name, 0) for row, name in zip(rows, report["classes"], strict=True)]


def _flatten(protocol: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in protocol.items():
        name = f"{prefix}{key}"
        if name in IRRELEVANT:
            continue
        if isinstance(value, Mapping) and not prefix:
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def _format_value(value: Any) -> str:
    return "none" if value is None or value == [] else str(value)


def _points(first: float | None, second: float | None) -> str:
    if first is None or second is None or np.isnan(first) or np.isnan(second):
        return "–"
    return f"{100 * (second - first):+.2f}"


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}"


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells as text: the first column left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"
