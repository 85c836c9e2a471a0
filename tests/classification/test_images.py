"""Images with labels are read from every layout, drawn by class, and refused by name where they do not fit."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.classification import list_images
from deepnets4eo.classification.bands import BAND_ORDERS, check_band_order
from deepnets4eo.classification.images import (
    check_learnable,
    check_unit,
    draw_labelled,
    measure_pixels,
    prepare_images,
    read_pixels,
    split_images,
)
from deepnets4eo.classification.parts import shared_ground
from deepnets4eo.classification.readers import ImageData, folder_legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid

from .conftest import CLASSES, made_up_patches


def data(*folders: Path, **keys: object) -> ImageData:
    return ImageData(folders=tuple(map(str, folders)), **keys)


def pixels_of(images, tmp_path: Path, **keys: float):  # type: ignore[no-untyped-def]
    return read_pixels(images, memory_bytes=keys.get("memory_bytes", 1e9), folder=tmp_path, workers=2)


def test_folders_a_table_and_an_archive_hold_the_same_images(patches: Path, archive: Path, tmp_path: Path) -> None:
    images, legend = list_images(data(patches))
    assert legend.names == CLASSES
    expected, labels = made_up_patches()
    order = [int(Path(name).stem) for name in images.names]
    assert [CLASSES[label] for label in labels[order]] == [Path(name).parent.name for name in images.names]
    np.testing.assert_array_equal(pixels_of(images, tmp_path), expected[order])
    np.testing.assert_array_equal(pixels_of(images, tmp_path, memory_bytes=1), expected[order])
    names = [name.partition("/")[2] for name in images.names]
    rows = "\n".join(f"{name},{Path(name).parent.name},{'test' if name.startswith('w') else 'train'}" for name in names)
    (patches / "labels.csv").write_text(f"image,label,part\n{rows}\n", encoding="utf-8")
    table, _ = list_images(data(patches / "labels.csv"), legend)
    np.testing.assert_array_equal(table.targets, images.targets)
    split = split_images(table, val_share=0.25, test_share=0.5, labels_per_class=0, seed=0)
    assert {table.names[row].split("/")[1] for row in split.test} == {"water"}, "a published part stays as it is"
    npz, _ = list_images(data(archive), legend)
    np.testing.assert_array_equal(npz.read(5), expected[5])
    np.testing.assert_array_equal(npz.labelled, np.arange(len(npz)) % 3 > 0)
    last = tmp_path / "last.npz"
    np.savez(last, images=np.moveaxis(expected, 1, 3), labels=labels)
    np.testing.assert_array_equal(list_images(data(last), legend)[0].read(5), expected[5])


def test_bands_are_chosen_by_name_and_scaled_by_what_is_learnt_from(patches: Path, tmp_path: Path) -> None:
    images, _ = list_images(data(patches, file_bands=("B2", "B3", "B4", "B8"), bands=("nir", "red")))
    assert images.bands == ("B08", "B04")
    assert images.gsd_m == pytest.approx(10)
    whole, _ = list_images(data(patches))
    np.testing.assert_array_equal(images.read(3), whole.read(3)[[3, 2]])
    pixels = pixels_of(images, tmp_path)
    prepared = prepare_images(pixels, measure_pixels(pixels, np.arange(len(pixels)), images))
    np.testing.assert_allclose(prepared.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(prepared.std((0, 2, 3)), 1, atol=1e-4)
    with raises_naming(InputError, "B11"):
        list_images(data(patches, file_bands=("B2", "B3", "B4", "B8"), bands=("B11",)))


def test_few_labels_are_as_many_of_each_class_and_follow_from_the_seed() -> None:
    targets = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [50, 20, 5])]
    drawn = draw_labelled(targets, 4, seed=1)
    assert targets[drawn].sum(0).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(drawn, draw_labelled(targets, 4, seed=1))
    assert set(drawn) != set(draw_labelled(targets, 4, seed=2))
    several = targets | np.eye(3, dtype=bool)[np.random.default_rng(0).integers(0, 3, 75)]
    assert (several[draw_labelled(several, 4, seed=0)].sum(0) >= 4).all()
    with raises_naming(InputError, "data.labels_per_class", "5 labelled"):
        draw_labelled(targets, 6, seed=0)


def test_parts_share_no_image_and_hold_every_class(patches: Path) -> None:
    images, _ = list_images(data(patches))
    split = split_images(images, val_share=0.25, test_share=0.25, labels_per_class=1, seed=3)
    parts = [split.labelled, split.unlabelled, split.val, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(images)))
    assert [len(part) for part in parts] == [3, 9, 6, 6]
    for part in parts:
        assert (images.targets[part].sum(0) == len(part) / 3).all()


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_of_bigearthnet_are_read(version: int, tmp_path: Path) -> None:
    bands = {"B02": 12, "B05": 6, "B01": 2}
    names = [f"S2A_MSIL2A_{number}" for number in range(3)]
    labels = [["Rice fields", "Water bodies"], ["Airports"], ["Pastures"]]
    if version == 2:
        labels = [["Arable land", "Inland waters"], [], ["Pastures"]]
    for number, name in enumerate(names):
        home = tmp_path / ("BigEarthNet-S2/scene" if version == 2 else "") / name
        radar = tmp_path / ("BigEarthNet-S1/scene" if version == 2 else "") / f"S1_{number}"
        for band, side in bands.items():
            write_geotiff(
                home / f"{name}_{band}.tif", np.full((side, side), 100 * number + side, np.uint16), gsd=120 / side
            )
        write_geotiff(radar / f"S1_{number}_VV.tif", np.full((12, 12), -number, np.float32), gsd=10)
        if version == 1:
            (home / f"{name}_labels_metadata.json").write_text(json.dumps({"labels": labels[number]}), encoding="utf-8")
            (radar / f"S1_{number}_labels_metadata.json").write_text(
                json.dumps({"labels": labels[number], "corresponding_s2_patch": name}), encoding="utf-8"
            )
    if version == 2:
        table = {
            "patch_id": [*names, "cloudy"],
            "labels": [*labels, ["Pastures"]],
            "split": ["train", "validation", "test", "test"],
        }
        table |= {"s1_name": ["S1_0", "S1_1", "S1_2", ""], "contains_cloud_or_shadow": [False] * 3 + [True]}
        pd.DataFrame(table).to_parquet(tmp_path / "metadata.parquet")
    images, legend = list_images(
        data(tmp_path, labels="several", bands=("B05", "B02", "VV")), Legend.load("bigearthnet-19")
    )
    assert images.names == tuple(names)
    assert [[legend.names[column] for column in np.flatnonzero(row)] for row in images.targets] == [
        ["Arable land", "Inland waters"], [], ["Pastures"],
    ], "names of CORINE become the class that holds them, airports none"  # fmt: skip
    np.testing.assert_array_equal(images.read(2), np.stack([np.full((12, 12), value) for value in (206, 212, -2)]))
    assert images.parts == (("train", "val", "test") if version == 2 else ())
    with raises_naming(InputError, "S2A_MSIL2A_0", "B03"):
        list_images(data(tmp_path, bands=("B03",)), legend)


@pytest.mark.real_data
def test_real_patches_of_eurosat_and_bigearthnet_are_read(real_data: Path, tmp_path: Path) -> None:
    images, legend = list_images(data(real_data / "eurosat_ms", dataset="eurosat"), Legend.load("eurosat"))
    assert images.targets.sum(0).tolist() == [12] * 10
    assert images.bands == BAND_ORDERS["EuroSAT"]
    assert images.read(0).shape == (13, 64, 64)
    assert round(images.gsd_m or 0) == 10
    radar = data(real_data / "bigearthnet", labels="several", bands=("VV", "VH", "B02", "B8A"))
    images, _ = list_images(radar, Legend.load("bigearthnet-43"))
    assert len(images) == 6
    assert pixels_of(images, tmp_path).shape == (6, 4, 120, 120)
    assert (images.targets.sum(1) >= 1).all()


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("the weights of BigEarthNet v2, version v0.1.1", "the weights of BigEarthNet v2, version v0.2.0"),
        ("the weights of BigEarthNet v2, version v0.2.0", "the weights of BigEarthNet v2, version v0.1.1"),
        ("EfficientBigEarthNet", "the weights of BigEarthNet v2, version v0.2.0"),
        ("EuroSAT", "Sentinel-2 L1C"),
    ],
)
def test_a_band_order_that_is_a_trap_is_refused_by_the_name_of_its_owner(owner: str, expected: str) -> None:
    with raises_naming(InputError, owner):
        check_band_order(BAND_ORDERS[owner], BAND_ORDERS[expected], "weights.safetensors")
    check_band_order(BAND_ORDERS[expected], BAND_ORDERS[expected], "weights.safetensors")


def test_names_of_colours_are_bands_so_that_tessera_is_refused_too() -> None:
    tessera = ("red", "blue", "green", "nir", "nir08", "rededge1", "rededge2", "rededge3", "swir16", "swir22")
    with raises_naming(InputError, "TESSERA"):
        check_band_order(tessera, DatasetCard.load("bigearthnet_v2").bands["image"], "embeddings.npz")


def test_files_that_name_their_bands_in_another_order_than_the_card_are_refused(tmp_path: Path) -> None:
    import rasterio

    for name in ("Forest", "River"):
        path = write_geotiff(tmp_path / name / "1.tif", np.ones((13, 4, 4), np.uint16))
        with rasterio.open(path, "r+") as file:
            file.descriptions = BAND_ORDERS["Sentinel-2 L1C"]
    with raises_naming(InputError, "Sentinel-2", "L1C"):
        list_images(data(tmp_path, dataset="eurosat"), Legend.load("eurosat"))


def bad_folder(kind: str, folder: Path) -> ImageData:
    image = np.full((3, 8, 8), 900, np.uint16)
    for name in CLASSES[:2]:
        write_geotiff(folder / name / f"{name}.tif", image)
    if kind == "size":
        write_geotiff(folder / "field" / "z.tif", np.full((3, 8, 9), 900, np.uint16))
    elif kind == "bands":
        write_geotiff(folder / "field" / "z.tif", image[:2])
    elif kind == "unit":
        write_geotiff(folder / "field" / "z.tif", np.full((3, 8, 8), 0.3, np.float32))
        write_geotiff(folder / "field" / "field.tif", np.full((3, 8, 8), 3000, np.float32))
    elif kind == "empty":
        (folder / "river").mkdir()
    elif kind == "class":
        write_geotiff(folder / "glacier" / "z.tif", image)
    elif kind == "sizes":
        images = np.empty(2, object)
        images[:] = [image, image[:, :4]]
        np.savez(folder / "z.npz", images=images, labels=[0, 1])
        return data(folder / "z.npz")
    elif kind in ("objects", "ids", "shape", "axes"):
        images = np.ones((3, 4, 4, 4) if kind == "axes" else (3, 2, 8, 8), np.uint16)
        labels: object = {
            "objects": np.array(["a", {}, 3], object),
            "ids": [0, 1, 3],
            "shape": [0, 1],
            "axes": [0, 1, 2],
        }[kind]
        np.savez(folder / "z.npz", images=images, labels=np.asarray(labels))
        return data(folder / "z.npz")
    return data(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("size", r"field/z.tif is 3 bands of 8 × 9 px, but bad/field/field.tif is 3 bands of 8 × 8 px"),
        ("bands", r"z.tif has 2 bands, .*field.tif has 3"),
        ("unit", r"z.tif has values up to 0.3, .* reflectance times 10,000"),
        ("empty", r"river holds no image"),
        ("class", r'z.tif: "glacier" is no class'),
        ("objects", r"z.npz: labels holds object, not numbers"),
        ("sizes", r"z.npz: images holds object, not numbers.* write images of one size as one array"),
        ("ids", r"image 2 has the class 3; the legend made-up has 0 to 2"),
        ("shape", r"labels has the shape \(2,\)"),
        ("axes", r"not clear which axis holds the bands"),
    ],
)
def test_bad_files_are_refused_with_file_value_and_remedy(kind: str, message: str, tmp_path: Path) -> None:
    legend = Legend.from_dict(
        {
            "name": "made-up",
            "classes": [
                {"value": n, "name": name, "color": [n, 9, 9]} for n, name in enumerate((*CLASSES[:2], "river"))
            ],
        }
    )
    with pytest.raises(InputError, match=message):
        images, _ = list_images(bad_folder(kind, tmp_path / "bad"), legend)
        pixels_of(images, tmp_path)


def test_sets_that_nothing_can_be_learnt_from_are_refused(patches: Path, archive: Path, tmp_path: Path) -> None:
    images, legend = list_images(data(patches))
    water = images.take(np.flatnonzero(images.targets[:, 2]))
    with pytest.raises(InputError, match="all labelled images are of one class, water"):
        check_learnable(water, legend, several=False)
    check_learnable(water, legend, several=True)
    with pytest.raises(InputError, match="came twice"):
        list_images(data(patches, unlabelled=(str(patches),)), legend)
    none, _ = list_images(data(patches, unlabelled=(str(archive),)), legend)
    assert len(none) == 2 * len(images)
    assert none.labelled.sum() == len(images)
    with raises_naming(InputError, "24 images"):
        check_learnable(none.take(np.arange(24, 48)), legend, several=False)
    pixels = pixels_of(images, tmp_path)
    inputs = measure_pixels(pixels, np.arange(len(pixels)), images)
    check_unit(pixels, inputs)
    with raises_naming(InputError, "0", "1", "10", "000"):
        check_unit(pixels / 10_000, inputs)
    with pytest.raises(InputError, match="no images were named"):
        list_images(ImageData())


def test_parts_may_lie_in_folders_of_their_own(archive: Path, patches: Path) -> None:
    listed = data(archive, val=(str(patches),), unlabelled=(str(patches / "field"),))
    images, _ = list_images(listed, list_images(data(patches))[1])
    split = split_images(images, val_share=0.2, test_share=0.0, labels_per_class=0, seed=0)
    assert split.describe() == {"labelled": 16, "unlabelled": 16, "val": 24, "test": 0}


def test_two_folders_are_two_classes_around_the_circle_and_one_is_none(tmp_path: Path) -> None:
    for name in ("water", "unlabelled"):
        (tmp_path / name).mkdir()
    with raises_naming(InputError, "1 folders"):
        folder_legend(tmp_path)
    (tmp_path / "forest").mkdir()
    classes = folder_legend(tmp_path).classes
    assert [(one.value, one.name) for one in classes] == [(0, "forest"), (1, "water")]
    assert [tuple(one.color) for one in classes] == [(230, 57, 57), (57, 230, 230)]  # 180 degrees apart


def test_images_to_score_by_need_a_label_before_anything_is_learnt(patches: Path) -> None:
    images, legend = list_images(data(patches))
    targets = images.targets.copy()
    targets[1] = False
    for part, refused in (("val", True), ("test", True), ("train", False)):
        parts = ("train", part, *("train",) * (len(images) - 2))
        with raises_naming(InputError, images.names[1]) if refused else nullcontext():
            check_learnable(replace(images, targets=targets, parts=parts), legend, several=False)


def test_images_of_another_unit_are_refused_and_strange_bands_are_named(
    patches: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, _ = list_images(data(patches))
    pixels = pixels_of(images, tmp_path).astype(np.float32)
    inputs = measure_pixels(pixels, np.arange(len(pixels)), images)
    check_unit(pixels, inputs)
    assert not caplog.messages
    with pytest.raises(InputError, match="of two units"):
        check_unit(pixels / 100, inputs)
    zero = pixels.copy()
    zero[:, 1] = 0
    check_unit(zero, inputs)
    (message,) = caplog.messages
    assert "is 0 everywhere that was looked at" in message


def test_images_of_two_parts_on_the_same_ground_are_named() -> None:
    grids = {
        f"{col}": Grid((16, 16), Affine(10, 0, 500_000 + 160 * col, 0, -10, 5_000_000), "EPSG:32633")
        for col in range(3)
    }
    grids["half"] = Grid((16, 16), Affine(10, 0, 500_080, 0, -10, 5_000_000), "EPSG:32633")
    (line,) = shared_ground({"train": ["0", "1", "far"], "val": ["2", "half"]}, grids)
    assert line.startswith("1 of 2 images of val lie on ground that images of train show, e.g. half on that of 0")
    assert not shared_ground({"train": ["0", "half"], "val": ["2"]}, grids)
