"""Datasets read by their cards: tiles by id, parts of splits, other patterns, and what is missing by name."""

from pathlib import Path

import numpy as np
import pytest
from made_up_datasets import class_places, make_dataset, tile_path

from deepnets4eo.dataset_card import DatasetCard
from deepnets4eo.dataset_reader import folded, open_dataset
from deepnets4eo.errors import InputError
from deepnets4eo.legend import Legend
from deepnets4eo.recipe import DataSection
from deepnets4eo.training.scenes import dataset_scenes, open_scenes

VAIHINGEN = ["1", "3", "5", "7", "11", "13", "15", "17", "21", "23", "26", "28", "30", "32", "34", "37"]
PLACES = {
    "isprs_vaihingen": VAIHINGEN,
    "isprs_potsdam": ["2_10", "6_8", "2_11"],
    "dfc2015": ["1", "3", "5", "6", "7"],
    "dfc2018": ["272056_3289689", "273844_3289689"],
    "dfc2019": ["JAX_004_006", "OMA_001_002"],
    "loveda": ["Train/Urban/1366", "Train/Rural/0", "Val/Rural/2522"],
}


@pytest.mark.parametrize("name", PLACES)
def test_every_layout_is_read_back_tile_by_tile(name: str, tmp_path: Path) -> None:
    card = make_dataset(tmp_path, name, PLACES[name])
    tiles = open_dataset(card, tmp_path, layers=list(card.layout))
    assert {folded(tile) for tile in tiles} == {folded(tile) for tile in PLACES[name]}
    for tile, sources in tiles.items():
        for layer, path in sources.items():
            assert path == tmp_path / tile_path(card, layer, tile), (tile, layer)


def test_a_part_has_the_tiles_that_the_card_lists(tmp_path: Path) -> None:
    make_dataset(tmp_path, "isprs_vaihingen", VAIHINGEN, ["image", "labels"])
    train = open_dataset("isprs_vaihingen", tmp_path, part="train")
    test = open_dataset("isprs_vaihingen", tmp_path, part="test")
    assert list(test) == ["5", "15", "21", "30"]
    assert len(train) == 12
    assert not set(train) & set(test)
    assert set(train["1"]) == {"image", "labels"}, "heights are taken by default only where there are some"
    held = open_dataset("isprs_vaihingen", tmp_path, split="deepnetsforeo-fold1", part="test")
    assert list(held) == ["32", "34", "37"]


def test_zero_padded_names_are_the_same_tile(tmp_path: Path) -> None:
    make_dataset(tmp_path, "isprs_potsdam", ["2_10"], ["image", "dsm", "labels"])
    tiles = open_dataset("isprs_potsdam", tmp_path)
    assert list(tiles) == ["2_10"]
    assert tiles["2_10"]["dsm"].name == "dsm_potsdam_02_10.tif"
    assert folded("10_20") == "10_20"
    assert folded("area007/00") == "area7/0"


def test_parts_given_by_folder_or_wildcard_take_what_lies_there(tmp_path: Path) -> None:
    make_dataset(tmp_path / "love", "loveda", PLACES["loveda"])
    assert list(open_dataset("loveda", tmp_path / "love", part="train")) == ["Train/Rural/0", "Train/Urban/1366"]
    rural = open_dataset("loveda", tmp_path / "love", split="rural-to-urban", part="train")
    assert list(rural) == ["Train/Rural/0"]
    make_dataset(tmp_path / "us3d", "dfc2019", PLACES["dfc2019"])
    assert list(open_dataset("dfc2019", tmp_path / "us3d", part="test")) == ["OMA_001_002"]
    with pytest.raises(InputError, match="holds nothing of loveda"):
        open_dataset("loveda", tmp_path / "love", split="rural-to-urban", part="test")


def test_a_missing_file_is_told_by_tile_layer_and_place(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_vaihingen", VAIHINGEN, ["image", "labels"])
    (tmp_path / tile_path(card, "labels", "21")).unlink()
    with pytest.raises(InputError, match=r"1 of 4 tiles of isprs_vaihingen have no labels: 21\. .*area21\.tif"):
        open_dataset(card, tmp_path, part="test")
    with pytest.raises(InputError, match=r"17 tiles .* have no image: 2, 4, 6"):
        open_dataset(card, tmp_path, split="official", part="test")
    with pytest.raises(InputError, match=r"have no dsm: .*dsm_09cm_matching_area5\.tif"):
        open_dataset(card, tmp_path, part="test", layers=["image", "dsm"])


def test_patterns_and_variants_replace_the_cards(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_potsdam", ["2_10"])
    infrared = open_dataset(card, tmp_path, layout={"image": "image_irrg"}, layers=["image"])
    assert infrared["2_10"]["image"].name.endswith("_IRRG.tif")
    own = open_dataset(card, tmp_path, layout={"labels": "3_Ortho_IRRG/top_potsdam_{id}_IRRG.tif"}, layers=["labels"])
    assert own["2_10"]["labels"].parent.name == "3_Ortho_IRRG"
    with pytest.raises(InputError, match='no layer "image_irgr".* Did you mean "image_irrg"'):
        open_dataset(card, tmp_path, layout={"image": "image_irgr"})


def test_unknown_parts_splits_and_layers_are_named(tmp_path: Path) -> None:
    make_dataset(tmp_path, "loveda", PLACES["loveda"])
    with pytest.raises(InputError, match='no part "tset", only train, test'):
        open_dataset("loveda", tmp_path, part="tset")
    with pytest.raises(InputError, match='no split "validatoin".*Did you mean "validation"'):
        open_dataset("loveda", tmp_path, split="validatoin", part="test")
    with pytest.raises(InputError, match="has the layers image, labels, not dsm"):
        open_dataset("loveda", tmp_path, layers=["dsm"])
    with pytest.raises(InputError, match="is not a folder"):
        open_dataset("loveda", tmp_path / "absent")


@pytest.mark.parametrize("name", ["isprs_vaihingen", "dfc2015", "dfc2019", "loveda"])
def test_scenes_hold_the_labels_of_the_cards_legend(name: str, tmp_path: Path) -> None:
    make_dataset(tmp_path, name, PLACES[name])
    card = DatasetCard.load(name)
    legend = Legend.load(card.legend)
    scenes = dataset_scenes(card, tmp_path)
    assert len(scenes) == len(PLACES[name])
    for named in scenes:
        number = PLACES[name].index(named.name.replace("-", "/"))
        places = class_places(number, legend.num_classes)
        np.testing.assert_array_equal(named.scene.read()["labels"], np.array(legend.values)[places])


def test_one_label_raster_serves_all_tiles(tmp_path: Path) -> None:
    make_dataset(tmp_path, "dfc2018", PLACES["dfc2018"])
    first, second = dataset_scenes("dfc2018", tmp_path)
    assert first.sources["labels"] == second.sources["labels"]
    assert set(np.unique(first.scene.read()["labels"])) == set(range(1, 21))
    assert (second.scene.read()["labels"] == 255).all(), "the raster ends where the first tile does"


def test_a_recipe_learns_from_the_train_part_alone(tmp_path: Path) -> None:
    make_dataset(tmp_path, "isprs_vaihingen", VAIHINGEN, ["image", "image", "labels"])
    data = DataSection(folders=(str(tmp_path),), dataset="isprs_vaihingen")
    scenes = open_scenes(data, ["image"], Legend.load("isprs"))
    assert [named.name for named in scenes] == ["1", "3", "7", "11", "13", "17", "23", "26", "28", "32", "34", "37"]
    other = open_scenes(data.model_copy(update={"dataset_split": "official"}), ["image"], Legend.load("isprs-mmseg"))
    assert len(other) == 16
    assert {1, 6} <= set(np.unique(other[0].scene.read()["labels"])), "labels are seen in the recipe's legend"
    with pytest.raises(InputError, match="needs one folder, got 0"):
        open_scenes(data.model_copy(update={"folders": ()}), ["image"], Legend.load("isprs"))
