"""The depth buffer sees the faces that a plain computation says."""

from dataclasses import replace

import numpy as np
from made_up_surface import hill_with_house, triangles

from deepnets4eo.points.views import Camera, SurfaceOptions, ZBuffer, make_surface

DOWN = {"eye": np.array([0, 0, 10.0]), "target": np.zeros(3), "up": np.array([0, 1.0, 0])}


def plane(z, side=20.0):
    return (-side, -side, z), (side, -side, z), (0, side, z)


def plain_way(surface, camera):
    """For each pixel the depths at which its ray meets each face, by solving for the crossing point."""
    corners = (surface.vertices[surface.faces] if surface.corners is None else surface.corners).astype(np.float64)
    depths = np.full((camera.height_px, camera.width_px, len(corners)), np.inf)
    margins = np.zeros_like(depths)
    for row, column in np.ndindex(camera.height_px, camera.width_px):
        ray = camera.rays()[row, column] @ camera.axes()
        for face, (a, b, c) in enumerate(corners):
            depth, u, v = np.linalg.solve(np.column_stack([ray, a - b, a - c]), a - camera.eye)
            margins[row, column, face] = min(u, v, 1 - u - v)
            if margins[row, column, face] >= 0 and camera.near_m <= depth <= camera.far_m:
                depths[row, column, face] = depth
    clear = np.abs(margins).min(axis=-1) > 1e-4
    nearest = np.where(np.isfinite(depths.min(axis=-1)), depths.argmin(axis=-1), -1)
    return nearest, depths.min(axis=-1), clear


def test_the_face_of_a_pixel_is_the_nearest_that_its_ray_meets():
    rng = np.random.default_rng(0)
    surface = triangles(*(rng.uniform(-4, 4, (3, 3)) + (0, 0, rng.uniform(-6, 8)) for _ in range(40)))
    camera = Camera(**DOWN, width_px=20, height_px=16, near_m=1, far_m=14)
    face, depth, clear = plain_way(surface, camera)
    view = ZBuffer(surface).view(camera)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(view.face[clear], face[clear])
    np.testing.assert_allclose(view.depth_m[clear], depth[clear], rtol=1e-4)


def test_what_is_nearer_hides_what_is_behind_whatever_their_order():
    for heights in [(0, 3), (3, 0)]:
        view = ZBuffer(triangles(*map(plane, heights))).view(Camera(**DOWN, width_px=9, height_px=9))
        assert (view.face == heights.index(3)).all()
        np.testing.assert_allclose(view.depth_m, 7, rtol=1e-6)


def test_beyond_the_near_and_far_limits_nothing_is_seen():
    surface = triangles(plane(5), plane(0), plane(-50, side=200))  # at 5, 10 and 60 m
    seen = {
        limits: set(ZBuffer(surface).view(Camera(**DOWN, width_px=5, height_px=5, near_m=limits[0], far_m=limits[1])).face.ravel())
        for limits in [(1, 100), (5.5, 100), (5.5, 9.5), (10.5, 100), (1, 4.5)]
    }  # fmt: skip
    assert list(seen.values()) == [{0}, {1}, {-1}, {2}, {-1}]


def test_faces_that_reach_behind_the_camera_are_seen_in_front_of_it():
    wall = ((-300, 2, -300), (300, 2, -300), (0, 2, 900))
    floor = ((-300, -300, -1), (300, -300, -1), (0, 900, -1))
    camera = Camera(np.zeros(3), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]), 90, 8, 8, 0.1)
    view = ZBuffer(triangles(wall, floor)).view(camera)
    assert (view.face[:5] == 0).all()
    assert (view.face[6:] == 1).all()


def test_background_is_minus_one_at_infinity():
    view = ZBuffer(triangles(((0, 0, 0), (1, 0, 0), (0, 1, 0)))).view(Camera(**DOWN, width_px=50, height_px=50))
    assert (view.face[~view.seen] == -1).all()
    assert np.isinf(view.depth_m[~view.seen]).all()
    assert 0 < view.seen.mean() < 0.1
    assert view.face.dtype == np.int32


def test_a_surface_without_faces_is_background():
    view = ZBuffer(triangles()).view(Camera(**DOWN, width_px=7, height_px=5))
    assert view.face.shape == (5, 7)
    assert not view.seen.any()


def test_right_is_right_and_up_is_up():
    """Seen from the south, what lies in the east is on the right: images are not mirrored."""
    east = ((1, 0, -1), (3, 0, -1), (2, 0, 1))
    above = ((-0.5, 0, 2), (0.5, 0, 2), (0, 0, 3))
    camera = Camera(np.array([0, -10.0, 0]), np.zeros(3), np.array([0, 0, 1.0]), width_px=101, height_px=101)
    view = ZBuffer(triangles(east, above)).view(camera)
    assert np.nonzero(view.face == 0)[1].min() > 50
    assert np.nonzero(view.face == 1)[0].max() < 50


def test_both_sides_of_a_face_are_seen():
    first, second, third = plane(0)
    camera = Camera(**DOWN, width_px=3, height_px=3)
    assert ZBuffer(triangles((first, second, third))).view(camera).seen.all()
    assert ZBuffer(triangles((first, third, second))).view(camera).seen.all()


def test_of_equally_near_faces_the_depth_buffer_gives_the_first():
    surface = triangles(plane(0), plane(0), plane(-1), plane(0))
    assert (ZBuffer(surface).view(Camera(**DOWN, width_px=9, height_px=9)).face == 0).all()


def test_a_cloud_of_splats_is_seen_as_the_plain_way_says():
    surface = make_surface(hill_with_house(60), SurfaceOptions(voxel_m=2, max_edge_m=9))
    camera = replace(Camera.above(surface, gsd_m=0.5)[1], width_px=24, height_px=20)
    face, depth, clear = plain_way(surface, camera)
    view = ZBuffer(surface).view(camera)
    np.testing.assert_array_equal(view.face[clear], face[clear])
    np.testing.assert_allclose(view.depth_m[clear], depth[clear], rtol=1e-4)
