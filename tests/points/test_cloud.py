"""A cloud refuses what is no cloud, and keeps what belongs to a point together."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud


def test_a_subset_keeps_what_was_measured_at_its_points():
    cloud = PointCloud(np.arange(12.0).reshape(4, 3), classification=np.array([1, 2, 6, 2], np.uint8))
    ground = cloud.subset(cloud.classification == 2)
    assert ground.xyz[:, 0].tolist() == [3, 9]
    assert ground.classification.tolist() == [2, 2]
    assert ground.intensity is None


@pytest.mark.parametrize(
    ("xyz", "message"),
    [
        (np.zeros((0, 3)), "at least one point"),
        (np.zeros((4, 2)), r"shape \(4, 2\)"),
        (np.array([[0, 0, np.nan], [0, 0, 0]]), "1 of 2 points have coordinates that are not finite numbers"),
    ],
)
def test_coordinates_that_are_no_cloud_are_refused(xyz, message):
    with pytest.raises(InputError, match=message):
        PointCloud(xyz, source="scan.laz")


def test_a_measurement_of_another_length_is_refused():
    with raises_naming(InputError, "3 values", "2 points"):
        PointCloud(np.zeros((2, 3)), intensity=np.zeros(3, np.float32))


def test_joined_clouds_keep_what_all_have_measured() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        PointCloud(
            rng.random((number, 3)),
            classification=np.full(number, number, np.uint8),
            source=name,
            synthetic=name == "a",
        )
        for number, name in ((3, "a"), (2, "b"))
    )
    second = replace(second, intensity=np.ones(2, np.float32), withheld=np.array([True, False]))
    joined = PointCloud.join([first, second])
    np.testing.assert_array_equal(joined.xyz, np.concatenate([first.xyz, second.xyz]))
    assert joined.classification is not None
    assert joined.classification.tolist() == [3, 3, 3, 2, 2]
    assert joined.intensity is None  # the first has none
    assert joined.withheld is not None
    assert joined.withheld.tolist() == [False, False, False, True, False]
    assert (joined.source, joined.synthetic) == ("a", True)
    assert PointCloud.join([first, first]).withheld is None
    assert PointCloud.join([second]) is second
