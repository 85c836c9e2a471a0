"""The table of readers: a plain file asks nobody else, and the reader of another package works as the documentation writes it."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documented import page_module
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo import plugins
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, readers

GRID = "ncols 3\nnrows 2\nxllcorner 500000\nyllcorner 5000000\ncellsize 2\nnodata_value -9999\n1 2 3\n4 5 -9999\n"


@pytest.fixture
def text_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the format of the page, whose reader is installed as a package of others would be."""
    page_module("reader", "text_grid")
    entry = EntryPoint("txtgrid", "text_grid:open_text_grid", "deepnets4eo.readers")
    own = plugins.plugins_of
    monkeypatch.setattr(
        readers, "plugins_of", lambda group: own(group) | ({"txtgrid": entry} if group == "readers" else {})
    )
    path = tmp_path / "heights.txtgrid"
    path.write_text(GRID, encoding="ascii")
    return path


def test_a_reader_of_another_package_states_place_names_and_nodata(text_grid: Path) -> None:
    layer = Layer.open(text_grid)
    values, valid = layer.read()
    assert values[0].tolist() == [[1, 2, 3], [4, 5, -9999]]
    assert valid.tolist() == [[True, True, True], [True, True, False]]
    assert layer.band_names == ["height"]
    assert (layer.grid.affine.a, layer.grid.affine.f) == (2, 5_000_004)
    assert layer.paths == [str(text_grid)]
    assert Layer.open(text_grid, nodata=5).read()[1].tolist() == [[True, True, True], [True, False, True]]


def test_its_errors_are_messages_and_its_file_is_checked(text_grid: Path, capsys: Any) -> None:
    assert main(["check", str(text_grid)]) == 0
    assert "height" in capsys.readouterr().out
    text_grid.write_text(GRID.replace("cellsize", "size"), encoding="ascii")
    with raises_naming(InputError, str(text_grid), "cellsize"):
        Layer.open(text_grid)


def test_a_plain_file_asks_no_other_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_geotiff(tmp_path / "image.tif", np.arange(6, dtype=np.uint8).reshape(2, 3))

    def never(*_: object) -> None:
        raise AssertionError("another reader was asked")

    for name in ("plugins_of", "asset_of", "open_reference", "split_card", "open_files"):
        monkeypatch.setattr(readers, name, never)
    assert Layer.open(path).read()[0].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(AssertionError, match="another reader"):
        Layer.open(tmp_path / "image.nc")


def broken(text: str, request: object) -> Any:
    raise RuntimeError("out of its depth")


def plain_array(text: str, request: object) -> Any:
    return np.ones((1, 4, 4))


@pytest.mark.parametrize(("reader", "named"), [("broken", "out of its depth"), ("plain_array", "ndarray")])
def test_a_reader_that_fails_is_named(reader: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("odd", f"{__name__}:{reader}", "deepnets4eo.readers")
    monkeypatch.setattr(readers, "plugins_of", lambda group: {"odd": entry})
    path = tmp_path / "a.odd"
    path.write_text("x")
    with raises_naming(InputError, str(path), named, reader):
        Layer.open(path)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two bands of the format of the page that is read by window."""
    page_module("reader", "raw_raster", 1)
    entry = EntryPoint("raw", "raw_raster:open_raw", "deepnets4eo.readers")
    monkeypatch.setattr(readers, "plugins_of", lambda group: {"raw": entry} if group == "readers" else {})
    values = np.arange(2 * 40 * 60, dtype="<f4").reshape(2, 40, 60)
    values[1, 0, 7:9] = values[0, 0, 7:9]  # pixels without data have its value in every band
    head = {"shape": values.shape, "affine": [2, 0, 500000, 0, -2, 5000000], "crs": "EPSG:32631"}
    line = json.dumps(head | {"names": ["nir", "swir"], "nodata": 7}) + "\n"
    path = tmp_path / "image.raw"
    path.write_bytes(line.encode() + values.tobytes())
    return path


def test_a_source_read_by_window_has_all_that_a_file_has(raw: Path, tmp_path: Path) -> None:
    layer = Layer.open(raw)
    values, valid = layer.read(Window(0, 5, 2, 4))
    assert values.tolist() == [[[5, 6, 7, 8], [65, 66, 67, 68]], [[2405, 2406, 7, 8], [2465, 2466, 2467, 2468]]]
    assert valid.tolist() == [[True, True, False, True], [True, True, True, True]]
    assert layer.band_names == ["nir", "swir"]
    assert layer.with_nodata(8).read(Window(0, 5, 1, 4))[1].tolist() == [[True, True, True, False]]
    same = write_geotiff(tmp_path / "same.tif", layer.read()[0], gsd=2, nodata=7)
    finer = Layer.open(same).grid.zoom_out(0.5)
    for one, other in ((layer, Layer.open(same)), (layer.subset([2]), Layer.open(same).subset([2]))):
        np.testing.assert_array_equal(one.on(finer).read()[0], other.on(finer).read()[0])
        np.testing.assert_allclose(one.thumbnail(30)[0], other.thumbnail(30)[0], rtol=1e-6)


def test_a_damaged_file_of_it_is_named(raw: Path) -> None:
    raw.write_bytes(raw.read_bytes()[:200])
    with raises_naming(InputError, str(raw), "raw_raster:open_raw"):
        Layer.open(raw)
