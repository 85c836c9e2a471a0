"""Faces lie along the surface, keep to their limits, and cover it."""

import numpy as np
import pytest

from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import SurfaceOptions, cameras_above, make_surface
from deepnets4eo.points.views.camera import ZBuffer
from deepnets4eo.points.views.surface_construction import splats


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
