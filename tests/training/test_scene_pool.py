"""Scenes made by other processes give the same windows, and leave nothing behind."""

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.training import StreamSamples
from deepnets4eo.training.augmentation import Augmentation
from deepnets4eo.training.data import TrainLoader
from deepnets4eo.training.streams import MIXED_SCENES

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs forks")


def make_scene(seed: int) -> np.ndarray:
    if seed == 13:
        raise ValueError("no scene of this seed")
    return np.random.default_rng(seed).normal(size=(1, 16, 16)).astype(np.float32)


def cut(scene: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    row, col = rng.integers(8, size=2)
    mask = rng.integers(4, size=(8, 8))
    return {"image": scene[:, row : row + 8, col : col + 8], "mask": mask, "valid": np.ones((8, 8), bool)}


def make_samples(processes: int, scenes: int = 0) -> StreamSamples:
    return StreamSamples(make_scene, cut, 100, windows_per_scene=5, seed=3, processes=processes, scenes=scenes)


def batches(samples: StreamSamples, workers: int, first: int = 0) -> list[dict[str, np.ndarray]]:
    loader = TrainLoader(samples, Augmentation(), 10, 100, workers=workers, first_batch=first)
    return [{name: value.numpy() for name, value in batch.items()} for batch in loader]


def finish(samples: StreamSamples) -> None:
    """Wait for scenes that are being made."""
    assert samples._pool is not None
    samples._pool._pool.shutdown()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("scenes", [0, 7])
def test_processes_give_the_same_batches_as_threads(temporary: Path, scenes: int) -> None:
    pooled, threaded = batches(make_samples(2, scenes), workers=2), batches(make_samples(0, scenes), workers=0)
    assert len(pooled) == len(threaded) == 10
    for one, other in zip(pooled, threaded, strict=True):
        assert all(np.array_equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in other)


def test_files_are_gone_once_their_windows_are_read(temporary: Path) -> None:
    samples = make_samples(2)
    batches(samples, workers=2)
    finish(samples)
    (folder,) = temporary.iterdir()
    assert list(folder.iterdir()) == []


def test_an_epoch_that_goes_on_in_its_middle_reads_the_same(temporary: Path) -> None:
    samples, whole = make_samples(2), batches(make_samples(0), workers=0)
    batches(samples, workers=1, first=9)
    rest = batches(samples, workers=1, first=6)
    assert all(np.array_equal(one["image"], other["image"]) for one, other in zip(rest, whole[6:], strict=True))


def test_of_scenes_that_others_read_a_part_of_few_files_stay(temporary: Path) -> None:
    samples = StreamSamples(make_scene, cut, 1500, windows_per_scene=5, seed=3, processes=2)
    for window in samples.windows(0)[::3]:
        samples.read(window)
    finish(samples)
    (folder,) = temporary.iterdir()
    assert len(list(folder.iterdir())) <= 3 * MIXED_SCENES < 300


def test_an_error_in_a_process_is_raised_where_the_window_is_read(temporary: Path) -> None:
    samples = make_samples(1)
    window = samples.windows(0)[0]
    with pytest.raises(ValueError, match="no scene of this seed"):
        samples.read(type(window)(13, 0))
    assert samples.read(window)["image"].shape == (1, 8, 8)
