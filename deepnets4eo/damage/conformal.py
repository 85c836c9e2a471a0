"""Which grades cannot be excluded: sets that hold the true grade at nine of ten buildings of a new site.

Takes probabilities of graded buildings from sites that were left out of the fit; a whole site is one draw, because the
buildings of one site err together. Returns one limit a grade; sets are contiguous, and a grade's coverage does not depend on
how common the grade is. Sources: Vovk et al. 2005 (class-conditional conformal prediction); Lee, Barber & Willett 2023
(sites as draws).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.vocabulary import GRADES

COVERAGE = 0.9
EVERYTHING = ",".join(GRADES)


@dataclass(frozen=True)
class GradeSets:
    """Limits of the scores of `exclusion_scores`: a grade stays in a building's set where its score is at most its limit.

    limits : (4,), one a grade; 1 keeps the grade always.
    """

    limits: Floats

    def members(self, probabilities: Floats) -> NDArray[np.bool_]:
        """(N, 4) grades that cannot be excluded: contiguous, never empty, with the median grade. probabilities : (N, 4)."""
        scores = exclusion_scores(probabilities)
        inside = (scores <= self.limits) | (scores == scores.min(axis=1, keepdims=True))
        return fill_between(inside)

    def to_dict(self) -> dict[str, float]:
        """Plain values for the model file, rounded up."""
        return {grade: float(np.ceil(limit * 1e4) / 1e4) for grade, limit in zip(GRADES, self.limits, strict=True)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GradeSets:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError or ValueError for anything else."""
        return cls(np.array([float(content[grade]) for grade in GRADES]))


def exclusion_scores(probabilities: Floats) -> Floats:
    """(N, 4) how far each grade lies from the median of a building's probabilities (N, 4): the larger of the
    probabilities that the true grade is a better one and that it is a worse one, 0–1.

    >>> exclusion_scores(np.array([[0.1, 0.2, 0.3, 0.4]])).round(2).tolist()
    [[0.9, 0.7, 0.4, 0.6]]
    """
    up_to = np.cumsum(probabilities, axis=1)
    return np.asarray(np.clip(np.maximum(up_to - probabilities, 1 - up_to), 0, 1))


def site_quantile(scores: Floats, site: NDArray[np.generic], coverage: float = COVERAGE) -> float:
    """The limit that the score of a building of a new site keeps with a probability of `coverage`; 1 where too few sites
    are known.

    Every site has the same weight, and one site more, whose scores could be anything, counts with them. Where each
    building is a site of its own, this is the score number ⌈(n + 1) · coverage⌉ of split conformal prediction.

    Parameters
    ----------
    scores
        (N,) scores of the true grades, 0–1.
    site
        (N,) the site of each.
    coverage
        Probability wanted, 0–1.

    Returns
    -------
    float

    Examples
    --------
    >>> site_quantile(np.array([0.05, 0.1, 0.12, 0.2, 0.25, 0.3, 0.4, 0.55, 0.7]), np.arange(9), 0.8)
    0.55
    """
    _, index, number = np.unique(site, return_inverse=True, return_counts=True)
    weight = 1.0 / (number[index] * (len(number) + 1))
    order = np.argsort(scores, kind="stable")
    reached = np.flatnonzero(np.cumsum(weight[order]) >= coverage - 1e-9)
    return float(scores[order][reached[0]]) if len(reached) else 1.0


def fit_sets(
    probabilities: Floats, grade: NDArray[np.integer], site: NDArray[np.generic], coverage: float = COVERAGE
) -> GradeSets:
    """Limits from left-out probabilities (N, 4), true grades (N,) and sites (N,)."""
    own = exclusion_scores(probabilities)[np.arange(len(grade)), grade]
    limits = [site_quantile(own[grade == k], site[grade == k], coverage) for k in range(len(GRADES))]
    return GradeSets(np.array(limits))


def fill_between(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N, 4) with the grades between two of a set in it too."""
    from_left = np.logical_or.accumulate(inside, axis=1)
    from_right = np.logical_or.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(from_left & from_right)


def set_names(members: NDArray[np.bool_]) -> NDArray[np.object_]:
    """(N,) text of sets (N, 4): the names of the grades with commas between, the mildest first.

    >>> set_names(np.array([[False, True, True, False]])).tolist()
    ['minor-damage,major-damage']
    """
    codes = members @ (1 << np.arange(len(GRADES)))
    names = [",".join(g for k, g in enumerate(GRADES) if code >> k & 1) for code in range(1 << len(GRADES))]
    return np.array(names, dtype=object)[codes]


def coverage_by_site(
    members: NDArray[np.bool_], grade: NDArray[np.integer], site: NDArray[np.generic]
) -> dict[str, tuple[float, float, int]]:
    """For each site: share of buildings whose set (N, 4) has the true grade (N,), mean number of grades in a set, buildings."""
    held = members[np.arange(len(grade)), grade]
    size = members.sum(axis=1)
    return {
        str(name): (float(held[site == name].mean()), float(size[site == name].mean()), int((site == name).sum()))
        for name in np.unique(site)
    }
