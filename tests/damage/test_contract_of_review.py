"""What a review does with answers, function by function: each complete result against values by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from deepnets4eo.damage.map import MANIFEST
from deepnets4eo.damage.review import counts, map_before, rounds, teaching
from deepnets4eo.damage.review.map_before import BEFORE, OF_MAP
from deepnets4eo.damage.review.moved_estimates import moved_estimates, narrower_estimates
from deepnets4eo.damage.review.regression import Side
from deepnets4eo.damage.review.sample import Sample
from deepnets4eo.damage.review.taught_map import chosen_files, language_of, next_file
from deepnets4eo.damage.review.teaching import Scores, Taught
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.files import write_json
from deepnets4eo.outputs import Finding, Phrase

NONE, MINOR, MAJOR, DESTROYED = "no-damage", "minor-damage", "major-damage", "destroyed"


def grades(*probabilities: list[float]) -> Grades:
    p = np.array(probabilities)
    return Grades(p, np.nan_to_num(p).argmax(axis=1), p > 0)


def row(expected: float, low: float, high: float) -> dict[str, Any]:
    return {"expected": expected, "interval_95": [low, high]}


def test_estimates_move_by_the_change_of_the_probabilities_between_what_is_certain() -> None:
    """The first building was answered, the second was graded again; the last two have a grade in one of both maps only."""
    lost = [np.nan] * 4
    before = grades([0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1], lost, [1, 0, 0, 0])
    after = grades([0, 0, 0, 1], [0, 0, 0.25, 0.75], [0, 0, 0, 1], [0, 0, 0, 1], lost)
    numbers = {NONE: row(0.5, 0, 1.5), MINOR: None, MAJOR: row(0.5, 0.1, 1), DESTROYED: row(1.5, 0.5, 2), "damaged": row(2, 1, 2.5)}  # fmt: skip
    areas = {"damaged": row(20, 12, 25)}
    moved = moved_estimates(
        {"buildings": numbers, "built_area_m2": areas}, before, after, [0], np.array([10, 20, np.nan, 500, 500])
    )
    assert moved["buildings"] == {
        NONE: row(0, 0, 1),  # 0.5 fewer, none below 0
        MINOR: None,
        MAJOR: row(0.25, 0, 0.75),
        DESTROYED: row(2.75, 1.75, 3),  # at most all three
        "damaged": row(3, 2, 3),
    }
    assert moved["built_area_m2"] == dict.fromkeys((NONE, MINOR, MAJOR, DESTROYED)) | {"damaged": row(30, 22, 30)}


def test_what_an_answer_makes_certain_bounds_the_estimates() -> None:
    """One of two buildings is certainly damaged: at least one is, and at most one is intact."""
    unsure, seen = grades([0.9, 0, 0, 0.1], [0.9, 0, 0, 0.1]), grades([0, 0, 0, 1], [0.9, 0, 0, 0.1])
    rows = {NONE: row(1.8, 1, 2), DESTROYED: row(0.2, 0, 1), "damaged": row(0.2, 0, 1)}
    moved = moved_estimates({"buildings": rows, "built_area_m2": None}, unsure, seen, [0], np.ones(2))
    assert moved["built_area_m2"] is None
    for name, expected, interval in (("damaged", 1.1, [1, 1.9]), (NONE, 0.9, [0.1, 1])):
        assert moved["buildings"][name]["expected"] == pytest.approx(expected)
        assert moved["buildings"][name]["interval_95"] == pytest.approx(interval)


@pytest.mark.parametrize(
    ("own", "counted", "taken"),
    [(row(15, 10, 20), row(15, 11, 20), True), (row(15, 10, 20), row(16, 11, 21), False), (row(15, 12, 20), row(15, 10, 20), False), (None, row(15, 10, 20), False)],
)  # fmt: skip
def test_the_count_replaces_estimates_only_with_a_narrower_interval(own: Any, counted: Any, taken: bool) -> None:
    estimates = {"buildings": {"damaged": own}, "built_area_m2": {"damaged": row(1, 1, 1)}, "named": 3}
    count: Any = SimpleNamespace(buildings={"damaged": counted}, built_area_m2={"damaged": row(2, 2, 2)})
    found = narrower_estimates(estimates, count)
    expected = {"buildings": count.buildings, "built_area_m2": count.built_area_m2, "named": 3}
    assert found == (expected if taken else estimates)


def table(**columns: Any) -> pd.DataFrame:
    """Five assessed buildings and one that is not."""
    plain: dict[str, Any] = {
        "id": list("abcdef"),
        "status": ["assessed"] * 5 + ["not_assessed"],
        "reason": "",
        "method": "pre_post",
        "damage": [NONE, NONE, MINOR, MAJOR, DESTROYED, None],
        "damage_prob": [0.2, 0.1, 0.4, 0.6, 0.9, np.nan],
        "confidence": [0.9, 0.45, 0.35, 0.45, 0.81, np.nan],
        "damage_set": [NONE, f"{NONE},{MINOR}", MINOR, f"{MAJOR},{DESTROYED}", DESTROYED, None],
    }
    return pd.DataFrame(plain | columns).astype({"reason": object})


def test_only_grades_of_assessed_buildings_teach() -> None:
    answers = {0: DESTROYED, 1: "cloud", 2: "cannot-tell", 3: "no-building", 5: DESTROYED}
    assert teaching.graded_answers(table(), answers) == {0: DESTROYED}
    assert [teaching.can_teach(number) for number in (19, 20, 21)] == [False, True, True]


def test_columns_of_a_map_give_its_probabilities_back() -> None:
    """A side that is not named is split as the buildings on it are on average: destroyed 1:3 and 9:1, in log-odds √3:1."""
    found = teaching.grades_of_map(table())
    destroyed = np.sqrt(3) / (1 + np.sqrt(3))
    np.testing.assert_allclose(
        found.probabilities[:, 2:], [[0.2 * (1 - destroyed), 0.2 * destroyed], [0.1 * (1 - destroyed), 0.1 * destroyed], [0.4 * (1 - destroyed), 0.4 * destroyed], [0.45, 0.15], [0.09, 0.81], [np.nan] * 2]
    )  # fmt: skip
    np.testing.assert_allclose(
        found.probabilities[:3, :2], [[0.8, 0], [0.45, 0.45], [0.25, 0.35]]
    )  # no more than the side has
    np.testing.assert_allclose(found.probabilities[:5].sum(axis=1), 1)
    assert found.named.tolist() == [0, 0, 1, 2, 3, 0]
    assert found.known.tolist() == [True] * 5 + [False]
    kept = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert found.kept.astype(int).tolist() == kept


def test_few_answers_leave_the_others_as_they_are() -> None:
    buildings = table()
    taught = Taught.of_few(buildings, {0: DESTROYED, 1: "cloud", 5: NONE})
    assert taught.buildings is buildings
    assert (taught.before, taught.after, taught.moved, taught.answers) == (None, None, (), 1)
    assert taught.finding() == Finding("taught", "note", {"answers": 1, "others": Phrase("untaught_others")}, 1)
    assert (
        taught.gain() == "the others keep the grades of the map: 19 more with a grade teach it, which --next 19 chooses"
    )
    answered = taught.with_answers({0: DESTROYED, 1: "cloud", 5: NONE})
    seen = {"damage": DESTROYED, "damage_prob": 1.0, "confidence": 1.0, "damage_set": DESTROYED, "reason": Reason.BY_PERSON.sentence}  # fmt: skip
    assert answered.loc[0, list(seen)].to_dict() == seen
    assert answered["damage"].tolist() == [DESTROYED, NONE, MINOR, MAJOR, DESTROYED, None]
    assert answered["reason"].tolist()[1:] == [""] * 5
    assert buildings.loc[0, "damage"] == NONE


@pytest.mark.parametrize(
    ("low", "high", "named"),
    [
        (2, 3, [NONE, NONE, MINOR, MAJOR, DESTROYED]),  # one answered and two others: as many as allowed
        (3, 3, [NONE, NONE, MINOR, MAJOR, DESTROYED]),
        (3.2, 4.5, [NONE, NONE, DESTROYED, MAJOR, DESTROYED]),  # one more: the likeliest, destroyed √3:1
        (0, 2.9, [NONE, NONE, MINOR, NONE, DESTROYED]),  # one fewer: the least probable
        (0, 0.5, [NONE, NONE, MINOR, NONE, NONE]),
    ],
)
def test_a_count_bounds_how_many_others_are_named_as_damaged(low: float, high: float, named: list[str]) -> None:
    taught = Taught.of_few(table(), {0: DESTROYED}).within(low, high, {0: DESTROYED})
    assert taught.buildings["damage"].tolist()[:5] == named
    np.testing.assert_allclose(taught.buildings["damage_prob"], table()["damage_prob"])


def test_a_step_states_what_it_gained_and_leaves_out_a_score_that_is_not_known() -> None:
    frame = table()
    step = Taught(frame, teaching.grades_of_map(frame), Scores(1.25, None, 0.5), Scores(1, 0.75, 0.625), ("damaged", "destroyed"), 30)  # fmt: skip
    assert step.gain() == "the others are graded again (borders that moved: damaged, destroyed; on answers that were left out: mean F1 of the grades 0.500 → 0.625, log loss 1.250 → 1.000)"  # fmt: skip
    assert step.finding().values["others"] == Phrase("taught_others")
    unmoved = Taught(frame, step.grades, step.before, step.before, (), 30)
    assert (
        unmoved.gain()
        == "nothing was gained on answers that were left out, so that all others keep the grades of the map"
    )


def test_cuts_are_half_way_between_neighbours_of_each_method() -> None:
    frame = table(
        method=["pre_post"] * 3 + ["post_only"] * 3,
        damage=[NONE, NONE, MAJOR, NONE, MINOR, NONE],
        damage_prob=[0.1, 0.25, 0.9, 0.5, 0.2, 0.3],
        confidence=[0.9, 0.75, 0.9, 0.4, 0.6, 0.7],
    )
    cuts = teaching._cuts(frame)
    np.testing.assert_allclose(
        cuts[:3], [[np.log(3) / 2, 0, 0]] * 3
    )  # between odds of 1:3 and 9:1; no minor, none destroyed
    minor = (logit(0.2) + logit(0.75)) / 2  # none at 0.4 of 0.5, minor at 0.6 of 0.8
    np.testing.assert_allclose(cuts[3:], [[0, minor, 0]] * 3)


def test_three_log_odds_name_a_grade_and_have_scores() -> None:
    log_odds = np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1], [-1, -1, 1], [0, 0, 0.0]])
    assert teaching._grades(log_odds).tolist() == [3, 2, 1, 0, 0]
    unsure = teaching._scores(np.zeros((2, 3)), np.array([0, 3]))
    assert (unsure.log_loss, unsure.auc, unsure.f1) == pytest.approx((np.log(4), 0.5, 1 / 3))
    assert teaching._scores(np.zeros((2, 3)), np.array([2, 3])).auc is None
    assert teaching._scores(np.zeros((2, 3)), np.array([0, 1])).auc is None


def test_evidence_is_in_deviations_of_the_site_and_one_building_counts_no_more_than_three() -> None:
    frame = pd.DataFrame({"ev_one": [1.0] + [0.0] * 11, "ev_same": 5.0, "ev_none": np.nan, "ev_half": [np.nan] + [2.0] * 6 + [4.0] * 5})  # fmt: skip
    log_odds = np.tile([[1.0, 0, 0], [-1.0, 0, 0]], (6, 1))
    found = teaching._evidence(frame, log_odds)
    assert found.shape == (12, 7)  # three of evidence, three log-odds, ones
    np.testing.assert_allclose(found[:2, 0], [3, -1 / np.sqrt(11)])
    np.testing.assert_array_equal(found[:, 1], 0)
    assert found[0, 2] == 0  # not known
    np.testing.assert_allclose(found[[1, 7], 2], [-np.sqrt(5 / 6), np.sqrt(6 / 5)])
    np.testing.assert_allclose(found[:2, 3:], [[1, 0, 0, 1], [-1, 0, 0, 1]])


def test_answers_weigh_only_directions_in_which_they_differ() -> None:
    found = teaching._of_answers(np.array([[3.0, 4], [6, 8], [4, -3]]), np.array([0, 1]))
    np.testing.assert_allclose(np.abs(found), [[5], [10], [0]], atol=1e-12)


def gaining(gain: float) -> float:
    """Log-odds of an answer that lower its loss from log 2 by this much."""
    return float(-np.log(2 * np.exp(-gain) - 1))


BEYOND = np.array([True, True, False, False])


@pytest.mark.parametrize(
    ("start", "left_out", "gains"),
    [
        ([1, 1, -1, -1], [2, 2, -2, -2], True),
        ([1, 1, -1, -1], [1, 1, -1, -1], False),
        ([0, 0, 0, 0], [gaining(0.3), gaining(-0.05), -gaining(0.3), -gaining(-0.05)], True),  # mean .125, standard error .0875
        ([0, 0, 0, 0], [gaining(0.1), gaining(-0.05), -gaining(0.1), -gaining(-0.05)], False),  # mean .025, standard error .0375
        ([0.1, 0.1, -0.1, -0.1], [5, 5, -5, 0.05], False),  # one error more
    ],
)  # fmt: skip
def test_a_step_gains_if_the_loss_falls_by_more_than_a_standard_error(
    start: list[float], left_out: list[float], gains: bool
) -> None:
    side = Side(np.ones((4, 1)), BEYOND, np.array(start, float))
    assert side.gains(np.array(left_out, float)) is gains


@pytest.mark.parametrize(("last", "gains"), [(-0.05, False), (-0.2, True)])
def test_a_step_that_ranks_worse_gains_nothing(last: float, gains: bool) -> None:
    side = Side(np.ones((6, 1)), np.arange(6) < 3, np.array([0.1, 0.1, -0.05, -0.1, -0.1, -0.1]))
    assert side.gains(np.array([4, 4, -0.1, -4, -4, last])) is gains


def test_weights_have_the_lowest_loss_with_their_penalty_and_folds_divide_both_sides() -> None:
    side = Side(np.array([[1.0], [2.0]]), np.array([True, False]), np.array([0.5, -0.25]))
    (weight,) = side.fit(3.0)
    slope = (expit(0.5 + weight) - 1) + 2 * expit(-0.25 + 2 * weight) + 3 * weight
    assert slope == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(side.losses(np.array([0.0, np.log(3)])), [np.log(2), np.log(4)])
    folds = Side(np.ones((20, 1)), np.arange(20) < 10, np.zeros(20)).folds(0)
    assert [np.bincount(folds[:10]).tolist(), np.bincount(folds[10:]).tolist()] == [[2] * 5, [2] * 5]


def test_a_sample_of_all_buildings_counts_them_exactly() -> None:
    """Four were drawn of one stratum, the fifth was looked at in addition; one is no building."""
    sample = Sample(np.arange(4), np.zeros(5, np.intp), np.full(5, 0.5), np.array([10.0, 20, 40, 80, 160]), 0)
    found = counts.review_counts(
        sample, {0: DESTROYED, 1: NONE, 2: "no-building", 3: MINOR, 4: MAJOR}, pd.Series([DESTROYED, MINOR, NONE, None, NONE])
    )  # fmt: skip
    assert (found.looked_at, found.left_out, found.cannot_tell, found.added) == (4, 1, 0, 1)
    assert found.buildings == {"damaged": row(2, 2, 2)} | {name: row(1, 1, 1) for name in (NONE, MINOR, MAJOR, DESTROYED)}  # fmt: skip
    assert found.built_area_m2 == {
        "damaged": row(170, 170, 170), NONE: row(20, 20, 20), MINOR: row(80, 80, 80), MAJOR: row(160, 160, 160), DESTROYED: row(10, 10, 10)
    }  # fmt: skip
    assert found.population == row(4, 4, 4)
    assert found.share == row(0.5, 0.5, 0.5)
    assert found.agreement == {"share": 0.5, "table": {MINOR: {NONE: 1, DESTROYED: 0}, DESTROYED: {NONE: 0, DESTROYED: 1}}}  # fmt: skip
    assert found.headline() == "2 of 4 buildings damaged (2–2), from 5 that were looked at"


def test_agreement_weighs_an_answer_by_the_buildings_it_represents() -> None:
    """One of one building of the first stratum, one of three of the second."""
    sample = Sample(np.array([0, 1]), np.array([0, 1, 1, 1]), np.full(4, 0.5), np.ones(4), 0)
    found = counts.review_counts(sample, {0: NONE, 1: MAJOR, 2: "cannot-tell"}, pd.Series([NONE, MINOR, NONE, NONE]))
    assert found.agreement["share"] == 0.25
    assert (found.looked_at, found.left_out, found.cannot_tell) == (2, 0, 1)
    part = counts.review_counts(sample, {0: NONE, 1: MAJOR}, pd.Series([NONE, MINOR, NONE, NONE]), np.array([False, True, False, False]))  # fmt: skip
    assert (part.looked_at, part.buildings["damaged"], part.population) == (1, row(1, 1, 1), row(1, 1, 1))


def test_shares_are_of_at_least_one_building_and_at_most_all() -> None:
    assert counts._share_of_all(row(5, 2, 12), 10) == row(0.5, 0.2, 1)
    assert counts._share_of_all(row(0.25, 0.1, 2), 0.5) == row(0.25, 0.1, 1)


def test_probabilities_without_answers_stay_and_move_against_a_pull_to_where_they_were() -> None:
    by_map = np.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(counts._recalibrated(by_map, np.empty(0, int), np.empty(0, bool)), by_map)
    odds = logit(counts._recalibrated(by_map, np.array([0, 2]), np.array([True, True])))
    (shift, stretch) = odds[1], (odds[2] - odds[1]) / logit(0.9)
    off = expit(odds[[0, 2]]) - 1
    assert off.sum() + 0.3 * shift == pytest.approx(0, abs=1e-4)
    assert off @ logit(by_map[[0, 2]]) + 0.3 * (stretch - 1) == pytest.approx(0, abs=1e-4)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rounds.Rounds:
    """The rounds of a map with 200 assessed buildings and one that is not."""
    names = [f"b{number}" for number in range(201)]
    frame = gpd.GeoDataFrame({"id": names, "status": ["assessed"] * 200 + ["not_assessed"], "damage": NONE})
    monkeypatch.setattr(rounds, "read_filled", lambda *_: SimpleNamespace(buildings=frame, sample="drawn"))
    return rounds.Rounds(tmp_path, tmp_path / "review.gpkg", 10)


def test_two_rounds_that_move_hardly_a_building_are_quiet(watched: rounds.Rounds) -> None:
    def after(damaged: int, answers: int) -> tuple[int, list[str]]:
        frame = watched.buildings.assign(damage=[MAJOR] * damaged + [NONE] * (200 - damaged) + [MAJOR])
        watched._compare(SimpleNamespace(buildings=frame), answers)  # type: ignore[arg-type]
        return watched._quiet, watched._changes

    def moved(answers: int, buildings: int) -> list[str]:
        return [f"The last {answers} changed the side of {buildings} of 200 buildings."]

    assert after(0, 20) == (0, [])  # nothing to compare with yet
    assert after(50, 29) == (0, [])  # no round of 10 yet
    assert after(2, 30) == (1, moved(10, 2))  # 1 %
    assert after(4, 41) == (2, moved(11, 2))
    assert after(7, 51) == (0, moved(10, 3))


@pytest.mark.parametrize(
    ("high", "narrow", "goal"),
    [(0.24, True, "narrow enough"), (0.26, False, "go on until it is at most 15 points wide")],
)
def test_the_line_of_the_count_states_how_wide_its_interval_is(
    high: float, narrow: bool, goal: str, watched: rounds.Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    found = SimpleNamespace(share={"interval_95": [0.1, high]}, looked_at=1200, left_out=34)
    monkeypatch.setattr(rounds, "review_counts", lambda *given: asked.append(given) or found)
    line = f"Damaged: 10% to {high:.0%} of the buildings, by 1,234 that were drawn at random (95 % interval, {goal})."
    assert watched._count_line({0: NONE, 1: None, 2: MAJOR}) == (line, narrow)
    assert asked[0][:2] == ("drawn", {0: NONE, 2: MAJOR})


def test_a_map_with_answers_is_read_from_its_copy(tmp_path: Path) -> None:
    for name in OF_MAP:
        (tmp_path / name).write_text(name)
    write_json(tmp_path / MANIFEST, {"findings": [{"code": "water_not_shown"}]})
    assert map_before.map_before(tmp_path) == tmp_path
    map_before.keep_map_before(tmp_path)
    assert sorted(path.name for path in (tmp_path / BEFORE).iterdir()) == sorted(OF_MAP)
    assert map_before.map_before(tmp_path) == tmp_path  # without answers so far
    write_json(tmp_path / MANIFEST, {"findings": [{"code": "water_not_shown"}, {"code": "taught"}]})
    assert map_before.table_before(tmp_path) == tmp_path / BEFORE / "damage.parquet"
    (tmp_path / "damage.parquet").write_text("with answers")
    map_before.keep_map_before(tmp_path)
    assert (tmp_path / BEFORE / "damage.parquet").read_text() == "damage.parquet"
    (tmp_path / MANIFEST).unlink()  # being written
    assert map_before.map_before(tmp_path) == tmp_path / BEFORE
    (tmp_path / BEFORE / MANIFEST).unlink()
    assert map_before.map_before(tmp_path) == tmp_path


def test_files_of_chosen_buildings_are_numbered(tmp_path: Path) -> None:
    assert next_file(tmp_path) == tmp_path / "next-1.gpkg"
    for name in ("next-10.gpkg", "next-2.gpkg", "next-1.gpkg", "next-x.gpkg", "next-3.gpkg.tmp"):
        (tmp_path / name).touch()
    assert [path.name for path in chosen_files(tmp_path)] == ["next-1.gpkg", "next-2.gpkg", "next-10.gpkg"]
    assert next_file(tmp_path) == tmp_path / "next-3.gpkg"


@pytest.mark.parametrize(("head", "language"), [('<html lang="ar" dir="rtl">', "ar"), ('<html lang="zz">', "en"), ("<html>", "en")])  # fmt: skip
def test_an_update_keeps_the_language_of_the_page(head: str, language: str, tmp_path: Path) -> None:
    assert language_of(tmp_path / "report.html") == "en"
    (tmp_path / "report.html").write_text(f"<!DOCTYPE html>{head}")
    assert language_of(tmp_path / "report.html") == language
