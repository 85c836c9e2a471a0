"""Writing: one error in the same words for whatever keeps a writer from writing, nothing half-written, the umask's modes."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow
import pyogrio.errors
import pytest
import rasterio.errors
import shapely
import torch
from affine import Affine
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_AppDefinedError
from refusals import raises_naming
from safetensors import SafetensorError
from small_disk import small_disk

from deepnets4eo import files
from deepnets4eo.baselines import save_estimator
from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import OutputError
from deepnets4eo.evaluation import report
from deepnets4eo.files import atomic_write, system_error, write_json, write_text, write_yaml, writing
from deepnets4eo.grid import Window
from deepnets4eo.polygons import write_vector
from deepnets4eo.rasters import CogWriter
from deepnets4eo.training.state import save_state

LIMIT_BYTES = 4096
NOISE = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
GRID = GeoBox((256, 256), Affine.identity(), None)


def frame() -> gpd.GeoDataFrame:
    """More rows than the limit holds."""
    numbers = np.random.default_rng(0).normal(size=3000)
    return gpd.GeoDataFrame({"number": numbers}, geometry=shapely.points(numbers, -numbers), crs="EPSG:32633")


def write_cog(path: Path) -> None:
    with CogWriter(path, GRID) as writer:
        writer.write(Window(0, 0, 256, 256), NOISE)


def write_labels(path: Path) -> None:
    with CogWriter(path, GRID, legend=Legend.load("isprs"), nodata=255) as writer:
        writer.write(Window(0, 0, 256, 256), NOISE % 6)


def write_arrays(path: Path) -> None:
    with atomic_write(path) as partial:
        np.savez(partial, noise=NOISE)


def write_estimator(path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    save_estimator(RandomForestClassifier(3, random_state=0).fit(NOISE[:, :4], NOISE[:, 5] % 3), path)


def write_weights(path: Path) -> None:
    torch.manual_seed(0)
    save_state(path, torch.nn.Linear(80, 80), None, {})


def write_figure(path: Path) -> None:
    scores = {"classes": ["a", "b"], "confusion": [[3, 1], [2, 4]], "unpredicted": {"a": 0, "b": 0}}
    report.confusion_figure({**scores, "overall_accuracy": 0.7, "mean_f1": 0.7}, path)


def write_graph(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(NOISE, "noise")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    with atomic_write(path) as partial:
        onnx.save(onnx.helper.make_model(graph), partial)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "image.tif": write_cog,
    "labels.tif": write_labels,
    "table.gpkg": lambda path: write_vector(frame(), path),
    "table.fgb": lambda path: write_vector(frame(), path),
    "table.geojson": lambda path: write_vector(frame(), path),
    "table.parquet": lambda path: write_vector(frame(), path),
    "state.safetensors": write_weights,
    "estimator.skops": write_estimator,
    "arrays.npz": write_arrays,
    "report.json": lambda path: write_json(path, NOISE),
    "recipe.yaml": lambda path: write_yaml(path, NOISE[:40].tolist()),
    "scores.csv": lambda path: write_text(path, "0.5,0.25\n" * 1000),
    "figure.png": write_figure,
    "figure.svg": write_figure,
    "graph.onnx": write_graph,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_error_in_the_same_words_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with small_disk(LIMIT_BYTES), pytest.raises(OutputError) as refused:
        WRITERS[name](path)
    assert str(refused.value).startswith(f"could not write {path}: ")
    assert str(refused.value).endswith(". Free some space or choose another path.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_files_follow_the_umask(tmp_path: Path, name: str) -> None:
    before = os.umask(0o027)
    try:
        WRITERS[name](tmp_path / name)
    finally:
        os.umask(before)
    written = list(tmp_path.iterdir())
    assert tmp_path / name in written
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in written} == {
        path.name: oct(0o640) for path in written
    }


@pytest.mark.parametrize("name", WRITERS)
def test_equal_content_makes_equal_files_at_any_time(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name](tmp_path / name)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1086400000")  # the clock of matplotlib
    monkeypatch.setattr("time.time", lambda: 1_086_400_000.0)  # the clock of ZIP files
    kept = [bytearray(1) for _ in range(5000)]  # objects lie elsewhere in memory
    (tmp_path / "again").mkdir()
    WRITERS[name](tmp_path / "again" / name)
    assert kept
    assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device. Free some space or"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded. Free some space or"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied. Ask for the right to write there"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system. Nothing can be written there"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "File name too long. Choose a shorter name"),
        (CPLE_AppDefinedError(3, 1, "write error"), "write error. Free some space or"),
        (rasterio.errors.RasterioIOError("write failed"), "write failed. Free some space or"),
        (SafetensorError("I/O error (os error 28)"), "I/O error (os error 28). Free some space or"),
        (pyogrio.errors.DataSourceError("sqlite3: disk full"), "sqlite3: disk full. Free some space or"),
        (pyogrio.errors.FeatureError("could not add"), "could not add. Free some space or"),
        (pyarrow.lib.ArrowException("write failed"), "write failed. Free some space or"),
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full. Free some space or"),
    ],
)
def test_every_refusal_names_the_file_the_reason_and_the_remedy(tmp_path: Path, error: Exception, words: str) -> None:
    with pytest.raises(OutputError) as refused, atomic_write(tmp_path / "a.tif") as partial:
        for suffix in ("", ".ovr.tmp", "-journal"):  # what GDAL and SQLite put beside it
            Path(f"{partial}{suffix}").write_text("half", encoding="utf-8")
        raise error
    assert str(refused.value).startswith(f"could not write {tmp_path / 'a.tif'}: {words}")
    assert list(tmp_path.iterdir()) == []


def test_the_reason_is_the_first_cause_in_one_short_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as refused, writing(tmp_path / "a"):
        try:
            raise sqlite3.OperationalError("disk is full:\n  " + "INSERT " * 100)
        except sqlite3.Error as cause:
            raise rasterio.errors.RasterioIOError("Write failed. See previous exception for details.") from cause
    assert str(refused.value).startswith(f"could not write {tmp_path / 'a'}: disk is full: INSERT INSERT")
    assert len(str(refused.value)) < 320 + len(str(tmp_path))


def test_a_mistake_of_ours_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "a"):
        _ = 1 // 0


def test_a_name_that_is_too_long_and_a_file_in_the_path_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Choose a shorter name"):
        write_text(tmp_path / ("a" * 300), "")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_text(tmp_path / "file" / "below" / "a", "")


def test_what_a_killed_job_left_does_not_occupy_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".partial-0123abcd-a").mkdir()
    assert files.check_overwrite(tmp_path, overwrite=False) == tmp_path
    (tmp_path / "mine").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        files.check_overwrite(tmp_path, overwrite=False)


def test_figures_are_drawn_without_a_date(tmp_path: Path) -> None:
    assert Figure  # the figures above are matplotlib's
    write_figure(tmp_path / "a.pdf")
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()


def test_an_error_of_the_system_is_said_with_its_file_and_a_remedy():
    assert system_error(OSError(errno.ENOSPC, "full", "map.tif")).startswith("map.tif: ")
    plain = system_error(OSError("broken"))
    assert plain.endswith("Check the path, its rights and the disk.")
    assert not plain.startswith("None")


@pytest.mark.parametrize("name", [".", "..", "/", "folder"])
def test_a_folder_is_no_name_of_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with raises_naming(OutputError, "is a folder, expected the name of a file"):
        files.check_file_name(name)
    with raises_naming(OutputError, "folder", name):
        files.write_text(name, "text")
    for verb in (["evaluate", "a.tif", "b.tif", "--legend", "isprs", "--json", name], ["predict", "buildings", "a.tif", "--out", name],
                 ["layers", "heights", "a.tif", "--out", name]):  # fmt: skip
        assert main(verb) in (1, 2)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["folder"]


def test_what_is_unfinished_lies_next_to_the_folder_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    assert files.partial_path(Path()).parent == tmp_path.resolve() / "here"
    assert files.partial_path(Path("..")).parent == tmp_path.resolve()
    with raises_naming(OutputError, "whole disk"):
        files.partial_path(Path("/"))
