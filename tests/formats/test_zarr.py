"""Zarr stores of both versions are read with CRS and position; links, huge chunks and stores of several arrays are refused."""

import json
import os
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from pyproj import CRS
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer

VALUES = np.arange(3 * 50 * 60, dtype=np.uint16).reshape(3, 50, 60)
FINAL_3 = tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) >= (3, 12)  # older GDAL reads drafts of version 3
WKT = CRS.from_epsg(32633).to_wkt()
LEFT, TOP, PIXEL_M = 500_000.0, 5_000_000.0, 10.0


def write_store(path: Path, version: int, arrays: dict[str, np.ndarray], chunk: int = 32) -> Path:
    """A store as xarray and rioxarray write it: arrays over x and y, with a grid mapping."""
    path.mkdir(parents=True)
    if version == 2:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
    else:
        (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    for name, values in arrays.items():
        dims = ["band", "y", "x"][3 - values.ndim :]
        _write_array(path / name, version, values, dims, {"grid_mapping": "spatial_ref"}, chunk)
    _write_array(path / "x", version, LEFT + PIXEL_M * (np.arange(60) + 0.5), ["x"], {}, 60)
    _write_array(path / "y", version, TOP - PIXEL_M * (np.arange(50) + 0.5), ["y"], {}, 50)
    _write_array(path / "spatial_ref", version, np.array(0), [], {"crs_wkt": WKT, "spatial_ref": WKT}, 1)
    return path


def _write_array(folder: Path, version: int, values: np.ndarray, dims: list[str], attributes: dict, chunk: int) -> None:
    folder.mkdir()
    chunks = [1 if dim == "band" else min(chunk, size) for dim, size in zip(dims, values.shape, strict=True)]
    if version == 2:
        metadata = {"zarr_format": 2, "shape": values.shape, "chunks": chunks, "dtype": values.dtype.str, "compressor": None,
                    "fill_value": None, "order": "C", "filters": None}  # fmt: skip
        (folder / ".zarray").write_text(json.dumps(metadata))
        (folder / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": dims, **attributes}))
    else:
        metadata = {
            "zarr_format": 3, "node_type": "array", "shape": values.shape, "data_type": values.dtype.name, "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}}, "dimension_names": dims,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": attributes,
        }  # fmt: skip
        (folder / "zarr.json").write_text(json.dumps(metadata))
    for index in np.ndindex(*(-(-size // side) for size, side in zip(values.shape, chunks, strict=True))):
        part = values[tuple(slice(at * side, (at + 1) * side) for at, side in zip(index, chunks, strict=True))]
        full = np.zeros(chunks, values.dtype)
        full[tuple(slice(0, size) for size in part.shape)] = part
        key = "/".join(["c", *map(str, index)]) if version == 3 else ".".join(map(str, index)) or "0"
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(full.tobytes())


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("values", [VALUES, VALUES[1]], ids=["bands", "plane"])
def test_an_array_is_read_with_its_position(tmp_path, version, values) -> None:
    store = write_store(tmp_path / "a.zarr", version, {"image": values})
    if version == 3 and not FINAL_3:
        with raises_naming(InputError, "a.zarr", "zarr_format=2"):
            Layer.open(store)
        return
    for name in (store, f"{store}#image"):
        layer = Layer.open(name)
        assert layer.grid.crs == "EPSG:32633"
        assert tuple(layer.grid.affine)[:6] == (PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP)
        np.testing.assert_array_equal(layer.read()[0], values.reshape(-1, 50, 60))
        np.testing.assert_array_equal(
            layer.read(Window(20, 30, 25, 10))[0], values.reshape(-1, 50, 60)[:, 20:45, 30:40]
        )


def test_check_describes_a_store(tmp_path, capsys) -> None:
    assert main(["check", str(write_store(tmp_path / "a.zarr", 2, {"image": VALUES}))]) == 0
    printed = capsys.readouterr().out
    assert "50 rows × 60 columns × 3 bands of uint16" in printed
    assert "EPSG:32633" in printed


def test_of_several_arrays_one_must_be_named(tmp_path) -> None:
    store = write_store(tmp_path / "a.zarr", 2, {"red": VALUES[0], "green": VALUES[1]})
    with raises_naming(InputError, "ARRAY"):
        Layer.open(store)
    np.testing.assert_array_equal(Layer.open(f"{store}#green").read()[0][0], VALUES[1])
    for wrong in ("blue", "../b", 'a"b', "x", ""):
        with raises_naming(InputError, "ARRAY"):
            Layer.open(f"{store}#{wrong}")


def test_links_huge_chunks_and_damaged_metadata_are_refused(tmp_path) -> None:
    store = write_store(tmp_path / "link.zarr", 2, {"image": VALUES})
    (tmp_path / "secret").write_bytes(bytes(2 * 32 * 32))
    (store / "image" / "0.0.0").unlink()
    os.symlink(tmp_path / "secret", store / "image" / "0.0.0")
    with raises_naming(InputError, "0.0.0"):
        Layer.open(store)
    for version, name, key in ((2, ".zarray", "chunks"), (3, "zarr.json", "chunk_shape")):
        store = write_store(tmp_path / f"{version}.zarr", version, {"image": VALUES})
        path = store / "image" / name
        text = path.read_text()
        path.write_text(text.replace(f'"{key}": [1, 32, 32]', f'"{key}": [1000, 32000, 32000]'))
        with raises_naming(InputError, "1", "024", "000"):
            Layer.open(store)
        path.write_text(text[:40])
        os.utime(store, (1, version))
        with pytest.raises(InputError, match="is no metadata of a Zarr array"):
            Layer.open(store)


def test_a_raster_becomes_a_store_as_the_docs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_geotiff(tmp_path / "labels.tif", VALUES[0] % 5)
    page = (Path(__file__).parents[2] / "docs/howto/data/large_scenes.md").read_text(encoding="utf-8")
    exec(textwrap.dedent(page.partition("```python\n")[2].partition("  ```")[0]))
    raster, store = Layer.open("labels.tif"), Layer.open("labels.zarr")
    assert (store.read()[0] == raster.read()[0]).all()
    assert (store.grid.affine, store.grid.crs.proj) == (raster.grid.affine, raster.grid.crs.proj)


def test_coordinates_that_are_stored_with_a_scale_are_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path / "a.zarr", 2, {"image": VALUES})
    (store / "y" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["y"], "scale_factor": 0.5}))
    with raises_naming(InputError, "a.zarr", "scale_factor", "0.5"):
        Layer.open(f"{store}#image")


@pytest.mark.parametrize("at", ["", "image"])
def test_geozarr_states_its_place_in_attributes(at: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "a.zarr", 2, {"image": VALUES})
    for name in ("x", "y", "spatial_ref"):
        shutil.rmtree(store / name)
    (store / "image" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["band", "y", "x"]}))
    home = store / at / ".zattrs"
    known = json.loads(home.read_text()) if home.is_file() else {}
    place = {"proj:code": "EPSG:32633", "spatial:transform": [PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP]}
    home.write_text(json.dumps(known | place))
    layer = Layer.open(f"{store}#image")
    assert layer.grid.crs.epsg == 32633
    assert tuple(layer.grid.affine)[:6] == (PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP)
    np.testing.assert_array_equal(layer.read()[0], VALUES)
