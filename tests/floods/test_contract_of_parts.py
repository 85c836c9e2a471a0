"""Small functions of maps of water, each against values by hand: parts, odds, edges, masks, states of buildings, findings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from deepnets4eo.floods import BuildingWater, Recognition
from deepnets4eo.floods.mud import MuddyGround, MudGroup, _connected, _entropy, _grown
from deepnets4eo.floods.optical import _by_network, _squares_side_by_side, mirror_unseen
from deepnets4eo.floods.thresholds import WaterLevels, WaterThreshold, _histogram, _quarters, grow_water, parts_with
from deepnets4eo.grid import Window
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import TwoGaussians

YES, NO, OPEN = "yes", "no", "not known"


def mask(*rows: str) -> np.ndarray:
    """A mask of rows of # and other letters."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_parts_are_kept_by_size_and_seed_and_touch_by_sides_unless_corners_count() -> None:
    ground = mask("##..#", "#..#.", ".....", "..##.")
    seeds = mask("#....", "...#.", ".....", "..#..")
    assert parts_with(ground, seeds, 2).tolist() == mask("##...", "#....", ".....", "..##.").tolist()
    assert parts_with(ground, seeds, 3).tolist() == mask("##...", "#....", ".....", ".....").tolist()
    assert parts_with(ground, seeds).tolist() == mask("##...", "#..#.", ".....", "..##.").tolist()
    assert parts_with(ground, seeds, 2, np.ones((3, 3), bool)).tolist() == mask("##..#", "#..#.", ".....", "..##.").tolist()  # fmt: skip
    assert not parts_with(ground, ~ground).any()


def test_water_grows_from_nine_tenths_to_a_half_over_corners() -> None:
    chance = np.array([[0.9, 0.49, 0.5], [0.1, 0.5, np.nan], [0.4, 0.89, 0.1]], np.float32)
    chance[0, 0] = 0.91
    assert grow_water(chance, 4).tolist() == mask("#.#", ".#.", ".#.").tolist()
    assert not grow_water(chance, 5).any()


def threshold(value: float = -16.0, means: Any = (-20.0, -10.0), variances: Any = (4.0, 9.0)) -> WaterThreshold:
    return WaterThreshold(value, TwoGaussians(np.full(2, 0.5), np.array(means), np.array(variances), np.empty((2, 0))), [])  # fmt: skip


def test_odds_of_water_are_those_of_two_normal_distributions_and_0_at_the_threshold() -> None:
    found = threshold().log_odds(np.array([[-16.0, -18, -25, -5]]))

    def odds(db: float) -> float:
        return (db + 10) ** 2 / 18 - (db + 20) ** 2 / 8 + math.log(9 / 4) / 2

    ends = [odds(value) - odds(-16) for value in (-16, -18, -20, -10)]  # as at the means beyond them
    np.testing.assert_allclose(found, [ends], rtol=1e-5)
    assert found.dtype == np.float32


def test_a_threshold_is_kept_as_plain_values_and_turned_round_for_an_index() -> None:
    below = threshold()
    plain = below.to_dict()
    both = {"amounts": [0.5, 0.5], "means": [-20.0, -10.0], "variances": [4.0, 9.0]}
    assert plain == {"value": -16.0, "water": "below", "measured": True, "bounded": False, **both}
    assert WaterThreshold.from_dict(plain | {"measured": False, "bounded": True}).to_dict() == plain | {"measured": False, "bounded": True}  # fmt: skip
    above = below.negate()
    assert (above.value, above.water_is_above, above.classes.means.tolist()) == (16.0, True, [20.0, 10.0])
    fixed = WaterLevels(-15, -20, -12, -14, -22, -8, spread=3).default_threshold()
    assert fixed.to_dict() == {"value": -15, "water": "below", "measured": False, "bounded": False, "amounts": [0.5, 0.5], "means": [-22, -8], "variances": [9, 9]}  # fmt: skip


def test_a_histogram_has_all_seen_values_between_its_tails() -> None:
    values = np.append(np.arange(1000.0), np.nan)
    found = _histogram([values[:400], values[400:]])
    assert found.counts.sum() == 998  # without a thousandth at either end
    assert len(found.counts) == 256
    flat = _histogram([np.full(7, 3.0)])
    assert (flat.counts[0], flat.counts.sum()) == (7, 7)
    assert _histogram([np.full(7, np.nan)]).counts.sum() == 0


def test_quarters_of_a_tile_have_64_pixels_or_more() -> None:
    parts = [Window(10, 20, 64, 70), Window(10, 90, 64, 70), Window(74, 20, 64, 70), Window(74, 90, 64, 70)]
    assert _quarters(Window(10, 20, 128, 140)) == parts
    assert _quarters(Window(0, 0, 127, 500)) == []
    assert _quarters(Window(0, 0, 500, 127)) == []


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ("..####", [50, 40, 30, 40, 50, 60]),  # across the first seen pixel
        ("..##..", [30, 40, 30, 40, 30, 40]),  # what is not seen either repeats the edge
        ("#.....", [10, 10, 10, 10, 10, 10]),
        ("######", [10, 20, 30, 40, 50, 60]),
        ("......", [10, 20, 30, 40, 50, 60]),
    ],
)
def test_what_is_not_seen_mirrors_the_ground_across_the_edge(seen: str, shown: list[int]) -> None:
    image = np.array([[[10, 20, 30, 40, 50, 60]]])
    assert mirror_unseen(image, mask(seen)).tolist() == [[shown]]


def test_squares_lie_side_by_side_and_mirror_the_edge() -> None:
    found = _squares_side_by_side(np.tile(np.arange(9), (7, 1)))
    assert found.shape == (1, 7, 2, 7)
    assert found[0, 0].tolist() == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 8, 7, 6, 5, 4]]


def rows(*values: float) -> np.ndarray:
    """Eight rows of 8 pixels, in columns of the given values, each four wide."""
    return np.tile(np.repeat(np.array(values, np.float32), 4), (8, 1))


def test_a_network_confirms_surfaces_and_adds_sure_water_that_was_dry_before() -> None:
    none = np.zeros((8, 16), bool)
    after = rows(0.95, 0.45, 0.95, 0.3)
    water, new = _by_network(none, none, None, after, 32)
    assert water[0].tolist() == [True] * 12 + [False] * 4  # grown from 0.9 to 0.4
    assert new is none
    assert not _by_network(none, none, None, after, 97)[0].any()  # of 96 pixels
    water, new = _by_network(none, none, lambda: rows(0.1, 0.1, 0.6, 0.1), after, 32)
    assert water[0].tolist() == [True] * 12 + [False] * 4
    assert new[0].tolist() == [True] * 8 + [False] * 8  # the last was water before
    surface = rows(0, 0, 0, 1) == 1
    grown = [(0.3, 0.0, False), (0.45, 0.0, True), (0.45, 0.2, False)]  # by more than 0.4
    for now, was, kept in grown:
        _, new = _by_network(surface, surface, lambda was=was: rows(0, 0, 0, was), rows(0, 0, 0, now), 64)
        assert new.any() == kept


def test_nothing_large_and_no_surface_spares_the_date_before() -> None:
    none = np.zeros((8, 16), bool)
    water, new = _by_network(none, none, lambda: pytest.fail("not needed"), rows(0.95, 0, 0, 0), 33)
    assert (water.sum(), new.sum()) == (32, 0)


def test_masks_grow_by_a_pixel_close_small_gaps_and_lose_thin_parts() -> None:
    assert _grown(mask("....", ".#..", "....", "....")).tolist() == mask("###.", "###.", "###.", "....").tolist()
    assert _grown(mask("..", ".."), beyond=True).all()
    field = mask("#######", "#######", "###.###", "#######", ".......", "#######")
    closed = mask("#######", "#######", "#######", "#######", "#######", "#######")  # the row between is a gap, too
    assert _connected(field, 42).tolist() == closed.tolist()
    assert not _connected(field, 42.1).any()
    assert not _connected(mask("......", "######", "......", "......"), 1).any()


def test_entropy_is_that_of_shares() -> None:
    assert _entropy(np.array([5, 0, 5])) == pytest.approx(math.log(2))
    assert _entropy(np.array([1, 0, 3])) == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))


def buildings(inundated: list[str], ring: list[float], near: list[float] | None = None) -> BuildingWater:
    return BuildingWater(
        np.zeros(len(ring)), np.array(ring), np.array(inundated, object), None if near is None else np.array(near)
    )


def state(found: BuildingWater) -> tuple[list[str], list[float | None]]:
    near = [None if np.isnan(value) else float(value) for value in found.hidden_share]
    return found.inundated.tolist(), near


def test_states_of_buildings_change_only_as_far_as_their_doubt() -> None:
    plain = buildings([YES, NO, OPEN], [0.9, 0.1, np.nan])
    assert (plain.surrounded.tolist(), plain.known.tolist()) == ([True, False, False], [True, True, False])
    assert state(plain) == ([YES, NO, OPEN], [None] * 3)
    assert state(plain.of_unknown_date()) == ([OPEN, NO, OPEN], [None] * 3)
    assert state(plain.unproven()) == ([YES, OPEN, OPEN], [None] * 3)
    assert state(plain.by_colour()) == ([OPEN, NO, OPEN], [0.9, None, None])
    near = buildings([YES, NO, OPEN], [0.9, 0.1, np.nan], [0.7, 0.2, np.nan])
    assert state(near.where_seen(np.array([True, False, False]))) == ([YES, OPEN, OPEN], [0.7, None, None])
    assert near.of_unknown_date().near_share is None
    wet, known = BuildingWater.read_column([YES, NO, OPEN, None])
    assert (wet.tolist(), known.tolist()) == ([True, False, False, False], [True, True, False, True])


FLOODED, UNKNOWN, DRY = True, None, False


@pytest.mark.parametrize(
    ("seen", "flooded", "doubted_m"),
    [
        (Recognition(1000, 2), UNKNOWN, 0),
        (Recognition(1000, 1), UNKNOWN, 0),
        (Recognition(1000, 1), FLOODED, math.inf),  # a flood of which nothing is found
        (Recognition(1000, 2), FLOODED, 0),
        (Recognition(1000, 1), DRY, 0),
        (Recognition(1000, 2, small=True), UNKNOWN, math.inf),
        (Recognition(1000, 1, small=True), UNKNOWN, 0),
        (Recognition(1000, 500, small=True), FLOODED, math.inf),
        (Recognition(1000, 500, small=True), DRY, 0),
        (Recognition(1000, 500, muddy="suspected"), UNKNOWN, math.inf),
        (Recognition(1000, 500, muddy="found"), UNKNOWN, 0),
        (Recognition(1000, 500, 100, 51, 0.03), UNKNOWN, 80),
        (Recognition(1000, 500, 100, 50, 0.03), UNKNOWN, 0),
        (Recognition(1000, 500, 100, 51, 0.02), UNKNOWN, 0),
        (Recognition(1000, 500, 901, 900, 1.0), UNKNOWN, 0),  # an image as dark as water
        (Recognition(1000, 500, 100, 51, 0.03), DRY, 0),
    ],
)
def test_dry_ground_is_doubted_where_water_is_not_recognised(
    seen: Recognition, flooded: bool | None, doubted_m: float
) -> None:
    assert seen.doubted_m(flooded) == doubted_m
    finding = seen.finding(flooded, "give_water")
    if not doubted_m:
        assert finding is None
        return
    why = Phrase("no_new_water_found")
    if seen.is_lost:
        why = Phrase("known_water_lost", {"share": 0.51})
    elif seen.muddy:
        why = Phrase("muddy_ground_seen")
    elif seen.small:
        why = Phrase("image_too_small")
    values: dict[str, Any] = {"why": why, "unknown": None, "buildings": None, "remedy": Phrase("give_water")}
    nearby = {} if math.isinf(doubted_m) else {"wording": "water_not_told_nearby"}
    values |= {"reach_m": 80.0} if nearby else {}
    assert finding == Finding("water_not_told", "caution", values, **nearby)


@pytest.mark.parametrize(
    ("seen", "swapped"),
    [
        (Recognition(1000, 20, receded=100), True),
        (Recognition(1000, 20, receded=99), False),
        (Recognition(1000, 21, receded=100), False),
        (Recognition(1000, 0, receded=0), False),
        (Recognition(1000, 20, receded=100, muddy="found"), False),
    ],
)
def test_water_that_fell_back_speaks_for_dates_in_the_wrong_order(seen: Recognition, swapped: bool) -> None:
    values = {"dried": 0.1, "flooded": 0.02}
    finding = Finding("dates_swapped", "caution", values, wording="water_fell_back")
    assert seen.order_finding() == ((finding,) if swapped else ())


def test_only_an_unknown_hazard_without_new_water_is_unproven_and_only_found_mud_is_named() -> None:
    none, some = Recognition(1000, 1), Recognition(1000, 2, muddy="found")
    assert none.unproven(UNKNOWN, None) == Finding("water_not_excluded", "note", {"remedy": Phrase("give_water")})
    assert none.unproven(UNKNOWN, Phrase("name_the_hazard")) == Finding("water_not_excluded", "note", {"remedy": Phrase("name_the_hazard")})  # fmt: skip
    assert [none.unproven(FLOODED, None), none.unproven(DRY, None), some.unproven(UNKNOWN, None)] == [None] * 3
    assert (none.mud_finding(), some.mud_finding()) == ((), (Finding("muddy_water_found", "note"),))


def test_known_water_of_its_colour_may_raise_the_odds_of_mud_twentyfold() -> None:
    def ground(share: float, probability: float) -> MuddyGround:
        return MuddyGround((MudGroup((50, 0, 20), share, (0, 0, 0, 0), 1, probability),), 4.0)

    least = float(expit(-math.log(20)))  # 1/21: odds of 1:20
    assert ground(0.03, least + 1e-6).may_be_suspected
    assert not ground(0.03, least - 1e-6).may_be_suspected
    assert not ground(0.029, 0.5).may_be_suspected
    assert not MuddyGround((), 4.0).may_be_suspected
