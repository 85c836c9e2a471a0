"""int8 weights that replace those of a run: the run is whole before and after."""

import shutil
from pathlib import Path

import int8_weights
import numpy as np
import pandas as pd
import pytest
from places import int8_scores

from deepnets4eo.cards import ShippedModel
from deepnets4eo.segmenters import RunFolder, open_sealed


def test_int8_weights_of_a_run_that_has_some_are_replaced_and_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(ShippedModel("buildings").folder, tmp_path / "run")
    weights = RunFolder(folder).int8_weights
    former = open_sealed(folder)["files"]
    monkeypatch.setattr(int8_weights, "quantise", lambda _, file, *__, **___: file.write_bytes(b"other weights"))
    monkeypatch.setattr(int8_weights, "compare", lambda *_: 0.02)
    int8_weights.main([str(folder), "--out", str(weights)])
    sealed = open_sealed(folder)["files"]
    changed = {name for name in former if sealed[name] != former[name]}
    assert (changed, sealed.keys()) == ({weights.name}, former.keys())


def test_grades_that_int8_weights_change_are_counted_and_both_ways_are_scored() -> None:
    rows = pd.DataFrame({
        "case": "", "id": ["a", "b", "c", "d"], "truth": [0, 0, 3, 3], "grade": [0, 3, 3, 3],
        "probability": [0.1, 0.8, 0.7, 0.9], "probability_half": [0.1, 0.8, 0.7, 0.9],
    })  # fmt: skip
    moved = rows.assign(grade=[0, 0, 3, 3], probability=[0.1, 0.2, 0.7, 0.9])
    tables = {way: {"network": table, "both": table} for way, table in (("float32", rows), ("int8", moved))}
    entry = int8_scores.damage_entry(tables)
    assert (entry["job, float32"], entry["job, int8"]) == (0.75, 1.0)
    assert (entry["buildings"], entry["other grades"]) == (4, 1)


def test_new_water_of_both_ways_agrees_by_pixels_and_buildings() -> None:
    water, houses = np.zeros((4, 4), bool), np.array([True, False])
    water[:2] = True
    half = water.copy()
    half[1] = False
    entry = int8_scores.water_entry((water, houses), (half, ~houses))
    assert entry == {"iou of new water": 0.5, "in water, float32": 1, "in water, int8": 1, "other buildings": 2}
    assert "iou of new water" not in int8_scores.water_entry((water & False, houses), (water & False, houses))
