"""Probabilities of the four grades, of being beyond each border, and by sides (damaged or intact, then the worse grade)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from deepnets4eo.arrays import Floats, Mask, Texts
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR

MIN_PROBABILITY = 1e-4  # where opinions are pooled: none is nearer to 0 or 1, and so outweighs all others
MAX_LOG_ODDS = 9.2  # where the evidence of a site is weighed, log-odds count as no farther from 0
Z95 = 1.959963984540054  # of a normal distribution, the half width of 95 %


def grade_probabilities(beyond: Floats) -> Floats:
    """Return (N, 4) probabilities of the grades from (N, 3) probabilities of being beyond each border, made to decrease."""
    ordered = np.minimum.accumulate(beyond, axis=1)
    raised = np.maximum.accumulate(beyond[:, ::-1], axis=1)[:, ::-1]
    limits = np.column_stack([np.ones(len(beyond)), (ordered + raised) / 2, np.zeros(len(beyond))])
    return limits[:, :-1] - limits[:, 1:]


def border_log_odds(probabilities: Floats) -> Floats:
    """Return (N, 3) log-odds of being beyond each border."""
    beyond = np.cumsum(probabilities[:, ::-1], axis=1)[:, -2::-1]
    return scipy.special.logit(np.clip(beyond, MIN_PROBABILITY, 1 - MIN_PROBABILITY))


def border_probabilities(probabilities: Floats) -> Floats:
    """Return (N, 3) probabilities of minor among intact grades, of damage, and of destroyed among damaged grades."""
    damaged, minor, destroyed = scipy.special.expit(side_log_odds(probabilities)).T
    return np.stack([minor, damaged, destroyed], axis=1)


def side_log_odds(probabilities: Floats) -> Floats:
    """Return (N, 3) log-odds of damage, of minor where intact, and of destroyed where damaged, from (N, 4) probabilities."""
    none, minor, major, destroyed = np.clip(probabilities, 1e-9, 1).T
    pairs = ((major + destroyed, none + minor), (minor, none), (destroyed, major))
    return np.clip(np.stack([np.log(over / under) for over, under in pairs], axis=1), -MAX_LOG_ODDS, MAX_LOG_ODDS)


def grades_of_sides(log_odds: Floats) -> Floats:
    """Return (…, 4) probabilities of the grades from (…, 3) log-odds as in `side_log_odds`."""
    damaged, minor, destroyed = np.moveaxis(scipy.special.expit(log_odds), -1, 0)
    parts = ((1 - damaged) * (1 - minor), (1 - damaged) * minor, damaged * (1 - destroyed), damaged * destroyed)
    return np.stack(parts, axis=-1)


def adjust_to_share(probabilities: Floats, damaged_share: float) -> Floats:
    """Return (N, 4) probabilities for a site with this share of damaged buildings, from probabilities for a share of one half."""
    if damaged_share == 0.5:
        return probabilities
    damaged = probabilities[:, MAJOR:].sum(axis=1)
    return set_damaged_probability(
        probabilities,
        scipy.special.expit(scipy.special.logit(np.clip(damaged, 1e-9, 1 - 1e-9)) + scipy.special.logit(damaged_share)),
    )


def set_damaged_probability(probabilities: Floats, wanted: Floats) -> Floats:
    """Return (N, 4) probabilities with `wanted` for damage; each side keeps its proportions."""
    damaged = probabilities[:, MAJOR:].sum(axis=1)
    factor = np.stack([(1 - wanted) / np.clip(1 - damaged, 1e-9, 1), wanted / np.clip(damaged, 1e-9, 1)], axis=1)
    moved = probabilities * np.repeat(factor, MAJOR, axis=1)
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))


def fill_between(inside: Mask) -> Mask:
    """Add to sets (N, 4) the grades between two of their grades."""
    from_left = np.logical_or.accumulate(inside, axis=1)
    from_right = np.logical_or.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(from_left & from_right)


def set_names(members: Mask) -> Texts:
    """Return (N,) names of the grades in sets (N, 4), with commas between, the mildest first."""
    codes = members @ (1 << np.arange(len(GRADES)))
    names = [",".join(g for k, g in enumerate(GRADES) if code >> k & 1) for code in range(1 << len(GRADES))]
    return np.array(names, dtype=object)[codes]


def expected_count(prob: Floats) -> dict[str, Any]:
    """Return the expected number of positives and its interval, from independent probabilities: a lower bound of the uncertainty."""
    total, sd = float(prob.sum()), float(np.sqrt((prob * (1 - prob)).sum()))
    return {"expected": total, "interval_95": [max(total - Z95 * sd, 0.0), min(total + Z95 * sd, float(len(prob)))]}
