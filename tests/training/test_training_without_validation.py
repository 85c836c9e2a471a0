"""All scenes learnt from as published: none withheld, each as often whatever its size, scaled to 0 … 1, last weights."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_split import LEGEND, make_data_split, random_scene
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.cards import SplitPart
from deepnets4eo.files import read_json
from deepnets4eo.grid import Window
from deepnets4eo.tiling import BlockSplit
from deepnets4eo.training import (
    ClassSamples,
    DataSplit,
    Recipe,
    SceneSamples,
    TrainOptions,
    class_cells,
    make_split,
    measure_inputs,
    segmentation,
)
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.splits import windows_by_area

WHOLE = ["data.val_share=0", "data.sampling=scenes", "data.scaling=unit"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(2):
        image, labels = random_scene(number)
        write_geotiff(tmp_path / "data" / f"place{number}" / "image.tif", image)
        write_geotiff(tmp_path / "data" / f"place{number}" / "labels.tif", labels)
    return tmp_path / "data"


def test_nothing_is_withheld_and_the_metrics_say_so(data: Path, tmp_path: Path) -> None:
    small = [
        "data.tile_px=64", "data.windows_per_epoch=4", "data.num_workers=0", "train.batch_size=2", "train.epochs=2",
        "train.step_epochs=[]", "model.options={width: 2}", "train.precision=float32",
    ]  # fmt: skip
    recipe = resolve({"legend": LEGEND.to_dict(), "model": {"network": "segnet"}}, [*small, *WHOLE], kind=Recipe)
    run = deepnets4eo.train(recipe, tmp_path / "run", data=data)
    metrics, card = read_json(run / "metrics.json"), read_json(run / "card.json")
    assert metrics["protocol"]["name"] == "not validated"
    assert metrics["overall_accuracy"] is None
    assert not np.any(metrics["confusion"])
    assert {feature["properties"]["part"] for feature in read_json(run / "split.geojson")["features"]} == {"train"}
    assert card["notes"]["kept"] == "last"
    assert sum(card["notes"]["training_pixels"].values()) == 2 * 128 * 128
    last = load_file(run / "checkpoints" / "last.safetensors")
    kept = load_file(run / "weights.safetensors")
    name = "encoder.stages.0.0.weight"
    assert any(np.array_equal(kept[name], value) for key, value in last.items() if key.endswith(name))
    with open(run / "log.csv", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    layer = card["inputs"]["layers"]["image"]
    assert (layer["mean"], layer["std"]) == ([0.0, 0.0], [255.0, 255.0])


def test_every_scene_is_drawn_as_often_whatever_its_size() -> None:
    (small, small_labels), (big, big_labels) = random_scene(), random_scene(1)
    big, big_labels = np.tile(big, (1, 3, 3)), np.tile(big_labels, (3, 3))
    splits = [BlockSplit(one.shape, max(one.shape), 0, {SplitPart.train: 1.0}) for one in (small_labels, big_labels)]
    split = make_data_split([small, big], [small_labels, big_labels])
    split = DataSplit(split.scenes, splits, "none")
    inputs, cells = measure_inputs(split, ["image"]), class_cells(split)
    shares = {}
    for sampling in ("random", "scenes"):
        recipe = resolve({"data": {"sampling": sampling, "tile_px": 64, "windows_per_epoch": 400}}, kind=Recipe)
        windows = ClassSamples(split, inputs, recipe, cells).windows(0)
        shares[sampling] = np.mean([one.scene == 0 for one in windows])
        assert all(one.window == one.window.clip(splits[one.scene].shape) for one in windows)
    assert shares["random"] < 0.2
    assert 0.42 < shares["scenes"] < 0.58


def test_places_in_a_whole_scene_are_equally_probable() -> None:
    image, labels = random_scene()
    split = DataSplit(
        make_data_split([image], [labels]).scenes, [BlockSplit(labels.shape, 128, 0, {SplitPart.train: 1.0})], "none"
    )
    recipe = resolve({"data": {"sampling": "scenes", "tile_px": 64, "windows_per_epoch": 3000}}, kind=Recipe)
    rows = [one.window.row for one in SceneSamples(split, measure_inputs(split, ["image"]), recipe).windows(0)]
    assert np.histogram(rows, 5, (0, 65))[0] == pytest.approx([600] * 5, rel=0.15)


@pytest.mark.parametrize(
    ("scenes", "tile_px", "batch_size", "count"),
    [(1, 64, 8, 64), (2, 64, 8, 128), (2, 96, 8, 57), (1, 128, 12, 24), (70, 64, 8, 1000)],
)
def test_windows_an_epoch_follow_from_the_area_that_is_learnt_from(scenes, tile_px, batch_size, count) -> None:
    image, labels = random_scene()
    parts = [BlockSplit(labels.shape, 128, 0, {SplitPart.train: 1.0})] * scenes  # 128 x 128 px each
    split = DataSplit(make_data_split([image] * scenes, [labels] * scenes).scenes, parts, "none")
    values = {"data": {"windows_per_epoch": 0, "tile_px": tile_px}, "train": {"batch_size": batch_size}}
    recipe = windows_by_area(split, resolve(values, kind=Recipe))
    assert recipe.data.windows_per_epoch == count
    assert windows_by_area(split, recipe) is recipe, "a number that is given stays"


def test_without_a_share_all_of_each_scene_is_learnt_from() -> None:
    scenes = make_data_split([random_scene()[0]] * 2, [random_scene()[1]] * 2).scenes
    split = make_split(scenes, resolve({}, WHOLE, kind=Recipe).data)
    assert not split.validated
    assert all(split.mask(number, SplitPart.train, Window(0, 0, 128, 128)).all() for number in range(2))
    assert split.windows(SplitPart.val, 64) == []
    named = resolve({}, [*WHOLE, "data.split=scenes", "data.val_scenes=[scene1]"], kind=Recipe).data
    scenes = [scenes[0], type(scenes[1])("scene1", scenes[1].scene, scenes[1].sources, scenes[1].labels)]
    assert make_split(scenes, named).validated


def test_floats_are_scaled_by_their_range() -> None:
    image, labels = random_scene()
    split = make_data_split([image.astype(np.float32) * 100 - 300], [labels])
    layer = measure_inputs(split, ["image"], scaling="unit").layers["image"]
    assert np.allclose(layer.mean, 100 * 3 - 300, atol=200)
    assert np.all(np.array(layer.std) > 20_000)
    scaled = (np.array([layer.low, layer.high]) - layer.mean[0]) / layer.std[0]
    assert scaled == pytest.approx([0, 1], abs=0.02)


def test_a_range_is_that_of_all_bands_of_the_training_part_alone() -> None:
    image, labels = random_scene()
    values = image.astype(np.float32) * [[[1]], [[100]]]
    split = make_data_split([values, values], [labels] * 2)
    train = np.stack([split.mask(0, SplitPart.train, Window(0, 0, 128, 128))] * 2)
    values[:, ~train[0]] = 1e6
    split = make_data_split([values, values], [labels] * 2)
    layer = measure_inputs(split, ["image"], scaling="range").layers["image"]
    low, high = values[train].min(), values[train].max()
    assert layer.mean == (low, low)
    assert layer.std == pytest.approx((high - low, high - low))


def test_values_may_stay_as_they_are() -> None:
    layer = measure_inputs(make_data_split(*([one] for one in random_scene())), ["image"], scaling="none").layers[
        "image"
    ]
    assert (layer.mean, layer.std) == ((0, 0), (1, 1))


@pytest.mark.parametrize(
    ("validated", "notes", "expected"),
    [(True, {"kept": "best"}, {"kept": "best"}), (False, {"kept": "best"}, {"kept": "last"}), (False, {"epochs": 3}, {"epochs": 3})],
)  # fmt: skip
def test_notes_say_that_the_last_weights_were_kept_where_nothing_chose_others(
    validated, notes, expected, monkeypatch
) -> None:
    monkeypatch.setattr(segmentation, "warn_of_lacking", lambda split, pixels: None)
    prepared = SimpleNamespace(
        split=SimpleNamespace(validated=validated), pixels=None, initial_segmenter=lambda: "first", fit=lambda *_: dict(notes)
    )  # fmt: skip
    trained = segmentation.Prepared.train(prepared, Path("run"), TrainOptions())  # type: ignore[arg-type]
    assert trained == ("first", expected)
