"""How a site and the water at it decide grades and numbers, function by function: each result against values by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from deepnets4eo.damage import Settings
from deepnets4eo.damage.decision import site_fit
from deepnets4eo.damage.decision.estimates import Cells, InundatedBuildings, with_unknown_water
from deepnets4eo.damage.decision.inundation import (
    NEARBY,
    PERHAPS,
    SURROUNDED,
    UNDER,
    UNKNOWN_WATER,
    Inundation,
    _doubt_first,
    _graded_by_water,
    _notes,
    dry_hazard_findings,
    inundated_buildings,
    inundation_after_answers,
)
from deepnets4eo.damage.decision.site_fit import (
    MAX_INFORMATION,
    PARTIAL_DAMAGE,
    SHARES,
    ShareEstimate,
    SiteFit,
    SiteShift,
    fit_to_site,
    kept_doubt,
    prior_of_mean,
)
from deepnets4eo.damage.findings import block_findings, empty_outline_findings, join_findings, segmenter_findings
from deepnets4eo.damage.site.site import WaterAround
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.floods import BuildingWater
from deepnets4eo.outputs import EventInfo, Finding, Phrase

NONE, MINOR, MAJOR, DESTROYED = 0, 1, 2, 3


def test_partial_damage_is_a_quarter_of_the_damaged_from_four_deviations_on() -> None:
    assert PARTIAL_DAMAGE.shares(np.array([3.9, 4, 4.5, 5, 6])).tolist() == [0, 0, 0.125, 0.25, 0.25]


def test_shares_are_weighed_beforehand_by_their_steps_and_half_of_all_sites_are_intact() -> None:
    weights = site_fit._prior()
    assert weights.sum() == pytest.approx(1)
    assert weights[[0, 1, -1]] == pytest.approx([0.5 + 0.006 / 2, (0.02 - 0.006) / 2, (1 - 0.989) / 2])


@pytest.mark.parametrize(
    ("share", "weights"),
    [(0.002, {0: 1}), (0.0, {0: 1}), (0.04, {2: 2 / 3, 3: 1 / 3}), (0.03, {2: 1}), (0.998, {-1: 1}), (1.0, {-1: 1})],
)
def test_a_known_share_is_the_mean_of_its_neighbours(share: float, weights: dict[int, float]) -> None:
    expected = np.zeros(len(SHARES))
    for number, weight in weights.items():
        expected[number] = weight
    np.testing.assert_allclose(site_fit._around(share), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("numbers", "information"), [((1, 5, 4), 3), ((1, 4, 5), 10), ((6, 2, 2), 30), ((0, 0, 0), MAX_INFORMATION)]
)
def test_half_of_the_buildings_decide_what_they_say_of_a_site(numbers: Any, information: float) -> None:
    assert site_fit._of_most_buildings([30, 3, 10], numbers) == information


def test_eight_buildings_of_a_site_have_a_level() -> None:
    mean, variances = site_fit._levels_of_sites(np.array([0.0, 2] * 4 + [1.0] * 7), np.repeat([0, 1], [8, 7]), 2)
    np.testing.assert_allclose(mean, [1, np.nan])
    np.testing.assert_allclose(variances, [[8 / 7, np.nan], [1 / 7, np.nan]])


OWN = SiteShift((-2.0, 2.0), (1.0, 2.0), 0.5, 1.0, 20.0)


def test_a_score_widens_the_doubt_of_a_site_by_its_share() -> None:
    measured = OWN.widen(0.25, SiteShift((0.0, 4.0), (2.0, 1.0), 0.9, 3.0, 10.0))
    assert measured.level == (-1.5, 2.5)
    assert measured.between == pytest.approx((np.hypot(0.75, 0.5), np.hypot(1.5, 0.25)))
    assert (measured.correlation, measured.within, measured.most_information) == (0.375, 1.5, 17.5)
    unmeasured = OWN.widen(0.25)  # as at an unknown site, and all of its own doubt stays
    assert unmeasured.level == (-1.75, 1.75)
    assert unmeasured.between == pytest.approx((np.hypot(1, 0.25), np.hypot(2, 0.25)))
    assert unmeasured.within == pytest.approx(0.75 + 0.25 * 2**0.5)
    assert unmeasured.most_information == 0.75 * 20 + 0.25 * 3
    assert (kept_doubt(0.25, measured=True), kept_doubt(0.25, measured=False)) == (0.75, 1)


def test_twenty_roofs_that_agree_move_the_level_of_intact_buildings() -> None:
    roofs = np.repeat([-1.0, 0.0, 1.0], [5, 10, 5])  # median 0, median deviation 0.5
    moved = replace(OWN, correlation=0.0).with_anchor(roofs)
    within2 = (10 * 1 + 20 * (0.5 / 0.67449) ** 2) / 30
    share = 1 / (1 + 0.49 + within2 / 20)
    assert moved.level == pytest.approx((-2 + share * 3, 2), rel=1e-4)  # towards one above the roofs
    assert moved.between == pytest.approx(((1 - share) ** 0.5, 2), rel=1e-4)
    assert (moved.within, moved.correlation) == (pytest.approx(within2**0.5, rel=1e-4), 0)
    together = OWN.with_anchor(roofs)
    assert together.level[1] == pytest.approx(2 + 0.5 * 2 * share * 3, rel=1e-4)
    assert together.between[1] == pytest.approx(2 * (1 - 0.25 * share) ** 0.5, rel=1e-4)
    assert together.correlation == pytest.approx(0.5 * ((1 - share) / (1 - 0.25 * share)) ** 0.5, rel=1e-4)
    assert OWN.with_anchor(roofs[:19]) is OWN
    assert OWN.with_anchor(2 * roofs) is OWN  # they differ more than buildings of one kind


def test_levels_are_weighed_by_their_distance_and_damaged_ones_lie_above_intact_ones() -> None:
    theta, weight = OWN.levels()
    assert (theta[:, 1] - theta[:, 0] >= 0.2).all()
    assert len(theta) < 121
    at_mean = np.flatnonzero((theta == [-2, 2]).all(axis=1))
    assert weight[at_mean].tolist() == [0]
    high = np.flatnonzero(np.isclose(theta, [-1, 2 + 2 * 0.5]).all(axis=1))  # one up: by the correlation half of 2
    np.testing.assert_allclose(weight[high], [-0.5])


@pytest.mark.parametrize(("classified", "contradicted"), [(9, True), (10, False), (20, False), (21, True)])
def test_a_number_outside_of_its_interval_contradicts_it(classified: int, contradicted: bool) -> None:
    share = ShareEstimate(0.15, "estimated", (0.1, 0.2), 0.0, 0.1)
    assert share.against(classified, 100) == replace(share, contradicted=contradicted)
    assert not replace(share, interval_95=None).against(100, 100).contradicted


def test_doubt_makes_log_odds_smaller_and_keeps_the_proportions_of_sides() -> None:
    even = np.array([[0.15, 0.05, 0.2, 0.6], [0.15, 0.05, 0.2, 0.6]])
    fit = SiteFit(np.eye(len(SHARES))[3], even, 0.5)
    found = fit.with_doubt(np.array([True, False]), 2.0).even
    damaged = expit(np.log(4) / np.sqrt(1 + np.pi / 8 * 4))
    np.testing.assert_allclose(found[0], [(1 - damaged) * 0.75, (1 - damaged) * 0.25, damaged * 0.25, damaged * 0.75])
    np.testing.assert_allclose(found[1], even[1])
    assert fit.with_doubt(np.zeros(2, bool), 2.0) is fit
    assert (fit.intact, replace(fit, weights=np.eye(len(SHARES))[0]).intact) == (0, 1)
    assert replace(fit, weights=np.eye(len(SHARES))[0], status="given").intact == 0
    assert fit.draw_shares(np.random.default_rng(0), 3).tolist() == [SHARES[3]] * 3


def test_the_prior_of_a_mean_gives_this_mean() -> None:
    even = np.array([[0.5, 0, 0.5, 0], [0.5, 0, 0, 0.5]])
    assert prior_of_mean(even, 0.2) == pytest.approx(0.2)
    clear = np.array([[0.9, 0, 0.1, 0], [0.1, 0, 0.9, 0]])
    prior = prior_of_mean(clear, 0.3)
    assert np.mean(expit(logit(np.array([0.1, 0.9])) + logit(prior))) == pytest.approx(0.3)
    assert prior_of_mean(np.empty((0, 4)), 0.3) == 0.3


def test_buildings_without_probabilities_have_none_after_the_fit() -> None:
    p = np.array([[0.7, 0.1, 0.1, 0.1], [np.nan] * 4, [0.2, 0.2, 0.3, 0.3]])
    found = fit_to_site(p, np.array(["a", "a", "b"]), {"a": OWN, "b": OWN, "c": OWN}, damaged_share=0.25)
    assert np.isnan(found.even[1]).all()
    assert found.status == "given"
    assert found.probabilities[[0, 2], 2:].sum(axis=1).mean() == pytest.approx(0.25)
    np.testing.assert_allclose(found.even[0, :2] / found.even[0, :2].sum(), [7 / 8, 1 / 8])


def in_water(**changed: Any) -> InundatedBuildings:
    facts: dict[str, Any] = {"rows": [True], "covered": [False], "chance": [1.0]} | changed
    return InundatedBuildings(**{name: np.array(value) if isinstance(value, list) else value for name, value in facts.items()})  # fmt: skip


STRUCTURE = np.array([[0.6, 0.2, 0.1, 0.1]])


@pytest.mark.parametrize(
    ("water", "structure", "expected"),
    [
        (in_water(), STRUCTURE, [0.075, 0.025, 0.8, 0.1, 0.9]),
        (in_water(covered=[True]), STRUCTURE, [0.075, 0.025, 0, 0.9, 0.9]),
        (in_water(chance=[0.5]), np.full((1, 4), np.nan), [0.55, 0, 0.45, 0, 0.45]),
        (in_water(chance=[0.1]), STRUCTURE, [0.6, 0.2, 0.1, 0.1, 0.2]),  # structure shows more than the water
        (in_water(rows=[False], chance=[0.0]), STRUCTURE, [0.6, 0.2, 0.1, 0.1, 0.2]),
        (in_water(rows=[False], chance=[0.0], unknown=[True]), STRUCTURE, [0.33, 0.11, 0.46, 0.1, 0.56]),  # 1 − 0.8 · 0.55
        (in_water(rows=[False], chance=[0.4], hidden=[True]), STRUCTURE, [0.384, 0.128, 0.388, 0.1, 0.488]),  # 1 − 0.8 · 0.64
    ],
)  # fmt: skip
def test_water_and_structure_together_grade_a_building(
    water: InundatedBuildings, structure: np.ndarray, expected: list[float]
) -> None:
    np.testing.assert_allclose(water.grades(structure, 0.9)[0], expected)


def test_the_shift_of_hidden_ground_moves_only_hidden_buildings() -> None:
    hidden = in_water(rows=[False], chance=[0.4], hidden=[True]).grades(STRUCTURE, 1.0, shift=1.0)
    assert hidden[0, 4] == pytest.approx(1 - 0.8 * (1 - expit(logit(0.4) + 1)))
    assert in_water(chance=[0.4]).grades(STRUCTURE, 1.0, shift=1.0)[0, 4] == pytest.approx(0.4)
    sure = in_water(rows=[False], chance=[1.0], hidden=[True]).grades(STRUCTURE, 1.0)
    assert sure[0, 4] == pytest.approx(1 - 0.8 * 0.02)  # no hidden ground is surely wet
    assert with_unknown_water(np.array([0.2]))[0] == pytest.approx(1 - 0.8 * (1 - 0.45))
    several = in_water(rows=[True, False, False], covered=[True, False, False], chance=[1.0, 0, 0], hidden=[False, True, False])  # fmt: skip
    assert several.any_water.tolist() == [True, True, False]
    part = several.subset(np.array([False, True, True]))
    assert (part.rows.tolist(), part.covered.tolist(), part.chance.tolist()) == ([False] * 2, [False] * 2, [0, 0])
    assert (part.unsure.tolist(), part.perhaps.tolist()) == ([False] * 2, [True, False])


def test_like_buildings_are_counted_together() -> None:
    p = np.array([[0.5, 0.1, 0.2, 0.2], [0.1, 0.1, 0.1, 0.7], [0.5, 0.1, 0.2, 0.2]])
    spread = np.tile([1.0, 0.5, 0.25], (3, 1))
    cells = Cells.of(p, spread, np.array([10.0, 20, 30]))
    assert cells.cell[0] == cells.cell[2] != cells.cell[1]
    own = cells.cell[0]
    assert (cells.number[own], cells.area[own], cells.area_squares[own]) == (2, 40, 1000)
    np.testing.assert_allclose(cells.log_odds[own], np.log([0.4 / 0.6, 0.1 / 0.5, 1.0]), atol=1e-9)
    np.testing.assert_allclose(cells.spread[own], [1, 0.5, 0.25])


def site_table(*states: str) -> Buildings:
    """Assessed buildings, ones whose outline is not on a building, and ones under cloud."""
    reasons = {"assessed": "", "astray": Reason.NOT_ON_BUILDINGS.sentence, "cloud": Reason.CLOUD.sentence}
    status = ["assessed" if state == "assessed" else "not_assessed" for state in states]
    return Buildings(pd.DataFrame({"status": status, "reason": [reasons[state] for state in states], "method": "post_only"}))  # fmt: skip


def around(*inundated: str, near: list[float] | None = None, **more: Any) -> WaterAround:
    ring = np.array([{"yes": 0.8, "no": 0.1}.get(one, np.nan) for one in inundated])
    hidden = None if near is None else np.array(near)
    share = np.array([{"yes": 0.6}.get(one, 0.0) for one in inundated])
    return WaterAround(BuildingWater(share, ring, np.array(inundated, object), hidden), "water.tif", True, **more)


SHOWN, DAMAGED = Settings(inundation="shown"), Settings(inundation="damaged")
DOUBT = Finding("water_not_told", "caution", {"why": Phrase("no_new_water_found"), "unknown": None, "buildings": None})


def facts(found: InundatedBuildings | None) -> dict[str, list[float]] | None:
    if found is None:
        return None
    columns = {"rows": found.rows, "covered": found.covered, "chance": found.chance, "unsure": found.unsure, "hidden": found.perhaps}  # fmt: skip
    return {name: np.asarray(values, float).round(9).tolist() for name, values in columns.items()}


@pytest.mark.parametrize(
    ("states", "water", "expected"),
    [
        (["assessed"] * 2, None, None),
        (["assessed"] * 2, around("no", "no"), None),
        (["cloud"], around("yes"), None),  # only where the outline is astray, water grades what is not assessed
        (
            ["assessed", "assessed", "assessed", "astray"], around("yes", "no", "not known", "yes"),
            {"rows": [1, 0, 0, 1], "covered": [1, 0, 0, 1], "chance": [1, 0, 0.666666667, 1], "unsure": [0] * 4, "hidden": [0, 0, 1, 0]},
        ),  # two of three whose ground is seen are in water
        (
            ["assessed"] * 3, around("yes", "no", "not known", doubt=DOUBT),
            {"rows": [1, 0, 0], "covered": [1, 0, 0], "chance": [1, 0, 0], "unsure": [0, 0, 1], "hidden": [0] * 3},
        ),
        (
            ["assessed"] * 3, around("yes", "no", "not known", near=[np.nan, np.nan, 0.3]),
            {"rows": [1, 0, 0], "covered": [1, 0, 0], "chance": [1, 0, 0.3], "unsure": [0] * 3, "hidden": [0, 0, 1]},
        ),
        (
            ["assessed"] * 2, around("yes", "no", reach_m=8.0),
            {"rows": [1, 0], "covered": [0, 0], "chance": [0.8, 0], "unsure": [0, 0], "hidden": [0, 0]},
        ),
    ],
)  # fmt: skip
def test_buildings_that_water_grades(states: list[str], water: Any, expected: Any) -> None:
    assert facts(inundated_buildings(site_table(*states), water, DAMAGED)) == expected
    assert inundated_buildings(site_table(*states), water, SHOWN) is None


@pytest.mark.parametrize(("dry", "states_dry", "everywhere"), [(1, False, True), (2, False, False), (1, True, False)])
def test_water_may_be_everywhere_if_images_show_it_around_four_of_five(
    dry: int, states_dry: bool, everywhere: bool
) -> None:
    water = around(*["yes"] * (5 - dry), *["no"] * dry, states_dry=states_dry)
    found = inundated_buildings(site_table(*["assessed"] * 5), water, DAMAGED)
    assert found is not None
    assert (found.everywhere, found.damaged) == (everywhere, True)


def test_each_building_has_its_note_on_water() -> None:
    water = in_water(
        rows=[True, True, True, False, False, False], covered=[False, True, False, False, False, False], chance=[1.0] * 6,
        hidden=[False, False, True, True, False, False], unknown=[False, False, False, False, True, False],
    )  # fmt: skip
    assert _notes(water).tolist() == [SURROUNDED, UNDER, NEARBY, PERHAPS, UNKNOWN_WATER, ""]


def test_buildings_in_water_have_at_least_the_grade_of_the_crosswalk() -> None:
    lost = [np.nan] * 4
    grades = Grades(np.array([STRUCTURE[0], STRUCTURE[0], lost, STRUCTURE[0]]), np.array([0, 0, 3, 0]), np.tile([True, False, False, False], (4, 1)))  # fmt: skip
    water = in_water(rows=[True, True, True, False], covered=[False, True, False, False], chance=[1.0] * 3 + [0.0])
    found = _graded_by_water(grades, water, 0.2)
    assert found.named.tolist() == [MAJOR, DESTROYED, MAJOR, NONE]
    assert found.kept.astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_allclose(found.damage[:3].sum(), 2.7)  # 0.9 each, in the order of their structure
    np.testing.assert_allclose(found.probabilities[3], STRUCTURE[0])
    possibly = _graded_by_water(grades, replace(water, damaged=False), 0.2)
    assert possibly.named.tolist() == [MINOR, MINOR, MINOR, NONE]
    np.testing.assert_allclose(possibly.probabilities[:3], [[0.06, 0.74, 0.1, 0.1], [0.06, 0.74, 0.1, 0.1], [0.08, 0.72, 0.1, 0.1]])  # fmt: skip


def counted(**numbers: Any) -> Inundation:
    none = dict.fromkeys(("known", "inundated", "structure", "together", "by_water", "not_assessed", "since_unknown", "hidden", "unknown"), 0)  # fmt: skip
    return Inundation(**(none | {"counts_as": "damaged", "source": "water.tif"} | numbers))


SOURCE = Finding.verbatim("water.tif")


@pytest.mark.parametrize(
    ("numbers", "findings"),
    [
        ({}, []),
        ({"not_assessed": 2}, [Finding("not_assessed_in_water", "caution", {"number": 2, "source": SOURCE}, 2)]),
        (
            {"inundated": 5, "structure": 3, "by_water": 0, "counts_as": "possibly-damaged"},
            [Finding("buildings_in_water", "note", {"number": 5, "structure": 3, "by_water": None, "source": SOURCE, "means": Phrase("in_water_possibly-damaged")}, 5)],
        ),
        (
            {"inundated": 5, "structure": 3, "by_water": 4, "hidden": 2},
            [
                Finding("buildings_in_water", "note", {"number": 5, "structure": 3, "by_water": 4, "source": SOURCE, "means": Phrase("in_water_damaged")}, 5),
                Finding("water_may_be_hidden", "note", {"number": 2}, 2),
            ],
        ),
        ({"hidden": 2}, []),
        ({"since_unknown": 3}, [Finding("buildings_in_old_or_new_water", "caution", {"number": 3}, 3)]),
    ],
)  # fmt: skip
def test_numbers_of_buildings_in_water_are_reported(numbers: dict[str, Any], findings: list[Finding]) -> None:
    assert list(counted(**numbers).findings()) == findings
    assert "water_may_be_hidden" not in [one.code for one in counted(**{"inundated": 1, "hidden": 1, "unknown": 1}).findings()]  # fmt: skip


def test_a_doubt_of_all_water_comes_first_with_its_numbers() -> None:
    water = around("yes", "no", "not known", doubt=DOUBT)
    values = {"why": Phrase("no_new_water_found"), "unknown": 2, "buildings": 3}
    assert _doubt_first(water, counted(unknown=2)) == (replace(DOUBT, values=values, affected=3),)
    assert _doubt_first(around("yes"), counted(unknown=2)) == ()


@pytest.mark.parametrize(
    ("name", "settings", "number", "reported"),
    [
        ("Earthquake", {}, 3, True), ("Earthquake", {}, 0, False), ("Flood", {}, 3, False), ("", {}, 3, False), ("Earthquake", {"water": "w.tif"}, 3, False),
    ],
)  # fmt: skip
def test_water_at_a_dry_hazard_is_reported(name: str, settings: Any, number: int, reported: bool) -> None:
    values = {"number": 3, "name": Finding.verbatim("Earthquake")}
    finding = Finding("water_at_dry_hazard", "caution", values, 3)
    assert dry_hazard_findings(EventInfo(name=name), Settings(**settings), number) == ((finding,) if reported else ())


def test_answers_on_dry_ground_move_the_number_by_structure_and_in_water_only_that_together() -> None:
    def seen(*numbers: int) -> Grades:
        return Grades.of_numbers(np.array(numbers))

    wet = np.array([True, True, False, False, False])
    before, after = seen(3, 3, 0, 0, 2), seen(3, 0, 2, 3, 0)  # one fewer in water; two more and one fewer on dry ground
    findings = (Finding("buildings_in_water", "note", {"number": 2, "structure": 1}), Finding("other", "note", {"structure": 1}))  # fmt: skip
    stated = {"structure": 1, "together": 3, "known": 5}
    numbers, moved = inundation_after_answers(stated, findings, wet, before, after)
    assert numbers == {"structure": 2, "together": 3, "known": 5}
    assert [one.values["structure"] for one in moved] == [2, 1]
    numbers, _ = inundation_after_answers({"structure": 9, "together": 9}, findings, wet, before, after)
    assert numbers == {"structure": 3, "together": 3}  # what is damaged by structure is damaged
    assert inundation_after_answers({}, findings, wet, before, after) == ({}, findings)


def test_findings_of_inputs_and_result_are_joined_worst_first() -> None:
    worthless, caution, note = (Finding(code, severity) for code, severity in (("blank_post", "worthless"), ("post_coarse", "caution"), ("pre_coarse", "note")))  # type: ignore[arg-type]  # fmt: skip
    nothing = Finding("nothing_assessed", "worthless")
    assert [one.code for one in join_findings([note, worthless], [nothing, caution])] == ["blank_post", "post_coarse", "pre_coarse"]  # fmt: skip
    assert [one.code for one in join_findings([note, caution], [nothing])] == ["nothing_assessed", "post_coarse", "pre_coarse"]  # fmt: skip


def test_failed_blocks_and_outlines_of_a_network_are_reported() -> None:
    assert block_findings({"network": {}}) == ()
    names = {"block": Finding.verbatim("0-0"), "step": Finding.verbatim("network"), "reason": Finding.verbatim("no memory")}  # fmt: skip
    failed = {"water": {}, "network": {"0-0": "no memory", "0-1": "other"}, "unbuilt": {"3": "other"}}
    assert block_findings(failed) == (Finding("blocks_failed", "caution", {"number": 3} | names),)
    outlines = Finding("outlines_of_network", "note", {"network": Finding.verbatim("run")})
    assert segmenter_findings("folder/run", after=False) == (outlines,)
    assert segmenter_findings("folder/run", after=True) == (Finding("outlines_after_event", "caution"), outlines)
    assert segmenter_findings(None, after=True) == ()


@pytest.mark.parametrize(
    ("compared", "by_post", "looked_for", "reported"),
    [(False, True, False, True), (False, True, True, False), (True, True, False, False), (False, False, False, False)],
)
def test_empty_outlines_are_reported_if_they_were_not_looked_for(compared: bool, by_post: bool, looked_for: bool, reported: bool) -> None:  # fmt: skip
    buildings: Any = SimpleNamespace(by_post=np.array([by_post]), compared=np.array([compared]))
    finding = Finding("empty_outlines", "note")
    assert empty_outline_findings(buildings, looked_for=looked_for) == ((finding,) if reported else ())
