"""Datasets read by their cards: tiles by id, parts of splits, other patterns, and what is missing by name."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, strategies as st
from made_up_datasets import class_places, make_dataset, tile_path, write
from rasterio.enums import ColorInterp
from refusals import raises_naming
from scipy.io import savemat

from deepnets4eo.cards import CardKind, DatasetCard, Legend, open_dataset, strip_leading_zeros
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml
from deepnets4eo.inspection import inspect_dataset
from deepnets4eo.rasters import Layer
from deepnets4eo.training import DataSection, load_recipe, prepare
from deepnets4eo.training.scenes import dataset_scenes, open_scenes

VAIHINGEN = ["1", "3", "5", "7", "11", "13", "15", "17", "21", "23", "26", "28", "30", "32", "34", "37"]
PLACES = {
    "isprs_vaihingen": VAIHINGEN,
    "isprs_potsdam": ["2_10", "6_8", "2_11"],
    "dfc2015": ["1", "3", "5", "6", "7"],
    "dfc2018": ["272056_3289689", "273844_3289689"],
    "dfc2019": ["JAX_004_006", "OMA_001_002"],
    "dsifn_cd": ["0_2", "4_4"],
    "whu_cd": ["train", "test"],
    "loveda": ["Train/Urban/1366", "Train/Rural/0", "Val/Rural/2522"],
}


@pytest.mark.parametrize("name", PLACES)
def test_every_layout_is_read_back_tile_by_tile(name: str, tmp_path: Path) -> None:
    card = make_dataset(tmp_path, name, PLACES[name])
    tiles = open_dataset(card, tmp_path, layers=list(card.layout))
    assert {strip_leading_zeros(tile) for tile in tiles} == {strip_leading_zeros(tile) for tile in PLACES[name]}
    for tile, sources in tiles.items():
        assert set(sources) == set(card.layout)
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
    assert strip_leading_zeros("10_20") == "10_20"
    assert strip_leading_zeros("area007/00") == "area7/0"


def test_parts_given_by_folder_or_wildcard_take_what_lies_there(tmp_path: Path) -> None:
    make_dataset(tmp_path / "love", "loveda", PLACES["loveda"])
    assert list(open_dataset("loveda", tmp_path / "love", part="train")) == ["Train/Rural/0", "Train/Urban/1366"]
    rural = open_dataset("loveda", tmp_path / "love", split="rural-to-urban", part="train")
    assert list(rural) == ["Train/Rural/0"]
    make_dataset(tmp_path / "us3d", "dfc2019", PLACES["dfc2019"])
    assert list(open_dataset("dfc2019", tmp_path / "us3d", part="test")) == ["OMA_001_002"]
    with pytest.raises(InputError, match="holds no file of loveda"):
        open_dataset("loveda", tmp_path / "love", split="rural-to-urban", part="test")


def test_a_missing_file_is_reported_by_tile_layer_and_place(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_vaihingen", VAIHINGEN, ["image", "labels"])
    (tmp_path / tile_path(card, "labels", "21")).unlink()
    with raises_naming(InputError, "1", "4", "isprs_vaihingen", "21", "area21.tif"):
        open_dataset(card, tmp_path, part="test")
    with raises_naming(InputError, "isprs_vaihingen", "17 of 17", "2, 4, 6"):
        open_dataset(card, tmp_path, split="official", part="test")
    with raises_naming(InputError, "dsm_09cm_matching_area5.tif"):
        open_dataset(card, tmp_path, part="test", layers=["image", "dsm"])


def test_patterns_and_variants_replace_the_cards(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_potsdam", ["2_10"])
    infrared = open_dataset(card, tmp_path, layout={"image": "image_irrg"}, layers=["image"])
    assert infrared["2_10"]["image"].name.endswith("_IRRG.tif")
    own = open_dataset(card, tmp_path, layout={"labels": "3_Ortho_IRRG/top_potsdam_{id}_IRRG.tif"}, layers=["labels"])
    assert own["2_10"]["labels"].parent.name == "3_Ortho_IRRG"
    with raises_naming(InputError, '"image_irgr"', "'image_irrg'"):
        open_dataset(card, tmp_path, layout={"image": "image_irgr"})


def test_unknown_parts_splits_and_layers_are_named(tmp_path: Path) -> None:
    make_dataset(tmp_path, "loveda", PLACES["loveda"])
    with raises_naming(InputError, '"tset"'):
        open_dataset("loveda", tmp_path, part="tset")
    with raises_naming(InputError, '"validatoin"', "'validation'"):
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
    with raises_naming(InputError, "data.dataset", "got 0"):
        open_scenes(data.model_copy(update={"folders": ()}), ["image"], Legend.load("isprs"))


def test_a_recipe_says_which_part_it_learnt_from_and_takes_the_cards_legend(tmp_path: Path) -> None:
    make_dataset(tmp_path, "isprs_vaihingen", VAIHINGEN, ["image", "labels"])
    overrides = ["data.dataset=isprs_vaihingen", "data.tile_px=32", "data.block_px=16", "data.buffer_px=0"]
    recipe, _ = load_recipe("unet-resnet34", data=tmp_path, overrides=overrides)
    assert recipe.legend == "isprs"
    prepared = prepare(recipe)
    assert len(prepared.split.scenes) == 12
    expected = {"name": "isprs_vaihingen", "split": "deepnetsforeo", "part": "train"}
    assert prepared.split.describe()["dataset"] == expected
    assert prepared.split.to_geojson()["split"]["dataset"] == expected


def test_globs_of_a_recipe_give_way_to_the_card_and_names_of_layers_do_not(tmp_path: Path) -> None:
    make_dataset(tmp_path, "isprs_potsdam", PLACES["isprs_potsdam"])
    globs = {"image": "*/image.tif", "labels": "*/labels.tif"}
    data = DataSection(folders=(str(tmp_path),), dataset="isprs_potsdam", layers=globs | {"image": "image_irrg"})
    with raises_naming(InputError, "isprs_potsdam", "17 of 19"):
        open_scenes(data, ["image"], Legend.load("isprs"))
    scenes = dataset_scenes("isprs_potsdam", tmp_path, data=data)
    assert scenes[0].sources["image"].endswith("_IRRG.tif")
    assert scenes[0].sources["labels"].endswith("_label.tif")


def test_labels_stored_as_values_are_refused_until_their_legend_is_named(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_vaihingen", ["1"], ["image", "labels"])
    write(tmp_path / tile_path(card, "labels", "1"), class_places(0, 6)[None] + np.uint8(1))
    with raises_naming(InputError, "1", "isprs_vaihingen", "3"):
        dataset_scenes(card, tmp_path)
    (named,) = dataset_scenes(
        card, tmp_path, data=DataSection(labels_legend="isprs-mmseg"), legend=Legend.load("isprs")
    )
    np.testing.assert_array_equal(named.scene.read()["labels"], class_places(0, 6))


def test_an_infrared_band_that_is_marked_alpha_is_not_lost_in_silence(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_potsdam", ["2_10"], ["image_rgbir", "labels"])
    data = DataSection(layers={"image": "image_rgbir"})
    (named,) = dataset_scenes(card, tmp_path, data=data)
    assert named.scene.layers["image"].count == 4
    with rasterio.open(tmp_path / tile_path(card, "image_rgbir", "2_10"), "r+") as file:
        colors = ColorInterp
        file.colorinterp = (colors.red, colors.green, colors.blue, colors.alpha)
    (kept,) = dataset_scenes(card, tmp_path, data=data)  # its many values are those of no mask
    np.testing.assert_array_equal(kept.scene.read()["image"], named.scene.read()["image"])
    with rasterio.open(tmp_path / tile_path(card, "image_rgbir", "2_10"), "r+") as file:
        file.write(np.full(file.shape, 255, np.uint8), 4)
    with raises_naming(InputError, "3", "isprs_potsdam", "4"):
        dataset_scenes(card, tmp_path, data=data)


WORD = st.text(st.sampled_from("abcXYZ019"), min_size=1, max_size=4)
IDS = st.lists(WORD, min_size=1, max_size=3).map("_".join)


@given(
    ids=st.lists(
        st.tuples(WORD, IDS), min_size=1, max_size=4, unique_by=lambda pair: strip_leading_zeros("/".join(pair))
    )
)
def test_any_id_is_read_back_from_the_names_it_makes(ids: list[tuple[str, str]]) -> None:
    values = read_yaml(CardKind.DATASET.path("loveda"))
    values["layout"] = {"image": "{area}/rgb [1]/{area}-{id}_x.tif", "labels": "{area}/{id}.y.tif"}
    card = DatasetCard.model_validate(values)
    with tempfile.TemporaryDirectory() as folder:
        for area, tile in ids:
            for path in (f"{area}/rgb [1]/{area}-{tile}_x.tif", f"{area}/{tile}.y.tif"):
                (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).touch()
        assert set(open_dataset(card, folder)) == {f"{area}/{tile}" for area, tile in ids}


CROPS = {"image": "img_dir/{id}.png", "labels": "ann_dir/{id}.png"}


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["isprs_vaihingen", "isprs_potsdam"])
def test_real_crops_are_read_by_patterns_of_ones_own(name: str, real_data: Path) -> None:
    root = real_data / f"{name}_crop"
    data = DataSection(layers=CROPS, labels_legend="isprs-mmseg")
    (named,) = dataset_scenes(name, root, data=data, legend=Legend.load("isprs"))
    labels = named.scene.read()["labels"]
    stored = Layer.open(root / "ann_dir" / f"{named.name}.png").read()[0][0]
    assert labels.shape == (512, 512)
    np.testing.assert_array_equal(labels[stored > 0], stored[stored > 0] - 1)
    assert (labels[stored == 0] == 255).all(), "0 is clutter or a border there: nobody can tell which"
    with raises_naming(InputError, "1 bands"):
        dataset_scenes(name, root, data=DataSection(layers=CROPS))


def test_the_areas_of_whu_cd_are_its_parts(tmp_path: Path) -> None:
    make_dataset(tmp_path, "whu_cd", PLACES["whu_cd"])
    for part in ("train", "test"):
        (tile,) = open_dataset("whu_cd", tmp_path, part=part, layers=["image_pre", "image_post", "labels"]).values()
        assert {layer: str(path.relative_to(tmp_path)) for layer, path in tile.items()} == {
            "image_pre": f"2012/whole_image/{part}/image/2012_{part}.tif",
            "image_post": f"2016/whole_image/{part}/image/2016_{part}.tif",
            "labels": f"change_label/{part}/change_label.tif",
        }


@pytest.mark.real_data
def test_the_real_windows_of_dsifn_are_read_by_their_card(real_data: Path) -> None:
    root = real_data / "dsifn_cd"
    if not root.is_dir():
        pytest.skip("no dsifn_cd in the data folder")
    tiles = open_dataset("dsifn_cd", root, layers=["image_pre", "image_post", "labels"])
    assert {len(tile) for tile in tiles.values()} == {3}
    scenes = open_scenes(
        DataSection(folders=(str(root),), dataset="dsifn_cd"), ("image_pre", "image_post"), Legend.load("change")
    )
    assert len(scenes) == len(tiles)
    for one in scenes:
        assert set(np.unique(one.scene.read(names=["labels"])["labels"])) <= {0, 1}


@pytest.mark.real_data
def test_a_real_loveda_tile_is_read_and_checked(real_data: Path) -> None:
    root = real_data / "loveda"
    (named,) = dataset_scenes("loveda", root, data=DataSection(layers=CROPS))
    sample = named.scene.read()
    assert sample["image"].shape == (3, 1024, 1024)
    assert set(np.unique(sample["labels"])) <= set(Legend.load("loveda").values) | {255}
    found = inspect_dataset(str(root), DatasetCard.load("loveda").with_layout(CROPS), thorough=True)
    assert found.facts["files"] == "2 checked, 0 broken"
    assert not any("legend" in problem or "px" in problem for problem in found.problems)


CUBES = ["indian_pines", "pavia_centre", "pavia_university", "ksc", "botswana", "salinas", "salinas_a", "trento"]


@pytest.mark.parametrize("name", CUBES)
def test_a_cube_and_its_ground_truth_are_one_scene(name: str, tmp_path: Path) -> None:
    card = DatasetCard.load(name)
    legend = Legend.load(card.legend)
    labels = np.resize([0, *legend.values], (9, 7)).astype(np.uint8)
    cube = np.arange(9 * 7 * 4, dtype=np.int16).reshape(9, 7, 4)
    savemat(tmp_path / card.layout["image"][0], {"cube": cube})
    savemat(tmp_path / card.layout["labels"][0], {"truth": labels.astype(float)})
    if name == "trento":
        savemat(tmp_path / card.layout["dsm"][0], {"data": cube[..., :2]})
    assert list(open_dataset(name, tmp_path)) == [name]
    (scene,) = dataset_scenes(name, tmp_path)
    sample = scene.scene.read()
    assert np.array_equal(sample["image"], cube.transpose(2, 0, 1))
    assert np.array_equal(sample["labels"], np.where(labels == 0, 255, labels))


def test_the_cards_of_cubes_have_their_bands_and_classes() -> None:
    sizes = {name: (DatasetCard.load(name).cube.bands, Legend.load(DatasetCard.load(name).legend).num_classes)
             for name in [*CUBES, "houston2013", "houston2018", "muufl", "enmap_potsdam", "gamsberg"]}  # fmt: skip
    assert sizes == {
        "indian_pines": (200, 16), "pavia_centre": (102, 9), "pavia_university": (103, 9), "ksc": (176, 13),
        "botswana": (145, 14), "salinas": (204, 16), "salinas_a": (204, 6), "trento": (63, 6), "houston2013": (144, 15),
        "houston2018": (50, 20), "muufl": (64, 11), "enmap_potsdam": (224, 6), "gamsberg": (189, 27),
    }  # fmt: skip


def test_a_layout_names_one_array_of_a_file(tmp_path: Path) -> None:
    cube, labels = np.zeros((9, 7, 4), np.int16), np.ones((9, 7), np.uint8)
    savemat(tmp_path / "all.mat", {"cube": cube, "other": cube, "truth": labels, "more": labels})
    layers = {"image": "all.mat#cube", "labels": "all.mat#truth"}
    (scene,) = dataset_scenes("pavia_university", tmp_path, data=DataSection(layers=layers))
    assert scene.scene.read()["image"].shape == (4, 9, 7)
    layers = {"image": "{id}.mat#cube", "labels": "{id}.mat#truth"}
    assert open_dataset("pavia_university", tmp_path, layout=layers)["all"]["image"].name == "all.mat#cube"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "folder", "count"), [("salinas_a", "salinasA", 1), ("enmap_potsdam", "enmap_potsdam", 18)]
)
def test_real_cubes_are_read_by_their_cards(name: str, folder: str, count: int, real_data: Path) -> None:
    scenes = dataset_scenes(name, real_data / folder)
    assert len(scenes) == count
    values = {value for scene in scenes for value in np.unique(scene.scene.read()["labels"])}
    assert values == {*Legend.load(DatasetCard.load(name).legend).values, 255}
    if name == "enmap_potsdam":
        assert len(dataset_scenes(name, real_data / folder, part="train")) == 10
    else:
        counts = np.bincount(scenes[0].scene.read()["labels"].ravel(), minlength=256)
        assert counts[[1, 10, 11, 12, 13, 14]].tolist() == [391, 1343, 616, 1525, 674, 799]
