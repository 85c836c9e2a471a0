"""ISPRS Potsdam, DFC2018 and SUN RGB-D by path: the scripts find the parts of the real layouts, and read them."""

import logging
import sys
from pathlib import Path

import height_semantics
import isprs_baselines
import numpy as np
import pytest
import sunrgbd_snapnetr
from made_up_datasets import SIDE, class_places, make_dataset

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.files import read_json
from deepnets4eo.rasters import Scene
from deepnets4eo.training import load_recipe


def test_the_tiles_of_potsdam_are_learnt_from_and_tested_on_with_heights_and_eroded_labels(tmp_path: Path) -> None:
    card = DatasetCard.load("isprs_potsdam")
    _, parts = card.split("official")
    tiles = [*parts["train"], *parts["test"]]
    make_dataset(tmp_path, "isprs_potsdam", tiles, ["image_rgbir", "labels", "labels_eroded", "dsm"])
    scenes = isprs_baselines.contest(card, tmp_path, "official")
    assert (len(scenes.train), len(scenes.test)) == (24, 14)
    assert not scenes.train.keys() & scenes.test.keys()
    legend = Legend.load("isprs")
    tested = scenes.test["2_13"]
    scene = Scene.open(**{name: tested[name] for name in ("image", "dsm")})
    assert scene.layers["image"].count == 4
    places = class_places(tiles.index("2_13"), legend.num_classes)
    np.testing.assert_array_equal(scene.read()["dsm"][0], 3.0 * places)
    assert Path(tested[isprs_baselines.ERODED]).name == "top_potsdam_2_13_label_noBoundary.tif"


def test_the_tiles_of_dfc2018_have_heights_above_ground(tmp_path: Path) -> None:
    card = DatasetCard.load("dfc2018")
    _, parts = card.split("tiles")
    make_dataset(tmp_path, "dfc2018", [*parts["train"], *parts["test"]], ["image", "dsm", "dtm", "labels"])
    train, test, target = height_semantics.dataset_scenes("dfc2018", tmp_path, None)
    assert (sorted(train), sorted(test)) == (sorted(parts["train"]), ["273844_3289689"])
    assert target == ("target.layer=dsm", "target.terrain=dtm")
    sources = test["273844_3289689"]
    assert {"image", "dsm", "dtm", "labels"} <= sources.keys()
    scene = Scene.open(**{name: sources[name] for name in ("dsm", "dtm")})
    assert scene.shape == (SIDE, SIDE)
    assert not (scene.read()["dsm"] - scene.read()["dtm"]).any()


def test_sun_rgbd_is_learnt_from_its_two_lists(tmp_path: Path) -> None:
    lists = tmp_path / "train.txt", tmp_path / "test.txt"
    dataset = sunrgbd_snapnetr.sun_rgbd(tmp_path / "SUNRGBD", tmp_path / "labels", *lists)
    overrides = sunrgbd_snapnetr.training_overrides(dataset, "both", sunrgbd_snapnetr.AROUND, 6, 0, smoke=False)
    recipe, _ = load_recipe(sunrgbd_snapnetr.RECIPE, data=dataset.folder, overrides=overrides)
    data = recipe.data
    assert (data.layout, data.split, data.folders) == ("sun-rgbd", "official", (str(tmp_path / "SUNRGBD"),))
    assert (data.labels, data.train_list, data.test_list) == (str(tmp_path / "labels"), *map(str, lists))
    assert Legend.load(recipe.legend).num_classes == 37
    assert len(sunrgbd_snapnetr.PUBLISHED["sun-rgbd"]) == 18


@pytest.mark.beyond_core
def test_a_trial_of_the_baselines_keeps_the_rows_of_rules_and_warns_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["Expert rules, NDVI + nDSM", "RF, pixels"]
    monkeypatch.setattr(sys, "argv", ["isprs_baselines.py", "--smoke", "--out", str(tmp_path), "--rows", *named])
    package = logging.getLogger("deepnets4eo")
    level = package.level
    try:
        isprs_baselines.main()
    finally:
        package.setLevel(level)
    table = read_json(tmp_path / "table.json")
    assert list(table["ours"]) == named
    assert not any("left out" in note for note in table["notes"])
    assert "WARNING" not in capsys.readouterr().err
