"""A training step never waits for the device: it runs on tensors without values, which nothing can be read from."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from deepnets4eo.cards import Legend
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.training import Recipe, SegmentationCriterion, SumOfLosses
from deepnets4eo.training.recipe import resolve

LEGEND = Legend.load("isprs")
K = LEGEND.num_classes
READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::item", "aten::equal"}


def make_criterion(*overrides: str) -> SegmentationCriterion:
    train = resolve({}, list(overrides), kind=Recipe).train
    return SegmentationCriterion(train, LEGEND, ["image"], [10 * (k + 1) for k in range(K)])


def make_batch(seed: int = 0, labelled: float = 0.7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, K, (2, 8, 8)).astype(np.uint8)
    mask[rng.random(mask.shape) >= labelled] = 255
    image = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    return {"image": image, "mask": mask, "valid": rng.random(mask.shape) < 0.9}


def tensors(batch: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


class Reads(TorchDispatchMode):
    """Counts what makes the program wait for values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name().split(".")[0] in READS
        return func(*args, **(kwargs or {}))


LOSSES = [
    "train.losses={cross_entropy: 1.0}",
    "train.losses={dice: 1.0}",
    "train.losses={lovasz: 1.0}",
    "train.losses={focal: 1.0}",
    "train.losses={cross_entropy: 1.0, dice: 0.5, lovasz: 0.25, focal: 0.25}",
]


@pytest.mark.parametrize("losses", LOSSES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_step_reads_no_value_from_the_device(losses: str, device: str) -> None:
    rules = [losses, "train.class_weighting=none" if device == "cpu" else "train.class_weighting=median_frequency"]
    criterion = make_criterion(*rules)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = nn.Conv2d(3, K, 1, device=device)
        batch = {
            "image": torch.empty(2, 3, 8, 8, device=device),
            "mask": torch.empty(2, 8, 8, dtype=torch.uint8, device=device),
            "valid": torch.empty(2, 8, 8, dtype=torch.bool, device=device),
        }
        loss = criterion.step(network, batch)
    assert loss.device.type == device


class Moves(TorchDispatchMode):
    """Counts copies from one device to another, which wait unless they are pinned."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count += func.name().startswith("aten::_to_copy") and result.device != args[0].device
        return result


@pytest.mark.parametrize("losses", LOSSES)
def test_weights_of_classes_are_moved_to_the_device_once(losses: str) -> None:
    weights = [float(k + 1) for k in range(K)]
    names = resolve({}, [losses], kind=Recipe).train.losses
    with FakeTensorMode(allow_non_fake_inputs=True):
        logits = torch.empty(2, K, 8, 8, device="cuda")
        mask, valid = (torch.empty(2, 8, 8, dtype=kind, device="cuda") for kind in (torch.int64, torch.bool))
        criterion = SumOfLosses(dict(names), weights).to("cuda")
        with Moves() as moves:
            criterion(logits, mask, valid)
            assert moves.count == 0
            torch.empty(3).to("cuda")
            assert moves.count == 1


@pytest.mark.parametrize("name", ["cross_entropy", "lovasz", "focal"])
def test_a_step_with_its_gradient_reads_no_value(name: str) -> None:
    network, batch = nn.Conv2d(3, K, 1), tensors(make_batch())
    with Reads() as reads:
        make_criterion(f"train.losses={{{name}: 1.0}}").step(network, batch).backward()
    assert reads.count == 0
    with Reads() as reads:
        bool(batch["valid"].any())
    assert reads.count == 1


def test_validation_reads_values_once_however_many_batches_there_are() -> None:
    network, criterion = nn.Conv2d(3, K, 1).eval(), make_criterion()
    counts = []
    for batches in (1, 5):
        with torch.no_grad(), Reads() as reads:
            criterion.validate(network, [make_batch(seed) for seed in range(batches)])
        counts.append(reads.count)
    assert counts[0] == counts[1]


def test_validation_counts_what_a_confusion_matrix_counts() -> None:
    torch.manual_seed(0)
    network, criterion = nn.Conv2d(3, K, 1).eval(), make_criterion()
    batches = [make_batch(0), make_batch(1, labelled=0.0), make_batch(2)]
    with torch.no_grad():
        scores = criterion.validate(network, batches)
        logits = [network(torch.from_numpy(batch["image"])) for batch in batches]
        losses = [float(criterion.step(network, tensors(batches[index]))) for index in (0, 2)]
    matrix = ConfusionMatrix(K)
    for batch, raw in zip(batches, logits, strict=True):
        matrix.update(batch["mask"], raw.argmax(dim=1).numpy())
    assert scores["mean_iou"] == matrix.mean_iou
    assert scores["kappa"] == matrix.kappa
    assert scores["val_loss"] == sum(losses) / 2


def test_validation_without_any_label_has_no_loss() -> None:
    with torch.no_grad():
        scores = make_criterion().validate(nn.Conv2d(3, K, 1).eval(), [make_batch(0, labelled=0.0)])
    assert scores["val_loss"] == 0


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "lovasz", "focal"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_a_batch_without_a_counted_pixel_costs_nothing_and_teaches_nothing(
    name: str, weights: list[float] | None
) -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = SumOfLosses({name: 1.0}, weights)(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
