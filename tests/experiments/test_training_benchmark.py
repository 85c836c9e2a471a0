"""Waits for a GPU are counted on a processor: the criterion of damage networks has one, the plain ways have theirs."""

import pytest
import torch
from benchmarks.training import Waits

from deepnets4eo.cards import Legend
from deepnets4eo.damage.network.architecture import DamageCriterion
from deepnets4eo.damage.network.recipe import DamageTraining

WAYS = {
    "value": lambda x: x.max().item(),
    "truth": lambda x: bool(x.any()),
    "mask": lambda x: x[x > 1],
    "assigned mask": lambda x: x.__setitem__(x > 1, torch.zeros(2, dtype=x.dtype)),
    "unique": lambda x: x.unique(),
    "counts": lambda x: x.bincount(minlength=4),
    "list": lambda x: x.tolist(),
    "host": lambda x: x.cpu(),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_wait_is_counted_once_and_plain_sums_are_not(way: str) -> None:
    values = torch.arange(4)
    with Waits() as waits:
        (values + 1).sum()
        values[torch.tensor([1, 2])]
        assert waits.count == 0
        WAYS[way](values)
    assert waits.count == 1


@pytest.mark.parametrize("ordinal", [True, False])
def test_a_step_of_a_damage_network_waits_once(ordinal: bool) -> None:
    train = DamageTraining(losses={"cross_entropy": 1.0}, ordinal=ordinal)
    criterion = DamageCriterion(train, Legend.load("xbd"))

    class Network(torch.nn.Module):
        def both(self, dates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = dates[:, :4].requires_grad_()
            return logits, logits * 2

    building = torch.randint(0, 5, (2, 8, 8), dtype=torch.int16)
    batch = {
        "image_pre": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "image_post": torch.ones(2, 3, 8, 8, dtype=torch.uint8),
        "building": building, "mask": torch.where(building > 0, building % 4, 255).to(torch.uint8),
        "valid": torch.ones(2, 8, 8, dtype=torch.bool),
    }  # fmt: skip
    with Waits() as waits:
        criterion.step(Network(), batch).backward()
    assert waits.count == 1
