"""Features of neighbourhoods are those of a plain computation, whatever the blocks, the threads and the coordinates."""

import numpy as np
import pytest
from refusals import raises_naming
from scipy.spatial import cKDTree

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.features import FeatureOptions, feature_names, neighbourhoods as module, point_features
from deepnets4eo.points.features.eigenfeatures import (
    COLUMNS_PER_RADIUS,
    column_features,
    eigen_3x3,
    heights_above_lowest,
    neighbourhood_features,
)
from deepnets4eo.points.features.neighbourhoods import blocks_with_halo, voxelise


def make_cloud(count: int = 1500, seed: int = 0) -> PointCloud:
    """A ground, a roof, a wall and a crown, with intensities and returns."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(0, 8, (count, 3))
    part = rng.integers(0, 4, count)
    xyz[part == 0, 2] = rng.normal(0, 0.02, (part == 0).sum())
    xyz[part == 1, 2] = 5 + 0.3 * xyz[part == 1, 0]
    xyz[part == 2, 0] = 4.0
    returns = rng.integers(1, 4, count).astype(np.uint8)
    return PointCloud(
        xyz + [650_000, 6_860_000, 100], intensity=rng.uniform(0, 900, count).astype(np.float32),
        return_number=np.minimum(returns, 2), number_of_returns=returns, colour=rng.integers(0, 256, (count, 3)).astype(np.uint8),
    )  # fmt: skip


def plain_features(cloud: PointCloud, radius: float, options: FeatureOptions) -> dict[str, np.ndarray]:
    """The definitions, voxel by voxel, with NumPy's eigenvalues; by name."""
    side = radius / options.cells_per_radius
    cells, voxel = np.unique(np.floor(cloud.xyz / side), axis=0, return_inverse=True)
    voxel = voxel.ravel()
    centres = np.array([cloud.xyz[voxel == number].mean(axis=0) for number in range(len(cells))])
    near = cKDTree(centres - centres[0]).query_ball_point(centres - centres[0], radius)
    found = []
    for number, index in enumerate(near):
        points = centres[index] - centres[number]
        values, axes = np.linalg.eigh(np.cov(points.T, bias=True)) if len(index) > 1 else (np.zeros(3), np.eye(3))
        l3, l2, l1 = np.maximum(values, 0)
        e = np.array([l1, l2, l3]) / values.sum() if l1 > 1e-12 else np.zeros(3)
        inside = np.isin(voxel, index)
        own = {
            "linearity": (l1 - l2) / l1 if l1 else 0, "planarity": (l2 - l3) / l1 if l1 else 0, "sphericity": l3 / l1 if l1 else 0,
            "omnivariance": np.cbrt(e.prod()), "anisotropy": (l1 - l3) / l1 if l1 else 0,
            "eigenentropy": -sum(x * np.log(x) for x in e if x > 0), "eigensum": l1 + l2 + l3, "surface_variation": e[2],
            "moment_1": abs(points.mean(axis=0) @ axes[:, 2]) if l1 else np.nan,
            "vertical_moment": points[:, 2].mean(), "vertical_moment_squared": (points[:, 2] ** 2).mean(),
            "verticality": 1 - abs(axes[2, 0]) if l2 - l3 > 1e-4 else np.nan,
            "density": inside.sum() / (4 / 3 * np.pi * radius**3),
            "intensity_mean": cloud.intensity[inside].mean(), "intensity_std": cloud.intensity[inside].astype(float).std(),
            "return_ratio_mean": (cloud.return_number / cloud.number_of_returns)[inside].mean(),
            "green_std": cloud.colour[inside, 1].astype(float).std(),
        }  # fmt: skip
        found.append(own)
    return {name: np.array([one[name] for one in found])[voxel] for name in found[0]}


def test_features_are_those_of_numpy_point_by_point():
    cloud = make_cloud(400)
    options = FeatureOptions(radii_m=(0.7, 1.5), measured=("intensity", "returns", "colour"))
    table = dict(zip(feature_names(options), neighbourhood_features(cloud, options).T, strict=False))
    for radius in options.radii_m:
        for name, expected in plain_features(cloud, radius, options).items():
            defined = np.isfinite(expected)
            assert defined.mean() > 0.3
            np.testing.assert_allclose(
                table[f"{name}@{radius:g}m"][defined], expected[defined], rtol=1e-3, atol=2e-4, err_msg=name
            )


def test_blocks_and_threads_change_no_feature(monkeypatch):
    cloud, options = make_cloud(), FeatureOptions(radii_m=(1.0,), measured=("intensity",))
    whole = neighbourhood_features(cloud, options, workers=1)
    monkeypatch.setattr(module.blocks_with_halo, "__defaults__", (90,))
    np.testing.assert_allclose(neighbourhood_features(cloud, options, workers=2), whole, rtol=2e-4, atol=2e-5)


def test_points_of_a_tile_with_its_halo_have_the_features_of_the_whole_cloud():
    cloud, options = (
        make_cloud(),
        FeatureOptions(radii_m=(0.5, 1.0), cylinder_radii_m=(1.0,), lowest_radius_m=1.5, above_ground=False),
    )
    x = cloud.xyz[:, 0] - 650_000
    tile, core = x < 6.2, x < 4
    whole, cut = point_features(cloud, options), point_features(cloud.subset(tile), options)
    np.testing.assert_allclose(cut[core[tile]], whole[core], rtol=2e-4, atol=2e-4)


def test_every_voxel_is_in_one_block_and_its_neighbours_are_in_the_halo():
    centres = voxelise(make_cloud(2500).xyz, 0.2).centres
    seen = []
    for core, halo in blocks_with_halo(centres, 1.0, 300):
        assert len(core) <= 300
        near = cKDTree(centres).query_ball_point(centres[core], 1.0)
        assert set(np.concatenate(near).astype(int)) <= {*core, *halo}
        seen.extend(core)
    assert sorted(seen) == list(range(len(centres)))


def test_eigenvalues_are_those_of_lapack_also_where_two_are_equal():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(300, 6, 3)) * rng.choice([1, 1e-4, 0], size=(300, 1, 3))
    matrices = np.concatenate([points.transpose(0, 2, 1) @ points, [np.eye(3), np.diag([2.0, 2, 1]), np.zeros((3, 3))]])
    entries = np.stack([matrices[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))])
    values, vectors = eigen_3x3(entries)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrices).T[::-1], atol=1e-12)
    np.testing.assert_allclose(np.einsum("nij,kjn->kin", matrices, vectors), values[:, None] * vectors, atol=1e-12)
    gram = np.einsum("kin,lin->nkl", vectors, vectors)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-12)


def test_heights_in_cylinders_are_those_of_the_columns_around():
    cloud, radius = make_cloud(400), 2.0
    z = cloud.xyz[:, 2]
    cell, column = np.unique(np.floor(cloud.xyz[:, :2] / radius * COLUMNS_PER_RADIUS), axis=0, return_inverse=True)
    column = column.ravel()
    middles = np.array([cloud.xyz[column == number, :2].mean(axis=0) for number in range(len(cell))])
    features = column_features(cloud, radius)
    for number in range(0, 400, 7):
        inside = np.linalg.norm(middles - middles[column[number]], axis=1) <= radius
        heights = z[inside[column]]
        expected = [
            np.ptp(heights),
            heights.std(),
            z[number] - heights.min(),
            heights.max() - z[number],
            len(heights) / (np.pi * 4),
        ]
        np.testing.assert_allclose(features[number], expected, rtol=1e-4, atol=1e-4)


def test_water_is_lowest_in_its_surroundings_and_a_hollow_beyond_the_reach_does_not_matter():
    x, y = np.divmod(np.arange(40_000.0), 200)
    z = np.where(x < 20, -1.0, 0.002 * x)  # a canal beside land that rises gently
    z[(x == 199) & (y == 199)] = -5
    cloud = PointCloud(np.column_stack([x, y, z]) + [650_000, 6_860_000, 100])
    height, reach = heights_above_lowest(cloud, 50.0)[:, 0], FeatureOptions(lowest_radius_m=50.0).reach_m
    distance = np.hypot(x - 199, y - 199)
    np.testing.assert_allclose(height[distance < 35], (z + 5)[distance < 35], atol=1e-5)
    far = distance > reach
    np.testing.assert_allclose(height[far & (x < 20)], 0, atol=1e-5)
    np.testing.assert_allclose(height[far & (x >= 20) & (x < 55)], (z + 1)[far & (x >= 20) & (x < 55)], atol=1e-5)
    inland = far & (x > 20 + reach)
    assert height[inland].max() < 0.2


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.ones((50, 3)), np.array([[0, 0, 0], [500.0, 0, 0]])])
def test_lonely_and_doubled_points_have_finite_features(points):
    features = point_features(PointCloud(points), FeatureOptions(measured=()))
    assert np.isfinite(features).all()
    assert features.shape[1] == len(feature_names(FeatureOptions(measured=())))


def test_what_features_cannot_be_made_of_is_refused():
    cloud = make_cloud(50)
    with raises_naming(InputError, "near_infrared"):
        neighbourhood_features(cloud, FeatureOptions(measured=("near_infrared",)))
    unknown = PointCloud(cloud.xyz, intensity=np.full(50, np.nan, np.float32))
    with raises_naming(InputError, "50 points"):
        neighbourhood_features(unknown, FeatureOptions(measured=("intensity",)))
    far = PointCloud(np.array([[0.0, 0, 0], [1e9, 0, 0]]))
    with raises_naming(InputError, "1", "048", "576", "0.2"):
        neighbourhood_features(far, FeatureOptions(measured=()))
    with pytest.raises(InputError, match="each larger than the one before"):
        FeatureOptions(radii_m=(2.0, 1.0))


@pytest.mark.parametrize(
    ("points", "verticality", "line_verticality"),
    [
        (np.mgrid[0:1, 0:1, 0:9], 0, 1),  # an upright line has no normal
        (np.mgrid[0:9, 0:1, 0:1], 0, 0),
        (np.mgrid[0:1, 0:9, 0:9], 1, 0),  # of a square wall no axis is the first
        (np.mgrid[0:9, 0:9, 0:1], 0, 0),
        (np.mgrid[0:1, 0:5, 0:9], 1, 1),
        (np.mgrid[0:5, 0:5, 0:5], 0, 0),  # of a cube neither
        (np.mgrid[0:1, 0:1, 0:1], 0, 0),
    ],
)
def test_axes_that_are_undefined_have_no_verticality(points, verticality, line_verticality):
    xyz = points.reshape(3, -1).T + 0.5
    options = FeatureOptions(radii_m=(12.0,), cells_per_radius=12.0, measured=())
    table = dict(zip(feature_names(options), neighbourhood_features(PointCloud(xyz), options).T, strict=False))
    np.testing.assert_allclose(table["verticality@12m"], verticality, atol=1e-4)
    np.testing.assert_allclose(table["line_verticality@12m"], line_verticality, atol=1e-4)
