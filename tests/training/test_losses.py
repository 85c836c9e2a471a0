"""Losses against computations by hand, in NumPy; void and invalid pixels; empty batches."""

import numpy as np
import pytest
import torch
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.training import SumOfLosses, median_frequency

NAMES = ["cross_entropy", "dice", "lovasz", "focal"]


def make_batch(seed: int = 0, num_classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (2, num_classes, 6, 5)).astype("float32"))
    mask = torch.from_numpy(rng.integers(0, num_classes, (2, 6, 5)))
    mask[rng.random((2, 6, 5)) < 0.2] = 255
    return logits, mask, torch.from_numpy(rng.random((2, 6, 5)) < 0.8)


def counted_pixels(logits: torch.Tensor, mask: torch.Tensor, valid: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    keep = ((mask != 255) & valid).numpy()
    scores = np.moveaxis(logits.numpy().astype("float64"), 1, -1)[keep]
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True), mask.numpy()[keep]


def jaccard_loss_by_hand(probabilities: np.ndarray, labels: np.ndarray, one: int) -> float:
    """Lovász extension as the integral of the set function over thresholds of the error."""
    truth = labels == one
    errors = np.abs(truth - probabilities[:, one])
    order = np.argsort(-errors)
    levels, total = np.append(errors[order], 0.0), 0.0
    for count in range(1, len(errors) + 1):
        wrong = np.zeros(len(errors), bool)
        wrong[order[:count]] = True
        predicted = truth ^ wrong
        jaccard = 1 - (truth & predicted).sum() / (truth | predicted).sum()
        total += jaccard * (levels[count - 1] - levels[count])
    return total


def test_cross_entropy_is_the_mean_over_counted_pixels() -> None:
    batch = make_batch()
    probabilities, labels = counted_pixels(*batch)
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert float(SumOfLosses({"cross_entropy": 1.0})(*batch)) == pytest.approx(expected, rel=1e-5)


def test_class_weights_divide_by_the_weights_met() -> None:
    batch, weights = make_batch(), np.array([1.0, 0.0, 3.0, 0.5])
    probabilities, labels = counted_pixels(*batch)
    expected = -(weights[labels] * np.log(probabilities[np.arange(len(labels)), labels])).sum() / weights[labels].sum()
    assert float(SumOfLosses({"cross_entropy": 1.0}, weights)(*batch)) == pytest.approx(expected, rel=1e-5)


def test_dice_agrees_with_its_formula() -> None:
    batch = make_batch(1)
    probabilities, labels = counted_pixels(*batch)
    truth = np.eye(4)[labels]
    expected = np.mean(1 - 2 * (probabilities * truth).sum(0) / (probabilities + truth).sum(0))
    assert float(SumOfLosses({"dice": 1.0})(*batch)) == pytest.approx(expected, rel=1e-4)


def test_lovasz_agrees_with_the_integral_of_the_jaccard_loss() -> None:
    batch = make_batch(2)
    probabilities, labels = counted_pixels(*batch)
    expected = np.mean([jaccard_loss_by_hand(probabilities, labels, one) for one in np.unique(labels)])
    assert float(SumOfLosses({"lovasz": 1.0})(*batch)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 3.0, 0.5]])
def test_focal_agrees_with_its_formula(weights: list[float] | None) -> None:
    logits, mask, valid = make_batch(7)
    keep = ((mask != 255) & valid).numpy()
    odds, labels = np.exp(np.moveaxis(logits.numpy().astype("float64"), 1, -1)[keep]), mask.numpy()[keep]
    right = np.where(labels[:, None] == np.arange(4), odds, 1) / (1 + odds)
    of_classes = ((1 - right) ** 2 * -np.log(right)).mean(axis=0)
    expected = np.average(of_classes, weights=weights)
    assert float(SumOfLosses({"focal": 1.0}, weights)(logits, mask, valid)) == pytest.approx(expected, rel=1e-6)


def test_lovasz_averages_the_classes_that_are_present() -> None:
    logits, mask, valid = make_batch(8)
    mask[(mask == 0) | (mask == 3)] = 1
    probabilities, labels = counted_pixels(logits, mask, valid)
    expected = np.mean([jaccard_loss_by_hand(probabilities, labels, one) for one in (1, 2)])
    assert float(SumOfLosses({"lovasz": 1.0})(logits, mask, valid)) == pytest.approx(expected, rel=1e-6)


def test_losses_add_up_with_their_weights() -> None:
    batch = make_batch(3)
    parts = [float(SumOfLosses({name: 1.0})(*batch)) for name in NAMES]
    weights = [1.0, 0.5, 0.25, 2.0]
    together = float(SumOfLosses(dict(zip(NAMES, weights, strict=True)))(*batch))
    assert together == pytest.approx(np.dot(parts, weights), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_all_void_batch_costs_nothing_and_moves_nothing(name: str) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = SumOfLosses({name: 1.0}, [1.0, 2.0, 3.0])(logits, torch.full((2, 4, 4), 255))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", NAMES)
def test_invalid_and_void_pixels_get_no_gradient(name: str) -> None:
    logits, mask, valid = make_batch(4)
    logits.requires_grad_()
    SumOfLosses({name: 1.0})(logits, mask, valid).backward()
    outside = (mask == 255) | ~valid
    gradient = logits.grad.abs().sum(1)
    assert gradient[outside].max() == 0
    assert gradient[~outside].max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_void_pixels_show_does_not_matter(name: str) -> None:
    logits, mask, valid = make_batch(5)
    other = torch.where(((mask == 255) | ~valid)[:, None], torch.tensor(1e4), logits)
    criterion = SumOfLosses({name: 1.0})
    assert float(criterion(logits, mask, valid)) == float(criterion(other, mask, valid))


def test_a_batch_of_classes_that_weigh_nothing_is_no_nan() -> None:
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = SumOfLosses({"cross_entropy": 1.0}, [0.0, 1.0])(logits, torch.zeros(1, 4, 4, dtype=torch.int64))
    assert float(loss.detach()) == 0


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits, mask, valid = make_batch(6)
    loss = SumOfLosses({"cross_entropy": 1.0})(logits.bfloat16(), mask, valid)
    assert loss.dtype == torch.float32


def test_an_unknown_loss_lists_those_there_are() -> None:
    with raises_naming(InputError, "'hinge'", "cross_entropy"):
        SumOfLosses({"hinge": 1.0})


def test_median_frequency_needs_one_labelled_pixel() -> None:
    with pytest.raises(InputError, match="no training pixel carries a label"):
        median_frequency([0, 0])


def test_lovasz_weighs_the_classes() -> None:
    batch, weights = make_batch(2), np.array([1.0, 0.0, 3.0, 0.5])
    probabilities, labels = counted_pixels(*batch)
    of_classes = [jaccard_loss_by_hand(probabilities, labels, one) for one in range(4)]
    found = float(SumOfLosses({"lovasz": 1.0}, weights.tolist())(*batch))
    assert found == pytest.approx(np.average(of_classes, weights=weights), rel=1e-4)
