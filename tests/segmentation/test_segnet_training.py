"""SegNet learns: a tile of the miniature city by heart, by the core's criterion, with deep supervision too."""

import pytest
import torch

from deepnets4eo.cards import Legend
from deepnets4eo.segmentation import SegNet
from deepnets4eo.synthetic import City
from deepnets4eo.training import Recipe, SegmentationCriterion
from deepnets4eo.training.optimization import build_optimizer
from deepnets4eo.training.recipe import resolve

LEGEND = Legend.load("minicity")


def make_criterion():
    train = resolve({}, kind=Recipe).train
    return SegmentationCriterion(train, LEGEND, ["image"], [1] * LEGEND.num_classes)


def batch_of(image, mask):
    return {"image": image, "mask": mask, "valid": torch.ones_like(mask, dtype=torch.bool)}


@pytest.fixture(scope="module")
def tile():
    """A window of the city, standardised, with its labels as places in the legend."""
    city = City(3, 256)
    image = torch.from_numpy(city.image[None, :, 64:128, 64:128].astype("float32"))
    labels = torch.from_numpy(city.labels("minicity")[None, 64:128, 64:128].astype("int64"))
    places = torch.full((256,), 255)
    places[list(LEGEND.values)] = torch.arange(LEGEND.num_classes)
    image = (image - image.mean((0, 2, 3), keepdim=True)) / image.std((0, 2, 3), keepdim=True)
    return batch_of(image, places[labels])


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_one_tile_is_learnt_by_heart(tile, deep_supervision):
    torch.manual_seed(0)
    network = SegNet(4, LEGEND.num_classes, width=8, deep_supervision=deep_supervision).train()
    train = resolve(
        {"train": {"optimizer": "adamw", "lr": 2e-2, "weight_decay": 0, "encoder_lr_factor": 0.5}}, kind=Recipe
    ).train
    optimizer, criterion = build_optimizer(network, train), make_criterion()
    counted = tile["mask"] != 255
    for step in range(200):
        optimizer.zero_grad()
        loss = criterion.step(network, tile)
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            output = network(tile["image"])
            logits = output[0] if deep_supervision else output
            right = (logits.argmax(dim=1) == tile["mask"])[counted].float().mean()
            if right > 0.99:
                return
    pytest.fail(f"only {float(right):.4f} of the tile is right after {step + 1} steps")


def as_arrays(batch):
    """A batch as validation reads it."""
    return {name: tensor.numpy() for name, tensor in batch.items()}


def test_the_loss_of_several_scales_is_the_sum_of_theirs():
    torch.manual_seed(0)
    network, criterion = SegNet(3, LEGEND.num_classes, width=2, deep_supervision=True), make_criterion()
    mask = torch.randint(0, LEGEND.num_classes, (2, 40, 50))
    mask[0, :5] = 255
    batch = batch_of(torch.randn(2, 3, 40, 50), mask)
    outputs = network.train()(batch["image"])
    assert [tuple(logits.shape) for logits in outputs] == [(2, LEGEND.num_classes, 40, 50)] * 4
    alone = [torch.nn.functional.cross_entropy(logits, mask, ignore_index=255) for logits in outputs]
    torch.testing.assert_close(criterion.step(network, batch), sum(alone))


def test_validation_scores_the_finest_scale_alone():
    torch.manual_seed(0)
    network, criterion = SegNet(3, LEGEND.num_classes, width=2, deep_supervision=True).eval(), make_criterion()
    mask = torch.randint(0, LEGEND.num_classes, (1, 32, 32))
    batch = batch_of(torch.randn(1, 3, 32, 32), mask)
    with torch.no_grad():
        scores = criterion.validate(network, [as_arrays(batch)])
        logits = network(batch["image"])
    assert scores["val_loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, mask)), rel=1e-5)
    right = (logits.argmax(dim=1) == mask).float().mean()
    assert scores["overall_accuracy"] == pytest.approx(float(right))


def test_batches_without_labels_do_not_lower_the_mean_loss_of_validation():
    torch.manual_seed(0)
    network, criterion = SegNet(3, LEGEND.num_classes, width=2).eval(), make_criterion()
    labelled = batch_of(torch.randn(1, 3, 32, 32), torch.randint(0, LEGEND.num_classes, (1, 32, 32)))
    unlabelled = labelled | {"mask": torch.full((1, 32, 32), 255)}
    with torch.no_grad():
        alone = criterion.validate(network, [as_arrays(labelled)])
        among = criterion.validate(network, [as_arrays(unlabelled), as_arrays(labelled)])
    assert among["val_loss"] == pytest.approx(alone["val_loss"])
