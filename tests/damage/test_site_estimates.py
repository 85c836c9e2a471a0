"""Numbers and areas with intervals that hold the grading error: simulated sites lie in them as often as they say."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.decision import name_damaged
from deepnets4eo.damage.decision.estimates import Cells, _rows, confusion_of_grades, site_estimates
from deepnets4eo.damage.decision.site_fit import GIVEN_SHARE, SHARES, SiteFit, SiteShift, fit_to_site, prior_of_mean
from deepnets4eo.damage.table.probabilities import grades_of_sides

SPREAD = (0.7, 0.5, 0.8)
SHIFT = SiteShift((-4.0, 4.0), (SPREAD[0], SPREAD[0]), 0.9, 2.0, 30.0)  # of the simulated sites


def at_share(probabilities: np.ndarray, share: float) -> SiteFit:
    """The site whose share is known to be that of the grid."""
    certain = np.eye(len(SHARES))[np.abs(SHARES - share).argmin()]
    return SiteFit(certain, probabilities, share)


def simulated_site(rng: np.random.Generator, share: float, buildings: int = 250) -> tuple[np.ndarray, ...]:
    """Probabilities (N, 4) where half are damaged, true grades, spread (N, 3), and areas of a site with shifted evidence."""
    damaged = rng.random(buildings) < share
    shift = rng.normal(0, SPREAD)
    odds = np.stack(
        [
            4 * (rng.normal(size=buildings) + np.where(damaged, 2.0, -2.0)) / 2,
            rng.normal(-1, 1, buildings),
            rng.normal(0.5, 1, buildings),
        ],
        axis=1,
    )
    worse = rng.random(buildings) < expit(np.where(damaged, odds[:, 2] + shift[2], odds[:, 1] + shift[1]))
    odds[:, 0] += shift[0]
    grade = 2 * damaged + worse
    return grades_of_sides(odds), grade, np.tile(SPREAD, (buildings, 1)), rng.uniform(50, 300, buildings)


def test_intervals_cover_numbers_areas_and_share() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for share in np.tile([0.05, 0.3, 0.8], 14):
        probabilities, grade, spread, area = simulated_site(rng, share)
        site = fit_to_site(probabilities, np.full(len(grade), "a"), {"a": SHIFT})
        estimate, found = site_estimates(site, spread, area)
        truth = {"damaged": grade >= 2, "destroyed": grade == 3, "major-damage": grade == 2}
        low, high = estimate.interval_95
        assert low <= estimate.value <= high
        assert estimate.value == pytest.approx(site.probabilities[:, 2:].sum(axis=1).mean())
        covered.append(
            [low <= (grade >= 2).mean() <= high]
            + [_inside(found["buildings"][name], rows.sum()) for name, rows in truth.items()]
            + [_inside(found["built_area_m2"][name], area[rows].sum()) for name, rows in truth.items()]
        )
    assert (np.mean(covered, axis=0) >= 0.85).all(), np.mean(covered, axis=0)


def test_a_share_that_is_given_is_that_of_the_numbers_and_leaves_the_chance_of_single_buildings() -> None:
    probabilities, _, spread, area = simulated_site(np.random.default_rng(0), 0.3)
    for value in (0.02, 0.5):
        prior = prior_of_mean(probabilities, value)
        share, found = site_estimates(SiteFit(np.eye(len(SHARES))[0], probabilities, prior, GIVEN_SHARE), spread, area)
        assert (share.value, share.status) == (pytest.approx(value, abs=1e-6), GIVEN_SHARE)
        p = SiteFit(np.zeros(1), probabilities, prior, GIVEN_SHARE).probabilities[:, 2:].sum(axis=1)
        low, high = found["buildings"]["damaged"]["interval_95"]
        assert high - low == pytest.approx(2 * 1.96 * np.sqrt((p * (1 - p)).sum()), rel=0.25)


def test_grades_add_up_and_unknown_areas_are_left_out() -> None:
    probabilities, _, spread, area = simulated_site(np.random.default_rng(1), 0.5)
    site = at_share(probabilities, 0.5)
    rows = site_estimates(site, spread, area)[1]["buildings"]
    assert sum(rows[name]["expected"] for name in rows if name != "damaged") == pytest.approx(len(probabilities))
    assert rows["damaged"]["expected"] == pytest.approx(
        rows["major-damage"]["expected"] + rows["destroyed"]["expected"]
    )
    assert all(0 <= row["interval_95"][0] <= row["interval_95"][1] <= len(probabilities) for row in rows.values())
    assert site_estimates(site, spread, np.full(len(probabilities), np.nan))[1]["built_area_m2"] is None


def test_the_same_seed_draws_the_same_and_no_building_gives_nothing() -> None:
    probabilities, _, spread, area = simulated_site(np.random.default_rng(2), 0.5)
    site = at_share(probabilities, 0.5)
    assert site_estimates(site, spread, area) == site_estimates(site, spread, area)
    share, nothing = site_estimates(at_share(np.zeros((0, 4)), 0.5), np.zeros((0, 3)), np.zeros(0))
    assert (share.interval_95, nothing) == (None, {})


def _inside(row: dict, truth: float) -> bool:
    low, high = row["interval_95"]
    return np.floor(low) <= truth <= np.ceil(high)


def test_the_share_is_what_is_expected_and_its_interval_follows_the_weights() -> None:
    p, spread, area = np.tile([0.4, 0.1, 0.2, 0.3], (400, 1)), np.zeros((400, 3)), np.full(400, 100.0)
    share, found = site_estimates(at_share(p, 0.2), spread, area)
    assert share.value == pytest.approx(found["buildings"]["damaged"]["expected"] / 400)
    assert share.value == pytest.approx(0.2)
    assert share.interval_95 == pytest.approx([0.16, 0.24], abs=0.015)
    open_weights = np.where((SHARES > 0.05) & (SHARES < 0.45), 1.0, 0.0)
    wide = SiteFit(open_weights / open_weights.sum(), p, 0.2)
    low, high = site_estimates(wide, spread, area)[0].interval_95
    assert (low, high) == pytest.approx((0.06, 0.4), abs=0.05)


def test_three_quarters_of_the_spread_of_damage_between_sites_are_left_to_an_estimated_share_and_none_to_a_given_one() -> (
    None
):
    probabilities = np.tile(grades_of_sides(np.array([0.0, -2.0, 0.0])), (10_000, 1))
    spread, area = np.tile([1.2, 0.0, 0.0], (10_000, 1)), np.full(10_000, 100.0)
    share, _ = site_estimates(at_share(probabilities, 0.5), spread, area)
    level = logit(SHARES[np.abs(SHARES - 0.5).argmin()])
    assert share.interval_95 == pytest.approx(expit(level + 0.75 * 1.2 * norm.ppf([0.025, 0.975])), abs=0.04)
    given, _ = site_estimates(SiteFit(np.eye(len(SHARES))[0], probabilities, 0.5, GIVEN_SHARE), spread, area)
    assert given.interval_95 == pytest.approx((0.5, 0.5), abs=0.02)


def test_the_confusion_of_grades_adds_up_and_holds_the_truth_of_simulated_sites() -> None:
    rng, held = np.random.default_rng(5), []
    for share in np.tile([0.2, 0.6], 6):
        probabilities, grade, spread, _ = simulated_site(rng, share)
        site = fit_to_site(probabilities, np.full(len(grade), "a"), {"a": SHIFT})
        called = site.probabilities.argmax(axis=1)
        called[:10] = -1
        for name, row in confusion_of_grades(site, spread, called).items():
            here = called == GRADES.index(name)
            assert row["named"] == here.sum()
            assert sum(each["expected"] for each in row["truly"].values()) == pytest.approx(row["named"])
            truth = [(here & (grade == k)).sum() for k in range(4)]
            held += [_inside(each, number) for each, number in zip(row["truly"].values(), truth, strict=True)]
    assert np.mean(held) >= 0.9
    assert confusion_of_grades(site, spread, np.full(len(grade), -1)) == {}


def test_areas_do_not_depend_on_the_order_of_corners_and_metres_are_those_on_the_ground() -> None:
    import geopandas as gpd
    import shapely

    from deepnets4eo.footprints import outline_areas_m2

    left, right, ring = shapely.box(0, 0, 10, 20), shapely.box(30, 0, 40, 20), shapely.box(2, 2, 8, 8)
    several = shapely.MultiPolygon([left, right.reverse()])
    court = shapely.Polygon(left.exterior.coords, [ring.exterior.coords])
    shapes = shapely.transform(np.array([several, court]), lambda xy: xy + (500_000, 5_800_000))
    plane = gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32633")
    assert outline_areas_m2(plane.to_crs("EPSG:4326")) == pytest.approx([400, 164], rel=0.005)


def test_buildings_of_two_spreads_are_never_counted_together() -> None:
    probabilities, spread = (
        np.full((4, 4), 0.25),
        np.array([[np.pi, 0, 0], [0, 1, 0], [np.pi, 0, 0], [0, 0, np.pi / np.e]]),
    )
    cells = Cells.of(probabilities, spread, np.arange(1.0, 5.0))
    assert sorted(zip(cells.number, cells.area, strict=True)) == [(1, 2), (1, 4), (2, 4)]
    np.testing.assert_allclose(cells.spread[cells.cell], spread)


def weights_of(**of_share: float) -> np.ndarray:
    """Weights of the shares nearest to some percentages."""
    weights = np.zeros(len(SHARES))
    for name, weight in of_share.items():
        weights[np.abs(SHARES - int(name[1:]) / 100).argmin()] += weight
    return weights


def test_an_interval_that_begins_at_none_or_ends_at_all_leaves_4_percent_on_the_other_side() -> None:
    even = np.tile(grades_of_sides(np.array([0.0, -2.0, 0.0])), (400, 1))
    spread, area = np.full((400, 3), 0.01), np.ones(400)

    def interval(**of_share: float) -> list[float]:
        weights = weights_of(**of_share)
        share, _ = site_estimates(SiteFit(weights, even, float(weights @ SHARES)), spread, area)
        assert share.interval_95 is not None
        return [round(end, 1) for end in share.interval_95]

    assert interval(p0=0.97, p80=0.03) == [0.0, 0.0]
    assert interval(p0=0.93, p80=0.07) == [0.0, 0.8]
    assert interval(p99=0.97, p20=0.03) == [1.0, 1.0]
    assert interval(p10=0.04, p40=0.92, p80=0.04) == [0.1, 0.8]  # 2.5 % on each side


def test_buildings_are_named_by_their_probability_and_with_a_given_share_by_their_number() -> None:
    chance = np.array([0.9, 0.6, 0.4, 0.2, 0.2, np.nan])
    even = grades_of_sides(np.stack([np.nan_to_num(logit(chance)), np.full(6, -2.0), np.zeros(6)], axis=1))
    even[5] = np.nan
    half, probably_intact = weights_of(p50=1.0), weights_of(p0=0.9, p50=0.1)
    for weights in (half, probably_intact):  # the same probabilities, whatever the site is
        assert name_damaged(SiteFit(weights, even, 0.5)).tolist() == [True, True, False, False, False, False]
    given = SiteFit(half, even, 0.7, GIVEN_SHARE)
    expected = given.probabilities[:5, 2:].sum()
    assert name_damaged(given).sum() == round(expected) == 3
    wet = np.array([False, True, False, False, False, False])  # named by its own probability, in addition
    assert name_damaged(given, wet).tolist() == [True, True, True, False, False, False]


def test_an_end_that_is_nearly_none_or_all_becomes_that_and_the_other_end_leaves_four_percent() -> None:
    sorted_draws = np.arange(1001.0)  # the quantile q of it is 1000 q
    drawn = np.repeat(sorted_draws[:, None], 5, axis=1)
    drawn[:, 1], drawn[:, 2] = drawn[:, 1] + 15, drawn[:, 2] - 60  # the low ends are 25, 40 and −35
    rows = _rows(np.full(5, 500.0), drawn, 1060.0)
    ends = [row["interval_95"] for row in rows.values()]
    assert ends[0] == pytest.approx([25, 975])
    assert ends[1] == pytest.approx([40, 990])
    assert ends[2] == pytest.approx([0, 900])  # 96 % of the draws lie below 900
    (whole,) = {
        tuple(row["interval_95"])
        for row in _rows(np.full(5, 500.0), sorted_draws[:, None] + np.zeros(5), 979.0).values()
    }
    assert whole == pytest.approx((40, 979))  # 96 % of the draws lie above 40


def test_numbers_of_buildings_end_at_whole_ones_and_areas_do_not() -> None:
    drawn = np.repeat(np.linspace(5.3, 8.7, 1001)[:, None], 5, axis=1)  # 95 % of it: 5.385 to 8.615
    numbers, areas = (_rows(np.full(5, 7.0), drawn, 47.0, counted=counted) for counted in (True, False))
    assert numbers["damaged"]["interval_95"] == [5, 9]
    assert areas["damaged"]["interval_95"] == pytest.approx([5.385, 8.615])
