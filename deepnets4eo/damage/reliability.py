"""How far a model's probabilities hold at a new site, measured on sites that its fit left out.

Takes left-out log-odds of graded buildings; returns their calibration, the thresholds of the grades, how far evidence
shifts from site to site, and the limits of the sets of grades. The probabilities are those of a site where half of the buildings
are damaged, with minor among intact and destroyed among damaged ones as common as at the sites of the fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.calibration import BetaCalibration, fit_beta, platt
from deepnets4eo.damage.conformal import GradeSets, fit_sets
from deepnets4eo.damage.ordinal import grade_probabilities
from deepnets4eo.damage.site_estimates import UNKNOWN_SPREAD, side_log_odds
from deepnets4eo.damage.site_shift import MOST_INFORMATION, SHARES, SiteShift, fit_site_shift, site_posterior
from deepnets4eo.damage.vocabulary import BORDERS

MAJOR = 2  # grades from here on count as damaged
LEAST_AT_SITE = 5  # buildings of either kind for a site to say how far its evidence is shifted
LEAST_SPREAD = 0.3  # log-odds; few sites show less by chance
MOST_VARIANCE = 1.0  # of one site's shift
HALVINGS = 40
SPREADS = ("damaged", "minor-damage", "destroyed")  # of `side_log_odds`, in the model file
HALF = 0.5  # the threshold where none was measured
GRID = np.round(np.arange(0.1, 0.901, 0.02), 2)
RESAMPLED = 200  # draws of the sites for the threshold of damage


@dataclass(frozen=True)
class Reliability:
    """Measured reliability of one variant of a model, or of a model together with a network.

    Parameters
    ----------
    calibration
        One per border of `BORDERS`, of its log-odds.
    thresholds
        (3,) one per border, least values of `border_probabilities` for a building to be classified beyond it: the best F1 of the
        damaged buildings, and within each side balanced over the grades, not over the buildings.
    spread
        (3,) standard deviations between sites of the log-odds of `side_log_odds`.
    sets
        Limits of the sets of grades; like the spread, of probabilities that `fit_to_site` has fitted to their site.
    site
        How far whole sites are shifted; None where it was not measured.

    Examples
    --------
    >>> Reliability().thresholds
    (0.5, 0.5, 0.5)
    """

    calibration: tuple[BetaCalibration, ...] = (BetaCalibration(),) * len(BORDERS)
    thresholds: tuple[float, ...] = (HALF,) * len(BORDERS)
    spread: tuple[float, ...] = UNKNOWN_SPREAD
    sets: GradeSets | None = None
    site: SiteShift | None = None

    def probabilities(self, log_odds: Floats) -> Floats:
        """(N, 4) probabilities of the grades from (N, 3) log-odds of lying beyond each border, before calibration."""
        calibrated = [scale(log_odds[:, k]) for k, scale in enumerate(self.calibration)]
        return grade_probabilities(expit(np.stack(calibrated, axis=1)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model file."""
        return {
            "calibration": {border: scale.to_dict() for border, scale in zip(BORDERS, self.calibration, strict=True)},
            "thresholds": dict(zip(BORDERS, self.thresholds, strict=True)),
            "spread": dict(zip(SPREADS, (round(sd, 3) for sd in self.spread), strict=True)),
            "sets": None if self.sets is None else self.sets.to_dict(),
            **({} if self.site is None else {"site": self.site.to_dict()}),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Reliability:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError or ValueError for anything else."""
        thresholds = tuple(float(content["thresholds"][grade]) for grade in BORDERS)
        spread = tuple(float(content["spread"][name]) for name in SPREADS)
        if not all(0 < value < 1 for value in thresholds) or not all(0 <= sd < 100 for sd in spread):
            raise ValueError(f"thresholds {thresholds} or spread {spread}")
        return cls(
            tuple(BetaCalibration.from_dict(content["calibration"][border]) for border in BORDERS),
            thresholds,
            spread,
            None if content["sets"] is None else GradeSets.from_dict(content["sets"]),
            SiteShift.from_dict(content["site"]) if "site" in content else None,
        )


def fit_reliability(
    log_odds: Floats,
    grade: NDArray[np.integer],
    site: NDArray[np.generic],
    most_information: float = MOST_INFORMATION,
    *,
    shifted: bool = True,
) -> Reliability:
    """Reliability from buildings of sites that were left out of the fit.

    Parameters
    ----------
    log_odds
        (N, 3) left-out log-odds of lying beyond each border.
    grade
        (N,) true grades 0–3.
    site
        (N,) a whole site is one draw.
    most_information
        Buildings of a site that say something of how far its evidence is shifted.
    shifted
        Whether jobs fit the probabilities to their site. Not where the log-odds of either kind are no normal distribution.

    Returns
    -------
    Reliability

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> grade = rng.integers(0, 4, 2000)
    >>> log_odds = 2 * (grade[:, None] + rng.normal(size=(2000, 1)) - [0.5, 1.5, 2.5])
    >>> fit_reliability(log_odds, grade, np.arange(2000) % 20).thresholds[2] < 0.7
    True
    """
    damaged = grade >= MAJOR
    weight = side_weights(damaged, site)
    minor = fit_beta(log_odds[:, 0], grade > 0, weight)
    calibration = (minor, *(_straight(log_odds[:, k], grade > k, weight) for k in range(1, len(BORDERS))))
    probabilities = Reliability(calibration).probabilities(log_odds)
    log_odds_damaged = side_log_odds(probabilities)[:, 0]
    shift = fit_site_shift(log_odds_damaged, damaged, site, most_information) if shifted else None
    even, final = probabilities.copy(), probabilities.copy()
    for name in np.unique(site):
        here = site == name
        at_site = fit_to_site(probabilities[here], np.full(here.sum(), ""), {"": Reliability(site=shift)})
        if at_site is not None:  # with few sites nothing is known of their shifts
            even[here], final[here] = at_site.probabilities, adjust_to_share(at_site.probabilities, at_site.share)
    return Reliability(
        calibration,
        _thresholds(final, grade, site),
        _spread(even, grade, site),
        fit_sets(even, grade, site),
        shift,
    )


def _straight(log_odds: Floats, beyond: NDArray[np.bool_], weight: Floats) -> BetaCalibration:
    """Platt scaling. A bend would hide how far the evidence of a whole site is shifted."""
    slope, shift = platt(log_odds, beyond, weight)
    return BetaCalibration(max(slope, 0.0), max(slope, 0.0), shift)


@dataclass(frozen=True)
class SiteFit:
    """What the buildings of a site say together.

    weights : (P,) of the shares `site_shift.SHARES`; share : their mean, of damaged buildings, which stays cautious since few
    buildings count; expected : share of its buildings that are expected to be damaged; probabilities : (N, 4) of the grades as they
    would be where half were damaged, fitted to the site; `adjust_to_share` with the share makes them those of the site.
    """

    weights: Floats
    share: float
    expected: float
    probabilities: Floats


def fit_to_site(
    probabilities: Floats, kind: NDArray[np.generic], table: dict[str, Reliability], damaged_share: float | None = None
) -> SiteFit | None:
    """Fit the probabilities (N, 4), right on average where half are damaged, to the site that their buildings belong to.

    kind : (N,) keys of the table, others for rows that stay as they are; damaged_share : where it is known.
    returns : None where a kind has no measured shift, or no building has probabilities.
    """
    rows = [(name, np.flatnonzero((kind == name) & np.isfinite(probabilities[:, 0]))) for name in table]
    rows = [(name, index) for name, index in rows if len(index)]
    shifts = [table[name].site for name, _ in rows]
    if not rows or any(shift is None for shift in shifts):
        return None
    parts = [
        (shift, side_log_odds(probabilities[index])[:, 0])
        for shift, (_, index) in zip(shifts, rows, strict=True)
        if shift is not None
    ]
    weights, damaged = site_posterior(parts, damaged_share)
    share = float(weights @ SHARES)  # of a known one beyond those that are weighed, the nearest of them
    fitted = probabilities.copy()
    for (_, index), p in zip(rows, damaged, strict=True):
        even = expit(logit(np.clip(p, 1e-6, 1 - 1e-6)) - logit(share))
        fitted[index] = _with_damaged(probabilities[index], even)
    return SiteFit(weights, share, float(np.concatenate(damaged).mean()), fitted)


def values_of(
    kind: NDArray[np.object_], table: dict[str, Reliability], value: Callable[[Reliability], tuple[float, ...]]
) -> Floats:
    """(N, K) values of the reliability that holds for each building; those of an unknown one for other kinds.

    kind : (N,) keys of the table.
    """
    out = np.tile(np.array(value(Reliability())), (len(kind), 1))
    for name, fitted in table.items():
        out[kind == name] = value(fitted)
    return out


def members_of(kind: NDArray[np.object_], table: dict[str, Reliability], probabilities: Floats) -> NDArray[np.bool_]:
    """(N, 4) grades that cannot be excluded; all of them where no sets were measured. kind : (N,) keys of the table."""
    members = np.ones(probabilities.shape, bool)
    for name, fitted in table.items():
        rows = kind == name
        if fitted.sets is not None and rows.any():
            members[rows] = fitted.sets.members(probabilities[rows])
    return members


def side_weights(damaged: NDArray[np.bool_], site: NDArray[np.generic]) -> Floats:
    """(N,) weights, mean 1, by which damaged and intact buildings count the same, and so do the sites in each side."""
    weight = np.zeros(len(damaged))
    for side in (True, False):
        rows = damaged == side
        names, index, number = np.unique(site[rows], return_inverse=True, return_counts=True)
        weight[rows] = 1.0 / (number[index] * max(len(names), 1))
    return weight * len(weight) / weight.sum()


def border_probabilities(probabilities: Floats) -> Floats:
    """(N, 3) probability of minor damage among the intact grades, of major damage or worse, and of destroyed among the damaged
    grades, from those of the grades (N, 4)."""
    damaged, minor, destroyed = expit(side_log_odds(probabilities)).T
    return np.stack([minor, damaged, destroyed], axis=1)


def _thresholds(
    probabilities: Floats, grade: NDArray[np.integer], site: NDArray[np.generic]
) -> tuple[float, float, float]:
    """One a border: of the two sides first, then within each of them, where a building of the other side is wrong anyway."""
    minor, beyond, destroyed = border_probabilities(probabilities).T
    major = _damaged_threshold(beyond, grade >= MAJOR, site)
    damaged = beyond >= major
    return (
        _balanced_threshold(minor, grade == 0, grade == 1, ~damaged, site),
        major,
        _balanced_threshold(destroyed, grade == MAJOR, grade > MAJOR, damaged, site),
    )


def _damaged_threshold(probability: Floats, damaged: NDArray[np.bool_], site: NDArray[np.generic]) -> float:
    """Threshold with the best F1 of the damaged buildings, every site counting the same: its mean over resampled sites.

    Below one half even where probabilities are right (half of the best F1: Lipton, Elkan & Naryanaswamy 2014), and lower where
    unknown shares of sites keep them cautious: else nothing is named where few buildings are damaged. F1 hardly changes over
    wide ranges, so the best of one sample is mostly chance.
    """
    sites, index, number = np.unique(site, return_inverse=True, return_counts=True)
    of_site = (index[:, None] == np.arange(len(sites))) / number  # (N, S)
    named = probability >= GRID[:, None]
    right, called, there = (rows @ of_site for rows in (named & damaged, named, damaged))
    draws = np.random.default_rng(0).multinomial(len(sites), np.full(len(sites), 1 / len(sites)), RESAMPLED).T
    f1 = 2 * right @ draws / np.maximum((called + there) @ draws, 1e-12)
    return float(round(GRID[f1.argmax(axis=0)].mean(), 2))


def _balanced_threshold(
    probability: Floats,
    better: NDArray[np.bool_],
    worse: NDArray[np.bool_],
    reached: NDArray[np.bool_],
    site: NDArray[np.generic],
) -> float:
    """Threshold within a side with the best sum of two accuracies: the mean of both grades', over sites, and that of all buildings.

    The first alone would call most of what is destroyed major where that is rare, the second hardly anything major.
    better, worse : (N,) true grades; reached : (N,) buildings of that side as they are classified.
    """
    of_side, scores = better | worse, []
    for threshold in GRID:
        right = np.where(probability >= threshold, worse, better) & reached
        balanced = np.mean([_mean_over_sites(right[kind], site[kind]) for kind in (better, worse)])
        scores.append(balanced + right[of_side].mean() if of_side.any() else balanced)
    return float(GRID[int(np.argmax(scores))])


def _mean_over_sites(right: NDArray[np.bool_], site: NDArray[np.generic]) -> float:
    names, index = np.unique(site, return_inverse=True)
    return float(np.mean(np.bincount(index, right, len(names)) / np.bincount(index))) if len(names) else 0.0


def _spread(probabilities: Floats, grade: NDArray[np.integer], site: NDArray[np.generic]) -> tuple[float, ...]:
    """Standard deviations between sites of the shifts that would make each site's log-odds right.

    The first with both sides of a site counting the same; the others with the grades as common as they are, since how
    common they are differs from site to site too. What single buildings scatter is taken off.
    """
    log_odds = side_log_odds(probabilities)
    damaged = grade >= MAJOR
    everything = np.ones(len(grade), bool)
    spread = []
    for column, rows, beyond in ((0, everything, damaged), (1, ~damaged, grade == 1), (2, damaged, grade == 3)):
        shifts = []
        for name in np.unique(site):
            here = rows & (site == name)
            sides = beyond[here].sum(), (~beyond[here]).sum()
            if sum(sides) >= 2 * LEAST_AT_SITE and (column > 0 or min(sides) >= LEAST_AT_SITE):
                shifts.append(_site_shift(log_odds[here, column], beyond[here], even=column == 0))
        spread.append(_between(*np.transpose(shifts)) if len(shifts) >= 2 else UNKNOWN_SPREAD[column])
    return tuple(spread)


def _between(shift: Floats, variance: Floats) -> float:
    """Standard deviation between sites of shifts that are each known with a variance."""
    return float(np.sqrt(max(np.var(shift, ddof=1) - np.mean(variance), LEAST_SPREAD**2)))


def _site_shift(log_odds: Floats, beyond: NDArray[np.bool_], *, even: bool) -> tuple[float, float]:
    """Shift by which the log-odds of one site become right on average, found by halving, at most 6 either way; its variance.

    even : both sides count the same; else each building, and half a building of either kind is added.
    """
    number = len(beyond)
    weight = np.full(number, 1 / number)
    target = float((beyond.sum() + 0.5) / (number + 1))
    if even:
        weight, target = np.where(beyond, 0.5 / beyond.sum(), 0.5 / (~beyond).sum()), 0.5
    low, high = -6.0, 6.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if weight @ expit(log_odds + middle) < target else (low, middle)
    p = expit(log_odds + middle)
    scatter, slope = np.sum((weight * (p - beyond)) ** 2), weight @ (p * (1 - p))
    return middle, float(min(scatter / slope**2, MOST_VARIANCE))


def adjust_to_share(probabilities: Floats, damaged_share: float) -> Floats:
    """Probabilities (N, 4) for a site where `damaged_share` of the buildings have major damage or worse.

    Those passed hold where that is one half. By Bayes' rule the damaged grades gain and the intact ones lose together: how
    common minor damage is among intact buildings, and destruction among damaged ones, stays as it is. NaN rows stay.
    """
    if damaged_share == 0.5:
        return probabilities
    damaged = probabilities[:, MAJOR:].sum(axis=1)
    return _with_damaged(probabilities, expit(logit(np.clip(damaged, 1e-9, 1 - 1e-9)) + logit(damaged_share)))


def _with_damaged(probabilities: Floats, wanted: Floats) -> Floats:
    """Probabilities (N, 4) whose damaged grades together have the probability `wanted` (N,), with the same proportions in each side."""
    damaged = probabilities[:, MAJOR:].sum(axis=1)
    factor = np.stack([(1 - wanted) / np.clip(1 - damaged, 1e-9, 1), wanted / np.clip(damaged, 1e-9, 1)], axis=1)
    moved = probabilities * np.repeat(factor, MAJOR, axis=1)
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))
