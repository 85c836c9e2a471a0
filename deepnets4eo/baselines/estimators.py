"""Classifiers by name with the settings of a recipe: scaled, balanced, searched, calibrated, with probabilities."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from deepnets4eo.options import Section

EstimatorName = Literal[
    "extra_trees", "hist_gradient_boosting", "knn", "lda", "linear_svm", "logistic", "random_forest", "rbf_svm", "sam", "sgd_svm", "som",
]  # fmt: skip
SCORED = ("linear_svm", "rbf_svm", "sgd_svm")  # these have decision values, no probabilities
DENSITIES = ("lda", "sam")  # the softmax of their decision values are probabilities
UNSCALED = ("lda", "sam")  # one does not depend on the columns' scales, the other needs spectra as they are
SEARCHED: dict[str, tuple[str, ...]] = {
    "knn": ("n_neighbors",), "linear_svm": ("C",), "logistic": ("C",), "sgd_svm": ("C",), "rbf_svm": ("C", "gamma"),
}  # fmt: skip
log = logging.getLogger(__name__)

OWN = "deepnets4eo.baselines.array_estimators"
SGD_ALPHA = 1e-4  # weight of SGD's penalty at C = 1: that of 10 000 samples


class EstimatorOptions(Section):
    """A classifier by name and its settings; each classifier uses those that concern it.

    Parameters
    ----------
    name : the name of the classifier
    """

    name: EstimatorName = "random_forest"
    scaling: Literal["standard", "none"] = Field(
        default="standard",
        description="of each feature, not for lda and sam; none: unscaled metres beside grey values, bad for SVMs and k-NN",
    )
    class_weight: Literal["balanced", "none"] = Field(
        default="balanced", description="balanced: rare classes weigh more"
    )
    C: float = Field(default=1.0, gt=0, description="svm, logistic: the higher, the closer to the samples")
    gamma: float = Field(default=1.0, gt=0, description="rbf_svm: of the kernel, in units of 1 / (features x variance)")
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
    calibration: Literal["auto", "none", "sigmoid"] = Field(
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


def _forest(options: EstimatorOptions) -> dict[str, Any]:
    features = options.split_features or "sqrt"
    return {
        "n_estimators": options.trees, "min_samples_leaf": options.leaf_samples, "max_features": features, "n_jobs": -1,
    }  # fmt: skip


ESTIMATORS: dict[str, tuple[str, Callable[[EstimatorOptions], dict[str, Any]]]] = {  # class, its arguments
    "extra_trees": ("sklearn.ensemble:ExtraTreesClassifier", _forest),
    "hist_gradient_boosting": (
        "sklearn.ensemble:HistGradientBoostingClassifier",  # early stopping might set the only samples of a class aside
        lambda o: {"max_iter": o.trees, "early_stopping": False, "min_samples_leaf": max(o.leaf_samples, 5)},
    ),
    "knn": (
        "sklearn.neighbors:KNeighborsClassifier",  # its trees are not safe to load, and no faster beyond a few features
        lambda o: {"n_neighbors": o.neighbours, "weights": "distance", "algorithm": "brute"},
    ),
    "lda": (f"{OWN}:LinearDiscriminant", lambda _: {}),
    "linear_svm": ("sklearn.svm:LinearSVC", lambda o: {"C": o.C, "dual": "auto", "max_iter": 3000}),
    "logistic": ("sklearn.linear_model:LogisticRegression", lambda o: {"C": o.C, "max_iter": 1000}),
    "random_forest": ("sklearn.ensemble:RandomForestClassifier", _forest),
    "rbf_svm": (f"{OWN}:RbfSvm", lambda o: {"C": o.C, "gamma": o.gamma}),
    "sam": (f"{OWN}:SpectralAngleMapper", lambda _: {}),
    "sgd_svm": (
        "sklearn.linear_model:SGDClassifier",
        lambda o: {"alpha": SGD_ALPHA / o.C, "average": True, "max_iter": 50, "tol": 1e-2},
    ),
    "som": (
        "deepnets4eo.baselines.som:SelfOrganizingMap",
        lambda o: {"rows": o.som_shape[0], "cols": o.som_shape[1], "epochs": o.som_epochs},
    ),
}  # fmt: skip


def _make_classifier(options: EstimatorOptions, weight: str | None, seed: int) -> Any:
    home, arguments = ESTIMATORS[options.name]
    module, name = home.split(":")
    made = getattr(import_module(module), name)(**arguments(options))
    common = {"class_weight": weight, "random_state": seed, "seed": seed}
    return made.set_params(**{key: common[key] for key in common.keys() & made.get_params().keys()})


def build_estimator(options: EstimatorOptions, seed: int = 0) -> Any:
    """Return an unfitted classifier with `predict_proba`; the same bits for the same seed and samples.

    Parameters
    ----------
    options : name and settings
    seed : seed of all that is drawn at random

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
    from sklearn.preprocessing import StandardScaler

    from deepnets4eo.baselines.tuned_classifier import TunedClassifier

    weight = "balanced" if options.class_weight == "balanced" else None
    scaled = options.scaling == "standard" and options.name not in UNSCALED
    steps = [("scale", StandardScaler())] if scaled else []
    return TunedClassifier(
        Pipeline([*steps, ("classify", _make_classifier(options, weight, seed))]),
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
    """Fit a classifier, ours or any of scikit-learn's, to samples, and return it.

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

    log.info("fitting %s to %s samples of %s features", type(estimator).__name__, f"{len(vectors):,}", vectors.shape[1])
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
