"""One point for each voxel: the one nearest the middle, wherever the voxel lies."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points.local_planes import decimate


def plain_way(xyz, voxel_m):
    """Point by point."""
    best = {}
    for number, point in enumerate(xyz):
        voxel = tuple(np.floor(point / voxel_m))
        distance = np.linalg.norm(point - (np.array(voxel) + 0.5) * voxel_m)
        if voxel not in best or distance < best[voxel][0]:
            best[voxel] = (distance, number)
    return {number for _, number in best.values()}


@pytest.mark.parametrize("voxel_m", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("offset", [(0, 0, 0), (-2, -2, -1), (651_000.25, 6_861_000.5, -300)])
def test_the_point_nearest_the_middle_is_kept(voxel_m, offset):
    xyz = np.random.default_rng(0).uniform(0, 4, (3000, 3)) + offset
    assert set(decimate(xyz, voxel_m).tolist()) == plain_way(xyz, voxel_m)


def test_of_equally_near_points_the_first_is_kept():
    assert decimate(np.array([[0.2, 0.5, 0.5], [0.8, 0.5, 0.5], [0.5, 0.8, 0.5]]), 1.0).tolist() == [0]


def test_neighbouring_tiles_have_the_same_voxels():
    xyz = np.random.default_rng(2).uniform(0, 10, (5000, 3))
    left = np.flatnonzero(xyz[:, 0] < 5)
    whole = set(decimate(xyz, 0.5).tolist())
    assert set(left[decimate(xyz[left], 0.5)].tolist()) == whole & set(left.tolist())


def test_absurd_coordinates_are_refused():
    with raises_naming(InputError, "scan.laz", "0.1"):
        decimate(np.array([[0, 0, 0], [1e9, 1e9, 1e9]]), 0.1, "scan.laz")
