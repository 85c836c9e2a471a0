"""Steps of long work and records in files, each against values by hand: diffusion, coherence, rows that are kept, CRS of clouds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import CRS
from refusals import raises_naming

from deepnets4eo.change.diffusion import Diffusion, check_arrays, guided_anisotropic_diffusion
from deepnets4eo.errors import InputError, OtherJobError, OutputError
from deepnets4eo.grid import Window
from deepnets4eo.interferometry.coherence import _in_blocks, _joined, _padded, _sums, sample_coherence
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.jobs import row_journal
from deepnets4eo.jobs.row_journal import RowJournal
from deepnets4eo.points.files import las_crs


def by_hand(scores: np.ndarray, guides: list[np.ndarray], rate: float, level: float, valid: np.ndarray) -> np.ndarray:
    """One step as in equations 3 and 4: each pair of neighbours, one after the other."""
    out = scores.astype(float).copy()
    height, width = scores.shape[1:]
    for (row, col), step in [((r, c), s) for r in range(height) for c in range(width) for s in ((0, 1), (1, 0))]:
        other = row + step[0], col + step[1]
        if other[0] >= height or other[1] >= width or not (valid[row, col] and valid[other]):
            continue
        means = [np.abs(guide[:, other[0], other[1]] - guide[:, row, col]).mean() for guide in guides]
        share = min(rate / (1 + (mean / level) ** 2) for mean in means)
        flow = share * (scores[:, other[0], other[1]] - scores[:, row, col])
        out[:, row, col] += flow
        out[:, other[0], other[1]] -= flow
    return out


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("guides", [1, 2])
@pytest.mark.parametrize("holes", [False, True])
def test_a_step_of_diffusion_is_that_of_its_equations(bands: int, guides: int, holes: bool) -> None:
    rng = np.random.default_rng(bands + guides)
    scores = rng.random((2, 5, 6)).astype(np.float32)
    images = [(20 * rng.random((bands, 5, 6))).astype(np.float32) for _ in range(guides)]
    valid = np.ones((5, 6), bool)
    if holes:
        valid[1, 2] = valid[4, 5] = False
    found = guided_anisotropic_diffusion(scores, images, diffusion=Diffusion(1, 7.0, 0.2), valid=valid if holes else None)  # fmt: skip
    np.testing.assert_allclose(found, by_hand(scores, images, 0.2, 7.0, valid), rtol=1e-5)
    np.testing.assert_allclose(found[:, valid].sum(axis=1), scores[:, valid].sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found[:, ~valid], scores[:, ~valid])
    threads = guided_anisotropic_diffusion(scores, images, diffusion=Diffusion(5, 7.0, 0.2), workers=3)
    np.testing.assert_array_equal(threads, guided_anisotropic_diffusion(scores, images, diffusion=Diffusion(5, 7.0, 0.2), workers=1))  # fmt: skip


def test_a_cycle_of_diffusion_goes_as_far_as_its_growing_steps() -> None:
    plain, cycle = Diffusion(9, 4.0, 0.2), Diffusion(9, 4.0, 0.2, 3)
    assert plain.rates == (0.2,) * 9
    angles = np.pi * np.array([1, 3, 5]) / 14
    np.testing.assert_allclose(cycle.rates, np.tile(0.1 / np.cos(angles) ** 2, 3))
    assert plain.reach_px == np.ceil(4 * np.sqrt(3.6))
    assert cycle.reach_px == np.ceil(4 * np.sqrt(2 * sum(cycle.rates)))


PLAIN = np.zeros((2, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("scores", "guides", "valid", "named"),
    [
        (PLAIN[0], [PLAIN], None, "(4, 5)"),
        (PLAIN, [], None, "guides []"),
        (PLAIN, [PLAIN[0]], None, "[(4, 5)]"),
        (PLAIN, [PLAIN[:, :3]], None, "same rows and columns"),
        (PLAIN, [PLAIN, PLAIN[:1]], None, "guides the same bands"),
        (PLAIN, [PLAIN], np.ones((4, 4), bool), "same rows and columns"),
        (PLAIN[:, :0], [PLAIN[:, :0]], None, "one pixel at least"),
        (PLAIN, [PLAIN], np.ones((4, 5)), "float64, expected bool"),
        (PLAIN.astype(complex), [PLAIN], None, "expected real numbers"),
        (PLAIN, [PLAIN.astype(str)], None, "expected real numbers"),
        (PLAIN + np.inf, [PLAIN], None, "not finite"),
        (PLAIN, [PLAIN + np.nan], np.ones((4, 5), bool), "not finite"),
    ],
)
def test_arrays_that_cannot_be_diffused_are_refused(scores: Any, guides: Any, valid: Any, named: str) -> None:
    with raises_naming(InputError, named):
        check_arrays(scores, guides, valid)
    broken, seen = PLAIN.copy(), np.ones((4, 5), bool)
    broken[:, 1, 2], seen[1, 2] = np.nan, False
    check_arrays(broken, [broken], seen)


def test_sums_of_windows_and_blocks_fit_into_each_other() -> None:
    part = np.arange(20.0).reshape(4, 5)
    assert _sums(part, (2, 3)).tolist() == [[part[r : r + 2, c : c + 3].sum() for c in range(3)] for r in range(3)]
    side = FringeField.block_px
    image = np.arange(4 * side * side).reshape(2 * side, 2 * side)
    padded = _padded(image, 1, 2)
    assert padded.shape == (2 * side + 2, 2 * side + 4)
    assert _padded(image[:-1, :-3], 1).shape == (2 * side + 2, 2 * side + 2)
    blocks = _in_blocks(padded, (3, 5))
    assert blocks.shape == (2, 2, side + 2, side + 4)
    np.testing.assert_array_equal(_joined(blocks[:, :, 1:-1, 2:-2]), image)


def test_coherence_of_known_images_is_that_of_its_windows() -> None:
    """One in all windows if POST is PRE, whatever its power and its fringe, if the fringe is known."""
    side, window = FringeField.block_px, (3, 5)
    rng = np.random.default_rng(0)
    shape = (side + 2, side + 4)
    pre = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    valid, none = np.ones(shape, bool), np.zeros((2, 1, 1))
    coherence, share = sample_coherence(pre, 2 * pre, valid, none, window)
    assert coherence.shape == share.shape == (side, side)
    np.testing.assert_allclose(coherence, 1, atol=1e-5)
    np.testing.assert_array_equal(share, 1)
    rows, cols = np.indices(shape)
    turned = pre * np.exp(-2j * np.pi * (0.1 * rows + 0.23 * cols))
    assert np.mean(sample_coherence(pre, turned, valid, none, window)[0]) < 0.6
    known = np.array([0.1, 0.23])[:, None, None]
    np.testing.assert_allclose(sample_coherence(pre, turned, valid, known, window)[0], 1, atol=1e-4)
    assert np.isnan(sample_coherence(pre, turned, valid, np.full((2, 1, 1), np.nan), window)[0]).all()
    other = rng.normal(size=shape).astype(np.complex64)
    found = sample_coherence(pre, other, valid, none, window)[0]
    part = np.s_[10:13, 20:25]
    expected = abs((pre[part] * other[part].conj()).sum()) / np.sqrt((abs(pre[part]) ** 2).sum() * (abs(other[part]) ** 2).sum())  # fmt: skip
    assert found[10, 20] == pytest.approx(expected, rel=1e-4)
    valid[10:13, 20] = False
    holes, share = sample_coherence(pre, 2 * pre, valid, none, window)
    assert share[10, 20] == pytest.approx(12 / 15)
    assert holes[10, 20] == pytest.approx(1, abs=1e-5)  # of what is left
    assert np.isnan(holes[10, 18])  # the gap itself
    valid[10:13, 21] = False
    holes, share = sample_coherence(pre, 2 * pre, valid, none, window)
    assert (share[10, 20], np.isnan(holes[10, 20])) == (pytest.approx(9 / 15), True)  # less than three quarters
    assert share[0, 0] == 1


def test_finished_rows_are_kept_and_come_back_in_their_order(tmp_path: Path) -> None:
    journal = RowJournal(tmp_path / "out.tif")
    journal.start({"options": 1})
    assert RowJournal(tmp_path / "out.tif").load() is True  # begun, no rows yet
    for strip in (0, 1):
        window = Window(2 * strip, 0, 2, 3)
        journal.record(strip, window, {"labels": np.full((2, 3), strip, np.uint8)}, {"px": 6 * (strip + 1)})
    again = RowJournal(tmp_path / "out.tif")
    assert again.load()
    assert [entry["rows"] for entry in again.entries] == [2, 4]
    assert again.counts == {"px": 12}
    replayed = list(again.replay("labels"))
    assert [window for window, _ in replayed] == [(0, 0, 2, 3), (2, 0, 2, 3)]
    assert [rows.tolist() for _, rows in replayed] == [[[0] * 3] * 2, [[1] * 3] * 2]
    with raises_naming(OutputError, "--overwrite", "--resume"):
        again.check_kept(overwrite=False, resume=False)
    again.check_kept(overwrite=True, resume=False), again.check_kept(overwrite=False, resume=True)
    again.check({"options": 1})
    with raises_naming(OtherJobError, "options 1 then, 2 now"):
        again.check({"options": 2})
    again.remove()
    assert not again.folder.exists()
    assert RowJournal(tmp_path / "out.tif").load() is False
    RowJournal(tmp_path / "out.tif").check_kept(overwrite=False, resume=False)


@pytest.mark.parametrize(
    ("begun", "resume", "part", "advice"),
    [
        (True, False, False, "Finished rows are kept: go on with --resume then."),
        (True, True, False, "Finished rows are kept: start the same job again then."),
        (True, True, True, "Finished rows are kept: start the part again then."),
        (False, False, False, ""),
    ],
)
def test_a_failure_states_how_to_go_on_if_rows_are_kept(
    begun: bool, resume: bool, part: bool, advice: str, tmp_path: Path
) -> None:
    journal = RowJournal(tmp_path / "out.tif")
    if begun:
        journal.start({})
        journal.record(0, Window(0, 0, 1, 1), {"labels": np.zeros((1, 1))}, {})
    with pytest.raises(OutputError) as caught, journal.kept_on_failure(resume=resume, part=part):
        raise OutputError("the disk is full.")
    assert str(caught.value) == f"the disk is full. {advice}".strip()


def test_a_job_in_several_ways_of_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_journal, "_folders_of_parts", lambda out: {"a": 2, "b": 3})
    with raises_naming(OutputError, "divided into 2 and into 3 parts"):
        RowJournal.parts(tmp_path / "out.tif")
    monkeypatch.setattr(row_journal, "_folders_of_parts", lambda out: {"a": 2, "b": 2})
    assert [(part.number, part.total) for part in RowJournal.parts(tmp_path / "out.tif")] == [(1, 2), (2, 2)]


UTM, WGS = CRS(32633), CRS(4326)
ENGINEERING = CRS(
    'ENGCRS["local",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)
FEET = CRS('ENGCRS["feet",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["foot",0.3048]]')
EGM = CRS(5773)
PLACE = (500_000.0, 4_000_000.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (UTM, UTM, UTM),
        (ENGINEERING, UTM, UTM),  # units without a place
        (UTM, ENGINEERING, UTM),
        (UTM, CRS("EPSG:32633+5773"), CRS("EPSG:32633+5773")),
        (CRS("EPSG:32633+5773"), UTM, CRS("EPSG:32633+5773")),
        (UTM, CRS(25833), UTM),  # the same place
    ],
)
def test_two_records_of_a_cloud_complete_each_other(one: CRS, other: CRS, expected: CRS) -> None:
    found = las_crs._with(one, other, PLACE, "a.las: its WKT and its keys")
    assert las_crs._parts(found)[0].equals(las_crs._parts(expected)[0])
    vertical = las_crs._parts(found)[1]
    assert (None if vertical is None else vertical.to_epsg()) == (5773 if expected.is_compound else None)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (UTM, WGS, "the CRS: WGS 84 / UTM zone 33N and WGS 84"),
        (UTM, FEET, "the unit of x and y: 1 m and 0.3048 m"),
        (UTM, CRS(32634), "the CRS: WGS 84 / UTM zone 33N and WGS 84 / UTM zone 34N"),
        (CRS("EPSG:32633+5773"), CRS("EPSG:32633+6360"), "the unit of heights: 1 m and 0.30480060"),
    ],
)
def test_two_records_that_contradict_each_other_are_refused(one: CRS, other: CRS, what: str) -> None:
    with raises_naming(InputError, "a.las: its WKT and its keys contradict each other", what):
        las_crs._with(one, other, PLACE, "a.las: its WKT and its keys")
