"""Corrections that teach: the grades of one map moved by what people answered there, and which buildings to look at next.

A weighted sum of the map's evidence is added to each of three log-odds (logistic regression with an offset, ridge by
cross-validation), where that gained on answers that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import entr, expit, logit

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.damage.calibration.pool import NETWORK
from deepnets4eo.damage.calibration.probabilities import LEAST_PROBABILITY, grades_of_sides, side_log_odds
from deepnets4eo.damage.vocabulary import ASSESSED, GRADES, MAJOR, PRIOR_COLUMNS
from deepnets4eo.errors import InputError

RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # against the sum of log losses: every answer weighs one
FOLDS = 5
LEAST_ANSWERS = 20  # fewer cannot be left out in turn
LEAST_EACH = 4  # answers on either side of what divides them
LEAST_GAIN = 2.0  # standard errors of the gain, so that chance seldom moves a map
MOST = 3.0  # standard deviations that a column counts at most
NUMBER = dict(zip(GRADES, range(len(GRADES)), strict=True))
SIDES = {
    "damaged": (range(4), MAJOR),
    "minor-damage": (range(2), 1),
    "destroyed": (range(2, 4), 3),
}  # among, worse from


@dataclass(frozen=True)
class Scores:
    """How good the grades of answered buildings are: log loss, AUC of major damage or worse or None, mean F1."""

    log_loss: float
    auc: float | None
    f1: float


@dataclass(frozen=True)
class Taught:
    """A map's decision after a step, its scores before and after, and which of `SIDES` moved."""

    buildings: pd.DataFrame
    before: Scores
    after: Scores
    moved: tuple[str, ...]
    answers: int

    def gain(self) -> str:
        """What the step gained on unseen answers, in one line."""
        if not self.moved:
            return "nothing was gained on answers that were left out, so that all others keep the grades of the map"
        scores = ", ".join(
            f"{name} {old:.3f} → {new:.3f}"
            for name, old, new in (
                ("F1", self.before.f1, self.after.f1),
                ("log loss", self.before.log_loss, self.after.log_loss),
                ("AUC", self.before.auc, self.after.auc),
            )
            if old is not None and new is not None
        )
        return f"the others are graded again ({', '.join(self.moved)}; on answers that were left out {scores})"


def teach(buildings: pd.DataFrame, answers: Mapping[int, str], seed: int = 0) -> Taught:
    """Refit the decision of a map to what people answered at its site.

    Parameters
    ----------
    buildings : the map's table of N buildings, with its evidence
    answers : row of the table → one of `ANSWERS`, drawn or chosen
    seed : how the answers are divided to measure the step

    Returns
    -------
    Taught

    Raises
    ------
    InputError
        Fewer than 20 answers name the grade of an assessed building.
    """
    assessed, graded = (buildings["status"] == ASSESSED).to_numpy(), _graded(buildings, answers)
    if len(graded) < LEAST_ANSWERS:
        raise InputError(
            f"{len(graded)} assessed buildings have an answer that names a grade, at least {LEAST_ANSWERS} are needed. Look at more."
        )
    rows = (np.cumsum(assessed) - 1)[list(graded)]  # of the assessed buildings
    grade = np.array([NUMBER[answer] for answer in graded.values()])
    part = buildings[assessed]
    log_odds, cuts = _log_odds(part), _cuts(part)
    evidence = _evidence(part, log_odds)
    new, held_out, moved = log_odds - cuts, (log_odds - cuts)[rows], []
    before = _scores(held_out, grade)
    for number, (name, (among, worse_from)) in enumerate(SIDES.items()):
        used = np.isin(grade, among)
        side = _Side(evidence[rows[used]], grade[used] >= worse_from, held_out[used, number])
        if min(side.beyond.sum(), (~side.beyond).sum()) < LEAST_EACH:
            continue
        left_out = side.left_out(seed)
        if side.gains(left_out):
            held_out[used, number] = left_out
            new[:, number] += evidence @ side.fit(side.best_ridge(seed))
            moved.append(name)
    table = _with_grades(buildings, assessed, new) if moved else buildings
    return Taught(table, before, _scores(held_out, grade), tuple(moved), len(rows))


def choose_next(
    buildings: pd.DataFrame, answers: Mapping[int, str], listed: Indices, count: int, seed: int = 0
) -> Indices:
    """The buildings whose answers help most, first those that help more.

    Parameters
    ----------
    buildings, answers, seed : the same as in `teach`; fewer than 20 answers do not move the map yet
    listed : (n,) rows that people have seen or will see
    count : how many are chosen, at most all others that are assessed

    Returns
    -------
    (count,) int
        Rows of the table.
    """
    assessed = np.flatnonzero(buildings["status"] == ASSESSED)
    if len(_graded(buildings, answers)) >= LEAST_ANSWERS:
        buildings = teach(buildings, answers, seed).buildings
    part = buildings.iloc[assessed]
    log_odds = _log_odds(part)
    evidence, probabilities = _evidence(part, log_odds), grades_of_sides(log_odds - _cuts(part))
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    worth = entr(shares).sum(axis=1) / np.log(len(GRADES))
    if set(NETWORK) <= set(part.columns):
        apart = np.abs(part[NETWORK].to_numpy(float) - probabilities).sum(axis=1) / 2
        worth = worth + np.nan_to_num(apart)
    left = ~np.isin(assessed, listed)
    far = np.ones(len(assessed))
    if not left.all():
        from sklearn.metrics import pairwise_distances_argmin_min

        far = pairwise_distances_argmin_min(evidence, evidence[~left])[1]  # piece by piece: no matrix of all pairs
    chosen: list[int] = []
    for _ in range(min(count, int(left.sum()))):
        chosen.append(int(np.argmax(np.where(left, worth * far, -1.0))))
        left[chosen[-1]] = False
        to_it = np.linalg.norm(evidence - evidence[chosen[-1]], axis=1)
        far = np.minimum(far, to_it) if len(chosen) > 1 or len(listed) else to_it
    return assessed[chosen]


def _graded(buildings: pd.DataFrame, answers: Mapping[int, str]) -> dict[int, str]:
    """The answers that name the grade of an assessed building."""
    assessed = (buildings["status"] == ASSESSED).to_numpy()
    return {row: answer for row, answer in answers.items() if answer in GRADES and assessed[row]}


@dataclass(frozen=True)
class _Side:
    """Answers on one question: evidence (n, K), which lie beyond (n,), and the map's log-odds (n,)."""

    evidence: Floats
    beyond: Mask
    start: Floats

    def rows(self, keep: Mask) -> _Side:
        return _Side(self.evidence[keep], self.beyond[keep], self.start[keep])

    def fit(self, ridge: float) -> Floats:
        """The weights (K,) of least log loss and penalty."""

        def loss(weights: Floats) -> tuple[float, Floats]:
            margin = self.start + self.evidence @ weights
            value = np.sum(np.logaddexp(0, margin) - self.beyond * margin) + ridge / 2 * weights @ weights
            return float(value), self.evidence.T @ (expit(margin) - self.beyond) + ridge * weights

        return np.asarray(minimize(loss, np.zeros(self.evidence.shape[1]), jac=True, method="L-BFGS-B").x)

    def folds(self, seed: int) -> NDArray[np.intp]:
        """(n,) fold of each; both sides are divided alike."""
        order = np.random.default_rng(seed).permutation(len(self.beyond))
        fold = np.zeros(len(order), np.intp)
        fold[order[np.argsort(self.beyond[order], kind="stable")]] = np.arange(len(order)) % FOLDS
        return fold

    def with_ridge(self, ridge: float, seed: int) -> Floats:
        """(n,) log-odds of each by weights that did not see its fold."""
        fold, out = self.folds(seed), self.start.copy()
        for number in range(FOLDS):
            out[fold == number] += self.evidence[fold == number] @ self.rows(fold != number).fit(ridge)
        return out

    def best_ridge(self, seed: int) -> float:
        return min(RIDGES, key=lambda ridge: self.losses(self.with_ridge(ridge, seed)).mean())

    def left_out(self, seed: int) -> Floats:
        """(n,) log-odds of each by weights and a penalty that did not see its fold."""
        fold, out = self.folds(seed), self.start.copy()
        for number in range(FOLDS):
            others = self.rows(fold != number)
            out[fold == number] += self.evidence[fold == number] @ others.fit(others.best_ridge(seed + 1))
        return out

    def losses(self, log_odds: Floats) -> Floats:
        """(n,) log loss of each answer."""
        return np.asarray(np.logaddexp(0, log_odds) - self.beyond * log_odds)

    def gains(self, left_out: Floats) -> bool:
        """Whether left-out log-odds lose clearly less than the map's, and neither rank worse nor err more."""
        errors, own = (int(((odds > 0) != self.beyond).sum()) for odds in (left_out, self.start))
        ranks, own_ranks = (_auc(self.beyond, odds) for odds in (left_out, self.start))
        gain = self.losses(self.start) - self.losses(left_out)
        return bool(gain.mean() > LEAST_GAIN * gain.std() / np.sqrt(len(gain)) and errors <= own and ranks >= own_ranks)


def _auc(beyond: Mask, log_odds: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(beyond, log_odds))


def _log_odds(buildings: pd.DataFrame) -> Floats:
    """(N, 3) log-odds of `side_log_odds`; of sides on which a building is not, the mean of those on it."""
    damaged, sure = (buildings[name].to_numpy(float) for name in ("damage_prob", "confidence"))
    grade, within = buildings["damage"].map(NUMBER).to_numpy(), (LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    out = [logit(np.clip(damaged, *within))]
    for worse, whole in ((1, 1 - damaged), (3, damaged)):
        share = logit(np.clip(sure / np.maximum(whole, LEAST_PROBABILITY), *within))
        odds = np.where(grade == worse, share, -share)
        here = (grade == worse) | (grade == worse - 1)
        out.append(np.where(here, odds, odds[here].mean() if here.any() else 0.0))
    return np.stack(out, axis=1)


def _cuts(buildings: pd.DataFrame) -> Floats:
    """(N, 3) log-odds at which the map divides grades, from the grades that it names, by method."""
    odds, grade = _log_odds(buildings), buildings["damage"].map(NUMBER).to_numpy()
    cuts = np.zeros_like(odds)
    for method in buildings["method"].unique():
        for number, (among, worse_from) in enumerate(SIDES.values()):
            rows = (buildings["method"] == method).to_numpy()
            named = rows & np.isin(grade, among)
            below, above = (odds[named & part, number] for part in (grade < worse_from, grade >= worse_from))
            if len(below) and len(above):
                cuts[rows, number] = (below.max() + above.min()) / 2
    return cuts


def _evidence(buildings: pd.DataFrame, log_odds: Floats) -> Floats:
    """(N, K) evidence and log-odds in standard deviations of this site, 0 where not known, and a column of ones."""
    names = [name for name in buildings.columns if name.startswith("ev_") and name not in NETWORK]
    parts = [buildings[names].to_numpy(float), log_odds]
    if PRIOR_COLUMNS[0] in buildings:  # answers say what weight a prior deserves
        parts.append(logit(buildings[[PRIOR_COLUMNS[0]]].to_numpy(float)))
    if set(NETWORK) <= set(buildings.columns):
        parts.append(side_log_odds(buildings[NETWORK].to_numpy(float)))
    values = np.column_stack(parts)
    values = values[:, np.isfinite(values).any(axis=0)]
    spread = np.nanstd(values, axis=0)
    standard = np.nan_to_num((values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0))
    return np.column_stack([np.clip(standard, -MOST, MOST), np.ones(len(buildings))])


def _with_grades(buildings: pd.DataFrame, assessed: Mask, log_odds: Floats) -> pd.DataFrame:
    """The table with the grades of (n, 3) log-odds."""
    probabilities, named = grades_of_sides(log_odds), _grades(log_odds)
    values = {
        "damage": np.array(GRADES, object)[named],
        "damage_prob": probabilities[:, MAJOR:].sum(axis=1),
        "confidence": probabilities[np.arange(len(named)), named],
    }
    new = buildings.copy()
    for name, column in values.items():
        new.loc[assessed, name] = column
    return new


def _grades(log_odds: Floats) -> NDArray[np.intp]:
    """(N,) the grade that (N, 3) log-odds name."""
    damaged, minor, destroyed = (log_odds > 0).T
    return np.where(damaged, MAJOR + destroyed, minor).astype(np.intp)


def _scores(log_odds: Floats, grade: NDArray[np.integer]) -> Scores:
    from sklearn.metrics import f1_score

    damaged = grade >= MAJOR
    of_truth = grades_of_sides(log_odds)[np.arange(len(grade)), grade]
    auc = _auc(damaged, log_odds[:, 0]) if damaged.any() and not damaged.all() else None
    f1 = f1_score(grade, _grades(log_odds), average="macro", labels=np.unique(grade), zero_division=0)
    return Scores(float(-np.log(np.clip(of_truth, 1e-9, 1)).mean()), auc, float(f1))
