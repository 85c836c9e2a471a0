"""Normals and roughness are those of NumPy's eigenvectors, and mean what they say on known shapes."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from deepnets4eo.points import local_planes as module
from deepnets4eo.points.local_planes import (
    LOWEST,
    drawn_positions,
    normal_disagreement,
    surface_attributes,
)


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 20, (4000, 2))
    return np.column_stack([xy, np.sin(xy[:, 0]) + rng.normal(0, 0.05, 4000)]).astype(np.float32)


def test_normals_and_noise_are_those_of_eigenvectors(cloud, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 999)
    made = surface_attributes(cloud, 15)
    _, index = cKDTree(cloud).query(cloud, 15)
    for point in range(0, 4000, 37):
        variances, axes = np.linalg.eigh(np.cov(cloud[index[point]].T.astype(np.float64)))
        assert abs(made.normal[point] @ axes[:, 0]) == pytest.approx(1, abs=1e-5)
        assert made.noise[point] == pytest.approx(variances[0] / variances[2], abs=1e-6)
        assert made.verticality[point] == pytest.approx(np.arccos(abs(axes[2, 0])) / (np.pi / 2), abs=1e-4)


def test_a_wall_is_upright_a_floor_flat_and_a_bush_rough():
    rng = np.random.default_rng(0)
    plane = rng.uniform(0, 5, (500, 2))
    wall = np.column_stack([plane[:, 0], np.zeros(500), plane[:, 1]])
    floor = np.column_stack([plane, np.zeros(500)]) + (0, 20, 0)
    bush = rng.normal(0, 1, (500, 3)) + (40, 0, 0)
    made = surface_attributes(np.concatenate([wall, floor, bush]))
    assert made.verticality[:500].min() > 0.999
    assert made.verticality[500:1000].max() < 0.001
    assert made.noise[:1000].max() < 1e-6
    assert 0.1 < np.median(made.noise[1000:]) <= 1


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.zeros((2, 3)), np.full((50, 3), 7.0)])
def test_points_that_make_no_plane_have_an_upward_normal_and_no_noise(points):
    made = surface_attributes(points)
    assert (made.normal == (0, 0, 1)).all()
    assert (made.noise == 0).all()
    assert (made.verticality == 0).all()


def test_points_on_a_line_have_values():
    line = np.column_stack([np.arange(50.0), np.zeros(50), np.zeros(50)])
    made = surface_attributes(line)
    np.testing.assert_allclose(np.linalg.norm(made.normal, axis=1), 1, atol=1e-6)
    assert np.isfinite(made.noise).all()


def voted_normal(points, positions):
    """One estimate, plane by plane: the mean of the normals within 10 degrees of the one that has most of them."""
    normals = [np.cross(points[b] - points[a], points[c] - points[a]) for a, b, c in positions]
    normals = [normal / np.linalg.norm(normal) for normal in normals]
    groups = [[other for other in normals if abs(other @ normal) > np.cos(np.radians(10))] for normal in normals]
    largest = max(range(len(normals)), key=lambda number: (len(groups[number]), -number))
    mean = sum(other * np.sign(other @ normals[largest]) for other in groups[largest])
    return mean / np.linalg.norm(mean)


def test_noise_by_normals_is_the_mean_cosine_of_ten_pairs_of_voted_normals(cloud):
    _, index = cKDTree(cloud).query(cloud[:40], 20)
    made = normal_disagreement(cloud.T, index)
    for point, around in enumerate(index):
        normals = [voted_normal(cloud[around].astype(np.float64), positions) for positions in drawn_positions(20)]
        cosines = [abs(normals[a] @ normals[b]) for a in range(5) for b in range(a)]
        assert len(cosines) == 10
        assert made[point] == pytest.approx(min((1 - np.mean(cosines)) / (1 - LOWEST), 1), abs=1e-3)


def test_noise_by_normals_knows_edges_of_planes_from_rough_surfaces():
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(0, 5, (400, 2)), np.zeros(400)])
    wall = np.column_stack([np.zeros(400), rng.uniform(0, 5, (400, 2))])
    bush = rng.normal(0, 1, (400, 3)) + (40, 0, 0)
    points = np.concatenate([floor, wall, bush])
    by_normals = surface_attributes(points, noise="normals").noise
    by_variances = surface_attributes(points).noise
    inside = (floor[:, 0] > 1) & (floor[:, 1] > 0)
    edge = np.flatnonzero((floor[:, 0] < 0.2) & (by_variances[:400] > 0.05))
    assert by_normals[:400][inside].max() < 1e-4
    assert np.median(by_normals[800:]) == 1
    assert len(edge) > 5
    assert np.median(by_normals[edge]) < 0.5


@pytest.mark.parametrize("points", [np.full((50, 3), 7.0), np.column_stack([np.arange(50.0), *np.zeros((2, 50))])])
def test_noise_by_normals_is_0_where_points_span_no_plane(points):
    assert (surface_attributes(points, noise="normals").noise == 0).all()


def test_noise_by_normals_does_not_depend_on_blocks(cloud, monkeypatch):
    whole = surface_attributes(cloud, 15, "normals").noise
    monkeypatch.setattr(module, "BLOCK", 999)
    np.testing.assert_array_equal(surface_attributes(cloud, 15, "normals").noise, whole)


def test_normals_are_those_of_open3d():
    o3d = pytest.importorskip("open3d", exc_type=ImportError)
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 20, (5000, 2))
    points = np.column_stack([xy, np.sin(xy[:, 0] / 2) + rng.normal(0, 0.02, 5000)])
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    cloud.estimate_normals(o3d.geometry.KDTreeSearchParamKNN(16))
    cosine = np.abs((surface_attributes(points).normal * np.asarray(cloud.normals)).sum(axis=1))
    assert (cosine > np.cos(np.radians(1))).mean() > 0.999
