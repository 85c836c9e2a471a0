"""Scores of every method on every site as one table with the goals beside them, as Markdown and JSON.

Takes the files of scores that single runs wrote into a folder, so that a new run adds its column to the others'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.files import read_json, write_json, write_text
from places.damage_sites import INTACT_SITES

Scores = Mapping[str, Mapping[str, Any]]  # site → score → value
ALL, INTACT, HURRICANE = "all sites together", "intact sites together", "xbd_post_scenes, hurricane"
LEAST_BUILDINGS = 30  # of a site whose calibration error counts
MISSING = "missing"


@dataclass(frozen=True)
class Goal:
    """One quantity that is to be reached: score `key` of `site`; `today` as it was measured when the goal was set.

    limit : at least, or at most where `most` is set; None where no goal was set.
    """

    text: str
    site: str
    key: str
    today: str
    limit: float | None
    most: bool = False

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough; False for NaN and where no goal was set."""
        if self.limit is None or math.isnan(value):
            return False
        return value <= self.limit if self.most else value >= self.limit

    @property
    def limit_text(self) -> str:
        """The goal in words."""
        return "–" if self.limit is None else f"{'≤' if self.most else '≥'} {self.limit:g}"


DAMAGE_GOALS = (
    Goal("Joplin, AUC", "joplin", "auc", "0.994", 0.994),
    Goal("Joplin, four grades right", "joplin", "four_grades", "0.80", 0.84),
    Goal("Joplin, quadratic κ", "joplin", "quadratic_kappa", "–", 0.88),
    Goal("xbd_midwest, AUC", "xbd_midwest", "auc", "0.714", 0.80),
    Goal("xbd_midwest, AUC, not assessed ones at one half", "xbd_midwest", "auc_all", "–", None),
    Goal("xbd_midwest, false alarms", "xbd_midwest", "false_alarms", "0.30", 0.10, most=True),
    Goal("xbd_midwest before, post alone, false alarms", "xbd_midwest before", "false_alarms", "0.54", 0.10, most=True),
    Goal("xbd_post_scenes, AUC", "xbd_post_scenes", "auc", "0.965", 0.97),
    Goal("xbd_post_scenes, F1", "xbd_post_scenes", "f1", "0.85", 0.90),
    Goal("xbd_post_scenes, hurricane, AUC", HURRICANE, "auc", "0.80", 0.88),
    Goal("intact sites together, false alarms", INTACT, "false_alarms", "0.11", 0.03, most=True),
    Goal("intact sites together, false alarms at a share of one half", INTACT, "false_alarms_half", "–", None),
    Goal(f"greatest ECE of a site ({LEAST_BUILDINGS} buildings or more)", "all", "ece", "0.03–0.08", 0.05, most=True),
)
BUILDING_GOALS = (
    Goal("mean IoU over sites", "all", "iou", "0.25 (forest 0.23)", 0.45),
    Goal("mean object F1 over sites", "all", "object_f1", "–", None),
)
DAMAGE_COLUMNS = (
    "buildings", "damaged", "assessed", "auc", "auc_half", "auc_all", "f1", "four_grades", "quadratic_kappa",
    "false_alarms", "false_alarms_half", "ece", "brier", "intervals", "intervals_right", "interval_width", "auc_range", "four_grades_range", "quadratic_kappa_range",
    "ece_if_right_range",
)  # fmt: skip
BUILDING_COLUMNS = ("iou", "precision", "recall", "object_f1", "object_precision", "object_recall", "objects")


def damage_summary(scores: Scores) -> dict[str, float]:
    """What is derived over sites: the greatest calibration error of those with enough buildings."""
    errors = [
        one["ece"]
        for site, one in scores.items()
        if site not in (ALL, INTACT, HURRICANE, *INTACT_SITES) and one.get("assessed", 0) >= LEAST_BUILDINGS
    ]
    return {"ece": float(max(errors, default=float("nan")))}


def building_summary(scores: Scores) -> dict[str, float]:
    """Means over the sites that could be scored."""
    return {key: _mean([one[key] for one in scores.values() if key in one]) for key in ("iou", "object_f1")}


def write_results(folder: Path, notes: Mapping[str, Mapping[str, str]]) -> Path:
    """Gather the scores in `folder` (damage-*.json, buildings-*.json, speed-*.json) into table.md and table.json.

    notes : "damage" and "buildings" → site → remark. Returns the path of the Markdown.
    """
    damage, buildings, speed = (_gather(folder, kind) for kind in ("damage", "buildings", "speed"))
    parts = ["# Real places that nothing was fitted to", "A tick stands where the goal is reached."]
    if damage:
        parts += ["## Damage", _goal_table(DAMAGE_GOALS, damage, damage_summary), _site_tables(damage, DAMAGE_COLUMNS)]
        parts.append(_notes(notes["damage"]))
    if buildings:
        parts += ["## Buildings from one image", _goal_table(BUILDING_GOALS, buildings, building_summary)]
        parts += [_site_tables(buildings, BUILDING_COLUMNS), _notes(notes["buildings"])]
    if speed:
        columns = list(dict.fromkeys(key for one in speed.values() for key in one))
        rows = [[name, *(_text(one.get(key)) for key in columns)] for name, one in speed.items()]
        parts += ["## Speed", markdown_table(["run", *columns], rows)]
    write_json(folder / "table.json", {"damage": damage, "buildings": buildings, "speed": speed})
    return write_text(folder / "table.md", "\n\n".join(parts) + "\n")


def _gather(folder: Path, kind: str) -> dict[str, Any]:
    return {path.stem.removeprefix(f"{kind}-"): read_json(path) for path in sorted(folder.glob(f"{kind}-*.json"))}


def _goal_table(goals: Sequence[Goal], methods: Mapping[str, Scores], summary: Any) -> str:
    rows = []
    for goal in goals:
        cells = []
        for scores in methods.values():
            site_scores = summary(scores) if goal.site == "all" else scores.get(goal.site, {})
            value = site_scores.get(goal.key)
            tick = value is not None and goal.is_met(float(value))
            cells.append(_text(value) + (" ✓" if tick else ""))
        rows.append([goal.text, goal.today, goal.limit_text, *cells])
    return markdown_table(["quantity", "when the goal was set", "goal", *methods], rows)


def _site_tables(methods: Mapping[str, Scores], columns: Sequence[str]) -> str:
    tables = []
    for method, scores in methods.items():
        rows = []
        for site, one in scores.items():
            missing = one.get(MISSING)
            rows.append([site, missing] if missing else [site, *(_text(one.get(key)) for key in columns)])
        tables.append(f"### {method}\n\n" + markdown_table(["site", *columns], rows))
    return "\n\n".join(tables)


def _notes(notes: Mapping[str, str]) -> str:
    return "\n".join(f"- {site}: {note}" for site, note in notes.items())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows of cells below a header, as Markdown; short rows are filled up with empty cells."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [str(cell) for cell in row] + [""] * (len(header) - len(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, list):
        return " to ".join(_text(one) for one in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
