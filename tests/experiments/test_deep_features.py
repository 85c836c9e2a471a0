"""Deep features: rows of a trial on few data are not kept among those of a real run, and rows of a real run are."""

import sys
from pathlib import Path

import deep_features
import pytest
from zero import Zero

from deepnets4eo.files import read_json


def test_rows_of_a_trial_are_not_kept_among_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> dict[str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["deep_features.py", "--data", "x", "--out", str(tmp_path), *words])
        deep_features.main()
        return {tile: list(rows) for tile, rows in read_json(tmp_path / "results.json")["tiles"].items()}

    zero = Zero("largest class", {"overall_accuracy": 40.0, "mean_f1": 10.0})
    monkeypatch.setattr(deep_features, "zero_of", lambda *_: zero)
    monkeypatch.setattr(deep_features, "scores", lambda *_: {"oa": 50.0, "mean_f1": 40.0})
    trial, row = run("--smoke"), "random weights"
    assert trial == {"vaihingen": ["one pass over a tile"]}
    assert run("--tiles", "potsdam", "--rows", row) == {"potsdam": [row]}
    assert run("--tiles", "vaihingen", "--rows", row) == {"potsdam": [row], "vaihingen": [row]}
