"""Experiments on the networks that learn from made-up places: what they learn from, and how their tables count."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import damage_network_weight
import mean_weights
import torch

from deepnets4eo.errors import InputError


def test_sites_of_some_hazards_are_those_that_come_among_all() -> None:
    every = [(name, kind) for name, kind, _ in damage_network_weight.world_sites(40, ())]
    some = [(name, kind) for name, kind, _ in damage_network_weight.world_sites(40, (), ("flood", "none"))]
    assert len(every) == 40
    assert some == [(name, kind) for name, kind in every if kind in ("flood", "none")] != []


def test_the_mean_of_trainings_has_learnt_from_the_windows_of_all() -> None:
    def run(windows: int, epochs: int) -> SimpleNamespace:
        notes = {"windows": windows, "epochs": epochs}
        return SimpleNamespace(card={"notes": notes}, recipe={"data": {"windows_per_epoch": 100}})

    assert mean_weights.windows_of([run(1300, 3), run(1500, 5)]) == 1000 + 300 + 500
    assert mean_weights.windows_of([run(1300, 3), run(1000, 5)]) == 1300  # the second is where the first began
    with pytest.raises(InputError, match="began from the same run"):
        mean_weights.windows_of([run(1300, 3), run(1300, 5)])


def test_weights_of_trainings_are_averaged_and_counts_kept() -> None:
    first = {"w": torch.tensor([1.0, 2.0]), "seen": torch.tensor(7)}
    second = {"w": torch.tensor([3.0, 6.0]), "seen": torch.tensor(9)}
    mean = mean_weights.mean_of([first, second])
    assert mean["w"].tolist() == [2.0, 4.0]
    assert mean["seen"].item() == 7
    with pytest.raises(InputError, match="different weights"):
        mean_weights.mean_of([first, {"w": torch.zeros(3)}])
