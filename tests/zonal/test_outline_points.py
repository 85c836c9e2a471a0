"""Points along outlines: where GEOS would cut them, normals pointing out, and no more of them than a window needs."""

import numpy as np
import pytest
import shapely
from hypothesis import given, strategies as st
from shapely.affinity import rotate

from deepnets4eo.zonal import Sides
from deepnets4eo.zonal.outline_points import pieces_near


def sides_of(*shapes: shapely.Geometry, holes: bool = True) -> Sides:
    return Sides.of(np.array(shapes, object), holes=holes)


def polygons(seed: int, count: int) -> np.ndarray:
    """Turned boxes, some with holes and some of two parts."""
    rng = np.random.default_rng(seed)
    shapes = []
    for number in range(count):
        x, y = rng.uniform(0, 140, 2)
        w, h = rng.uniform(2, 25, 2)
        shape = shapely.box(x - w, y - h, x + w, y + h)
        if number % 3 == 0:
            shape = shape.difference(shapely.box(x - w / 3, y - h / 3, x + w / 3, y + h / 3))
        if number % 4 == 0:
            shape = shapely.union(shape, shapely.box(x + 2 * w, y, x + 2.5 * w, y + h))
        shapes.append(rotate(shape, rng.uniform(0, 90)))
    return np.array(shapes, dtype=object)


def test_points_are_the_middles_of_the_segments_that_geos_makes():
    shape = rotate(shapely.box(0, 0, 31, 17.3), 24)
    corners = shapely.get_coordinates(shapely.segmentize(shape.exterior, 1.25))
    outlines = sides_of(shape).trace(1.25)
    assert np.allclose(outlines.points, (corners[1:] + corners[:-1]) / 2, atol=1e-9)
    along = (corners[1:] - corners[:-1]) / np.hypot(*(corners[1:] - corners[:-1]).T)[:, None]
    assert np.allclose((outlines.normals * along).sum(axis=1), 0, atol=1e-9)


def test_normals_point_out_of_polygons_also_into_their_holes():
    shapes = polygons(5, 15)
    traced = Sides.of(shapes).trace(1.0)
    assert np.allclose(np.hypot(*traced.normals.T), 1)
    outside = shapely.points(traced.points + 0.01 * traced.normals)
    inside = shapely.points(traced.points - 0.01 * traced.normals)
    assert shapely.contains(shapes[traced.owner], inside).all()
    assert not shapely.contains(shapes[traced.owner], outside).any()


@pytest.mark.parametrize("step", [0.5, 1.0, 3.0])
def test_points_are_no_farther_apart_than_asked(step):
    traced = sides_of(shapely.box(0, 0, 10, 7)).trace(step)
    assert len(traced.points) == 2 * (int(np.ceil(10 / step)) + int(np.ceil(7 / step)))
    assert (shapely.distance(shapely.box(0, 0, 10, 7).exterior, shapely.points(traced.points)) < 1e-9).all()


def test_points_keep_their_outline_and_empty_ones_have_none():
    multi = shapely.MultiPolygon([shapely.box(0, 0, 4, 4), shapely.box(10, 0, 12, 2)])
    sides = sides_of(shapely.Polygon(), multi, shapely.box(0, 0, 3, 3))
    traced = sides.trace(1.0)
    assert np.diff(traced.starts).tolist() == traced.whole.tolist() == [0, 16 + 8, 12]
    assert np.bincount(traced.owner, minlength=3).tolist() == [0, 24, 12]
    second = sides.subset(np.array([2, 0])).trace(1.0)
    assert np.diff(second.starts).tolist() == [12, 0]
    assert np.array_equal(second.points, traced.points[24:])


def test_holes_are_left_out_where_they_do_not_count():
    court = shapely.box(0, 0, 9, 9).difference(shapely.box(3, 3, 6, 6))
    multi = shapely.MultiPolygon([court, shapely.box(20, 0, 24, 4)])
    plain = shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(20, 0, 24, 4)])
    assert len(sides_of(multi).begin) == 12
    without = sides_of(multi, shapely.box(0, 0, 3, 3), holes=False)
    assert np.diff(without.starts).tolist() == [8, 4]
    assert without.areas == pytest.approx([plain.area, 9])


def test_areas_and_boxes_are_shapelys():
    shapes = np.append(polygons(7, 12), shapely.Polygon())
    sides = Sides.of(shapes)
    assert sides.areas == pytest.approx(shapely.area(shapes))
    low, high = sides.boxes
    assert np.array_equal(np.column_stack([low, high]), shapely.bounds(shapes), equal_nan=True)


def test_sides_of_parts_are_those_of_the_whole():
    shapes = polygons(3, 10)
    whole, parts = Sides.of(shapes), [Sides.of(shapes[:4]), Sides.of(shapes[4:4]), Sides.of(shapes[4:])]
    joined = Sides.concatenate(parts)
    assert len(joined) == len(whole) == 10
    for name in ("starts", "begin", "end", "normals"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name))


@pytest.mark.parametrize("seed", range(5))
def test_points_made_in_a_box_are_those_of_the_whole_outline_and_their_number_is_kept(seed):
    rng = np.random.default_rng(seed)
    giant = rotate(shapely.box(-400, -30, 500, 60), rng.uniform(0, 90))
    sides = sides_of(giant, shapely.box(10, 10, 30, 30), *polygons(seed, 5))
    low, high = box = np.array([0.0, 0.0]), np.array([90.0, 70.0])
    near, every = sides.trace(1.25, box), sides.trace(1.25)
    assert near.whole.tolist() == every.whole.tolist() == np.diff(every.starts).tolist()
    assert len(near.points) < len(every.points) / 1.5

    def inside(traced):
        kept = ((traced.points >= low) & (traced.points <= high)).all(axis=1)
        return np.column_stack([traced.owner, traced.points, traced.normals])[kept]

    assert np.array_equal(inside(near), inside(every))
    assert np.array_equal(sides.count_points(1.25, box), np.diff(near.starts))
    assert np.array_equal(sides.count_points(1.25), every.whole)
    assert np.array_equal(sides.reach(1.25), [every.points.min(axis=0), every.points.max(axis=0)])


@pytest.mark.parametrize("side", [1e4, 1e6, 4e9])
def test_the_points_of_an_outline_that_crosses_a_box_do_not_grow_with_it(side):
    traced = sides_of(shapely.box(-side, 25.3, side, 30.2)).trace(1.0, (np.zeros(2), np.full(2, 50.0)))
    assert 100 <= len(traced.points) <= 2 * 60
    assert np.isclose(np.unique(traced.points[:, 1]), [25.3, 30.2]).all()


@given(st.integers(0, 10_000))
def test_no_piece_that_meets_the_box_is_missed_and_few_others_are_made(seed):
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


def test_sides_that_lie_in_the_box_keep_all_their_pieces():
    begin, end, count = np.array([[1.0, 1.0]]), np.array([[9.0, 4.0]]), np.array([9])
    first, number = pieces_near(begin, end, count, np.zeros(2), np.full(2, 10.0))
    assert (first.tolist(), number.tolist()) == ([0], [9])
