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

from deepnets4eo.points import RubbleOptions
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble import blocks
from deepnets4eo.points.rubble.epoch_points import _cells


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
