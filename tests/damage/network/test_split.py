"""Which buildings are trained and validated on, and the windows that training sees."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_pairs import write_xbd
from refusals import raises_naming

from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.damage import DamageRecipe
from deepnets4eo.damage.network import LabelledPair, read_pairs
from deepnets4eo.damage.network.pairs import measure_pairs, scaled_to
from deepnets4eo.damage.network.recipe import DamageData
from deepnets4eo.damage.network.samples import PairSamples, PairWindow, split_buildings
from deepnets4eo.damage.network.scoring import GradedHeads, LogitsAndGrades, full_scores
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.training.recipe import resolve

SEEDS = (3, 4, 5, 6)
FEW = LogitsAndGrades(np.eye(4, dtype=np.float32), np.arange(4, dtype=np.uint8))
HEADS = GradedHeads(FEW, None, None, np.zeros((4, 0), object))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledPair]:
    folder: Path = write_xbd(tmp_path_factory.mktemp("xbd"), SEEDS)
    return read_pairs(DamageData(folders=(str(folder),)))


def make_recipe(**data: object) -> DamageRecipe:
    return resolve({"data": {"tile_px": 32, "windows_per_epoch": 40, **data}}, kind=DamageRecipe)


def split_pairs(pairs, **data):
    recipe = make_recipe(**data)
    return recipe, split_buildings(pairs, recipe.data, 0)


def test_blocks_share_no_building_and_keep_their_distance(pairs):
    recipe, split = split_pairs(pairs, split="blocks", block_px=48, buffer_px=8, val_share=0.3)
    for part in (split.train, split.val):
        assert sum((grades != VOID).sum() for grades in part) > 0
    for pair, blocks, train, val in zip(pairs, split.splits, split.train, split.val, strict=True):
        assert not ((train != VOID) & (val != VOID)).any()
        for row in np.flatnonzero(train != VOID):
            top, left, bottom, right = pair.boxes[row]
            assert not blocks.intersects_part(SplitPart.val, Window(top, left, bottom - top, right - left))
        for row in np.flatnonzero(val != VOID):
            assert blocks.intersects_part(SplitPart.val, Window(*pair.centres[row], 1, 1))


def test_events_stay_together(pairs):
    _, split = split_pairs(pairs, split="events", val_names=["*event-1"])
    assert split.describe()["validated"] == [pair.name for pair in pairs if pair.event.endswith("1")]
    for pair, train, val in zip(pairs, split.train, split.val, strict=True):
        kept, empty = (val, train) if pair.event.endswith("1") else (train, val)
        assert (kept == pair.grades).all()
        assert (empty == VOID).all()


def test_pairs_of_one_place_are_on_one_side_or_the_split_is_leaky(pairs, caplog):
    twin = replace(pairs[0], name="another-name", event="another-event")
    _, together = split_pairs([*pairs, twin], split="scenes", val_share=0.4)
    sides = {pair.name: SplitPart.val in one.parts for pair, one in zip(together.scenes, together.splits, strict=True)}
    assert sides[twin.name] == sides[pairs[0].name]
    assert not together.describe()["leaky"]
    assert full_scores(HEADS, False, together.describe())["protocol"]["leaky"] is False
    assert "of the validated ground is learnt from" not in caplog.text
    _, apart = split_pairs([*pairs, twin], split="scenes", val_names=[twin.name])
    assert apart.describe()["learnt_ground"] == 1.0
    assert full_scores(HEADS, False, apart.describe())["protocol"]["leaky"] is True
    assert "100 % of the validated ground is learnt from" in caplog.text


def test_splits_without_one_part_are_refused(pairs):
    with raises_naming(InputError, "0", "2", "made-up-event-0"):
        split_pairs(pairs, split="events", val_names=["nepal"])
    with raises_naming(InputError, "data.split"):
        split_pairs(pairs, split="blocks", block_px=512)
    ungraded = [replace(pair, grades=np.full(len(pair.grades), VOID, np.uint8)) for pair in pairs]
    with raises_naming(InputError, "'train'"):
        split_pairs(ungraded, split="scenes")


def test_every_grade_is_met_equally_often_and_every_window_shows_its_building(pairs):
    recipe, split = split_pairs(pairs, split="scenes", windows_per_epoch=400)
    samples = PairSamples(split, measure_pairs(pairs), recipe)
    windows = samples.windows(0)
    assert windows == samples.windows(0)
    assert windows != samples.windows(1)
    met = np.zeros(4)
    for window in windows:
        grades, (row, col, height, width) = split.train[window.pair], window.window
        at = split.scenes[window.pair].centres - [row, col]
        inside = (at >= 0).all(axis=1) & (at < [height, width]).all(axis=1)
        met[np.unique(grades[inside & (grades != VOID)])] += 1
    assert (met >= 400 / 4 * 0.6).all()


def test_a_sample_is_what_the_images_show_with_pre_moved_on_its_own(pairs):
    recipe, split = split_pairs(pairs, split="scenes", scaling="training")
    samples = PairSamples(split, measure_pairs(pairs), recipe)
    number = next(k for k, grades in enumerate(split.train) if (grades != VOID).any())
    first = np.flatnonzero(split.train[number] != VOID)[0]
    row, col = pairs[number].boxes[first][:2].tolist()
    window, scene = Window(row - 2, col - 3, 32, 32), pairs[number].scene
    sample = samples.read(PairWindow(number, window, (2, -1)))
    for name, shown in (("post", window), ("pre", Window(window.row + 2, window.col - 1, 32, 32))):
        expected, valid = scene.layers[name].read(shown)
        spec, valid = samples.inputs.layers[name], valid & sample["valid"]
        assert valid.sum() > 500
        values = sample[f"image_{name}"] * np.array(spec.std)[:, None, None] + np.array(spec.mean)[:, None, None]
        np.testing.assert_allclose(values[:, valid], expected[:, valid], atol=1e-3)
    painted, valid = pairs[number].outlines.paint(window), sample["valid"]
    assert (sample["mask"] == np.where(valid & (painted >= 0), pairs[number].grades[painted], VOID)).all()


def test_buildings_are_numbered_where_the_window_shows_half_of_their_box(pairs):
    recipe, split = split_pairs(pairs, split="scenes", scaling="training")
    samples = PairSamples(split, measure_pairs(pairs), recipe)
    number = next(k for k, grades in enumerate(split.train) if (grades != VOID).any())
    pair, grades = pairs[number], split.train[number]
    numbered = left_out = 0
    for top, left in np.ndindex(7, 7):
        window = Window(16 * top, 16 * left, 32, 32)
        sample, painted = samples.read(PairWindow(number, window)), pair.outlines.paint(window)
        building = sample["building"]
        expected = []
        for row in np.unique(painted[painted >= 0]):
            low = np.maximum(pair.boxes[row, :2], [window.row, window.col])
            high = np.minimum(pair.boxes[row, 2:], [window.row + 32, window.col + 32])
            share = np.prod(high - low) / np.prod(pair.boxes[row, 2:] - pair.boxes[row, :2])
            if grades[row] != VOID and share >= 0.5:
                expected.append(row)
            left_out += grades[row] != VOID and share < 0.5
        numbered += len(expected)
        for value, row in enumerate(expected, 1):
            assert (building[painted == row] == value).all()
        assert (building[~np.isin(painted, expected)] == 0).all()
    assert numbered > 3
    assert left_out > 3


def test_nothing_of_a_validation_block_is_shown(pairs):
    recipe, split = split_pairs(pairs, split="blocks", block_px=48, buffer_px=0)
    samples = PairSamples(split, measure_pairs(pairs), recipe)
    shown = 0
    for window in samples.windows(0):
        sample = samples.read(window)
        hidden = split.splits[window.pair].mask(SplitPart.val, window.window)
        shown += int(hidden.sum())
        assert not sample["valid"][hidden].any()
        assert (sample["image_post"][:, hidden] == 0).all()
        assert (sample["mask"][hidden] == VOID).all()
    assert shown > 0


def test_each_scene_is_scaled_by_its_own_values(pairs):
    inputs = measure_pairs(pairs)
    own = scaled_to(inputs, pairs[0].scene, pairs[0].centres)
    data, _ = pairs[0].scene.layers["post"].read()  # smaller than a window around a building: all windows see it whole
    assert inputs.gsd_m == 0.5
    assert np.abs(np.array(own.layers["post"].mean) - data.mean(axis=(1, 2))).max() < 8
    assert own.layers["post"].mean != inputs.layers["post"].mean
    assert (own.layers["post"].low, own.gsd_m) == (inputs.layers["post"].low, inputs.gsd_m)
