"""Words of the CF conventions as files and arrays have them: numbers, lists by band, unsigned numbers, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.formats.band_info import unit_tag
from deepnets4eo.formats.cf_words import CFWords, plain_text
from deepnets4eo.formats.xarray_words import _numbers_of_bands
from deepnets4eo.rasters import Layer


def words(dtype: str = "int16", **attributes: Any) -> CFWords:
    return CFWords(attributes, np.dtype(dtype), "a.nc#v")


def test_a_number_counts_whatever_its_type() -> None:
    for value in (0.5, "0.5", b"0.5", np.float32(0.5), [0.5], np.array([0.5]), np.array(["0.5"])):
        assert words(scale_factor=value).bands(2)[1].stored.scale == 0.5


@pytest.mark.parametrize(
    "value", ["a", "", [1, "b"], {"a": 1}, True, 1j, np.datetime64("2020"), object(), [[1], ["x"]]]
)
@pytest.mark.parametrize(
    "word", ["scale_factor", "add_offset", "_FillValue", "missing_value", "valid_range", "valid_min"]
)
def test_what_is_no_number_is_refused_by_name(word: str, value: object) -> None:
    with pytest.raises(InputError, match=word):
        words(**{word: value}).bands(2)


def test_lists_have_a_value_for_each_band_by_its_number() -> None:
    listed = {"scale_factor": [1, 2, 3], "long_name": ["a", "b", "c"], "units": ["m", "K", "1"]}
    chosen = CFWords(listed, np.dtype("u2"), "v", labels=(3, 1)).bands(2)
    assert [(band.name, band.stored.scale, band.stored.unit) for band in chosen] == [("c", 3, "1"), ("a", 1, "m")]
    with raises_naming(InputError, "scale_factor"):
        words(scale_factor=[1, 2, 3]).bands(2)


def test_every_missing_value_and_the_valid_range_are_of_the_meant_type() -> None:
    band = words(
        "int8", _Unsigned="true", _FillValue=np.int8(-1), missing_value=[-2, -1], valid_range=np.array([0, -6], "i1")
    ).bands(1)[0]
    assert (band.nodata, band.missing, band.valid_range) == (255, (254,), (0, 250))
    assert words("uint8", _Unsigned="false", _FillValue=255).bands(1)[0].nodata == -1


def test_a_valid_range_of_values_is_one_of_numbers() -> None:
    assert words(scale_factor=0.1, valid_range=[0.0, 100.0]).bands(1)[0].valid_range == (0, 1000)
    assert words(scale_factor=0.1, valid_range=[0, 100]).bands(1)[0].valid_range == (0, 100)
    decoded = CFWords({"valid_max": 100}, np.dtype("f4"), "v", decoded={"scale_factor": 0.1})
    assert decoded.bands(1)[0].valid_range == (-np.inf, 10)


def test_a_netcdf_file_is_read_as_xarray_decodes_it(tmp_path: Path) -> None:
    h5py, xarray = pytest.importorskip("h5py"), pytest.importorskip("xarray")
    stored = np.random.default_rng(0).integers(0, 65_000, (3, 6, 5)).astype("u2")
    stored[:, 0] = 65_535
    attributes = {"_Unsigned": "true", "_FillValue": np.int16(-1), "scale_factor": 0.5, "add_offset": -3.0}
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file.create_dataset("v", data=stored.view("i2")).attrs.update(attributes)
    layer = Layer.open(f"{tmp_path / 'a.nc'}#v:bhw")
    values, valid = layer.read()
    true = xarray.decode_cf(xarray.Dataset({"v": (("b", "y", "x"), stored.view("i2"), attributes)})).v.values
    assert np.array_equal(valid, ~np.isnan(true).all(axis=0))
    assert np.allclose(values[:, valid], true[:, valid])
    assert not layer.read_coarse((6, 5))[1][0].any()


def test_values_outside_the_valid_range_are_not_valid(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    stored = np.arange(2 * 4 * 4, dtype="i2").reshape(2, 4, 4)
    stored[:, 3, 3] = -9999
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file.create_dataset("v", data=stored).attrs.update(
            {"_FillValue": np.int16(-9999), "valid_range": np.array([2, 29], "i2")}
        )
    layer = Layer.open(f"{tmp_path / 'a.nc'}#v:bhw")
    outside = np.zeros((4, 4), bool)
    outside[0, :2] = outside[3, 2:] = True  # 0 and 1 of the first band, 30 of the second, and no data
    assert np.array_equal(layer.read()[1], ~outside)
    assert np.array_equal(layer.on(layer.grid.zoom_to((2, 2)), "nearest").read()[1].shape, (2, 2))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ([], "[]"), ([None], ""), ("m", "m"), (b"m\xff", "m\ufffd"), ([b"m"], "m"), (["a", "b"], "['a', 'b']"), (2, "2")],
)  # fmt: skip
def test_attributes_are_text_bytes_decoded_and_lists_of_one_unpacked(value: Any, text: str) -> None:
    assert plain_text(value) == text


def test_a_unit_is_named_by_its_tag_in_any_case() -> None:
    assert unit_tag({"AREA_OR_POINT": "Area", "Units": " m "}) == "m"
    assert unit_tag({"AREA_OR_POINT": "Area"}) is None


@pytest.mark.parametrize(("labels", "numbers"), [([3, 1], (3, 1)), ([0.5, 0.7], ()), (["red", "nir"], ()), (None, ())])
def test_lists_of_all_bands_are_read_by_labels_that_are_whole_numbers(
    labels: list[Any] | None, numbers: tuple[int, ...]
) -> None:
    xarray = pytest.importorskip("xarray")
    coords = {} if labels is None else {"band": labels}
    array = xarray.DataArray(np.zeros((2, 3, 4)), dims=("band", "y", "x"), coords=coords)
    assert _numbers_of_bands(array, "band") == numbers
