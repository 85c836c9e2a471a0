"""Rasters beside the images of a job: their units, values without data and gaps."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer, metres_of
from deepnets4eo.read_as import check_metres, height_units
from deepnets4eo.terrain import open_further, unknown_share

SURVEY_FOOT_M = 1200 / 3937


@pytest.mark.parametrize(
    ("unit", "metres"),
    [
        ("m", 1), ("dm", 0.1), ("cm", 0.01), ("mm", 0.001), ("ft", 0.3048), ("US survey foot", SURVEY_FOOT_M), ("US_ft", SURVEY_FOOT_M),
        ("ftUS", SURVEY_FOOT_M), ("us-ft", SURVEY_FOOT_M), ("yards", 0.9144), ("yd", 0.9144), ("[ft_us]", SURVEY_FOOT_M), ("inches", 0.0254),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["unit of the band", "tag of the band", "tag of the file"])
def test_a_stated_unit_is_brought_to_metres(tmp_path, unit, metres, where):
    path = write_geotiff(tmp_path / "h.tif", np.full((4, 4), 500, np.int16))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (2.0,)
        if where == "unit of the band":
            file.units = (unit,)
        else:
            file.update_tags(*(1,) * (where == "tag of the band"), units=unit)
    assert metres_of(unit) == pytest.approx(metres, rel=1e-12)
    assert open_further(path, "--set dem", "metres").read()[0] == pytest.approx(52 * metres, rel=1e-6)
    if metres != 1:
        with pytest.raises(InputError, match=r"expected metres\. Multiply them"):
            check_metres(Layer.open(path))


@pytest.mark.parametrize("unit", ["dB", "%", "m/s", "degrees", "persons", "m2"])
def test_what_is_no_length_is_refused_by_name(tmp_path, unit):
    path = write_geotiff(tmp_path / "h.tif", np.ones((4, 4), np.float32))
    with rasterio.open(path, "r+") as file:
        file.units = (unit,)
    with raises_naming(InputError, "h.tif", unit):
        open_further(path, "--set dem", "metres")


@pytest.mark.parametrize("unit", ["people/km2", "persons per sq km", "inhabitants km-2", "1/ha"])
def test_people_by_area_are_refused_and_numbers_taken(tmp_path, unit):
    path = write_geotiff(tmp_path / "p.tif", np.ones((4, 4), np.float32))
    with rasterio.open(path, "r+") as file:
        file.units = (unit,)
    with pytest.raises(InputError, match="expected people per pixel"):
        open_further(path, "--set population", "people")
    with rasterio.open(path, "r+") as file:
        file.units = ("persons",)
    assert (open_further(path, "--set population", "people").read()[0] == 1).all()


def test_a_usual_value_without_data_that_is_not_declared_is_taken_as_none(tmp_path, caplog):
    heights = np.random.default_rng(0).normal(100, 3, (64, 64)).astype(np.float32)
    heights[:20] = -9999
    with caplog.at_level(logging.WARNING):
        layer = open_further(write_geotiff(tmp_path / "h.tif", heights), "--set dem", "metres")
    np.testing.assert_array_equal(layer.read()[1], heights > -9999)
    assert "h.tif contains -9999 in every band" in caplog.text


def test_the_unknown_share_is_that_of_what_the_image_shows(tmp_path):
    image, known = np.ones((40, 40), np.float32), np.ones((40, 40), np.float32)
    image[:20], known[10:30] = np.nan, np.nan  # of the lower half a half
    assert unknown_share(Layer.open(image), [Layer.open(known)]) == 0.5
    assert unknown_share(Layer.open(image), [Layer.open(known), Layer.open(np.ones_like(known))]) == 0


@pytest.mark.parametrize(("unit", "metres"), [("", 1.0), ("m", 1.0), ("ft", 0.3048)])
def test_heights_without_a_stated_unit_are_metres(unit: str, metres: float) -> None:
    layer = SimpleNamespace(declared=SimpleNamespace(unit=unit), height_crs=None, source="a.tif")
    assert height_units._stated_unit(layer) == (unit, pytest.approx(metres))
