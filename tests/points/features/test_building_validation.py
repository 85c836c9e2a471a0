"""Groups of candidates are confirmed, refuted or left for review by the shares of their points that the rules name."""

import numpy as np
import shapely
from places.building_validation import ValidationOptions, Verdict, validate_buildings
from refusals import raises_naming
from scipy.cluster.hierarchy import fcluster, linkage

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.features import neighbourhoods as module

# Probabilities of a building; CONFIRMED only confirms under a footprint.
SURE, CONFIRMED, NEVER, EVEN = 0.95, 0.35, 0.05, 0.5


def make_groups(*shares: dict[float, int], classes: int = 2) -> tuple[PointCloud, np.ndarray]:
    """Rows of points 0.4 m apart, a row each 10 m, and their scores: so many points of each probability."""
    xyz, building = [], []
    for number, share in enumerate(shares):
        values = [value for value, count in share.items() for _ in range(count)]
        xyz += [(0.4 * step, 10.0 * number, 5.0) for step in range(len(values))]
        building += values
    p = np.array(building, np.float32)[:, None]
    return PointCloud(np.array(xyz)), np.hstack([p, np.repeat((1 - p) / (classes - 1), classes - 1, axis=1)])


def decide(*shares: dict[float, int], footprints=None, classes: int = 2) -> list[Verdict]:
    cloud, scores = make_groups(*shares, classes=classes)
    found = validate_buildings(cloud, np.ones(len(cloud), bool), scores, 0, footprints)
    return [Verdict(one) for one in found.decision]


def test_a_group_is_confirmed_from_two_thirds_and_refuted_from_96_percent():
    assert decide({SURE: 67, NEVER: 33}, {SURE: 66, NEVER: 34}) == [Verdict.confirmed, Verdict.unsure]
    assert decide({NEVER: 97, SURE: 3}, {NEVER: 96, SURE: 4}) == [Verdict.refuted, Verdict.unsure]


def test_a_footprint_over_half_of_a_group_confirms_it_and_forbids_to_refute_it():
    half = np.array([shapely.box(-1, -1, 0.4 * 50 + 0.1, 1)])  # 51 of 100 points of the first row
    less = np.array([shapely.box(-1, -1, 0.4 * 48 + 0.1, 1)])  # 49
    assert decide({NEVER: 100}, {NEVER: 100}, footprints=half) == [Verdict.confirmed, Verdict.refuted]
    assert decide({NEVER: 100}, footprints=less) == [Verdict.refuted]


def test_a_footprint_lowers_the_probability_that_confirms_a_point():
    # without more than 50.4 % under it: half the points are sure, a quarter is confirmed by the footprint alone
    under = np.array([shapely.box(0.4 * 50 - 0.1, -1, 0.4 * 75 - 0.1, 1)])
    points = {SURE: 50, CONFIRMED: 25, NEVER: 25}
    assert decide(points) == [Verdict.unsure]
    assert decide(points, footprints=under) == [Verdict.confirmed]


def test_a_group_of_ambiguous_points_is_unsure_even_under_a_footprint():
    over = np.array([shapely.box(-1, -1, 99, 1)])
    assert decide({EVEN: 91, SURE: 9}, footprints=over) == [Verdict.unsure]  # entropy of (0.5, 0.5): 0.693
    assert decide({EVEN: 90, SURE: 10}, footprints=over) == [Verdict.confirmed]


def test_points_without_scores_and_small_groups_are_not_decided():
    cloud, scores = make_groups({SURE: 20}, {SURE: 9}, {SURE: 12})
    scores[:20] = np.nan
    candidates = np.ones(len(cloud), bool)
    candidates[-1] = False
    found = validate_buildings(cloud, candidates, scores, 0)
    assert found.group.tolist() == [0] * 20 + [-1] * 9 + [1] * 11 + [-1]
    assert found.of_points.tolist() == [Verdict.unsure] * 29 + [Verdict.confirmed] * 11 + [Verdict.unsure]
    assert found.automation == 0.5
    nothing = validate_buildings(cloud, np.zeros(len(cloud), bool), scores, 0)
    assert len(nothing.decision) == 0
    assert np.isnan(nothing.automation)


def test_groups_are_those_of_single_linkage_whatever_the_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.uniform(0, 6, (700, 3)) + [650_000, 6_860_000, 0])
    scores = np.full((700, 2), 0.5, np.float32)
    options = ValidationOptions(least_points=4)
    expected = fcluster(linkage(cloud.xyz, "single"), 0.5, "distance")
    for most in (16_000, 60):
        monkeypatch.setattr(module.blocks_with_halo, "__defaults__", (most,))
        group = validate_buildings(cloud, np.ones(700, bool), scores, 0, options=options).group
        kept = np.bincount(expected)[expected] >= 4
        assert kept.any()
        assert np.array_equal(group >= 0, kept)
        assert len({*zip(group[kept], expected[kept], strict=True)}) == len({*group[kept]}) == len({*expected[kept]})


def test_scores_of_other_points_are_refused():
    cloud, scores = make_groups({SURE: 20})
    with raises_naming(InputError, "20 points"):
        validate_buildings(cloud, np.ones(20, bool), scores[:5], 0)
    with raises_naming(InputError, "class 2"):
        validate_buildings(cloud, np.ones(20, bool), scores, 2)
