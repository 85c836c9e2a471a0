"""A damage job that was killed goes on: nothing finished is made again, the tables are the same, no scratch stays."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_evidence import gather

import deepnets4eo.registration.pair as registration_pair
from deepnets4eo.cli.main import main
from deepnets4eo.damage import Settings, open_inputs, placing
from deepnets4eo.damage.journal import damage_journal
from deepnets4eo.damage.products import FURTHER, USUAL, write
from deepnets4eo.damage.structure import block
from deepnets4eo.footprints import align_footprints
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City, Event

FILES = {
    "damage.gpkg", "damage.parquet", "summary.json", "report.html", "damage.qgz", "manifest.json", *(FURTHER[name] for name in USUAL)
}  # fmt: skip
IMAGE_PATH = re.compile(rb'[^"<>]*/((?:pre|post)[.]tif)')
STEPS: dict[str, tuple[Any, str]] = {
    "registration": (registration_pair, "register"),
    "alignment": (placing, "align_footprints"),
    "block": (block, "measure_block"),
    "damage.gpkg": (write, "write_gpkg"),
    "damage.parquet": (write, "write_parquet"),
    "report.html": (write, "write_report"),
    "manifest.json": (write, "write_manifest"),
}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing in the package catches it."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city on disk, and its damage map from a job that nobody disturbed."""
    folder = tmp_path_factory.mktemp("place")
    City(11, 256, 0.5, event=Event(shift_px=(2.0, -3.0), damage_shares=(0.4, 0.1, 0.1, 0.4))).write(folder)
    assert run(folder, folder / "whole") == 0
    return folder


def run(place: Path, out: Path, *more: str) -> int:
    return main(["damage", *(str(place / f"{name}") for name in ("pre.tif", "post.tif", "footprints.gpkg")),
                 "--out", str(out), *more])  # fmt: skip


def count_calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each step is carried out from now on."""
    calls: Counter[str] = Counter()
    for step, (module, name) in STEPS.items():
        monkeypatch.setattr(module, name, counting(calls, step, getattr(module, name)))
    return calls


def counting(calls: Counter[str], step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*positional: Any, **named: Any) -> Any:
        calls[step] += 1
        return function(*positional, **named)

    return called


def kill_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """The job ends when that step begins, half a file behind it."""
    module, name = STEPS[step]

    def killed(*positional: Any, **_named: Any) -> None:
        for path in positional:
            if isinstance(path, Path):
                folder = path if path.is_dir() else path.parent
                (folder / f".partial-0123abcd-{step}").write_text("half")
        raise KilledError(step)

    monkeypatch.setattr(module, name, killed)


def products(folder: Path) -> dict[str, bytes]:
    """All products but the manifest, which holds time and command, and the project without the paths of the images."""
    files = {name: (folder / name).read_bytes() for name in FILES - {"manifest.json"}}
    with zipfile.ZipFile(folder / "damage.qgz") as archive:  # where the images lie depends on the folder
        files["damage.qgz"] = IMAGE_PATH.sub(rb"\1", archive.read("damage.qgs"))
    return files


@pytest.mark.parametrize("exists", [False, True])
def test_a_job_that_is_killed_at_every_step_does_nothing_twice(
    place: Path, tmp_path: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job goes on where the one before was killed; it is killed at the step that follows, in a folder that exists at a later one."""
    out, steps, done = tmp_path / "out", list(STEPS), -1
    monkeypatch.setattr(write, "WRITERS_AT_ONCE", 1)  # in the order of the steps
    if exists:
        out.mkdir()
    for step in ["block", "damage.parquet", "manifest.json"] if exists else steps:
        with monkeypatch.context() as patch, pytest.raises(KilledError):
            calls = count_calls(patch)
            kill_at(patch, step)
            run(place, out, *["--resume"] * (done >= 0))
        killed = steps.index(step)
        assert [name for name in STEPS if calls[name]] == steps[max(done, 0) : killed]
        assert not exists or not [path for path in out.iterdir() if not path.name.startswith(".partial-")]
        done = killed
    calls = count_calls(monkeypatch)
    assert run(place, out, "--resume") == 0
    assert [name for name in STEPS if calls[name]] == steps[done:]
    assert products(out) == products(place / "whole")
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_job_that_is_killed_while_its_products_take_their_place_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    out, moved = tmp_path / "out", []
    out.mkdir()
    really = shutil.move

    def move(source: Path, target: Path) -> None:
        moved.append(source)
        if len(moved) == 3:
            raise KilledError
        really(source, target)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr("deepnets4eo.jobs.output.shutil.move", move)
        run(place, out)
    assert 0 < len(list(out.iterdir())) < len(FILES)
    assert not (out / "manifest.json").exists()
    assert run(place, out, "--resume") == 0
    assert products(out) == products(place / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


SCRIPT = """
import os, signal, sys
from deepnets4eo.cli.main import main
from deepnets4eo.damage.products import write
from deepnets4eo.damage.network import grader as network_grader

def kill(damage_map, summary, path, **images):
    path.with_name(".partial-0123abcd-report.html").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

write.write_report = kill
network_grader.shipped_folder = lambda: None  # as in the tests of this process
main(sys.argv[1:])
"""


@pytest.mark.core("a kill and resume")
def test_sigkill_among_the_products_leaves_what_resume_needs(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    names = [str(place / name) for name in ("pre.tif", "post.tif", "footprints.gpkg")]
    packages = os.pathsep.join(filter(None, sys.path))  # of other entry points, which are part of the job's identity
    killed = subprocess.run([sys.executable, "-c", SCRIPT, "damage", *names, "--out", str(out)], check=False,
                            capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": packages})  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(out.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".partial-scratch-out", ".partial-lock-out"}
    assert run(place, out, "--resume") == 0
    assert products(out) == products(place / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_another_job_finished_is_not_used_and_goes(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, "damage.gpkg")
        run(place, out, "--set", "max_shift_m=20")
    calls = count_calls(monkeypatch)
    assert run(place, out, "--resume") == 0
    assert all(calls[step] for step in STEPS)
    assert products(out) == products(place / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("change", ["touch", "version", "array"])
def test_a_change_of_inputs_or_version_is_another_job(
    place: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = tmp_path / "post.tif"
    post.write_bytes((place / "post.tif").read_bytes())
    pixels = Layer.open(post).read()[0]

    def folder() -> Path | None:
        given = Layer.open(pixels, grid=Layer.open(post).grid) if change == "array" else post
        inputs = open_inputs(place / "pre.tif", given, place / "footprints.gpkg", Settings())
        return damage_journal(tmp_path, inputs, Settings()).folder

    first = folder()
    assert folder() == first
    if change == "touch":
        os.utime(post, (0, 0))
    elif change == "version":
        monkeypatch.setattr("deepnets4eo.jobs.identities.code_version", lambda: "0.0")
    else:
        pixels[0, 100, 100] ^= 1
    assert folder() != first


def test_a_plain_new_job_begins_anew_and_clears_what_was_left(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, "damage.parquet")
        run(place, out)
    (tmp_path / ".partial-0123abcd-out").mkdir()
    for name in (".partial-0123abcd-other", ".partial-scratch-building-out"):  # not of this output
        (tmp_path / name).mkdir()
    calls = count_calls(monkeypatch)
    before = os.umask(0o027)
    try:
        assert run(place, out) == 0
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in (out, *out.iterdir())} == {"0o750", "0o640"}
    assert all(calls[step] for step in STEPS)
    assert {path.name for path in tmp_path.iterdir()} == {
        "out",
        ".partial-0123abcd-other",
        ".partial-scratch-building-out",
    }


def test_refused_inputs_leave_no_scratch_and_a_full_disk_keeps_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (place / "post.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    assert main(["damage", str(place / "pre.tif"), str(tmp_path / "cut.tif"), str(place / "footprints.gpkg"),
                 "--out", str(tmp_path / "out")]) == 2  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tif"]

    def no_space(*_positional: Any, **_named: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_parquet", no_space)
        assert run(place, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "No space left on device. Free some space" in error
    assert "go on with --resume" in error
    assert not (tmp_path / "out").exists()
    calls = count_calls(monkeypatch)
    assert run(place, tmp_path / "out", "--resume") == 0
    assert set(calls) == {"damage.parquet", "report.html", "manifest.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"cut.tif", "out"}


def test_a_mistaken_path_keeps_what_an_interrupted_job_has_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = tmp_path / ".partial-scratch-out" / "0123" / "registration.npz"
    finished.parent.mkdir(parents=True)
    finished.touch()
    assert run(tmp_path, tmp_path / "out", "--dsm-post", "none.tif") == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("pre.tif", "post.tif", "footprints.gpkg", "none.tif do not exist"))
    assert finished.exists()


def test_a_step_that_is_cut_short_on_disk_is_made_again(place: Path, tmp_path: Path) -> None:
    inputs = open_inputs(place / "pre.tif", place / "post.tif", place / "footprints.gpkg", Settings())
    journal = damage_journal(tmp_path, inputs, Settings())
    assert journal.run("numbers", lambda: {"a": np.arange(5)})["a"].tolist() == [0, 1, 2, 3, 4]
    (path,) = tmp_path.rglob("numbers.npz")
    for length in (0, 40, path.stat().st_size - 30):
        path.write_bytes(path.read_bytes()[:length])
        assert journal.run("numbers", lambda: {"a": np.arange(3)})["a"].tolist() == [0, 1, 2]


def test_results_come_back_as_they_were(place: Path, tmp_path: Path) -> None:
    inputs = open_inputs(place / "pre.tif", place / "post.tif", place / "footprints.gpkg", Settings())
    assert inputs.pre is not None
    results = {
        "registration": register(inputs.pre, inputs.post),
        "alignment": align_footprints(inputs.pre, inputs.footprints.frame),
        "network": pd.DataFrame({"p": [0.1, np.nan, 0.5]}),
        "nothing": None,
    }
    journal = damage_journal(tmp_path, inputs, Settings())
    for name, result in results.items():
        assert journal.run(name, lambda result=result: result) is result  # type: ignore[misc]
        kept = journal.run(name, lambda: pytest.fail("made again"))  # type: ignore[arg-type, return-value]
        same(kept, result)


def same(one: Any, other: Any) -> None:
    """Equal in every field, types and NaN included."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif hasattr(one, "__dataclass_fields__"):
        same(vars(one), vars(other))
    else:
        assert one == other or (one != one and other != other)


def test_a_second_job_is_refused_and_the_first_is_not_disturbed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    out, statuses = tmp_path / "out", []
    really = registration_pair.register

    def register_while_another_comes(*positional: Any, **named: Any) -> Any:
        thread = threading.Thread(target=lambda: statuses.append(run(place, out, "--overwrite")))
        thread.start()
        thread.join()
        return really(*positional, **named)

    monkeypatch.setattr(registration_pair, "register", register_while_another_comes)
    assert run(place, out) == 0
    assert statuses == [1]
    assert f"{out} is being written by another job (process {os.getpid()}" in capsys.readouterr().err
    assert products(out) == products(place / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_volume_of_its_own_keeps_its_scratch_inside(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == out)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, "report.html")
        run(place, out)
    assert [path.name for path in out.iterdir()] == [".partial-scratch-out"]
    calls = count_calls(monkeypatch)
    assert run(place, out, "--resume") == 0
    assert set(calls) == {"report.html", "manifest.json"}
    assert products(out) == products(place / "whole")
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_blocks_that_were_finished_are_not_measured_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = open_inputs(None, place / "post.tif", place / "footprints.gpkg", Settings())
    really, windows = block.measure_block, []

    def measure(window: Any, *more: Any) -> Any:
        windows.append(window)
        if len(windows) == 3:
            raise KilledError
        return really(window, *more)

    def evidence(scratch: Path) -> pd.DataFrame:
        return gather(None, inputs.post, inputs.footprints, None, workers=1, scratch=scratch, block_px=128).frame

    monkeypatch.setattr(block, "measure_block", measure)
    with pytest.raises(KilledError):
        evidence(tmp_path / "blocks")
    resumed = evidence(tmp_path / "blocks")
    assert len(windows) == 5
    assert len(set(windows)) == 4
    windows.extend([None, None, None])
    pd.testing.assert_frame_equal(resumed, evidence(tmp_path / "undisturbed"), check_exact=True)


def test_the_times_in_a_geopackage_are_no_clock(place: Path) -> None:
    with sqlite3.connect(place / "whole" / "damage.gpkg") as database:
        times = {row[0] for row in database.execute("SELECT last_change FROM gpkg_contents")}
    assert times == {"1980-01-01T00:00:00.000Z"}
