"""Touching objects are taken apart where a person would cut, and the pieces cover the region exactly."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming
from scipy.ndimage import binary_opening, label

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.objects import ObjectRules
from deepnets4eo.objects.extraction import class_mask
from deepnets4eo.objects.splitting import split_at_necks, split_both, split_by_area
from deepnets4eo.rasters import Layer

METRE = (1.0, 1.0)


def disc(radius: float) -> np.ndarray:
    reach = int(radius)
    steps = np.arange(-reach, reach + 1)
    return steps[:, None] ** 2 + steps[None] ** 2 <= radius**2


def blobs(seed: int, share: float = 0.55, side: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side)) < share


def test_two_blocks_on_a_bridge_are_two_pieces_that_meet_on_the_bridge() -> None:
    mask = np.zeros((9, 24), bool)
    mask[1:8, 1:10] = mask[1:8, 14:23] = mask[3:5, 10:14] = True
    pieces = split_at_necks(mask, METRE)
    assert pieces.max() == 2
    assert (pieces[1:8, 1:10] == 1).all()
    assert (pieces[1:8, 14:23] == 2).all()


@given(st.integers(5, 30), st.integers(5, 30))
def test_a_rectangle_has_no_neck(height: int, width: int) -> None:
    assert split_at_necks(np.ones((height, width), bool), METRE).max() == 1


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.8))
def test_pieces_cover_the_region_and_nothing_else_and_each_is_connected(seed: int, depth: float) -> None:
    regions, _ = label(binary_opening(blobs(seed, 0.7)))
    mask = regions == np.bincount(regions.ravel())[1:].argmax() + 1 if regions.any() else np.ones((5, 5), bool)
    pieces = split_at_necks(mask, (0.5, 0.4), depth=depth)
    np.testing.assert_array_equal(pieces > 0, mask)
    assert set(np.unique(pieces[mask])) == set(range(1, pieces.max() + 1))
    for number in range(1, pieces.max() + 1):
        assert label(pieces == number)[1] == 1


@given(st.integers(0, 2**32 - 1), st.floats(1, 200))
def test_no_piece_is_smaller_than_asked_unless_the_region_is(seed: int, smallest: float) -> None:
    regions, _ = label(binary_opening(blobs(seed, 0.75)))
    mask = regions == 1 if regions.any() else np.ones((5, 5), bool)
    pieces = split_at_necks(mask, METRE, min_area_m2=smallest, depth=0.1)
    assert pieces.max() == 1 or np.bincount(pieces.ravel())[1:].min() >= smallest


def test_a_piece_that_loses_a_pixel_when_others_are_left_out_is_left_out_too() -> None:
    regions, _ = label(binary_opening(blobs(3653403231, 0.75)))
    pieces = split_at_necks(regions == 1, METRE, min_area_m2=38.0)
    assert np.bincount(pieces.ravel())[1:].min() >= 38


@pytest.mark.parametrize("cars", [1, 2, 3, 5, 8])
def test_a_row_of_parked_cars_is_cut_by_area_into_its_cars(cars: int) -> None:
    mask = np.ones((12, 25 * cars), bool)  # nose to tail, each 2.5 × 1.2 m
    pieces = split_by_area(mask, (0.1, 0.1), 3.0)
    np.testing.assert_array_equal(pieces, np.repeat(np.arange(1, cars + 1), 25)[None].repeat(12, axis=0))


@given(st.integers(0, 2**32 - 1), st.floats(1, 60))
def test_no_part_is_smaller_than_asked_after_areas_are_counted_either(seed: int, smallest: float) -> None:
    regions, _ = label(binary_opening(blobs(seed, 0.75)))
    mask = regions == 1 if regions.any() else np.ones((5, 5), bool)
    pieces = split_both(mask, METRE, 40.0, min_area_m2=smallest)
    assert pieces.max() == 1 or np.bincount(pieces.ravel())[1:].min() >= smallest
    np.testing.assert_array_equal(pieces > 0, mask)


def test_what_hangs_by_a_neck_is_cut_there_before_areas_are_counted() -> None:
    mask = np.zeros((12, 70), bool)
    mask[:, :20] = True  # one object
    mask[:, 30:] = True  # two
    mask[5:7, 20:30] = True
    pieces = split_both(mask, METRE, 240.0)
    assert pieces.max() == 3
    assert (pieces[:, :20] == 1).all()
    assert {tuple(np.unique(pieces[:, 31:49])), tuple(np.unique(pieces[:, 51:]))} == {(2,), (3,)}


@given(st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_the_opening_is_the_usual_one_by_a_disc_whatever_the_windows(seed: int, diameter: int) -> None:
    image = blobs(seed, 0.8, 48).astype(np.uint8)
    layer = Layer.open(image)
    read = class_mask(layer, 1, float(diameter))
    radius = (diameter - 1) / 2
    expected = binary_opening(np.pad(image > 0, 12), disc(radius))[12:-12, 12:-12] if radius >= 1 else image > 0
    found = np.zeros(image.shape, bool)
    for window in blocks(image.shape, 19):
        found[window.slices] = read(window)[0][0] > 0
    np.testing.assert_array_equal(found, expected)


def test_nodata_is_not_of_the_class() -> None:
    layer = Layer.open(np.ones((4, 4), np.uint8), nodata=1)
    assert not class_mask(layer, 1)(Window(0, 0, 4, 4))[0].any()


@pytest.mark.parametrize("opening_m", [-1.0, float("nan")])
def test_an_opening_below_zero_is_refused(opening_m: float) -> None:
    with raises_naming(InputError, "opening_m"):
        ObjectRules(opening_m=opening_m)
