"""The neighbourhood of a building against a brute-force mean over the same square."""

import numpy as np

from deepnets4eo.damage.structure.sums import CELL_PX, NEAR_M, lowest_ground, open_means, window_cells

CELLS = (np.array([8, 9]), np.array([8, 10]))


def square(cell: int) -> slice:
    reach = window_cells(0.5) // 2
    return slice((cell - reach) * CELL_PX, (cell + reach + 1) * CELL_PX)


def test_means_are_those_of_the_open_pixels_in_the_square() -> None:
    rng = np.random.default_rng(0)
    values, ground = rng.normal(size=(160, 160)).astype(np.float32), rng.random((160, 160)) < 0.6
    means = open_means([values, values * 2], ground, CELLS, 0.5)
    for position, (row, col) in enumerate(zip(*CELLS, strict=True)):
        part, is_open = values[square(row), square(col)], ground[square(row), square(col)]
        assert np.isclose(means[position, 0], part[is_open].mean(), atol=1e-4)
        assert np.isclose(means[position, 1], 2 * means[position, 0], atol=1e-5)


def test_no_open_ground_gives_no_mean() -> None:
    nothing = np.zeros((160, 160), bool)
    assert np.isnan(open_means([np.ones((160, 160), np.float32)], nothing, CELLS, 0.5)).all()
    assert np.isnan(lowest_ground(np.ones((160, 160), np.float32), nothing, CELLS, 0.5)).all()


def test_the_lowest_ground_leaves_out_buildings() -> None:
    height = np.full((160, 160), 7.0, np.float32)
    height[64:72, 64:72] = 3.0
    height[80:88, 80:88] = -50.0
    ground = np.ones((160, 160), bool)
    ground[80:88, 80:88] = False
    assert lowest_ground(height, ground, CELLS, 0.5).tolist() == [3.0, 3.0]


def test_windows_reach_as_far_in_metres_whatever_the_pixels():
    for gsd_m in (0.25, 0.5, 1.25):
        assert window_cells(gsd_m) // 2 * CELL_PX * gsd_m == NEAR_M
