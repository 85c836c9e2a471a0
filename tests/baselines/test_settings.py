"""Settings of the classical baselines reach the classifiers that they are for; folds, thinning and scores by hand."""

import logging
from contextlib import nullcontext

import numpy as np
import pytest
from refusals import raises_naming
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from deepnets4eo import lazy
from deepnets4eo.baselines import EstimatorOptions, SelfOrganizingMap, build_estimator, training
from deepnets4eo.baselines.array_estimators import LinearDiscriminant, RbfSvm, SpectralAngleMapper
from deepnets4eo.baselines.estimators import DENSITIES, SCORED
from deepnets4eo.baselines.tuned_classifier import (
    Calibrators,
    TunedClassifier,
    block_folds,
    class_scores,
    fit_single_threaded,
    platt,
)
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.training import TrainOptions

CHANGED = {
    "class_weight": "none", "C": 3.0, "gamma": 2.0, "trees": 11, "leaf_samples": 6, "neighbours": 4,
    "som_shape": (3, 5), "som_epochs": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "usual", "changed"),
    [
        ("random_forest", RandomForestClassifier, {"n_estimators": 200, "min_samples_leaf": 1}, {"n_estimators": 11, "min_samples_leaf": 6}),
        ("extra_trees", ExtraTreesClassifier, {"n_estimators": 200, "min_samples_leaf": 1}, {"n_estimators": 11, "min_samples_leaf": 6}),
        ("hist_gradient_boosting", HistGradientBoostingClassifier, {"max_iter": 200, "min_samples_leaf": 5, "early_stopping": False}, {"max_iter": 11, "min_samples_leaf": 6}),
        ("knn", KNeighborsClassifier, {"n_neighbors": 15, "weights": "distance", "algorithm": "brute"}, {"n_neighbors": 4}),
        ("lda", LinearDiscriminant, {"class_weight": "balanced"}, {"class_weight": None}),
        ("linear_svm", LinearSVC, {"C": 1.0, "dual": "auto", "max_iter": 3000}, {"C": 3.0}),
        ("logistic", LogisticRegression, {"C": 1.0, "max_iter": 1000}, {"C": 3.0}),
        ("rbf_svm", RbfSvm, {"C": 1.0, "gamma": 1.0}, {"C": 3.0, "gamma": 2.0}),
        ("sam", SpectralAngleMapper, {}, {}),
        ("sgd_svm", SGDClassifier, {"alpha": 1e-4, "average": True, "max_iter": 50, "tol": 1e-2}, {"alpha": 1e-4 / 3}),
        ("som", SelfOrganizingMap, {"rows": 10, "cols": 10, "epochs": 20}, {"rows": 3, "cols": 5, "epochs": 2}),
    ],
)  # fmt: skip
def test_every_setting_reaches_its_classifier(name, kind, usual, changed) -> None:
    for options, expected, weight in (({}, usual, "balanced"), (CHANGED, changed, None)):
        found = build_estimator(EstimatorOptions(name=name, **options), seed=5)
        classifier = found.estimator.named_steps["classify"]
        assert type(classifier) is kind
        params = classifier.get_params()
        assert expected.items() <= params.items()
        assert found.seed == 5
        if name not in ("knn", "sam"):
            assert params.get("class_weight") == weight
        if name not in ("knn", "lda", "rbf_svm", "sam"):
            assert params.get("random_state", params.get("seed")) == 5
        assert found.balanced is (weight is not None)


@pytest.mark.parametrize(
    ("scaling", "kind"),
    [("standard", StandardScaler), ("none", None)],
)
def test_features_are_scaled_as_asked(scaling, kind) -> None:
    steps = build_estimator(EstimatorOptions(scaling=scaling)).estimator.steps
    assert [type(step) for name, step in steps if name == "scale"] == ([] if kind is None else [kind])


def test_decision_values_are_calibrated_and_probabilities_are_not_unless_asked() -> None:
    for name in ("random_forest", "knn", "lda", "logistic", "sam", "som", *SCORED):
        found = [
            build_estimator(EstimatorOptions(name=name, calibration=one)).calibration
            for one in ("auto", "none", "sigmoid")
        ]
        expected = dict.fromkeys(SCORED, ["sigmoid", "softmax", "sigmoid"])
        expected |= dict.fromkeys(DENSITIES, ["softmax", "softmax", "sigmoid"])
        assert found == expected.get(name, ["none", "none", "sigmoid"])


def test_a_search_tries_its_values_of_what_the_classifier_has() -> None:
    asked = {"search": True, "search_c": (1.0, 4.0), "search_gamma": (0.5,), "folds": 4, "search_samples": 77}
    grids = {
        "linear_svm": {"classify__C": [1.0, 4.0]},
        "logistic": {"classify__C": [1.0, 4.0]},
        "sgd_svm": {"classify__alpha": [1e-4, 2.5e-5]},
        "rbf_svm": {"classify__C": [1.0, 4.0], "classify__gamma": [0.5]},
        "knn": {"classify__n_neighbors": [1, 3, 5, 10, 20]},
    }
    for name, grid in grids.items():
        found = build_estimator(EstimatorOptions(name=name, **asked))
        assert (found.grid, found.folds, found.search_samples) == (grid, 4, 77)
        assert build_estimator(EstimatorOptions(name=name)).grid is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "som", "search": True}, "search=true with som; expected one of knn, linear_svm"),
        ({"som_shape": (1, 1)}, "expected at least 2 units"),
        ({"som_shape": (-2, -2)}, "expected at least 2 units"),
        ({"search_c": (1.0, 0.0)}, "values of 0 or below"),
        ({"search_gamma": (-1.0,)}, "values of 0 or below"),
        ({"search_neighbours": (3, 0)}, "values of 0 or below in search_neighbours"),
    ],
)
def test_settings_without_sense_are_refused(wrong, message) -> None:
    assert EstimatorOptions(som_shape=(1, 2)).som_shape == (1, 2)
    with pytest.raises(InputError, match=message):
        EstimatorOptions(**wrong)


def test_few_blocks_are_a_fold_each_and_one_block_is_dealt_out_with_a_warning(caplog) -> None:
    index = np.arange(30) % 2
    blocks = np.repeat([7, 9], 15)
    assert [test.tolist() for _, test in block_folds(index, blocks, 3, 0)] == [list(range(15)), list(range(15, 30))]
    with caplog.at_level(logging.WARNING):
        assert len(block_folds(index, blocks, 2, 0)) == 2
        assert not caplog.records
        for one in (None, np.full(30, 4)):
            parts = block_folds(index, one, 3, 0)
            assert [len(test) for _, test in parts] == [10, 10, 10]
            assert all(np.bincount(index[test]).tolist() == [5, 5] for _, test in parts)
            assert "folds are random, and their scores too optimistic" in caplog.text
    assert block_folds(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 3, 0) == []


def test_many_samples_are_thinned_for_the_search_with_rare_classes_whole() -> None:
    index = np.repeat([0, 1, 2], [500, 60, 5])
    seen = []

    class Watched(LogisticRegression):
        def fit(self, vectors, places):
            seen.append(len(places))
            return super().fit(vectors, places)

    vectors = np.random.default_rng(0).normal(size=(565, 2)) + index[:, None]
    tuned = TunedClassifier(Watched(), grid={"C": [1.0]}, folds=2, search_samples=65)
    tuned.fit(vectors, index, np.arange(565))
    *folds, last = seen
    assert sum(folds) == 65
    assert last == 565
    assert tuned.best_params_ == {"C": 1.0}
    assert 0.3 < tuned.best_score_ <= 1


def test_samples_that_cannot_be_learned_from_are_refused() -> None:
    tuned = TunedClassifier(LogisticRegression())
    with raises_naming(InputError, "1 classes", "least 2"):
        tuned.fit(np.zeros((4, 2)), [3, 3, 3, 3])
    vectors = np.zeros((4, 3))
    vectors[1, 2] = vectors[0, 1] = np.inf
    with raises_naming(InputError, "2 columns", "column 1"):
        tuned.fit(vectors, [1, 1, 2, 2])


def test_neighbours_are_no_more_than_samples_and_one_thread_remains() -> None:
    knn = fit_single_threaded(
        KNeighborsClassifier(15), np.arange(4.0)[:, None].astype(np.float32), np.array([0, 0, 1, 1])
    )
    assert knn.n_neighbors == 4
    forest = fit_single_threaded(RandomForestClassifier(2, n_jobs=-1), np.arange(4.0)[:, None], np.array([0, 0, 1, 1]))
    assert forest.n_jobs == 1


def test_scores_of_two_classes_and_of_probabilities() -> None:
    vectors, index = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32), np.array([0, 0, 1, 1])
    svm = LinearSVC().fit(vectors, index)
    scores = class_scores(svm, vectors)
    np.testing.assert_allclose(scores[:, 1], svm.decision_function(vectors), rtol=1e-6)
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
    knn = KNeighborsClassifier(4).fit(vectors, index)
    np.testing.assert_allclose(class_scores(knn, vectors), 0, atol=1e-6)
    sure = KNeighborsClassifier(1).fit(vectors, index)
    np.testing.assert_allclose(class_scores(sure, vectors)[0], [np.log(1e6 - 1), -np.log(1e6 - 1)], rtol=1e-5)


def test_platt_draws_targets_in_and_one_sign_gives_the_plain_sigmoid() -> None:
    scores = np.array([-1.0, -1, -1, 1, 1, 1])
    slope, intercept = platt(scores, scores > 0, np.ones(6))
    assert 1 / (1 + np.exp(-(slope + intercept))) == pytest.approx(1 - 1 / 5, abs=1e-3)
    assert 1 / (1 + np.exp(slope - intercept)) == pytest.approx(1 / 5, abs=1e-3)
    for positive in (np.zeros(6, bool), np.ones(6, bool)):
        assert platt(scores, positive, np.ones(6)).tolist() == [1.0, 0.0]
    positive, weights = np.array([1, 0, 0, 1, 1, 0], bool), np.array([1, 1, 1, 3, 3, 1.0])
    target = np.where(positive, 1 - 1 / 5, 1 / 5)

    def cost(line: np.ndarray) -> float:
        chance = 1 / (1 + np.exp(-(line[0] * scores + line[1])))
        return -(weights * (target * np.log(chance) + (1 - target) * np.log(1 - chance))).sum()

    expected = minimize(cost, [1.0, 0.0]).x
    assert platt(scores, positive, weights) == pytest.approx(expected, abs=1e-3)
    assert platt(scores, positive, 7 * weights) == pytest.approx(expected, abs=1e-3)


def test_a_class_of_few_samples_takes_the_curve_of_all_and_misleading_scores_too() -> None:
    rng = np.random.default_rng(0)
    index = np.repeat([0, 1, 2], [60, 60, 2])
    scores = rng.normal(size=(122, 3)) + 2 * np.eye(3)[index]
    pooled = Calibrators("sigmoid").fit(scores, index, balanced=False)
    known = platt(scores.ravel(), (index[:, None] == np.arange(3)).ravel(), np.ones(scores.size))
    assert pooled.curves[2] == pytest.approx(known)
    assert pooled.curves[0] != pytest.approx(known)
    scores[:, 1] *= -1
    assert (Calibrators("sigmoid").fit(scores, index, balanced=False).curves[1][0]) > 0


def test_where_no_class_is_probable_the_scores_decide() -> None:
    calibrators = Calibrators("sigmoid")
    calibrators.curves = [np.array([10.0, 0.0])] * 2
    scores = np.array([[-5.0, -4.0], [0.25, 0.75]])
    found = calibrators(scores)
    np.testing.assert_allclose(found[0], softmax(scores[0]))
    shares = 1 / (1 + np.exp(-10 * scores[1]))
    np.testing.assert_allclose(found[1], shares / shares.sum(), rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("method", "encoder", "needs"),
    [("network", "", True), ("parts", "", True), ("pixels", "resnet18", True), ("superpixels", "resnet18", True),
     ("pixels", "", False), ("superpixels", "", False), ("rules", "", False)],
)  # fmt: skip
def test_methods_with_networks_or_an_encoder_name_the_missing_extra(
    method, encoder, needs, monkeypatch, tmp_path
) -> None:
    trained: list[str] = []
    monkeypatch.setitem(lazy.EXTRAS, "no_networks", "deep")
    monkeypatch.setattr(training, "fit_and_write", lambda recipe, *_: trained.append(recipe.model.method))
    recipe = training.BaselineRecipe(legend="isprs", model={"method": method}, deep={"encoder": encoder})
    with raises_naming(MissingExtraError, "no_networks") if needs else nullcontext():
        training.train_baseline(recipe, tmp_path / "run", TrainOptions())
    assert trained == ([] if needs else [method])
