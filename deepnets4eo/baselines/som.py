"""A self-organising map: a grid of units fitted to samples so that neighbouring units are similar; a colour table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_array

from deepnets4eo.baselines.checked_samples import ClassWeight, check_samples, check_vectors
from deepnets4eo.errors import InputError

CHUNK_VECTORS = 1 << 16  # vectors whose distances to all units are in memory at once


class SelfOrganizingMap(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Kohonen's batch map (1982; batch rule: Neural Networks 37, 2013) with a shrinking Gaussian neighbourhood.

    Each epoch finds the best unit c(i) of each sample, and sets every unit to the mean of all samples weighted by
    exp(−d(c(i), u)² / 2σ²).

    Here d is the distance on the grid, and σ falls geometrically from `sigma_start` to `sigma_end`.

    Parameters
    ----------
    rows, cols : units along the two sides of the grid
    epochs : number of passes over all samples
    sigma_start, sigma_end : first σ in units (None: half the longer side), and last
    init : "pca": units start on the plane of the first two principal components; "samples": on samples drawn by `seed`
    class_weight : "balanced" weighs samples of rare classes more, None all the same, a mapping each class by its own
    seed : seed of the draws

    Examples
    --------
    >>> colours = np.array([[0, 0, 1], [0, 0, 0.9], [1, 0, 0], [0.9, 0, 0]], np.float32)
    >>> SelfOrganizingMap(1, 2).fit(colours, [4, -1, 2, -1]).predict(colours)
    array([4, 4, 2, 2])
    """

    def __init__(
        self,
        rows: int = 10,
        cols: int = 10,
        *,
        epochs: int = 20,
        sigma_start: float | None = None,
        sigma_end: float = 0.5,
        init: str = "pca",
        class_weight: ClassWeight = "balanced",
        seed: int = 0,
    ) -> None:
        self.rows, self.cols, self.epochs = rows, cols, epochs
        self.sigma_start, self.sigma_end, self.init = sigma_start, sigma_end, init
        self.class_weight, self.seed = class_weight, seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # of the colour table
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, chunk_vectors: int = CHUNK_VECTORS) -> SelfOrganizingMap:
        """Fit the units to vectors (n, F), then set the classes of the units; returns itself. Memory: O(n F + units²).

        X : vectors (n, F)
        y : classes (n,); −1 is unlabelled, used for the units only
        chunk_vectors : vectors whose distances are in memory at once
        quantisation_errors_ : the mean distance to the best unit, before each epoch and after the last
        """
        if y is None:
            samples = np.ascontiguousarray(check_array(X, dtype=np.float32, estimator=self))
            self.n_features_in_ = samples.shape[1]
        else:
            samples, index = check_samples(self, X, y)
            samples, y = np.ascontiguousarray(samples), self.classes_[index]
        self.units_ = self._initial_units(samples)
        self.quantisation_errors_: list[float] = []
        start = max(self.rows, self.cols) / 2 if self.sigma_start is None else self.sigma_start
        sigmas = np.geomspace(max(start, self.sigma_end), self.sigma_end, self.epochs)
        apart = self.grid_distances() ** 2
        for sigma in sigmas:
            best, error = self._nearest_units(samples, chunk_vectors)
            self.quantisation_errors_.append(error)
            self.units_ = _updated_units(self.units_, samples, best, np.exp(-apart / (2 * sigma**2)))
        best, error = self._nearest_units(samples, chunk_vectors)
        self.quantisation_errors_.append(error)
        if y is not None:
            self._set_class_shares(best, y)
        return self

    def predict_unit(self, X: ArrayLike) -> NDArray[np.int32]:
        """Return the nearest unit of each vector, (n,), counted along the rows: row = unit // cols."""
        return self._nearest_units(np.ascontiguousarray(check_vectors(self, X)))[0].astype(np.int32)

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the vector of the nearest unit for each vector, (n, F): its colour in the table."""
        units = self.predict_unit(X)
        return self.units_[units]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return shares of the classes among the samples of each vector's unit, (n, K) float32 in the order of
        `classes_`. Errors: InputError where the map was fitted without classes."""
        units = self.predict_unit(X)
        if not hasattr(self, "proba_"):
            raise InputError(
                "the self-organising map was fitted without classes; fit it with some, or use `predict_unit`."
            )
        return self.proba_[units]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most frequent class among the samples of each vector's unit, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def grid_distances(self) -> NDArray[np.float64]:
        """Return distances of all units on the grid, (units, units)."""
        row, col = np.divmod(np.arange(self.rows * self.cols), self.cols)
        return np.hypot(row[:, None] - row, col[:, None] - col)

    def _initial_units(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return units on the plane of the first two principal components, two standard deviations wide on each side."""
        count = self.rows * self.cols
        if self.init == "samples":
            rng = np.random.default_rng(self.seed)
            return samples[rng.choice(len(samples), count, replace=len(samples) < count)]
        mean = samples.mean(axis=0, dtype=np.float64)
        spread = np.cov(samples, rowvar=False, dtype=np.float64, ddof=0).reshape(samples.shape[1], -1)
        values, vectors = np.linalg.eigh(spread)
        axes = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1].T[:2]
        axes *= np.where(axes.sum(axis=1, keepdims=True) < 0, -1, 1)  # the sign of an axis depends on the library
        axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
        along, across = axes if self.rows >= self.cols else axes[::-1]
        down, right = (np.linspace(-2, 2, side) if side > 1 else np.zeros(1) for side in (self.rows, self.cols))
        plane = mean + down[:, None, None] * along + right[None, :, None] * across
        return plane.reshape(count, -1).astype(np.float32)

    def _nearest_units(
        self, samples: NDArray[np.float32], chunk_vectors: int = CHUNK_VECTORS
    ) -> tuple[NDArray[np.intp], float]:
        """Return the nearest units and the mean distance to them."""
        best, total = np.empty(len(samples), np.intp), 0.0
        for start in range(0, len(samples), chunk_vectors):
            squared = _squared_distances(samples[start : start + chunk_vectors], self.units_)
            nearest = squared.argmin(axis=1)
            best[start : start + chunk_vectors] = nearest
            total += float(
                np.sqrt(np.maximum(np.take_along_axis(squared, nearest[:, None], 1), 0)).sum(dtype=np.float64)
            )
        return best, total / max(len(samples), 1)

    def _set_class_shares(self, best: NDArray[np.intp], classes: NDArray[Any]) -> None:
        """Set the class shares of each unit; a unit without labelled samples takes the shares of the nearest unit that has some."""
        labelled_samples = classes != -1
        self.classes_, index = np.unique(classes[labelled_samples], return_inverse=True)
        if not labelled_samples.any():
            return
        count = len(self.classes_)
        hits = np.bincount(best[labelled_samples] * count + index, minlength=len(self.units_) * count).astype(
            np.float64
        )
        self.hits_ = hits.reshape(len(self.units_), count)
        votes = self.hits_ / self.hits_.sum(axis=0) if self.class_weight == "balanced" else self.hits_
        if isinstance(self.class_weight, Mapping):
            votes = votes * [self.class_weight.get(name, 1) for name in self.classes_.tolist()]
        labelled = np.flatnonzero(votes.any(axis=1))
        nearest = labelled[_squared_distances(self.units_, self.units_[labelled]).argmin(axis=1)]
        nearest[labelled] = labelled  # also where two units lie on each other
        self.proba_ = (votes[nearest] / votes[nearest].sum(axis=1, keepdims=True)).astype(np.float32)


def _updated_units(
    units: NDArray[np.float32], samples: NDArray[np.float32], best: NDArray[np.intp], near: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return units at the mean of all samples, weighted by the nearness (units, units) of the samples' best units."""
    hits = np.bincount(best, minlength=len(units))
    sums = np.stack([np.bincount(best, weights=column, minlength=len(units)) for column in samples.T], axis=1)
    weight = near @ hits
    updated = (near @ sums) / np.maximum(weight, 1e-300)[:, None]
    return np.where(weight[:, None] > 1e-12, updated, units).astype(np.float32)  # no sample near: unchanged


def _squared_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return squared distances of all pairs, (n, m)."""
    centre = second.mean(axis=0)  # differences of large numbers lose their digits
    first, second = first - centre, second - centre
    squared = first @ second.T
    squared *= -2
    squared += np.einsum("ij,ij->i", first, first)[:, None]
    squared += np.einsum("ij,ij->i", second, second)
    return squared
