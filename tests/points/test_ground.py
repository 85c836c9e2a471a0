"""Heights above ground of points: a house stands its height above a slope, whatever the coordinates."""

import numpy as np
import pytest
from made_up_surface import hill_with_house
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud, heights_above_ground


@pytest.mark.parametrize("gsd_m", [0.5, 1.0, 2.0])
def test_a_house_on_a_slope_has_its_height(gsd_m):
    cloud = hill_with_house()
    height = heights_above_ground(cloud, gsd_m=gsd_m)
    house = cloud.classification == 6
    assert np.abs(height[~house]).max() < 0.3
    assert np.median(height[house]) == pytest.approx(6, abs=0.2)
    assert height.dtype == np.float32


def test_a_building_wider_than_stated_stays_in_the_ground():
    cloud = hill_with_house()
    height = heights_above_ground(cloud, max_building_m=5)
    assert np.median(height[cloud.classification == 6]) < 1


def test_one_point_stands_on_the_ground():
    assert heights_above_ground(PointCloud(np.array([[5.0, 6, 7]]))).tolist() == [0]


def test_absurd_coordinates_are_refused():
    with raises_naming(InputError, "scan.laz", "50", "000"):
        heights_above_ground(PointCloud(np.array([[0, 0, 0], [1e6, 1e6, 0.0]]), source="scan.laz"))


def test_stray_points_are_named_with_the_command_that_leaves_them_out():
    xyz = np.random.default_rng(0).uniform([700_000, 6_600_000, 100], [700_040, 6_600_040, 106], (500, 3))
    xyz[7] = 1_700_000.5, 7_600_000, 100
    with raises_naming(InputError, "1700000.50", "7600000.00", "100.00") as caught:
        heights_above_ground(PointCloud(xyz, source="scan.laz"))
    box = '--filters.crop.bounds="([700000,700040],[6600000,6600040])"'
    assert str(caught.value).endswith(f"pdal translate scan.laz without.laz crop {box}")


@pytest.mark.real_data
def test_the_ground_of_delft_lies_at_0_and_its_roofs_above(real_data):
    laspy = pytest.importorskip("laspy")
    path = real_data / "ahn3_delft" / "ahn3_cropped_2.laz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    scan = laspy.read(path)
    classes = np.asarray(scan.classification)
    height = heights_above_ground(PointCloud(np.asarray(scan.xyz, np.float64)))
    assert np.abs(np.percentile(height[classes == 2], [1, 99])).max() < 0.3
    assert np.median(height[classes == 6]) > 3
