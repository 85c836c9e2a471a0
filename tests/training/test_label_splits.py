"""Splits by labels, as recipes name them: every kind is disjoint, covers labelled pixels, and is described."""

import logging

import numpy as np
import pytest
from made_up_split import LEGEND, SIDE, make_data_split, random_scene
from refusals import raises_naming

from deepnets4eo.cards import SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer
from deepnets4eo.training import (
    ClassSamples,
    DataSplit,
    Recipe,
    ValidationLoader,
    class_cells,
    make_split,
    measure_inputs,
)
from deepnets4eo.training.recipe import resolve

WHOLE = Window(0, 0, SIDE, SIDE)
KINDS = ["random_pixels", "per_class", "components", "folds"]


def fields(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice([3, 7, 255], (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)


def section(*overrides: str) -> Recipe:
    return resolve({"data": {"tile_px": 32, "buffer_px": 2, "block_px": 16}}, overrides, kind=Recipe)


def split_of(kind: str, *overrides: str, scenes: int = 2) -> DataSplit:
    images = [random_scene(seed)[0] for seed in range(scenes)]
    labels = [fields(seed) for seed in range(scenes)]
    return make_split(make_data_split(images, labels).scenes, section(f"data.split={kind}", *overrides).data)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_disjoint_and_both_have_every_class(kind: str) -> None:
    split = split_of(kind)
    assert split.leaky == (kind in ("random_pixels", "per_class"))
    for part in (SplitPart.train, SplitPart.val):
        masks = [split.mask(scene, part, WHOLE) for scene in (0, 1)]
        assert {3, 7} <= {value for scene in (0, 1) for value in np.unique(fields(scene)[masks[scene]])}
    for scene in (0, 1):
        assert not (split.mask(scene, SplitPart.train, WHOLE) & split.mask(scene, SplitPart.val, WHOLE)).any()
    assert split.areas(SplitPart.val).min() > 0
    assert split.describe()["kind"] == kind
    assert split.to_geojson()["features"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_validation_pixel_is_validated_once(kind: str) -> None:
    split = split_of(kind)
    samples = ClassSamples(split, measure_inputs(split, ["image"]), section(), class_cells(split))
    tested = sum((batch["mask"] != 255).sum() for batch in ValidationLoader(samples, 48, 8, 4))
    labelled = [split.mask(scene, SplitPart.val, WHOLE) & (fields(scene) != 255) for scene in (0, 1)]
    assert tested == np.sum(labelled)


def test_a_validation_of_fewer_tiles_takes_them_evenly_and_each_once() -> None:
    split = split_of(KINDS[0])
    samples = ClassSamples(split, measure_inputs(split, ["image"]), section(), class_cells(split))
    (windows,) = [split.windows(SplitPart.val, 16)]
    assert len(windows) > 5
    tiles = [sum(len(batch["mask"]) for batch in ValidationLoader(samples, 16, 0, 4, most=most)) for most in (5, 999)]
    assert tiles == [5, len(windows)]


def test_folds_validate_on_every_block_once() -> None:
    masks = [split_of("folds", f"data.fold={fold}").mask(1, SplitPart.val, WHOLE) for fold in range(5)]
    assert (np.sum(masks, axis=0) == 1).all()
    train = split_of("folds").mask(1, SplitPart.train, WHOLE)
    assert not np.any(train & masks[0])


def test_statistics_are_those_of_training_pixels_alone() -> None:
    image, labels = random_scene()
    split = make_split(make_data_split([image], [labels]).scenes, section("data.split=per_class").data)
    train = split.mask(0, SplitPart.train, WHOLE)
    assert train.sum() == 100
    layer = measure_inputs(split, ["image"]).layers["image"]
    np.testing.assert_allclose(layer.mean, image[:, train].mean(axis=1), atol=1e-5)
    scaled = measure_inputs(split, ["image"], scaling="range").layers["image"]
    low, high = image[:, train].min(), image[:, train].max()
    assert scaled.mean == (low, low)
    assert scaled.std == (high - low, high - low)
    assert [int(cells.counts.sum()) for cells in class_cells(split)] == [100]


def test_negative_values_of_a_cube_are_said_and_those_of_heights_are_not(caplog: pytest.LogCaptureFixture) -> None:
    image, labels = random_scene()
    cube = np.repeat(image[:1], 16, axis=0).astype(np.float32)
    cube[4, ::2] -= 300
    for bands, said in ((cube, True), (cube[:5], False), (abs(cube), False)):
        caplog.clear()
        measure_inputs(make_data_split([bands], [labels]), ["image"])
        assert ("values are negative, in 1 band (5): no reflectance" in caplog.text) == said


def test_a_band_of_nodata_is_neither_negative_nor_a_value(caplog: pytest.LogCaptureFixture) -> None:
    image, labels = random_scene()
    cube = np.repeat(image[:1], 16, axis=0).astype(np.float32)
    cube[4], cube[7] = -3.5, 9
    measure_inputs(make_data_split([Layer.open(cube, nodata=-3.5)], [labels]), ["image"])
    assert "negative" not in caplog.text
    assert "has only nodata in all training pixels of band_5, which" in caplog.text
    assert "has one value in all training pixels of band_8 (9)" in caplog.text


def test_pixels_that_are_not_valid_are_in_no_part() -> None:
    image, labels = random_scene()
    image = image.astype(np.float32)
    image[1, :40] = np.nan
    split = make_split(make_data_split([image], [labels]).scenes, section("data.split=random_pixels").data)
    train, val = (split.mask(0, part, WHOLE) for part in (SplitPart.train, SplitPart.val))
    assert not (train | val)[:40].any()
    assert (train | val)[40:].all()


def test_without_a_validation_share_all_is_learnt_from() -> None:
    split = split_of("random_pixels", "data.val_share=0")
    assert not split.validated
    assert split.mask(0, SplitPart.train, WHOLE).all()


def test_a_scene_of_one_block_is_cut_into_smaller_ones() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((16, 16)) < 0.5, 3, 7).astype(np.uint8)
    image = rng.random((3, 16, 16), np.float32)
    rules = section("data.split=folds", "data.folds=2", "data.buffer_px=0", "data.block_px=null").data
    split = make_split(make_data_split([image], [labels]).scenes, rules)
    whole_scene = Window(0, 0, 16, 16)
    learnt, withheld = (split.mask(0, part, whole_scene) for part in (SplitPart.train, SplitPart.val))
    assert learnt.any()
    assert withheld.any()
    assert not (learnt & withheld).any()


def test_classes_in_too_few_blocks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.full((SIDE, SIDE), 3, np.uint8)
    labels[:5, :5] = 7
    image = random_scene()[0]
    with caplog.at_level(logging.WARNING):
        make_split(make_data_split([image], [labels]).scenes, section("data.split=folds").data)
    assert f"Not in all 5 folds: {LEGEND.names[1]} in 1." in caplog.text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.split=folds", "data.folds=3", "data.fold=3"], "fold=3 of 3 folds; expected 0 to 2"),
        (
            ["data.split=folds", "data.buffer_px=20"],
            "scene 'scene0' .128 × 128 px. is too small for data.folds=5 of blocks of 16 px with a buffer of 20 px",
        ),
        (
            ["data.split=folds", "data.block_px=128", "data.folds=5"],
            "data.folds=5, but the scenes have 2 blocks. Set data.block_px=127 or less",
        ),
        (
            ["data.split=folds", "data.block_px=128", "data.folds=2"],
            "is one block of 128 px; .* Set data.block_px=127 or less",
        ),
        (["data.split=per_class", "data.pixels_per_class=60000"], "too few are labelled of low .*, high"),
    ],
)
def test_splits_that_cannot_be_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_of(*[overrides[0].partition("=")[2], *overrides[1:]])


def test_scenes_without_labels_are_refused() -> None:
    scenes = make_data_split([random_scene()[0]], [fields()]).scenes
    plain = [type("Plain", (), {"name": one.name, "grid": one.grid})() for one in scenes]
    with raises_naming(InputError, "per_class"):
        make_split(plain, section("data.split=per_class").data)
