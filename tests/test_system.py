"""What operating systems lack stands in one module, and is done in another way there."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from deepnets4eo import system
from deepnets4eo.cli.main import main

ROOT = Path(__file__).resolve().parents[1]


def test_without_limits_of_the_system_all_cores_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert system.cores() == (os.cpu_count() or 1)
    system.take_share_of_cores(1, 2)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.cores() == 1


def test_workers_share_the_cores_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {7, 2, 5}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, own: taken.append(own), raising=False)
    for number in range(3):
        system.take_share_of_cores(number, 2)
    assert taken == [[2, 7], [5], [2, 7]]
    system.take_share_of_cores(4, 5)
    assert taken[-1] == {2, 5, 7}


def test_the_peak_is_read_where_windows_has_it_and_is_what_is_held_where_no_system_counts(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system.peak_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    windows = SimpleNamespace(rss=1 << 20, peak_wset=3 << 20)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: windows))
    assert system.peak_bytes() == 3 << 20


def test_where_there_are_no_groups_of_processes_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(os, "setpgrp", lambda: called.append("group"), raising=False)
    monkeypatch.setattr(system.signal, "signal", lambda number, handler: called.append("signal"))
    monkeypatch.setattr(system.os, "name", "nt")
    system.leave_terminal()
    assert called == []
    monkeypatch.setattr(system.os, "name", "posix")
    system.leave_terminal()
    assert called == ["group", "signal"]


def test_the_end_of_a_command_goes_over_no_object_that_the_command_made() -> None:
    """Python's last collection goes over all that `gc.get_objects` lists, some 100,000 objects after the start of the command line alone."""
    code = """
import atexit, gc, sys
atexit.register(lambda: print(len(gc.get_objects())))
from deepnets4eo.cli.main import main
raise SystemExit(main())
"""
    words = [sys.executable, "-c", code, "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    version, left = done.stdout.split("\n", 1)
    assert version.startswith("deepnets4eo ")
    assert int(left) < 100


def test_a_command_inside_another_program_leaves_its_objects_to_collections() -> None:
    before = gc.get_freeze_count()
    assert main(["--version"]) == 0
    assert gc.get_freeze_count() <= before  # the tests themselves may have frozen objects, some of which end
