"""Reliability of probabilities at a new site where half of the buildings are damaged, measured on sites left out of the fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask, Texts
from deepnets4eo.damage.decision.site_fit import (
    HALVINGS,
    UNKNOWN_SITE,
    SiteFit,
    SiteShift,
    fit_site_shift,
    fit_to_site,
    kept_doubt,
)
from deepnets4eo.damage.table.probabilities import (
    MIN_PROBABILITY,
    border_log_odds,
    border_probabilities,
    fill_between,
    grade_probabilities,
    side_log_odds,
)
from deepnets4eo.damage.table.vocabulary import BORDERS, GRADES, MAJOR, is_damaged
from deepnets4eo.metrics import check_same_number, fit_sigmoid

MIN_AT_SITE = 5  # buildings of either kind for a site to say how far its evidence is shifted
MIN_SPREAD_LOG_ODDS = 0.3  # log-odds; few sites show less by chance
MAX_VARIANCE = 1.0  # of one site's shift
SPREADS = ("damaged", "minor-damage", "destroyed")  # of `side_log_odds`, in the model file
WITHIN_SIDES = (GRADES[1], GRADES[3])  # the worse grade of the intact and of the damaged ones
HALF = 0.5  # the threshold where none was measured
GRID = np.round(np.arange(0.1, 0.901, 0.02), 2)
COVERAGE = 0.9


@dataclass(frozen=True)
class BetaCalibration:
    """Log-odds a · ln p − b · ln(1 − p) + c with p = expit(score) and a, b ≥ 0 (Kull, Silva Filho & Flach 2017)."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, score: Floats) -> Floats:
        """Calibrated log-odds of scores of any shape."""
        return np.asarray(self.b * np.logaddexp(0, score) - self.a * np.logaddexp(0, -score) + self.c)

    def to_dict(self) -> dict[str, float]:
        """Return plain values for the model file."""
        return {"a": round(self.a, 4), "b": round(self.b, 4), "c": round(self.c, 4)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> BetaCalibration:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError, ValueError."""
        return cls(float(content["a"]), float(content["b"]), float(content["c"]))


@dataclass(frozen=True)
class GradeSets:
    """Limits (4,) of `exclusion_scores` of grades in a set, so that nine of ten buildings of a new site are held.

    Sources: Vovk et al. 2005 (class-conditional conformal prediction); Lee, Barber & Willett 2023 (a site is one draw)."""

    limits: Floats

    def members(self, probabilities: Floats) -> Mask:
        """Return (N, 4) grades that cannot be excluded: contiguous, with the median grade. probabilities : (N, 4)."""
        scores = exclusion_scores(probabilities)
        inside = (scores <= self.limits) | (scores == scores.min(axis=1, keepdims=True))
        return fill_between(inside)

    def widen(self, weight: float) -> GradeSets:
        """Return sets in which a share `weight` excludes no grade."""
        return GradeSets(self.limits + weight * (1 - self.limits))

    def to_dict(self) -> dict[str, float]:
        """Return plain values for the model file, rounded up."""
        return {grade: float(np.ceil(limit * 1e4) / 1e4) for grade, limit in zip(GRADES, self.limits, strict=True)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GradeSets:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError, ValueError."""
        return cls(np.array([float(content[grade]) for grade in GRADES]))


@dataclass(frozen=True)
class Reliability:
    """Measured reliability of a variant of a model, or of a model with a network, for probabilities of `fit_to_site`.

    calibration : of the log-odds of each of `BORDERS`
    thresholds : (2,) minimum share of minor damage among intact grades and of destroyed among damaged ones
    spread : (3,) standard deviations between sites of `side_log_odds`
    sets : None if they were not measured
    site : shift of the sites
    """

    unknown_spread: ClassVar[tuple[float, ...]] = (2.0, 2.0, 2.0)  # of a site unlike those of the fit

    calibration: tuple[BetaCalibration, ...] = (BetaCalibration(),) * len(BORDERS)
    thresholds: tuple[float, ...] = (HALF,) * len(WITHIN_SIDES)
    spread: tuple[float, ...] = unknown_spread
    sets: GradeSets | None = None
    site: SiteShift = UNKNOWN_SITE

    def probabilities(self, log_odds: Floats) -> Floats:
        """Return (N, 4) probabilities of the grades from (N, 3) log-odds of being beyond each border."""
        calibrated = [scale(log_odds[:, k]) for k, scale in enumerate(self.calibration)]
        return grade_probabilities(scipy.special.expit(np.stack(calibrated, axis=1)))

    def widen(self, weight: float, by: Reliability | None = None) -> Reliability:
        """Return the reliability of log-odds if a share `weight` of them comes from a score. by : of the score; None if it was not measured."""
        other, kept = Reliability() if by is None else by, kept_doubt(weight, measured=by is not None)
        thresholds = tuple(limit + weight * (HALF - limit) for limit in self.thresholds)
        spread = tuple(float(sd) for sd in np.hypot(kept * np.array(self.spread), weight * np.array(other.spread)))
        sets = None if self.sets is None else self.sets.widen(weight)
        return Reliability(
            self.calibration, thresholds, spread, sets, self.site.widen(weight, None if by is None else by.site)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {
            "calibration": {border: scale.to_dict() for border, scale in zip(BORDERS, self.calibration, strict=True)},
            "thresholds": dict(zip(WITHIN_SIDES, self.thresholds, strict=True)),
            "spread": dict(zip(SPREADS, (round(sd, 3) for sd in self.spread), strict=True)),
            "sets": None if self.sets is None else self.sets.to_dict(),
            "site": self.site.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Reliability:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError, ValueError."""
        thresholds = tuple(float(content["thresholds"][grade]) for grade in WITHIN_SIDES)
        spread = tuple(float(content["spread"][name]) for name in SPREADS)
        if not all(0 < value < 1 for value in thresholds) or not all(0 <= sd < 100 for sd in spread):
            raise ValueError(f"thresholds {thresholds} or spread {spread}")
        return cls(
            tuple(BetaCalibration.from_dict(content["calibration"][border]) for border in BORDERS),
            thresholds,
            spread,
            None if content["sets"] is None else GradeSets.from_dict(content["sets"]),
            SiteShift.from_dict(content["site"]) if "site" in content else UNKNOWN_SITE,
        )


@dataclass(frozen=True)
class Opinion:
    """The opinion of a further score on N buildings. log_odds : (N,) of major damage or worse, NaN if unknown; weight : its share, 0–1."""

    weight: float
    log_odds: Floats


@dataclass(frozen=True)
class Judgement:
    """The assessment of N buildings: (N, 4) probabilities or NaN, and the name of the reliability that applies to each."""

    probabilities: Floats
    whose: Texts
    reliabilities: Mapping[str, Reliability]

    def with_rows(self, rows: Mask, name: str, reliability: Reliability, probabilities: Floats) -> Judgement:
        """Return the judgement with other probabilities for some rows (N,)."""
        changed = self.probabilities.copy()
        changed[rows] = probabilities
        table = {**self.reliabilities, name: reliability}
        return Judgement(changed, np.where(rows, name, self.whose).astype(object), table)

    def widen_rows(self, weights: Floats, probabilities: Floats, by: Reliability | None = None) -> Judgement:
        """Replace the probabilities of buildings that have a share of other scores, and widen their reliability by that share.

        weights : (N,) the share, 0–1; 0 leaves a building unchanged
        probabilities : (N, 4)
        by : reliability of the scores; None if it was not measured
        """
        judgement = self
        changed = (weights > 0) & np.isfinite(self.probabilities[:, 0])
        for name, fitted in self.reliabilities.items():
            for weight in np.unique(weights[changed & (self.whose == name)]):
                rows = changed & (self.whose == name) & (weights == weight)
                wider = fitted.widen(float(weight), by)
                kind = "unmeasured" if by is None else "measured"
                judgement = judgement.with_rows(rows, f"{name}, {weight:g} {kind}", wider, probabilities[rows])
        return judgement

    def pooled_with(self, opinions: Sequence[Opinion], by: Reliability | None = None) -> Judgement:
        """Average the log-odds of major damage or worse with the log-odds of scores, by weight; the other borders move as far.

        The measured reliability of each building stays, widened by the weight of the scores that assess it. by : reliability of the
        scores; None if it was not measured
        """
        odds = border_log_odds(self.probabilities)
        shift, weights = np.zeros((2, len(odds)))
        for opinion in opinions:
            known = np.isfinite(opinion.log_odds)
            log_odds = np.clip(opinion.log_odds, *scipy.special.logit([MIN_PROBABILITY, 1 - MIN_PROBABILITY]))
            shift += opinion.weight * np.where(known, log_odds - odds[:, 1], 0.0)
            weights += opinion.weight * known
        return self.widen_rows(weights, grade_probabilities(scipy.special.expit(odds + shift[:, None])), by)

    def at_site(
        self, damaged_share: float | None = None, apart: Mask | None = None, anchors: Mask | None = None
    ) -> SiteFit:
        """Return the fit to the site that the buildings make up: see `fit_to_site`."""
        shifts = {name: fitted.site for name, fitted in self.reliabilities.items()}
        return fit_to_site(self.probabilities, self.whose, shifts, damaged_share, apart, anchors)

    def values(self, of: Callable[[Reliability], tuple[float, ...]]) -> Floats:
        """Return (N, K) values of the reliability of each building, or of unknown reliability."""
        out = np.tile(np.array(of(Reliability())), (len(self.whose), 1))
        for name, fitted in self.reliabilities.items():
            out[self.whose == name] = of(fitted)
        return out

    def members(self, even: Floats) -> Mask:
        """Return (N, 4) grades that cannot be excluded by probabilities (N, 4) fitted to the site."""
        members = np.ones(even.shape, bool)
        for name, fitted in self.reliabilities.items():
            rows = self.whose == name
            if fitted.sets is not None and rows.any():
                members[rows] = fitted.sets.members(even[rows])
        return members


def fit_reliability(
    log_odds: Floats,
    grade: NDArray[np.integer],
    site: NDArray[np.generic],
    most_information: float = SiteShift.most_information,
) -> Reliability:
    """Fit the reliability to left-out log-odds (N, 3) beyond each border, true grades (N,) and sites (N,); a whole site is one draw."""
    damaged = is_damaged(grade)
    weight = side_weights(damaged, site)
    minor = fit_beta(log_odds[:, 0], grade > 0, weight)
    calibration = (minor, *(_straight(log_odds[:, k], grade > k, weight) for k in range(1, len(BORDERS))))
    probabilities = Reliability(calibration).probabilities(log_odds)
    shift = fit_site_shift(side_log_odds(probabilities)[:, 0], damaged, site, most_information)
    even, final = np.empty_like(probabilities), np.empty_like(probabilities)
    for name in np.unique(site):
        here = site == name
        fitted = fit_to_site(probabilities[here], np.full(here.sum(), ""), {"": shift})
        even[here], final[here] = fitted.even, fitted.probabilities
    return Reliability(
        calibration, _thresholds(final, grade, site), _spread(even, grade, site), fit_sets(even, grade, site), shift
    )


def _straight(log_odds: Floats, beyond: Mask, weight: Floats) -> BetaCalibration:
    """Platt scaling. A bend would hide how far the evidence of a whole site is shifted."""
    slope, shift = platt(log_odds, beyond, weight)
    return BetaCalibration(max(slope, 0.0), max(slope, 0.0), shift)


def platt(score: Floats, truth: Mask, weight: Floats | None = None) -> tuple[float, float]:
    """Fit slope and intercept that calibrate a score (N,), with one pseudo-count per class (Platt 1999)."""
    check_same_number(score, truth)
    weight = np.ones(len(score)) if weight is None else weight
    positive, negative = float(weight[truth].sum()), float(weight[~truth].sum())
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    return fit_sigmoid(score, target, weight)


def fit_beta(score: Floats, truth: Mask, weight: Floats | None = None) -> BetaCalibration:
    """Return the beta calibration of minimum log loss; one building of either kind at a score of 0 keeps it finite."""
    from scipy.optimize import minimize  # takes a third of a second

    check_same_number(score, truth)
    weight = np.ones(len(score)) if weight is None else weight * len(weight) / weight.sum()
    score, target = np.append(score, [0.0, 0.0]), np.append(truth, [True, False])
    weight = np.append(weight, [1.0, 1.0])
    below, above = -np.logaddexp(0, -score), np.logaddexp(0, score)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margin = parameters[0] * below + parameters[1] * above + parameters[2]
        residual = weight * (scipy.special.expit(margin) - target)
        value = float(np.sum(weight * (np.logaddexp(0, margin) - target * margin)))
        return value, np.array([residual @ below, residual @ above, residual.sum()])

    limits = [(0.0, None), (0.0, None), (None, None)]
    best = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=limits, method="L-BFGS-B").x
    return BetaCalibration(*map(float, best))


def side_weights(damaged: Mask, site: NDArray[np.generic]) -> Floats:
    """Return (N,) weights with mean 1: damaged and intact buildings count equally, and so do the sites on each side."""
    weight = np.zeros(len(damaged))
    for side in (True, False):
        rows = damaged == side
        names, index, number = np.unique(site[rows], return_inverse=True, return_counts=True)
        weight[rows] = 1.0 / (number[index] * max(len(names), 1))
    return weight * len(weight) / weight.sum()


def _thresholds(probabilities: Floats, grade: NDArray[np.integer], site: NDArray[np.generic]) -> tuple[float, float]:
    """One a side: a building of the other side is wrong anyway."""
    minor, beyond, destroyed = border_probabilities(probabilities).T
    damaged = beyond >= HALF
    return (
        _balanced_threshold(minor, grade == 0, grade == 1, ~damaged, site),
        _balanced_threshold(destroyed, grade == MAJOR, grade > MAJOR, damaged, site),
    )


def _balanced_threshold(
    probability: Floats, better: Mask, worse: Mask, reached: Mask, site: NDArray[np.generic]
) -> float:
    """Threshold within a side with the best mean accuracy of both grades over sites plus that over all buildings."""
    of_side, scores = better | worse, []
    for threshold in GRID:
        right = np.where(probability >= threshold, worse, better) & reached
        balanced = np.mean([_mean_over_sites(right[kind], site[kind]) for kind in (better, worse)])
        scores.append(balanced + right[of_side].mean() if of_side.any() else balanced)
    return float(GRID[int(np.argmax(scores))])


def _mean_over_sites(right: Mask, site: NDArray[np.generic]) -> float:
    names, index = np.unique(site, return_inverse=True)
    return float(np.mean(np.bincount(index, right, len(names)) / np.bincount(index))) if len(names) else 0.0


def _spread(probabilities: Floats, grade: NDArray[np.integer], site: NDArray[np.generic]) -> tuple[float, ...]:
    """Return the standard deviations between sites of the shifts that correct their log-odds, without the scatter of buildings."""
    log_odds = side_log_odds(probabilities)
    damaged = is_damaged(grade)
    everything = np.ones(len(grade), bool)
    spread = []
    for column, rows, beyond in ((0, everything, damaged), (1, ~damaged, grade == 1), (2, damaged, grade == 3)):
        shifts = []
        for name in np.unique(site):
            here = rows & (site == name)
            sides = beyond[here].sum(), (~beyond[here]).sum()
            if sum(sides) >= 2 * MIN_AT_SITE and (column > 0 or min(sides) >= MIN_AT_SITE):
                shifts.append(_site_shift(log_odds[here, column], beyond[here], even=column == 0))
        spread.append(_between(*np.transpose(shifts)) if len(shifts) >= 2 else Reliability.unknown_spread[column])
    return tuple(spread)


def _between(shift: Floats, variance: Floats) -> float:
    """Return the standard deviation between sites of shifts that are each known with a variance."""
    return float(np.sqrt(max(float(np.var(shift, ddof=1) - np.mean(variance)), MIN_SPREAD_LOG_ODDS**2)))


def _site_shift(log_odds: Floats, beyond: Mask, *, even: bool) -> tuple[float, float]:
    """Shift (at most 6 either way) that makes a site's log-odds right, and its variance. even : both sides count alike."""
    number = len(beyond)
    weight = np.full(number, 1 / number)
    target = float((beyond.sum() + 0.5) / (number + 1))
    if even:
        weight, target = np.where(beyond, 0.5 / beyond.sum(), 0.5 / (~beyond).sum()), 0.5
    low, high = -6.0, 6.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if weight @ scipy.special.expit(log_odds + middle) < target else (low, middle)
    p = scipy.special.expit(log_odds + middle)
    scatter, slope = np.sum((weight * (p - beyond)) ** 2), weight @ (p * (1 - p))
    return middle, float(min(scatter / slope**2, MAX_VARIANCE))


def fit_sets(
    probabilities: Floats, grade: NDArray[np.integer], site: NDArray[np.generic], coverage: float = COVERAGE
) -> GradeSets:
    """Fit the limits of sets of grades to left-out probabilities (N, 4), true grades (N,) and sites (N,)."""
    own = exclusion_scores(probabilities)[np.arange(len(grade)), grade]
    limits = [site_quantile(own[grade == k], site[grade == k], coverage) for k in range(len(GRADES))]
    return GradeSets(np.array(limits))


def site_quantile(scores: Floats, site: NDArray[np.generic], coverage: float = COVERAGE) -> float:
    """Return the limit that the score of a building of a new site keeps with a probability of `coverage`.

    It comes from scores (N,) of true grades and their sites (N,), which weigh the same. One more site counts, whose
    scores could be anything.
    """
    _, index, number = np.unique(site, return_inverse=True, return_counts=True)
    weight = 1.0 / (number[index] * (len(number) + 1))
    order = np.argsort(scores, kind="stable")
    reached = np.flatnonzero(np.cumsum(weight[order]) >= coverage - 1e-9)
    return float(scores[order][reached[0]]) if len(reached) else 1.0


def exclusion_scores(probabilities: Floats) -> Floats:
    """Return (N, 4) the larger of two probabilities, 0–1: that the true grade is better, and that the true grade is worse."""
    up_to = np.cumsum(probabilities, axis=1)
    return np.asarray(np.clip(np.maximum(up_to - probabilities, 1 - up_to), 0, 1))
