"""Windows of scenes that are made on demand follow from the seed and the epoch, whatever the order they are read in."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deepnets4eo.training import StreamSamples
from deepnets4eo.training.augmentation import Augmentation
from deepnets4eo.training.data import TrainLoader


class World:
    """Scenes of random numbers, and how often each was made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def scene(self, seed: int) -> np.ndarray:
        self.made.append(seed)
        return np.random.default_rng(seed).normal(size=(1, 16, 16)).astype(np.float32)


def cut(scene: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    row, col = rng.integers(8, size=2)
    return {"image": scene[:, row : row + 8, col : col + 8], "valid": np.ones((8, 8), bool)}


def make_samples(world: World, **options: int) -> StreamSamples:
    return StreamSamples(world.scene, cut, **{"windows_per_epoch": 60, "windows_per_scene": 5, "seed": 3} | options)


def test_an_epoch_has_its_number_of_windows_and_no_scene_of_another_epoch() -> None:
    samples = make_samples(World(), windows_per_epoch=61)
    first, second = samples.windows(0), samples.windows(1)
    assert len(first) == len(second) == 61
    assert not {window.scene_seed for window in first} & {window.scene_seed for window in second}
    assert len(set(first)) == 61
    assert first == make_samples(World(), windows_per_epoch=61).windows(0)


def test_a_batch_shows_several_scenes() -> None:
    windows = make_samples(World()).windows(0)
    assert all(len({window.scene_seed for window in windows[at : at + 8]}) > 1 for at in range(0, 56, 8))


def test_what_is_read_does_not_depend_on_the_order_or_on_threads() -> None:
    samples = make_samples(World())
    windows = samples.windows(0)
    inorder = [samples.read(window)["image"] for window in windows]
    backwards = [samples.read(window)["image"] for window in reversed(windows)][::-1]
    with ThreadPoolExecutor(4) as pool:
        threaded = [sample["image"] for sample in pool.map(make_samples(World()).read, windows)]
    for one, other, third in zip(inorder, backwards, threaded, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)


def test_each_scene_is_made_once_in_an_epoch_also_by_threads() -> None:
    world = World()
    samples = make_samples(world, windows_per_epoch=200)
    loader = TrainLoader(samples, Augmentation(), batch_size=8, windows_per_epoch=200, workers=2)
    assert sum(len(batch["image"]) for batch in loader) == 200
    assert len(world.made) == len(set(world.made)) == 40


def test_few_scenes_stay_in_memory_and_none_is_made_again() -> None:
    world = World()
    samples = make_samples(world, windows_per_epoch=200, mixed_scenes=4)
    for window in samples.windows(0):
        samples.read(window)
        assert len(samples._scenes) <= 8
    assert len(world.made) == len(set(world.made)) == 40


def test_of_a_number_of_scenes_each_is_read_before_any_is_read_again_with_other_windows() -> None:
    world = World()
    samples = make_samples(world, windows_per_epoch=20, scenes=6, mixed_scenes=2)
    epochs = [samples.windows(epoch) for epoch in range(3)]  # 4 visits each
    visits = [sorted({(window.visit, window.scene_seed) for window in windows}) for windows in epochs]
    seeds = {seed for _, seed in sum(visits, [])}
    assert len(seeds) == 6
    assert [len(each) for each in visits] == [4, 4, 4]
    for visit in (0, 1):
        assert {seed for number, seed in sum(visits, []) if number == visit} == seeds
    assert seeds == {window.scene_seed for window in make_samples(World(), seed=4, scenes=6).windows(0)}
    assert epochs[1] == make_samples(World(), windows_per_epoch=20, scenes=6, mixed_scenes=2).windows(1)
    cuts = {samples.read(window)["image"].tobytes() for windows in epochs for window in windows}
    assert len(cuts) > 54  # of 60; there are 64 windows of 8 pixels in a scene of 16
