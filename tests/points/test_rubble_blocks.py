"""Blocks of a rubble job and cells of points: one block without heights leaves the others, all without are refused."""

from dataclasses import dataclass
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.points import PointCloud, RubbleOptions
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble import blocks
from deepnets4eo.points.rubble.epoch_points import _cells, sample_area
from deepnets4eo.points.rubble.epochs import Match, _equations
from deepnets4eo.points.rubble.motion import RigidMotion
from deepnets4eo.points.rubble.roofs import roof_points
from deepnets4eo.points.rubble.surfaces import Heights


@dataclass(frozen=True)
class Fit:
    shift_m: float = 0.0


@pytest.mark.parametrize(("known", "tables", "gaps"), [((0, 1), 2, 0), ((0,), 1, 1), ((1,), 1, 1)])
def test_blocks_with_heights_are_measured_and_those_without_are_counted(
    known: tuple[int, ...], tables: int, gaps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = measure(known, monkeypatch)
    assert (len(measured.tables), [number for number, _ in measured.gaps]) == (tables, [1] * gaps)


def test_an_area_without_any_heights_is_refused_but_not_one_without_buildings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoHeightsError):
        measure((), monkeypatch)
    assert measure((), monkeypatch, buildings=False).tables == []


def measure(known: tuple[int, ...], patch: pytest.MonkeyPatch, *, buildings: bool = True) -> blocks.MeasuredBlocks:
    """Two blocks side by side with a building each; those of the numbers `known` have heights."""
    frame = gpd.GeoDataFrame(
        {"id": ["a", "b"]}, geometry=[shapely.box(10, 10, 20, 20), shapely.box(110, 10, 120, 20)], crs="EPSG:32631"
    ).iloc[: 2 if buildings else 0]

    def measure_one(_after: object, _before: object, _block: object, _frame: object, rows: np.ndarray, *_: object):
        if int(rows[0]) not in known:
            raise NoHeightsError("no heights here.")
        table = pd.DataFrame({"loss_m": np.zeros(len(rows))})
        return Fit(), SimpleNamespace(stated_offset_m=0.0, table=table), frame.geometry.to_numpy()[rows], 0

    for name, function in {
        "_measure": measure_one, "rubble_polygons": lambda *_: frame.iloc[:0], "common_bounds": lambda *_: None,
        "_with_halo": lambda window, *_: window, "BLOCK_CELLS": 100,
    }.items():  # fmt: skip
        patch.setattr(blocks, name, function)
    grid = GeoBox((100, 200), Affine(1, 0, 0, 0, -1, 100), "EPSG:32631")
    options = RubbleOptions(cell_m=1.0)
    return blocks.measure_blocks(None, None, frame, grid, np.zeros(len(frame)), options, None)  # type: ignore[arg-type]


def test_points_fall_into_the_cells_of_their_boxes_by_column_and_row() -> None:
    box = GeoBox((4, 3), Affine(2, 0, 100, 0, -2, 50), None)  # columns from 100 m eastwards, rows from 50 m southwards
    xyz = np.array(
        [[100.0, 50.0, 1], [105.9, 42.1, 2], [103.0, 47.0, 3], [106.0, 49.0, 4], [99.9, 49.0, 5], [101.0, 41.9, 6]]
    )
    ((cells, inside),) = _cells(xyz, [box], np.array([1000]))
    assert inside.tolist() == [True, True, True, False, False, False]
    assert cells.tolist() == [1000, 1000 + 3 * 3 + 2, 1000 + 1 * 3 + 1]


def test_points_are_of_a_roof_from_half_its_height_above_the_terrain() -> None:
    """Two houses of 6 and 10 m on terrain at 100 and 200 m; heights of one are not known."""
    shapes = [shapely.box(x, 0, x + 10, 10) for x in (0, 20, 40)]
    table = gpd.GeoDataFrame({"terrain_m": [100.0, 200.0, np.nan], "height_pre_m": [6.0, 10.0, 5.0]}, geometry=shapes)
    xyz = np.array(
        [[5, 5, 103.1], [5, 5, 102.9], [25, 5, 205.1], [25, 5, 204.9], [45, 5, 300], [15, 5, 300], [25, 5, 99]]
    )
    row, found = roof_points(PointCloud(xyz), table)
    assert row.tolist() == [0, 1]
    np.testing.assert_array_equal(found, xyz[[0, 2]])


def test_the_bounds_of_a_moved_date_are_those_of_its_moved_corners() -> None:
    motion = RigidMotion(
        np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([1.0, 2, 3]), np.zeros(3)
    )  # a quarter turn
    cloud = PointCloud(np.array([[10.0, 0, 5], [30, 4, 9]]))
    assert Heights(cloud, None).bounds == (10, 0, 30, 4)
    assert Heights(cloud, None, motion).bounds == (-3, 12, 1, 32)


def test_an_area_is_sampled_in_each_of_its_parts_around_the_middle_of_its_buildings() -> None:
    centres = np.array([[50.0, 50], [70, 50], [90, 50], [390, 10]])
    boxes, step_m = sample_area((0, 0, 800, 400), centres, 0.0)
    assert boxes.shape == (16, 4)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], [[120.0, 100.0]] * 16)
    low = np.array([[200.0 * col, 100.0 * row] for col in range(4) for row in range(4)])
    assert (boxes[:, :2] >= low).all()
    assert (boxes[:, 2:] <= low + [200, 100]).all()
    np.testing.assert_allclose(boxes[0], [10, 0, 130, 100])  # around 70
    np.testing.assert_allclose(boxes[4], [280, 0, 400, 100])  # as far as its part reaches
    np.testing.assert_allclose(boxes[5], [240, 100, 360, 200])  # the middle of a part without buildings
    assert step_m == pytest.approx(max(0.4, (16 * 120 * 100 / 150_000) ** 0.5))
    assert sample_area((0, 0, 800, 400), centres, 2.0).step_m == 2.0


def test_points_weigh_less_the_farther_they_are_and_nothing_beyond_the_limit() -> None:
    """Tukey's biweight of residuals, times the weight of each match, in normal equations of a shift."""
    distance, weight = np.array([0.0, 0.5, -0.5, 0.9, 1.0, 1.5]), np.array([1.0, 1, 2, 1, 1, 1])
    normals = np.tile([0.0, 0, 1], (6, 1))
    match = Match(np.ones(6, bool), np.zeros((6, 3)), normals, distance, weight)
    normal, gradient = _equations(match, RigidMotion.upwards(0.0, np.zeros(3)), 1.0)
    biweight = np.array([1.0, 0.75**2, 2 * 0.75**2, 0.19**2, 0, 0])
    assert normal[5, 5] == pytest.approx(biweight.sum())
    assert gradient[5] == pytest.approx(-(biweight * distance).sum())
