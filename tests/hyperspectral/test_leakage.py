"""The leakage of a split, against a comparison of all pairs of pixels."""

import logging

import numpy as np
import pytest
from hypothesis import given, strategies as st
from made_up_split import LEGEND, make_data_split, random_scene

from deepnets4eo.hyperspectral.samples import describe_sampling, leakage
from deepnets4eo.training import DataSplit, Recipe, make_split
from deepnets4eo.training.recipe import resolve


@given(st.integers(0, 999), st.integers(1, 9), st.floats(0.005, 0.2))
def test_leakage_is_that_of_all_pairs_of_pixels(seed, patch_px, density):
    rng = np.random.default_rng(seed)
    part = np.where(rng.random((15, 20)) < density, rng.integers(1, 3, (15, 20)), 0)
    result = leakage(part == 1, part == 2, patch_px)
    train, test = np.argwhere(part == 1), np.argwhere(part == 2)
    distance_px = np.abs(train[:, None] - test[None]).max(axis=2) if len(train) else np.full((1, len(test)), 99)
    overlapping = (distance_px < patch_px).any(axis=0).sum()
    assert (result.test_pixels, result.overlapping) == (len(test), overlapping)
    assert result.containing == (distance_px <= patch_px // 2).any(axis=0).sum()
    assert result.share == pytest.approx(overlapping / len(test), nan_ok=True) if len(test) else np.isnan(result.share)


def test_patches_that_overlap_share_pixels():
    """The rule of distances, against patches drawn as sets of pixels (odd sides)."""
    train, test = np.zeros((2, 15, 15), bool)
    train[7, 7] = True
    for row in range(15):
        test[:] = False
        test[row, 9] = True
        for patch_px in (1, 3, 5):
            half = patch_px // 2
            patches = [
                {(r, c) for r in range(a - half, a + half + 1) for c in range(b - half, b + half + 1)}
                for a, b in ((7, 7), (row, 9))
            ]
            result = leakage(train, test, patch_px)
            assert result.share == float(bool(patches[0] & patches[1]))
            assert result.share_containing == float((7, 7) in patches[1])


def split_of(*overrides: str) -> DataSplit:
    image, labels = random_scene()
    return make_split(make_data_split([image], [labels]).scenes, resolve({}, overrides, kind=Recipe).data)


def test_random_pixels_with_patches_leak_wholly_and_warn(caplog: pytest.LogCaptureFixture) -> None:
    split = split_of("data.split=random_pixels", "data.val_share=0.9")
    described = describe_sampling(split, 5)
    assert described["leakage"]["share_patch_overlaps"] > 0.99
    assert "data.split=random_pixels with patches of 5 px" in caplog.text
    counts = described["pixels"]
    assert list(counts) == list(LEGEND.names)
    for count in counts.values():
        assert count["train"] == round(0.1 * (count["train"] + count["test"]))


def test_folds_with_a_patch_as_buffer_leak_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    described = describe_sampling(split_of("data.split=folds", "data.buffer_px=4", "data.block_px=16"), 5)
    assert described["leakage"]["share_patch_overlaps"] == described["leakage"]["share_patch_shows_training_pixel"] == 0
    assert not caplog.records
    half = describe_sampling(split_of("data.split=folds", "data.buffer_px=2", "data.block_px=16"), 5)
    assert 0 < half["leakage"]["share_patch_overlaps"] < 1
    assert half["leakage"]["share_patch_shows_training_pixel"] == 0
    assert "data.buffer_px=4 leaves none" in caplog.text
