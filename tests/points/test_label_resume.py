"""An interrupted job goes on only where it is the same job: the same points, colours, run and rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import laspy
import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_clouds import LEGEND, ORIGIN, NeighbourCount, scattered, write_las

from deepnets4eo.errors import CompleteError, OtherJobError
from deepnets4eo.points import (
    LabelJob,
    LabelOptions,
    LoadedLabeller,
    Orthophoto,
    PointCloud,
    PointLabeller,
    label_cloud,
    label_progress,
    labeller,
    labelling,
)
from deepnets4eo.points.features import RuleLabeller
from deepnets4eo.points.features.rules import RuleOptions

TILES = LabelOptions(memory_bytes=1)


class StoppedError(Exception):
    """The job was stopped."""


class Redness(NeighbourCount):
    """Labels by the red of a point: below 100, below 200, and above."""

    def scores(self, cloud: PointCloud) -> np.ndarray:
        assert cloud.colour is not None
        return np.eye(3, dtype=np.float32)[cloud.colour[:, 0].astype(int) // 100]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Begins a job and stops it after three tiles."""
    monkeypatch.setattr(labelling, "MIN_POINTS", 100)

    def stop(path: Path, labeller: PointLabeller, out: Path, orthophoto: Orthophoto | None = None) -> None:
        original, done = label_progress.label_tile, 0

        def counted(*words: object) -> np.ndarray:
            nonlocal done
            if done == 3:
                raise StoppedError
            done += 1
            return original(*words)

        with monkeypatch.context() as patch, pytest.raises(StoppedError):
            patch.setattr(label_progress, "label_tile", counted)
            label_cloud(path, labeller, out, TILES, orthophoto=orthophoto)

    return stop


def labels_after_resuming(path: Path, labeller: PointLabeller, out: Path, orthophoto: Orthophoto | None) -> np.ndarray:
    label_cloud(path, labeller, out, LabelOptions(memory_bytes=1, resume=True), orthophoto=orthophoto)
    return np.asarray(laspy.read(out).pred_class)


def ortho(path: Path, red: int) -> Path:
    pixels = np.full((3, 100, 100), red, np.uint8)
    return write_geotiff(path, pixels, crs="EPSG:2154", origin=(ORIGIN[0], ORIGIN[1] + 50), gsd=0.5)


def test_another_orthophoto_begins_again(tmp_path: Path, stop_after: Callable[..., None]) -> None:
    path, out = write_las(tmp_path / "a.laz", scattered(600)), tmp_path / "out.laz"
    dark, bright = (
        Orthophoto(ortho(tmp_path / name, red), all_returns=True) for name, red in (("d.tif", 20), ("b.tif", 240))
    )
    stop_after(path, Redness(), out, dark)
    assert (labels_after_resuming(path, Redness(), out, bright) == LEGEND.value("many")).all()


def test_the_same_orthophoto_with_colours_of_all_returns_begins_again(
    tmp_path: Path, stop_after: Callable[..., None]
) -> None:
    path, out = write_las(tmp_path / "a.laz", scattered(600)), tmp_path / "out.laz"
    image = ortho(tmp_path / "b.tif", 240)
    stop_after(path, Redness(), out, Orthophoto(image))
    labels = labels_after_resuming(path, Redness(), out, Orthophoto(image, all_returns=True))
    assert (labels == LEGEND.value("many")).all()


def test_a_run_that_was_trained_again_in_its_folder_begins_again(
    tmp_path: Path, stop_after: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OfRun(NeighbourCount):
        def __init__(self, folder: Path) -> None:
            super().__init__()
            self.best = json.loads((folder / "card.json").read_text())["best"]

        def scores(self, cloud: PointCloud) -> np.ndarray:
            self.calls += 1
            return np.eye(3, dtype=np.float32)[np.full(len(cloud), self.best)]

    monkeypatch.setattr(labeller, "plugins_of", lambda group: {"made-up": OfRun})
    monkeypatch.setattr(labeller, "load_plugin", lambda entry: entry)

    def trained(best: int) -> LoadedLabeller:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "card.json").write_text(json.dumps({"kind": "made-up", "best": best}))
        return labeller.load_labeller(tmp_path / "run")

    path, out = write_las(tmp_path / "a.laz", scattered(600)), tmp_path / "out.laz"
    label_cloud(path, whole := trained(0), tmp_path / "whole.laz", TILES)
    stop_after(path, trained(0), out)
    assert (labels_after_resuming(path, trained(2), out, None) == LEGEND.value("many")).all()
    stop_after(path, trained(0), tmp_path / "again.laz")
    same = trained(0)
    labels_after_resuming(path, same, tmp_path / "again.laz", None)
    assert same.labeller.calls == whole.labeller.calls - 3


def test_other_thresholds_of_the_rules_begin_again(tmp_path: Path, stop_after: Callable[..., None]) -> None:
    path, out = write_las(tmp_path / "a.laz", scattered(600)), tmp_path / "out.laz"
    high = RuleLabeller(RuleOptions(medium_m=40.0, high_m=50.0, building_m=60.0), workers=1)
    label_cloud(path, high, tmp_path / "whole.laz", TILES)
    stop_after(path, RuleLabeller(workers=1), out)
    np.testing.assert_array_equal(
        labels_after_resuming(path, high, out, None), laspy.read(tmp_path / "whole.laz").pred_class
    )


def test_a_finished_result_is_not_resumed_by_another_job(tmp_path: Path) -> None:
    out = tmp_path / "out.laz"
    label_cloud(write_las(tmp_path / "a.laz", scattered(50)), NeighbourCount(), out)
    before, again = out.read_bytes(), LabelOptions(resume=True)
    with pytest.raises(CompleteError):
        label_cloud(tmp_path / "a.laz", NeighbourCount(), out, LabelOptions(resume=True, memory_bytes=1))
    copy = tmp_path / "copy.laz"
    copy.write_bytes((tmp_path / "a.laz").read_bytes())
    with pytest.raises(CompleteError):
        label_cloud(copy, NeighbourCount(), out, again)
    other = write_las(tmp_path / "b.laz", scattered(60))
    for job, differing in (
        ((other, NeighbourCount(), out, again), "cloud"),
        ((tmp_path / "a.laz", NeighbourCount(), out, LabelOptions(resume=True, replace=True)), "replace"),
        ((tmp_path / "a.laz", RuleLabeller(), out, again), "labeller"),
    ):
        for call in (LabelJob.run, LabelJob.describe):
            with pytest.raises(OtherJobError) as error:
                call(LabelJob.plan(*job))
            assert error.value.differing == (differing,)
    write_las(tmp_path / "a.laz", scattered(60))  # the corrected file under the same name
    with pytest.raises(OtherJobError):
        label_cloud(tmp_path / "a.laz", NeighbourCount(), out, again)
    assert out.read_bytes() == before
