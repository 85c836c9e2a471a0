"""A classifier whose settings are chosen, and whose probabilities are calibrated, on other blocks of ground than its
own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import ParameterGrid, StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.baselines.checked_samples import check_samples, check_vectors
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import fit_sigmoid

log = logging.getLogger(__name__)
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
MIN_SAMPLES = 3  # samples of a class, and of the others, needed for a curve of its own


class TunedClassifier(ClassifierMixin, BaseEstimator):
    """Grid search and calibration by spatially disjoint folds around a classifier.

    grid : parameter → values; the best macro F1 out of fold wins
    calibration : "sigmoid", "softmax" of decision values, or "none"
    balanced : classes weigh the same in it
    """

    def __init__(
        self,
        estimator: Any,
        *,
        grid: Mapping[str, Sequence[float]] | None = None,
        folds: int = 3,
        calibration: str = "none",
        balanced: bool = True,
        search_samples: int = 4000,
        seed: int = 0,
    ) -> None:
        self.estimator, self.grid, self.folds, self.calibration = estimator, grid, folds, calibration
        self.balanced, self.search_samples, self.seed = balanced, search_samples, seed

    def fit(self, X: ArrayLike, y: ArrayLike, blocks: ArrayLike | None = None) -> TunedClassifier:
        """Fit to vectors (n, F), classes (n,) and the block each sample comes from (n,), or None.

        Errors: InputError for samples of fewer than two classes, or with numbers that are not finite.
        """
        _check_finite(X)
        vectors, index = check_samples(self, X, y)
        vectors = np.ascontiguousarray(vectors)
        if len(self.classes_) < 2:
            raise InputError(f"the samples have {len(self.classes_)} classes; at least 2 are needed. Check the labels.")
        chosen = self._search(vectors, index, blocks)
        self.estimator_ = fit_single_threaded(clone(self.estimator).set_params(**chosen), vectors, index)
        self.calibrators_ = Calibrators("none")
        if self.calibration == "sigmoid":
            folds = block_folds(index, blocks, self.folds, self.seed)
            template = clone(self.estimator).set_params(**chosen)
            scores = out_of_fold_scores(template, vectors, index, folds)
            self.calibrators_ = Calibrators(self.calibration).fit(scores, index, balanced=self.balanced)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return probabilities (n, K) float32, in the order of `classes_`."""
        vectors = check_vectors(self, X)  # bands of a tile come turned; products do not need them copied
        if self.calibration == "none":
            return np.asarray(self.estimator_.predict_proba(vectors), np.float32)
        scores = class_scores(self.estimator_, vectors)
        return keep_labels(self.calibrators_(scores), scores.argmax(axis=1))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def _search(
        self, vectors: NDArray[np.float32], index: NDArray[np.intp], blocks: ArrayLike | None
    ) -> dict[str, float]:
        """Return the parameters of the grid with the best macro F1; the first of equals. Sets best_params_, best_score_."""
        self.best_params_: dict[str, float] = {}
        self.best_score_ = float("nan")
        if not self.grid:
            return {}
        part = _subsample(index, self.search_samples, self.seed)
        vectors, index = vectors[part], index[part]
        blocks = None if blocks is None else np.asarray(blocks)[part]
        folds = block_folds(index, blocks, self.folds, self.seed)
        if not folds:
            log.warning("no folds to search on: %s stay as they are.", ", ".join(self.grid))
            return {}
        best = -1.0
        for tried in ParameterGrid(dict(self.grid)):
            scores = out_of_fold_scores(clone(self.estimator).set_params(**tried), vectors, index, folds)
            known = np.isfinite(scores).any(axis=1)
            guess = np.nan_to_num(scores[known], nan=-np.inf).argmax(axis=1)
            score = float(f1_score(index[known], guess, average="macro"))
            log.info("%s: macro F1 %.3f in %d folds", tried, score, len(folds))
            if score > best:
                best, self.best_params_ = score, dict(tried)
        self.best_score_ = best
        return self.best_params_


def block_folds(index: NDArray[np.intp], blocks: ArrayLike | None, folds: int, seed: int) -> Folds:
    """Return (train, test) rows of at most `folds` folds without common blocks; each trains on at least two classes.

    Classes are spread as evenly as the blocks allow. With fewer than two blocks folds are random, and a warning is
    logged.
    """
    block_of = np.zeros(len(index), int) if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    count = int(block_of.max()) + 1 if len(block_of) else 0
    if count < 2:
        log.warning("all samples come from one block of ground: folds are random, and their scores too optimistic.")
        block_of = _random_folds(index, max(folds, 2), seed)
        parts = [(np.flatnonzero(block_of != fold), np.flatnonzero(block_of == fold)) for fold in range(max(folds, 2))]
    elif count <= folds:
        parts = [(np.flatnonzero(block_of != fold), np.flatnonzero(block_of == fold)) for fold in range(count)]
    else:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes with fewer samples than folds
            # classes matter to it only where each has as many samples as there are folds
            common = index if np.bincount(index).max() >= folds else np.zeros_like(index)
            parts = list(splitter.split(index, common, block_of))
    return [(train, test) for train, test in parts if len(test) and np.unique(index[train]).size > 1]


def out_of_fold_scores(estimator: Any, vectors: NDArray[np.float32], index: NDArray[np.intp], folds: Folds) -> Floats:
    """Return scores (n, K) of samples by the estimator fitted to the other folds; NaN for classes not in these."""
    scores = np.full((len(index), int(index.max()) + 1), np.nan)
    for train, test in folds:
        present, local = np.unique(index[train], return_inverse=True)
        one = fit_single_threaded(clone(estimator), vectors[train], local)
        scores[np.ix_(test, present)] = class_scores(one, vectors[test])
    return scores


def class_scores(estimator: Any, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a score a class, (n, K): decision values, else log-odds of probabilities."""
    if list(steps := getattr(estimator, "named_steps", {})) == ["classify"] and hasattr(
        steps["classify"], "class_scores"
    ):
        return np.asarray(steps["classify"].class_scores(vectors), np.float32)
    if hasattr(estimator, "decision_function"):
        values = _linear_scores(estimator, vectors)
        if values is None:
            values = np.asarray(estimator.decision_function(vectors), np.float32)
        return np.stack([-values, values], axis=1) if values.ndim == 1 else values
    proba = np.asarray(estimator.predict_proba(vectors), np.float64)
    return np.asarray(logit(np.clip(proba, 1e-6, 1 - 1e-6)), np.float32)


def _linear_scores(estimator: Any, vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the decision values of a standardised linear machine in one product in float32; None for all others."""
    steps = getattr(estimator, "named_steps", {})
    if list(steps) != ["scale", "classify"] or type(steps["scale"]) is not StandardScaler:
        return None
    machine = steps["classify"]
    if not isinstance(machine, LinearSVC | SGDClassifier):
        return None
    weights = (machine.coef_ / steps["scale"].scale_).astype(np.float32)
    values = (vectors - steps["scale"].mean_.astype(np.float32)) @ weights.T + machine.intercept_.astype(np.float32)
    return values[:, 0] if len(weights) == 1 else values


def fit_single_threaded(estimator: Any, vectors: NDArray[np.float32], index: NDArray[np.intp]) -> Any:
    """Fit to n samples, with at most n neighbours, on all cores, and set one thread for prediction; returns the estimator."""
    params = estimator.get_params()
    for key in [key for key in params if key.split("__")[-1] == "n_neighbors"]:
        estimator.set_params(**{key: min(params[key], len(vectors))})
    with warnings.catch_warnings(record=True) as caught:
        estimator.fit(vectors, index)
    for message in sorted({str(warning.message) for warning in caught}):
        log.warning("%s: %s", type(estimator).__name__, message)
    parallel = [key for key in params if key.split("__")[-1] == "n_jobs" and params[key] not in (None, 1)]
    return estimator.set_params(**dict.fromkeys(parallel, 1))


def _random_folds(index: NDArray[np.intp], folds: int, seed: int) -> NDArray[np.intp]:
    """Return a fold for each sample; each class is spread evenly."""
    order = np.random.default_rng(seed).permutation(len(index))
    order = order[np.argsort(index[order], kind="stable")]
    fold_of = np.empty(len(index), np.intp)
    fold_of[order] = np.arange(len(index)) % folds
    return fold_of


def _subsample(index: NDArray[np.intp], at_most: int, seed: int) -> NDArray[np.intp]:
    """Return rows of at most `at_most` samples; rare classes stay complete as long as possible."""
    if len(index) <= at_most:
        return np.arange(len(index))
    order = np.random.default_rng(seed).permutation(len(index))
    order = order[np.argsort(index[order], kind="stable")]
    sizes = np.bincount(index)
    rank = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # samples of its class before it
    return np.sort(order[np.argsort(rank, kind="stable")[:at_most]])


def _check_finite(X: ArrayLike) -> None:
    """Say which columns are not finite; what is no plain table of numbers is scikit-learn's to check."""
    columns = X if isinstance(X, np.ndarray) else np.empty((0, 0))
    finite = np.isfinite(columns).all(axis=0) if columns.ndim == 2 and columns.dtype.kind == "f" else np.ones(0, bool)
    bad = np.flatnonzero(~finite)
    if bad.size:
        raise InputError(
            f"{bad.size} columns of the samples have numbers that are not finite, the first of them column {bad[0]}. "
            "Fill or mask the pixels they come from, which are NaN or inf."
        )


class Calibrators:
    """A curve a class, score → probability, and their normalisation; rare classes take the curve of all together.
    method : "sigmoid" (Platt, 1999; slope and intercept are kept) or "none", the softmax of the scores."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.curves: list[Floats] = []

    def fit(self, scores: NDArray[np.floating], index: NDArray[np.intp], *, balanced: bool) -> Calibrators:
        """Fit the curves to scores (n, K), NaN if unknown, and each sample's class 0 … K − 1; returns itself.

        balanced : samples of rare classes weigh more, so that all classes weigh the same."""
        count = scores.shape[1]
        weights = np.ones(len(index))
        if balanced:
            weights = 1 / np.bincount(index, minlength=count).clip(1)[index]
        positive = index[:, None] == np.arange(count)
        known = np.isfinite(scores)
        exact = scores.astype(np.float64)
        pooled = platt(exact[known], positive[known], np.broadcast_to(weights[:, None], scores.shape)[known])
        self.curves = []
        for class_index in range(count):
            own = known[:, class_index]
            target = positive[own, class_index]
            curve = pooled
            if min(target.sum(), (~target).sum()) >= MIN_SAMPLES:
                curve = platt(exact[own, class_index], target, weights[own])
            self.curves.append(curve if curve[0] > 0 else pooled)  # higher scores mean higher probabilities
        return self

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return probabilities (n, K) of scores (n, K)."""
        if self.method == "none":
            return np.asarray(softmax(scores, axis=1), np.float32)
        slope, intercept = np.transpose(self.curves)
        probabilities = expit(slope * scores + intercept)
        total = probabilities.sum(axis=1, keepdims=True)
        nothing = total[:, 0] <= 1e-12  # all curves are 0 there: the softmax of the scores is used
        probabilities[nothing], total[nothing] = softmax(scores[nothing], axis=1), 1
        return (probabilities / total).astype(np.float32)


def keep_labels(probabilities: NDArray[np.float32], best: NDArray[np.intp]) -> NDArray[np.float32]:
    """Exchange the two probabilities in rows whose curves rank another class above `best` (n,), so that `best` stays first."""
    moved = np.flatnonzero(probabilities.argmax(axis=1) != best)
    own, other = best[moved], probabilities[moved].argmax(axis=1)
    probabilities[moved, own], probabilities[moved, other] = probabilities[moved, other], probabilities[moved, own]
    equal = moved[probabilities[moved].argmax(axis=1) != own]
    probabilities[equal, best[equal]] = np.nextafter(probabilities[equal, best[equal]], np.float32(2))
    return probabilities


def platt(scores: Floats, positive: Mask, weights: NDArray[np.floating]) -> Floats:
    """Return slope and intercept (2,) of the sigmoid that best predicts which samples are positive.

    Targets are moved away from 0 and 1 as Platt does. Samples of only one sign get the plain sigmoid of the score.
    """
    if not positive.any() or positive.all():
        return np.array([1.0, 0.0])
    target = np.where(positive, 1 - 1 / (positive.sum() + 2), 1 / ((~positive).sum() + 2))
    return np.array(fit_sigmoid(scores, target, weights))
