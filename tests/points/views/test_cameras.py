"""Cameras stand where the samplers say, look where they should, and see what is right on the right."""

import numpy as np
import pytest
from made_up_surface import hill_with_house, triangles
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import Camera, SurfaceOptions, ZBuffer, make_surface

SOUTH_TO_NORTH = {"eye": np.array([0, -10.0, 0]), "target": np.zeros(3), "up": np.array([0, 0, 1.0])}


@pytest.fixture(scope="module")
def surface():
    return make_surface(hill_with_house(), SurfaceOptions(voxel_m=0.5))


def elevation_deg(camera):
    away = camera.eye - camera.target
    return np.degrees(np.arcsin(away[2] / np.linalg.norm(away)))


def test_a_point_is_seen_at_the_pixel_that_its_ray_goes_through():
    camera = Camera(np.array([3, -10, 4.0]), np.array([1, 2, 0.5]), np.array([0, 0, 1.0]), 50, 80, 60)
    right, down, forward = camera.axes()
    fx, fy, cx, cy = camera.focal()
    point = np.array([0.5, 1.0, 1.5])
    inside = np.array([axis @ (point - camera.eye) for axis in (right, down, forward)])
    column, row = fx * inside[0] / inside[2] + cx, fy * inside[1] / inside[2] + cy
    ray = camera.rays()[round(row), round(column)] @ camera.axes()
    assert np.linalg.norm(camera.eye + inside[2] * ray - point) < inside[2] / fx


def test_the_edges_of_an_image_are_the_field_of_view_apart():
    camera = Camera(**SOUTH_TO_NORTH, field_of_view_deg=60, width_px=200, height_px=100)
    fx, _, cx, _ = camera.focal()
    edges = [(column - cx) / fx for column in (-0.5, 199.5)]
    assert np.degrees(np.arctan(edges)).tolist() == pytest.approx([-30, 30])


def test_a_camera_of_a_pose_sees_as_the_pose_says():
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # x right is -y, y down is -z, z forward is x
    pose[:3, 3] = [5, 6, 7]
    camera = Camera.from_pose((585, 585, 320, 240), pose, 640, 480)
    np.testing.assert_allclose(camera.axes(), pose[:3, :3].T)
    assert camera.focal() == (585, 585, 320, 240)
    assert camera.rays()[240, 320].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.array([0, -10.0, 0])}, "looks at"),
        ({"up": np.array([0, 1.0, 0])}, "an up that is not along the viewing direction"),
        ({"near_m": 5, "far_m": 5}, "0 <= near_m < far_m"),
        ({"field_of_view_deg": 180}, "between 0 and 180"),
        ({"width_px": 0}, "0 x 224 pixels"),
    ],
)
def test_a_camera_that_sees_nothing_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Camera(**(SOUTH_TO_NORTH | change))


def test_published_cameras_stand_in_a_steep_cone_over_vertices_at_three_distances(surface):
    cameras = Camera.around(surface, 40, seed=0)
    assert len(cameras) == 120
    distances = [np.linalg.norm(camera.eye - camera.target) for camera in cameras]
    np.testing.assert_allclose(distances, [5, 10, 20] * 40)
    assert all(70 - 1e-6 <= elevation_deg(camera) <= 90 for camera in cameras)
    vertices = {tuple(vertex) for vertex in surface.vertices.astype(np.float64).tolist()}
    assert {tuple(camera.target.tolist()) for camera in cameras} <= vertices
    headings = [np.arctan2(*(camera.eye - camera.target)[:2]) for camera in cameras[::3]]
    assert np.ptp(headings) > 5
    assert {(c.width_px, c.height_px, c.field_of_view_deg, c.near_m, c.far_m) for c in cameras} == {
        (224, 224, 60, 1, 100)
    }


def test_the_seed_decides_the_cameras(surface):
    eyes = [[camera.eye.tolist() for camera in Camera.around(surface, 3, seed=seed)] for seed in (1, 1, 2)]
    assert eyes[0] == eyes[1] != eyes[2]


def test_a_camera_that_looks_straight_down_has_an_up(surface):
    for camera in Camera.around(surface, 5, seed=0, elevation_deg=(90, 90)):
        np.testing.assert_allclose(camera.axes() @ camera.axes().T, np.eye(3), atol=1e-12)


def test_survey_cameras_look_down_and_to_all_sides_and_miss_nothing(surface):
    cameras = Camera.above(surface, gsd_m=0.1, overlap=0.3)
    elevations = np.array([elevation_deg(camera) for camera in cameras]).reshape(-1, 5)
    np.testing.assert_allclose(elevations[:, 0], 90)
    np.testing.assert_allclose(elevations[:, 1:], 45)
    upwards = cameras[0].axes()[1]
    np.testing.assert_allclose(upwards, (0, -1, 0), atol=1e-12)  # the image's down is south
    shown = np.zeros(len(surface.vertices), bool)
    caster = ZBuffer(surface)
    for camera in cameras[::5]:
        view = caster.view(camera)
        shown[surface.faces[view.face[view.seen]]] = True
    assert shown.mean() > 0.85  # splats hide a part of those below them


def test_the_ground_size_of_a_pixel_is_as_stated(surface):
    camera = Camera.above(surface, gsd_m=0.25, headings=0)[0]
    assert np.linalg.norm(camera.eye - camera.target) / camera.focal()[0] == pytest.approx(0.25)


def test_resampled_cameras_turn_about_the_middle_of_the_scene():
    camera = Camera(**SOUTH_TO_NORTH, width_px=64, height_px=48)
    near = Camera.near(camera, 50, seed=0, pivot_m=4, turn_deg=20, shift=0.1)
    for one in near:
        np.testing.assert_allclose(one.target, (0, -6, 0))
        assert 3.6 <= np.linalg.norm(one.eye - one.target) <= 4.4
        cosine = camera.axes()[2] @ one.axes()[2]
        assert cosine >= np.cos(np.radians(20)) ** 2 - 1e-9
        assert (one.width_px, one.height_px) == (64, 48)
    assert len({tuple(one.eye) for one in near}) == 50


@pytest.mark.parametrize("values", [{"pivot_m": 0}, {"pivot_m": 1, "turn_deg": 90}, {"pivot_m": 1, "shift": 1}])
def test_turns_that_leave_the_scene_are_refused(values):
    with raises_naming(InputError, "Camera.near"):
        Camera.near(Camera(**SOUTH_TO_NORTH), 1, seed=0, **values)


def test_wrong_angles_distances_and_surfaces_are_refused(surface):
    with raises_naming(InputError, "elevation_deg"):
        Camera.around(surface, 1, seed=0, elevation_deg=(80, 100))
    with raises_naming(InputError, "distances_m"):
        Camera.around(surface, 1, seed=0, distances_m=(0,))
    with raises_naming(InputError, "overlap 1"):
        Camera.above(surface, overlap=1)
    with pytest.raises(InputError, match="no vertices"):
        Camera.around(triangles(), 1, seed=0)


def room(seed=0, size=(6.0, 5.0, 2.6), count=30_000):
    """Points on floor, ceiling and walls of a room, and on a table of 0.8 m."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(0, 1, (count, 3))
    side = rng.integers(0, 6, count)
    xyz[np.arange(count), side % 3] = side // 3
    table = rng.uniform(0, 1, (2000, 3)) * (0.3, 0.2, 0) + (0.4, 0.4, 0.3)
    return np.concatenate([xyz, table]) * size


def test_cameras_indoors_stand_in_the_room_and_look_below_its_upper_third():
    surface = make_surface(PointCloud(room()), SurfaceOptions(voxel_m=0.1))
    cameras = Camera.indoors(surface, 50, seed=0)
    assert len(cameras) == 50 * 3
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    eyes, targets = (np.array([getattr(one, name) for one in cameras]) for name in ("eye", "target"))
    assert (eyes > low + 0.19).all()
    assert (eyes < high - 0.19).all()
    assert targets[:, 2].max() <= 0.2 + (2.2 * 2 / 3) + 0.1
    away = np.linalg.norm(eyes - targets, axis=1).reshape(-1, 3)
    assert set(np.round(away.ravel(), 3)) == {1.0, 2.0, 3.0}


def test_cameras_indoors_see_floor_and_table_that_those_above_a_room_do_not():
    surface = make_surface(PointCloud(room()), SurfaceOptions(voxel_m=0.1))
    caster, shares = ZBuffer(surface), []
    for cameras in (Camera.indoors(surface, 20, seed=0), Camera.around(surface, 20, seed=0)):
        pixels = np.zeros(len(surface.vertices), int)
        for camera in cameras:
            view = caster.view(camera)
            pixels += np.bincount(surface.faces[view.face[view.seen], 0], minlength=len(pixels))
        x, y, z = surface.vertices.T
        inner = (np.abs(x - 3) < 2.5) & (np.abs(y - 2.5) < 2) & (z < 1.5)
        shares.append((pixels[inner] >= 20).mean())  # a few pixels see through gaps between the points of the ceiling
    assert shares[0] > 0.8
    assert shares[1] < 0.5


def test_a_room_too_small_to_stand_in_is_refused():
    surface = make_surface(PointCloud(room(size=(0.3, 5, 2.6))), SurfaceOptions(voxel_m=0.1))
    with pytest.raises(InputError, match="expected a room"):
        Camera.indoors(surface, 5, seed=0)
    surface = make_surface(PointCloud(room(size=(2.0, 2.0, 2.0))), SurfaceOptions(voxel_m=0.1))
    with raises_naming(InputError, "4.0"):
        Camera.indoors(surface, 5, seed=0, distances_m=(4.0,))
