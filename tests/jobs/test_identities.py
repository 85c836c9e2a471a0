"""What a job is known by: another file, grid, value or option is another job; the same ones are the same, in any process."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.shutil
import xarray
from affine import Affine
from geotiff import write_geotiff
from small_site import small_site

from deepnets4eo.formats import offline
from deepnets4eo.grid import Grid
from deepnets4eo.jobs import file_state, identities as module, identity, identity_hash
from deepnets4eo.jobs.records import InputState
from deepnets4eo.rasters import Layer


@dataclass(frozen=True)
class Options:
    side: int
    names: tuple[str, ...] = ()
    moved: np.ndarray | None = None


def test_a_file_is_known_by_its_path_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert identity(path) == [str(path)]
    path.write_text("abc")
    os.utime(path, ns=(1, 2_000_000_001))
    assert identity(path) == [str(path), 3, 2_000_000_001]
    assert identity(str(path)) == str(path), "text is text, also where it names a file"


def test_layers_are_known_by_their_files_and_those_of_arrays_by_their_values(tmp_path: Path) -> None:
    values = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)
    path = write_geotiff(tmp_path / "a.tif", values)
    layer = Layer.open(path)
    assert identity(layer)[-1] == [[identity(Path(path))]]
    grid = layer.grid
    same, other = values.copy(), values.copy()
    other[0, 5, 7] += 1
    first, second, third = (identity_hash(Layer.open(one, grid=grid)) for one in (values, same, other))
    assert first == second != third
    moved = Grid(grid.shape, Affine.translation(1, 0) * grid.affine, grid.crs)
    assert identity_hash(Layer.open(values, grid=moved)) != first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Options(1), Options(2)),
        (Options(1, ("a", "b")), Options(1, ("b", "a"))),
        (Options(1, moved=np.eye(2)), Options(1, moved=np.eye(2, k=1))),
        ({"a": np.zeros(3)}, {"a": np.zeros(3, np.float32)}),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        ({"a": None}, {"a": 0}),
        (1.0, float("nan")),
    ],
)
def test_other_values_have_another_hash(one: object, other: object) -> None:
    assert identity_hash(one) != identity_hash(other)


def test_the_hash_is_that_of_the_values_and_of_the_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity_hash({"b": Options(1, ("x",)), "a": {"z", "y"}}, [None, 0.5])
    assert first == identity_hash({"a": {"y", "z"}, "b": Options(1, ("x",))}, (None, 0.5))
    monkeypatch.setattr(module, "code_version", lambda: "another")
    assert first != identity_hash({"b": Options(1, ("x",)), "a": {"z", "y"}}, [None, 0.5])


def test_a_file_is_another_once_what_belongs_to_it_is(tmp_path: Path) -> None:
    """A world file, the files of a VRT and of a folder are replaced under their names."""
    path = write_geotiff(tmp_path / "a.tif", np.zeros((1, 4, 4), np.uint8))
    vrt, folder = tmp_path / "a.vrt", tmp_path / "cube.zarr"
    rasterio.shutil.copy(path, vrt, driver="VRT")
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "0.0").write_bytes(b"x")
    before = [file_state(str(one)) for one in (path, vrt, folder, f"{folder}#band")]
    assert None not in before
    assert [file_state(str(one)) for one in (path, vrt, folder, f"{folder}#band")] == before
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n5\n5\n")
    assert file_state(str(path)) != before[0]
    (tmp_path / "a.tfw").unlink()
    os.utime(path, ns=(1, 2_000_000_001))
    (folder / "inner" / "0.0").write_bytes(b"yy")
    assert all(
        file_state(str(one)) != old for one, old in zip((path, vrt, folder, f"{folder}#band"), before, strict=True)
    )
    assert file_state(str(tmp_path / "none.tif")) is None


def test_a_file_at_an_address_is_another_once_its_server_says_so() -> None:
    def page(tag: str) -> Callable[[Any], None]:
        def answer(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("ETag", tag)
            handler.end_headers()

        return answer

    with small_site() as (root, pages):
        pages["/a.tif"] = page("one")
        before = file_state(f"{root}/a.tif?sig=SECRET")
        assert before == file_state(f"{root}/a.tif?sig=SECRET") != file_state(f"{root}/a.tif?sig=other")
        assert "SECRET" not in json.dumps(before)
        pages["/a.tif"] = page("two")
        assert file_state(f"{root}/a.tif?sig=SECRET") != before
        with offline("no."):
            assert file_state(f"{root}/a.tif") is None
        assert file_state(f"{root}/none.tif") is None


VALUES = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    "other",
    [
        VALUES + 1, VALUES.astype(np.float32), VALUES.reshape(4, 3), VALUES[0], np.ma.masked_greater(VALUES, 5),
        xarray.DataArray(VALUES, dims=("y", "x"), coords={"x": [1, 2, 3, 5]}), xarray.DataArray(VALUES, dims=("y", "x"), attrs={"unit": "ft"}),
    ],
    ids=["values", "type", "shape", "axes", "mask", "coordinates", "attributes"],
)  # fmt: skip
def test_an_array_in_memory_is_known_by_its_values_mask_coordinates_and_attributes(other: Any) -> None:
    kind = type(other)
    like = VALUES if kind is np.ndarray else kind(VALUES) if kind is np.ma.MaskedArray else xarray.DataArray(VALUES, dims=("y", "x"), coords={"x": [1, 2, 3, 4]})  # fmt: skip
    before = InputState.of(like)
    assert InputState.of(like.copy()).difference(before) == ""
    assert InputState.of(other).difference(before) == f"{kind.__name__} has changed"
    assert before.with_content() is before
    stored = InputState.from_dict(json.loads(json.dumps(before.to_dict())))
    assert InputState.of(like).is_same(stored)


def test_of_a_file_whose_content_was_not_hashed_it_is_not_known_whether_it_changed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    before = InputState.of(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("other", encoding="utf-8")
    now = InputState.of(tmp_path / "a.txt")
    assert now.is_same(before) is None
    assert now.difference(before) == f"it cannot be known whether {tmp_path / 'a.txt'} is unchanged"
    assert now.difference(now.with_content()) == ""
