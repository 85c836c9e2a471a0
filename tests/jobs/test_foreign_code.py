"""The code of packages of others belongs to a job: what was finished with other code is never continued."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_package import as_a_new_process, write_package

from deepnets4eo.jobs import JobRecord, identity_hash, records
from deepnets4eo.jobs.blocks import versions
from deepnets4eo.plugins import foreign_versions

ENTRIES = {"pair_scores": "odd-ratio = odd_ratio:OddRatio"}
MODULES = {"odd_ratio": "from odd_sums import total\n", "odd_sums": "total = 1\n"}


def record(folder: Path) -> tuple[JobRecord, str]:
    with as_a_new_process(folder):
        return JobRecord.of({}, method="odd-ratio"), identity_hash("tiles")


def test_without_packages_of_others_records_state_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(name.startswith("deepnets4eo.") for name in foreign_versions())
    monkeypatch.setattr(records, "foreign_versions", dict)
    assert JobRecord.of({}, method="irmad").options == {"method": "irmad"}


@pytest.mark.parametrize("change", ["code", "helper", "version", "removed"])
def test_a_change_of_a_package_is_another_job(tmp_path: Path, change: str) -> None:
    write_package(tmp_path, "odd", MODULES, ENTRIES)
    before, tiles = record(tmp_path)
    assert record(tmp_path) == (before, tiles)
    if change == "removed":
        (tmp_path / "odd-1.0.dist-info" / "entry_points.txt").unlink()
    else:
        odd = {"odd_ratio": "from odd_sums import total\n# mended\n"} if change == "code" else {}
        sums = {"odd_sums": "total = 2\n"} if change == "helper" else {}
        write_package(tmp_path, "odd", MODULES | odd | sums, ENTRIES, "1.1" if change == "version" else "1.0")
    now, other_tiles = record(tmp_path)
    assert other_tiles != tiles
    ((name, how),) = now.differences(before).items()
    assert name == "packages"
    assert "1.0+" in how
    assert ("odd '1.0+" in how) or change == "removed"


def test_workers_need_the_same_packages(tmp_path: Path) -> None:
    write_package(tmp_path, "odd", MODULES, ENTRIES)
    with as_a_new_process(tmp_path):
        assert versions()["odd"].startswith("1.0+")
    assert "odd" not in versions()


def test_a_package_whose_module_is_absent_counts_by_its_version(tmp_path: Path) -> None:
    write_package(tmp_path, "odd", {}, ENTRIES)
    with as_a_new_process(tmp_path):
        assert foreign_versions()["odd"].startswith("1.0+")
