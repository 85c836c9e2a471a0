"""Patches cut out of stored spectra are those of a mirrored cube; epochs show each pixel once; no test pixel is learnt from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_split import SIDE, make_data_split

from deepnets4eo.cards import SplitPart
from deepnets4eo.grid import Window
from deepnets4eo.hyperspectral.samples import (
    PatchAugmentation,
    PatchLoader,
    PatchStore,
    Pixels,
    labelled_pixels,
    patch_offsets,
    set_aside,
    unlabelled_pixels,
)
from deepnets4eo.hyperspectral.training import PatchCriterion
from deepnets4eo.training import DataSplit, Recipe, make_split, measure_inputs
from deepnets4eo.training.recipe import resolve

WHOLE = Window(0, 0, SIDE, SIDE)


def cube(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice([3, 7, 255], (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    return rng.normal(10, 3, (4, SIDE, SIDE)).astype(np.float32), labels


def split_of(kind: str = "folds", scenes: int = 2, *overrides: str) -> DataSplit:
    images, labels = zip(*[cube(seed) for seed in range(scenes)], strict=True)
    values = {"data": {"split": kind, "block_px": 16, "buffer_px": 2, "pixels_per_class": 40}}
    return make_split(make_data_split(list(images), list(labels)).scenes, resolve(values, overrides, kind=Recipe).data)


def make_store(split: DataSplit, pixels: Pixels, patch_px: int, folder: Path, memory_bytes: float = 1e9) -> PatchStore:
    inputs = measure_inputs(split, ["image"])
    scenes = [named.scene for named in split.scenes]
    return PatchStore(scenes, inputs, pixels, patch_px, memory_bytes=memory_bytes, folder=folder)


@pytest.mark.parametrize("patch_px", [1, 4, 7])
def test_patches_are_those_of_the_scaled_and_mirrored_cube(tmp_path: Path, patch_px: int) -> None:
    split = split_of("random_pixels")
    pixels = labelled_pixels(split)
    store = make_store(split, pixels, patch_px, tmp_path)
    layer = measure_inputs(split, ["image"]).layers["image"]
    mean, std = (np.array(value, np.float32)[:, None, None] for value in (layer.mean, layer.std))
    before, after = patch_px // 2, patch_px - 1 - patch_px // 2
    padded = [np.pad((cube(n)[0] - mean) / std, [(0, 0), (before, after), (before, after)], "reflect") for n in (0, 1)]
    chosen = pixels.take(np.random.default_rng(0).integers(len(pixels), size=200))
    patches = store.patches(chosen, *patch_offsets(patch_px))
    expected = [
        padded[n][:, row : row + patch_px, col : col + patch_px]
        for n, row, col in zip(chosen.scene, chosen.row, chosen.col, strict=True)
    ]
    np.testing.assert_allclose(patches, expected, rtol=1e-5, atol=1e-6)
    assert (
        np.array([cube(n)[1][row, col] for n, row, col in zip(chosen.scene, chosen.row, chosen.col, strict=True)])
        == np.array([3, 7])[chosen.mask]
    ).all()


def test_a_store_beyond_the_limit_of_memory_is_a_file_with_the_same_spectra(tmp_path: Path) -> None:
    split = split_of()
    pixels = labelled_pixels(split)
    in_memory, on_disk = (make_store(split, pixels, 3, tmp_path, limit) for limit in (1e9, 1e3))
    assert isinstance(on_disk.spectra, np.memmap)
    assert not isinstance(in_memory.spectra, np.memmap)
    np.testing.assert_array_equal(in_memory.spectra, on_disk.spectra)
    assert len(in_memory.spectra) < 2 * SIDE**2  # only what patches show


def test_pixels_that_are_not_valid_are_left_out(tmp_path: Path) -> None:
    image, labels = cube()
    image[2, :30] = np.nan
    data = resolve({"data": {"split": "folds", "block_px": 16}}, kind=Recipe).data
    split = make_split(make_data_split([image], [labels]).scenes, data)
    pixels = labelled_pixels(split)
    kept = make_store(split, pixels, 3, tmp_path).where_valid(pixels)
    assert kept.row.min() == 30
    assert len(kept) == (pixels.row >= 30).sum()


def test_an_epoch_shows_each_pixel_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    split = split_of("per_class", 1)
    pixels = labelled_pixels(split)
    store = make_store(split, pixels, 1, tmp_path)
    loader = PatchLoader(store, pixels, 30, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        batches = list(loader)
        assert [len(batch["mask"]) for batch in batches] == [27, 27, 26]
        epochs.append(torch.cat([batch["patches"] for batch in batches])[:, :, 0, 0])
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
    for spectra in epochs[:2]:
        np.testing.assert_array_equal(
            np.sort(spectra.numpy()[:, 0]), np.sort(store.patches(pixels, *patch_offsets(1))[:, 0, 0, 0])
        )
    loader.first_batch = 2
    assert torch.equal(list(loader)[0]["mask"], batches[2]["mask"])


@pytest.mark.parametrize("kind", ["folds", "components", "random_pixels"])
def test_unlabelled_pixels_come_from_outside_the_test_area(kind: str) -> None:
    split = split_of(kind)
    unlabelled = unlabelled_pixels(split, 5)
    assert (unlabelled.mask == 255).all()
    assert len(unlabelled)
    for number in (0, 1):
        tested = np.pad(split.mask(number, SplitPart.val, WHOLE), 2)
        of_scene = unlabelled.take(unlabelled.scene == number)
        windows = np.array(
            [tested[row : row + 5, col : col + 5] for row, col in zip(of_scene.row, of_scene.col, strict=True)]
        )
        assert not windows[:, 2, 2].any()
        assert split.leaky or not windows.any()


def test_watched_pixels_are_a_share_of_each_class_and_not_learnt_from() -> None:
    pixels = labelled_pixels(split_of("per_class", 1))
    learnt, watched = set_aside(pixels, 0.1, seed=0)
    assert np.bincount(watched.mask).tolist() == [4, 4]
    both = Pixels.join([learnt, watched])
    assert len(set(zip(both.row.tolist(), both.col.tolist(), strict=True))) == len(pixels) == len(both)
    assert len(set_aside(pixels, 0.01, seed=0)[1]) == 0


def test_turned_patches_are_turns_of_the_patch(tmp_path: Path) -> None:
    split = split_of("per_class", 1)
    pixels = labelled_pixels(split)
    store = make_store(split, pixels, 5, tmp_path)
    plain = store.patches(pixels, *patch_offsets(5))
    for augment, count in ((PatchAugmentation(flips=True), 4), (PatchAugmentation(rotations=True), 4)):
        down, right = augment.offsets(5)
        assert len(down) == count
        turned = [store.patches(pixels, down[way : way + 1], right[way : way + 1])[0] for way in range(count)]
        first = plain[0]
        expected = (
            [first, first[:, ::-1], first[:, :, ::-1], first[:, ::-1, ::-1]]
            if augment.flips
            else [np.rot90(first, turn, (1, 2)) for turn in range(4)]
        )
        np.testing.assert_array_equal(np.array(turned), np.array(expected))
    batch = next(iter(PatchLoader(store, pixels, 80, augment=PatchAugmentation(True, True))))
    middle = batch["patches"][:, :, 2, 2].numpy()
    assert {tuple(row) for row in middle} == {tuple(row) for row in plain[:, :, 2, 2]}


def test_mixtures_are_of_one_class_and_noise_has_its_size(tmp_path: Path) -> None:
    image, labels = cube()
    image[:] = np.where(labels == 3, 0.0, 1.0)  # spectra of a class are alike, so its mixtures are, too
    data = resolve({"data": {"split": "per_class", "pixels_per_class": 400}}, kind=Recipe).data
    split = make_split(make_data_split([image], [labels]).scenes, data)
    pixels = labelled_pixels(split)
    store = make_store(split, pixels, 1, tmp_path)
    low, high = np.unique(store.spectra)
    for augment in (PatchAugmentation(mixture=1.0), PatchAugmentation(radiation_noise=1.0)):
        batch = next(iter(PatchLoader(store, pixels, 800, augment=augment)))
        ends = torch.where(batch["mask"] == 0, low, high)
        noise = batch["patches"][:, 0, 0, 0] - ends
        expected = 1 / 25 if augment.mixture else ((1 / 25) ** 2 + np.mean([low**2, high**2]) * 0.2**2 / 12) ** 0.5
        assert float(noise.std()) == pytest.approx(expected, rel=0.1)


def test_the_loss_is_cross_entropy_and_the_weighted_error_of_the_middle_spectrum() -> None:
    class Network(torch.nn.Module):
        reconstruction_weight = 0.5

        def patch_scores(self, patches: torch.Tensor) -> torch.Tensor:
            return patches[:, :2, 0, 0]

        def reconstruct(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.patch_scores(patches), patches[:, :, 0, 0]

    patches, mask = torch.randn(6, 4, 3, 3), torch.tensor([0, 1, 1, 255, 0, 255], dtype=torch.uint8)
    weights = [2.0, 1.0]
    loss = PatchCriterion({"cross_entropy": 1.0}, weights).step(Network(), {"patches": patches, "mask": mask})
    labelled = mask != 255
    expected = torch.nn.functional.cross_entropy(
        patches[labelled, :2, 0, 0], mask[labelled].long(), torch.tensor(weights)
    )
    error = ((patches[:, :, 0, 0] - patches[:, :, 1, 1]) ** 2).mean()
    assert float(loss) == pytest.approx(float(expected + 0.5 * error), rel=1e-5)
