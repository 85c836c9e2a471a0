"""Arrays of xarray are read as the files that they come from: scale, names, wavelengths, missing values and grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import Declared
from deepnets4eo.rasters import Layer, Scene, grid_of

xarray = pytest.importorskip("xarray")


def image(shape: tuple[int, ...] = (3, 6, 8), dtype: str = "u2", **attributes: Any) -> Any:
    import odc.geo.xr  # noqa: F401, which adds `.odc`

    axes = ("band", "y", "x")[-len(shape) :]
    coordinates = {"y": 5e6 - 10.0 * np.arange(shape[-2]), "x": 5e5 + 10.0 * np.arange(shape[-1])}
    coordinates |= {"band": np.arange(1, shape[0] + 1)} if len(shape) == 3 else {}
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return xarray.DataArray(values, coordinates, axes, "v", attributes).odc.assign_crs("EPSG:32633")


def test_scale_offset_and_unit_of_attributes_are_followed_by_band() -> None:
    array = image(scale_factor=(0.1, 0.2, 1.0), add_offset=-1.0, units="K")
    values = Layer.open(array).read()[0]
    assert np.allclose(values, array.values * np.array([0.1, 0.2, 1.0])[:, None, None] - 1)
    assert Layer.open(array).stored_values[2].unit == "K"
    assert (Layer.open(array, labels=True).read()[0] == array.values).all()
    assert np.allclose(Layer.open(array.sel(band=[2])).read()[0], array.values[1:2] * 0.2 - 1)


def test_names_are_those_of_long_name_or_of_labels_that_are_texts() -> None:
    array = image(long_name=("nir", "red", "green"))
    assert Layer.open(array).band_names == ["nir", "red", "green"]
    assert Layer.open(array.isel(band=[2, 0])).band_names == ["green", "nir"]
    assert Layer.open(array.isel(band=1)).band_names == ["red"]
    assert Layer.open(array.assign_coords(band=["a", "b", "c"])).band_names == ["a", "b", "c"]
    assert Layer.open(image()).band_names == ["band_1", "band_2", "band_3"]


def test_wavelengths_are_those_of_a_coordinate_along_the_bands() -> None:
    waves = image().assign_coords(wavelength=("band", [0.45, 0.55, 0.65], {"units": "um"}))
    assert Layer.open(waves).wavelengths_nm is not None
    assert Layer.open(waves).wavelengths_nm.tolist() == [450, 550, 650]  # type: ignore[union-attr]


def test_missing_values_of_attributes_count_and_those_of_decoded_numbers_do_not() -> None:
    array = image(_FillValue=0, missing_value=[1, 2])
    array.values[:, 0, :3] = [0, 1, 2]
    assert Layer.open(array).read()[1].sum() == 6 * 8 - 3
    decoded = image(dtype="f4")
    decoded.values[:, 0, 0] = 0
    decoded.encoding["_FillValue"] = 0
    assert Layer.open(decoded).read()[1].all()


def test_unsigned_numbers_are_read_as_such() -> None:
    array = image(dtype="i2", _Unsigned="true")
    array.values[:] = -1
    assert (Layer.open(array).read()[0] == 65_535).all()


@pytest.mark.parametrize("attributes", [{"scale_factor": "a"}, {"scale_factor": 0}, {"add_offset": np.nan}, {"long_name": ["a", "b", "c", "d"] * 2},
                                        {"_FillValue": {}}, {"valid_range": [1]}])  # fmt: skip
def test_attributes_that_cannot_be_followed_are_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Layer.open(image(**attributes).drop_vars("band"))


def test_coordinates_of_single_precision_do_not_move_pixels() -> None:
    x, y = ((start + sign * np.arange(2000) * 8.983e-5).astype(np.float32) for start, sign in ((35, 1), (36.5, -1)))
    array = xarray.DataArray(
        np.zeros((2000, 2000), np.uint8), {"latitude": y, "longitude": x}, ("latitude", "longitude")
    )
    affine = grid_of(array).affine
    assert np.abs((affine.c + affine.a * (np.arange(2000) + 0.5) - x) / affine.a).max() < 0.1


TRANSFORM = (10.0, 0.0, 499_995.0, 0.0, -10.0, 5_000_005.0)  # whose pixels have the coordinates of `image` as centres


@pytest.mark.parametrize("corner", [0, 5])
def test_coordinates_on_the_corners_of_the_stated_pixels_are_corners_also_of_a_part(corner: float) -> None:
    stated = Affine.translation(corner, -corner) * Affine(*TRANSFORM)  # 5: as stackstac writes it
    array = image(transform=stated, resolution=10.0)
    for part in (array, array.isel(x=slice(2, 7), y=slice(1, 5))):
        assert grid_of(part).affine == Affine.translation(corner, -corner) * grid_of(part.drop_attrs()).affine
    turned = array.isel(y=slice(None, None, -1))
    assert grid_of(turned).boundingbox == grid_of(array).boundingbox
    array.attrs.clear()
    for attributes in (array.spatial_ref.attrs, array.attrs):
        attributes["GeoTransform"] = " ".join(map(str, stated.to_gdal()))
        assert grid_of(array).affine == stated
        attributes.clear()


def test_lower_left_corners_and_a_part_of_upper_left_ones_are_the_same_numbers_and_refused() -> None:
    stated = Affine.translation(5, 5) * Affine(*TRANSFORM)
    with raises_naming(GridError, "lower left corner", "xy_coords='center'"):
        grid_of(image(transform=stated))


def test_the_crs_of_stackstac_is_that_of_its_coordinate_if_attributes_are_lost() -> None:
    array = xarray.DataArray(
        np.ones((4, 4)), dims=("y", "x"), coords={"y": range(4, 0, -1), "x": range(4), "epsg": 32633}
    )
    grid = grid_of(array)
    assert grid.crs == "EPSG:32633"


def test_two_crss_of_an_array_must_be_one() -> None:
    placed = image()
    assert grid_of(placed.assign_coords(epsg=32633)).crs == "EPSG:32633"
    with raises_naming(GridError, "EPSG:32633", "EPSG:32634", "drop_vars"):
        grid_of(placed.assign_coords(epsg=32634))


def test_numbers_of_pixels_are_no_position_on_the_ground() -> None:
    plain = xarray.DataArray(np.ones((4, 4)), dims=("y", "x"), coords={"y": range(4), "x": range(4)})
    assert not Layer.open(plain).has_only_crs
    assert Layer.open(plain.assign_coords(epsg=32633)).has_only_crs


@pytest.mark.parametrize(
    "stated",
    [
        {"transform": (20.0, 0.0, 499_995.0, 0.0, -20.0, 5_000_005.0)},
        {"transform": (10.0, 0.0, 499_998.0, 0.0, -10.0, 5_000_005.0, 0.0, 0.0, 1.0)},
        {"transform": (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_005.0)},  # a corner across, a centre down
        {"resolution": 20.0},
        {"res": (10.0, 30.0)},
    ],
)
def test_a_transform_that_contradicts_the_coordinates_is_refused(stated: dict[str, Any]) -> None:
    with raises_naming(GridError, "10", next(iter(stated))):
        Layer.open(image(**stated))


def test_geozarr_states_crs_and_transform_in_attributes() -> None:
    array = xarray.DataArray(np.ones((3, 6, 8)), dims=("band", "y", "x"))
    placed = array.assign_attrs({"proj:code": "EPSG:32633", "spatial:transform": list(TRANSFORM)})
    grid = grid_of(placed)
    assert (grid.crs.epsg, tuple(grid.affine)[:6]) == (32633, TRANSFORM)  # type: ignore[union-attr]
    with raises_naming(GridError, "proj:code", "EPSG:1"):
        grid_of(placed.assign_attrs({"proj:code": "EPSG:1"}))


def test_the_words_of_rioxarray_and_xarray_for_lists_of_bands_are_followed() -> None:
    array = image(
        nodatavals=(0, 1, float("nan")), scales=(0.1, 0.2, 1.0), offsets=(0.0, 1.0, 0.0), descriptions=("a", "b", "c")
    )
    array.values[:, 0, :3] = [0, 1, 2]
    layer = Layer.open(array)
    assert layer.band_names == ["a", "b", "c"]
    assert [band.nodata for band in layer.declared.bands] == [0, 1, None]
    assert [(stored.scale, stored.offset) for stored in layer.declared.stored] == [(0.1, 0), (0.2, 1), (1, 0)]
    assert not {"scales", "nodatavals"} & layer.tags.keys()
    assert Layer.open(array.sel(band=[2])).declared.bands[0].nodata == 1
    assert Layer.open(image(fill_value=0)).declared.bands[0].nodata == 0
    with raises_naming(InputError, "scales", "scale_factor"):
        Layer.open(image(scale_factor=0.5, scales=(0.1, 0.2, 1.0)))


@pytest.mark.parametrize("x", [list("abcdefgh"), np.arange(8).astype("M8[ns]"), [np.nan] * 8, [0, 1, 2, 3, 4, 5, 6, np.inf], [1.0] * 8,
                               [0, 1, 2, 3, 5, 6, 7, 8.0], np.arange(8) * 1j, np.array([1, None] * 4, object)])  # fmt: skip
def test_coordinates_that_are_no_even_grid_are_refused(x: Any) -> None:
    with pytest.raises(GridError):
        Layer.open(image().assign_coords(x=("x", x)))


def test_rows_and_columns_run_either_way() -> None:
    grid = Layer.open(image().isel(y=slice(None, None, -1))).grid
    assert (grid.affine.e, grid.affine.f) == (10, 5e6 - 55)


def test_a_single_row_has_the_pixels_that_are_stated_or_square_ones() -> None:
    array = image()
    array.spatial_ref.attrs["GeoTransform"] = "499995 10 0 5000010 0 -20"
    assert Layer.open(array.isel(y=[2])).grid.affine.e == -20
    del array.spatial_ref.attrs["GeoTransform"]
    assert Layer.open(array.isel(y=[2])).grid.affine.almost_equals(grid_of(array.isel(y=slice(2, 4))).affine)
    with pytest.raises(GridError):
        Layer.open(array.isel(y=[2], x=[2]))


def test_what_a_layer_states_of_the_bands_read_follows_a_choice_of_bands() -> None:
    declared = Layer.open(image(long_name=("a", "b", "c"), scale_factor=(1, 2, 3))).subset([3, 1]).declared
    assert [(band.name, band.stored.scale) for band in declared.bands] == [("c", 3), ("a", 1)]
    with pytest.raises(InputError):
        declared.check()
    declared.check({"values"})
    Declared.plain("v", 2).check()


def test_complex_numbers_are_refused_but_as_power() -> None:
    array = np.full((2, 9, 9), 3 + 4j, np.complex64)
    for source in (array, xarray.DataArray(array, image((2, 9, 9)).coords)):
        with pytest.raises(InputError, match="complex"):
            Layer.open(source)
        assert (Layer.open(source, power=True).read()[0] == 25).all()


def test_arrays_whose_bands_come_last_are_refused_with_the_order() -> None:
    with pytest.raises(GridError, match="moveaxis"):
        Layer.open(np.zeros((40, 30, 3), np.uint8))
    for layers in ({"labels": np.zeros((40, 30), np.uint8)}, {"dsm": np.zeros((40, 30), np.float32)}):
        with pytest.raises(GridError, match="moveaxis"):
            Scene.open(**layers, image=np.zeros((40, 30, 10), np.uint8))
    with raises_naming(GridError, "has 30", "40 pixels"):
        Scene.open(image=np.zeros((3, 30, 40), np.uint8), labels=np.zeros((40, 30), np.uint8))
    assert Scene.open(image=np.zeros((3, 40, 30), np.uint8), labels=np.zeros((40, 30), np.uint8)).shape == (40, 30)


def array_of(values: Any = None, dims: tuple[str, ...] = ("y", "x"), **coords: Any) -> xarray.DataArray:
    values = np.ones((3, 4), np.float32) if values is None else values
    centres = {"y": [30.0, 20.0, 10.0], "x": [5.0, 15.0, 25.0, 35.0]}
    return xarray.DataArray(
        values, dims=dims, coords={**{name: centres[name] for name in dims if name in centres}, **coords}
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (array_of(np.ones((2, 3, 4, 5)), ("time", "z", "level", "member")), ("time, z, level, member", "rows and columns")),
        (array_of().drop_vars("x"), ("no coordinates along 'x'",)),
        (array_of().assign_attrs(transform=(10.0, 0.0, 0.0, 0.0, -10.0, 999.0)), ("states a transform", "999")),
        (array_of().assign_attrs(resolution=20.0), ("resolution", "20.0")),
    ],
)  # fmt: skip
def test_an_array_without_an_even_grid_is_refused(data: xarray.DataArray, words: tuple[str, ...]) -> None:
    with raises_naming(GridError, *words):
        grid_of(data)


@pytest.mark.parametrize(
    "attrs",
    [
        {"resolution": "10 m"}, {"resolution": (10.0, 10.0)}, {"res": 10.0}, {"resolution": (1, 2, 3)}, {"transform": "none"},
        {"transform": (1.0, 2.0)}, {"transform": (10.0, 0.0, 0.0, 0.0, -10.0, 35.0)}, {"transform": (0.0,) * 6},
    ],
)  # fmt: skip
def test_words_that_are_no_other_grid_leave_that_of_the_coordinates(attrs: dict[str, Any]) -> None:
    assert grid_of(array_of().assign_attrs(attrs)).affine == Affine(10, 0, 0, 0, -10, 35)


def test_values_that_are_no_numbers_and_a_fourth_axis_are_refused() -> None:
    with raises_naming(InputError, "<U1", "expected numbers"):
        Layer.open(array_of(np.full((3, 4), "a")))
    with raises_naming(InputError, "time, band, y, x", "Choose one of time: .isel(time=0)"):
        Layer.open(array_of(np.ones((2, 2, 3, 4), np.float32), ("time", "band", "y", "x")))


@pytest.mark.parametrize(
    ("crs", "unit", "factor"),
    [
        ("EPSG:32633", "km", "1000"), ("EPSG:32633", "kilometre", "1000"), ("EPSG:32633", "US survey foot", "0.304801"),
        ("EPSG:32633", "m", None), ("EPSG:32633", "metre", None), ("EPSG:32633", "degrees_north", None), ("EPSG:32633", "", None),
        ("EPSG:2229", "US survey foot", None), ("EPSG:2229", "foot", None), ("EPSG:2229", "m", "3.28083"),
    ],
)  # fmt: skip
def test_coordinates_in_another_unit_than_the_crs_are_refused(crs: str, unit: str, factor: str | None) -> None:
    array = image().drop_vars("spatial_ref")
    array = array.assign_coords(x=("x", array.x.values / 1e4, {"units": unit})).odc.assign_crs(crs)
    if factor is None:
        assert Layer.open(array).grid.crs is not None
        return
    with raises_naming(GridError, repr(unit), factor):
        Layer.open(array)
