"""Surfaces of a depth image: two triangles between four known pixels, jumps are cut."""

import numpy as np
import pytest

from deepnets4eo.points.views import Camera, ZBuffer
from deepnets4eo.points.views.surface_construction import surface_of_depth

INTRINSICS = (40.0, 40.0, 15.5, 11.5)
TURN = np.array([[0, 0, 1, 3], [-1, 0, 0, 4], [0, -1, 0, 5], [0, 0, 0, 1.0]])


@pytest.fixture
def depth():
    """A wall at 4 m, a box at 2 m before it, and invalid pixels of all kinds."""
    image = np.full((24, 32), 4.0, np.float32)
    image[8:16, 10:20] = 2
    image[0, :3] = (0, np.nan, np.inf)
    return image


def test_a_depth_image_seen_from_its_own_camera_is_itself(depth):
    for pose in (np.eye(4), TURN):
        classes = np.arange(24 * 32).reshape(24, 32).astype(np.uint8)
        surface = surface_of_depth(depth, INTRINSICS, pose=pose, classes=classes)
        assert surface.origin.tolist() == [0, 0, 0]
        view = ZBuffer(surface).view(Camera.from_pose(INTRINSICS, pose, 32, 24, far_m=9))
        assert view.seen[1:, :].mean() > 0.8
        np.testing.assert_allclose(view.depth_m[view.seen], depth[view.seen], rtol=1e-3)


def test_jumps_of_depth_and_invalid_pixels_are_cut(depth):
    surface = surface_of_depth(depth, INTRINSICS)
    assert len(surface.vertices) == 24 * 32 - 3
    of_corners = depth.ravel()[surface.point_index][surface.faces]
    assert np.ptp(of_corners, axis=1).max() == 0
    joined = surface_of_depth(depth, INTRINSICS, jump=2)
    assert len(joined.faces) > len(surface.faces)


def test_a_level_camera_sees_walls_upright_and_the_floor_low():
    rows, columns = np.mgrid[0:24, 0:32]
    below = (rows - INTRINSICS[3]) / INTRINSICS[1]
    floor = np.where(below > 0, 1.5 / np.maximum(below, 1e-9), np.inf)  # 1.5 m below the camera
    image = np.minimum(floor, 6.0)
    surface = surface_of_depth(image, INTRINSICS)
    on_floor = floor.ravel()[surface.point_index] < 5.5
    assert np.median(surface.verticality[~on_floor]) > 0.95
    assert np.median(surface.verticality[on_floor]) < 0.05
    assert np.abs(surface.height_m[on_floor]).max() < 0.05
    assert surface.height_m.max() == pytest.approx(1.5 + 6 * 11.5 / 40, abs=0.05)


def test_colours_of_depth_pixels_are_kept(depth):
    colour = np.random.default_rng(0).integers(0, 256, (3, 24, 32), np.uint8)
    surface = surface_of_depth(depth, INTRINSICS, colour=colour)
    np.testing.assert_array_equal(surface.colour, colour.reshape(3, -1).T[surface.point_index])
