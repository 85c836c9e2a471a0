"""The contrastive loss of Siamese change networks: the published formula, which networks have it, and what it does to features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model
from deepnets4eo.training import FeatureContrast, Recipe, SegmentationCriterion, SumOfLosses, TrainSection
from deepnets4eo.training.losses import contrastive_loss, set_contrastive_loss
from deepnets4eo.training.recipe import resolve

CHANGE = Legend.load("change")
LAYERS = ["image_pre", "image_post"]
BOTH = "train.losses={cross_entropy: 1.0, contrastive: 0.5}"


def train_section(*overrides: str) -> TrainSection:
    return resolve({}, list(overrides), kind=Recipe).train


def make_network(name: str, losses: str = BOTH, **options: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    network = create_model(name, in_channels=4, num_classes=2, **options)
    set_contrastive_loss(network, train_section(losses), CHANGE)
    return network


def by_hand(distances: np.ndarray, mask: np.ndarray, margin: float) -> float:
    """Sums over pixels, one by one, as the paper writes them."""
    near, apart = [], []
    for distance, label in zip(distances.ravel(), mask.ravel(), strict=True):
        if label == 0:
            near.append(distance**2)
        elif label == 1:
            apart.append(max(0.0, margin - distance) ** 2)
    return 0.5 * (sum(near) / len(near) + sum(apart) / len(apart))


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_the_loss_is_the_published_one_and_void_does_not_count(margin: float) -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(0, 3, (2, 7, 5))
    mask = rng.choice([0, 0, 0, 1, VOID], (2, 7, 5))
    loss = contrastive_loss(torch.from_numpy(distances), torch.from_numpy(mask), margin=margin)
    assert float(loss) == pytest.approx(by_hand(distances, mask, margin), rel=1e-6)


def test_rare_change_weighs_as_much_as_all_the_rest() -> None:
    """The same pixels without change, ten times over, have the same loss."""
    distances, mask = torch.tensor([[[0.5, 1.0, 0.2]]]), torch.tensor([[[0, 0, 1]]])
    many = torch.cat([distances[..., :2].repeat(1, 1, 10), distances[..., 2:]], dim=2)
    labels = torch.cat([mask[..., :2].repeat(1, 1, 10), mask[..., 2:]], dim=2)
    assert float(contrastive_loss(many, labels)) == pytest.approx(float(contrastive_loss(distances, mask)))


@pytest.mark.parametrize("label", [0, 1, VOID])
def test_a_batch_of_one_kind_has_a_finite_loss_and_gradient(label: int) -> None:
    distances = torch.zeros(1, 4, 4, requires_grad=True)
    contrastive_loss(distances, torch.full((1, 4, 4), label)).backward()
    assert distances.grad is not None
    assert torch.isfinite(distances.grad).all()


def test_coarser_levels_are_compared_at_the_size_of_the_labels_and_their_mean_counts() -> None:
    rng = np.random.default_rng(1)
    fine, coarse = (torch.from_numpy(rng.normal(size=(2, 1, 3, size, size)).astype("float32")) for size in (8, 4))
    mask = torch.from_numpy(rng.integers(0, 2, (1, 8, 8)))
    contrast = FeatureContrast(weight=3.0, margin=1.5)
    contrast([(fine[0], fine[1]), (coarse[0], coarse[1])])
    first = np.sqrt(((fine[1] - fine[0]) ** 2).sum(1).numpy())
    second = torch.nn.Upsample(size=(8, 8), mode="bilinear")(((coarse[1] - coarse[0]) ** 2).sum(1, keepdim=True).sqrt())
    expected = 3 * np.mean([by_hand(one, mask.numpy(), 1.5) for one in (first, second.numpy())])
    assert float(contrast.extra_loss(mask)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="training mode first"):
        contrast.extra_loss(mask)  # each batch once


@pytest.mark.parametrize(
    ("name", "options"),
    [("fc-siam-conc", {}), ("fc-siam-diff", {}), ("change-encoder", {"encoder": "resnet18"})],
)
def test_training_adds_it_and_validation_and_weights_stay_the_same(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    batch = {layer: torch.from_numpy(rng.normal(size=(2, 2, 64, 64)).astype("float32")) for layer in LAYERS}
    batch |= {
        "mask": torch.from_numpy(rng.integers(0, 2, (2, 64, 64))),
        "valid": torch.ones(2, 64, 64, dtype=torch.bool),
    }
    plain, with_loss = make_network(name, "train.losses={cross_entropy: 1.0}", **options), make_network(name, **options)
    assert plain.state_dict().keys() == with_loss.state_dict().keys()
    criterion = SegmentationCriterion(train_section(BOTH), CHANGE, LAYERS, [9, 1])
    losses = []
    for network in (plain, with_loss):
        torch.manual_seed(1)  # the same dropout
        losses.append(criterion.step(network.train(), batch))
    assert losses[1].item() > losses[0].item()
    losses[1].backward()
    assert all(torch.isfinite(weight.grad).all() for weight in with_loss.parameters() if weight.grad is not None)
    arrays = [{key: value.numpy() for key, value in batch.items()}]
    again = [make_network(name, losses, **options).eval() for losses in ("train.losses={cross_entropy: 1.0}", BOTH)]
    with torch.no_grad():
        scores = [criterion.validate(network, arrays)["val_loss"] for network in again]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("name", ["fc-ef", "fresunet"])
def test_a_network_without_features_of_each_date_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match="has none apart. Choose fc-siam-conc, fc-siam-diff or change-encoder"):
        make_network(name)


def test_other_classes_and_other_trainings_are_refused() -> None:
    with raises_naming(InputError, "'isprs'"):
        set_contrastive_loss(create_model("fc-siam-diff", in_channels=4, num_classes=6), train_section(BOTH), Legend.load("isprs"))  # fmt: skip
    with pytest.raises(InputError, match="compares features of two dates"):
        SumOfLosses({"cross_entropy": 1.0, "contrastive": 1.0})
    with pytest.raises(InputError, match="Add a loss of the scores"):
        train_section("train.losses={contrastive: 1.0}")


def test_a_recipe_with_it_trains_a_run_that_predicts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        folder = tmp_path / "data" / f"pair{number}"
        for layer in ("pre", "post"):
            write_geotiff(folder / f"{layer}.tif", rng.integers(20, 220, (2, 64, 64)).astype(np.uint8))
        write_geotiff(folder / "change.tif", (rng.random((64, 64)) < 0.5).astype(np.uint8))
    small = [
        "data.tile_px=32", "data.windows_per_epoch=4", "data.num_workers=0", "train.batch_size=2", "train.epochs=2",
        "data.val_share=0.5", "predict.tile_px=64", "predict.halo_px=0", "train.contrastive_margin=1", BOTH,
    ]  # fmt: skip
    run = deepnets4eo.train("change/fc-siam-diff", tmp_path / "run", data=tmp_path / "data", overrides=small)
    assert deepnets4eo.load_run(run).inputs.names == LAYERS
