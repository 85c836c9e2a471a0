"""Benchmarks keep the figures of each part, with the processor and the number of threads that they were measured on."""

import subprocess
import sys
from pathlib import Path

import pytest
from script import run_apart, store_part, time_of
from source_trees import ROOT

from deepnets4eo.files import read_json
from deepnets4eo.processor import processor_model
from deepnets4eo.system import peak_bytes

STORED = sorted((ROOT / "experiments" / "results" / "benchmarks").glob("*.json"))


def test_a_part_is_stored_next_to_the_others_and_replaces_its_own_figures(tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    store_part(file, "zonal", ratio=2.0, identical=True)
    store_part(file, "osm", threads=2, ratio=1 / 3)
    store_part(file, "zonal", ratio=3.0)
    stored, processor = read_json(file), processor_model()[0]
    assert stored["smoke"] is False
    assert stored["zonal"] == {"processor": processor, "threads": 1, "ratio": 3.0}
    assert stored["osm"] == {"processor": processor, "threads": 2, "ratio": 0.3333}


def test_a_command_is_measured_with_its_own_time_and_memory_and_must_succeed() -> None:
    seconds, megabytes = run_apart([sys.executable, "-c", "sum(range(1_000_000)); bytearray(b'x') * 200_000_000"])
    assert 0 < seconds < 60
    assert 200 < megabytes < 2000 + peak_bytes() / 1e6  # the new process starts as a copy of this one
    with pytest.raises(subprocess.CalledProcessError):
        run_apart([sys.executable, "-c", "raise SystemExit(3)"])
    result, spent = time_of(lambda: sum(range(1_000_000)))
    assert result == 499_999_500_000
    assert spent > 0


def test_without_a_file_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store_part(None, "zonal", ratio=2.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_stored_figures_are_of_processor_time_on_a_named_processor(file: Path) -> None:
    assert (ROOT / "experiments" / "benchmarks" / f"{file.stem}.py").is_file()
    stored = read_json(file)
    assert "processor" in stored.pop("seconds")
    assert stored.pop("smoke") is False
    assert all(part["processor"] and part["threads"] >= 1 for part in stored.values())
