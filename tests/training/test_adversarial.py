"""An LS-GAN beside a loss of values: each side's gradients come from its own loss alone, and both are kept to resume."""

from pathlib import Path

import pytest
import torch
from torch import nn

from deepnets4eo.segmenters.units import InUnits
from deepnets4eo.training.regression import adversarial_loss
from deepnets4eo.training.state import load_state, save_state

IMAGE = torch.rand(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))


def make_network() -> InUnits:
    torch.manual_seed(1)
    return InUnits(nn.Conv2d(2, 1, 1), offset=2.0, scale=3.0, critic_bands=2)


def test_each_side_learns_from_its_own_loss_alone() -> None:
    network, values = make_network(), torch.full((1, 16, 16), 5.0)
    estimate = network(IMAGE)[:, 0]
    adversarial_loss(network, IMAGE, estimate, values).backward()
    critic = network.discriminator
    made = torch.cat([IMAGE, (estimate[:, None].detach() - 2) / 3], dim=1)
    real = torch.cat([IMAGE, torch.ones(1, 1, 16, 16)], dim=1)
    own = (critic(real) - 1).square().mean() / 2 + critic(made).square().mean() / 2
    gradients = torch.autograd.grad(own, list(critic.parameters()))
    for parameter, expected in zip(critic.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    again = torch.cat([IMAGE, network.network(IMAGE)], dim=1)
    (expected,) = torch.autograd.grad((critic(again) - 1).square().mean() / 2, network.network.weight)
    torch.testing.assert_close(network.network.weight.grad, expected)


def test_void_pixels_tell_the_discriminator_nothing() -> None:
    network = make_network()
    estimate = network(IMAGE)[:, 0]
    loss = adversarial_loss(network, IMAGE, estimate, torch.full((1, 16, 16), torch.nan))
    score = network.discriminator(torch.cat([IMAGE, (estimate[:, None] - 2) / 3], dim=1))
    assert float(loss.detach()) == pytest.approx(
        float(((score - 1).square() + score.square() / 2).mean().detach()), rel=1e-5
    )


def test_both_sides_and_their_optimiser_are_in_the_state_of_a_training(tmp_path: Path) -> None:
    networks = [make_network() for _ in range(2)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=0.01) for network in networks]

    def step(number: int) -> None:
        network, optimizer = networks[number], optimizers[number]
        optimizer.zero_grad()
        adversarial_loss(network, IMAGE, network(IMAGE)[:, 0], torch.full((1, 16, 16), 5.0)).backward()
        optimizer.step()

    step(0)
    save_state(tmp_path / "last.safetensors", networks[0], optimizers[0], {})
    optimizers[1].zero_grad()
    step(1)  # an optimiser has a state after a step
    load_state(tmp_path / "last.safetensors", networks[1], optimizers[1])
    step(0)
    step(1)
    first, second = (network.state_dict() for network in networks)
    assert any(name.startswith("discriminator.") for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
