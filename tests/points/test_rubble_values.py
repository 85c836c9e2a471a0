"""Values of rubble on grounds that are known by hand: the part of the heights that is read, the block of a building, intervals."""

from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from deepnets4eo.grid import Grid
from deepnets4eo.points import RubbleMap, RubbleOptions
from deepnets4eo.points.rubble import blocks, placing, plans
from deepnets4eo.points.rubble.rubble_map import BuildingState
from deepnets4eo.points.rubble.surfaces import Heights
from deepnets4eo.rasters import Layer

CRS = "EPSG:32633"


def outlines(*boxes):
    return gpd.GeoDataFrame(
        {"id": [str(number) for number in range(len(boxes))]}, geometry=[shapely.box(*one) for one in boxes], crs=CRS
    )


@pytest.mark.parametrize(
    ("boxes", "part"),
    [
        ([(110, 110, 120, 120)], (70, 70, 160, 160)),
        ([(10, 10, 20, 20)], (0, 0, 60, 60)),  # up to the heights' own sides
        ([(270, 275, 280, 290)], (230, 235, 300, 300)),
        ([(10, 110, 20, 120), (110, 275, 120, 290)], (0, 70, 160, 300)),
    ],
)
def test_heights_are_read_up_to_forty_metres_around_the_outlines(boxes, part):
    flat = Layer.open(np.zeros((300, 300), np.float32), grid=Grid((300, 300), Affine(1, 0, 0, 0, -1, 300), CRS))
    assert placing.bounds_around(Heights.open(flat), None, outlines(*boxes)) == part


def test_a_building_belongs_to_the_block_of_the_cell_nearest_to_its_middle():
    grid = Grid((9, 9), Affine(1, 0, 0, 0, -1, 9), CRS)
    rows, cols = np.mgrid[:9, :9].reshape(2, -1)
    boxes = [(col + 0.2, 9 - row - 0.8, col + 0.8, 9 - row - 0.2) for row, col in zip(rows, cols, strict=True)]
    np.testing.assert_array_equal(blocks._block_of(outlines(*boxes), grid, 4), rows // 4 * 3 + cols // 4)
    beyond = outlines((8, 8, 30, 30), (-30, -30, 1, 1), (10, 0, 12, 2), (0, -3, 2, -1))
    np.testing.assert_array_equal(blocks._block_of(beyond, grid, 4), [2, 6, -1, -1])


def test_a_map_that_says_nothing_of_its_heights_is_not_made_up():
    assert not RubbleMap(outlines((0, 0, 1, 1)), outlines()).synthetic


def test_an_interval_adds_errors_of_heights_bias_gaps_and_outlines():
    """By hand: 160 cells of 0.25 m², of an outline of 10 by 4 m."""
    inputs = SimpleNamespace(
        cell_m=0.5, outlines=np.array([shapely.box(0, 0, 10, 4)]), fit=SimpleNamespace(nmad_m=0.05)
    )
    volume = plans.Measured(np.array([100.0]), np.array([160.0]), 1.4, plans.Doubt(np.array([3.0]), np.array([np.nan])))
    options = RubbleOptions(bias_m=0.2, correlation_m=3.0)
    row = plans.interval("lost", volume, np.array([0.75]), inputs, options)
    alike = np.pi * 3.0**2 / (5 * 0.25)  # cells whose errors are one
    heights = 1.96 * 0.25 * 1.4 * 0.05 * np.sqrt(160 * alike)
    error = heights + 160 * 0.25 * 0.2 + 0.25 * 100 + 1.96 * 100 * 0.2 * (28 / 2) / 40
    assert row["lost_m3"] == [100]
    assert row["lost_low_m3"] == pytest.approx(100 - error - 3, abs=0.01)
    assert row["lost_high_m3"] == pytest.approx(100 + error, abs=0.01)


def test_a_state_that_is_not_known_is_grey_and_no_other_is():
    grey = [state for state, colour in BuildingState.colours.items() if len(set(colour)) == 1]
    assert grey == [BuildingState.unknown]
