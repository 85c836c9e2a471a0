"""Faces lie along the surface, keep to their limits, and cover it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import MissingExtraError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import Camera, SurfaceOptions, ZBuffer, make_surface, surface_construction
from deepnets4eo.points.views.surface_construction import splats, triangles


def test_splats_are_square_and_lie_across_their_normal():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(200, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    points, spacing = rng.uniform(0, 9, (200, 3)), rng.uniform(0.1, 1, 200)
    faces, corners = splats(points, normal, spacing, max_edge_m=10)
    assert (faces == np.arange(200).repeat(2)[:, None]).all()
    offsets = corners - points.repeat(2, axis=0)[:, None]
    assert np.abs(np.einsum("fec,fc->fe", offsets, normal.repeat(2, axis=0))).max() < 1e-5
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    np.testing.assert_allclose(areas.reshape(-1, 2).sum(axis=1), (1.3 * spacing) ** 2, rtol=1e-4)


def test_splats_of_lonely_points_stay_small():
    _, corners = splats(np.zeros((1, 3)), np.array([[0, 0, 1]], np.float32), np.array([50.0]), max_edge_m=2)
    assert np.linalg.norm(corners[0, 2] - corners[0, 0]) == pytest.approx(2)


def test_splats_cover_a_plane_from_which_points_were_decimated():
    xy = np.random.default_rng(0).uniform(0, 60, (100_000, 2))
    surface = make_surface(PointCloud(np.column_stack([xy, np.zeros(len(xy))])), SurfaceOptions(voxel_m=0.5))
    camera = Camera.above(surface, gsd_m=0.2, overlap=0, headings=0)[0]
    assert ZBuffer(surface).view(camera).seen.mean() > 0.98


def terrace(seed=0, count=6000):
    """A field of 30 m with a flat roof, 4 m above it, and its walls."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 30, (count, 2))
    roof = ((xy > 10) & (xy < 20)).all(axis=1)
    field = np.column_stack([xy, np.where(roof, 4.0, 0.0)])
    side, along, z = rng.integers(0, 4, 600), rng.uniform(10, 20, 600), rng.uniform(0, 4, 600)
    at = np.where(side % 2, 20.0, 10.0)
    wall = np.where((side < 2)[:, None], np.column_stack([at, along]), np.column_stack([along, at]))
    return np.concatenate([field, np.column_stack([wall, z])])


def test_ball_pivoting_joins_the_points_themselves_and_covers_what_is_seen():
    pytest.importorskip("open3d", exc_type=ImportError)
    xyz, options = terrace(), SurfaceOptions(voxel_m=0.5, mesh="ball_pivoting")
    surface, splat = make_surface(PointCloud(xyz), options), make_surface(PointCloud(xyz), SurfaceOptions(voxel_m=0.5))
    np.testing.assert_allclose(surface.vertices + surface.origin, xyz[surface.point_index], atol=1e-5)
    np.testing.assert_array_equal(surface.point_index, splat.point_index)
    corners = surface.vertices[surface.faces]
    assert np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2).max() <= options.max_edge_m
    flat = np.ptp(corners[:, :, 2], axis=1) < 0.1
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert area[flat].sum() == pytest.approx(900, rel=0.1)  # field and roof, once
    camera = Camera.above(surface, gsd_m=0.1, overlap=0, headings=0)[0]
    assert ZBuffer(surface).view(camera).seen.mean() > 0.95


def test_balls_follow_the_spacing_of_points_that_are_sparser_than_the_voxels(caplog):
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud = PointCloud(terrace())  # about 0.4 m apart
    surface = make_surface(cloud, SurfaceOptions(voxel_m=0.05, mesh="ball_pivoting"))
    assert len(np.unique(surface.faces)) > 0.85 * len(surface.vertices)
    assert not caplog.records


@pytest.mark.parametrize(("joined", "reported"), [(76, False), (74, True)])
def test_more_than_a_quarter_of_the_points_in_no_triangle_are_reported(joined, reported, caplog, monkeypatch):
    points = np.column_stack([np.indices((10, 10)).reshape(2, -1).T, np.zeros(100)]).astype(np.float32)
    number = np.arange(joined)
    faces = np.column_stack([number, np.roll(number, 1), np.roll(number, 2)]).astype(np.int32)
    monkeypatch.setattr(surface_construction, "ball_pivoting", lambda *_: faces)
    attributes = SimpleNamespace(normal=np.tile(np.float32([0, 0, 1]), (100, 1)), spacing_m=np.ones(100))
    triangles(points, attributes, SurfaceOptions(voxel_m=0.5, mesh="ball_pivoting", max_edge_m=20.0))
    assert ("are in no triangle" in caplog.text) is reported


def test_many_points_in_no_triangle_are_reported(caplog):
    pytest.importorskip("open3d", exc_type=ImportError)
    make_surface(PointCloud(terrace()), SurfaceOptions(voxel_m=0.05, mesh="ball_pivoting", max_edge_m=0.1))
    assert "max_edge_m" in caplog.text


def test_poisson_stays_near_the_points_and_has_what_the_nearest_one_has():
    pytest.importorskip("open3d", exc_type=ImportError)
    xyz = terrace()
    classes = np.where(xyz[:, 2] > 3.9, 6, 2).astype(np.uint8)
    options = SurfaceOptions(voxel_m=0.5, mesh="poisson", max_edge_m=1.0)
    surface = make_surface(PointCloud(xyz, classification=classes), options)
    away = np.linalg.norm(surface.vertices[:, None] + surface.origin - xyz[None, ::1], axis=2).min(axis=1)
    assert len(surface.faces) > 1000
    assert away.max() <= options.max_edge_m / 2 + options.voxel_m
    np.testing.assert_array_equal(surface.classes, classes[surface.point_index])
    heights = surface.vertices[:, 2] + surface.origin[2]
    inner = np.abs(surface.vertices[:, :2] + surface.origin[:2] - 15).max(axis=1) < 3
    assert np.abs(heights[inner] - 4).max() < 0.1


@pytest.mark.parametrize("mesh", ["ball_pivoting", "poisson"])
def test_a_mesh_is_the_same_far_from_the_origin_of_the_coordinates(mesh):
    pytest.importorskip("open3d", exc_type=ImportError)
    xyz, far = np.round(terrace(), 3), np.array([700_000, 6_600_000, 2_000])
    options = SurfaceOptions(voxel_m=0.5, mesh=mesh)
    near, moved = make_surface(PointCloud(xyz), options), make_surface(PointCloud(xyz + far), options)
    assert abs(len(near.faces) - len(moved.faces)) <= 0.01 * len(near.faces)
    if mesh == "ball_pivoting":
        np.testing.assert_allclose(moved.vertices + (moved.origin - far), near.vertices + near.origin, atol=2e-3)


@pytest.mark.parametrize("mesh", ["ball_pivoting", "poisson"])
def test_few_points_make_no_triangle_and_no_error(mesh):
    pytest.importorskip("open3d", exc_type=ImportError)
    for count in (1, 2, 3, 4):
        surface = make_surface(
            PointCloud(np.random.default_rng(0).uniform(0, 1, (count, 3)) * 9), SurfaceOptions(mesh=mesh)
        )
        assert len(surface.vertices) >= 1
        assert surface.faces.shape[1] == 3


def test_without_open3d_a_mesh_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with raises_naming(MissingExtraError, "deepnets4eo"):
        make_surface(PointCloud(terrace()), SurfaceOptions(mesh="poisson"))


@pytest.mark.parametrize("gsd_m", [1.0, 4.0])
def test_heights_of_a_slope_are_above_the_lowest_points_of_cells_of_the_stated_side(gsd_m: float) -> None:
    """The lowest point of a cell on a slope of 1 : 20 is a fortieth of its side below the middle."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0.0, 48.0, 0.5), np.arange(0.0, 24.0, 0.5)))
    slope = PointCloud(np.column_stack([x, y, x / 20]))
    surface = make_surface(slope, SurfaceOptions(voxel_m=0.5, ground_gsd_m=gsd_m))
    inside = np.abs(surface.vertices[:, 0] - 24) < 12
    assert surface.height_m[inside].mean() == pytest.approx(gsd_m / 40, abs=0.013)  # points are half a metre apart
