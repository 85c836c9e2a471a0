"""Windows of a stream of graded pairs: what lies where, how it is scaled, and what each epoch shows."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import shapely

from deepnets4eo.damage.siamese.stream import DISPLAY, GradedPair, StreamLoader, read_window
from deepnets4eo.damage.siamese.stream_recipe import StreamRecipe, StreamSection
from deepnets4eo.training.recipe import resolve

SIDE = 96
EXACT = StreamSection(tile_px=64, outline_error_m=0, misregistration_px=0)


def as_it_is(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:3]


def make_pair(seed: int = 0, hazard: str = "flood") -> GradedPair:
    """Nine houses in rows; the brightness of post at a house is its grade."""
    rng = np.random.default_rng(seed)
    corners = [(x, y) for y in (6, 38, 70) for x in (6, 38, 70)]
    outlines = np.array([shapely.box(x, y, x + 20, y + 14) for x, y in corners], dtype=object)
    grades = np.array([0, 1, 2, 3, 0, 255, 0, 0, 1], np.uint8)
    pre, post = rng.integers(0, 40, (2, 4, SIDE, SIDE)).astype(np.uint8)
    for (x, y), grade in zip(corners, grades, strict=True):
        post[:, y : y + 14, x : x + 20] = 50 + 50 * min(int(grade), 3)
    return GradedPair(pre, post, outlines, grades, grades, 0.5, "suburb", hazard)


def display_values(prepared: np.ndarray) -> np.ndarray:
    mean, std = (np.array(values)[:, None, None] for values in (DISPLAY.mean, DISPLAY.std))
    return prepared * std + mean


def test_grades_lie_where_the_houses_are_and_ignored_houses_are_no_houses():
    pair = make_pair()
    sample = read_window(pair, 4, EXACT, as_it_is, np.random.default_rng(1))
    graded = sample["mask"] != 255
    assert graded.any()
    brightness = np.full(pair.shape, -1)
    for outline, grade in zip(pair.outlines, pair.grades, strict=True):
        left, top, right, bottom = map(int, outline.bounds)
        brightness[top:bottom, left:right] = grade if grade != 255 else -1
    post = display_values(sample["image_post"])
    corner = next(
        (row, col)
        for row in range(SIDE - 63)
        for col in range(SIDE - 63)
        if np.allclose(pair.post[:3, row : row + 64, col : col + 64], post, atol=1e-3)
    )
    shown = brightness[corner[0] : corner[0] + 64, corner[1] : corner[1] + 64]
    assert (sample["mask"][graded] == shown[graded]).all()
    assert ((sample["building"] > 0) == graded).all()


def test_outlines_stray_no_farther_than_the_recipe_says():
    pair, rng = make_pair(), np.random.default_rng(2)
    far = EXACT.model_copy(update={"outline_error_m": 3.0})
    exact = read_window(pair, 4, EXACT, as_it_is, np.random.default_rng(3))["building"] > 0
    shares = []
    for _ in range(20):
        moved = read_window(pair, 4, far, as_it_is, rng)
        shares.append((moved["building"] > 0).mean())
        assert set(np.unique(moved["mask"])) <= {0, 1, 2, 3, 255}
    assert 0.5 * exact.mean() < np.mean(shares) < 2 * exact.mean()


def test_what_lies_beyond_the_pair_is_not_valid_and_zero():
    small = EXACT.model_copy(update={"tile_px": 128})
    sample = read_window(make_pair(), 0, small, as_it_is, np.random.default_rng(4))
    assert sample["valid"].sum() == SIDE * SIDE
    for name in ("image_pre", "image_post"):
        assert (sample[name][:, ~sample["valid"]] == 0).all()
        assert (sample[name][:, sample["valid"]] != 0).any()


def test_a_fine_pair_is_seen_with_larger_pixels_and_a_coarse_one_as_it_is():
    pair = make_pair()
    half = replace(pair, gsd_m=0.25).at(0.5)
    assert half.shape == (SIDE // 2, SIDE // 2)
    np.testing.assert_allclose(
        [one.bounds for one in half.outlines], [np.array(one.bounds) / 2 for one in pair.outlines]
    )
    np.testing.assert_allclose(half.pre.mean(), pair.pre.mean(), atol=0.5)
    assert replace(pair, gsd_m=0.9).at(0.5).shape == pair.shape


@pytest.fixture
def loader() -> StreamLoader:
    words = [
        "data.tile_px=64",
        "data.windows_per_epoch=48",
        "data.pool_pairs=8",
        "train.batch_size=4",
        "data.gsd_m=0.5",
    ]
    recipe = resolve({}, [*words, "data.windows_per_pair=6"], kind=StreamRecipe)

    def pairs_of(epoch: int) -> Iterator[GradedPair]:
        rng = np.random.default_rng(epoch)
        while True:
            hazard = "flood" if rng.random() < 0.2 else "none"
            pair = make_pair(int(rng.integers(1000)), hazard)
            yield (
                replace(pair, grades=np.where(pair.grades == 255, 255, 0).astype(np.uint8))
                if hazard == "none"
                else pair
            )

    return StreamLoader(pairs_of, recipe, as_it_is)


def test_an_epoch_is_the_same_again_and_no_other_one(loader):
    def first(epoch: int) -> np.ndarray:
        loader.set_epoch(epoch)
        return next(iter(loader))["image_pre"].numpy()

    assert (first(0) == first(0)).all()
    assert (first(0) != first(1)).any()
    assert len(loader) == 12


def test_windows_of_the_first_batches_come_from_a_third_of_the_pool(loader):
    made = []

    def pairs_of(epoch: int) -> Iterator[GradedPair]:
        for seed in range(100):
            made.append(seed)
            yield make_pair(seed)

    loader.pairs_of = pairs_of
    next(iter(loader))
    assert len(made) == 3  # of eight


def test_rare_hazards_and_grades_are_shown_as_often_as_others(loader):
    loader.set_epoch(3)
    batches = list(islice(iter(loader), len(loader)))
    assert len(batches) == 12
    shown = np.concatenate([np.unique(mask[mask != 255]) for batch in batches for mask in batch["mask"].numpy()])
    assert (shown > 0).mean() > 0.3  # one hazard of two, and of that three grades of four
    assert {name: batch.dtype for name, batch in batches[0].items()}.keys() == {
        "image_pre", "image_post", "mask", "building", "valid"
    }  # fmt: skip
