"""The demo: one command, one line where to look, and an honest score against the truth."""

import json
from pathlib import Path

import pytest

from deepnets4eo.cli.main import main


def test_the_demo_opens_with_where_to_look_and_ends_with_its_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--size", "512", "--seed", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = tmp_path / "demo" / "damage" / "report.html"
    assert lines[0].startswith(f"Open {report}")
    assert "SYNTHETIC" in lines[0]
    assert report.exists()
    assert any(line.startswith("Against its truth (synthetic)") for line in lines)
    assert json.loads((report.parent / "summary.json").read_text())["synthetic"] is True


def test_a_second_demo_needs_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("keep me")
    assert main(["demo", "--out", str(tmp_path / "demo"), "--size", "256"]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_with_overwrite_the_demo_runs_again(tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["demo", "--out", str(tmp_path / "demo"), "--size", "256", "--overwrite"]) == 0
