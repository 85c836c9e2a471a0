"""Cards, reader and recipes for water in radar, on made-up files of a few pixels (SYNTHETIC), and the card on a real chip."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming

pytest.importorskip("numba")
pytest.importorskip("torch")

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from affine import Affine
from geotiff import write_geotiff
from kuro_siwo import stack_kuro_siwo

from deepnets4eo.cards import DatasetCard, Legend, open_dataset
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate
from deepnets4eo.floods.conv_lstm import ConvLSTM, ConvLSTMCell
from deepnets4eo.grid import Grid, Window, hectares_by_window, whole
from deepnets4eo.polygons import Shaping, polygonize
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import create_model
from deepnets4eo.training import load_recipe, train
from deepnets4eo.training.scenes import dataset_scenes

SIDE = 64
LAND_DB, WATER_DB = np.array([-9.0, -16.0]), np.array([-22.0, -29.0])  # VV, VH
QUICK = (
    "data.tile_px=32", "data.windows_per_epoch=4", "data.num_workers=0", "data.split=blocks", "data.block_px=32",
    "data.buffer_px=0", "train.epochs=1", "train.batch_size=4", "predict.tile_px=64", "predict.halo_px=16",
)  # fmt: skip
POLARISATIONS = ("IVV", "IVH")


def decibel(water: np.ndarray, seed: int) -> np.ndarray:
    """(2, H, W) float32, speckle of 4.4 looks on land and water."""
    speckle = 10 * np.log10(np.random.default_rng(seed).gamma(4.4, 1 / 4.4, (2, *water.shape)))
    return (np.where(water, WATER_DB[:, None, None], LAND_DB[:, None, None]) + speckle).astype(np.float32)


def made_up_labels() -> np.ndarray:
    """(H, W): a river, and the flood beside it."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:, 8:24], labels[16:56, 24:48] = 1, 2
    return labels


def write_patch(folder: Path, event: str = "321", patch: str = "c0ffee") -> Path:
    """A patch of Kuro Siwo as its authors give it: linear power with a corner without data, a pixel that is not valid."""
    labels, target = made_up_labels(), folder / event / "01" / patch
    for number, (prefix, water) in enumerate({"SL2": labels == 1, "SL1": labels == 1, "MS1": labels > 0}.items()):
        power = 10 ** (decibel(water, seed=number) / 10)
        power[:, :4, :4] = 0
        for name, band in zip(POLARISATIONS, power, strict=True):
            write_geotiff(target / f"{prefix}_{name}_{event}_01_2020010{3 - number}.tif", band, gsd=10.0)
    valid = np.ones_like(labels)
    valid[60, 60] = 0
    labels[62, 62] = 3
    write_geotiff(target / f"MK0_MLU_{event}_01_20200103.tif", labels, gsd=10.0)
    write_geotiff(target / f"MK0_MNA_{event}_01_20200103.tif", valid, gsd=10.0)
    return target


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kuro")
    for event, patch in (("321", "c0ffee"), ("130", "decade"), ("130", "facade")):
        write_patch(folder / "data", event, patch)
    stack_kuro_siwo(folder / "data", folder / "stacks")
    return folder / "stacks"


def test_patches_of_kuro_siwo_become_one_file_a_date_in_decibel(stacks: Path) -> None:
    tiles = open_dataset("kuro_siwo", stacks, part="test", layers=["image_pre2", "image_pre", "image_post", "labels"])
    assert list(tiles) == ["321/01/c0ffee"]
    labels = made_up_labels()
    for number, (layer, water) in enumerate(
        {"image_pre2": labels == 1, "image_pre": labels == 1, "image_post": labels > 0}.items()
    ):
        image = Layer.open(tiles["321/01/c0ffee"][layer])
        values, valid = image.read(whole(image.grid))
        assert list(image.band_names) == ["VV", "VH"]
        assert not valid[:4, :4].any()
        assert valid.sum() == SIDE**2 - 16
        np.testing.assert_allclose(values[:, valid], decibel(water, seed=number)[:, valid], atol=1e-4)


def test_labels_of_kuro_siwo_are_void_where_nothing_is_valid(stacks: Path) -> None:
    layer = Layer.open(stacks / "321" / "01" / "c0ffee" / "water.tif", labels=True)
    expected = made_up_labels()
    expected[60, 60] = expected[62, 62] = 255
    assert (layer.as_stored().read(whole(layer.grid))[0][0] == expected).all()
    assert layer.legend == Legend.load("water")


def test_the_official_events_of_kuro_siwo_are_in_one_part_each() -> None:
    _, parts = DatasetCard.load("kuro_siwo").split("official")
    assert [len(events) for events in parts.values()] == [27, 7, 10]
    assert len({event for events in parts.values() for event in events}) == 44


def test_events_can_be_chosen_and_finished_patches_stay(tmp_path: Path) -> None:
    for event in ("321", "561"):
        write_patch(tmp_path / "data", event)
    written = stack_kuro_siwo(tmp_path / "data", tmp_path / "stacks", events=["561"])
    assert [path.parts[-3] for path in written] == ["561"]
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in sorted(written[0].iterdir())}
    times = {path: path.stat().st_mtime_ns for path in before}
    stack_kuro_siwo(tmp_path / "data", tmp_path / "stacks")
    assert {path: path.stat().st_mtime_ns for path in before} == times
    with raises_naming(InputError, "999", "EVENT/AREA/PATCH/MK0_MLU"):
        stack_kuro_siwo(tmp_path / "data", tmp_path / "stacks", events=["999"])


def test_a_patch_without_a_date_is_named(tmp_path: Path) -> None:
    patch = write_patch(tmp_path / "data")
    next(patch.glob("SL2_IVH_*")).unlink()
    with raises_naming(InputError, "c0ffee", "0", "SL2_IVH_"):
        stack_kuro_siwo(tmp_path / "data", tmp_path / "stacks")


def write_chip(folder: Path, chip: str) -> None:
    """A chip of Sen1Floods11: dB without data in a corner, labels of which -1 is not known."""
    labels = (made_up_labels() > 0).astype(np.int16)
    image = decibel(labels == 1, seed=len(chip))
    image[:, :4, :4] = np.nan
    labels[60:] = -1
    write_geotiff(folder / "S1Hand" / f"{chip}_S1Hand.tif", image, nodata=np.nan)
    write_geotiff(folder / "S2Hand" / f"{chip}_S2Hand.tif", np.ones((13, SIDE, SIDE), np.int16), nodata=0)
    write_geotiff(folder / "LabelHand" / f"{chip}_LabelHand.tif", labels)


def test_the_flood_of_bolivia_is_tested_on_and_never_learnt_from(tmp_path: Path) -> None:
    for chip in ("Bolivia_103757", "Ghana_103272", "Sri-Lanka_31559"):
        write_chip(tmp_path, chip)
    assert list(open_dataset("sen1floods11", tmp_path, part="test")) == ["Bolivia_103757"]
    learnt = open_dataset("sen1floods11", tmp_path, part="train", layers=["image", "image_optical", "labels"])
    assert list(learnt) == ["Ghana_103272", "Sri-Lanka_31559"]


def test_labels_of_minus_one_are_void_and_water_is_water_in_every_legend(tmp_path: Path) -> None:
    write_chip(tmp_path, "Ghana_103272")
    labels = dataset_scenes("sen1floods11", tmp_path, part="train")[0].scene.read()["labels"]
    assert (labels[60:] == 255).all()
    assert (labels[:60] == (made_up_labels() > 0)[:60]).all()
    both = Legend.load("water").remap_to(Legend.load("any-water"))
    assert both[:3].tolist() == [0, 1, 1]


def test_permanent_water_and_flood_are_scored_apart_and_together(tmp_path: Path) -> None:
    reference, mapped = made_up_labels(), made_up_labels()
    mapped[16:56, 8:24] = 2  # all of the river that lies beside the flood is taken for flood
    for name, values in (("reference", reference), ("mapped", mapped)):
        write_geotiff(tmp_path / f"{name}.tif", values)
    paths, water = (tmp_path / "mapped.tif", tmp_path / "reference.tif"), Legend.load("water")
    apart = evaluate(*paths, water).to_dict()["iou"]
    rules = Protocol(prediction_legend=water, reference_legend=water)
    together = evaluate(*paths, Legend.load("any-water"), rules).to_dict()["iou"]
    assert apart["permanent water"] == pytest.approx(24 * 16 / (64 * 16))
    assert apart["flood"] == pytest.approx(40 * 24 / (40 * 40))
    assert together == {"dry": 1.0, "water": 1.0}


@pytest.mark.parametrize("name", ["fc-ef", "fc-siam-conc", "conv-lstm"])
def test_recipes_of_floods_learn_from_stacks_for_a_step(name: str, stacks: Path, tmp_path: Path) -> None:
    small = ("model.options={widths: [4, 8]}",) if name == "conv-lstm" else ()
    overrides = (*QUICK, *small, "data.dataset=kuro_siwo", f"data.folders={json.dumps([str(stacks)])}")
    recipe, _ = load_recipe(f"floods/{name}", overrides=overrides)
    run = train(recipe, tmp_path / "run")
    assert json.loads((run / "card.json").read_text())["kind"]
    scene = stacks / "321" / "01" / "c0ffee"
    files = {"image_pre2": "pre2.tif", "image_pre": "pre.tif", "image_post": "post.tif"}
    predict(run, {layer: scene / files[layer] for layer in recipe.model.layers}, tmp_path / "map.tif")
    assert Layer.open(tmp_path / "map.tif").legend == Legend.load("water")


def test_the_recipe_of_one_image_learns_from_chips_for_a_step(tmp_path: Path) -> None:
    for chip in ("Ghana_103272", "Spain_7370579"):
        write_chip(tmp_path / "data", chip)
    data = ("data.dataset=sen1floods11", f"data.folders={json.dumps([str(tmp_path / 'data')])}")
    recipe, _ = load_recipe("floods/unet", overrides=(*QUICK, *data, "model.encoder=tu-test_resnet"))
    run = train(recipe, tmp_path / "run")
    predict(run, tmp_path / "data" / "S1Hand" / "Ghana_103272_S1Hand.tif", tmp_path / "map.tif")
    assert Layer.open(tmp_path / "map.tif").legend == Legend.load("any-water")


@pytest.mark.parametrize(("bands", "dates", "widths", "classes"), [(2, 3, (16, 32, 64), 3), (1, 2, (4, 8), 2)])
def test_a_conv_lstm_has_the_weights_that_its_layers_add_up_to(
    bands: int, dates: int, widths: tuple[int, ...], classes: int
) -> None:
    network = ConvLSTM(bands * dates, classes, dates=dates, widths=widths)
    halves = sum(9 * before * after + after for before, after in zip((bands, *widths), widths, strict=False))
    cells = sum(9 * 2 * width * 4 * width + 4 * width + 2 * 4 * width for width in widths)
    into = [2 * width for width in widths[:-1]] + [widths[-1]]
    doubles = sum(16 * before * after + after for before, after in zip(into, (widths[0], *widths), strict=False))
    head = 9 * (widths[0] + bands) * classes + classes
    assert sum(one.numel() for one in network.parameters()) == halves + cells + doubles + head


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (224, 100)])
def test_a_conv_lstm_answers_at_every_size(size: tuple[int, int]) -> None:
    network = create_model("conv-lstm", in_channels=6, num_classes=3).eval()
    assert network(torch.zeros(2, 6, *size)).shape == (2, 3, *size)


def test_a_conv_lstm_remembers_the_order_of_the_dates() -> None:
    torch.manual_seed(0)
    network, dates = ConvLSTM(3, 2).eval(), torch.randn(1, 3, 32, 32)
    assert not torch.allclose(network(dates), network(dates[:, [1, 0, 2]]), atol=1e-4)


def test_a_cell_is_the_published_update_of_its_memory() -> None:
    torch.manual_seed(0)
    cell, maps, before, memory = ConvLSTMCell(4), *(torch.randn(3, 1, 4, 8, 8))
    store, forget, put_out, new = cell.gates(torch.cat([maps, before], dim=1)).split(4, dim=1)
    expected = forget.sigmoid() * memory + store.sigmoid() * new.tanh()
    output, after = cell(maps, before, memory)
    torch.testing.assert_close(after, expected)
    torch.testing.assert_close(output, put_out.sigmoid() * expected.tanh())


def test_bands_that_the_dates_cannot_share_are_refused() -> None:
    with raises_naming(InputError, "4 bands", "3 dates"):
        ConvLSTM(4, 3)


@pytest.mark.parametrize(("latitude_y", "share"), [(0.0, 1.0), (8_399_737.9, 0.25)])  # the equator, and 60° north
def test_flooded_areas_of_a_web_map_are_those_of_the_ground(latitude_y: float, share: float, tmp_path: Path) -> None:
    grid = Grid((40, 40), Affine(10, 0, 0, 0, -10, latitude_y + 200), "EPSG:3857")
    assert hectares_by_window(grid, [Window(0, 0, 40, 40)])[0] == pytest.approx(0.01 * share, rel=0.01)
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 10:30] = 2
    flood = polygonize(Layer.open(labels, grid=grid), {2: "flood"}, Shaping())
    assert flood["area_m2"].sum() == pytest.approx(20 * 20 * 100 * share, rel=0.01)


@pytest.mark.real_data
def test_the_card_reads_the_chip_of_spain(real_data: Path) -> None:
    root = real_data / "sen1floods11"
    tiles = open_dataset("sen1floods11", root, part="train", layers=["image", "image_optical", "labels"])
    assert list(tiles) == ["Spain_7370579"]
    scene = dataset_scenes("sen1floods11", root, part="train", layers=["image", "image_optical"])[0].scene.read()
    assert scene["image"].shape == (2, 512, 512)
    assert scene["image_optical"].shape == (13, 512, 512)
    labels = scene["labels"]
    stored = Layer.open(tiles["Spain_7370579"]["labels"], labels=True).as_stored()
    values = stored.read(whole(stored.grid))[0][0]
    assert (labels == np.where(values < 0, 255, values)).all()
    assert {0, 1, 255} == set(np.unique(labels).tolist())
