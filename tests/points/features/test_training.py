"""A classifier on features is trained by a recipe, stored sealed and without pickle, and labels as it did before."""

import re

import made_up_street
import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.baselines import EstimatorOptions, build_estimator
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_json
from deepnets4eo.points import PointCloud, PointLabeller, label_cloud, load_labeller
from deepnets4eo.points.cloud_data import find_clouds, split_clouds
from deepnets4eo.points.features import FeatureLabeller, FeatureOptions
from deepnets4eo.points.features.labeller import PointSamples, load_feature_labeller
from deepnets4eo.points.features.measured import with_constants
from deepnets4eo.points.features.training import CELL_M, FeatureClouds, parts_of_cloud
from deepnets4eo.segmenters import LayerInput
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


@pytest.mark.core("the only labeller of points that is stored and loaded")
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
    with raises_naming(InputError, "0", "'ign_lidar_hd'", "2"):
        labeller.fit(PointSamples(7, 10))


def measured(folder, seed, factor, name="cloud"):
    """A street whose intensities are random numbers up to 255 times a factor."""
    street = make_street(seed)
    path = folder / f"{name}-{seed}.laz"
    write_las(street, path)
    las = laspy.read(path)
    las.intensity = (np.random.default_rng(seed).integers(1, 256, len(street)) * factor).astype(np.uint16)
    las.write(str(path))
    return path


WITH_INTENSITY = (*SMALL[:3], "features.measured=[intensity]", *SMALL[4:])


@pytest.mark.parametrize(("factor", "refused"), [(257, True), (16, False)])
def test_clouds_of_two_units_of_intensity_are_compared(tmp_path, caplog, factor, refused):
    for seed, times in enumerate((1, factor)):
        measured(tmp_path, seed, times)
    message = "the intensities of the cloud cloud-0 reach 25[0-9], those of cloud-1"
    if refused:
        with pytest.raises(InputError, match=f"{message}.*these are of two units"):
            train("points/eigen-forest", tmp_path / "run", data=tmp_path, overrides=WITH_INTENSITY)
    else:
        train("points/eigen-forest", tmp_path / "run", data=tmp_path, overrides=WITH_INTENSITY)
        assert re.search(message, caplog.text)


def test_a_cloud_of_another_unit_of_intensity_than_in_training_is_said(tmp_path, caplog):
    (tmp_path / "data").mkdir()
    for seed in range(2):
        measured(tmp_path / "data", seed, 1)
    run = train("points/eigen-forest", tmp_path / "run", data=tmp_path / "data", overrides=WITH_INTENSITY)
    labeller = load_labeller(run)
    for name, times, said in (("same", 1, False), ("words", 257, True), ("flat", 0, True)):
        caplog.clear()
        label_cloud(
            measured(tmp_path, 2, times, name) if times else constant_cloud(tmp_path),
            labeller,
            tmp_path / f"{name}-out.laz",
        )
        assert ("has values that the run did not learn from: intensity" in caplog.text) == said, name


def constant_cloud(folder):
    path = measured(folder, 3, 1, "flat")
    las = laspy.read(path)
    las.intensity[:] = 40
    las.write(str(path))
    return path


def test_what_had_one_value_in_training_stays_at_it():
    description = LayerInput(
        ("return_number", "number_of_returns"),
        (1.0, 1.0),
        (1.0, 1.0),
        1.0,
        1.0,
        band_low=(1.0, 1.0),
        band_high=(1.0, 3.0),
        constant=(0,),
    )
    cloud = PointCloud(
        np.zeros((3, 3)), return_number=np.array([1, 2, 3], np.uint8), number_of_returns=np.full(3, 3, np.uint8)
    )
    changed = with_constants(cloud, description)
    assert changed.return_number.tolist() == [1, 1, 1]
    assert changed.number_of_returns.tolist() == [3, 3, 3]
    assert cloud.return_number.tolist() == [1, 2, 3]
