"""Weights pulled to their start: the gradient against autograd, the closed form of a pulled weight, resuming, kept statistics."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.training import Checkpoint, Recipe, TrainSection
from deepnets4eo.training.epochs import Fit
from deepnets4eo.training.loop import fit_network
from deepnets4eo.training.optimization import PullToStart, build_optimizer
from deepnets4eo.training.recipe import resolve

STARTED = {"encoder_weights": "efficientnet-lite0"}


def settings(**train: object) -> TrainSection:
    return resolve({"model": STARTED, "train": {"lr": 0.1, **train}}, kind=Recipe).train


class Network(nn.Module):
    """An encoder with a normalisation, of which one weight is frozen, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1, bias=False))
        self.encoder[2].weight.requires_grad_(False)
        self.decoder = nn.Conv2d(3, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(image))


class Batches:
    """Three batches an epoch, the same in every epoch."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        draw = torch.Generator().manual_seed(5)
        return ({"image": 1 + torch.randn(4, 2, 6, 6, generator=draw)} for _ in range(3))


def loss_of(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return (network(batch["image"]) - batch["image"].mean()).square().mean()


def fit(
    network: nn.Module, out: Path, train: TrainSection, *, epochs: int | None = None, resume: bool = False
) -> nn.Module:
    plan = Fit(train, out, "recipe", epochs=epochs, resume=resume)
    fit_network(network, loss_of, Batches(), lambda _: {"mean_iou": 0.5}, plan)
    return network


def test_the_gradient_is_that_of_the_penalty_by_autograd() -> None:
    network = Network()
    pull = PullToStart(network, 0.7)
    learnt = {name: value for name, value in network.encoder.named_parameters() if value.requires_grad}
    starts = {name: value.detach().clone() for name, value in learnt.items()}
    with torch.no_grad():
        for number, value in enumerate(network.parameters()):
            value.add_(0.1 * (number + 1))
    loss = loss_of(network, next(iter(Batches())))
    penalty = 0.35 * sum((learnt[name] - start).square().sum() for name, start in starts.items())
    weights = [*learnt.values(), *network.decoder.parameters()]
    expected = torch.autograd.grad(loss + penalty, weights, retain_graph=True)
    loss.backward()
    pull.add_gradient()
    for value, gradient in zip(weights, expected, strict=True):
        torch.testing.assert_close(value.grad, gradient)
    assert network.encoder[2].weight.grad is None


def test_a_constant_gradient_moves_a_pulled_weight_no_further_than_the_pull_allows(tmp_path: Path) -> None:
    network = Network()
    start = network.get_parameter("encoder.0.bias").detach().clone()
    train = settings(optimizer="sgd", momentum=0.0, schedule="constant", epochs=200, pull_to_start=2.0, keep="last")
    slope = lambda network, batch: network.get_parameter("encoder.0.bias").sum() + 0 * network(batch["image"]).sum()  # noqa: E731
    fit_network(network, slope, Batches(), lambda _: {"mean_iou": 0.5}, Fit(train, tmp_path, "recipe"))
    torch.testing.assert_close(network.encoder[0].bias, start - 0.5)  # where 1 + 2 (w - w0) = 0


def test_pulled_weights_are_not_pulled_to_zero_as_well() -> None:
    network = Network()
    names = {value: name for name, value in network.named_parameters()}
    groups = build_optimizer(network, settings(pull_to_start=0.1, decay="all")).param_groups
    decayed = {names[value]: group["weight_decay"] > 0 for group in groups for value in group["params"]}
    assert decayed == {
        name: name.startswith("decoder") for name, value in network.named_parameters() if value.requires_grad
    }


def test_a_resumed_training_is_pulled_to_its_first_weights(tmp_path: Path) -> None:
    train = settings(pull_to_start=0.3, epochs=4, keep="last", schedule="constant")
    whole = fit(Network(), tmp_path / "whole", train).state_dict()
    fit(Network(), tmp_path / "parts", train, epochs=2)
    assert (tmp_path / "parts" / "checkpoints" / Checkpoint.last).is_file()
    resumed = fit(Network(), tmp_path / "parts", train, resume=True).state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    free = fit(Network(), tmp_path / "free", settings(epochs=4, keep="last", schedule="constant")).state_dict()
    assert not torch.equal(free["encoder.0.weight"], whole["encoder.0.weight"])


def test_kept_statistics_stay_while_the_weights_learn(tmp_path: Path) -> None:
    network, before = Network(), Network().state_dict()
    fit(network, tmp_path / "kept", settings(keep_statistics=True, epochs=2, keep="last"))
    kept = network.state_dict()
    assert torch.equal(kept["encoder.1.running_mean"], torch.zeros(3))
    assert torch.equal(kept["encoder.1.running_var"], torch.ones(3))
    assert not torch.equal(kept["encoder.1.weight"], before["encoder.1.weight"])
    followed = fit(Network(), tmp_path / "followed", settings(epochs=2, keep="last")).state_dict()
    assert not torch.equal(followed["encoder.1.running_mean"], torch.zeros(3))


@pytest.mark.parametrize(("key", "value"), [("pull_to_start", 0.1), ("keep_statistics", True)])
def test_random_first_weights_and_a_missing_encoder_are_refused(key: str, value: object, tmp_path: Path) -> None:
    with raises_naming(InputError, key, value):
        resolve({"train": {key: value}}, kind=Recipe)
    plain = nn.Conv2d(2, 1, 1)
    with raises_naming(InputError, key):
        fit(plain, tmp_path, settings(**{key: value}))
