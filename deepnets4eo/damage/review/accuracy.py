"""The agreement of grades with a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import DAMAGED, GRADES
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix


@dataclass(frozen=True)
class DamageAccuracy:
    """Agreement on N buildings; auc, f1, precision and recall of major damage or worse; grades: reference in rows."""

    buildings: int
    damaged: int
    auc: float
    f1: float
    precision: float
    recall: float
    grades: ConfusionMatrix = field(repr=False)
    left_out: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        named = ("buildings", "damaged", "auc", "f1", "precision", "recall", "left_out")
        return {name: getattr(self, name) for name in named} | {
            "grade_accuracy": self.grades.overall_accuracy,
            "grade_kappa": self.grades.kappa,
            "confusion": self.grades.matrix,
        }

    def check_interval(self, interval: Sequence[float]) -> str:
        """Return the sentence on whether the true number of damaged buildings lies within an interval (low, high)."""
        low, high = interval
        verdict = "lies within" if low <= self.damaged <= high else "lies OUTSIDE"
        return f"the true number {self.damaged} {verdict} the map's interval {low:.0f}–{high:.0f}"

    def __str__(self) -> str:
        return (
            f"{self.buildings} graded buildings, {self.damaged} with major damage or worse: AUC {self.auc:.3f}, "
            f"F1 {self.f1:.3f} (precision {self.precision:.3f}, recall {self.recall:.3f}); "
            f"four grades: {self.grades.overall_accuracy:.1%} right, κ {self.grades.kappa:.2f}"
        )


def compare_with_reference(buildings: pd.DataFrame, reference: pd.DataFrame) -> DamageAccuracy:
    """Compare a map's buildings, by the likeliest grades, with a graded reference, joined by id. Errors: InputError."""
    buildings = Buildings(buildings).with_likeliest_grades().frame
    graded = reference[reference["damage"].isin(GRADES)]
    joined = graded.assign(id=graded["id"].astype(str))[["id", "damage"]].merge(
        buildings[["id", "damage", "damage_prob", "status"]], on="id", suffixes=("_reference", "")
    )
    scored = joined[Buildings(joined).assessed]
    if scored.empty:
        raise InputError(
            "no assessed building is in the reference: the ids do not match. Give both the same id column."
        )
    foreign = reference.loc[~reference["damage"].isin(GRADES), "damage"].astype(str).value_counts()
    left_out = {str(name): int(count) for name, count in foreign.items()} | {
        "not in the map": len(graded) - len(joined),
        "not assessed": len(joined) - len(scored),
    }
    grades = ConfusionMatrix(len(GRADES)).update(_index(scored["damage_reference"]), _index(scored["damage"]))
    truth = scored["damage_reference"].isin(DAMAGED).to_numpy()
    named = Buildings(scored).damaged
    return DamageAccuracy(
        len(scored), int(truth.sum()), *_detection(truth, scored["damage_prob"].to_numpy(float), named), grades,
        {reason: count for reason, count in left_out.items() if count},
    )  # fmt: skip


def _detection(
    truth: NDArray[np.bool_], probability: NDArray[np.float64], named: NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    """AUC, F1, precision and recall of the positive side."""
    from sklearn.metrics import roc_auc_score  # takes half a second, which a dry run need not wait

    auc = float(roc_auc_score(truth, probability)) if 0 < truth.sum() < len(truth) else float("nan")
    pair = ConfusionMatrix(2).update(truth.astype(np.uint8), named.astype(np.uint8))
    return auc, float(pair.f1[1]), float(pair.precision[1]), float(pair.recall[1])


def _index(names: pd.Series) -> NDArray[np.uint8]:
    return np.array([GRADES.index(name) for name in names], np.uint8)
