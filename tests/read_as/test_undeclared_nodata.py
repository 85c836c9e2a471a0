"""Values without data that a file does not declare: usual values of any writer, next to declared ones, and white collars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import IMAGE, SCORES, Door
from deepnets4eo.read_as.images import undeclared_nodata
from deepnets4eo.read_as.kinds import HEIGHTS

DOOR = Door.of_layer("dsm")
GROUND = (250 + 20 * np.random.default_rng(0).random((1, 96, 96))).astype(np.float32)


def with_gap(value: float) -> np.ndarray:
    values = GROUND.copy()
    values[:, :30] = value
    return values


@pytest.mark.parametrize("kind", [IMAGE, HEIGHTS, SCORES])
@pytest.mark.parametrize("value", [-9999, -999, 9999, 1e20, 9.96921e36, -3.4e38])
def test_usual_values_of_any_writer_are_taken_as_nodata_and_named(kind, value, tmp_path: Path, caplog) -> None:
    layer = kind.open(write_geotiff(tmp_path / "a.tif", with_gap(value)), DOOR)
    np.testing.assert_array_equal(layer.read()[1], np.broadcast_to(np.arange(96)[:, None] >= 30, (96, 96)))
    assert "in every band where it has no data (31% of its pixels)" in caplog.text


@pytest.mark.parametrize("value", [-999, -28_672, -3000, -10_000])
def test_whole_numbers_below_zero_are_nodata_of_an_image_that_has_none(value: int, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(1, 1800, (4, 96, 96)).astype(np.int16)
    image[:, :30] = value
    layer = IMAGE.open(write_geotiff(tmp_path / "a.tif", image), DOOR)
    np.testing.assert_array_equal(layer.read()[1].any(axis=1), np.arange(96) >= 30)


@pytest.mark.parametrize("kind", [IMAGE, HEIGHTS, SCORES])
def test_a_value_without_data_next_to_a_declared_one_is_refused_and_hides_it_never(kind, tmp_path: Path) -> None:
    values = with_gap(-9999)
    named = write_geotiff(tmp_path / "unused.tif", values, nodata=-32768)
    assert not kind.open(named, DOOR).read()[1][:30].any()
    values[:, 30:50] = -32768
    with raises_naming(InputError, "-32768", "-9999", "one value without data"):
        kind.open(write_geotiff(tmp_path / "both.tif", values, nodata=-32768), DOOR)


def test_white_collars_are_named_and_counted_as_data_but_bright_ground_is_not_named(tmp_path: Path, caplog) -> None:
    image = np.random.default_rng(0).integers(0, 240, (3, 96, 96)).astype(np.uint8)
    image[:, :30] = 255
    assert IMAGE.open(write_geotiff(tmp_path / "a.tif", image), DOOR).read()[1].all()
    assert "contains 255 in every band where it has no data (31% of its pixels)" in caplog.text
    assert "treated as nodata" not in caplog.text
    caplog.clear()
    image[:, 30:40] = 250
    IMAGE.open(write_geotiff(tmp_path / "b.tif", image), DOOR)
    assert not caplog.text


def test_layers_from_arrays_are_assessed_alike() -> None:
    assert not HEIGHTS.open(Layer.open(with_gap(-999)), DOOR).read()[1][:30].any()


def test_only_pixels_that_hold_a_usual_value_in_every_band_have_no_data() -> None:
    """A third of the rows has -9999 in all bands, another third in one band, which its other bands contradict."""
    image = np.random.default_rng(0).uniform(5, 90, (3, 96, 96)).astype(np.float32)
    image[:, :32] = -9999
    image[0, 32:64] = -9999
    found = undeclared_nodata(Layer.open(image))
    assert found is not None
    assert (found.value, found.share) == (-9999, pytest.approx(1 / 3))
