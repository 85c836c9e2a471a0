"""Rules label a made-up street without training, and real tiles as well as they are said to."""

import numpy as np
import pytest
from made_up_street import make_street

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud, PointLabeller, heights_above_ground, open_cloud
from deepnets4eo.points.features import RuleLabeller
from deepnets4eo.points.features.neighbourhoods import smooth_scores
from deepnets4eo.points.features.rules import RuleOptions


def codes_of(labeller: PointLabeller, cloud: PointCloud) -> np.ndarray:
    return np.array(labeller.legend.values)[labeller.scores(cloud).argmax(axis=1)]


def test_a_street_is_labelled_by_rules_alone():
    cloud, labeller = make_street(), RuleLabeller()
    assert isinstance(labeller, PointLabeller)
    scores = labeller.scores(cloud)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    predicted = codes_of(labeller, cloud)
    for code, least in ((1, 0.8), (2, 0.99), (4, 0.5), (5, 0.9), (6, 0.95)):
        assert (predicted[cloud.classification == code] == code).mean() > least, code


def test_flatness_decides_where_returns_were_not_counted():
    cloud = make_street()
    bare = PointCloud(cloud.xyz)
    predicted = codes_of(RuleLabeller(), bare)
    assert (predicted[cloud.classification == 6] == 6).mean() > 0.9


def test_a_green_roof_is_no_building_where_near_infrared_shows_leaves():
    cloud = make_street()
    colour = np.full((len(cloud), 3), 60, np.uint8)
    leaves = PointCloud(cloud.xyz, colour=colour, near_infrared=np.full(len(cloud), 200, np.uint8))
    grey = PointCloud(cloud.xyz, colour=colour, near_infrared=np.full(len(cloud), 60, np.uint8))
    assert not (codes_of(RuleLabeller(), leaves) == 6).any()
    assert (codes_of(RuleLabeller(), grey) == 6).any()


def test_thresholds_that_do_not_grow_are_refused():
    with pytest.raises(InputError, match="expected growing heights"):
        RuleOptions(medium_m=2.0, high_m=1.0)


def test_each_threshold_decides_what_it_is_named_for():
    cloud = make_street()
    height, plain = heights_above_ground(cloud), codes_of(RuleLabeller(), cloud)

    def codes(**thresholds: float) -> np.ndarray:
        return codes_of(RuleLabeller(RuleOptions(**thresholds)), cloud)

    assert (codes(ground_m=0.5)[height < 0.49] == 2).all()  # nothing is lower vegetation below it
    assert (plain[height < 0.49] == 3).any()
    assert not (codes(building_m=7.0)[height < 6.9] == 6).any()
    assert not (
        codes(max_variation=1 / 3)[height < 1.5] == 4
    ).any()  # every surface counts as flat: cars, no vegetation
    assert ((codes(single_returns=0.1) == 6) & (plain == 5)).sum() > 300  # trees let pulses through, and count as roofs
    high = height > 2.1
    assert len(np.unique(codes(share_radius_m=100.0)[high])) == 1 < len(np.unique(plain[high]))  # one share for all


def test_smoothing_averages_what_is_known_and_fills_what_is_not():
    rng = np.random.default_rng(0)
    xyz, scores = rng.uniform(0, 3, (400, 3)), rng.dirichlet([1, 1, 1], 400).astype(np.float32)
    scores[:40] = np.nan
    smoothed = smooth_scores(xyz, scores, 100.0)
    np.testing.assert_allclose(smoothed, np.broadcast_to(scores[40:].mean(axis=0), smoothed.shape), atol=1e-5)
    lonely = np.concatenate([xyz, [[900, 0, 0]]])
    unknown = smooth_scores(lonely, np.concatenate([scores, np.full((1, 3), np.nan, np.float32)]), 1.0)
    assert np.isnan(unknown[-1]).all()
    assert np.isfinite(unknown[:-1]).all()


@pytest.mark.real_data
def test_buildings_and_ground_of_a_real_tile_are_found_without_training(real_data):
    cloud = open_cloud(real_data / "ign_lidar_hd" / "test_data_77055_627760_LA93_IGN69.laz").read()
    predicted = codes_of(RuleLabeller(), cloud)
    for code, least in ((2, 0.93), (6, 0.75)):
        both, either = (
            ((predicted == code) & (cloud.classification == code)).sum(),
            ((predicted == code) | (cloud.classification == code)).sum(),
        )
        assert both / either > least


@pytest.mark.real_data
def test_the_ground_filter_errs_as_little_as_it_did_on_the_reference_samples(real_data):
    for name, most in (("samp21", 0.03), ("samp31", 0.03)):
        sample = np.load(real_data / "isprs_filtertest" / f"{name}.npz")
        kept = heights_above_ground(PointCloud(sample["xyz"])) < 0.5
        assert (kept != sample["ground"].astype(bool)).mean() < most
