"""Which job a journal of damage is of, and in which precision a job computes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from deepnets4eo.damage import Settings, journal
from deepnets4eo.damage.journal import damage_journal, with_precision
from deepnets4eo.rasters import Layer

HOUSES = gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32633")


def inputs(**changed: Any) -> Any:
    plain: dict[str, Any] = dict.fromkeys(("pre", "dsm_pre", "dsm_post", "cloud_mask"))
    plain |= {"post": Layer.open(np.zeros((3, 4, 4), np.uint8)), "evidences": (), "footprints": SimpleNamespace(pixels=None, frame=HOUSES)}  # fmt: skip
    return SimpleNamespace(**(plain | changed))


def test_a_journal_is_of_all_that_shapes_the_steps_and_of_nothing_else(tmp_path: Path) -> None:
    def folder(settings: Settings = Settings(network=False), further: Any = (), **changed: Any) -> Path:  # noqa: B008
        found = damage_journal(tmp_path, inputs(**changed), settings, further).folder
        assert found is not None
        return found

    same = folder()
    assert same.parent == tmp_path
    assert folder(Settings(network=False, workers=7)) == same  # how a job is done, not what comes out
    other = Layer.open(np.ones((3, 4, 4), np.uint8))
    moved = HOUSES.assign(geometry=HOUSES.translate(1))
    outlines = np.array([shapely.box(0, 0, 2, 2)])
    different = [
        folder(Settings(network=False, seed=1)), folder(Settings(network=False, align=False)), folder(post=other), folder(pre=other), folder(dsm_post=other),
        folder(cloud_mask=other), folder(evidences=(SimpleNamespace(identity="b"),)), folder(footprints=SimpleNamespace(pixels=None, frame=moved)),
        folder(footprints=SimpleNamespace(pixels=outlines, frame=HOUSES)), folder(further=[SimpleNamespace(name="survey", paths={})]),
    ]  # fmt: skip
    assert len({same, *different}) == len(different) + 1
    nothing = damage_journal(None, inputs(pre=other), Settings(network=False))
    assert (nothing.folder, sorted(nothing.grids)) == (None, ["post", "pre"])
    assert sorted(damage_journal(None, inputs(), Settings(network=False)).grids) == ["post"]


@pytest.mark.parametrize(
    ("settings", "precision", "runtime", "measured"),
    [
        ({"precision": "float32"}, "float32", "auto", []), ({"network": False}, "auto", "auto", []), ({"model": "run"}, "float32", "auto", []),
        ({}, "bfloat16", "onnx-int8", ["precision", "runtime"]), ({"runtime": "torch"}, "bfloat16", "torch", ["precision"]),
        ({"runtime": "openvino"}, "bfloat16", "openvino-int8", ["precision"]),
    ],
)  # fmt: skip
def test_the_first_process_of_a_job_chooses_what_all_compute_in(settings: dict[str, Any], precision: str, runtime: str, measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    agreed: list[str] = []
    asked: list[Any] = []
    monkeypatch.setattr(journal, "RunFolder", lambda path: SimpleNamespace(is_run=str(path).endswith("run")))
    monkeypatch.setattr(journal, "choose", lambda device: SimpleNamespace(precision="bfloat16"))
    monkeypatch.setattr(journal.grader, "shipped_runtime", lambda *given: asked.append(given) or "onnx-int8")
    grids = {"pre": SimpleNamespace(shape=(10, 20)), "post": SimpleNamespace(shape=(5, 5))}
    kept: Any = SimpleNamespace(grids=grids, agree=lambda name, choose: agreed.append(name) or choose())
    found = with_precision(Settings(**settings), kept)
    assert (found.precision, found.runtime, agreed) == (precision, runtime, measured)
    assert asked == ([("auto", 200)] if "runtime" in measured else [])  # pixels of the larger image
