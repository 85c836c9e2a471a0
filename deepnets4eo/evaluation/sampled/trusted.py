"""The part of a map that is right often enough, with 95 % confidence, by exact tests of classes or by tests of zones of confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.metrics import area_adjusted

MIN_ACCURACY = 0.9  # of what counts as trusted
LEVEL = 0.95
MIN_ANSWERS = 29  # as many right answers and none wrong have an exact limit of 0.9


def trusted_classes(
    table: Indices, area: Floats, names: Sequence[str], *, accuracy: float = MIN_ACCURACY, level: float = LEVEL
) -> dict[str, Any]:
    """Return the classes whose user's accuracy is at least `accuracy`, all of them together with probability `level`.

    Exact binomial tests (Clopper & Pearson 1934), corrected for the number of classes (Holm 1979).

    table : (K, K) answers, rows = map class
    area : (K,) mapped area of each class
    """
    from scipy.stats import binom

    tested = np.flatnonzero((area > 0) & (table.sum(axis=1) > 0))
    right, total = np.diagonal(table)[tested], table.sum(axis=1)[tested]
    chance = binom.sf(right - 1, total, accuracy)  # of as many right answers at a class that is no better
    kept: list[int] = []
    for rank, number in enumerate(np.argsort(chance, kind="stable")):
        if chance[number] > (1 - level) / (len(tested) - rank):
            break
        kept.append(int(tested[number]))
    share = float(area[kept].sum() / area.sum())
    return {"by": "class", "accuracy": accuracy, "share": share, "classes": [names[number] for number in sorted(kept)]}


def trusted_zone(
    tables: Sequence[Floats], areas: Sequence[Floats], limits: Sequence[float], *, accuracy: float = MIN_ACCURACY,
    level: float = LEVEL,
) -> dict[str, Any]:  # fmt: skip
    """Return the largest zone of the surest pixels that is right in at least `accuracy` of its area.

    Zones are tested from the surest on, each containing those before, until a test fails: no correction is needed then
    (fixed sequence, Maurer et al. 1995). A test is the one-sided Wilson limit of `area_adjusted`.

    tables : (Z, K, K) answers in each zone, as of `by_area`
    areas : (Z, K) mapped area of each class in each zone
    limits : (Z,) lowest confidence in each zone
    """
    share, lowest = 0.0, None
    for table, area, limit in zip(tables, areas, limits, strict=True):
        drawn = table.sum(axis=1)
        if drawn.sum() < MIN_ANSWERS:
            continue  # no answers could pass: the next zone contains these
        kept = np.where(drawn >= 2, area, 0.0)
        counted = np.where((kept > 0)[:, None], table, 0.0)
        low = area_adjusted(counted, kept, level=2 * level - 1).overall_accuracy_interval[0] if kept.any() else 0.0
        if low * kept.sum() / area.sum() < accuracy:  # classes without answers count as wrong
            break
        share, lowest = float(area.sum() / areas[-1].sum()), float(limit)
    return {"by": "confidence", "accuracy": accuracy, "share": share, "confidence": lowest}
