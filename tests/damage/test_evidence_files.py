"""An evidence of another package with a file, on the command line: read, checked early, noticed when it or its package changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from documented import page_blocks, page_module
from foreign_package import as_a_new_process, write_package
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.damage import FurtherInputs, Settings, assess, open_inputs
from deepnets4eo.damage.evidences.words import parse_evidences
from deepnets4eo.damage.journal import damage_journal
from deepnets4eo.errors import InputError
from deepnets4eo.files import sha256
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

TEXT = page_blocks("evidence")[1]
ENTRIES = {"evidences": "survey = survey:survey_of_job"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A city of 128 pixels, the table of a survey that grades every second building, and the package of the page."""
    folder = tmp_path_factory.mktemp("place")
    city = City(11, 128, 0.5)
    city.write(folder)
    ids = city.footprints()["id"].astype(str)
    pd.DataFrame({"id": ids[::2], "score": 0.9}).to_csv(folder / "survey.csv", index=False)
    (folder / "package").mkdir()
    write_package(folder / "package", "survey", {"survey": TEXT}, ENTRIES)
    return folder


def damage(place: Path, out: Path, *more: str) -> int:
    inputs = (str(place / name) for name in ("pre.tif", "post.tif", "footprints.gpkg"))
    with as_a_new_process(place / "package"):
        return main(["damage", *inputs, "--out", str(out), "--also", "none", "--set", "network=false", *more])


def test_a_table_relative_to_the_caller_decides_and_a_resumed_job_notices_its_changes(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    out, table = tmp_path / "out", place / "survey.csv"
    named = ["--set", "evidences=survey=0.4", "--evidence", "survey=survey.csv"]
    assert damage(place, out, *named) in (0, 3)
    buildings = pd.read_parquet(out / "damage.parquet")
    known = buildings["id"].isin(pd.read_csv(table, dtype=str)["id"]) & (buildings["status"] == "assessed")
    assert known.any()
    assert (buildings.loc[known, "ev_survey"] == 0.9).all()
    assert buildings.loc[~known, "ev_survey"].isna().all()
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["inputs"]["survey"]["sha256"] == sha256(table)
    capsys.readouterr()

    assert damage(place, out, "--resume", *named) == 0
    assert "already complete" in capsys.readouterr().err
    package = place / "package" / "survey.py"
    for file, text in (
        (table, table.read_text().replace("0.9", "0.8")),
        (package, TEXT.replace("0.9, 500", "0.8, 500")),
    ):
        before = file.read_text()
        file.write_text(text)
        assert damage(place, out, "--resume", *named) == 2
        said = capsys.readouterr().err
        assert "is of another job" in said
        assert ("survey.csv has changed" if file == table else "packages survey '1.0+") in said
        file.write_text(before)


def test_files_are_checked_before_long_work(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.csv").write_text("name,score\n", encoding="utf-8")
    for words, reason in (
        (["--set", "evidences=survey"], "the evidence survey has no file"),
        (["--set", "evidences=survey", "--evidence", "survey=no.csv"], "no.csv"),
        (
            ["--set", "evidences=survey", "--evidence", f"survey={tmp_path / 'odd.csv'}"],
            "odd.csv has columns name, score",
        ),
        (["--evidence", "survey=no.csv"], "Add --set evidences=survey to give it this file"),
        (
            ["--set", "evidences=survey", "--evidence", "survey=a.csv", "--set", "evidence_weight=survey=0.3"],
            "--evidence raster and a number",
        ),
    ):
        for dry in (["--dry-run"], []):
            assert damage(place, tmp_path / "out", *words, *dry) == 2
            assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_no_evidence_reads_is_refused(place: Path) -> None:
    unread = TEXT.replace('return {"survey": self.path}', "return {}")
    write_package(place / "package", "survey", {"survey": unread}, ENTRIES)
    city, files = City(11, 128, 0.5), {"survey": str(place / "survey.csv")}
    pre, post = (Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post))
    with as_a_new_process(place / "package"):
        with raises_naming(InputError, "does not state that it reads", "survey.csv"):
            assess(
                pre, post, city.footprints(), evidence_files=files, settings=Settings(network=False, evidences="survey")
            )
        with raises_naming(InputError, "--evidence survey", "--set evidences=survey"):
            assess(pre, post, city.footprints(), evidence_files=files, settings=Settings(network=False))
    write_package(place / "package", "survey", {"survey": TEXT}, ENTRIES)


def test_what_an_evidence_states_belongs_to_finished_work(place: Path, tmp_path: Path) -> None:
    Survey: Any = page_module("evidence", "survey", 1).Survey
    inputs = open_inputs(*(str(place / name) for name in ("pre.tif", "post.tif", "footprints.gpkg")))
    table = tmp_path / "survey.csv"
    table.write_text("id,score\n", encoding="utf-8")

    def folder(weight: float = 0.3, path: Path = table) -> Path | None:
        further = [Survey(weight, str(path), pd.Series(dtype=float))]
        return damage_journal(tmp_path, inputs, Settings(), further).folder

    first = folder()
    assert folder() == first
    assert folder(weight=0.4) != first
    table.write_text("id,score\n1,0.5\n", encoding="utf-8")
    assert folder() != first
    assert damage_journal(tmp_path, inputs, Settings()).folder != folder()


def test_rasters_and_files_are_told_apart_by_the_evidences_that_are_requested() -> None:
    words = FurtherInputs(evidence=["survey=a.csv", "change=b.tif"], evidence_weight="change=0.2")
    (raster,), points, files = parse_evidences(words, "survey=0.3")
    assert (raster.name, raster.weight, points, files) == ("change", 0.2, None, {"survey": "a.csv"})
