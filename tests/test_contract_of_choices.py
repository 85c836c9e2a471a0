"""Choices that few files meet: which way up a picture is, which sides tiles may have, whose job an output is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

from deepnets4eo.jobs import JobOutput
from deepnets4eo.jobs.records import JobRecord
from deepnets4eo.prediction import plan
from deepnets4eo.rasters.upright import _upright_copy, turn_upright
from deepnets4eo.tiling import Tiling

UPRIGHT = np.arange(6).reshape(1, 2, 3)
STORED = {  # as EXIF 2.3 defines where the first row and column of the stored picture are displayed
    1: UPRIGHT, 2: UPRIGHT[:, :, ::-1], 3: UPRIGHT[:, ::-1, ::-1], 4: UPRIGHT[:, ::-1], 5: UPRIGHT.swapaxes(1, 2), 6: np.rot90(UPRIGHT, 1, (1, 2)),
    7: UPRIGHT[:, ::-1, ::-1].swapaxes(1, 2), 8: np.rot90(UPRIGHT, -1, (1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("orientation", list(STORED))
@pytest.mark.parametrize("bands", [1, 3])
def test_a_turned_picture_is_turned_back(orientation: int, bands: int, tmp_path: Path) -> None:
    stored = np.repeat(STORED[orientation], bands, axis=0).astype(np.uint8)
    np.testing.assert_array_equal(turn_upright(stored, orientation), np.repeat(UPRIGHT, bands, axis=0))
    with rasterio.open(write_geotiff(tmp_path / "a.tif", stored)) as dataset, _upright_copy(dataset, "a.tif", orientation) as file, file.open() as copy:  # fmt: skip
        np.testing.assert_array_equal(copy.read(), np.repeat(UPRIGHT, bands, axis=0))
        assert (copy.dtypes, copy.nodata) == (dataset.dtypes, dataset.nodata)


def test_sides_of_tiles_that_do_as_well_depend_on_the_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "window_scalers", lambda segmenter: getattr(segmenter, "scaled", False))
    monkeypatch.setattr(plan, "NetworkSegmenter", Network)
    tiling = Tiling(512, 32)
    assert plan._other_sides(Network(), tiling) == tiling.similar_sides
    assert plan._other_sides(Network(scaled=True), tiling) == tiling.half_sides
    assert tiling.half_sides != tiling.similar_sides
    other: Any = SimpleNamespace()
    assert plan._other_sides(other, tiling) == []
    anything: Any = SimpleNamespace(any_tile=True)
    assert plan._other_sides(anything, Tiling(1024, 32)) == [(1024 - 64) // 2 + 64]
    small = Tiling(2 * plan.SMALLEST_SIDE_PX + 64 - 2, 32)  # half of the core is a pixel too small
    assert plan._other_sides(anything, small) == []


class Network(SimpleNamespace):
    """As much of a segmenter as the plan asks for."""


def test_an_interrupted_job_goes_on_replacing_only_as_itself(tmp_path: Path) -> None:
    def output(record: JobRecord | None, **options: Any) -> JobOutput:
        return JobOutput(tmp_path / "map", record=record, **options)

    own, other = JobRecord({}, {"tile": 1}, "1"), JobRecord({}, {"tile": 2}, "1")
    assert not output(own)._replacing  # nothing was begun
    plain = output(own)
    plain._scratch.mkdir(parents=True)
    (plain._scratch / "job.json").write_text(f'{{"job": {own.to_text()}, "replaces": true}}')
    assert plain._replacing
    assert not output(None)._replacing
    assert not output(other)._replacing
    assert plain._interrupted
    assert (output(own).replaces, output(own, resume=True).replaces, output(own, overwrite=True).replaces) == (False, True, True)  # fmt: skip
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "manifest.json").write_text(f'{{"job": {own.to_text()}}}')
    assert not plain._replacing  # all is written
    assert not plain._interrupted
    (tmp_path / "map" / "manifest.json").write_text("{}")
    assert plain._replacing  # of an earlier job
    (plain._scratch / "job.json").write_text(f'{{"job": {own.to_text()}, "replaces": false}}')
    assert not plain._replacing
