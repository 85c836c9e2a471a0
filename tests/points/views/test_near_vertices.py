"""The lists of vertices around each vertex find the same nearest vertex as comparing all of them."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import SurfaceOptions, make_surface, to_points
from deepnets4eo.points.views.surface import NearVertices


def plane(rng, count):
    return rng.uniform(0, 12, (count, 3)) * (1, 1, 0)


def line(rng, count):
    return rng.uniform(0, 12, (count, 1)) * (1.0, 0.3, 0.1)


def block(rng, count):
    return rng.uniform(0, 6, (count, 3))


def thinning(rng, count):
    """Dense at the scanner, points far from each other at the rim, where each has a voxel of its own."""
    return rng.normal(0, 1, (count, 3)) * np.exp(rng.uniform(-2, 5, (count, 1)))


SHAPES = [plane, line, block, thinning]


def brute_force(vertices, xyz):
    return cdist(xyz, vertices.astype(float)).min(axis=1)


def distances(vertices, xyz, nearest):
    return np.linalg.norm(xyz - vertices[nearest], axis=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [2, 9, 17, 1500])
def test_the_nearest_vertex_is_that_of_comparing_all(shape, count):
    cloud = PointCloud(shape(np.random.default_rng(count), count) + (651_000, 6_861_000, 35))
    surface = make_surface(cloud, SurfaceOptions(voxel_m=1.0, neighbours=8))
    xyz, searched = cloud.xyz - surface.origin, []

    def search(positions):
        searched.append(len(positions))
        return cdist(positions, surface.vertices).argmin(axis=1)

    nearest = surface.near.nearest(surface.vertices, xyz, slice(None), search)
    np.testing.assert_allclose(
        distances(surface.vertices, xyz, nearest), brute_force(surface.vertices, xyz), rtol=1e-12
    )
    assert sum(searched) < 0.5 * count


def test_a_first_vertex_far_away_is_slow_but_right():
    rng = np.random.default_rng(0)
    cloud = PointCloud(block(rng, 800))
    surface = make_surface(cloud, SurfaceOptions(voxel_m=1.0))
    xyz, searched = cloud.xyz - surface.origin, []

    def search(positions):
        searched.append(len(positions))
        return cdist(positions, surface.vertices).argmin(axis=1)

    far = NearVertices(np.zeros(800, np.int32), surface.near.around, surface.near.distance_m)
    nearest = far.nearest(surface.vertices, xyz, slice(None), search)
    np.testing.assert_allclose(
        distances(surface.vertices, xyz, nearest), brute_force(surface.vertices, xyz), rtol=1e-12
    )
    assert sum(searched) > 600


def test_the_nearest_of_a_kind_is_read_from_the_list_or_said_to_be_unknown():
    around = np.array([[0, 1], [1, 2], [2, 1], [3, 2]], np.int32)
    lists = NearVertices(np.zeros(0, np.int32), around, np.zeros(around.shape, np.float32))
    assert lists.nearest_known(np.array([True, False, False, True])).tolist() == [-1, -1]
    assert lists.nearest_known(np.array([False, True, False, False])).tolist() == [1, 1, -1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6, 1.0])
def test_scores_of_points_are_those_of_a_search_in_a_tree(shape, share, monkeypatch):
    monkeypatch.setattr("deepnets4eo.points.views.labeller.BLOCK_POINTS", 499)
    rng = np.random.default_rng(5)
    cloud = PointCloud(shape(rng, 3000))
    surface = make_surface(cloud, SurfaceOptions(voxel_m=0.8))
    own = rng.dirichlet(np.ones(3), len(surface.vertices)).astype(np.float32)
    own[rng.random(len(own)) >= share] = np.nan
    scores, seen = to_points(surface, own, cloud)
    expected, expected_seen = to_points(dataclasses.replace(surface, near=None), own, cloud)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(seen, expected_seen)


def test_points_of_another_cloud_take_the_scores_of_the_nearest_vertex_too():
    rng = np.random.default_rng(6)
    surface = make_surface(PointCloud(plane(rng, 500)), SurfaceOptions(voxel_m=0.8))
    own = rng.dirichlet(np.ones(3), len(surface.vertices)).astype(np.float32)
    for count in (500, 700):
        other = PointCloud(plane(rng, count))
        scores, seen = to_points(surface, own, other)
        nearest = cdist(other.xyz - surface.origin, surface.vertices.astype(float)).argmin(axis=1)
        np.testing.assert_array_equal(scores, own[nearest])
        assert seen.all()
