"""What the damage network learns from and is pooled over, function by function: each result against values by hand."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy
import shapely

from deepnets4eo.damage.network import grader, stretches, training
from deepnets4eo.damage.network.grader import NetworkGrader
from deepnets4eo.damage.network.pairs import GradedPair
from deepnets4eo.damage.network.pooling import Pooled, TileSums, _count_occupied, keep_sums, kept_sums
from deepnets4eo.damage.network.recipe import DamageData
from deepnets4eo.damage.network.roof_parts import Roofs
from deepnets4eo.damage.network.samples import (
    PairWindow,
    _crop,
    _labels_of_made_up,
    _moved,
    _shown_share,
    draw_window,
)
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.damage.table.vocabulary import GRADES
from deepnets4eo.grid import Window
from deepnets4eo.jobs import Journal
from deepnets4eo.outputs import Finding, image_of
from deepnets4eo.segmenters import Stretch
from deepnets4eo.tiling import Tiling
from deepnets4eo.zonal import Outlines


def boxes(*bounds: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*one) for one in bounds], object)


@pytest.mark.parametrize(
    ("box", "share"),
    [((2, 2, 6, 6), 1), ((0, 0, 4, 4), 1 / 4), ((8, 2, 12, 6), 1 / 2), ((2, 10, 6, 14), 0), ((5, 5, 5, 5), 0)],
)
def test_a_window_shows_the_share_of_a_box_that_is_inside(box: tuple[int, ...], share: float) -> None:
    """Rows and columns from 2 on: 8 rows, 6 columns."""
    assert _shown_share(np.array([box]), Window(2, 2, 8, 6)).tolist() == [share]


def test_a_crop_beyond_the_image_is_empty_and_not_valid() -> None:
    image = np.arange(1, 25, dtype=np.uint8).reshape(2, 3, 4)
    pixels, valid = _crop(image, Window(-1, 2, 3, 3))
    assert pixels.tolist() == [[[0, 0, 0], [3, 4, 0], [7, 8, 0]], [[0, 0, 0], [15, 16, 0], [19, 20, 0]]]
    assert valid.tolist() == [[False] * 3, [True, True, False], [True, True, False]]


def test_a_window_is_drawn_around_its_building_within_the_image_and_pre_is_moved_by_few_pixels() -> None:
    data = DamageData(source="made-up", tile_px=64, misregistration_px=2)
    rng = np.random.default_rng(0)
    drawn = [draw_window(np.array([100.0, 150.0]), (400, 300), data, rng, 3) for _ in range(400)]
    assert {(one.pair, *one.window[2:]) for one in drawn} == {(3, 64, 64)}
    rows, cols = np.array([one.window[:2] for one in drawn]).T
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (100 - 55, 100 - 8, 150 - 55, 150 - 8)
    assert {one.moved_px[0] for one in drawn} == {one.moved_px[1] for one in drawn} == {-2, -1, 0, 1, 2}
    at_edge = [draw_window(np.array([399.0, 2.0]), (400, 300), data, rng).window[:2] for _ in range(20)]
    assert set(at_edge) == {(336, 0)}
    assert draw_window(np.array([5.0, 5.0]), (30, 30), data, rng).window == (
        0,
        0,
        64,
        64,
    )  # an image smaller than the window
    assert PairWindow(0, Window(10, 20, 64, 32), (2, -1)).pre_window == (12, 19, 64, 32)


def test_outlines_without_an_error_only_move_into_the_window() -> None:
    moved = _moved(boxes((10, 20, 14, 26)), np.array([3, 5]), 0.0, np.random.default_rng(0))
    assert moved[0].bounds == (7, 15, 11, 21)


def test_errors_of_outlines_are_shared_but_for_an_eighth_and_a_tenth_in_size() -> None:
    rng, houses = np.random.default_rng(1), boxes(*[(20 * k, 0, 20 * k + 10, 10) for k in range(50)])
    centres, sides = [], []
    for _ in range(60):
        moved = _moved(houses, np.zeros(2), 8.0, rng)
        bounds = shapely.bounds(moved)
        sides.append(bounds[:, 2] - bounds[:, 0])
        centres.append((bounds[:, :2] + bounds[:, 2:]) / 2 - shapely.get_coordinates(shapely.centroid(houses)))
    assert (np.min(sides), np.max(sides)) == pytest.approx((9, 11), abs=0.01)
    off = np.array(centres)  # (draws, houses, 2)
    assert off.std(axis=1).mean() == pytest.approx(1.0, abs=0.05)
    length = np.linalg.norm(off.mean(axis=1), axis=1)
    assert length.max() < 8.5
    assert np.median(length) == pytest.approx(2.0, abs=0.6)  # 8 u² of u = 1/2
    assert np.abs(off.mean(axis=(0, 1))).max() < 1  # in every direction


def test_labels_of_a_window_are_the_buildings_that_it_shows_at_least_half() -> None:
    """One whole, one half and one less than half inside, one not graded, one outside; the first column has no data."""
    houses = boxes((4, 4, 8, 8), (14, 4, 18, 8), (4, 13, 8, 19), (10, 10, 12, 12), (40, 40, 44, 44))
    grades, image = np.array([3, 1, 2, 255, 0], np.uint8), np.zeros((3, 64, 64), np.uint8)
    pair = GradedPair(image, image, houses, grades, grades, 0.5, "suburb", "none")
    valid = np.ones((16, 16), bool)
    valid[:, 4] = False
    data = DamageData(source="made-up", outline_error_m=0)
    mask, building = _labels_of_made_up(pair, Window(0, 0, 16, 16), data, valid, np.random.default_rng(0))
    expected = np.full((16, 16), 255)
    expected[4:8, 5:8], expected[4:8, 14:16], expected[13:16, 5:8] = 3, 1, 2
    assert mask.tolist() == expected.tolist()
    assert building.tolist() == np.select([expected == 3, expected == 1, expected == 2], [1, 2, 3]).tolist()
    shifted = replace(
        pair, outlines=shapely.transform(houses, lambda xy: xy + [0, 1])
    )  # now less than half of the third
    mask, building = _labels_of_made_up(shifted, Window(0, 0, 16, 16), data, valid, np.random.default_rng(0))
    assert np.unique(mask).tolist() == [1, 3, 255]
    assert building.max() == 2


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"buildings": np.array([0, 3])}, False),  # of three buildings
        ({"buildings": np.array([-1, 2])}, False),
        ({"buildings": np.array([0.0, 2.0])}, False),
        ({"buildings": np.array([[0, 2]])}, False),
        ({"pixels": np.array([1])}, False),
        ({"pixels": np.array([1.0, 2.0])}, False),
        ({"sums": np.zeros((3, 4))}, False),
        ({"sums": np.zeros((2, 4), int)}, False),
        ({"sums": np.zeros(2)}, False),
    ],
)
def test_sums_of_a_tile_are_read_only_if_they_are_of_the_buildings(changed: dict[str, Any], fits: bool) -> None:
    plain = {"buildings": np.array([0, 2]), "sums": np.zeros((2, 4)), "pixels": np.array([5, 6])}
    assert TileSums(**(plain | changed)).fit(3) is fits


def test_sums_of_a_tile_are_kept_under_its_place(tmp_path: Path) -> None:
    work, sums = TileWork(Journal(tmp_path)), TileSums(np.array([1]), np.array([[2.0, 3.0]]), np.array([4]))
    tile = SimpleNamespace(core=Window(64, 128, 32, 16))
    assert kept_sums(work, tile, 2) is None  # type: ignore[arg-type]
    keep_sums(work, tile, sums)  # type: ignore[arg-type]
    kept = kept_sums(work, tile, 2)  # type: ignore[arg-type]
    assert kept is not None
    assert (kept.buildings.tolist(), kept.sums.tolist(), kept.pixels.tolist()) == ([1], [[2, 3]], [4])
    assert kept_sums(work, tile, 1) is None  # type: ignore[arg-type]
    assert work.journal.get("64-128-32") is not None
    work.journal.put("64-128-32", {"buildings": np.array([1])})
    assert kept_sums(work, tile, 2) is None  # type: ignore[arg-type]


def test_mean_logits_are_of_the_pixels_and_unknown_without_one() -> None:
    mean = Pooled(np.array([[6.0, 3], [1, 1]]), np.array([3, 0])).mean
    np.testing.assert_array_equal(mean, [[2, 1], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("bounds", "tiles"),
    [
        ([(1, 1, 31, 31)], 1),
        ([(1, 1, 33, 31)], 2),
        ([(30, 30, 40, 40)], 4),
        ([(1, 1, 31, 31), (5, 5, 9, 9), (33, 1, 60, 20)], 2),
        ([(-20, -20, 5, 5)], 1),
        ([(90, 66, 120, 90)], 1),  # the last, partial core of 96 × 70 pixels
        ([(200, 200, 210, 210)], 0),
        ([(1, 1, 95, 69)], 9),
    ],
)
def test_tiles_are_counted_whose_core_a_building_meets(bounds: list[tuple[int, int, int, int]], tiles: int) -> None:
    outlines = Outlines.on(boxes(*bounds), shape=(70, 96))
    assert _count_occupied(outlines, Tiling(32, 0)) == tiles


LOGITS = np.array([[2.0, 0, 0, 0], [0, 0, 0, 4.0], [np.nan] * 4])


def run_of(**notes: Any) -> Any:
    card = {"notes": {"temperature": 2.0, "post_alone": {"temperature": 4.0}} | notes}
    return SimpleNamespace(inputs="inputs", card=card, tiling=Tiling(768, 32), segmenter="segmenter")


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    return np.asarray(scipy.special.softmax(logits / temperature, axis=1))


@pytest.mark.parametrize(("few", "tile_px"), [(True, 256), (False, 512)])
@pytest.mark.parametrize(("aligned_on", "carried"), [("pre", "registration"), ("post", None)])
def test_the_post_image_alone_grades_the_buildings_that_are_named(
    few: bool, tile_px: int, aligned_on: Any, carried: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    roofs = Roofs(Outlines.on(boxes((0, 0, 4, 4), (8, 0, 12, 4), (16, 0, 20, 4)), shape=(32, 32)))

    def prepare(self: NetworkGrader, *given: Any) -> Any:
        asked["prepared"] = given
        return "scene", roofs

    def pool(*given: Any, **more: Any) -> Pooled:
        asked["pooled"], asked["only"] = given, more["only"].tolist()
        more["work"].failed.update({1: "its tile failed", 7: "a part of a roof"})
        return Pooled(2 * np.nan_to_num(LOGITS), np.array([2, 2, 0]))

    monkeypatch.setattr(NetworkGrader, "_prepare", prepare)
    monkeypatch.setattr(grader, "pool_scene", pool)
    monkeypatch.setattr(grader, "post_inputs", lambda inputs: f"{inputs} of post")
    monkeypatch.setattr(grader, "fitted_tiling", lambda tiling, _: replace(tiling, tile_px=512))
    work = TileWork()
    found = NetworkGrader(run_of()).post_probabilities(
        "post", ["outlines"] * 3, "registration", "alignment", aligned_on, np.array([0, 2]), work, few=few  # type: ignore[arg-type]
    )  # fmt: skip
    assert asked["prepared"] == (None, "post", None, ["outlines"] * 3, "alignment", carried)
    assert asked["pooled"] == ("segmenter", "scene", roofs.outlines, "inputs of post", Tiling(tile_px, 32))
    assert asked["only"] == [0, 2]
    assert found.columns.tolist() == list(GRADES)
    np.testing.assert_allclose(found.to_numpy(), np.where([[True], [False], [False]], softened(LOGITS, 4.0), np.nan))
    assert work.failed == {1: "its tile failed"}


def test_without_a_head_for_it_the_post_image_grades_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetworkGrader, "_prepare", lambda *_: pytest.fail("nothing is to be prepared"))
    for run, rows in ((run_of(post_alone=None), [0]), (run_of(), [])):
        found = NetworkGrader(run).post_probabilities("post", [None] * 2, None, None, "pre", np.array(rows, int))  # type: ignore[arg-type]
        assert (found.shape, found.isna().all(axis=None)) == ((2, 4), True)


@pytest.mark.parametrize(("scaling", "inputs"), [("training", "inputs"), ("scene", "scaled at 2")])
def test_pairs_are_pooled_with_their_own_scaling_and_grades_softened_by_the_temperature(
    scaling: str, inputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roofs = Roofs(Outlines.on(boxes((0, 0, 4, 4), (8, 0, 12, 4)), shape=(32, 32)))
    pooled: list[Any] = []
    monkeypatch.setattr(grader, "scaled_to", lambda _, scene, centres: f"scaled at {len(centres)}")
    monkeypatch.setattr(grader, "fitted_tiling", lambda tiling, _: replace(tiling, tile_px=512))
    monkeypatch.setattr(
        grader, "pool_scene",
        lambda *given, **more: pooled.append((*given[3:], more["only"])) or Pooled(LOGITS[:2], np.ones(2, int)),
    )  # fmt: skip
    found = NetworkGrader(run_of(scaling=scaling))._grade_roofs("scene", roofs, TileWork())  # type: ignore[arg-type]
    assert pooled == [(inputs, Tiling(512, 32), None)]
    np.testing.assert_allclose(found, softened(LOGITS[:2], 2.0))


@pytest.mark.parametrize(
    ("tags", "angle"),
    [
        ({}, None), ({"OFF_NADIR": "-12.5"}, 12.5), ({"offNadir_deg": "7"}, 7), ({"viewAngle": "3"}, 3), ({"VIEW_ANGLE": "steep", "off_nadir": "9"}, 9),
        ({"incidence_from_nadir": "4"}, 4), ({"sun_angle": "40"}, None), ({"OFF_NADIR": "steep"}, None),
    ],
)  # fmt: skip
def test_the_angle_of_an_image_is_in_its_tags(tags: dict[str, str], angle: float | None) -> None:
    layer: Any = SimpleNamespace(tags=tags)
    assert grader.off_nadir_deg(layer) == angle


def test_every_stretched_image_has_a_note() -> None:
    stretch = Stretch((300.0, 310.0), (1300.0, 1310.0), (0.0, 0.0), (200.0, 200.0))
    images: Any = {"pre": None, "post": SimpleNamespace(source="folder/after.tif", dtype=np.dtype(np.uint16))}
    (note,) = stretches.stretch_findings({"pre": stretch, "post": stretch}, images)
    values = {
        "image": image_of("post"), "source": Finding.file_name("folder/after.tif"), "values": Finding.verbatim("uint16"),
        "low": Finding.verbatim(stretch.low_text), "high": Finding.verbatim(stretch.high_text),
    }  # fmt: skip
    assert note == Finding("stretched_post", "note", values, wording="stretched")


def test_outlines_are_found_in_the_image_before_with_the_stretch_of_their_own_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def measured(expected: Any, pre: Any, post: Any) -> Any:
        asked.append((expected, pre, post))
        return dict.fromkeys(expected, "own")

    run = SimpleNamespace(inputs=SimpleNamespace(layers={"image": "display", "dsm": "heights"}))
    monkeypatch.setattr(stretches, "load_run", lambda _: run)
    monkeypatch.setattr(stretches, "image_stretches", measured)
    graded: Any = {"post": "of the grader"}
    assert stretches.stretches_of_job(graded, None, "a", "b") == graded  # type: ignore[arg-type]
    assert stretches.stretches_of_job(graded, "run", "a", "b") == {"pre": "own", "post": "of the grader"}  # type: ignore[arg-type]
    assert stretches.stretches_of_job(graded, "run", None, "b") == {"post": "of the grader"}  # type: ignore[arg-type]
    assert asked == [({"pre": "display"}, "a", None), ({"post": "display"}, None, "b")]


@pytest.mark.parametrize("goes_on", [True, False])
def test_pairs_that_a_run_kept_stay_only_while_it_can_go_on(
    goes_on: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    training._remove_kept(tmp_path / "none", goes_on=goes_on)
    kept = tmp_path / "pairs"
    kept.mkdir()
    for name in "ab":
        (kept / name).write_bytes(bytes(1_500_000))
    monkeypatch.setattr(training.KeptPairs, "kept_in", lambda folder: sorted(folder.iterdir()))
    with caplog.at_level(logging.INFO):
        training._remove_kept(kept, goes_on=goes_on)
    assert kept.exists() == goes_on
    stays = [f"2 drawn pairs are kept for --resume: {kept}, 3 MB"]
    assert caplog.messages == (stays if goes_on else [])


def test_pairs_in_memory_are_scored_with_the_grades_that_they_show() -> None:
    image, grades = np.zeros((3, 32, 32), np.uint8), np.array([0, 3, 3, 255], np.uint8)
    houses = boxes((1, 1, 6, 6), (11, 1, 16, 6), (21, 1, 26, 6), (1, 11, 6, 16))
    pair = GradedPair(image, image, houses, grades, grades, 0.5, "suburb", "flood")
    recipe: Any = SimpleNamespace(data=SimpleNamespace(gsd_m=0.5), train=SimpleNamespace(post_loss=0.5))
    found = training.made_up_validation(recipe, "inputs", [pair, pair])  # type: ignore[arg-type]
    assert found.described == {
        "kind": "made-up places of other seeds", "pairs": 2,
        "buildings": {"val": {"no-damage": 2, "minor-damage": 0, "major-damage": 0, "destroyed": 4}},
    }  # fmt: skip
    assert [one.name for one in found.pairs] == ["0", "1"]
    assert (found.post_alone, found.one_tile, found.scaling(1)) == (True, True, "inputs")
    recipe.train.post_loss = 0
    assert training.made_up_validation(recipe, "inputs", [pair]).post_alone is False  # type: ignore[arg-type]


def test_a_card_has_the_scores_by_which_runs_are_compared() -> None:
    scores = {name: number for number, name in enumerate(training.VALIDATED)} | {"temperature": 1.5, "protocol": {}}
    kept = training._validated(scores)
    assert kept == {"temperature": 1.5, "validation": {name: scores[name] for name in training.VALIDATED}}
