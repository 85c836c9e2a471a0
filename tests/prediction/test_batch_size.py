"""How many tiles are computed together, on GPUs of several sizes that are made up."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepnets4eo.device import Compute
from deepnets4eo.prediction.memory import batch_size, tiles_that_fit

GB = 10**9


class Segmenter:
    """Takes 2 GB a tile; or refuses tiles."""

    inputs = SimpleNamespace(in_channels=4)

    def __init__(self, error: bool = False) -> None:
        self.error, self.shapes, self.device = error, [], ""

    def to(self, compute: Compute) -> None:
        self.device = compute.device

    def predict_raw(self, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
        if self.error:
            raise RuntimeError("too small")
        self.shapes.append(batch.shape)
        return batch


def gpu(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3 * GB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5 * GB)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=memory))


@pytest.mark.parametrize(("memory", "tiles"), [(6 * GB, 1), (24 * GB, 2), (40 * GB, 4), (80 * GB, 8), (10**13, 32)])
def test_a_gpu_computes_as_many_tiles_as_take_a_quarter_of_its_memory(monkeypatch, memory: int, tiles: int) -> None:
    gpu(monkeypatch, memory)
    segmenter = Segmenter()
    assert batch_size(segmenter, Compute("cuda:1", "float16"), 96) == tiles
    assert segmenter.device == "cuda:1"
    assert segmenter.shapes == [(1, 4, 96, 96)]


def test_a_cpu_computes_one_tile_and_a_refused_tile_is_left_to_the_first_batch(monkeypatch) -> None:
    gpu(monkeypatch, 80 * GB)
    segmenter = Segmenter()
    assert batch_size(segmenter, Compute(), 96) == 1
    assert segmenter.shapes == []
    assert batch_size(Segmenter(error=True), Compute("cuda"), 96) == 1


def test_the_number_of_tiles_is_a_power_of_two_from_1_to_32() -> None:
    sizes = [tiles_that_fit(memory, 7) for memory in range(2000)]
    assert sizes == sorted(sizes)
    assert set(sizes) == {1, 2, 4, 8, 16, 32}
