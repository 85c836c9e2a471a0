"""Pieces of long edges near a box against all pieces, runs of outlines, and what is larger than a building."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deepnets4eo.damage.outline_limits import chunks, concatenate_starts, larger_than_buildings, pieces_near, without
from deepnets4eo.zonal.outlines import groups


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_no_piece_that_meets_the_box_is_missed_and_few_others_are_made(seed: int) -> None:
    rng = np.random.default_rng(seed)
    begin, end = rng.uniform(-300, 400, (2, 40, 2))
    end[::5, 0] = begin[::5, 0]  # upright
    end[1::5, 1] = begin[1::5, 1]  # level
    low, high = np.array([20.0, 30.0]), np.array([80.0, 70.0])
    count = np.ceil(np.hypot(*(end - begin).T)).astype(np.int64)
    first, number = pieces_near(begin, end, count, low, high)
    assert (first >= 0).all()
    assert (first + number <= count).all()
    assert (number <= np.hypot(*(high - low)) + 12).all()
    for edge in range(len(count)):
        middle = begin[edge] + ((np.arange(count[edge]) + 0.5) / count[edge])[:, None] * (end - begin)[edge]
        inside = np.flatnonzero(((middle >= low) & (middle <= high)).all(axis=1))
        assert np.isin(inside, np.arange(first[edge], first[edge] + number[edge])).all()


def test_edges_that_lie_in_the_box_keep_all_their_pieces() -> None:
    begin, end, count = np.array([[1.0, 1.0]]), np.array([[9.0, 4.0]]), np.array([9])
    first, number = pieces_near(begin, end, count, np.zeros(2), np.full(2, 10.0))
    assert (first.tolist(), number.tolist()) == ([0], [9])


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 50))
def test_runs_hold_every_outline_once_and_no_more_than_fits(cost: list[int], most: int) -> None:
    runs = groups(np.array(cost, np.int64), most)
    assert [number for run in runs for number in range(run.start, run.stop)] == list(range(len(cost)))
    for run in runs:
        assert sum(cost[run]) <= most or run.stop - run.start == 1
    for run, following in zip(runs, runs[1:], strict=False):
        assert sum(cost[run]) + cost[following.start] > most


def test_two_square_kilometres_are_no_building_in_any_pixel_size() -> None:
    shapes = np.array([shapely.box(0, 0, 1400, 1400), shapely.box(0, 0, 1430, 1430), shapely.Polygon()], object)
    assert larger_than_buildings(shapes, 1.0).tolist() == [False, True, False]
    assert larger_than_buildings(shapes, 0.5).tolist() == [False] * 3
    left = without(shapes, larger_than_buildings(shapes, 1.0))
    assert shapely.is_empty(left).tolist() == [False, True, True]


def test_chunks_cover_all_rows_and_starts_join_up() -> None:
    assert chunks(9, 4) == [slice(0, 4), slice(4, 8), slice(8, 9)]
    assert chunks(0) == [slice(0, 0)]
    assert concatenate_starts([np.array([0, 2, 5]), np.array([0]), np.array([0, 1])]).tolist() == [0, 2, 5, 6]
