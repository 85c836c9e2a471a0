"""The number of damaged buildings, estimated from a sample that a person looked at: numbers, shares, built areas, 95 % intervals.

Buildings that were looked at count as answered. The other buildings of a stratum are drawn from the beta-binomial
distribution of its answers.

The prior has the weight of one building: half the recalibrated map, half nothing (Jeffreys 1946).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.damage.review.sample import Sample
from deepnets4eo.damage.table.vocabulary import DAMAGED, GRADES, is_grade
from deepnets4eo.errors import InputError

CANNOT_TELL = "cannot-tell"  # the answer where the images do not show it
NO_BUILDING, CLOUD = (
    "no-building",
    "cloud",
)  # outlines without a building, and buildings that the image after does not show
LEFT_OUT = (NO_BUILDING, CLOUD)  # they are none of the buildings that are counted
ANSWERS = (*GRADES, *LEFT_OUT, CANNOT_TELL)
DRAWS = 4000
ENDS = (0.025, 0.975)
PRIOR_OF_NOTHING = 0.25  # of either side; the other half of the prior is shared as the map's mean probability
TRUST = 0.3  # in the map's log-odds as they are: the weight of the squares by which they are shifted and stretched
RAREST = 1e-4  # probability that a map says, at least


@dataclass(frozen=True)
class Reviewed:
    """Result of the review of a map.

    Attributes
    ----------
    looked_at, left_out, cannot_tell : answers with a grade, answers of no building or cloud, and answers without a grade
    added : answers of buildings that were not drawn, which represent only themselves
    buildings, built_area_m2 : grade, or "damaged", to its "expected" number or area and its "interval_95"
    population : "expected" number of buildings that can be seen, and its "interval_95"
    share : "expected" share of damaged buildings among these, and its "interval_95"
    agreement : "share" of buildings with the same grade in the map and by the person, and "table", map's grade → person's grade → number
    """

    looked_at: int
    left_out: int
    cannot_tell: int
    added: int
    buildings: dict[str, dict[str, Any]]
    built_area_m2: dict[str, dict[str, Any]]
    population: dict[str, Any]
    share: dict[str, Any]
    agreement: dict[str, Any]

    def headline(self) -> str:
        """Return the number of damaged buildings in one line."""
        low, high = self.buildings["damaged"]["interval_95"]
        return (
            f"{self.buildings['damaged']['expected']:,.0f} of {self.population['expected']:,.0f} buildings damaged "
            f"({low:,.0f}–{high:,.0f}), from {self.looked_at + self.left_out:,} that were looked at"
        )


def review_counts(
    sample: Sample, answers: Mapping[int, str], grades: pd.Series, inside: Mask | None = None, seed: int = 0
) -> Reviewed:
    """Estimate numbers and built areas by grade.

    Parameters
    ----------
    sample : what was drawn
    answers : row of the map → one of `ANSWERS`; rows that were not drawn count as they were seen
    grades : the map's grade of every building, missing if not assessed
    inside : (N,) bool, the buildings of an area that are counted
    seed : seed of the draws behind the intervals

    Returns
    -------
    Reviewed

    Raises
    ------
    InputError
        An unknown answer, or no answer that names a grade of a building that was drawn.

    Notes
    -----
    At 300 synthetic sites (SYNTHETIC) for each of seven shares from 0 to 95 %, the intervals contain the true number in at
    least 94 %.
    """
    counted = np.ones(len(grades), bool) if inside is None else inside
    known = {row: answer for row, answer in answers.items() if counted[row]}
    if wrong := [answer for answer in known.values() if answer not in ANSWERS]:
        raise InputError(f"{wrong[0]!r} is no answer; expected one of {', '.join(ANSWERS)}. Correct it in the sample.")
    graded = np.array([row for row, answer in known.items() if answer != CANNOT_TELL], np.intp)
    was_drawn = np.isin(graded, sample.rows)
    rows, added = graded[was_drawn], graded[~was_drawn]
    if not len(rows):
        raise InputError(
            "no building that was drawn was given a grade yet. Look at some of the sample first; chosen buildings do not represent the others."
        )
    answered = np.array([known[row] for row in rows], object)
    kinds = {"damaged": np.isin(answered, DAMAGED)} | {grade: answered == grade for grade in GRADES}
    kinds["left_out"] = np.isin(answered, LEFT_OUT)
    by_map = {"damaged": sample.prob} | {grade: _share_of(grades, grade, sample.stratum) for grade in GRADES}
    by_map["left_out"] = np.full(len(counted), RAREST)  # the map takes every outline for a building
    not_added = counted.copy()
    not_added[added] = False
    estimates = {
        kind: _estimate(sample, not_added, rows, hits, by_map[kind], np.random.default_rng([seed, number]))
        for number, (kind, hits) in enumerate(kinds.items())
    }
    for row in added:
        kinds_of = {
            "left_out" if known[row] in LEFT_OUT else known[row],
            *(["damaged"] if known[row] in DAMAGED else []),
        }
        for kind in kinds_of:
            for estimate, size in zip(estimates[kind], (1.0, float(sample.area_m2[row])), strict=True):
                estimate["expected"] += size
                estimate["interval_95"] = [end + size for end in estimate["interval_95"]]
    (not_there, _), total = estimates.pop("left_out"), int(counted.sum())
    low, high = not_there["interval_95"]
    population = {"expected": total - not_there["expected"], "interval_95": [total - high, total - low]}
    named, damaged = sum(is_grade(answer) for answer in known.values()), estimates["damaged"][0]
    left_out = sum(answer in LEFT_OUT for answer in known.values())
    return Reviewed(
        named, left_out, len(known) - named - left_out, len(added),
        {kind: number for kind, (number, _) in estimates.items()}, {kind: area for kind, (_, area) in estimates.items()},
        population, _share_of_all(damaged, population["expected"]),
        _agreement(sample, counted, rows, answered, grades),
    )  # fmt: skip


def _share_of_all(number: dict[str, Any], of: float) -> dict[str, Any]:
    """Return a number and its interval as shares of a population."""
    low, high = (min(end / max(of, 1.0), 1.0) for end in number["interval_95"])
    return {"expected": min(number["expected"] / max(of, 1.0), 1.0), "interval_95": [low, high]}


def _share_of(grades: pd.Series, grade: str, stratum: Indices) -> Floats:
    """Return (N,) share of each building's stratum with a grade by the map."""
    size = np.bincount(stratum)
    return np.asarray((np.bincount(stratum, (grades == grade).to_numpy(float)) / size)[stratum])


def _estimate(
    sample: Sample, counted: Mask, rows: Indices, hits: Mask, by_map: Floats, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return number and area of one kind with intervals. rows : looked at; hits : which of them are of the kind."""
    count, by_map = int(sample.stratum.max()) + 1, _recalibrated(by_map, rows, hits)

    def sums(of: Indices | Mask, weights: Floats | None = None) -> Floats:
        return np.bincount(sample.stratum[of], weights, count).astype(float)

    size, prior = sums(counted), sums(counted, by_map[counted]) / np.maximum(sums(counted), 1)
    seen, seen_so = sums(rows), sums(rows[hits])
    rest, towards = np.maximum(size - seen, 0).astype(np.int64), (1 - 2 * PRIOR_OF_NOTHING) * prior
    first, second = seen_so + PRIOR_OF_NOTHING + towards, seen - seen_so + 1 - PRIOR_OF_NOTHING - towards
    rate = rng.beta(first, second, (DRAWS, count))
    ends = [np.where((seen_so == 0) & (seen > 0), 0.0, rate), np.where((seen_so == seen) & (seen > 0), 1.0, rate)]
    drawn = [rng.binomial(rest, share) for share in ends]
    expected = np.where(seen > 0, seen_so / np.maximum(seen, 1), prior) * rest
    number = _with_interval(float((seen_so + expected).sum()), [part.sum(axis=1) + seen_so.sum() for part in drawn])
    area, area_seen = sums(counted, sample.area_m2[counted]), sums(rows, sample.area_m2[rows])
    mean = (area - area_seen) / np.maximum(rest, 1)
    squares = sums(counted, sample.area_m2[counted] ** 2) / np.maximum(size, 1) - (area / np.maximum(size, 1)) ** 2
    found_area = float(sample.area_m2[rows[hits]].sum())
    normal = rng.normal(size=(DRAWS, count))
    spread = np.sqrt(np.maximum(squares, 0))
    areas = [
        found_area
        + np.clip(part * mean + np.sqrt(part * (1 - part / np.maximum(rest, 1))) * spread * normal, 0, rest * mean).sum(
            axis=1
        )
        for part in drawn
    ]
    return number, _with_interval(found_area + float((expected * mean).sum()), areas)


def _recalibrated(by_map: Floats, rows: Indices, hits: Mask) -> Floats:
    """Return (N,) the map's probabilities, with log-odds shifted and stretched towards what was seen."""
    odds, unchanged = logit(np.clip(by_map, RAREST, 1 - RAREST)), np.array([0.0, 1.0])
    seen = np.column_stack([np.ones(len(rows)), odds[rows]])

    def loss(line: Floats) -> tuple[float, Floats]:
        at, off = seen @ line, line - unchanged
        slope = seen.T @ (expit(at) - hits) + TRUST * off
        return float(np.logaddexp(0, at).sum() - at[hits].sum() + TRUST / 2 * (off @ off)), slope

    shift, stretch = minimize(loss, unchanged, jac=True).x
    return np.asarray(expit(shift + stretch * odds))


def _with_interval(expected: float, drawn: list[NDArray[Any]]) -> dict[str, Any]:
    ends = [float(np.quantile(part, end, method="inverted_cdf")) for part, end in zip(drawn, ENDS, strict=True)]
    return {"expected": expected, "interval_95": [min(ends[0], expected), max(ends[1], expected)]}


def _agreement(
    sample: Sample, counted: Mask, rows: Indices, answered: NDArray[np.object_], grades: pd.Series
) -> dict[str, Any]:
    """Return how often the map's grade equals the person's, by the weights of the sample, and the table of both."""
    by_map = grades.to_numpy(object)[rows]
    graded = pd.notna(by_map) & np.isin(answered, GRADES)
    if not graded.any():
        return {"share": None, "table": {}}
    size, seen = (np.bincount(sample.stratum[of], minlength=int(sample.stratum.max()) + 1) for of in (counted, rows))
    weight = (size / np.maximum(seen, 1))[sample.stratum[rows]]
    share = np.average(by_map[graded] == answered[graded], weights=weight[graded])
    table = pd.crosstab(by_map[graded], answered[graded])
    return {
        "share": float(share),
        "table": {row: {str(k): int(v) for k, v in values.items()} for row, values in table.T.to_dict().items()},
    }
