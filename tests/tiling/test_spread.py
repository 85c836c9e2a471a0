"""Windows and items to measure a whole by: from edge to edge, at even distances, all of one size."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from deepnets4eo.grid import Window
from deepnets4eo.tiling import spread_indices, spread_windows


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 80), st.integers(2, 6))
def test_windows_lie_inside_and_reach_all_four_corners(height, width, side, per_axis):
    windows = spread_windows((height, width), (side, side), per_axis)
    assert {window[2:] for window in windows} == {(min(side, height), min(side, width))}
    assert len(set(windows)) == len(windows) <= per_axis**2
    assert windows == sorted(windows)
    assert windows[0][:2] == (0, 0)
    assert (windows[-1].row + windows[-1].height, windows[-1].col + windows[-1].width) == (height, width)


@given(st.integers(20, 300), st.integers(1, 10), st.integers(2, 6))
def test_distances_between_windows_differ_by_one_pixel_at_most(length, side, per_axis):
    starts = [window.row for window in spread_windows((length, side), (side, side), per_axis)]
    assert len(starts) == per_axis
    assert np.ptp(np.diff(starts)) <= 1


def test_a_raster_smaller_than_a_window_is_one_window():
    assert spread_windows((5, 7), (256, 256), 4) == [Window(0, 0, 5, 7)]


@pytest.mark.parametrize("round_down", [False, True])
@given(count=st.integers(0, 500), most=st.integers(2, 60))
def test_items_are_distinct_and_go_from_the_first_to_the_last(round_down, count, most):
    chosen = spread_indices(count, most, round_down=round_down)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, most)
    assert (np.diff(chosen) > 0).all()
    if count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
    if count > most:
        assert np.ptp(np.diff(chosen)) <= 1


def test_positions_between_two_items_are_rounded_as_asked():
    assert spread_indices(4, 3).tolist() == [0, 2, 3]
    assert spread_indices(4, 3, round_down=True).tolist() == [0, 1, 3]
