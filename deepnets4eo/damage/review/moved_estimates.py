"""Estimates of a map after answers: they move by as much as the probabilities, and keep their width, which answers can only narrow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.review.counts import Reviewed
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR

DAMAGED = "damaged"


def moved_estimates(
    estimates: dict[str, Any], before: Grades, after: Grades, answered: Iterable[int], areas_m2: Floats
) -> dict[str, Any]:
    """Return the numbers and built areas of each grade after answers; what is not known stays so. Without the table of named and true
    grades, which is of the former names.

    before, after : grades of the N buildings of the map
    answered : rows that people graded, whose grade is certain
    areas_m2 : (N,)
    """
    known, certain = before.known & after.known, np.zeros(len(areas_m2), bool)
    certain[list(answered)] = True
    moved = {}
    for quantity, weights in (("buildings", np.ones(len(areas_m2))), ("built_area_m2", np.nan_to_num(areas_m2))):
        rows = estimates.get(quantity)
        if not rows:
            moved[quantity] = rows
            continue
        new, old, sure = (
            _sums(grades.probabilities[part] * weights[part, None])
            for grades, part in ((after, known), (before, known), (after, known & certain))
        )
        total, fixed = weights[known].sum(), weights[known & certain].sum()
        moved[quantity] = {
            name: None
            if rows.get(name) is None
            else _moved(rows[name], new[k] - old[k], float(sure[k]), float(total - fixed + sure[k]))
            for k, name in enumerate((*GRADES, DAMAGED))
        }
    return moved


def narrower_estimates(estimates: dict[str, Any], count: Reviewed) -> dict[str, Any]:
    """Return the estimates by a drawn sample if its interval of damaged buildings is narrower, else the estimates as they are.

    count : of the same buildings; its intervals hold whatever the map states, so that the narrower of both may be taken
    """
    damaged = (estimates.get("buildings") or {}).get(DAMAGED)
    if damaged is None or _width(damaged) <= _width(count.buildings[DAMAGED]):
        return estimates
    return estimates | {"buildings": count.buildings, "built_area_m2": count.built_area_m2}


def _width(row: dict[str, Any]) -> float:
    low, high = row["interval_95"]
    return float(high - low)


def moved_share(share: dict[str, Any], estimates: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the share of damaged buildings by their moved number; `number` : of assessed buildings."""
    damaged = (estimates.get("buildings") or {}).get(DAMAGED)
    if not share or damaged is None or not number:
        return share
    return share | {
        "value": damaged["expected"] / number,
        "interval_95": [end / number for end in damaged["interval_95"]],
        "contradicted": False,  # a count by answers states what the grades do not
    }


def _sums(probabilities: Floats) -> Floats:
    """Return (5,) sums over buildings (N, 4) of each grade, and of the damaged ones."""
    sums = probabilities.sum(axis=0)
    return np.append(sums, sums[MAJOR:].sum())


def _moved(row: dict[str, Any], step: float, least: float, most: float) -> dict[str, Any]:
    """One estimate after a step, between what is certain."""
    expected, *ends = (float(np.clip(value + step, least, most)) for value in (row["expected"], *row["interval_95"]))
    return {"expected": expected, "interval_95": ends}
