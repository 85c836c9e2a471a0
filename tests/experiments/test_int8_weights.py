"""int8 weights that replace those of a run: the run is whole before and after."""

import shutil
from pathlib import Path

import int8_weights
import pytest

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
