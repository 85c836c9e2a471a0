"""Small regions go: sizes afterwards, borders against a plain count, void, ties, and areas in square metres."""

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from refusals import raises_naming
from scipy import ndimage

from deepnets4eo.baselines.postprocessing import minimum_area
from deepnets4eo.baselines.postprocessing.votes import area_in_px
from deepnets4eo.errors import InputError

LABELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 255]))  # fmt: skip
SHAPES = {4: ndimage.generate_binary_structure(2, 1), 8: ndimage.generate_binary_structure(2, 2)}


def regions(labels, connectivity):
    """(label, mask) of each connected region that is not void."""
    for value in np.unique(labels[labels != 255]):
        numbers, count = ndimage.label(labels == value, SHAPES[connectivity])
        for number in range(1, count + 1):
            yield value, numbers == number


@given(LABELS, st.integers(1, 9), st.sampled_from([4, 8]))
def test_no_small_region_is_left_but_where_void_alone_surrounds_it(labels, area, connectivity):
    found = minimum_area(labels, area, connectivity=connectivity)
    np.testing.assert_array_equal(found == 255, labels == 255)
    for _, mask in regions(found, connectivity):
        if mask.sum() < area:
            ring = ndimage.binary_dilation(mask, SHAPES[4]) & ~mask
            assert (found[ring] == 255).all()


@given(LABELS, st.integers(2, 9))
def test_what_is_large_stays_and_twice_is_as_once(labels, area):
    found = minimum_area(labels, area)
    for _, mask in regions(labels, 4):
        if mask.sum() >= area:
            np.testing.assert_array_equal(found[mask], labels[mask])
    np.testing.assert_array_equal(minimum_area(found, area), found)


def test_a_small_region_takes_the_label_of_its_longest_border():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = np.kron(rng.integers(0, 4, (3, 3)), np.ones((4, 4), int)).astype(np.uint8)
        top, left = rng.integers(1, 9, 2)
        labels[top : top + 2, left : left + 2] = 9
        shared = np.bincount([labels[row, col] for row, col in around(top, left)], minlength=10)
        expected = labels.copy()
        expected[labels == 9] = shared.argmax()
        np.testing.assert_array_equal(minimum_area(labels, 5), expected)


def around(top, left):
    """Pixels that share a side with the square of 2 × 2, once for each side."""
    for step in (0, 1):
        yield from [(top - 1, left + step), (top + 2, left + step), (top + step, left - 1), (top + step, left + 2)]


def test_specks_side_by_side_go_to_the_large_region_not_to_each_other():
    labels = np.zeros((9, 9), np.uint8)
    labels[4, 3:6] = [1, 2, 3]
    assert (minimum_area(labels, 4) == 0).all()


def test_corners_connect_only_where_asked_for():
    labels = np.zeros((6, 6), np.uint8)
    labels[[1, 2, 3, 4], [1, 2, 3, 4]] = 1
    assert (minimum_area(labels, 4) == 0).all()
    np.testing.assert_array_equal(minimum_area(labels, 4, connectivity=8), labels)


def test_constant_and_void_images_stay():
    for value in (0, 7, 255):
        labels = np.full((5, 4), value, np.uint8)
        np.testing.assert_array_equal(minimum_area(labels, 100), labels)


def test_areas_in_square_metres_are_rounded_up_to_whole_pixels():
    assert area_in_px(1.0, 0.5) == 4
    assert area_in_px(1.1, 0.5) == 5
    assert area_in_px(0.01, 0.5) == 1
    assert area_in_px(0.09, 0.3) == 1
    with raises_naming(InputError, "area_px"):
        area_in_px(4.0, None)
    with raises_naming(InputError, "area_px", "0"):
        minimum_area(np.zeros((2, 2), np.uint8), 0)
