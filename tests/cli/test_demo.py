"""The demo: one command, one line where to look, and a comparison with the truth."""

import contextlib
import io
import json
import re
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest

from deepnets4eo.cli.main import main
from deepnets4eo.damage.review import compare_with_reference
from deepnets4eo.damage.table.vocabulary import DAMAGED

PAGES = Path(__file__).resolve().parents[2] / "docs" / "images" / "pages.json"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a demo and the lines that it printed."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["demo", "--out", str(folder), "--size", "320", "--seed", "5"]) == 0
    return folder, out.getvalue().splitlines()


def test_the_demo_opens_with_where_to_look_and_ends_with_its_score(demo: tuple[Path, list[str]]) -> None:
    folder, lines = demo
    report = folder / "damage" / "report.html"
    assert lines[0].startswith(f"Open {report}")
    assert "SYNTHETIC" in lines[0]
    assert report.exists()
    assert any(line.startswith("Against its truth (synthetic)") for line in lines)
    assert json.loads((report.parent / "summary.json").read_text())["synthetic"] is True


def test_the_demo_states_whether_the_truth_lies_within_its_interval(demo: tuple[Path, list[str]]) -> None:
    folder, lines = demo
    (line,) = (line for line in lines if line.startswith("Against its truth"))
    number, verdict, low, high = re.search(
        r"true number (\d+) lies (\w+) the map's interval (\d+)–(\d+)", line
    ).groups()
    estimate = json.loads((folder / "damage" / "summary.json").read_text())["estimates"]["buildings"]["damaged"]
    assert estimate["interval_95"] == [int(low), int(high)]
    truth = gpd.read_file(folder / "city" / "truth.gpkg", layer="buildings")
    rows = gpd.read_file(folder / "damage" / "damage.gpkg", layer="buildings").merge(
        truth[["id", "damage"]], on="id", suffixes=("", "_true")
    )
    assert int(number) == int((rows["damage_true"].isin(DAMAGED) & (rows["status"] == "assessed")).sum())
    assert (verdict == "within") == (int(low) <= int(number) <= int(high))


@pytest.mark.parametrize(("interval", "verdict"), [((3, 9), "within"), ((6, 9), "OUTSIDE"), ((0, 4), "OUTSIDE")])
def test_a_missed_truth_is_stated(interval: tuple[int, int], verdict: str) -> None:
    frame = pd.DataFrame(
        {"id": list("abcdef"), "damage": ["destroyed"] * 5 + ["no-damage"], "damage_prob": 0.5, "status": "assessed"}
    )
    assert f"number 5 lies {verdict} " in compare_with_reference(frame, frame).check_interval(interval)


def test_a_second_demo_needs_overwrite(demo: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = demo
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["demo", "--out", str(folder), "--size", "256"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_with_overwrite_the_demo_runs_again(demo: tuple[Path, list[str]]) -> None:
    folder, _ = demo
    before = (folder / "damage" / "summary.json").read_text()
    assert main(["demo", "--out", str(folder), "--size", "256", "--overwrite"]) == 0
    assert (folder / "damage" / "summary.json").read_text() != before


@pytest.mark.beyond_core
def test_the_picture_of_the_page_has_the_headline_of_the_demo(tmp_path: Path) -> None:
    """The words are compared: numbers differ, since tests run without the shipped network. scripts/page_pictures.py makes them anew."""
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    headline = json.loads((tmp_path / "demo" / "damage" / "summary.json").read_text(encoding="utf-8"))["headline"]
    pictured = json.loads(PAGES.read_text(encoding="utf-8"))["headline"]
    assert re.sub(r"\d+", "N", headline) == re.sub(r"\d+", "N", pictured)
