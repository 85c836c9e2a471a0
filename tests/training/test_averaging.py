"""The running mean of the weights: as computed by hand, kept over resumptions, and validated on; and a limit of time."""

from pathlib import Path

import pytest
import torch
from torch import nn

from deepnets4eo.cards import recipe_path
from deepnets4eo.files import read_yaml
from deepnets4eo.training import Recipe, TrainSection
from deepnets4eo.training.epochs import Fit, Progress
from deepnets4eo.training.loop import fit_network
from deepnets4eo.training.optimization import FIRST_STEPS, PARTS, mean_weights, update_mean_weights
from deepnets4eo.training.recipe import resolve


class Batches:
    """Three batches that follow from the epoch."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        return ({"image": torch.randn(4, 2, generator=generator)} for _ in range(3))


def kept_at(most: float, step: int) -> float:
    """Share of the mean that is kept at a step."""
    later = max(step - FIRST_STEPS, 0)
    return min(most, later / (later + PARTS))


def section(**train: object) -> TrainSection:
    return resolve({"train": {"epochs": 4, "schedule": "constant", "average": 0.9, **train}}, kind=Recipe).train


def fit(out: Path, train: TrainSection, *, seen: list | None = None, **options: object) -> tuple[nn.Module, Progress]:
    torch.manual_seed(0)
    network = nn.Linear(2, 1)

    def step(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        if seen is not None:
            seen.append(network.weight.detach().clone())
        return (network(batch["image"]) - 1).square().mean()

    def validate(network: nn.Module) -> dict[str, float]:
        return {"mean_iou": network.weight.sum().item()}

    return network, fit_network(network, step, Batches(), validate, Fit(train, out, "recipe", **options))


def test_the_mean_is_that_of_the_formula() -> None:
    network = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    expected = None
    for number in range(1, FIRST_STEPS + 80):
        optimizer.zero_grad()
        (network(torch.randn(4, 2)) - 1).square().mean().backward()
        optimizer.step()
        update_mean_weights(network, optimizer, 0.8, number)
        keep = kept_at(0.8, number)
        now = network.weight.detach().clone()
        expected = now if expected is None else keep * expected + (1 - keep) * now
    with mean_weights(network, optimizer):
        assert torch.allclose(network.weight, expected, atol=1e-6)
    assert torch.equal(network.weight, now)


def test_a_short_training_keeps_its_last_weights_and_a_long_one_the_mean_of_a_tenth() -> None:
    network = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 1)).sum().backward()
    optimizer.step()  # so that there is a state
    means = []
    for number in range(1, 1001):
        torch.nn.init.constant_(network.weight, number)
        update_mean_weights(network, optimizer, 0.998, number)
        with mean_weights(network, optimizer):
            means.append(network.weight.item())
    assert means[FIRST_STEPS - 1] == FIRST_STEPS
    behind = 1000 - means[-1]
    assert behind == pytest.approx((1000 - FIRST_STEPS) / (PARTS + 1), rel=0.05)


def test_the_mean_is_validated_and_kept(tmp_path: Path) -> None:
    epochs = 2 * FIRST_STEPS // 3  # of three steps
    network, progress = fit(tmp_path, section(epochs=epochs, keep="last"))
    assert progress.history[-1]["mean_iou"] == pytest.approx(network.weight.sum().item())
    own, _ = fit(tmp_path / "own", section(epochs=epochs, average=0.0, keep="last"))
    assert not torch.equal(own.weight, network.weight)


def test_a_training_resumed_after_its_minutes_ends_in_the_same_mean(tmp_path: Path) -> None:
    whole, _ = fit(tmp_path / "whole", section(keep="last"))
    _, begun = fit(tmp_path / "cut", section(keep="last"), minutes=0.0)
    assert begun.epochs_done == 1
    resumed, progress = fit(tmp_path / "cut", section(keep="last"), resume=True)
    assert progress.epochs_done == 4
    assert torch.equal(resumed.weight, whole.weight)


def test_a_training_of_fewer_epochs_has_their_rates_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    train = section(keep="last", schedule="poly")
    whole, in_one = fit(tmp_path / "whole", train)
    _, begun = fit(tmp_path / "cut", train, epochs=2)
    assert [row["lr"] for row in begun.history] == [row["lr"] for row in in_one.history[:2]]
    resumed, _ = fit(tmp_path / "cut", train, epochs=9, resume=True)
    assert torch.equal(resumed.weight, whole.weight)


def test_no_minutes_left_restore_what_was_learnt(tmp_path: Path) -> None:
    whole, _ = fit(tmp_path, section(keep="last"))
    seen: list = []
    again, _ = fit(tmp_path, section(keep="last"), resume=True, minutes=0.0, seen=seen)
    assert seen == []
    assert torch.equal(again.weight, whole.weight)


def test_statistics_of_normalisation_are_averaged_with_the_weights() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    expected = None
    for number in range(1, FIRST_STEPS + 20):
        optimizer.zero_grad()
        network(torch.randn(2, 1, 4, 4) + number).square().mean().backward()
        optimizer.step()
        update_mean_weights(network, optimizer, 0.5, number)
        keep, now = kept_at(0.5, number), network[1].running_mean.clone()
        expected = now if expected is None else keep * expected + (1 - keep) * now
    with mean_weights(network, optimizer):
        assert torch.allclose(network[1].running_mean, expected, atol=1e-5)
    assert torch.equal(network[1].running_mean, now)


def test_weights_without_a_step_have_no_mean() -> None:
    network = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(network.parameters())
    before = network.weight.detach().clone()
    with mean_weights(network, optimizer):
        assert torch.equal(network.weight, before)


@pytest.mark.parametrize("name", ["unet-mobilenet", "buildings", "landcover", "damage-network"])
def test_shipped_networks_learnt_at_a_constant_rate_keep_the_mean_of_their_weights(name: str) -> None:
    train = read_yaml(recipe_path(name))["train"]
    assert train["schedule"] == "constant"
    assert train.get("average", 0) >= 0.99  # the last weights are good or bad by chance, see unet-mobilenet's card


def test_a_mean_is_kept_where_the_optimiser_keeps_nothing() -> None:
    network = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for number in range(1, FIRST_STEPS + 20):
        optimizer.zero_grad()
        (network(torch.randn(4, 2)) - 1).square().mean().backward()
        optimizer.step()
        update_mean_weights(network, optimizer, 0.8, number)
    now = network.weight.detach().clone()
    with mean_weights(network, optimizer):
        assert not torch.equal(network.weight, now)
    assert torch.equal(network.weight, now)
