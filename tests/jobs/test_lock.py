"""One job at a time for each output: the second is refused with the name of the first, and a killed one stops nobody."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo import system
from deepnets4eo.errors import OutputError
from deepnets4eo.files import remove_leftovers
from deepnets4eo.grid import Grid, Window
from deepnets4eo.jobs import JobOutput, Part, RowJournal, lock as lock_module, output_lock
from deepnets4eo.rasters import CogWriter

HOLDER = """
import sys, time
from deepnets4eo.jobs import output_lock
with output_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def start_holder(out: Path) -> subprocess.Popen[str]:
    """Another process that holds an output; returns when it does."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "labels.tif"
    holder = start_holder(out)
    try:
        with pytest.raises(OutputError) as refused, output_lock(out):
            pass
        message = str(refused.value)
        assert f"{out} is being written by another job (process {holder.pid} on " in message
        assert "since 2" in message
        assert "Wait until it is done, stop it, or choose another path." in message
        with output_lock(tmp_path / "other.tif"):
            pass
    finally:
        holder.kill()
        assert holder.wait() == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".partial-lock-labels.tif"]
    with output_lock(out):  # a killed job's file is no lock
        assert json.loads((tmp_path / ".partial-lock-labels.tif").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_two_threads_are_two_jobs_and_the_parts_of_one_job_are_not(tmp_path: Path) -> None:
    out, refusals = tmp_path / "out", []

    def second_job() -> None:
        try:
            with output_lock(out):
                pass
        except OutputError as error:
            refusals.append(str(error))

    with output_lock(out), output_lock(tmp_path / "more", out):
        thread = threading.Thread(target=second_job)
        thread.start()
        thread.join()
    assert len(refusals) == 1
    assert f"(process {os.getpid()} on " in refusals[0]
    second_job()
    assert len(refusals) == 1


def test_one_folder_under_two_names_has_one_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with (
        output_lock(tmp_path / "real" / "a.tif"),
        pytest.raises(OutputError, match="another job"),
    ):
        _in_thread(lambda: _hold(tmp_path / "link" / "a.tif"))


def _hold(out: Path) -> None:
    with output_lock(out):
        pass


def _in_thread(work: "object") -> None:
    """Run in a thread of its own, which is another job; raise here what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()  # type: ignore[operator]
        except OutputError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_a_refused_job_leaves_no_folder_and_a_done_one_keeps_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), output_lock(tmp_path / "a" / "b" / "out.tif"):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []
    with output_lock(tmp_path / "a" / "b" / "out.tif"):
        (tmp_path / "a" / "b" / "out.tif").write_text("done")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["out.tif"]


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, path, tries = tmp_path / "out", tmp_path / ".partial-lock-out", []
    really = lock_module._try_lock

    def remove_first(file: int, *, shared: bool) -> bool:
        tries.append(file)
        if len(tries) == 1:  # the job before ends between opening and locking
            path.unlink()
        return really(file, shared=shared)

    monkeypatch.setattr(lock_module, "_try_lock", remove_first)
    with output_lock(out):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert len(tries) == 2


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_args: object) -> None:
        raise OSError(lock_module.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with output_lock(tmp_path / "out"):
        pass
    assert "no locks" in caplog.text
    assert list(tmp_path.iterdir()) == []


class WindowsLocks:
    """Stands in for the module msvcrt; `others` are bytes that another process has locked."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.others: set[int] = set()
        self.ours: list[tuple[int, int]] = []

    def locking(self, file: int, mode: int, length: int) -> None:
        """Lock bytes from the file's position on without waiting."""
        assert mode == self.LK_NBLCK
        at = os.lseek(file, 0, os.SEEK_CUR)
        if at in self.others:
            raise PermissionError(lock_module.errno.EACCES, "Permission denied")
        self.ours.append((at, length))


def test_windows_locks_a_byte_behind_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = WindowsLocks()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    with output_lock(tmp_path / "out"):
        assert json.loads((tmp_path / ".partial-lock-out").read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert windows.ours == [(1 << 20, 1 << 20)], "a mebibyte behind the first"
    windows.others.add(system.LOCKED_BYTE)
    with pytest.raises(OutputError, match="is being written by another job"), output_lock(tmp_path / "out"):
        pass


def test_parts_of_a_job_share_the_lock_and_no_other_job_has_it(tmp_path: Path) -> None:
    out, name = tmp_path / "city", ".partial-lock-city"

    def part() -> None:
        with output_lock(out, shared=True):
            pass

    with output_lock(out, shared=True):
        _in_thread(part)
        with pytest.raises(OutputError, match="is being written by another job"):
            _in_thread(lambda: _hold(out))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with output_lock(out), pytest.raises(OutputError, match="is being written by another job"):
        _in_thread(part)
    assert list(tmp_path.iterdir()) == []


def test_on_windows_each_part_locks_a_byte_of_those_that_a_whole_job_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = WindowsLocks()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    with output_lock(tmp_path / "out", shared=True):
        pass
    ((at, length),) = windows.ours
    first = system.LOCKED_BYTE
    assert (first <= at < first + system.MAX_SHARED, length) == (True, 1)


def test_leftovers_of_an_output_go_and_those_of_others_stay(tmp_path: Path) -> None:
    gone = [".partial-0123abcd-out.tif", ".partial-stream-out.tif", ".partial-0123abcd-out.tif.ovr.tmp",
            ".partial-ab_d1234-out.tif.aux.xml"]  # fmt: skip
    kept = [".partial-scratch-out.tif", ".partial-lock-a", ".partial-0123abcd-out.tif2", ".partial-0123abcd-about.tif", ".partial-rows-out.tif", ".partial-out.tif",
            "partial-0123abcd-out.tif", "out.tif.aux.xml"]  # fmt: skip
    for name in gone + kept:
        (tmp_path / name).write_text("")
    with output_lock(tmp_path / "out.tif"):
        assert {path.name for path in tmp_path.iterdir()} == {*kept, ".partial-lock-out.tif"}
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


@pytest.mark.parametrize("resume", [False, True])
def test_a_scratch_folder_of_which_a_kill_left_half_is_never_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    def cut_short(folder: Path, **_: object) -> None:
        (folder / "first").unlink()
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), JobOutput(out).begin() as scratch:
        scratch.folder.mkdir()
        (scratch.folder / "first").touch()
        (scratch.folder / "second").touch()
        patch.setattr("shutil.rmtree", cut_short)
    assert [item.name[17:] for item in tmp_path.iterdir()] == ["-out"]
    with JobOutput(out, resume=resume).begin() as scratch:
        assert not scratch.folder.exists()
        assert [item.name for item in tmp_path.iterdir()] == [".partial-lock-out"]


def test_leftovers_in_a_folder_go_but_not_those_of_a_job_in_it(tmp_path: Path) -> None:
    for name in (".partial-0123abcd-member", ".partial-0123abcd-curves.png"):
        (tmp_path / name).write_text("")
    with output_lock(tmp_path / "labels.tif"):
        (tmp_path / ".partial-0123abcd-labels.tif").write_text("")
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {
            ".partial-lock-labels.tif",
            ".partial-0123abcd-labels.tif",
        }


def plant(name: Path, victim: Path, kind: str) -> None:
    """Another's link or pipe under a name that a job can be foretold to use."""
    if kind == "symbolic":
        name.symlink_to(victim)
    elif kind == "hard":
        os.link(victim, name)
    else:
        os.mkfifo(name)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["symbolic", "hard", "pipe"])
def test_a_lock_never_writes_through_a_link_or_waits_for_a_pipe(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("years of work")
    name = tmp_path / ".partial-lock-out.tif"
    plant(name, victim, kind)
    refusal = r"\.partial-lock-out\.tif is a link or no plain file.*Remove it"
    with pytest.raises(OutputError, match=refusal), output_lock(tmp_path / "out.tif"):
        pass
    assert victim.read_text() == "years of work"
    name.unlink()
    with output_lock(tmp_path / "out.tif"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["symbolic", "hard", "pipe"])
@pytest.mark.parametrize("name", ["job.npz", "0.npz"])
def test_a_journal_of_rows_never_changes_a_file_behind_a_link(tmp_path: Path, name: str, kind: str) -> None:
    victim = tmp_path / "victim.npz"
    record, rows = RowJournal(tmp_path / "out.tif"), {"labels": np.zeros((1, 2, 2), np.uint8)}
    record.start({"run": "a"})
    record.record(0, Window(0, 0, 2, 2), rows, {"tiles": 1})
    (record.folder / name).rename(victim)
    before = victim.read_bytes()
    plant(record.folder / name, victim, kind)
    again = RowJournal(tmp_path / "out.tif")
    with pytest.raises(OutputError, match="is a link or no plain file"):
        again.load()
    again.record(0, Window(0, 0, 2, 2), rows, {"tiles": 2})  # the link goes, not what it leads to
    again.start({"run": "b"})
    assert again.load()
    assert victim.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_journal_of_rows_never_writes_into_a_folder_behind_a_link(tmp_path: Path) -> None:
    record, private = RowJournal(tmp_path / "out.tif"), tmp_path / "private"
    record.start({"run": "a"})
    record.folder.rename(private)
    before = {path.name: path.read_bytes() for path in private.iterdir()}
    record.folder.symlink_to(private)
    with pytest.raises(OutputError, match="is a link or no plain file"):
        record.record(0, Window(0, 0, 2, 2), {"labels": np.zeros((1, 2, 2), np.uint8)}, {"tiles": 1})
    again = RowJournal(tmp_path / "out.tif")
    with pytest.raises(OutputError, match="is a link or no plain file"):
        again.load()
    again.start({"run": "b"})  # a new job removes the link and not what it leads to
    assert again.load()
    assert not record.folder.is_symlink()
    assert {path.name: path.read_bytes() for path in private.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
def test_a_scratch_folder_that_is_or_holds_a_link_is_never_written_to(tmp_path: Path) -> None:
    out, private = tmp_path / "out", tmp_path / "private"
    private.mkdir()
    (private / "labels.npy").write_text("years of work")
    (tmp_path / ".partial-scratch-out").symlink_to(private)
    goes_on = (JobOutput(out, resume=True), JobOutput(out, part=Part(1, 2)))
    for job in goes_on:
        with pytest.raises(OutputError, match="is a link"), job.begin():
            pass
    with JobOutput(out).begin() as scratch:  # begun anew: the link goes, not what it leads to
        (scratch.folder / "tiles").mkdir(parents=True)
        (scratch.folder / "tiles" / "labels.npy").symlink_to(private / "labels.npy")
        for job in goes_on:
            with raises_naming(OutputError, "tiles/labels.npy"), job.begin():
                pass
    assert (private / "labels.npy").read_text() == "years of work"


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
def test_a_raster_is_never_streamed_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("years of work")
    (tmp_path / ".partial-stream-out.tif").symlink_to(victim)
    grid = Grid((2, 2), (1, 0, 0, 0, -1, 0), None)
    with CogWriter(tmp_path / "out.tif", grid) as writer:
        writer.write(Window(0, 0, 2, 2), np.ones((2, 2), np.uint8))
    assert victim.read_text() == "years of work"
