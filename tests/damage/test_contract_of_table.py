"""The table of buildings and their grades, method by method: each complete result against values by hand."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.damage.table.buildings import NETWORK, Buildings, hash_table
from deepnets4eo.damage.table.grades import Grades, other_of_side
from deepnets4eo.damage.table.probabilities import (
    adjust_to_share,
    border_log_odds,
    expected_count,
    fill_between,
    grade_probabilities,
    grades_of_sides,
    set_damaged_probability,
    set_names,
    side_log_odds,
)
from deepnets4eo.damage.table.reasons import BY_NETWORK, Reason
from deepnets4eo.damage.table.vocabulary import (
    GRADES,
    is_damaged,
    is_grade,
    is_graded,
    is_wide,
    look_at,
    worst_first,
)
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Phrase

NONE, MINOR, MAJOR, DESTROYED = GRADES
CLOUD = Reason.CLOUD.sentence


def table() -> Buildings:
    """One building from both images, one from the image after, one by water, one under cloud, one whose roof is displaced."""
    evidence = pd.DataFrame({"ev_texture": [1.0, 2, 3, 4, 5], "ev_texture_change": [0.1, 0.2, 0.3, 0.4, 0.5]})
    reasons = np.array(["", "", "", Reason.CLOUD, ""], object)
    compared = np.array([True, False, False, True, True])
    shift = np.array([[1.0, 2], [np.nan, np.nan], [0, 0], [3, 4], [5, -6]])
    found = Buildings.of_evidence(np.array(list("abcde"), object), evidence, reasons, compared, shift)
    frame = found.frame.assign(method=["pre_post", "post_only", "water", "", "pre_post"])
    return Buildings(frame, found.meaning, displaced=np.array([False, True, True, True, True]))


def column(buildings: Buildings, name: str) -> list[Any]:
    return buildings.frame[name].tolist()


def test_a_table_of_evidence_leaves_out_what_cannot_be_assessed() -> None:
    found = table()
    assert found.frame.columns.tolist() == ["id", "ev_texture", "ev_texture_change", "status", "reason", "method", "dx_px", "dy_px"]  # fmt: skip
    np.testing.assert_array_equal(found.frame["ev_texture"], [1, 2, 3, np.nan, 5])
    assert column(found, "status") == ["assessed"] * 3 + ["not_assessed", "assessed"]
    assert column(found, "reason") == ["", "", "", CLOUD, ""]
    assert (column(found, "dx_px"), column(found, "dy_px")) == ([1, 0, 0, 3, 5], [2, 0, 0, 4, -6])
    assert (found.names, len(found)) == (["ev_texture", "ev_texture_change"], 5)
    assert found.evidence_names == found.names


def test_buildings_that_cannot_be_assessed_have_a_reason_and_nothing_else() -> None:
    for reasons in (Reason.EMPTY, np.array([Reason.EMPTY, Reason.EMPTY], object)):
        found = Buildings.not_assessed(np.array(["a", "b"], object), reasons).frame
        row = {"status": "not_assessed", "reason": Reason.EMPTY.sentence, "method": "", "dx_px": 0.0, "dy_px": 0.0}
        assert found.to_dict("records") == [{"id": "a"} | row, {"id": "b"} | row]
        assert found.dtypes.astype(str).tolist()[1:] == ["object"] * 3 + ["float64"] * 2


def test_buildings_are_told_apart_by_what_they_are_assessed_from() -> None:
    found = table()
    kinds = {"compared": "a   e", "by_post": " b   ", "by_water": "  c  ", "by_structure": "ab  e", "leaning": "    e", "assessed": "abc e"}  # fmt: skip
    for name, members in kinds.items():
        assert getattr(found, name).tolist() == [letter != " " for letter in members], name
    assert Buildings(found.frame).leaning.tolist() == [False] * 5
    assert found.method_counts() == {"pre_post": 2, "post_only": 1, "water": 1}
    assert found.reason_counts() == {"": 4, CLOUD: 1}
    assert found.reason_counts(~found.assessed) == {CLOUD: 1}
    assert found.because(Reason.CLOUD, Reason.SHADE).tolist() == [False, False, False, True, False]


def test_without_an_image_before_what_needs_it_is_gone() -> None:
    found = table().without_pre()
    assert found.names == ["ev_texture"]
    assert "ev_texture_change" not in found.frame
    assert column(found, "method") == ["post_only", "post_only", "water", "", "post_only"]
    whole = table().all_by_post()
    assert (set(column(whole, "status")), set(column(whole, "method"))) == ({"assessed"}, {"post_only"})
    once = table().seen_once(pd.DataFrame({"ev_texture": np.arange(5.0)}))
    assert once.by_post.tolist() == [True, False, False, False, True]
    assert once.values("ev_texture").tolist() == [0, 1, 2, 3, 4]


def test_only_assessed_buildings_are_left_out_and_only_others_are_assessed_by_water() -> None:
    left = table().leave_out(np.array(["", Reason.SHADE, "", Reason.SHADE, ""], object))
    assert column(left, "status") == ["assessed", "not_assessed", "assessed", "not_assessed", "assessed"]
    assert column(left, "reason") == ["", Reason.SHADE.sentence, "", CLOUD, ""]
    assert column(left, "method") == ["pre_post", "", "water", "", "pre_post"]
    wet = table().set_by_water(np.array([True, False, False, True, False]))
    assert column(wet, "status") == ["assessed"] * 5
    assert column(wet, "method") == ["pre_post", "post_only", "water", "water", "pre_post"]
    assert column(wet, "reason")[3] == CLOUD


def test_reasons_are_set_by_the_network_a_person_or_in_notes() -> None:
    rows, why = np.array([True, False, False, False, False]), np.full(5, Reason.UNLIKE_ANY, object)
    by_network = table().set_by_network(rows, why)
    assert column(by_network, "reason") == [BY_NETWORK + Reason.UNLIKE_ANY.sentence, "", "", CLOUD, ""]
    assert by_network.by_network_because(Reason.UNLIKE_ANY).tolist() == rows.tolist()
    person = table().set_by_person(np.array([1, 3]))
    assert column(person, "reason") == ["", Reason.BY_PERSON.sentence, "", Reason.BY_PERSON.sentence, ""]
    assert column(table().add_notes(np.array(["wet", "", "", "wet", ""], object)), "reason") == ["wet", "", "", f"wet; {CLOUD}", ""]  # fmt: skip


def test_columns_are_blank_for_buildings_that_are_not_assessed() -> None:
    found = table().with_columns({"ev_new": np.arange(5.0)}, {"ev_new": "what it is"})
    np.testing.assert_array_equal(found.frame["ev_new"], [0, 1, 2, np.nan, 4])
    assert found.meaning == table().meaning | {"ev_new": "what it is"}


@pytest.mark.parametrize(
    ("post", "leaves", "graded"),
    [
        (True, False, [0.1, 0.2, None, None, 0.1]),
        (True, True, [0.1, 0.2, None, None, 0.2]),  # a displaced roof at the position of its roof
        (False, True, [0.1, None, None, None, None]),
        (False, False, [0.1, None, None, None, 0.1]),
    ],
)
def test_a_network_grades_by_the_images_that_a_building_is_seen_in(post: bool, leaves: bool, graded: list[Any]) -> None:
    pair, once = (np.full((5, 4), value) for value in (0.1, 0.2))
    found = table().with_network(pair, once if post else None, leaves_displaced=leaves)
    expected = np.array(graded, float)
    np.testing.assert_array_equal(found.network, np.repeat(expected[:, None], 4, axis=1))
    assert (found.has_network, table().has_network) == (True, False)
    assert found.graded_by_network.tolist() == np.isfinite(expected).tolist()
    assert [name for name in found.meaning if name not in table().meaning] == NETWORK


def texts(buildings: Buildings, name: str) -> list[str]:
    """A column with "" for what is missing."""
    return [str(text) for text in buildings.frame[name].fillna("")]


def graded() -> Buildings:
    """Grades of the five buildings: sure, unsure, in water, none, intact in water."""
    columns = {
        "damage": [DESTROYED, MINOR, MAJOR, None, NONE], "damage_prob": [0.9, 0.4, 0.6, np.nan, 0.1], "confidence": [0.9, 0.5, 0.5, np.nan, 0.8],
        "damage_set": [DESTROYED, f"{NONE},{MINOR}", f"{MAJOR},{DESTROYED}", None, f"{NONE},{MINOR}"], "inundated": ["no", "no", "yes", "no", "yes"],
        "reason": ["", Reason.NOT_NAMED.sentence, Reason.NAMED_TOO.sentence, CLOUD, ""],
    }  # fmt: skip
    return Buildings(table().frame.assign(**columns))


def test_grades_of_an_unknown_share_are_stated_only_if_certain() -> None:
    found = graded().without_unknown_grades()
    assert texts(found, "damage") == [DESTROYED, "not-known", MAJOR, "", "not-known"]
    np.testing.assert_array_equal(found.values("damage_rank"), [1, 3, 2, np.nan, 4])
    assert texts(found, "likeliest") == [DESTROYED, MINOR, MAJOR, "", NONE]
    assert column(found, "reason") == ["", "", Reason.NAMED_TOO.sentence, CLOUD, ""]
    assert (found.is_ranked, found.ranked, graded().is_ranked, graded().ranked) == (True, 4, False, 0)
    assert found.classes.tolist() == [DESTROYED, "not-known-3", MAJOR, "not-assessed", "not-known-4"]
    assert (found.graded.tolist(), found.damaged.tolist()) == ([True, False, True, False, False], [True, False, True, False, False])  # fmt: skip
    assert {name: number for name, number in found.counts().items() if number} == {MAJOR: 1, DESTROYED: 1, "not-known-3": 1, "not-known-4": 1, "not-assessed": 1}  # fmt: skip
    again = found.without_unknown_grades()
    assert texts(again, "damage") == texts(found, "damage")
    assert texts(found.with_likeliest_grades(), "damage") == [DESTROYED, MINOR, MAJOR, "", NONE]
    assert not found.with_likeliest_grades().is_ranked


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, None),
        ({"status": "assessed"}, "buildings.damage "),
        ({"status": ["assessed"] * 3 + ["seen", "assessed"]}, "buildings.status holds ['seen']"),
        ({"method": ["pre_post", "", "water", "", "pre_post"]}, "buildings.method holds ['']"),
        ({"damage": [DESTROYED, "bad", MAJOR, None, NONE]}, "buildings.damage holds ['bad']"),
        ({"damage": [DESTROYED, MINOR, MAJOR, NONE, NONE]}, "buildings.damage is set where status is not_assessed"),
        ({"damage_prob": [0.9, 1.01, 0.6, np.nan, 0.1]}, "outside [0, 1]"),
        ({"damage_prob": [0.9, np.nan, 0.6, np.nan, 0.1]}, "outside [0, 1]"),
        ({"id": list("abcda")}, "a occurs more than once"),
    ],
)
def test_a_table_of_a_map_is_checked(changed: dict[str, Any], named: str | None) -> None:
    frame = graded().frame.assign(geometry=None, **changed)
    if named is None:
        Buildings(frame).check()
        return
    with raises_naming(InputError, named):
        Buildings(frame).check()


def test_a_hash_changes_with_values_types_crs_and_outlines_and_with_nothing_else() -> None:
    plain = gpd.GeoDataFrame({"id": ["a"], "x": [1.0]}, geometry=[shapely.Point(1, 2)], crs="EPSG:32633")
    others = [
        plain.assign(x=2.0), plain.assign(x=1), plain.to_crs("EPSG:4326"), plain.set_geometry([shapely.Point(1, 3)], crs=plain.crs),
        plain.rename(columns={"x": "y"}), plain.set_geometry([None], crs=plain.crs),
    ]  # fmt: skip
    assert len({hash_table(one) for one in (plain, plain.copy(), plain.set_axis([7]))}) == 1
    assert len({hash_table(one) for one in (plain, *others)}) == 7


def p(*rows: list[float]) -> np.ndarray:
    return np.array(rows, float)


def test_the_grade_of_the_table_is_the_named_one_unless_the_other_side_is_sure() -> None:
    sides = p([0.01, 0.02, 0.37, 0.6], [0.6, 0.37, 0.02, 0.01], [0.02, 0.04, 0.5, 0.44], [0.3, 0.3, 0.3, 0.1])
    found = Grades(sides, np.array([1, 3, 0, 2]), np.ones((4, 4), bool))
    assert found.numbers.tolist() == [3, 0, 0, 2]  # 0.97 and 0.03 of damage are sure; 0.94 is not
    np.testing.assert_allclose(found.confidence, [0.6, 0.6, 0.02, 0.3])
    np.testing.assert_allclose(found.damage, [0.97, 0.03, 0.94, 0.4])
    assert found.off_side.tolist() == ["", "", Reason.NOT_NAMED, Reason.NAMED_TOO]
    assert other_of_side(np.arange(4)).tolist() == [1, 0, 3, 2]


def test_sets_contain_the_named_grade_kept_ones_and_the_next_of_a_possible_side() -> None:
    def members(damage: float, named: int, kept: list[int]) -> list[int]:
        row = p([(1 - damage) / 2] * 2 + [damage / 2] * 2)
        found = Grades(row, np.array([named]), np.isin(np.arange(4), kept)[None]).members
        return np.flatnonzero(found[0]).tolist()

    assert members(0.04, 0, [3]) == [0]  # damage is excluded below 5 %
    assert members(0.06, 0, [3]) == [0, 1, 2, 3]  # kept, and all between
    assert members(0.06, 0, []) == [0]
    assert members(0.11, 0, []) == [0, 1, 2]  # possible above 10 %
    assert members(0.09, 1, []) == [1]
    assert members(0.89, 3, []) == [1, 2, 3]
    assert members(0.91, 3, []) == [3]
    assert members(0.94, 3, [0]) == [0, 1, 2, 3]
    assert members(0.96, 3, [0]) == [3]


def test_grades_are_named_by_their_sides_and_the_borders_within() -> None:
    sides = p([0.3, 0.3, 0.1, 0.3], [0.5, 0.1, 0.2, 0.2], [0.2, 0.3, 0.3, 0.2], [0.2, 0.2, 0.4, 0.2])
    assert Grades.of_sides(sides).named.tolist() == [1, 0, 2, 2]
    assert Grades.of_sides(sides, 0.55).named.tolist() == [0, 0, 1 + 1, 2]
    assert Grades.of_sides(sides, np.tile([0.9, 0.3], (4, 1))).named.tolist() == [0, 0, 3, 3]
    assert Grades.of_sides(sides, damaged=np.array([True, True, False, False])).named.tolist() == [3, 3, 1, 1]
    assert Grades.of_sides(sides).kept.all()


def test_corrections_of_grades_change_only_their_rows() -> None:
    base = Grades(p([0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 3]), p([1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]) > 0)  # fmt: skip
    capped = base.cap(np.array([True, False, True]))
    np.testing.assert_allclose(capped.probabilities, [[0.6, 0.2, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]])
    raised = base.at_least(np.array([True, False, True]), 2)
    assert raised.named.tolist() == [2, 0, 3]
    assert raised.kept.astype(int).tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    worse = Grades(base.probabilities, np.array([1, 1, 2]), base.kept & False).keep_worse(np.array([True, False, True]))
    assert worse.kept.astype(int).tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]]
    seen = Grades.of_numbers(np.array([2, 1]))
    mixed = base.with_rows(np.array([0, 2]), seen)
    assert (mixed.named.tolist(), mixed.probabilities[:, 2].tolist()) == ([2, 0, 1], [1, 0.1, 0])
    assert base.move(np.array([True, False, False]), np.full((3, 4), 0.25)).probabilities[:, 0].tolist() == [0.25, 0.7, 0.1]  # fmt: skip


def test_as_many_are_named_as_damaged_as_wanted_the_likeliest_first() -> None:
    base = Grades(p([0.5, 0.2, 0.2, 0.1], [0.3, 0.3, 0.1, 0.3], [0.2, 0.3, 0.3, 0.2], [0.4, 0.5, 0, 0.1]), np.array([0, 3, 2, 2]), np.ones((4, 4), bool))  # fmt: skip
    rows = np.array([0, 1, 2])
    assert base.name_damaged(rows, 3).named.tolist() == [2, 3, 2, 2]
    assert base.name_damaged(rows, 1).named.tolist() == [0, 0, 2, 2]  # by 0.5: the third, 0.4: the second
    assert base.name_damaged(rows, 0).named.tolist() == [0, 0, 1, 2]


def test_probabilities_of_borders_sides_and_grades_are_each_others_inverse() -> None:
    np.testing.assert_allclose(grade_probabilities(p([0.9, 0.5, 0.2])), [[0.1, 0.4, 0.3, 0.2]])
    np.testing.assert_allclose(
        grade_probabilities(p([0.4, 0.6, 0.2])), [[0.5, 0, 0.3, 0.2]]
    )  # made to decrease, half-way
    row = p([0.1, 0.4, 0.3, 0.2])
    np.testing.assert_allclose(border_log_odds(row), np.log([[9, 1, 0.25]]), atol=1e-9)
    np.testing.assert_allclose(side_log_odds(row), np.log([[1, 4, 2 / 3]]), atol=1e-9)
    np.testing.assert_allclose(grades_of_sides(side_log_odds(row)), row)
    np.testing.assert_allclose(side_log_odds(p([1, 0, 0, 0])), [[-9.2, -9.2, 0]])
    np.testing.assert_allclose(set_damaged_probability(row, np.array([0.8])), [[0.04, 0.16, 0.48, 0.32]])
    np.testing.assert_allclose(adjust_to_share(row, 0.8), [[0.04, 0.16, 0.48, 0.32]])
    assert adjust_to_share(row, 0.5) is row


def test_sets_are_filled_and_named_from_the_mildest_and_counts_have_an_interval() -> None:
    assert fill_between(p([1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]) > 0).astype(int).tolist() == [[1] * 4, [0, 1, 0, 0], [0] * 4]  # fmt: skip
    assert set_names(p([1, 0, 1, 0], [0, 0, 0, 0]) > 0).tolist() == [f"{NONE},{MAJOR}", ""]
    found = expected_count(np.array([0.5] * 16))
    assert found["expected"] == 8
    np.testing.assert_allclose(found["interval_95"], [8 - 2 * 1.959964, 8 + 2 * 1.959964], rtol=1e-6)
    assert expected_count(np.array([0.5]))["interval_95"] == [0, 1]


def test_words_of_grades() -> None:
    assert worst_first(["not-assessed", NONE, DESTROYED]) == (DESTROYED, NONE, "not-assessed")
    assert (look_at(40), look_at(41)) == (Phrase("look_at_all"), Phrase("look_at", {"number": 40}))
    assert is_damaged(np.array([0, 1, 2, 3])).tolist() == [False, False, True, True]
    assert is_graded(np.array([0, 3, 255])).tolist() == [True, True, False]
    assert (is_grade(MINOR), is_grade("cloud")) == (True, False)
    assert (is_wide((0.1, 0.6)), is_wide((0.1, 0.61))) == (False, True)
