"""Losses of two tasks weighed by hand, on a network of one shared and one own weight a task."""

import math

import pytest
import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.units import InUnits
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.regression import ASYMMETRY, RegressionRecipe, balance_losses


class TwoTasks(nn.Module):
    """Two channels from one shared convolution: x · s · (3, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.decoder.weight)

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(image) * torch.tensor([3.0, 1.0])[:, None, None]


def losses_of(network: nn.Module) -> Tensor:
    return network(torch.ones(1, 1, 1, 1)).flatten()


def test_equal_weights_are_the_sum_and_variances_divide() -> None:
    network = InUnits(TwoTasks(), balanced=True)
    assert float(balance_losses(losses_of(network), network, "equal").detach()) == 4
    with torch.no_grad():
        network.tasks.numbers.copy_(torch.tensor([math.log(3.0), 0.0]))
    loss = balance_losses(losses_of(network), network, "log_variance")
    assert float(loss.detach()) == pytest.approx(3 / 3 + 1 + math.log(3) / 2)
    loss.backward()
    assert network.tasks.numbers.grad.tolist() == pytest.approx([-1 + 0.5, -1 + 0.5])


def test_gradnorm_weighs_the_task_with_the_smaller_gradient_more_and_the_slower_one() -> None:
    network = InUnits(TwoTasks(), balanced=True)
    loss = balance_losses(losses_of(network), network, "gradnorm")
    assert network.tasks.first_losses.tolist() == [3, 1]
    assert float(loss.detach()) == pytest.approx(
        3 + 1 + abs(3 - 2) + abs(1 - 2)
    )  # both learn as fast: sizes shall be equal
    loss.backward()
    assert network.tasks.numbers.grad[0] > 0 > network.tasks.numbers.grad[1]
    assert float(network.network.decoder.weight.grad) == pytest.approx(4)  # the sizes of gradients move no other weight
    with torch.no_grad():
        network.tasks.first_losses.copy_(torch.tensor([6.0, 1.0]))  # the first task is down to a half
    aims = [2 * (rate / 0.75) ** ASYMMETRY for rate in (0.5, 1.0)]
    loss = balance_losses(losses_of(network), network, "gradnorm")
    assert float(loss.detach()) == pytest.approx(4 + abs(3 - aims[0]) + abs(1 - aims[1]))


def test_networks_without_a_shared_decoder_and_one_task_are_refused() -> None:
    network = InUnits(nn.Conv2d(1, 2, 1), balanced=True)
    with pytest.raises(InputError, match="no part named decoder"):
        balance_losses(losses_of(network), network, "gradnorm")
    with pytest.raises(InputError, match="no classes beside"):
        resolve({"model": {"network": "unet"}}, ["train.balance=gradnorm"], kind=RegressionRecipe)
    with pytest.raises(InputError, match="gaussian learns the deviation"):
        resolve({"model": {"network": "unet"}}, ["target.deviation=true"], kind=RegressionRecipe)
