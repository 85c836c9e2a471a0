"""Ray casting and the depth buffer see the same faces, and those that a plain computation says."""

import logging
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from made_up_surface import hill_with_house, triangles

from deepnets4eo.points.views import (
    Camera,
    SurfaceOptions,
    cameras_above,
    cameras_around,
    casters,
    make_surface,
    ray_caster,
)
from deepnets4eo.points.views.casters import RayCaster, ZBuffer

pytestmark = pytest.mark.skipif(
    find_spec("open3d") is None, reason="open3d is not installed"
)  # 140 MB, if imported here

DOWN = {"eye": np.array([0, 0, 10.0]), "target": np.zeros(3), "up": np.array([0, 1.0, 0])}
BOTH = pytest.mark.parametrize("kind", [RayCaster, ZBuffer])


def plane(z, side=20.0):
    return (-side, -side, z), (side, -side, z), (0, side, z)


def plain_way(surface, camera):
    """For each pixel the depths at which its ray meets each face, by solving for the crossing point."""
    corners = surface.triangles().astype(np.float64)
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


@BOTH
def test_the_face_of_a_pixel_is_the_nearest_that_its_ray_meets(kind):
    rng = np.random.default_rng(0)
    surface = triangles(*(rng.uniform(-4, 4, (3, 3)) + (0, 0, rng.uniform(-6, 8)) for _ in range(40)))
    camera = Camera(**DOWN, width_px=20, height_px=16, near_m=1, far_m=14)
    face, depth, clear = plain_way(surface, camera)
    view = kind(surface).view(camera)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(view.face[clear], face[clear])
    np.testing.assert_allclose(view.depth_m[clear], depth[clear], rtol=1e-4)


@pytest.mark.parametrize("mesh", ["splats", "delaunay"])
def test_both_see_the_same_faces_of_a_cloud(mesh):
    """Pixel by pixel, but for edges, where rounding decides, and splats at the same distance."""
    surface = make_surface(hill_with_house(), SurfaceOptions(voxel_m=0.5, mesh=mesh, max_edge_m=9))
    caster, buffer = RayCaster(surface), ZBuffer(surface)
    for camera in [*cameras_above(surface, gsd_m=0.1)[:6], *cameras_around(surface, 2, seed=0)]:
        first, second = caster.view(camera), buffer.view(camera)
        same = first.face == second.face
        assert same.mean() > 0.9995
        np.testing.assert_array_equal(first.seen[same], second.seen[same])
        np.testing.assert_allclose(first.depth_m[same], second.depth_m[same], rtol=1e-5)


@BOTH
def test_what_is_nearer_hides_what_is_behind_whatever_their_order(kind):
    for heights in [(0, 3), (3, 0)]:
        view = kind(triangles(*map(plane, heights))).view(Camera(**DOWN, width_px=9, height_px=9))
        assert (view.face == heights.index(3)).all()
        np.testing.assert_allclose(view.depth_m, 7, rtol=1e-6)


@BOTH
def test_beyond_the_near_and_far_limits_nothing_is_seen(kind):
    surface = triangles(plane(5), plane(0), plane(-50, side=200))  # at 5, 10 and 60 m
    seen = {
        limits: set(kind(surface).view(Camera(**DOWN, width_px=5, height_px=5, near_m=limits[0], far_m=limits[1])).face.ravel())
        for limits in [(1, 100), (5.5, 100), (5.5, 9.5), (10.5, 100), (1, 4.5)]
    }  # fmt: skip
    assert list(seen.values()) == [{0}, {1}, {-1}, {2}, {-1}]


@BOTH
def test_faces_that_reach_behind_the_camera_are_seen_in_front_of_it(kind):
    wall = ((-300, 2, -300), (300, 2, -300), (0, 2, 900))
    floor = ((-300, -300, -1), (300, -300, -1), (0, 900, -1))
    camera = Camera(np.zeros(3), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]), 90, 8, 8, 0.1)
    view = kind(triangles(wall, floor)).view(camera)
    assert (view.face[:5] == 0).all()
    assert (view.face[6:] == 1).all()


@BOTH
def test_background_is_minus_one_at_infinity(kind):
    view = kind(triangles(((0, 0, 0), (1, 0, 0), (0, 1, 0)))).view(Camera(**DOWN, width_px=50, height_px=50))
    assert (view.face[~view.seen] == -1).all()
    assert np.isinf(view.depth_m[~view.seen]).all()
    assert 0 < view.seen.mean() < 0.1
    assert view.face.dtype == np.int32


@BOTH
def test_a_surface_without_faces_is_background(kind):
    view = kind(triangles()).view(Camera(**DOWN, width_px=7, height_px=5))
    assert view.face.shape == (5, 7)
    assert not view.seen.any()


@BOTH
def test_right_is_right_and_up_is_up(kind):
    """Seen from the south, what lies in the east is on the right: images are not mirrored."""
    east = ((1, 0, -1), (3, 0, -1), (2, 0, 1))
    above = ((-0.5, 0, 2), (0.5, 0, 2), (0, 0, 3))
    camera = Camera(np.array([0, -10.0, 0]), np.zeros(3), np.array([0, 0, 1.0]), width_px=101, height_px=101)
    view = kind(triangles(east, above)).view(camera)
    assert np.nonzero(view.face == 0)[1].min() > 50
    assert np.nonzero(view.face == 1)[0].max() < 50


@BOTH
def test_both_sides_of_a_face_are_seen(kind):
    first, second, third = plane(0)
    camera = Camera(**DOWN, width_px=3, height_px=3)
    assert kind(triangles((first, second, third))).view(camera).seen.all()
    assert kind(triangles((first, third, second))).view(camera).seen.all()


def test_of_equally_near_faces_the_depth_buffer_gives_the_first(monkeypatch):
    monkeypatch.setattr(casters, "MOST_PAIRS", 7)
    monkeypatch.setattr(casters, "FACES_AT_ONCE", 2)
    surface = triangles(plane(0), plane(0), plane(-1), plane(0))
    assert (ZBuffer(surface).view(Camera(**DOWN, width_px=9, height_px=9)).face == 0).all()


def test_portions_do_not_matter(monkeypatch):
    surface = make_surface(hill_with_house(3000), SurfaceOptions(voxel_m=1))
    camera = cameras_above(surface, gsd_m=0.2)[1]
    whole = ZBuffer(surface).view(camera)
    monkeypatch.setattr(casters, "MOST_PAIRS", 999)
    monkeypatch.setattr(casters, "FACES_AT_ONCE", 77)
    portions = ZBuffer(surface).view(camera)
    np.testing.assert_array_equal(portions.face, whole.face)
    np.testing.assert_array_equal(portions.depth_m, whole.depth_m)


def test_without_open3d_the_depth_buffer_is_used_and_one_line_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "open3d", None)  # importing it raises ImportError, as a missing libusb does
    casters._open3d_loads.cache_clear()
    with caplog.at_level(logging.WARNING):
        chosen = [ray_caster(triangles(plane(0))) for _ in range(3)]
    casters._open3d_loads.cache_clear()
    assert all(isinstance(one, ZBuffer) for one in chosen)
    assert len(caplog.records) == 1
    assert "libusb-1.0-0" in caplog.text
    assert "deepnets4eo[points]" in caplog.text


def test_with_open3d_rays_are_cast():
    assert isinstance(ray_caster(triangles(plane(0))), RayCaster)


def test_no_screen_is_needed():
    code = """
import numpy as np
from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import cameras_around, make_surface
from deepnets4eo.points.views.casters import RayCaster
surface = make_surface(PointCloud(np.random.default_rng(0).uniform(0, 3, (300, 3))))
print(RayCaster(surface).view(cameras_around(surface, 1, seed=0)[0]).seen.any())
"""
    screenless = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    run = subprocess.run([sys.executable, "-c", code], env=screenless, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True"]
