"""Losses of values by hand: four pixels of which one is void."""

import math

import pytest
import torch

from deepnets4eo.training.value_losses import MIN_SHARE_OF_MEAN, SumOfValueLosses

NAN = math.nan
# errors 2, -1, void, 0.5
TRUTH = torch.tensor([[[1.0, 4.0], [NAN, 2.0]]])
GUESS = torch.tensor([[[[3.0, 3.0], [9.0, 2.5]]]])
LOG = [math.log(3.0), math.log(3.0 / 4.0), math.log(2.5 / 2.0)]
D = 0.2 * 2.0  # of the largest error

BY_HAND = {
    "l1": (2 + 1 + 0.5) / 3,
    "l2": (4 + 1 + 0.25) / 3,
    "berhu": ((4 + D**2) / (2 * D) + (1 + D**2) / (2 * D) + (0.25 + D**2) / (2 * D)) / 3,  # all beyond 0.4
    "huber": (D * (2 - D / 2) + D * (1 - D / 2) + D * (0.5 - D / 2)) / 3,
    "l1_log": sum(map(abs, LOG)) / 3,
    "eigen": sum(one**2 for one in LOG) / 3 - 0.5 * (sum(LOG) / 3) ** 2,
    "gradient": abs(-1 - 2) + abs(0.5 - (-1)),  # one known pair along the row, one along the column
}
BY_HAND["eigen_grad"] = BY_HAND["eigen"] + (LOG[1] - LOG[0]) ** 2 + (LOG[2] - LOG[1]) ** 2


@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_is_the_mean_over_the_known_pixels(name: str) -> None:
    loss = SumOfValueLosses({name: 1.0})
    assert float(loss(GUESS, TRUTH)) == pytest.approx(BY_HAND[name], rel=1e-5)
    assert float(SumOfValueLosses({name: 0.5})(GUESS, TRUTH)) == pytest.approx(BY_HAND[name] / 2, rel=1e-5)


@pytest.mark.parametrize("name", [*BY_HAND, "gaussian"])
def test_void_and_equal_values_have_no_loss_and_no_gradient_that_is_not_a_number(name: str) -> None:
    guess = torch.ones(1, 2, 3, 3, requires_grad=True)
    loss = SumOfValueLosses({name: 1.0})
    for truth in (torch.full((1, 3, 3), NAN), torch.ones(1, 3, 3)):
        value = loss(guess, truth)
        (gradient,) = torch.autograd.grad(value, guess)
        assert float(value) == 0.0
        assert gradient.isfinite().all()


def test_small_errors_are_absolute_in_berhu_and_squared_in_huber() -> None:
    truth, guess = torch.zeros(1, 1, 2), torch.tensor([[[[10.0, 1.0]]]])  # d = 2
    assert float(SumOfValueLosses({"berhu": 1.0})(guess, truth)) == pytest.approx(((100 + 4) / 4 + 1) / 2)
    assert float(SumOfValueLosses({"huber": 1.0})(guess, truth)) == pytest.approx((2 * (10 - 1) + 0.5) / 2)


def test_logarithms_leave_out_ground_and_go_on_straight_below_a_floor() -> None:
    truth, guess = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[[5.0, -3.0]]]])
    straight = math.log(MIN_SHARE_OF_MEAN) + (-3.0 - MIN_SHARE_OF_MEAN) / MIN_SHARE_OF_MEAN
    assert float(SumOfValueLosses({"l1_log": 1.0})(guess, truth)) == pytest.approx(-straight)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("name", ["l1_log", "eigen", "eigen_grad"])
def test_losses_of_logarithms_are_the_same_in_any_unit(name: str, factor: float) -> None:
    loss = SumOfValueLosses({name: 1.0})
    guess = torch.tensor([[[[3.0, -0.5], [9.0, 0.01]]]], requires_grad=True)
    other = (guess.detach() * factor).requires_grad_()
    losses = loss(guess, TRUTH), loss(other, TRUTH * factor)
    assert float(losses[1]) == pytest.approx(float(losses[0]), rel=1e-4)
    gradients = [torch.autograd.grad(one, values)[0] for one, values in zip(losses, (guess, other), strict=True)]
    torch.testing.assert_close(gradients[1] * factor, gradients[0], rtol=1e-3, atol=1e-5)
    assert (gradients[0][0, 0][TRUTH[0].isfinite()] != 0).all()


def test_the_second_term_of_eigens_loss_takes_one_factor_off() -> None:
    """The published code divides twice, so that its second term vanishes with the number of pixels."""
    truth = torch.rand(2, 40, 40) + 1
    assert float(SumOfValueLosses({"eigen": 1.0})(3 * truth[:, None], truth)) == pytest.approx(
        math.log(3) ** 2 / 2, rel=1e-4
    )


def test_the_gaussian_loss_is_the_negative_log_likelihood() -> None:
    mean, deviation = torch.tensor([[[[3.0]]]]), torch.tensor([[[[2.0]]]])
    loss = SumOfValueLosses({"gaussian": 1.0})(torch.cat([mean, deviation], dim=1), torch.tensor([[[1.0]]]))
    expected = -torch.distributions.Normal(3.0, 2.0).log_prob(torch.tensor(1.0)) - math.log(2 * math.pi) / 2
    assert float(loss) == pytest.approx(float(expected))
