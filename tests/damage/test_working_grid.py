"""The working grid follows the post image, and a pre image that is much coarser is left out of it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.damage.images.dates import COARSEST_PRE, pre_ratio
from deepnets4eo.damage.images.working_grid import make_working_grid
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer


@dataclass(frozen=True)
class Identity:
    """A registration that moves nothing."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    usable: bool = True


def image(gsd_m: float, side_m: float = 120.0) -> Layer:
    side = round(side_m / gsd_m)
    grid = Grid((side, side), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_000_000), "EPSG:32615")
    return Layer.open(np.random.default_rng(0).integers(1, 255, (3, side, side), np.uint8), grid=grid)


@pytest.mark.parametrize(
    ("pre_m", "post_m", "ratio", "working_m", "shown"),
    [
        (0.6, 0.6, 1.0, 0.6, True),
        (0.8, 0.6, 4 / 3, 0.8, True),
        (1.0, 0.6, 5 / 3, 0.6, False),
        (0.7, 0.3, 1.4, 0.7, True),  # of the 0.5 m that the working pixels have at least
        (10.0, 0.6, 100 / 6, 0.6, False),
        (0.3, 0.6, 0.5, 0.6, True),
    ],
)
def test_a_coarse_pre_image_leaves_the_grid_to_the_post_image(
    pre_m: float, post_m: float, ratio: float, working_m: float, shown: bool
) -> None:
    pre, post = image(pre_m), image(post_m)
    assert pre_ratio(pre, post) == pytest.approx(ratio, rel=0.01)
    working_grid = make_working_grid(pre, post, Identity(), coarsest_pre=COARSEST_PRE)
    assert working_grid.gsd_m == pytest.approx(working_m, rel=0.01)
    assert ("pre" in working_grid.layers) == shown


def test_heights_before_the_event_lie_as_registered_also_where_the_pre_image_is_left_out() -> None:
    moved = Identity(np.array([[1.0, 0, 20.0], [0, 1, 0]]))
    height = image(0.6)
    working_grid = make_working_grid(image(10.0), image(0.6), moved, coarsest_pre=COARSEST_PRE, dsm_pre=height)
    shift_px = ~height.grid.affine * working_grid.layers["dsm_pre"].grid.affine * (0, 0)
    assert shift_px == pytest.approx((20.0, 0.0))


@pytest.mark.parametrize(
    ("size_m", "shape"), [((0.7, 1.4), (35, 42)), ((0.05, 0.05), (5, 3)), ((0.51, 0.49), (50, 30))]
)
def test_pixels_that_are_not_square_or_too_small_become_square_ones(
    size_m: tuple[float, float], shape: tuple[int, int]
) -> None:
    along_row, along_col = (
        size_m  # 50 rows and 30 columns of the post image; working pixels of their geometric mean, of 0.5 m at least
    )
    grid = Grid((50, 30), Affine(along_col, 0, 500_000, 0, -along_row, 4_000_000), "EPSG:32615")
    post = Layer.open(np.ones((3, 50, 30), np.uint8), grid=grid)
    working = make_working_grid(None, post, None).grid
    assert working.shape == shape
    corner = working.affine * working.shape[::-1]
    assert corner == pytest.approx((500_000 + 30 * along_col, 4_000_000 - 50 * along_row))
