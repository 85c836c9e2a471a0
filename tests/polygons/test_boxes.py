"""Oriented boxes against shapely, closed forms and loops."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, strategies as st

from deepnets4eo.baselines.parts.boxes import paint, suppress
from deepnets4eo.metrics import overlapping_pairs
from deepnets4eo.polygons import boxes_around, corners, outlines

SIDES = st.floats(1, 30)
BOXES = st.lists(
    st.tuples(st.floats(0, 60), st.floats(0, 60), SIDES, SIDES, st.floats(0, math.pi, exclude_max=True)),
    min_size=1,
    max_size=25,
).map(np.array)


def turned(box):
    """The box as shapely turns an upright one."""
    row, col, length, width, heading = box
    upright = shapely.box(-length / 2, -width / 2, length / 2, width / 2)
    cos, sin = math.cos(heading), math.sin(heading)
    return shapely.transform(upright, lambda xy: xy @ np.array([[cos, sin], [-sin, cos]]) + (col, row))


def naive_suppression(polygons, scores, max_iou):
    kept = []
    for place in sorted(range(len(scores)), key=lambda place: (-scores[place], place)):
        ious = [
            polygons[place].intersection(polygons[other]).area / polygons[place].union(polygons[other]).area
            for other in kept
        ]
        if all(iou <= max_iou for iou in ious):
            kept.append(place)
    return kept


@given(BOXES)
def test_outlines_are_the_turned_rectangles(boxes):
    for outline, box in zip(outlines(boxes), boxes, strict=True):
        other = turned(box)
        assert outline.symmetric_difference(other).area < 1e-6 * max(other.area, 1)


@given(BOXES)
def test_the_rectangle_around_a_box_is_the_box(boxes):
    ordered = boxes.copy()
    ordered[:, 2:4] = np.sort(boxes[:, 2:4], axis=1)[:, ::-1]
    again = boxes_around(outlines(ordered))
    assert np.allclose(again[:, :4], ordered[:, :4], atol=1e-6)
    long = ordered[:, 2] > ordered[:, 3] * 1.001
    assert np.allclose(np.cos(2 * (again[long, 4] - ordered[long, 4])), 1, atol=1e-6)


@given(BOXES, BOXES)
def test_overlap_is_intersection_over_union(first, second):
    one, other, iou = overlapping_pairs(outlines(first), outlines(second))
    found = {(i, j): value for i, j, value in zip(one.tolist(), other.tolist(), iou, strict=True)}
    for i, a in enumerate(map(turned, first)):
        for j, b in enumerate(map(turned, second)):
            expected = a.intersection(b).area / a.union(b).area
            assert found.get((i, j), 0) == pytest.approx(expected, abs=1e-6)


@given(BOXES, st.sampled_from([0.0, 0.3, 0.5]), st.randoms(use_true_random=False))
def test_suppression_keeps_what_the_loop_keeps(boxes, max_iou, random):
    scores = np.array([random.choice([0.1, 0.5, random.random()]) for _ in boxes])
    kept = suppress(outlines(boxes), scores, max_iou)
    assert kept.tolist() == naive_suppression(outlines(boxes), scores, max_iou)


def test_nothing_is_suppressed_of_nothing():
    assert suppress(outlines(np.zeros((0, 5))), np.zeros(0), 0.5).tolist() == []
    assert boxes_around(np.zeros(0, object)).shape == (0, 5)


@given(BOXES)
def test_painted_pixels_are_those_whose_middle_lies_in_a_box(boxes):
    values = np.linspace(0.2, 1, len(boxes), dtype=np.float32)
    painted = paint(boxes, values, (50, 40))
    cols, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(50) + 0.5)
    expected = np.zeros((50, 40), np.float32)
    edge = np.zeros((50, 40), bool)
    for outline, value in zip(outlines(boxes), values, strict=True):
        expected = np.where(shapely.contains_xy(outline, cols, rows), np.maximum(expected, value), expected)
        edge |= shapely.distance(outline.exterior, shapely.points(cols, rows)) < 1e-6
    assert np.array_equal(painted[~edge], expected[~edge])


def test_a_line_is_a_box_without_width():
    box = boxes_around(np.array([shapely.Polygon([(0, 0), (4, 0), (0, 0)])], object))
    assert box[0, 2:4].tolist() == [4, 0]
    assert corners(box).shape == (1, 4, 2)
