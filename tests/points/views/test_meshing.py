"""Faces lie along the surface, keep to their limits, and cover it."""

import numpy as np
import pytest
from made_up_surface import hill_with_house

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import SurfaceOptions, cameras_above, make_surface
from deepnets4eo.points.views.casters import ZBuffer
from deepnets4eo.points.views.surface_construction import highest, splats, triangles_from_above, within_limits


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
    camera = cameras_above(surface, gsd_m=0.2, overlap=0, headings=0)[0]
    assert ZBuffer(surface).view(camera).seen.mean() > 0.98


def test_triangles_with_long_edges_and_sharp_angles_are_left_out():
    equilateral = [[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(3) / 2, 0]]
    needle = [[0, 0, 0], [1, 0, 0], [0.5, 0.05, 0]]
    large = [[0, 0, 0], [3, 0, 0], [0, 3, 0]]
    corners = np.array([equilateral, needle, large])
    assert within_limits(corners, 2.0).tolist() == [True, True, False]
    assert within_limits(corners, 9.0, min_angle_deg=10).tolist() == [True, False, True]
    assert within_limits(corners, 9.0, max_angle_deg=120).tolist() == [True, False, True]
    assert within_limits(corners, 9.0, min_angle_deg=46).tolist() == [True, False, False]


def test_only_the_highest_point_above_a_cell_is_joined_from_above():
    points = np.array([[0.1, 0.1, 5], [0.2, 0.2, 1], [1.1, 0.1, 0], [0.1, 1.1, 0], [0.15, 0.1, 4]])
    assert set(highest(points, 1.0).tolist()) == {0, 2, 3}
    assert set(triangles_from_above(points, 1.0, max_edge_m=10).ravel().tolist()) == {0, 2, 3}


def test_triangles_are_the_delaunay_ones():
    """No point lies within the circle of a triangle, and together they cover the square."""
    points = np.column_stack([np.random.default_rng(0).uniform(0, 10, (60, 2)), np.zeros(60)])
    points = np.concatenate([points, [[0, 0, 0], [10, 0, 0], [0, 10, 0], [10, 10, 0]]])
    faces = triangles_from_above(points, 1e-6, max_edge_m=100)
    a, b, c = np.moveaxis(points[faces][..., :2], 1, 0)
    area = np.cross(np.pad(b - a, ((0, 0), (0, 1))), np.pad(c - a, ((0, 0), (0, 1))))[:, 2] / 2
    assert area.min() > 0
    assert area.sum() == pytest.approx(100)
    for corner, face in zip(points[faces][..., :2], faces, strict=True):
        centre = np.linalg.solve(2 * (corner[1:] - corner[0]), (corner[1:] ** 2).sum(1) - (corner[0] ** 2).sum())
        others = np.delete(points[:, :2], face, axis=0)
        assert np.linalg.norm(others - centre, axis=1).min() > np.linalg.norm(corner[0] - centre) - 1e-9


def test_points_on_a_line_span_no_triangle():
    line = np.column_stack([np.arange(9.0), np.zeros(9), np.zeros(9)])
    with pytest.raises(InputError, match=r"span no triangle.*Use the mesh of splats"):
        triangles_from_above(line, 0.1, max_edge_m=2)


def test_triangles_of_mixed_classes_are_left_out_for_training():
    cloud = hill_with_house(4000)
    every = make_surface(cloud, SurfaceOptions(voxel_m=1, mesh="delaunay", max_edge_m=9))
    pure = make_surface(cloud, SurfaceOptions(voxel_m=1, mesh="delaunay", max_edge_m=9, drop_mixed=True))
    mixed = np.ptp(every.classes[every.faces], axis=1) > 0
    assert 0 < mixed.sum() == len(every.faces) - len(pure.faces)
    assert (np.ptp(pure.classes[pure.faces], axis=1) == 0).all()


def test_dropping_mixed_triangles_without_classes_is_refused():
    with pytest.raises(InputError, match="drop_mixed needs classes"):
        make_surface(PointCloud(np.eye(3)), SurfaceOptions(mesh="delaunay", drop_mixed=True))
