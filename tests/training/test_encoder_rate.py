"""The encoder's own learning rate: in the optimiser's groups, at every step of every schedule, and in what is learnt."""

from pathlib import Path

import pytest
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model
from deepnets4eo.training import Recipe, TrainSection
from deepnets4eo.training.epochs import Fit
from deepnets4eo.training.loop import fit_network
from deepnets4eo.training.optimization import build_optimizer
from deepnets4eo.training.recipe import resolve


def settings(**train: object) -> TrainSection:
    return resolve({"train": {"epochs": 2, "lr": 0.01, "optimizer": "sgd", **train}}, kind=Recipe).train


class Network(nn.Module):
    """An encoder and a decoder of one layer each; both start alike and see the same gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        for layer in (self.encoder, self.decoder):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.encoder(image) + self.decoder(image)


class Named(Network):
    """Says itself what its encoder is."""

    def encoder_parameters(self) -> list[nn.Parameter]:
        return [self.decoder.weight]


class Recorder:
    """Two batches an epoch, and the rates of the optimiser whenever one is asked for."""

    def __len__(self) -> int:
        return 2

    def __iter__(self):
        return ({"image": torch.ones(1, 1, 4, 4)} for _ in range(2))


def rates(network: nn.Module, train: TrainSection) -> dict[str, float]:
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = build_optimizer(network, train).param_groups
    return {names[parameter]: group["lr"] for group in groups for parameter in group["params"]}


@pytest.mark.parametrize(("name", "options"), [("segnet", {"width": 2}), ("unet/resnet18", {})])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_weight_of_the_encoder_has_half_the_rate(name, options, optimizer):
    network = create_model(name, in_channels=3, num_classes=2, **options)
    found = rates(network, settings(encoder_lr_factor=0.5, optimizer=optimizer))
    assert found == {
        name: 0.005 if name.startswith("encoder.") else 0.01 for name, _ in network.named_parameters()
    }  # every parameter once


def test_without_a_factor_all_weights_have_one_rate_and_the_groups_of_before():
    network = create_model("segnet", in_channels=3, num_classes=2, width=2)
    groups = build_optimizer(network, settings()).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.01, 0.01), (0.01, 0.0)]


def test_a_network_may_name_its_encoder_itself():
    found = rates(Named(), settings(encoder_lr_factor=0.1))
    assert found == {
        "encoder.weight": 0.01, "encoder.bias": 0.01, "decoder.weight": pytest.approx(0.001), "decoder.bias": 0.01,
    }  # fmt: skip


@pytest.mark.parametrize("schedule", ["constant", "step", "poly", "one_cycle"])
def test_the_ratio_holds_at_every_step_and_in_what_is_learnt(tmp_path: Path, monkeypatch, schedule: str) -> None:
    seen = []
    original = torch.optim.SGD.step

    def step(self, *arguments, **named):
        seen.append([group["lr"] for group in self.param_groups])
        return original(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    train = settings(
        schedule=schedule, encoder_lr_factor=0.5, momentum=0.0, weight_decay=0, keep="last", warmup_share=0.5,
        step_epochs=(1,),
    )  # fmt: skip
    network = Network()
    loss = lambda network, batch: network(batch["image"]).mean()  # noqa: E731
    fit_network(network, loss, Recorder(), lambda _: {"mean_iou": 0.5}, Fit(train, tmp_path, "recipe"))
    assert len(seen) == 4
    assert len({rates[0] for rates in seen}) > 1 or schedule == "constant"
    for decoder, _, encoder, _ in seen:
        assert encoder == pytest.approx(0.5 * decoder)
    assert float(network.encoder.weight) == pytest.approx(0.5 * float(network.decoder.weight))
    assert float(network.decoder.weight) == pytest.approx(-sum(rates[0] for rates in seen))


def test_an_encoder_that_there_is_not_is_refused():
    with raises_naming(InputError, "Conv2d", "1"):
        build_optimizer(nn.Conv2d(1, 1, 1), settings(encoder_lr_factor=0.5))
