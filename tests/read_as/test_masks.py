"""Masks of clouds and water: which values they may hold, and the codes of products by the names of bands and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.floods import open_new_water
from deepnets4eo.rasters import Layer, cloud_band
from deepnets4eo.read_as import open_cloud_mask

IMAGE = Layer.open(np.ones((3, 2, 2), np.uint8))


def opened(folder: Path, name: str, values: list[float], dtype: type = np.uint16, **profile: object) -> list[int]:
    path = write_geotiff(folder / name, np.array(values, dtype).reshape(1, 2, 2), crs=None, **profile)
    mask = open_cloud_mask(path, Layer.open(path), "--cloud-mask")
    return (mask.read()[0][0].ravel() != 0).astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "values", "clouds"),
    [
        ("HLS.S30.T33SVA.v2.0.Fmask.tif", [32, 2, 8, 0], [0, 1, 1, 0]),
        ("HLS.L30.T33SVA.v2.0.Fmask.tif", [1, 4, 2, 0], [0, 1, 1, 0]),  # cirrus is reserved, next to a cloud, cloud
        ("LC08_20230101_fmask.tif", [1, 2, 3, 4], [0, 1, 0, 1]),  # water, shadow, snow, cloud
        ("LC08_20230101_Fmask4.tif", [0, 1, 1, 0], [0, 0, 0, 0]),
        ("T33SVA_20230101T100000_SCL_20m.tif", [4, 6, 3, 9], [0, 0, 1, 1]),
        ("LC08_L2SP_QA_PIXEL.TIF", [21824, 22280, 21888, 23888], [0, 1, 0, 1]),
        ("LT05_pixel_qa.tif", [66, 68, 72, 96], [0, 0, 1, 1]),
        ("MSK_CLDPRB_20m.tif", [0, 50, 51, 100], [0, 0, 1, 1]),
        ("clouds.tif", [0, 1, 2, 255], [0, 1, 1, 1]),
        ("scl_cloudmask.tif", [0, 1, 1, 0], [0, 1, 1, 0]),
        ("my_scl.tif", [0, 1, 1, 0], [0, 1, 1, 0]),  # a mask that was made of it
        ("valid_mask.tif", [0, 1, 1, 0], [1, 0, 0, 1]),
        ("20230206_clear.tif", [0, 255, 255, 0], [1, 0, 0, 1]),
        ("S2_cloudfree_mask.tif", [0, 1, 1, 0], [1, 0, 0, 1]),
        ("clear_lake_clouds.tif", [0, 1, 1, 0], [0, 1, 1, 0]),  # a place
        ("invalid.tif", [0, 1, 1, 0], [0, 1, 1, 0]),
    ],
)
def test_masks_are_read_by_their_values_and_by_the_names_of_products(tmp_path, name, values, clouds) -> None:
    assert opened(tmp_path, name, values) == clouds


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([0, 2, 32, 32], "2, 32"),
        ([0, 4, 5, 6], "4, 5, 6"),
        ([0, 10, 60, 90], "10, 60, 90"),
        ([0, 0.2, 0.5, 1], "fractions"),
    ],
)
def test_other_values_of_a_mask_of_clouds_are_refused(tmp_path, values, named) -> None:
    with raises_naming(InputError, "--cloud-mask", named):
        opened(tmp_path, "mask.tif", values, np.float32)


def test_a_legend_states_which_classes_hide_the_ground(tmp_path) -> None:
    classes = ["clear", "thick cloud", "water", "cloud shadow"]
    legend = Legend.from_dict(
        {
            "name": "sky",
            "classes": [
                {"name": name, "value": value, "color": [9 + value, 0, 0]} for value, name in enumerate(classes)
            ],
        }
    )

    tags = {"LEGEND": json.dumps(legend.to_dict())}
    assert opened(tmp_path, "sky.tif", [0, 1, 2, 3], np.uint8, tags=tags) == [0, 1, 0, 1]


def test_a_band_named_fmask_states_the_clouds_of_an_image(tmp_path) -> None:

    path = write_geotiff(tmp_path / "a.tif", np.array([[[9, 9], [9, 9]], [[32, 2], [64, 8]]], np.uint8))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["red", "Fmask"]
    mask = cloud_band(Layer.open(path))
    assert mask is not None
    assert mask.read()[0].ravel().tolist() == [0, 1, 0, 1]


def test_resampled_classes_are_no_depths_and_depths_in_decimetres_are(tmp_path) -> None:
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 3, (8, 8)), np.ones((8, 8)))
    blended = np.where(np.arange(64) % 8 == 7, (classes + np.roll(classes, -1, 1)) / 2, classes).astype(np.float32)
    depths = np.round(np.where(classes > 0, rng.uniform(0.1, 4, classes.shape), 0), 1).astype(np.float32)
    with raises_naming(InputError, "--water", "1, 2, fractions"):
        open_new_water(str(write_geotiff(tmp_path / "classes.tif", blended)), Layer.open(tmp_path / "classes.tif").grid)
    path = write_geotiff(tmp_path / "depths.tif", depths)
    water = open_new_water(str(path), Layer.open(path).grid).read()[0][0]
    np.testing.assert_array_equal(water, depths > 0)


def test_a_mask_of_clouds_whose_clear_ground_has_no_data_is_refused(tmp_path: Path) -> None:
    with raises_naming(InputError, "--cloud-mask", "no data wherever it shows no clouds"):
        opened(tmp_path, "mask.tif", [np.nan, 1, 1, np.nan], np.float32, nodata=np.nan)
    assert opened(tmp_path, "whole.tif", [1, 1, 1, 1], np.float32, nodata=np.nan) == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["T33SVA_SCL.tif", "valid.tif"])
def test_zero_is_no_clear_ground_in_classes_of_scenes_and_in_masks_of_what_is_seen(tmp_path: Path, name: str) -> None:
    seen = [4, 4, 9, 0] if "SCL" in name else [1, 1, 0, 0]
    path = write_geotiff(tmp_path / name, np.array(seen, np.uint8).reshape(1, 2, 2), crs=None, nodata=0)
    values, valid = open_cloud_mask(path, Layer.open(path), "--cloud-mask").read()
    assert ((values[0] == 0) & valid).ravel().tolist() == [True, True, False, False]


@pytest.mark.parametrize("name", ["valid", "cloud_free", "usable_data"])
def test_bands_of_what_is_seen_are_0_under_clouds(tmp_path: Path, name: str) -> None:
    layer = Layer.open(np.array([0, 1], np.uint8).reshape(1, 1, 2)).with_names([name])
    mask = cloud_band(layer)
    assert mask is not None
    assert mask.read()[0].ravel().tolist() == [1, 0]


def test_a_mask_that_hides_nearly_all_of_an_image_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened(tmp_path, "some.tif", [0, 1, 1, 1])
    assert not caplog.text
    opened(tmp_path, "inverted.tif", [1, 1, 1, 1])
    assert "inverted.tif hides 100 % of the image" in caplog.text


@pytest.mark.parametrize(("names", "named"), [(("land", "water"), "land, water"), (("dry", "flood"), "dry, flood")])
def test_a_mask_whose_legend_names_no_clouds_is_refused(tmp_path: Path, names: tuple, named: str) -> None:
    classes = [{"name": name, "value": value, "color": [value, 9, 9]} for value, name in enumerate(names)]
    tags = {"LEGEND": json.dumps({"name": "a", "classes": classes})}
    with raises_naming(InputError, "--cloud-mask", named):
        opened(tmp_path, "mask.tif", [0, 1, 1, 0], tags=tags)
