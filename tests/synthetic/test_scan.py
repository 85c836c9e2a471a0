"""Scans of the miniature city: true heights, shadows where nothing was met, fewer points far away, rubble where it lies."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.synthetic import City, Event, aerial_scan, building_volumes, scanner_positions, terrestrial_scan
from deepnets4eo.synthetic.scan import Rays, hit_distances
from deepnets4eo.synthetic.surface import CitySurface


@pytest.fixture(scope="module")
def city():
    return City(22, 160, 0.5, event=Event(kind="quake", damage_shares=(0.4, 0.1, 0.2, 0.3)))


def pixels(city, cloud):
    surface = city.pre.surface
    col, row = np.floor(apply_affine(~city.canvas.affine, cloud.xyz[:, :2])).astype(int).T
    return np.clip(row, 0, surface.shape[0] - 1), np.clip(col, 0, surface.shape[1] - 1)


def test_a_ray_meets_the_wall_that_geometry_says():
    surface = CitySurface.bare(np.zeros((40, 40), np.float32), 0.5)
    surface.height[:, 20:] = 4.0  # a wall at x = 10 m
    origins = np.array([[2.0, 10.0, 2.0], [2.0, 10.0, 2.0], [2.0, 10.0, 2.0]])
    directions = np.array([[1.0, 0, 0], [1.0, 0, 0.5], [0.6, 0, -0.8]])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    distance = hit_distances(surface, Rays(origins, directions, np.ones(3, bool)), 50.0)
    assert distance[0] == pytest.approx(8.0, abs=0.01)
    assert np.isinf(distance[1])  # over the wall and out of the canvas
    assert distance[2] == pytest.approx(2.0 / 0.8, abs=0.01)


def test_points_from_above_lie_on_the_surface(city):
    cloud = aerial_scan(city.pre, 4.0, max_angle_deg=0, strips=1)
    first = cloud.subset(cloud.return_number == 1)
    row, col = pixels(city, first)
    off = first.xyz[:, 2] - city.pre.surface.dsm[row, col]
    inner = cloud.number_of_returns[cloud.return_number == 1] == 1
    assert np.abs(np.quantile(off[inner], [0.05, 0.95])).max() < 0.08
    assert len(first) == pytest.approx(4.0 * 80 * 80, rel=0.05)


def test_walls_hide_ground_from_an_oblique_beam(city):
    """Right behind a wall, seen from one side at 40 degrees, there is a strip without ground points."""
    ground = {}
    for angle in (0.0, 40.0):
        cloud = aerial_scan(city.pre, 6.0, max_angle_deg=angle, strips=1)
        row, col = pixels(city, cloud)
        built = city.pre.surface.building > 0
        beside = np.zeros_like(built)
        for shift in (-2, -1, 1, 2):
            beside |= np.roll(built, shift, axis=1)
        ground[angle] = int(
            (beside & ~built)[row, col][cloud.xyz[:, 2] < city.pre.surface.ground[row, col] + 0.3].sum()
        )
    assert ground[40.0] < 0.9 * ground[0.0]


def test_from_the_street_the_density_falls_with_distance_and_roofs_stay_unseen(city):
    spot = scanner_positions(city)[:1]
    cloud = terrestrial_scan(city.pre, spot, 40_000, range_m=40.0)
    away = np.hypot(*(cloud.xyz[:, :2] - spot).T)
    near, far = (int(((away >= low) & (away < low + 3)).sum()) / ((low + 3) ** 2 - low**2) for low in (3, 15))
    assert near > 4 * far
    assert away.max() < 41
    assert (cloud.return_number == 1).all()
    roofs = aerial_scan(city.pre, 4.0)
    seen = (cloud.classification == 6).mean(), (roofs.classification == 6).mean()
    row, col = pixels(city, cloud)
    walls = cloud.classification == 6
    top = city.pre.surface.dsm[row, col]
    assert seen[1] > 0
    assert (cloud.xyz[walls, 2] < top[walls] - 0.3).mean() > 0.3  # points on walls, below the roof


def test_a_mast_sees_more_of_the_roofs_than_a_tripod(city):
    spots = scanner_positions(city)[:3]
    seen = []
    for eye_m in (1.8, 12.0):
        cloud = terrestrial_scan(city.pre, spots, 20_000, eye_m=eye_m)
        row, col = pixels(city, cloud)
        built = city.pre.surface.building[row, col] > 0
        seen.append(int((built & (cloud.xyz[:, 2] > city.pre.surface.dsm[row, col] - 0.1)).sum()))
    assert seen[1] > 1.5 * seen[0]


def test_the_same_seed_is_the_same_scan_and_bad_options_are_refused(city):
    one, other = aerial_scan(city.post, 1.0), aerial_scan(city.post, 1.0)
    assert (one.xyz == other.xyz).all()
    assert (one.xyz[:5] != aerial_scan(city.post, 1.0, seed=1).xyz[:5]).any()
    with raises_naming(InputError, "max_angle_deg", "density is 0"):
        aerial_scan(city.pre, 0)
    with raises_naming(InputError, "1 scanner"):
        terrestrial_scan(city.pre, np.array([[0.0, 0.0]]))


def test_rubble_points_appear_where_buildings_came_down(city):
    cloud = aerial_scan(city.post, 4.0)
    row, col = pixels(city, cloud)
    number = city.pre.surface.building[row, col]
    rubble = cloud.classification == 70
    grades = np.array(["", *city.all_buildings["damage"]])
    on_plan = rubble & (number > 0)
    assert np.isin(grades[number[on_plan]], ("major-damage", "destroyed")).mean() > 0.95
    assert not (aerial_scan(city.pre, 4.0).classification == 70).any()


def test_true_volumes_add_up_over_the_pixels_of_each_plan(city):
    table = building_volumes(city)
    before, after = city.pre.surface, city.post.surface
    for position in (0, len(table) // 2, len(table) - 1):
        row = table.iloc[position]
        number = int(city.all_buildings.index[city.all_buildings["id"] == row["id"]][0]) + 1
        plan = before.building == number
        fall = before.height[plan].astype(float) - after.height[plan]
        assert row["volume_pre_m3"] == pytest.approx(before.height[plan].sum(dtype=float) * 0.25)
        assert row["lost_m3"] == pytest.approx(np.maximum(fall, 0).sum() * 0.25)
        assert row["roof_height_loss_m"] == pytest.approx(fall.mean())
    assert (table["debris_m3"] <= table["volume_post_m3"] + 1e-6).all()
