"""Scale, offset and unit that files state: physical values wherever bands, dates and tiles meet."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.stack import ImageSeries, MaskRule
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Window
from deepnets4eo.inspection import inspect
from deepnets4eo.prediction import open_scene
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, LayerInput

NUMBERS = np.random.default_rng(0).integers(1, 9000, (2, 12, 10)).astype(np.uint16)
SCALES, OFFSETS = (1e-4, 2e-4), (-0.1, 0.3)


def stated(
    path: Path, numbers: np.ndarray, scales=SCALES, offsets=OFFSETS, unit: str = "", x: float = 0, **profile
) -> Path:
    write_geotiff(path, numbers, origin=(500_000 + x, 5_000_000), **profile)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = scales[: file.count], offsets[: file.count]
        if unit:
            file.units = (unit,) * file.count
    return path


def physical(numbers: np.ndarray, scales=SCALES, offsets=OFFSETS) -> np.ndarray:
    return np.stack(
        [band * scale + offset for band, scale, offset in zip(numbers.astype(float), scales, offsets, strict=False)]
    )


def test_bands_are_read_in_their_own_physical_values_and_nodata_is_told_before(tmp_path: Path) -> None:
    numbers = NUMBERS.copy()
    numbers[:, 0, 0] = 65535
    layer = Layer.open(stated(tmp_path / "a.tif", numbers, nodata=65535))
    data, valid = layer.read()
    assert layer.dtype == data.dtype == np.float32
    assert valid.sum() == valid.size - 1
    assert not valid[0, 0]
    assert np.abs(data - physical(numbers))[:, valid].max() < 1e-6
    second, _ = layer.subset([2]).read(Window(2, 3, 4, 5))
    assert second[0] == pytest.approx(physical(numbers)[1, 2:6, 3:8])
    stored = layer.as_stored()
    assert stored.dtype == np.uint16
    assert (stored.read()[0] == numbers).all()
    assert Layer.open(tmp_path / "a.tif", labels=True).dtype == np.uint16
    assert layer.with_nodata(int(numbers[0, 1, 1])).subset([1]).read()[1][1, 1] == False  # noqa: E712


def test_warped_and_averaged_reads_are_physical(tmp_path: Path) -> None:
    numbers = NUMBERS.astype(np.float32)
    layer = Layer.open(stated(tmp_path / "a.tif", numbers))
    means = physical(numbers).reshape(2, 6, 2, 5, 2).mean(axis=(2, 4))
    coarse = layer.grid.zoom_to((6, 5))
    assert layer.on(coarse, "average").read()[0] == pytest.approx(means, abs=1e-6)
    assert layer.read_coarse((6, 5))[0] == pytest.approx(means, abs=1e-6)
    assert layer.on(coarse).stored_values == layer.stored_values


def test_integers_of_32_bits_keep_their_digits(tmp_path: Path) -> None:
    numbers = np.full((3, 4), 2_000_000_001, np.int32)
    data, _ = Layer.open(stated(tmp_path / "a.tif", numbers, (0.001,), (0.0,))).read()
    assert data[0, 0, 0] == pytest.approx(2_000_000.001, abs=1e-6)


def test_tiles_of_different_scales_make_a_mosaic_without_a_seam(tmp_path: Path) -> None:
    height = np.linspace(5, 40, 12 * 20).reshape(12, 20)
    left, right = np.rint((height[:, :10] + 100) * 100), np.rint(height[:, 10:] * 1000)
    left[0, 0] = right[0, 0] = -9999
    stated(tmp_path / "a.tif", left.astype(np.int32), (0.01,), (-100.0,), "m", nodata=-9999)
    stated(tmp_path / "b.tif", right.astype(np.int32), (0.001,), (0.0,), "metre", x=10, nodata=-9999)
    layer = Layer.open(tmp_path)
    data, valid = layer.read()
    assert np.abs(data[0] - height)[valid].max() < 0.006
    assert np.argwhere(~valid).tolist() == [[0, 0], [0, 10]]
    again = layer.with_nodata(float(left[5, 5])).read()[1]
    assert not again[5, 5]
    assert again[0, 0]


def test_tiles_and_stacks_keep_one_scale_offset_and_unit(tmp_path: Path) -> None:
    first = stated(tmp_path / "a.tif", NUMBERS, unit="K")
    second = stated(tmp_path / "b.tif", NUMBERS + 5, unit="K", x=10)
    mosaic = Layer.open([first, second])
    assert mosaic.stored_values == Layer.open(first).stored_values
    assert mosaic.as_stored().dtype == np.uint16
    assert mosaic.read()[0][:, :, 10:] == pytest.approx(physical(NUMBERS + 5), abs=1e-6)
    other = stated(tmp_path / "c.tif", NUMBERS, (2.0, 1.0), (5.0, 0.0))
    stack = Layer.stack([first, other])
    assert stack.read()[0] == pytest.approx(
        np.concatenate([physical(NUMBERS), physical(NUMBERS, (2, 1), (5, 0))]), abs=1e-3
    )
    shutil.copy(first, tmp_path / "single.tif")
    with rasterio.open(tmp_path / "single.tif") as file:
        rasterio.shutil.copy(file, tmp_path / "d.vrt", driver="VRT")
    assert Layer.open(tmp_path / "d.vrt").read()[0] == pytest.approx(physical(NUMBERS), abs=1e-6)


def test_tiles_in_feet_beside_tiles_in_metres_make_no_mosaic(tmp_path: Path) -> None:
    numbers = NUMBERS[:1].astype(np.float32)
    first = stated(tmp_path / "a.tif", numbers, (1.0,), (0.0,), "ft")
    second = stated(tmp_path / "b.tif", numbers, (1.0,), (0.0,), "", x=10)
    with raises_naming(GridError, "b.tif", "a.tif"):
        Layer.open([first, second])


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 0.0), (np.nan, 0.0), (1.0, np.inf)])
def test_scales_that_leave_no_values_are_refused(tmp_path: Path, scale: float, offset: float) -> None:
    path = stated(tmp_path / "a.tif", NUMBERS[:1], (scale,), (offset,))
    with raises_naming(InputError, "a.tif", "1"):
        Layer.open(path)


def test_arrays_of_hdf5_are_read_in_the_values_that_their_attributes_state(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("band", data=NUMBERS[0].astype(np.int16))
        data.attrs.update({"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": np.int16(NUMBERS[0, 1, 1])})
    values, valid = Layer.open(tmp_path / "a.h5").read()
    assert not valid[1, 1]
    assert values[0][valid] == pytest.approx((NUMBERS[0] * 1e-4 - 0.1)[valid], abs=1e-6)


def test_dates_of_a_series_are_compared_in_physical_values_and_masks_in_their_numbers(tmp_path: Path) -> None:
    early = stated(tmp_path / "S2_20210601.tif", NUMBERS, (1e-4, 1e-4), (0.0, 0.0))
    late = stated(tmp_path / "S2_20220601.tif", NUMBERS + 1000, (1e-4, 1e-4), (-0.1, 0.0))
    series = ImageSeries(
        [DatedImage(date(2021, 6, 1), (early,)), DatedImage(date(2022, 6, 1), (late,))],
        bands={"red": 1},
        mask=MaskRule(band=2),
    )
    window = Window(0, 0, 12, 10)
    (first, _), (second, valid) = series.read(0, window), series.read(1, window)
    assert np.abs(first - second).max() < 1e-6
    assert not valid.any()  # the mask is 1,001 and more everywhere


def test_a_run_that_learnt_from_stored_numbers_gets_them_and_says_so(tmp_path: Path, caplog) -> None:
    layer = Layer.open(stated(tmp_path / "a.tif", NUMBERS))

    class Reads:
        inputs = InputSpec({"image": LayerInput(("band_1", "band_2"), (0.0, 0.0), (1.0, 1.0), 0.0, 9000.0, "uint16")})

    assert (open_scene(layer, Reads()).read()["image"] == NUMBERS).all()  # type: ignore[arg-type]
    assert "its numbers are read as they are stored, as the run learnt from such" in caplog.text
    measured = InputSpec.measure([Scene({"image": layer})])
    assert measured.layers["image"].values == measured.to_dict()["layers"]["image"]["values"] == "physical"
    assert measured.layers["image"].mean == pytest.approx(physical(NUMBERS).mean(axis=(1, 2)), abs=1e-4)
    described = measured.to_dict()
    del described["layers"]["image"]["values"]  # as runs of former versions
    assert InputSpec.from_dict(described).layers["image"].values == "stored"


def test_check_tells_values_as_they_are_meant_and_undeclared_nodata_as_it_is_stored(tmp_path: Path) -> None:
    numbers = np.clip(NUMBERS[:1], 2000, 4000).astype(np.int16)
    numbers[0, :2] = -9999
    found = inspect(str(stated(tmp_path / "a.tif", numbers, (1e-4,), (0.0,))))
    assert found.facts["values"].endswith("to 0.4")
    assert any("gdal_edit.py -a_nodata -9999 " in problem for problem in found.problems)


def test_the_reflectance_scale_factor_of_an_envi_header_is_a_scale(tmp_path: Path) -> None:
    path, header = tmp_path / "a.img", tmp_path / "a.hdr"
    with rasterio.open(path, "w", driver="ENVI", width=4, height=3, count=2, dtype="int16") as file:
        file.write(np.full((2, 3, 4), 2500, np.int16))
    header.write_text(header.read_text() + "reflectance scale factor = 10000\n")
    assert Layer.open(path).read()[0] == pytest.approx(0.25)
    assert (Layer.open(path).as_stored().read()[0] == 2500).all()


def test_complex_radar_is_read_as_its_power_also_where_it_is_warped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = (rng.normal(size=(2, 40, 30)) + 1j * rng.normal(size=(2, 40, 30))).astype(np.complex64)
    numbers[:, :5] = 0
    path = write_geotiff(tmp_path / "slc.tif", numbers, nodata=0)
    with pytest.raises(InputError, match="complex"):
        Layer.open(path)
    described = inspect(str(path))
    assert "complex" in described.facts
    assert any("complex" in problem for problem in described.problems)
    layer = Layer.open(path, power=True)
    power = numbers.real**2 + numbers.imag**2
    data, valid = layer.read()
    assert layer.dtype == np.float32
    np.testing.assert_allclose(data, power, rtol=1e-5)
    np.testing.assert_array_equal(valid, power.any(axis=0))
    for halves, seen in (layer.on(layer.grid.zoom_to((20, 15)), "average").read(), layer.read_coarse((20, 15))):
        np.testing.assert_allclose(halves[:, 3:], power.reshape(2, 20, 2, 15, 2).mean((2, 4))[:, 3:], rtol=1e-4)
        assert not seen[:2].any()
