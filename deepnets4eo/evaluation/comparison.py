"""Tables of several results: reports of the same protocol, the same scores over several seeds, and published figures.

Refuses to compare reports of different rules, and names each difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from deepnets4eo.cards import PublishedScores
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.report import Report, ScoreNames, percent, text_table
from deepnets4eo.evaluation.value_tables import align_columns
from deepnets4eo.files import read_json, write_json

SEEDS = "seeds.json"  # the result of `mean_scores` in the folder of several runs
SHARES = (*ScoreNames.overall, *ScoreNames.by_class)  # 0 to 1, in percent in tables
LEAKAGE = "share_patch_overlaps"  # of the protocol of patch networks


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
    """Read a report that `evaluate --json` wrote; InputError names the file and the wrong value."""
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
    """Return the differences between the rules of two reports, in words; the list is empty if the reports can be compared."""
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
    """Return score → result → fraction: overall scores, then `f1 CLASS`; InputError if the results follow different protocols."""
    if len(reports) < 2:
        raise InputError(f"got {len(reports)} report, expected two or more to compare.")
    for name, report in reports.items():
        if lacking := [key for key in ("classes", "f1", "protocol", *ScoreNames.overall) if key not in report]:
            raise InputError(f"{name} is no report of scores: it has no {lacking[0]}. Give what evaluate --json wrote.")
    (name, first), *others = reports.items()
    for other, second in others:
        if lines := differences(first, second):
            raise InputError(
                f"{name} and {other} cannot be compared: they differ in {'; '.join(lines)}. "
                "Score both under the same protocol."
            )
    table: dict[str, dict[str, float | None]] = {
        score: {key: report.get(score) for key, report in reports.items()} for score in ScoreNames.overall
    }
    for label in first["classes"]:
        table[f"f1 {label}"] = {key: report["f1"].get(label) for key, report in reports.items()}
    return table


def comparison_table(reports: Mapping[str, Report]) -> str:
    """Return `compare` as text in percent; for two results also the second minus the first, in points."""
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


def full_table(report: Report, earlier: Report | None = None) -> str:
    """Return the tables of a report as text: its scores, published scores on the same data, changes from an earlier report."""
    text = text_table(report)
    if report.get("published"):
        rows = {method: PublishedScores(**scores) for method, scores in report["published"].items()}
        text += f"\nPublished on {report['protocol']['name']}, F1 and OA in percent\n{published_table(report, rows)}"
    if earlier is not None:
        text += f"\n{comparison_table({'earlier': earlier, 'this result': report})}"
    return text


def published_table(report: Report, published: Mapping[str, PublishedScores]) -> str:
    """Return a table of a result and of published results under its protocol: F1 by class, overall accuracy in percent, kappa."""
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
    """Return the number of reference pixels of each class, which is the same for all predictions."""
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


def spread(values: ArrayLike, digits: int = 1, sign: str = "") -> str:
    """Write mean ± sample standard deviation; only the value if there is one, "–" if there is none.

    Parameters
    ----------
    values : (n,) numbers; non-finite values are left out
    digits : decimals
    sign : "+" to put a plus sign in front of positive means, too

    Returns
    -------
    The text; only the value if there is one finite value, "–" if there is none.

    Examples
    --------
    >>> spread([1.0, 2.0, 3.0])
    '2.0 ± 1.0'
    """
    known = _known(values)
    if not known.size:
        return "–"
    around = f" ± {known.std(ddof=1):.{digits}f}" if known.size > 1 else ""
    return f"{known.mean():{sign}.{digits}f}{around}"


def mean_scores(reports: Mapping[str, Report]) -> dict[str, Any]:
    """Average the scores of several runs.

    Errors: InputError if no score is in all reports.

    Parameters
    ----------
    reports : name of a run → contents of its metrics.json

    Returns
    -------
    "runs", their names, and "scores": score, or "score class" → its mean, sd (n − 1) and values, one per run; None if
    undefined. Patch networks also have "leakage", the share of test pixels whose patch overlaps the patch of a training pixel.

    Examples
    --------
    >>> table = mean_scores({"seed-0": {"r2": 0.5}, "seed-1": {"r2": 0.7}})
    >>> {key: round(value, 3) for key, value in table["scores"]["r2"].items() if key != "values"}
    {'mean': 0.6, 'sd': 0.141}
    """
    of_runs = [dict(_scores(report)) for report in reports.values()]
    common = [name for name in of_runs[0] if all(name in scores for scores in of_runs)] if of_runs else []
    if not common:
        raise InputError(
            f"the runs {', '.join(reports)} have no score in common. Withhold a part of the data in each (data.val_share)."
        )
    return {"runs": list(reports), "scores": {name: _describe([scores[name] for scores in of_runs]) for name in common}}


def write_mean_scores(out: Path, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the result of `mean_scores` into the folder of several runs."""
    write_json(out / SEEDS, mean_scores(reports))


def seeds_table(table: Mapping[str, Any] | str | Path) -> str:
    """Write the result of `mean_scores` as text.

    Parameters
    ----------
    table : the result of `mean_scores`, or the folder of `train_seeds`

    Returns
    -------
    One line per score: mean ± sd and the value of each run. Shares are in percent; of scores by class, only the F1 is listed.

    Examples
    --------
    >>> print(seeds_table(mean_scores({"seed-0": {"kappa": 0.5}, "seed-1": {"kappa": 0.7}})).rstrip())
             mean ± sd  seed-0  seed-1
    kappa  60.0 ± 14.1    50.0    70.0
    """
    if isinstance(table, (str, Path)):
        table = dict(read_json(Path(table) / SEEDS))
    rows = [["", "mean ± sd", *table["runs"]]]
    for name, value in table["scores"].items():
        score = name.split(" ")[0]
        if score in ScoreNames.by_class and score != "f1":
            continue
        share = score in SHARES or score == "leakage"
        values = (100 if share else 1) * np.array(value["values"], np.float64)
        digits = 1 if share else 3
        rows.append([name.replace("_", " "), spread(values, digits), *(spread([value], digits) for value in values)])
    return align_columns(rows)


def _scores(report: Report) -> Iterator[tuple[str, float | None]]:
    """Name and value of each score of a report; counts are none."""
    for name, value in report.items():
        if isinstance(value, Mapping) and name in ScoreNames.by_class:
            yield from ((f"{name} {label}", number) for label, number in value.items())
        elif isinstance(value, float) or (value is None and name in SHARES):
            yield name, value
    leakage = report.get("protocol", {}).get("leakage", {})
    if LEAKAGE in leakage:
        yield "leakage", leakage[LEAKAGE]


def _describe(values: Sequence[float | None]) -> dict[str, Any]:
    known = _known(values)
    return {
        "mean": float(known.mean()) if known.size else None,
        "sd": float(known.std(ddof=1)) if known.size > 1 else None,
        "values": list(values),
    }


def _known(values: ArrayLike | Sequence[float | None]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def figures_at(results: Any, path: str) -> list[float] | None:
    """Follow a path of names into the results of a script.

    Parameters
    ----------
    results : mappings of mappings, as read from JSON
    path : names joined by ">"; a ">" between blanks is a part of a name

    Returns
    -------
    The numbers at the path, one or one per seed; None if the results have no such path.

    Examples
    --------
    >>> figures_at({"f1 > 1 m": {"iou": [0.5, 0.7]}}, "f1 > 1 m>iou")
    [0.5, 0.7]
    >>> figures_at({"f1": 1}, "iou") is None
    True
    """
    for name in re.split(r"(?<! )>(?! )", path):
        results = results.get(name) if isinstance(results, Mapping) else None
    if results is None:
        return None
    return [float(value) for value in (results if isinstance(results, list) else [results])]
