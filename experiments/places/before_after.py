"""Scores of the damage job at real places, before and after a change, in one table.

Takes the folder of scores that `real_places.py` keeps, and the stored scores: {"before" | "after": {"commit": …, "scores": method → site → score}},
and `buildings`: run → site → score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepnets4eo.files import read_json, write_json
from places.results import MISSING, markdown_table

METHODS = ("shipped-both", "weight-free")
KEPT = (
    "buildings", "damaged", "assessed", "named", "auc", "f1", "f1_range", "four_grades", "quadratic_kappa", "false_alarms", "intervals", "intervals_held", "interval_width",
    "interval_95", "sites", "auc_worst", "worst_site",
)  # fmt: skip
HEADER = ("place", "damaged of graded", "AUC", "F1", "standing called", "inside", "width")
DECIMALS = 3
OF_BUILDINGS, MEAN = ("iou", "object_f1"), "mean of all places"
Scores = Mapping[str, Mapping[str, Any]]


def before_after_table(out: Path, stored: Path) -> str:
    """Return one line per place and method: stored scores → scores in `out`, once where both are the same."""
    before = read_json(stored)["before"]["scores"] if stored.exists() else {}
    after = kept_scores(out)
    return "\n\n".join(
        f"### {method}, before → after\n\n" + markdown_table(HEADER, _rows(before.get(method, {}), after[method]))
        for method in METHODS
        if method in after
    )


def read_scores(out: Path) -> dict[str, Any]:
    """Read the kept scores by method."""
    return {path.stem.removeprefix("damage-"): read_json(path) for path in sorted(out.glob("damage-*.json"))}


def kept_scores(out: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the scores in a folder that the table needs: method → site → score."""
    scores = read_scores(out)
    return {
        method: {
            site: {key: _rounded(one[key]) for key in KEPT if key in one}
            for site, one in scores[method].items()
            if MISSING not in one
        }
        for method in METHODS
        if method in scores
    }


def store_scores(out: Path, stored: Path, commit: str, state: str = "after") -> Path:
    """Store the scores in a folder with the commit of the code. state : "before" or "after". Scores of --smoke are never stored."""
    kept = read_json(stored) if stored.exists() else {}
    return write_json(stored, {"smoke": False} | kept | {state: {"commit": commit, "scores": kept_scores(out)}})


def store_building_scores(out: Path, stored: Path) -> Path:
    """Store IoU and F1 of buildings in a folder by run, of each place and their means over places."""
    kept = read_json(stored) if stored.exists() else {"smoke": False}
    return write_json(stored, kept | {"buildings": building_scores(out)})


def building_scores(out: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return IoU and F1 of buildings that runs left in a folder: run → place, or `MEAN`, → score."""
    scores = {}
    for path in sorted(out.glob("buildings-*.json")):
        scored = {name: one for name, one in read_json(path).items() if MISSING not in one}
        rows = {name: {key: one[key] for key in OF_BUILDINGS} for name, one in scored.items()}
        means = {key: sum(one[key] for one in rows.values()) / len(rows) for key in OF_BUILDINGS}
        of_run = rows | {MEAN: means}
        scores[path.stem.removeprefix("buildings-")] = {
            name: {key: _rounded(value) for key, value in one.items()} for name, one in of_run.items()
        }
    return scores


def _rows(before: Scores, after: Scores) -> list[list[str]]:
    rows = []
    for site in dict.fromkeys([*after, *before]):
        states = [_cells(scores[site]) for scores in (before, after) if site in scores]
        cells = zip(*states, strict=True)
        rows.append([site, *(" → ".join(dict.fromkeys(cell)) for cell in cells)])
    return rows


def _cells(one: Mapping[str, Any]) -> list[str]:
    """Return the cells of a place; one without grades has the named of the assessed buildings, and its interval."""
    if "damaged" not in one:
        low, high = one["interval_95"]
        return [f"no grades; {one['named']} of {one['assessed']} named", "–", "–", "–", "–", _difference(low, high)]
    ends = one.get("f1_range")
    f1 = _text(one.get("f1")) + ("" if ends is None else f" ({_text(ends[0])}–{_text(ends[1])})")
    inside = f"{one['intervals_held']} of {one['intervals']}" if "intervals" in one else "–"
    return [
        f"{one['damaged']} of {one['buildings']}", _text(one.get("auc")), f1, _text(one.get("false_alarms")), inside,
        _text(one.get("interval_width")),
    ]  # fmt: skip


def _difference(low: float | None, high: float | None) -> str:
    return _text(None if low is None or high is None else high - low)


def _text(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{DECIMALS}f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value
