"""One building, one story: grade, probability, confidence and set of a building agree, whatever corrected them."""

import numpy as np
import pandas as pd
from hypothesis import given, settings, strategies as st

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.decision import name_damaged
from deepnets4eo.damage.decision.estimates import InundatedBuildings
from deepnets4eo.damage.decision.inundation import _graded_by_water
from deepnets4eo.damage.decision.reliability import GradeSets, Judgement, Opinion, Reliability
from deepnets4eo.damage.decision.site_fit import SHARES, SiteFit, SiteShift
from deepnets4eo.damage.review.teaching import grades_of_map
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import MAX_CONFIDENCE, Grades
from deepnets4eo.damage.table.probabilities import adjust_to_share
from deepnets4eo.damage.table.reasons import Reason

COUNT = 60
SITE = SiteShift((-1.2, 1.4), (0.6, 1.0), 0.15, 1.2, 30.0)
MEASURED = Reliability(spread=(0.5, 1.5, 1.5), sets=GradeSets(np.array([0.62, 0.9, 0.84, 0.86])), site=SITE)
CORRECTIONS = ("none", "cap", "doubt", "water", "unknown water", "hidden water", "possibly", "answers")
few = settings(max_examples=60, deadline=None)
cases = given(
    seed=st.integers(0, 10_000), share=st.sampled_from([0.002, 0.03, 0.2, 0.5, 0.9, 0.998]),
    correction=st.sampled_from(CORRECTIONS),
)  # fmt: skip


def decided(seed: int, share: float, correction: str) -> Grades:
    """Grades of a site of any evidence, after one of the corrections that a job or a review makes."""
    rng = np.random.default_rng(seed)
    even = rng.dirichlet(np.full(4, 0.4), COUNT)
    rows = rng.random(COUNT) < 0.5
    site = SiteFit(np.eye(len(SHARES))[int(np.abs(SHARES - share).argmin())], even, share)
    site = site.with_doubt(rows, 2.0) if correction == "doubt" else site
    kept = MEASURED.sets.members(site.even) if correction != "doubt" else np.ones((COUNT, 4), bool)
    grades = Grades.of_sides(site.probabilities, np.array([0.3, 0.6]), name_damaged(site), kept)
    if correction == "cap":
        return grades.cap(rows)
    if correction == "answers":
        return grades.with_rows(np.flatnonzero(rows), Grades.of_numbers(rng.integers(0, 4, rows.sum())))
    if correction in ("water", "possibly"):
        wet = InundatedBuildings(
            rows, rows & (rng.random(COUNT) < 0.3), np.where(rows, 1.0, 0.0), correction == "water"
        )
        return _graded_by_water(grades, wet, share)
    if correction in ("unknown water", "hidden water"):
        unsure = {"unknown" if correction == "unknown water" else "hidden": rows}
        wet = InundatedBuildings(np.zeros(COUNT, bool), np.zeros(COUNT, bool), rows * rng.random(COUNT), **unsure)
        return _graded_by_water(grades, wet, share)
    return grades


def table_of(grades: Grades) -> pd.DataFrame:
    frame = pd.DataFrame({"id": range(COUNT), "status": "assessed", "method": "pre_post", "reason": ""})
    return Buildings(frame).with_grades(grades).frame


@few
@cases
def test_no_set_holds_a_grade_of_the_side_that_the_probability_excludes(seed, share, correction) -> None:
    table = table_of(decided(seed, share, correction))
    sets = table["damage_set"].str.split(",").map(set)
    damage = table["damage_prob"].to_numpy()
    intact, damaged = (np.array([bool(names & set(side)) for names in sets]) for side in (GRADES[:2], GRADES[2:]))
    assert not intact[damage > 0.95].any()
    assert not damaged[damage < 0.05].any()
    assert intact[damage < 0.9].all()
    assert damaged[damage > 0.1].all()
    assert all(name in names for name, names in zip(table["damage"], sets, strict=True))


@few
@cases
def test_the_confidence_is_what_the_probability_leaves_to_the_named_grade(seed, share, correction) -> None:
    grades = decided(seed, share, correction)
    table = table_of(grades)
    side = np.where(table["damage"].isin(GRADES[2:]), table["damage_prob"], 1 - table["damage_prob"])
    assert (table["confidence"] <= side + 1e-9).all()
    np.testing.assert_allclose(grades.probabilities.sum(axis=1), 1)


@few
@cases
def test_names_follow_the_order_of_the_probability_or_the_table_states_why(seed, share, correction) -> None:
    table = table_of(decided(seed, share, correction))
    if "water" in correction or correction in ("possibly", "answers"):  # their reasons are written by water and review
        return
    named = table["damage"].isin(GRADES[2:])
    assert not table.loc[~named, "damage_prob"].max() > table.loc[named, "damage_prob"].min() + 1e-9
    assert (table.loc[named & (table["damage_prob"] < 0.5), "reason"] == Reason.NAMED_TOO.sentence).all()
    assert (table.loc[~named & (table["damage_prob"] >= 0.5), "reason"] == Reason.NOT_NAMED.sentence).all()
    assert (table.loc[named == (table["damage_prob"] >= 0.5), "reason"] == "").all()


def test_the_cap_moves_the_other_grade_of_the_side_and_not_the_damage() -> None:
    grades = Grades.of_sides(np.array([[0.01, 0.01, 0.08, 0.9], [0.8, 0.1, 0.06, 0.04], [0.3, 0.2, 0.3, 0.2]]))
    capped = grades.cap(np.ones(3, bool))
    np.testing.assert_allclose(
        capped.probabilities, [[0.01, 0.01, 0.38, 0.6], [0.6, 0.3, 0.06, 0.04], [0.3, 0.2, 0.3, 0.2]]
    )
    assert capped.confidence.max() <= MAX_CONFIDENCE
    assert capped.table(pd.RangeIndex(3))["damage_set"][0] == "major-damage,destroyed"


def test_a_site_unlike_those_of_the_fit_has_no_sure_side_and_keeps_its_order() -> None:
    even = np.array([[0.01, 0.01, 0.38, 0.6], [0.03, 0.05, 0.5, 0.42], [0.6, 0.38, 0.01, 0.01]])
    site = SiteFit(np.eye(len(SHARES))[10], even, 0.5)
    damage = site.with_doubt(np.ones(3, bool), 2.0).probabilities[:, 2:].sum(axis=1)
    assert (np.diff(damage) < 0).all()
    assert damage[0] == np.clip(damage[0], 0.85, 0.95)  # 0.98 before
    normal = np.random.default_rng(0).normal(0, 2.0, 20_000)
    np.testing.assert_allclose(damage[0], (1 / (1 + np.exp(-(np.log(49) + normal)))).mean(), atol=0.02)


def judged(weight: float, opinion: np.ndarray) -> tuple[SiteFit, Judgement]:
    rng = np.random.default_rng(3)
    damaged = np.arange(COUNT) < 24
    even = adjust_to_share(
        rng.dirichlet([1.5, 1, 1, 1.5], COUNT) * np.where(damaged[:, None], [1, 1, 3, 4], [4, 3, 1, 1]), 0.5
    )
    even /= even.sum(axis=1, keepdims=True)
    judgement = Judgement(even, np.full(COUNT, "pre_post", object), {"pre_post": MEASURED})
    pooled = judgement.pooled_with([Opinion(weight, opinion)]) if weight else judgement
    return pooled.at_site(), pooled


def test_a_score_of_a_thousandth_changes_a_thousandth() -> None:
    opinion = np.random.default_rng(0).normal(0, 2, COUNT)
    before, alone = judged(0.0, opinion)
    after, pooled = judged(0.001, opinion)
    moved = np.abs(after.probabilities - before.probabilities)
    assert 0 < moved.max() < 0.01
    assert abs(int(name_damaged(after).sum()) - int(name_damaged(before).sum())) <= 1
    assert after.prior == np.clip(after.prior, before.prior - 0.005, before.prior + 0.005)
    spread = [one.values(lambda fitted: fitted.spread) for one in (alone, pooled)]
    np.testing.assert_allclose(spread[0], spread[1], atol=1e-4)
    assert (pooled.members(before.even) != alone.members(before.even)).mean() < 0.02


def test_a_score_widens_the_measured_reliability_by_its_weight() -> None:
    opinion = np.where(np.arange(COUNT) % 2, 1.0, np.nan)
    spreads, kept = [], []
    for weight in (0.0, 0.1, 0.5, 1.0):
        site, pooled = judged(weight, opinion)
        spreads.append(pooled.values(lambda fitted: fitted.spread)[1])
        kept.append(pooled.members(site.even)[1::2].mean())
        np.testing.assert_allclose(
            pooled.values(lambda fitted: fitted.spread)[0], MEASURED.spread
        )  # it says nothing there
    assert (np.diff(np.array(spreads), axis=0) > 0).all()
    np.testing.assert_allclose(spreads[2], np.hypot(MEASURED.spread, 1.0))
    assert kept[-1] == 1.0


def test_a_measured_score_takes_its_share_of_the_doubt_and_an_unmeasured_one_adds_to_it() -> None:
    own, score = Reliability(spread=(1.0, 2.0, 0.4)), Reliability(spread=(0.5, 2.0, 3.0))
    np.testing.assert_allclose(own.widen(0.25, score).spread, np.hypot([0.75, 1.5, 0.3], [0.125, 0.5, 0.75]))
    assert own.widen(1.0, score).spread == score.spread  # it decides alone
    np.testing.assert_allclose(
        own.widen(0.25).spread, np.hypot(own.spread, 0.25 * np.array(Reliability.unknown_spread))
    )
    assert own.widen(0.25).site == own.site.widen(0.25)
    assert own.widen(0.25).site != own.widen(0.25, Reliability()).site


def test_grades_are_read_from_a_map_as_they_were_written() -> None:
    table = table_of(decided(5, 0.5, "none"))
    again = Buildings(table).with_grades(grades_of_map(table)).frame
    pd.testing.assert_frame_equal(again[table.columns], table)


def test_a_grade_at_least_names_and_keeps_all_up_to_it_and_leaves_worse_ones() -> None:
    named = np.array([0, 0, 2, 3, 1])
    kept = np.eye(4, dtype=bool)[named]
    kept[1, 3] = True
    grades = Grades(np.full((5, 4), 0.25), named, kept).at_least(np.array([True, True, True, True, False]), 2)
    assert grades.named.tolist() == [2, 2, 2, 3, 1]
    expected = [
        [True, True, True, False],
        [True, True, True, True],
        [True, True, True, False],
        [True] * 4,
        [False, True, False, False],
    ]
    assert grades.kept.tolist() == expected
