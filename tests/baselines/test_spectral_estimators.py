"""Classifiers of spectra against scikit-learn's and against their formulas, on spectra as smooth and alike as real ones."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

from deepnets4eo.baselines import EstimatorOptions, build_estimator, fit_estimator, load_estimator, save_estimator
from deepnets4eo.baselines.array_estimators import LinearDiscriminant, SpectralAngleMapper
from deepnets4eo.baselines.tuned_classifier import class_scores

BANDS, CLASSES = 60, np.array([1, 4, 5, 9], np.uint8)


def make_spectra(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra (n, B) of 12-bit numbers under varied light, classes (n,), blocks (n,)."""
    rng = np.random.default_rng(seed)
    nm = np.linspace(0, 1, BANDS)
    curves = np.stack([1 + 0.3 * number * nm + 0.2 * np.sin(5 * nm + number) for number in range(4)])
    index = rng.integers(0, 4, count)
    light = rng.uniform(0.4, 1.2, (count, 1))
    spectra = 1500 * light * curves[index] + rng.normal(0, 25, (count, BANDS))
    return spectra.astype(np.float32), CLASSES[index], rng.integers(0, 8, count)


TRAIN, FRESH = make_spectra(600, 0), make_spectra(2000, 1)


@pytest.mark.parametrize("weight", ["balanced", None])
def test_the_linear_discriminant_is_scikit_learns(weight: str | None) -> None:
    keep = (TRAIN[1] != 9) | (np.arange(600) % 5 == 0)  # so that the classes' shares differ
    spectra, classes = TRAIN[0][keep], TRAIN[1][keep]
    reference = LinearDiscriminantAnalysis(priors=np.full(4, 0.25) if weight else None)
    reference.fit(spectra.astype(np.float64), classes)
    own = build_estimator(EstimatorOptions(name="lda", class_weight=weight or "none")).fit(spectra, classes)
    expected = reference.predict_proba(FRESH[0].astype(np.float64))
    np.testing.assert_allclose(own.predict_proba(FRESH[0]), expected, atol=0.02)  # theirs divides by n − K
    assert (own.predict(FRESH[0]) == reference.predict(FRESH[0])).mean() > 0.998
    assert (own.predict(FRESH[0]) == FRESH[1]).mean() > 0.95


def test_the_linear_discriminant_is_the_same_in_other_units() -> None:
    units = np.geomspace(1e-4, 1e3, BANDS).astype(np.float32)
    one = LinearDiscriminant().fit(TRAIN[0], TRAIN[1]).decision_function(FRESH[0])
    other = LinearDiscriminant().fit(TRAIN[0] * units, TRAIN[1]).decision_function(FRESH[0] * units)
    np.testing.assert_allclose(one, other, atol=0.02 * np.abs(one).max())
    np.testing.assert_array_equal(one.argmax(axis=1), other.argmax(axis=1))


def test_two_bands_that_are_the_same_change_nothing() -> None:
    twice = LinearDiscriminant().fit(np.repeat(TRAIN[0], 2, axis=1), TRAIN[1])
    once = LinearDiscriminant().fit(TRAIN[0], TRAIN[1])
    np.testing.assert_array_equal(twice.predict(np.repeat(FRESH[0], 2, axis=1)), once.predict(FRESH[0]))


def test_spectral_angles_are_those_of_the_formula() -> None:
    means = np.stack([TRAIN[0][TRAIN[1] == value].astype(np.float64).mean(axis=0) for value in CLASSES])
    spectra = FRESH[0].astype(np.float64)
    lengths = np.linalg.norm(spectra, axis=1)[:, None] * np.linalg.norm(means, axis=1)
    expected = np.arccos(spectra @ means.T / lengths)
    mapper = SpectralAngleMapper().fit(TRAIN[0], TRAIN[1])
    np.testing.assert_allclose(mapper.angles(FRESH[0]), expected, atol=1e-4)
    through_recipe = fit_estimator(build_estimator(EstimatorOptions(name="sam")), *TRAIN)
    clear = np.diff(np.sort(expected, axis=1)[:, :2], axis=1)[:, 0] > 1e-4
    np.testing.assert_array_equal(through_recipe.predict(FRESH[0])[clear], CLASSES[expected.argmin(axis=1)][clear])
    assert clear.mean() > 0.98


def test_the_angle_depends_neither_on_light_nor_on_the_recipes_scaling() -> None:
    plain = fit_estimator(build_estimator(EstimatorOptions(name="sam", scaling="none")), *TRAIN)
    scaled = fit_estimator(build_estimator(EstimatorOptions(name="sam", scaling="standard")), *TRAIN)
    np.testing.assert_array_equal(plain.predict_proba(FRESH[0]), scaled.predict_proba(FRESH[0]))
    np.testing.assert_allclose(plain.predict_proba(FRESH[0] * 0.01), plain.predict_proba(FRESH[0]), atol=2e-3)


def test_a_black_pixel_is_at_a_right_angle_to_all_and_equally_likely_of_all() -> None:
    mapper = fit_estimator(build_estimator(EstimatorOptions(name="sam")), *TRAIN)
    np.testing.assert_allclose(mapper.predict_proba(np.zeros((1, BANDS), np.float32)), 0.25)


def test_angles_of_a_class_spread_as_far_as_the_probabilities_say() -> None:
    proba = fit_estimator(build_estimator(EstimatorOptions(name="sam")), *TRAIN).predict_proba(FRESH[0])
    right = CLASSES[proba.argmax(axis=1)] == FRESH[1]
    assert 0.5 < proba.max(axis=1).mean() <= right.mean() + 0.02


def test_the_search_for_neighbours_takes_the_k_of_the_best_score_over_blocks_and_predicts_as_scikit_learn(
    tmp_path,
) -> None:
    options = EstimatorOptions(name="knn", search=True, scaling="none")
    own = fit_estimator(build_estimator(options), *TRAIN)
    assert own.best_params_["classify__n_neighbors"] in (1, 3, 5, 10, 20)
    reference = KNeighborsClassifier(own.best_params_["classify__n_neighbors"], weights="distance", algorithm="brute")
    expected = reference.fit(TRAIN[0], TRAIN[1]).predict_proba(FRESH[0])
    np.testing.assert_allclose(own.predict_proba(FRESH[0]), expected, atol=1e-6)
    loaded = load_estimator(save_estimator(own, tmp_path / "knn.skops"))
    np.testing.assert_array_equal(loaded.predict_proba(FRESH[0]), own.predict_proba(FRESH[0]))


def test_noise_makes_the_search_take_many_neighbours() -> None:
    rng = np.random.default_rng(3)
    index = rng.integers(0, 2, 600)
    vectors = (index[:, None] * 0.8 + rng.normal(0, 1, (600, 5))).astype(np.float32)
    own = build_estimator(EstimatorOptions(name="knn", search=True, search_neighbours=(1, 20)))
    assert fit_estimator(own, vectors, index, rng.integers(0, 9, 600)).best_params_ == {"classify__n_neighbors": 20}


@pytest.mark.parametrize("name", ["linear_svm", "sgd_svm"])
@pytest.mark.parametrize("classes", [2, 4])
def test_linear_machines_score_in_one_product_as_scikit_learns_pipeline(name: str, classes: int) -> None:
    own = TRAIN[1] <= CLASSES[classes - 1]
    fitted = fit_estimator(build_estimator(EstimatorOptions(name=name)), *(part[own] for part in TRAIN)).estimator_
    expected = fitted.decision_function(FRESH[0].astype(np.float64))
    scores = class_scores(fitted, FRESH[0])
    scores = scores[:, 1] if classes == 2 else scores
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())
