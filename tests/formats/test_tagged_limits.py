"""Further missing values and valid ranges in the tags of GeoTIFF and Zarr, as converters leave them, are followed by every way of reading."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from formats.test_zarr import write_store
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Layer

VALUES = np.arange(-8, 56, dtype=np.int16).reshape(8, 8)
GRID = GeoBox.from_bbox((500_000, 0, 500_008, 8), "EPSG:32633", shape=(8, 8))


def write(
    path: Path, values: np.ndarray = VALUES[None], band_tags: dict | None = None, scale: float = 1, **tags: str
) -> Path:
    profile = {
        "count": len(values),
        "height": 8,
        "width": 8,
        "dtype": values.dtype,
        "crs": GRID.crs.to_wkt(),
        "transform": GRID.affine,
    }
    nodata = tags.pop("nodata", None)
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, **profile) as file:
        file.write(values)
        file.update_tags(**tags)
        file.scales = [scale] * len(values)
        for band, words in (band_tags or {}).items():
            file.update_tags(band, **words)
    return path


@pytest.mark.parametrize(
    ("tags", "valid"),
    [
        ({"valid_range": "{0,40}"}, (VALUES >= 0) & (VALUES <= 40)),
        ({"valid_range": "0 40", "missing_value": "7"}, (VALUES >= 0) & (VALUES <= 40) & (VALUES != 7)),
        ({"valid_min": "3", "nodata": 9}, (VALUES >= 3) & (VALUES != 9)),
        ({"valid_max": "3.0"}, VALUES <= 3),
        ({"missing_value": "7"}, VALUES != 7),
        ({"missing_value": "7, 8", "_FillValue": "9", "nodata": 9}, ~np.isin(VALUES, (7, 8, 9))),
        ({"valid_range": "{0,20}", "scale": 0.5}, (VALUES >= 0) & (VALUES <= 20)),
        ({"valid_range": "{0.0,10.0}", "scale": 0.5}, (VALUES >= 0) & (VALUES <= 20)),
    ],
)
def test_tags_of_a_geotiff_decide_what_is_valid(tags: dict, valid: np.ndarray, tmp_path: Path) -> None:
    layer = Layer.open(write(tmp_path / "a.tif", **tags))
    data, found = layer.read()
    np.testing.assert_array_equal(found, valid)
    np.testing.assert_array_equal(layer.read(Window(2, 3, 4, 5))[1], valid[2:6, 3:8])
    means, known = layer.read_coarse((4, 4))
    cells = np.where(valid, data[0], np.nan).reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(4, 4, 4)
    np.testing.assert_array_equal(known, np.isfinite(cells).any(axis=2))
    np.testing.assert_allclose(means[0][known], np.nanmean(cells[known], axis=1), atol=0.51)
    moved = GeoBox(GRID.shape, GRID.affine.translation(500_000, 8) * GRID.affine.scale(1, -1), GRID.crs)
    warped, inside = layer.on(moved.pad(2), "nearest").read(Window(2, 2, 8, 8))
    np.testing.assert_array_equal(inside, valid)
    np.testing.assert_array_equal(warped[:, inside], data[:, valid])


def test_tags_of_a_band_are_of_that_band(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.stack([VALUES, VALUES]), {2: {"valid_max": "10"}})
    assert Layer.open(path, bands=[1]).read()[1].all()
    np.testing.assert_array_equal(Layer.open(path, bands=[2]).read()[1], VALUES <= 10)
    np.testing.assert_array_equal(Layer.open(path).read()[1], VALUES <= 10)


def test_check_states_them(tmp_path: Path) -> None:
    found = inspect(str(write(tmp_path / "a.tif", valid_range="{0,40}", missing_value="7,8")))
    assert (found.facts["valid range"], found.facts["further missing values"]) == ("0 to 40", "7, 8")


@pytest.mark.parametrize(
    "words", [{"valid_range": "low"}, {"missing_value": "a,b"}, {"valid_range": "{1}"}, {"valid_range": "{nan,1}"}]
)
def test_words_that_are_no_numbers_are_refused_by_name(words: dict, tmp_path: Path) -> None:
    with raises_naming(InputError, "a.tif", "valid" if "valid_range" in words else "missing_value"):
        Layer.open(write(tmp_path / "a.tif", **words))


def test_signed_numbers_that_are_meant_as_unsigned_ones_are_refused(tmp_path: Path) -> None:
    with raises_naming(InputError, "a.tif", "_Unsigned", "uint16"):
        Layer.open(write(tmp_path / "a.tif", _Unsigned="true"))


def test_files_that_are_put_together_may_have_one_nodata_value_only(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, valid_range="{0,40}") for name in ("a.tif", "b.tif"))
    for open_both in (lambda: Layer.open([one, other]), lambda: Layer.stack([one, other])):
        with raises_naming(InputError, "a.tif", "valid range"):
            open_both()
    plain = [write(tmp_path / name, missing_value="7") for name in ("c.tif", "d.tif")]
    for layer in (Layer.open(plain), Layer.stack(plain)):
        np.testing.assert_array_equal(layer.read()[1], VALUES != 7)


def test_attributes_of_a_zarr_array_decide_what_is_valid(tmp_path: Path) -> None:
    numbers = np.arange(3000, dtype=np.int16).reshape(50, 60)
    store = write_store(tmp_path / "a.zarr", 2, {"red": numbers})
    file = store / "red" / ".zattrs"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"valid_range": [10, 2000], "missing_value": 77}))
    layer = Layer.open(f"{store}#red")
    np.testing.assert_array_equal(layer.read()[1], (numbers >= 10) & (numbers <= 2000) & (numbers != 77))
