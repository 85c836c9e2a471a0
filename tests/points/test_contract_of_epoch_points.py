"""Where the surface of a date is sampled, and which of its points count: results against values by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.files.cloud_file import check_no_degrees
from deepnets4eo.points.rubble.epoch_points import Sampling, _cells, _points_within, sample_area, surface_points
from deepnets4eo.points.rubble.epochs import EpochFit, EpochQuality, Match, _equations, _height_difference, _share_on
from deepnets4eo.points.rubble.motion import RigidMotion
from deepnets4eo.rasters import Layer


def test_sixteen_boxes_of_an_area_lie_around_the_middle_of_their_buildings() -> None:
    centres = np.array([[10.0, 50], [230, 10], [250, 20]])
    found = sample_area((0, 0, 800, 400), centres, 0.1)
    assert found.boxes.shape == (16, 4)
    assert found.boxes[0].tolist() == [0, 0, 120, 100]  # around (10, 50), inside of its part
    assert found.boxes[4].tolist() == [200, 0, 320, 100]  # around (240, 15): parts are counted by columns
    assert found.boxes[1].tolist() == [40, 100, 160, 200]  # without a building, in the middle
    assert found.step_m == pytest.approx((16 * 120 * 100 / 150_000) ** 0.5)
    assert sample_area((0, 0, 40, 40), np.empty((0, 2)), 0.1).step_m == 0.4
    assert sample_area((0, 0, 40, 40), np.empty((0, 2)), 2.5).step_m == 2.5
    assert found.grow(2).boxes[0].tolist() == [-2, -2, 122, 102]


BOX = Sampling(np.array([[0.0, 0, 4, 2], [10, 10, 12, 12]]), 1.0)


def heights(xyz: Any, **more: Any) -> Any:
    cloud = PointCloud(np.array(xyz, float), **more)
    return SimpleNamespace(layer=None, chunks=lambda: [cloud])


def test_points_count_in_the_extent_of_all_boxes_unless_they_are_plants_or_noise() -> None:
    xyz = [
        [0, 0, 1],
        [12, 12, 2],
        [12.1, 5, 3],
        [5, -0.1, 4],
        [-0.1, 5, 5],
        [5, 12.1, 6],
        [5, 5, 7],
        [6, 6, 8],
        [7, 7, 9],
    ]
    codes = np.array([2, 2, 2, 2, 2, 2, 4, 7, 6], np.uint8)
    (found,) = _points_within(heights(xyz, classification=codes), BOX)
    assert found[:, 2].tolist() == [1, 2, 9]
    (others,) = _points_within(heights(xyz, classification=codes, asprs=False), BOX)
    assert others[:, 2].tolist() == [1, 2, 7, 8, 9]  # codes of another list mean nothing


def test_heights_of_a_surface_model_lie_in_the_middle_of_its_cells() -> None:
    grid = GeoBox((12, 12), Affine(1, 0, 0, 0, -1, 12), "EPSG:32633")
    values = np.arange(144, dtype=np.float32).reshape(1, 12, 12)
    values[0, 11, 1] = -9999  # no height on the Earth
    model: Any = SimpleNamespace(layer=Layer.open(values, grid=grid), chunks=None)
    first, second = _points_within(model, BOX)
    assert {tuple(point) for point in first.tolist()} >= {(0.5, 0.5, 132), (3.5, 1.5, 123)}
    assert (1.5, 0.5) not in {(x, y) for x, y, _ in first.tolist()}
    assert (11.5, 11.5, 11) in {tuple(point) for point in second.tolist()}


def test_points_fall_into_cells_of_the_boxes_that_contain_them() -> None:
    grids: Any = [GeoBox((2, 4), Affine(1, 0, 0, 0, -1, 2), None), GeoBox((2, 2), Affine(1, 0, 10, 0, -1, 12), None)]
    xyz = np.array([[0.5, 0.5, 0], [3.5, 1.5, 0], [10.5, 11.5, 0], [4.5, 0.5, 0]])
    (own, inside), (further, within) = _cells(xyz, grids, np.array([0, 8, 12]))
    assert (own.tolist(), inside.tolist()) == ([4, 3], [True, True, False, False])
    assert (further.tolist(), within.tolist()) == ([8], [False, False, True, False])


def test_a_cell_has_the_mean_of_its_top_layer() -> None:
    """The highest points of a cell and those just below them; the ground under a roof does not count."""
    xyz = [[0.2, 0.5, 10.0], [0.4, 0.5, 9.9], [0.6, 0.5, 0.0], [2.5, 1.5, 1.0]]
    found = surface_points(heights(xyz), BOX)
    np.testing.assert_allclose(found.xyz, [[0.3, 0.5, 9.95], [2.5, 1.5, 1.0]])
    assert (found.wall.tolist(), found.spacing_m) == ([False, False], 0)


def test_a_motion_moves_the_date_back_by_its_offset() -> None:
    corners = np.array([[0.0, 0, 5], [100, 0, 5], [0, 100, 5], [100, 100, 5]])
    centre = corners.mean(axis=0)
    up = EpochFit("ok", None, RigidMotion.upwards(2.0, centre), EpochQuality(tested=7, share=0.5), corners, sources=("b.laz", "a.laz"))  # fmt: skip
    assert (up.shift_m.tolist(), up.off_m, up.reason_text) == ([0, 0, -2], (0, 0, 2), "")
    plain = up.to_dict()
    assert (plain["source"], plain["onto"], plain["status"], plain["reason"], plain["moved"]) == ("b.laz", "a.laz", "ok", "", False)  # fmt: skip
    assert (plain["shift_up_m"], plain["tested"], plain["share"], plain["residual_m"], plain["score"]) == (-2, 7, 0.5, None, None)  # fmt: skip
    turned = EpochFit("ok", None, RigidMotion.upwards(0, centre).followed_by(np.array([0, 0, np.radians(2)]), np.array([3.0, 4, 0])), EpochQuality(), corners)  # fmt: skip
    assert turned.to_dict()["rotation_deg"] == pytest.approx(-2)
    np.testing.assert_allclose(turned.shift_m, [-3, -4, 0], atol=1e-12)
    radius = 2 * np.sin(np.radians(1)) * np.hypot(50, 50)  # of the corners, in addition to 5 m
    assert 5 < turned.off_m[0] <= 5 + radius + 1e-9
    tilted = EpochFit("ok", None, RigidMotion.upwards(0, centre).followed_by(np.array([0, np.radians(1), 0]), np.zeros(3)), EpochQuality(), corners)  # fmt: skip
    assert tilted.off_m[1:] == pytest.approx((50 * np.sin(np.radians(1)), 0), abs=1e-9)
    assert tilted.to_dict()["tilt_deg"] == pytest.approx(1)


def test_a_matched_point_pulls_the_motion_along_its_normal() -> None:
    match = Match(np.array([True, False]), np.array([[1.0, 0, 0]]), np.array([[0.0, 0, 1]]), np.array([0.5]), np.array([0.1]))  # fmt: skip
    normal, gradient = _equations(match, RigidMotion.upwards(0, np.zeros(3)), 1.0)
    design = np.array([0, -1, 0, 0, 0, 1.0])  # lever (1, 0, 0) × up
    weight = 0.1 * (1 - 0.25) ** 2
    np.testing.assert_allclose(normal, weight * np.outer(design, design))
    np.testing.assert_allclose(gradient, -0.5 * weight * design)
    far = match._replace(distance=np.array([1.1]))
    assert not _equations(far, RigidMotion.upwards(0, np.zeros(3)), 1.0)[0].any()
    assert (_share_on(match, 0.51), _share_on(match, 0.5)) == (0.5, 0)


def test_the_first_date_is_higher_by_the_median_at_the_nearest_corners() -> None:
    later = np.array([[0.0, 0, 10], [10, 0, 10], [20, 0, 10]])
    first = np.array([[0.0, 1, 13], [10, 1, 12], [20, 1, 40]])
    assert _height_difference(later, first) == 3


def test_values_are_computed_for_points_that_count() -> None:
    xyz = np.arange(12.0).reshape(4, 3)
    cloud = PointCloud(
        xyz, classification=np.array([2, 7, 2, 2], np.uint8), withheld=np.array([False, False, True, False])
    )
    seen: list[int] = []
    found = at_counted(cloud, lambda part: seen.append(len(part)) or part.xyz[:, :2], -1)
    assert (found.tolist(), seen) == ([[0, 1], [-1, -1], [-1, -1], [9, 10]], [2])
    plain = PointCloud(xyz)
    assert at_counted(plain, lambda part: part.xyz, 0) is plain.xyz
    with pytest.raises(InputError, match="all 4 points are withheld or classified as noise"):
        at_counted(PointCloud(xyz, classification=np.full(4, 18, np.uint8)), lambda part: part.xyz, 0)


@pytest.mark.parametrize(
    ("low", "high", "degrees"),
    [
        ((11.5, 48.0, 300), (11.501, 48.001, 320), True),
        ((179.999, 89.999, 300), (180, 90, 320), True),
        ((179.999, 89.999, 300), (180.01, 90, 320), False),
        ((179.999, 89.999, 300), (180, 90.01, 320), False),
        ((11.5, 48.0, 300), (12.5, 49.0, 320), False),  # not slender
        ((11.5, 48.0, 300), (11.5, 48.0, 320), False),  # a pole
        ((0, 0, 0), (0.001, 0.001, 3), False),  # an object near the origin of its own system
    ],
)
def test_slender_clouds_within_the_range_of_degrees_are_refused(low: Any, high: Any, degrees: bool) -> None:
    bounds = np.array([low, high], float)
    if not degrees:
        check_no_degrees(bounds, "a.laz")
        return
    with pytest.raises(InputError, match="look like degrees"):
        check_no_degrees(bounds, "a.laz")
