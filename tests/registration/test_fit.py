"""Models through tie points, robust against wrong ones, and the choice between them."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, strategies as st
from skimage.transform import estimate_transform

from deepnets4eo.grid import apply_affine
from deepnets4eo.registration.fit import (
    choose_model,
    exact_models,
    held_out_errors,
    least_squares,
    residuals,
    robust_fit,
    scale_and_turn,
)

TRUTH = {
    "translation": Affine.translation(3, -7),
    "similarity": Affine.translation(3, -7) * Affine.rotation(1.3) * Affine.scale(1.02),
    "affine": Affine(1.01, 0.004, 5, -0.02, 0.985, -3),
}


def ties(model: Affine, count: int, *, noise: float = 0.0, wrong: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 500, (count, 2))
    targets = apply_affine(model, points) + noise * rng.standard_normal((count, 2))
    bad = rng.random(count) < wrong
    targets[bad] = points[bad] + rng.uniform(-30, 30, (int(bad.sum()), 2))
    return points, targets


@pytest.mark.parametrize("name", TRUTH)
def test_exact_points_give_the_model_back(name):
    points, targets = ties(TRUTH[name], 20)
    found = least_squares(name, points, targets, np.ones(20))
    np.testing.assert_allclose(found[:6], TRUTH[name][:6], atol=1e-9)


@given(st.integers(0, 10_000))
def test_similarity_agrees_with_scikit_image_and_affine_with_plain_least_squares(seed):
    points, targets = ties(TRUTH["affine"], 15, noise=0.5, seed=seed)
    similarity = least_squares("similarity", points, targets, np.ones(15))
    reference = estimate_transform("similarity", points, targets)
    np.testing.assert_allclose(np.array(similarity).reshape(3, 3), reference.params, atol=1e-6)
    affine = least_squares("affine", points, targets, np.ones(15))
    solution = np.linalg.lstsq(np.column_stack((points, np.ones(15))), targets, rcond=None)[0]
    np.testing.assert_allclose(np.array(affine[:6]).reshape(2, 3), solution.T, atol=1e-6)


@pytest.mark.parametrize("name", TRUTH)
def test_sixty_percent_wrong_points_do_no_harm(name):
    points, targets = ties(TRUTH[name], 200, noise=0.2, wrong=0.6)
    found = robust_fit(name, points, targets, 1.5, np.random.default_rng(0))
    assert residuals(found, points, apply_affine(TRUTH[name], points)).max() < 0.35


@pytest.mark.parametrize("name", TRUTH)
def test_the_simplest_model_that_predicts_unseen_points_is_chosen(name):
    points, targets = ties(TRUTH[name], 120, noise=0.3, wrong=0.2)
    assert choose_model(points, targets, 1.5, np.random.default_rng(0)) == name


def test_few_points_never_bend_the_model():
    points, targets = ties(TRUTH["affine"], 8, noise=0.1)
    assert choose_model(points, targets, 1.5, np.random.default_rng(0)) == "translation"


@pytest.mark.parametrize(
    ("count", "name"), [(8, "translation"), (9, "similarity"), (17, "similarity"), (18, "affine"), (40, "affine")]
)
def test_a_richer_model_needs_half_as_many_points_again_as_its_fit(count, name):
    bent = Affine(1.05, 0.002, 5, -0.002, 1.047, -3)
    points, targets = ties(bent, count, seed=1)
    assert choose_model(points, targets, 1.5, np.random.default_rng(0)) == name


@pytest.mark.parametrize(("name", "fewest"), [("similarity", 6), ("affine", 12)])
def test_a_model_is_refined_by_least_squares_from_enough_points_only(name, fewest):
    """Through few points it stays the exact one of a minimal sample: no average of noise."""
    exact = {"similarity": 2, "affine": 3}[name]
    for count, through_sample in ((fewest - 1, True), (fewest, False)):
        points, targets = ties(TRUTH[name], count, noise=0.05)
        found = robust_fit(name, points, targets, 1.5, np.random.default_rng(0))
        touched = (residuals(found, points, targets) < 1e-9).sum()
        assert bool(touched >= exact) is through_sample


def test_scale_and_turn_are_read_from_the_matrix():
    low, high, turn = scale_and_turn(Affine.rotation(-2.0) * Affine.scale(1.03))
    assert (low, high, turn) == pytest.approx((1.03, 1.03, -2.0))


def test_samples_that_lie_all_but_on_a_line_are_left_out():
    points = np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 2.0], [0.0, 100.0]])
    found = exact_models("affine", points, points, np.array([[0, 1, 2], [0, 1, 3]]))
    assert len(found) == 1
    np.testing.assert_allclose(found[0], [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_a_held_out_point_never_shapes_the_model_that_judges_it():
    points, targets = ties(TRUTH["similarity"], 40, noise=0.1)
    fold = np.arange(40) % 5
    errors = held_out_errors("similarity", points, targets, 1.0, fold)
    kept = fold != 2
    fitted = robust_fit("similarity", points[kept], targets[kept], 1.0, np.random.default_rng(2))
    np.testing.assert_array_equal(errors[~kept], residuals(fitted, points[~kept], targets[~kept]))
    assert np.isinf(
        held_out_errors("affine", points[:3], targets[:3], 1.0, fold[:3])
    ).all()  # two points make no affine
