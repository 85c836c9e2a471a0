"""Semantic3D by path: the layout of the scans, and the order in which the published networks start from each other."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import semantic3d_snapnet

from deepnets4eo.cards import Legend


def test_a_folder_of_scans_gives_the_published_table_and_snapnet_corrects_runs_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = list(Legend.load("semantic3d").names)
    (tmp_path / "data").mkdir()
    for name in ("bildstein_station1_xyz_intensity_rgb", "untermaederbrunnen_station1_xyz_intensity_rgb"):
        (tmp_path / "data" / f"{name}.txt").write_text("0 0 0 -1000 10 20 30\n", encoding="utf-8")
        (tmp_path / "data" / f"{name}.labels").write_text("1\n", encoding="utf-8")
    made: list[str] = []

    def train_row(recipe: str, overrides: Sequence[str], clouds: Path, test: Sequence[str], out: Path) -> Any:
        starts = [json.loads(one.partition("=")[2]) for one in overrides if one.startswith("model.encoder_weights=")]
        assert all(run in made for start in starts for run in start.split(","))
        assert bool(starts) == (recipe == "points/snapnet")
        assert clouds == tmp_path / "data"
        made.append(str(out))
        figures = dict.fromkeys(("mean_iou", "overall_accuracy", "seen_share"), 0.5)
        return {**figures, "classes": classes, "iou": dict.fromkeys(classes, 0.25)}

    monkeypatch.setattr(semantic3d_snapnet, "train_row", train_row)
    call = ["x", "--out", str(tmp_path / "out"), "--data", str(tmp_path / "data"), "--test", "bildstein*"]
    monkeypatch.setattr(sys, "argv", call)
    semantic3d_snapnet.main()
    text = capsys.readouterr().out
    assert len(made) == len(semantic3d_snapnet.PUBLISHED_RECIPES)
    assert "SnapNet, reduced test set (published)" in text
    assert all(f"{name} (ours, bildstein*)" in text for name in semantic3d_snapnet.PUBLISHED_RECIPES)
    scores = train_row("", (), tmp_path / "data", (), tmp_path) | {"absent_classes": classes[1:]}
    expected = {"mean_iou": [50], "overall_accuracy": [50], "seen_share": [50], "iou": {classes[0]: [25]}}
    assert semantic3d_snapnet.figures_of({"squares": [scores]}) == {"squares": expected}
