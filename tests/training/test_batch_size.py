"""How many windows a step has where the recipe leaves it to the GPU's memory, on GPUs that are made up."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.training import Recipe, TrainOptions, batches, fit
from deepnets4eo.training.batches import largest_batch, with_batch_size
from deepnets4eo.training.recipe import resolve

GPU, LIMIT = Compute("cuda:1", "float16"), 1 << 30


class Samples:
    """Windows of 8 px; knows which were read."""

    def __init__(self) -> None:
        self.read_windows: list[int] = []

    def windows(self, epoch: int) -> list[int]:
        return list(range(100 * epoch, 100 * epoch + 10))

    def read(self, window: int) -> dict[str, np.ndarray]:
        self.read_windows.append(window)
        return {"image": np.full((3, 8, 8), window + 1, np.float32), "valid": np.ones((8, 8), bool)}


def make_recipe(*overrides: str) -> Recipe:
    return resolve({"train": {"batch_size": 0}}, list(overrides), kind=Recipe)


def mean_square(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return network(batch["image"]).float().square().mean()


@pytest.mark.parametrize(("limit", "count"), [(0, 2), (239, 2), (240, 4), (280, 8), (359, 8), (360, 16), (10**9, 128)])
def test_the_number_is_doubled_while_twice_the_memory_is_there(limit: int, count: int) -> None:
    tried: list[int] = []

    def bytes_of(windows: int) -> int:
        tried.append(windows)
        return 100 + 10 * windows

    assert largest_batch(bytes_of, limit, 128) == count
    assert tried == [2 << step for step in range(len(tried))]
    assert max(tried) <= count
    assert count == 2 or bytes_of(count) <= limit


def made_up_gpu(monkeypatch: pytest.MonkeyPatch, window_bytes: int, steps: list[int]) -> None:
    """A GPU, here this processor, with 2 GiB of memory, of which each window takes so much."""

    def bytes_taken(device: str, work: Callable[[], object]) -> int:
        assert device == "cuda:1"
        work()
        return steps[-1] * window_bytes

    monkeypatch.setattr(batches, "bytes_taken", bytes_taken)
    monkeypatch.setattr(batches, "memory_bytes", lambda device: 2 * LIMIT)
    monkeypatch.setattr(nn.Module, "to", lambda module, device: module)
    monkeypatch.setattr(Tensor, "to", lambda tensor, device, *, copy: tensor.clone())


@pytest.mark.parametrize(("windows_per_epoch", "count"), [(1000, 32), (130, 16), (8, 2)])
def test_a_gpu_decides_by_steps_of_a_copy_of_the_network(
    monkeypatch: pytest.MonkeyPatch, windows_per_epoch: int, count: int
) -> None:
    network, samples, steps = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).eval(), Samples(), []
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def criterion(one: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        assert one.training
        assert {name: tuple(value.shape[1:]) for name, value in batch.items()} == {"image": (3, 8, 8), "valid": (8, 8)}
        assert narrow == [("cuda", torch.float16, True)] * (len(steps) + 1)
        steps.append(len(batch["image"]))
        return mean_square(one, batch)

    def autocast(*kind: object, enabled: bool) -> AbstractContextManager[None]:
        narrow.append((*kind, enabled))
        return nullcontext()

    narrow: list[object] = []
    monkeypatch.setattr(torch, "autocast", autocast)
    made_up_gpu(monkeypatch, LIMIT // 40, steps)
    recipe = make_recipe(f"data.windows_per_epoch={windows_per_epoch}")
    chosen = with_batch_size(recipe, network, criterion, samples, GPU)
    assert chosen.train.batch_size == count
    assert chosen.hash == make_recipe(f"data.windows_per_epoch={windows_per_epoch}", f"train.batch_size={count}").hash
    assert samples.read_windows == [0]
    assert not network.training
    assert all(value.grad is None for value in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_number_in_the_recipe_stays_and_a_cpu_takes_the_usual_one() -> None:
    samples, network = Samples(), nn.Conv2d(3, 2, 1)
    recipe = make_recipe("train.batch_size=5")
    assert with_batch_size(recipe, network, mean_square, samples, GPU) is recipe
    assert with_batch_size(make_recipe(), network, mean_square, samples, Compute()).train.batch_size == 8
    assert samples.read_windows == []
    assert (recipe.train.usual_batch_size, make_recipe().train.usual_batch_size) == (5, 8)


def test_batches_of_a_training_and_of_its_scorer_go_to_the_device_of_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class StartedError(Exception):
        pass

    def fit_network(network, criterion, loader, validate, plan):
        assert (loader.batch_size, plan.train.batch_size) == (16, 16)
        assert plan.identity == recipe.model_copy(update={"train": plan.train}).hash
        assert (segmenter.transfers.device, segmenter.compute) == (torch.device("cuda:1"), Compute("cuda:1"))
        raise StartedError

    inputs = InputSpec({"image": LayerInput(("r", "g", "b"), (0.0,) * 3, (1.0,) * 3, 0, 1)})
    module = nn.Conv2d(3, 6, 1)
    segmenter = NetworkSegmenter({"name": "made-up"}, inputs, Legend.load("isprs"), module=module)
    monkeypatch.setattr(fit, "choose", lambda *_: GPU)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: device)
    monkeypatch.setattr(batches, "memory_bytes", lambda device: 2 * LIMIT)
    monkeypatch.setattr(batches._Trial, "bytes_of", lambda trial, windows: windows * LIMIT // 16)
    monkeypatch.setattr(nn.Module, "to", lambda module, device: module)
    monkeypatch.setattr("deepnets4eo.training.loop.fit_network", fit_network)
    recipe = make_recipe("data.windows_per_epoch=1000")
    with pytest.raises(StartedError):
        fit.fit_segmenter(segmenter, Samples(), mean_square, lambda _: {}, recipe, tmp_path, TrainOptions())
