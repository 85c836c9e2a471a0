"""A classifier on features is trained by a recipe, stored sealed and without pickle, and labels as it did before."""

import made_up_street
import numpy as np
import pytest

from deepnets4eo.baselines import EstimatorOptions, build_estimator
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_json
from deepnets4eo.points import PointCloud, PointLabeller
from deepnets4eo.points.cloud_data import find_clouds, split_clouds
from deepnets4eo.points.features import FeatureLabeller, FeatureOptions
from deepnets4eo.points.features.labeller import PointSamples, load_feature_labeller
from deepnets4eo.points.features.training import CELL_M, FeatureClouds, parts_of_cloud
from deepnets4eo.points.labeller import load_labeller
from deepnets4eo.training import train

laspy = pytest.importorskip("laspy")
SMALL = (
    "estimator.trees=10", "model.max_samples=1200", "features.radii_m=[1.0, 2.0]", "features.measured=[returns]",
    "data.block_m=10", "data.buffer_m=2",
)  # fmt: skip


def make_street(seed: int) -> PointCloud:
    """Every second point of a street: 4 a square metre are enough to learn from."""
    street = made_up_street.make_street(seed)
    return street.subset(np.arange(0, len(street), 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two streets as LAZ files."""
    made = tmp_path_factory.mktemp("clouds")
    for seed in range(2):
        write_las(make_street(seed), made / f"street-{seed}.laz")
    return made


def write_las(cloud: PointCloud, path) -> None:
    las = laspy.create(point_format=6, file_version="1.4")
    las.header.scales, las.header.offsets = [0.001] * 3, [0.0] * 3
    las.x, las.y, las.z = cloud.xyz.T
    las.classification, las.return_number, las.number_of_returns = (
        cloud.classification, cloud.return_number, cloud.number_of_returns,
    )  # fmt: skip
    las.write(str(path))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return train("points/eigen-forest", tmp_path_factory.mktemp("runs") / "forest", data=folder, overrides=SMALL)


def test_a_trained_run_labels_a_street_that_it_has_not_seen(run):
    metrics = read_json(run / "metrics.json")
    assert metrics["overall_accuracy"] > 0.9
    assert metrics["protocol"]["leaky"] is False
    labeller = load_labeller(run)
    assert isinstance(labeller, PointLabeller)
    assert labeller.needs == ("return_number", "number_of_returns")
    street = make_street(7)
    codes = np.array(labeller.legend.values)[labeller.scores(street).argmax(axis=1)]
    assert (codes[street.classification == 6] == 6).mean() > 0.95
    assert (codes[street.classification == 5] == 5).mean() > 0.8
    assert {path.name for path in run.iterdir()} >= {"split.geojson", "split", "confusion.csv", "log.csv", "card.json"}


def test_the_same_seed_makes_the_same_run(run, folder, tmp_path):
    again = train("points/eigen-forest", tmp_path / "again", data=folder, overrides=SMALL)
    assert (again / "estimator.skops").read_bytes() == (run / "estimator.skops").read_bytes()


def test_boosting_is_stored_and_loaded_with_smoothing_and_priors(folder, tmp_path):
    settings = [
        *SMALL,
        "estimator.name=hist_gradient_boosting",
        "model.smooth_m=1.0",
        "model.priors=observed",
        "data.split=scenes",
        "data.val_scenes=[street-1]",
    ]
    made = train("points/eigen-forest", tmp_path / "boosting", data=folder, overrides=settings)
    labeller = load_feature_labeller(made)
    assert labeller.smooth_m == 1.0
    assert abs(sum(labeller.shares) - 1) < 1e-6
    assert labeller.halo_m >= 50
    card = read_json(made / "card.json")
    assert card["notes"]["training_points"]["building"] == (make_street(0).classification == 6).sum()


def test_a_changed_run_and_one_of_another_kind_are_refused(run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    (copy / "estimator.skops").write_bytes(b"no archive")
    with pytest.raises(RunError, match="truncated or was changed"):
        load_feature_labeller(copy)


def test_no_point_near_a_validation_block_is_learnt_from(folder):
    data = FeatureClouds(folders=(str(folder),), block_m=10, buffer_m=3, val_share=0.3)
    split = split_clouds(find_clouds(data, CELL_M), data)
    for number in range(2):
        (part,) = parts_of_cloud(split, number, Legend.load("ign_lidar_hd"), data, 50.0)
        xy = part.cloud.xyz[:, :2]
        assert part.learnt.any()
        assert part.validated.any()
        nearest = np.abs(xy[part.learnt][::10, None] - xy[part.validated][None, ::10]).max(axis=2).min(axis=1)
        assert nearest.min() > 2.0  # cells of 1 m lie 3 apart
        assert len(np.unique(part.blocks)) >= 16


def test_tiles_have_every_point_once_with_its_neighbours(folder):
    data = FeatureClouds(folders=(str(folder),), clouds=("street-0.laz",), most_points=1500)
    split = split_clouds(find_clouds(data, CELL_M), data)
    parts = list(parts_of_cloud(split, 0, Legend.load("ign_lidar_hd"), data, 5.0))
    assert len(parts) > 1
    assert sum(len(part.classes) for part in parts) == len(make_street(0))
    assert all(len(part.cloud) > len(part.classes) for part in parts)


def test_samples_have_equal_parts_of_the_classes_and_belong_together():
    rng = np.random.default_rng(0)
    samples = PointSamples(4, 90, seed=1)
    for block in range(6):
        classes = rng.choice([0, 1, 1, 1, 2, 255], 100).astype(np.uint8)
        vectors = np.column_stack([classes, np.full(100, block)]).astype(np.float32)
        samples.add(vectors, classes, np.full(100, block))
    assert np.bincount(samples.classes, minlength=4).tolist() == [30, 30, 30, 0]
    assert np.array_equal(samples.vectors[:, 0], samples.classes)
    assert np.array_equal(samples.vectors[:, 1], samples.blocks)
    assert samples.counts.sum() < 600
    assert len(np.unique(samples.blocks)) == 6


def test_clouds_that_cannot_be_learnt_from_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no file in .* matches"):
        train("points/eigen-forest", tmp_path / "none", data=tmp_path)
    bare = PointCloud(np.random.default_rng(0).uniform(0, 9, (50, 3)))
    labeller = FeatureLabeller(build_estimator(EstimatorOptions()), Legend.load("ign_lidar_hd"), FeatureOptions())
    with pytest.raises(InputError, match="has no intensity"):
        labeller.scores(bare)
    with pytest.raises(InputError, match="0 classes of legend 'ign_lidar_hd'; at least 2"):
        labeller.fit(PointSamples(7, 10))
