"""Heights of cells are those of the points in them, however the points come in chunks."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.height_grid import NoHeightsError, class_share, grid_around, height_grid


def cloud(rng, number=4000, side=12.0):
    xyz = np.column_stack([rng.uniform(0, side, (number, 2)), rng.uniform(0, 5, number)])
    return PointCloud(xyz, classification=rng.choice(np.array([2, 5, 6, 7], np.uint8), number))


def test_every_cell_holds_the_extremes_and_means_of_its_own_points():
    points = cloud(np.random.default_rng(0))
    grid = grid_around((0, 0, 12, 12), 1.5)
    pieces = [points.subset(slice(start, start + 700)) for start in range(0, len(points), 700)]
    cells = height_grid(lambda: pieces, grid, leave_out=(7,))
    counted = points.subset(points.classification != 7)
    col = (counted.xyz[:, 0] // 1.5).astype(int)
    row = 7 - (counted.xyz[:, 1] // 1.5).astype(int)
    for r in range(8):
        for c in range(8):
            z = counted.xyz[(row == r) & (col == c), 2]
            assert cells.count[r, c] == len(z)
            assert cells.highest[r, c] == pytest.approx(z.max())
            assert cells.lowest[r, c] == pytest.approx(z.min())
            assert cells.mean[r, c] == pytest.approx(z.mean(), abs=1e-5)
            assert cells.top[r, c] == pytest.approx(z[z >= np.float32(z.max()) - 1].mean(), abs=1e-4)


def test_cells_without_points_are_unknown_and_points_off_the_grid_do_not_count():
    points = PointCloud(np.array([[0.5, 0.5, 3.0], [99.0, 0.5, 8.0]]))
    cells = height_grid(lambda: [points], grid_around((0.1, 0.1, 1.9, 0.9), 1.0))
    assert cells.highest[0].tolist()[0] == 3.0
    assert np.isnan(cells.highest[0, 1])
    assert cells.count.tolist() == [[1, 0]]


@pytest.mark.parametrize("cell_m", [0.05, 0.5, 0.7, 1.1, 2.0])
def test_no_point_on_the_border_of_its_bounds_is_lost(cell_m):
    rng = np.random.default_rng(0)
    for _ in range(60):
        low = np.round(np.round(rng.uniform(0, 7e6, 2) / cell_m) * cell_m, 2)  # on edges of cells, but for rounding
        high = low + rng.integers(0, 9, 2) * cell_m
        corners = np.array([(x, y, 1.0) for x in (low[0], high[0]) for y in (low[1], high[1])])
        cells = height_grid(lambda corners=corners: [PointCloud(corners)], grid_around((*low, *high), cell_m))
        assert cells.count.sum() == 4


def test_the_share_of_a_class_is_counted_in_each_cell():
    points = PointCloud(
        np.array([[0.5, 0.5, 0], [0.6, 0.5, 0], [1.5, 0.5, 0.0]]), classification=np.array([70, 2, 2], np.uint8)
    )
    grid = grid_around((0.1, 0.1, 1.9, 0.9), 1.0)
    assert class_share(lambda: [points], grid, 70).tolist() == [[0.5, 0.0]]
    assert class_share(lambda: [points], grid, 71) is None


def test_a_grid_that_holds_no_point_and_one_of_absurd_size_are_refused():
    points = PointCloud(np.array([[500.0, 500.0, 3.0]]))
    with pytest.raises(InputError, match="no point of points in memory lies on the grid"):
        height_grid(lambda: [points], grid_around((0, 0, 2, 1), 1.0))
    with pytest.raises(InputError, match="are too many"):
        grid_around((0, 0, 1e7, 1e7), 0.5)
    with raises_naming(InputError, "cells of 0"):
        grid_around((0, 0, 1, 1), 0.0)


def test_a_grid_without_points_is_told_from_one_whose_points_do_not_count():
    points = PointCloud(np.array([[0.5, 0.5, 3.0]]), classification=np.array([5], np.uint8))
    with pytest.raises(NoHeightsError, match="no point of .* lies on the grid"):
        height_grid(lambda: [points], grid_around((50, 50, 51, 51), 1.0), leave_out=(5,))
    with raises_naming(NoHeightsError, "do not count (5)"):
        height_grid(lambda: [points], grid_around((0.1, 0.1, 0.9, 0.9), 1.0), leave_out=(5,))
