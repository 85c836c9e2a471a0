"""Logistic regression with an offset, ridge by cross-validation, and whether it gained on answers that were left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from deepnets4eo.arrays import Floats, Mask

RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # against the sum of log losses: every answer weighs one
FOLDS = 5
MIN_GAIN = 1.0  # standard errors; of none, 0.5, 1 and 2 at made-up sites: with less chance moves maps more often, 2 halve what is learnt


@dataclass(frozen=True)
class Side:
    """Answers to one question: evidence (n, K), whether each answer is beyond (n,), and the map's log-odds (n,)."""

    evidence: Floats
    beyond: Mask
    start: Floats

    def rows(self, keep: Mask) -> Side:
        return Side(self.evidence[keep], self.beyond[keep], self.start[keep])

    def fit(self, ridge: float) -> Floats:
        """Return the weights (K,) of minimum log loss and penalty."""

        def loss(weights: Floats) -> tuple[float, Floats]:
            margin = self.start + self.evidence @ weights
            value = np.sum(np.logaddexp(0, margin) - self.beyond * margin) + ridge / 2 * weights @ weights
            return float(value), self.evidence.T @ (expit(margin) - self.beyond) + ridge * weights

        return np.asarray(minimize(loss, np.zeros(self.evidence.shape[1]), jac=True, method="L-BFGS-B").x)

    def folds(self, seed: int) -> NDArray[np.intp]:
        """Return (n,) the fold of each answer; both sides are divided equally."""
        order = np.random.default_rng(seed).permutation(len(self.beyond))
        fold = np.zeros(len(order), np.intp)
        fold[order[np.argsort(self.beyond[order], kind="stable")]] = np.arange(len(order)) % FOLDS
        return fold

    def with_ridge(self, ridge: float, seed: int) -> Floats:
        """Return (n,) log-odds of each answer by weights fitted without its fold."""
        fold, out = self.folds(seed), self.start.copy()
        for number in range(FOLDS):
            out[fold == number] += self.evidence[fold == number] @ self.rows(fold != number).fit(ridge)
        return out

    def best_ridge(self, seed: int) -> float:
        return min(RIDGES, key=lambda ridge: self.losses(self.with_ridge(ridge, seed)).mean())

    def left_out(self, seed: int) -> Floats:
        """Return (n,) log-odds of each answer by weights and a penalty fitted without its fold."""
        fold, out = self.folds(seed), self.start.copy()
        for number in range(FOLDS):
            others = self.rows(fold != number)
            out[fold == number] += self.evidence[fold == number] @ others.fit(others.best_ridge(seed + 1))
        return out

    def losses(self, log_odds: Floats) -> Floats:
        """Return (n,) log loss of each answer."""
        return np.asarray(np.logaddexp(0, log_odds) - self.beyond * log_odds)

    def gains(self, left_out: Floats) -> bool:
        """Return whether left-out log-odds have a clearly lower loss than the map's, and neither rank worse nor err more."""
        errors, own = (int(((odds > 0) != self.beyond).sum()) for odds in (left_out, self.start))
        ranks, own_ranks = (auc_of(self.beyond, odds) for odds in (left_out, self.start))
        gain = self.losses(self.start) - self.losses(left_out)
        return bool(gain.mean() > MIN_GAIN * gain.std() / np.sqrt(len(gain)) and errors <= own and ranks >= own_ranks)


def auc_of(beyond: Mask, log_odds: Floats) -> float:
    """Return the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(beyond, log_odds))
