"""Numbers and areas with intervals that hold the grading error: simulated sites lie in them as often as they say."""

import numpy as np
import pytest
from scipy.special import expit

from deepnets4eo.damage.estimates import BuildingGround, Cells, site_estimates
from deepnets4eo.damage.probabilities import grades_of_sides
from deepnets4eo.damage.site import BY_USER, ESTIMATED, LIMITED, SHARES, ShareEstimate, choose_share

SPREAD = (0.7, 0.5, 0.8)


def simulated_site(rng: np.random.Generator, share: float, buildings: int = 250) -> tuple[np.ndarray, ...]:
    """Probabilities (N, 4) where half are damaged, true grades, spread (N, 3), and ground of a site with shifted evidence."""
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
    ground = BuildingGround(rng.uniform(50, 300, buildings), rng.integers(0, 20, buildings))
    return grades_of_sides(odds), grade, np.tile(SPREAD, (buildings, 1)), ground


def test_intervals_cover_numbers_areas_and_share() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for share in np.tile([0.05, 0.3, 0.8], 14):
        probabilities, grade, spread, ground = simulated_site(rng, share)
        damaged = probabilities[:, 2:].sum(axis=1)
        chosen = choose_share(np.log(damaged / (1 - damaged)), float((grade >= 2).mean()))
        estimate, found = site_estimates(probabilities, spread, ground, chosen)
        truth = {"damaged": grade >= 2, "destroyed": grade == 3, "major-damage": grade == 2}
        low, high = estimate.interval_95
        assert estimate.most_likely == chosen.most_likely
        covered.append(
            [low <= (grade >= 2).mean() <= high]
            + [_inside(found["buildings"][name], rows.sum()) for name, rows in truth.items()]
            + [_inside(found["built_area_m2"][name], ground.area_m2[rows].sum()) for name, rows in truth.items()]
        )
    assert (np.mean(covered, axis=0) >= 0.85).all(), np.mean(covered, axis=0)


def test_a_share_that_is_given_stays_and_moves_the_numbers() -> None:
    probabilities, _, spread, ground = simulated_site(np.random.default_rng(0), 0.3)
    numbers = []
    for value in (0.02, 0.5):
        share, found = site_estimates(probabilities, spread, ground, ShareEstimate(value, BY_USER))
        assert share.interval_95 is None
        numbers.append(found["buildings"]["damaged"]["expected"])
    exact = probabilities[:, 2:].sum(axis=1)
    assert numbers[1] == pytest.approx(exact.sum(), rel=0.01)  # like log-odds are counted together
    assert numbers[0] < numbers[1]


def test_grades_add_up_and_unknown_areas_are_left_out() -> None:
    probabilities, _, spread, ground = simulated_site(np.random.default_rng(1), 0.5)
    share = choose_share(np.zeros(30), 0.5)
    found = site_estimates(probabilities, spread, ground, share)[1]
    rows = found["buildings"]
    assert sum(rows[name]["expected"] for name in rows if name != "damaged") == pytest.approx(len(probabilities))
    assert rows["damaged"]["expected"] == pytest.approx(
        rows["major-damage"]["expected"] + rows["destroyed"]["expected"]
    )
    assert all(0 <= row["interval_95"][0] <= row["interval_95"][1] <= len(probabilities) for row in rows.values())
    flat = BuildingGround(np.full(len(probabilities), np.nan), ground.block)
    assert site_estimates(probabilities, spread, flat, share)[1]["built_area_m2"] is None


def test_the_same_seed_draws_the_same_and_no_building_gives_nothing() -> None:
    probabilities, _, spread, ground = simulated_site(np.random.default_rng(2), 0.5)
    share = choose_share(np.zeros(30), 0.5)
    assert site_estimates(probabilities, spread, ground, share) == site_estimates(probabilities, spread, ground, share)
    nothing = BuildingGround(np.zeros(0), np.zeros(0, int))
    assert site_estimates(np.zeros((0, 4)), np.zeros((0, 3)), nothing, share) == (share, {})


def _inside(row: dict, truth: float) -> bool:
    low, high = row["interval_95"]
    return np.floor(low) <= truth <= np.ceil(high)


def test_damage_in_clusters_widens_the_interval_from_twelve_blocks_on() -> None:
    block = np.repeat(np.arange(12), 25)
    p = np.where((block < 4)[:, None], [0.01, 0.01, 0.08, 0.9], [0.9, 0.08, 0.01, 0.01])
    share = choose_share(np.log(p[:, 2:].sum(axis=1) / p[:, :2].sum(axis=1)), 1 / 3)
    widths = []
    for blocks in (block, np.zeros(300, int)):
        ground = BuildingGround(np.full(300, 100.0), blocks)
        low, high = site_estimates(p, np.zeros((300, 3)), ground, share)[0].interval_95
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_with_the_weights_of_the_shares_the_most_likely_is_what_is_expected_here() -> None:
    p = np.tile([0.4, 0.1, 0.2, 0.3], (400, 1))
    ground, spread = BuildingGround(np.full(400, 100.0), np.zeros(400, int)), np.zeros((400, 3))
    certain = np.eye(len(SHARES))[np.abs(SHARES - 0.2).argmin()]
    share, found = site_estimates(p, spread, ground, ShareEstimate(0.2, ESTIMATED, "", 0.3), certain)
    assert share.most_likely == pytest.approx(found["buildings"]["damaged"]["expected"] / 400)
    assert share.most_likely == pytest.approx(0.2, abs=0.01)
    assert share.interval_95 == pytest.approx([0.16, 0.24], abs=0.015)
    limited = ShareEstimate(0.2, LIMITED, "too few", 0.3)
    assert site_estimates(p, spread, ground, limited, certain)[0].most_likely == 0.3


def test_areas_do_not_depend_on_the_order_of_corners_and_metres_are_those_on_the_ground() -> None:
    import geopandas as gpd
    import shapely

    from deepnets4eo.footprints.outlines import centres_m, outline_areas_m2

    left, right, ring = shapely.box(0, 0, 10, 20), shapely.box(30, 0, 40, 20), shapely.box(2, 2, 8, 8)
    several = shapely.MultiPolygon([left, right.reverse()])
    court = shapely.Polygon(left.exterior.coords, [ring.exterior.coords])
    shapes = shapely.transform(np.array([several, court]), lambda xy: xy + (500_000, 5_800_000))
    plane = gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32633")
    assert outline_areas_m2(plane.to_crs("EPSG:4326")) == pytest.approx([400, 164], rel=0.005)
    web = centres_m(plane.to_crs("EPSG:3857"))
    assert np.hypot(*(web[0] - web[1])) == pytest.approx(15, rel=0.005)


def test_buildings_of_two_spreads_are_never_counted_together() -> None:
    probabilities, spread = (
        np.full((4, 4), 0.25),
        np.array([[np.pi, 0, 0], [0, 1, 0], [np.pi, 0, 0], [0, 0, np.pi / np.e]]),
    )
    cells = Cells.of(probabilities, spread, np.arange(1.0, 5.0))
    assert sorted(zip(cells.number, cells.area, strict=True)) == [(1, 2), (1, 4), (2, 4)]
    np.testing.assert_allclose(cells.spread[cells.cell], spread)
