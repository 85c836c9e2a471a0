"""The table of readers: a plain file asks nobody else, and the reader of another package works as the documentation writes it."""

from __future__ import annotations

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
