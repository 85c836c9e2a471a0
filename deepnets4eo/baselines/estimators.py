"""Classifiers by name with the settings of a recipe: scaled, balanced, searched, calibrated, with probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from deepnets4eo.options import Section

EstimatorName = Literal[
    "extra_trees", "hist_gradient_boosting", "knn", "lda", "linear_svm", "logistic", "nystroem_svm", "random_forest",
    "rbf_svm", "sam", "sgd_svm", "som",
]  # fmt: skip
SCORED = ("linear_svm", "nystroem_svm", "rbf_svm", "sgd_svm")  # these have decision values, no probabilities
DENSITIES = ("lda", "sam")  # the softmax of their decision values are probabilities
UNWEIGHTED = ("knn", "sam")  # have no class_weight
UNSCALED = ("lda", "sam")  # one does not depend on the columns' scales, the other needs spectra as they are
SEARCHED: dict[str, tuple[str, ...]] = {
    "knn": ("n_neighbors",), "linear_svm": ("C",), "logistic": ("C",), "sgd_svm": ("C",), "rbf_svm": ("C", "gamma"),
    "nystroem_svm": ("C", "gamma"),
}  # fmt: skip
SGD_ALPHA = 1e-4  # weight of SGD's penalty at C = 1: that of 10 000 samples


class EstimatorOptions(Section):
    """A classifier by name and its settings; each classifier uses those that concern it.

    Parameters
    ----------
    name : the name of the classifier
    """

    name: EstimatorName = "random_forest"
    scaling: Literal["standard", "minmax", "robust", "none"] = Field(
        default="standard",
        description="of each feature, not for lda and sam; none: unscaled metres beside grey values, bad for SVMs and k-NN",
    )
    class_weight: Literal["balanced", "none"] = Field(
        default="balanced", description="balanced: rare classes weigh more"
    )
    C: float = Field(default=1.0, gt=0, description="svm, logistic: the higher, the closer to the samples")
    gamma: float = Field(
        default=1.0, gt=0, description="rbf_svm, nystroem_svm: of the kernel, in units of 1 / (features x variance)"
    )
    components: int = Field(default=500, ge=2, description="nystroem_svm: landmarks; the more, the closer to rbf_svm")
    trees: int = Field(default=200, ge=1, description="of a forest; rounds of hist_gradient_boosting")
    leaf_samples: int = Field(default=1, ge=1, description="fewest samples of a leaf; 5 makes forests a third as big")
    split_features: int | None = Field(
        default=None, ge=1, description="forests: features tried at each split; none: the square root of their number"
    )
    neighbours: int = Field(default=15, ge=1, description="knn")
    som_shape: tuple[int, int] = Field(default=(10, 10), description="som: rows and columns of units")
    som_epochs: int = Field(default=20, ge=1, description="som: times that all samples are seen")
    search: bool = Field(
        default=False, description="svm, logistic, knn: choose C, gamma, neighbours by spatially disjoint folds"
    )
    search_c: tuple[float, ...] = Field(default=(0.1, 1.0, 10.0, 100.0), min_length=1, description="values tried for C")
    search_gamma: tuple[float, ...] = Field(default=(0.1, 1.0, 10.0), min_length=1, description="tried for gamma")
    search_neighbours: tuple[int, ...] = Field(default=(1, 3, 5, 10, 20), min_length=1, description="tried for knn")
    search_samples: int = Field(default=4000, ge=10, description="samples that are searched on, at most")
    folds: int = Field(default=3, ge=2, description="of the search and of the calibration; no block is in two of them")
    calibration: Literal["auto", "none", "sigmoid", "isotonic"] = Field(
        default="auto", description="auto: sigmoid for svm, none for others; none for svm: softmax of decision values"
    )

    @model_validator(mode="after")
    def _something_to_search(self) -> EstimatorOptions:
        if self.search and self.name not in SEARCHED:
            raise ValueError(
                f"has search=true with {self.name}; expected one of {', '.join(SEARCHED)}. Set search to false"
            )
        if min(self.som_shape) < 1 or self.som_shape[0] * self.som_shape[1] < 2:
            raise ValueError(f"has som_shape={self.som_shape}; expected at least 2 units, as in (10, 10)")
        if min(*self.search_c, *self.search_gamma) <= 0:
            raise ValueError("has values of 0 or below in search_c or search_gamma; expected values above 0")
        if min(self.search_neighbours) < 1:
            raise ValueError("has values of 0 or below in search_neighbours; expected 1 or more")
        return self


def _boosting(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(  # early stopping would set samples aside that may be the only ones of a class
        max_iter=options.trees, early_stopping=False, class_weight=weight, random_state=seed,
        min_samples_leaf=max(options.leaf_samples, 5),
    )  # fmt: skip


def _forest(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    made = RandomForestClassifier if options.name == "random_forest" else ExtraTreesClassifier
    return made(
        options.trees, min_samples_leaf=options.leaf_samples, max_features=options.split_features or "sqrt",
        class_weight=weight, random_state=seed, n_jobs=-1,
    )  # fmt: skip


def _knn(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    # a tree of scikit-learn's is not safe to load, and is no faster for more than a few features
    return KNeighborsClassifier(options.neighbours, weights="distance", algorithm="brute")


def _lda(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from deepnets4eo.baselines.array_estimators import LinearDiscriminant

    return LinearDiscriminant(class_weight=weight)


def _linear(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=options.C, class_weight=weight, dual="auto", max_iter=3000, random_state=seed)


def _logistic(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=options.C, class_weight=weight, max_iter=1000, random_state=seed)


def _rbf(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from deepnets4eo.baselines.array_estimators import RbfSvm

    components = options.components if options.name == "nystroem_svm" else 0
    return RbfSvm(C=options.C, gamma=options.gamma, components=components, class_weight=weight, seed=seed)


def _sam(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from deepnets4eo.baselines.array_estimators import SpectralAngleMapper

    return SpectralAngleMapper()


def _sgd(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        alpha=SGD_ALPHA / options.C, average=True, class_weight=weight, max_iter=50, tol=1e-2, random_state=seed
    )


def _som(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    from deepnets4eo.baselines.som import SelfOrganizingMap

    rows, cols = options.som_shape
    return SelfOrganizingMap(rows, cols, epochs=options.som_epochs, class_weight=weight, seed=seed)


ESTIMATORS: dict[str, Callable[[EstimatorOptions, str | None, int], Any]] = {
    "extra_trees": _forest,
    "hist_gradient_boosting": _boosting,
    "knn": _knn,
    "lda": _lda,
    "linear_svm": _linear,
    "logistic": _logistic,
    "nystroem_svm": _rbf,
    "random_forest": _forest,
    "rbf_svm": _rbf,
    "sam": _sam,
    "sgd_svm": _sgd,
    "som": _som,
}


def build_estimator(options: EstimatorOptions, seed: int = 0) -> Any:
    """Make an unfitted classifier with `predict_proba`; the same bits for the same seed and samples.

    Parameters
    ----------
    options : name and settings
    seed : int
        Decides all that is drawn at random.

    Returns
    -------
    Any
        The classifier.

    Examples
    --------
    >>> samples, classes = np.array([[0.0], [0.1], [0.9], [1.0]]), [2, 2, 5, 5]
    >>> build_estimator(EstimatorOptions(name="knn", neighbours=1)).fit(samples, classes).predict([[0.8]])
    array([5])
    """
    from sklearn.pipeline import Pipeline

    from deepnets4eo.baselines.tuned_classifier import TunedClassifier

    weight = "balanced" if options.class_weight == "balanced" else None
    classifier = ESTIMATORS[options.name](options, weight, seed)
    scaler = [] if options.name in UNSCALED else _scaler(options.scaling)
    return TunedClassifier(
        Pipeline([*scaler, ("classify", classifier)]),
        grid=_grid(options) if options.search else None,
        folds=options.folds,
        calibration=_calibration(options),
        balanced=weight is not None,
        search_samples=options.search_samples,
        seed=seed,
    )


def fit_estimator(
    estimator: Any, vectors: NDArray[np.float32], classes: NDArray[np.uint8], blocks: NDArray[np.int64] | None = None
) -> Any:
    """Fit a classifier, ours or any of scikit-learn's, to samples.

    Parameters
    ----------
    estimator : the classifier, unfitted
    vectors : (n, F) float32
    classes : (n,) class indices
    blocks : (n,) int64, block of ground of each sample
        Ours chooses its settings and calibrates its probabilities by them.

    Returns
    -------
    Any
        The classifier.

    Raises
    ------
    InputError
        For samples of a single class (ours).
    """
    from deepnets4eo.baselines.tuned_classifier import TunedClassifier

    if isinstance(estimator, TunedClassifier):
        return estimator.fit(vectors, classes, blocks)
    return estimator.fit(vectors, classes)


def _calibration(options: EstimatorOptions) -> str:
    """Return the calibration that an estimator takes: decision values need one, if only the softmax."""
    if options.name in SCORED:
        automatic = {"auto": "sigmoid", "none": "softmax"}
    elif options.name in DENSITIES:
        automatic = {"auto": "softmax", "none": "softmax"}
    else:
        automatic = {"auto": "none"}
    return automatic.get(options.calibration, options.calibration)


def _grid(options: EstimatorOptions) -> dict[str, list[float]]:
    """Return parameters of the pipeline and the values to try."""
    if options.name == "sgd_svm":
        return {"classify__alpha": [SGD_ALPHA / tried for tried in options.search_c]}
    tried = {"C": options.search_c, "gamma": options.search_gamma, "n_neighbors": options.search_neighbours}
    return {f"classify__{key}": list(tried[key]) for key in SEARCHED[options.name]}


def _scaler(scaling: str) -> Sequence[tuple[str, Any]]:
    """Return the pipeline's step that scales, or none."""
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    scalers = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}
    return [("scale", scalers[scaling]())] if scaling in scalers else []
