"""Samples as scikit-learn's contract has them: checked once, whatever kind of table or labels a caller brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

from deepnets4eo.arrays import Vectors

ClassWeight: TypeAlias = str | Mapping[Any, float] | None  # "balanced", or how much each class counts


def check_samples(estimator: Any, X: Any, y: Any) -> tuple[Vectors, NDArray[np.intp]]:
    """Vectors (n, F) float32 and the class index of each, (n,); sets `classes_` and `n_features_in_`. Errors: ValueError, as scikit-learn's."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    vectors, classes = check_X_y(X, y, dtype=np.float32, estimator=estimator)
    check_classification_targets(classes)
    estimator.classes_, index = np.unique(classes, return_inverse=True)
    estimator.n_features_in_ = vectors.shape[1]
    return vectors, index


def check_vectors(estimator: Any, X: Any) -> Vectors:
    """Vectors (n, F) float32 of a fitted estimator. Errors: NotFittedError, ValueError, as scikit-learn's."""
    check_is_fitted(estimator, "n_features_in_")
    vectors = check_array(X, dtype=np.float32, estimator=estimator)
    if vectors.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {vectors.shape[1]} features, but {type(estimator).__name__} is expecting {estimator.n_features_in_} features as input"
        )
    return np.asarray(vectors, np.float32)
