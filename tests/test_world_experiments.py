"""Experiments on the networks that learn from made-up places: what they learn from, and how their tables count."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import cover_dubai
import damage_network_weight
import equal_steps
import mean_weights
import numpy as np
import torch
from PIL import Image

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


def test_classes_of_dubai_are_right_by_any_class_of_land_cover_that_they_may_be() -> None:
    names = cover_dubai.NAMES
    scores = torch.zeros(1, len(names), 1, 3)
    scores[:, [names.index(name) for name in ("tree", "low_vegetation")]] = 20.0  # both alike
    vegetation, water = names.index("low_vegetation"), names.index("water")
    weights = torch.ones(len(names))

    def loss(*labels: int) -> float:
        return float(cover_dubai.loss_of_several(scores, torch.tensor([[labels]], dtype=torch.uint8), weights))

    assert loss(vegetation, 255, 255) == pytest.approx(0, abs=1e-6)
    assert loss(water, 255, 255) > 20
    assert loss(255, 255, 255) == 0
    weights[water] = 0
    assert loss(vegetation, water, water) == pytest.approx(0, abs=1e-6)


def test_dubai_is_learnt_from_four_tiles_without_the_plots_of_the_fourth(tmp_path: Path) -> None:
    colours = np.array([one.color for one in equal_steps.DUBAI.classes], np.uint8)[:, None]
    for tile in ("tile_1", "tile_4", "tile_5"):
        for kind in ("images", "masks"):
            (tmp_path / tile / kind).mkdir(parents=True)
        Image.fromarray(colours).save(tmp_path / tile / "masks" / "part.png")
        Image.fromarray(colours).save(tmp_path / tile / "images" / "part.jpg")
    first, fourth = (part["labels_post"].ravel().tolist() for part in cover_dubai.read_parts(tmp_path))
    land_cover = [cover_dubai.MINICITY.value(name) for name in cover_dubai.CLASSES.values()]
    assert (first, fourth) == (land_cover, [255, *land_cover[1:]])
