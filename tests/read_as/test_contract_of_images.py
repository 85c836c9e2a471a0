"""What images do not declare, which two images are one, and what masks hold: function by function, against pixels by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Phrase
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import images
from deepnets4eo.read_as.images import (
    Undeclared,
    UndeclaredBand,
    _apart,
    _is_flat,
    _sizes,
    _some_of,
    are_one,
    are_squares,
    bright_value,
    check_two_images,
    is_grey,
    undeclared_in_bands,
    undeclared_nodata,
)
from deepnets4eo.read_as.masks import ClassMask, ValuesSeen, check_dry_ground
from deepnets4eo.read_as.relief import SteepRules

GRID = GeoBox((64, 64), Affine(1, 0, 500_000, 0, -1, 4_000_000), "EPSG:32633")
NOISE = np.random.default_rng(0).integers(60, 200, (3, 64, 64)).astype(np.uint8)


def layer(values: np.ndarray, **more: Any) -> Layer:
    return Layer.open(values, grid=GRID, **more)


def test_a_collar_of_zeros_is_undeclared_nodata_and_single_dark_pixels_are_not() -> None:
    collar = NOISE.copy()
    collar[:, :16] = 0
    assert undeclared_nodata(layer(collar)) == Undeclared(0.25, 0.0)
    lossy = collar.copy()
    lossy[:, :16, ::2] = 2
    assert undeclared_nodata(layer(lossy)) == Undeclared(
        0.25, largest=3.0
    )  # of bytes, lossy compression leaves up to 3
    sixteen = 100 * collar.astype(np.uint16)
    assert undeclared_nodata(layer(sixteen)) == Undeclared(0.25, 0.0)
    assert undeclared_nodata(layer(sixteen, nodata=60_000)) == Undeclared(0.25, largest=0.0)
    assert undeclared_nodata(layer(sixteen, nodata=0)) is None
    assert undeclared_nodata(layer(NOISE)) is None
    scattered = 100 * NOISE.astype(np.uint16)
    scattered[:, ::4, ::4] = 0
    assert undeclared_nodata(layer(scattered)) is None
    labels = np.repeat(np.arange(4, dtype=np.uint16), 16)[:, None] * np.ones((1, 64), np.uint16)
    assert undeclared_nodata(layer(labels[None])) is None  # few values: 0 is a class


def test_a_usual_value_far_from_others_is_nodata() -> None:
    heights = 100 + np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)
    heights[0, :8, :8] = -9999
    assert undeclared_nodata(layer(heights)) == Undeclared(1 / 64, -9999.0)
    heights[0, :8, :8] = 120
    assert undeclared_nodata(layer(heights)) is None


def test_white_squares_may_be_a_collar() -> None:
    white = NOISE.copy()
    white[:, :16] = 255
    assert undeclared_nodata(layer(white)) == Undeclared(0.25, white=True)
    white[:, 16:32] = 250  # snow has neighbours in brightness
    assert undeclared_nodata(layer(white)) is None
    one = NOISE.copy()
    one[:2, :16] = 255
    assert undeclared_nodata(layer(one)) is None


def test_a_gap_of_one_band_is_found_where_others_have_data() -> None:
    values = 100 * NOISE.astype(np.uint16)
    values[1, :16] = 0
    found = undeclared_in_bands(layer(values))
    assert found == (UndeclaredBand(1, "band_2", 0.0, 0.25),)
    assert str(found[0]) == "0 in band_2 alone"
    values[:, :16] = 0
    assert undeclared_in_bands(layer(values)) == ()  # no band has data there
    assert undeclared_in_bands(layer(values[:1])) == ()
    clipped = 100 * NOISE.astype(np.uint16)
    clipped[1, ::3, ::3] = 0
    assert undeclared_in_bands(layer(clipped)) == ()  # single pixels


@pytest.mark.parametrize(
    ("found", "phrase", "remedy"),
    [
        (Undeclared(0.25, 0.0), Phrase("value_in_every_band", {"value": 0.0}), ("declare_nodata", "0")),
        (Undeclared(0.25, -9999.0), Phrase("value_in_every_band", {"value": -9999.0}), ("declare_nodata", "-9999")),
        (Undeclared(0.25, white=True), Phrase("value_in_every_band", {"value": 255.0}), ("declare_nodata", "255")),
        (Undeclared(0.25, largest=3.0), Phrase("dark_values_in_wide_parts", {"largest": 3.0}), ("write_mask", "3")),
        (Undeclared(0.25, largest=0.0), Phrase("dark_values_in_wide_parts", {"largest": 0.0}), ("write_mask", "1")),
        (
            Undeclared(0.25, largest=-30.0),
            Phrase("small_values_in_wide_parts", {"largest": -30.0}),
            ("write_mask", "1"),
        ),
    ],
)
def test_undeclared_nodata_is_named_with_the_command_that_declares_it(found: Undeclared, phrase: Phrase, remedy: Any) -> None:  # fmt: skip
    assert found.phrase == phrase
    advice = found.remedy("a.tif")
    assert (advice.key, str(advice.values["number"]).find(remedy[1]) >= 0) == (remedy[0], True)


def test_values_are_apart_if_enough_are_hidden_and_hardly_any_is_near_them() -> None:
    def share(zeros: int, near: int, rest: int, near_value: float = 1.5) -> float:
        values = np.concatenate([np.zeros(zeros), np.full(near, near_value), np.full(rest, 100.0)])
        return _apart(values, 0.0, values == 0, whole=False)

    assert share(100, 10, 890) == pytest.approx(0.1)
    assert share(100, 11, 889) == 0  # more than a tenth of them are near 0
    assert share(100, 11, 889, 2.5) == pytest.approx(0.1)  # farther than a fiftieth of the median
    assert share(5, 0, 995) == pytest.approx(0.005)
    assert share(4, 0, 996) == 0
    assert share(100, 0, 0) == 0
    small = np.concatenate([np.zeros(100), np.full(100, 2.0), np.full(800, 10.0)])
    assert (_apart(small, 0.0, small == 0, whole=True), _apart(small, 0.0, small == 0, whole=False)) == (0, pytest.approx(0.1))  # fmt: skip


def test_squares_sizes_and_samples_of_pixels() -> None:
    square, dust = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    square[:10, :10], dust[::2, ::4] = True, True
    assert (are_squares([square]), are_squares([dust])) == (True, False)
    half = np.zeros((64, 64), bool)
    half[:7, :7], half[20:69:2, 20:22] = True, True  # 49 in a square, 44 beside
    assert are_squares([half])
    assert (_is_flat(np.arange(63.0)), _is_flat(np.arange(64.0)), _is_flat(np.tile(np.arange(63.0), 500))) == (True, False, True)  # fmt: skip
    pixels = np.array([[1.0, -5, -9999, -9999], [2, 3, 4, -9999]])
    sizes, highest = _sizes(pixels)
    assert (sizes.tolist(), highest.tolist()) == ([2, 5, 9999], [2, 3, -9999])  # one band without data says nothing
    many = np.stack([np.arange(20), np.arange(20)[::-1]])
    many[:, 5] = 7
    assert _some_of(many).tolist() == [0, 7, 14, 7]


def test_two_images_are_one_if_hardly_a_value_differs() -> None:
    other = NOISE.copy()
    other.reshape(-1)[:24] ^= 1  # 24 of 12,288: a five-hundredth
    assert are_one(layer(NOISE), layer(other))
    other.reshape(-1)[24] ^= 1
    assert not are_one(layer(NOISE), layer(other))
    assert not are_one(layer(NOISE), layer(NOISE[:2]))
    moved = GeoBox((64, 64), Affine(1, 0, 500_001, 0, -1, 4_000_000), "EPSG:32633")
    assert not are_one(layer(NOISE), Layer.open(NOISE, grid=moved))
    with raises_naming(InputError, "are one image", "or leave one out"):
        check_two_images(layer(NOISE), layer(NOISE), "or leave one out")
    empty = np.full((3, 64, 64), 7, np.uint8)
    assert not are_one(layer(empty, nodata=7), layer(empty, nodata=7))  # nothing is seen


def test_night_and_grey_images() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8), (3, 64, 1))
    assert bright_value(layer(ramp)) == pytest.approx(60, abs=1)
    assert bright_value(layer(np.zeros((1, 64, 64), np.uint8), nodata=0)) is None
    assert is_grey(layer(ramp))
    ramp[2, 0, 0] ^= 1
    assert not is_grey(layer(ramp))
    assert not is_grey(layer(np.zeros((3, 64, 64), np.uint8), nodata=0))


def test_values_of_a_mask_are_counted_by_kind() -> None:
    values = np.zeros((1, 64, 64), np.float32)
    values[0, 0, :4], values[0, 1, :2], values[0, 2, 0] = 1, 0.5, -3
    values[0, 3, :5] = np.nan
    seen = ValuesSeen.of(layer(values))
    assert (seen.gaps, seen.zero, seen.negative, sorted(seen.whole)) == (True, True, True, [-3, 1])
    assert (seen.whole_px, seen.fraction_px, seen.valid_px) == (5, 2, 64 * 64 - 5)
    assert seen.share == pytest.approx(7 / (64 * 64 - 5))
    assert (seen.fractions, seen.is_mask, seen.has_dry_gaps, seen.listed) == (True, False, False, "-3, 1, fractions")
    assert ValuesSeen().share == 0


@pytest.mark.parametrize(
    ("seen", "is_mask", "dry_gaps"),
    [
        (ValuesSeen(zero=True, whole=frozenset({1.0}), whole_px=3, valid_px=9), True, False),
        (ValuesSeen(zero=True, whole=frozenset({255.0}), whole_px=3, valid_px=9), True, False),
        (ValuesSeen(zero=True, valid_px=9), True, False),
        (ValuesSeen(zero=True, whole=frozenset({1.0, 255.0}), whole_px=3, valid_px=9), False, False),
        (ValuesSeen(zero=True, whole=frozenset({2.0}), whole_px=3, valid_px=9), False, False),
        (ValuesSeen(gaps=True, whole=frozenset({1.0}), whole_px=3, valid_px=3), True, True),
    ],
)
def test_a_mask_holds_zero_and_one_value(seen: ValuesSeen, is_mask: bool, dry_gaps: bool) -> None:
    assert (seen.is_mask, seen.has_dry_gaps) == (is_mask, dry_gaps)
    water = layer(NOISE[:1])
    if dry_gaps:
        with raises_naming(InputError, "--water", "no data wherever it shows no water"):
            check_dry_ground(water, seen, "--water")
    else:
        check_dry_ground(water, seen, "--water")


@pytest.mark.parametrize(
    ("whole", "whole_px", "fraction_px", "unit", "scaled", "depth"),
    [
        ([1.0], 10, 90, "", False, True),
        ([1.0, 2.0], 30, 70, "", False, True),
        ([1.0, 2.0], 31, 69, "", False, False),  # resampled classes
        ([1.0], 31, 69, "", False, True),
        ([1.0, 2.0], 100, 0, "", False, False),
        ([1.0, 2.0], 100, 0, "", True, True),
        ([1.0, 2.0], 100, 0, "m", False, True),
        ([1.0], 10, 90, "K", True, False),
    ],
)
def test_depths_are_lengths_or_mostly_fractions_next_to_dry_ground(
    whole: list[float], whole_px: int, fraction_px: int, unit: str, scaled: bool, depth: bool
) -> None:
    seen = ValuesSeen(False, True, False, frozenset(whole), whole_px, fraction_px, 1000)
    assert seen.is_depth(unit, scaled=scaled) is depth
    for changed in (ValuesSeen(False, False, False, frozenset(whole), whole_px, fraction_px, 1000), ValuesSeen(False, True, True, frozenset(whole), whole_px, fraction_px, 1000)):  # fmt: skip
        assert not changed.is_depth(unit, scaled=scaled)


def test_a_class_mask_keeps_classes_when_it_is_coarse(tmp_path: Path) -> None:
    classes = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4), 16, 0), 16, 1)[None]
    hidden = Layer(ClassMask(layer(classes, nodata=3), [5, 6]))
    values, valid = hidden.read_coarse((4, 4))
    assert values[0].ravel().tolist() == [int(value in (5, 6)) for value in range(16)]
    assert valid.ravel().tolist() == [value != 3 for value in range(16)]
    anything = Layer(ClassMask(layer(classes), []))
    assert anything.read_coarse((2, 2))[0].ravel().tolist() == [1] * 4  # of the pixels in the middle: 5, 7, 13 and 15
    grid = GeoBox((4, 4), Affine(16, 0, 500_000, 0, -16, 4_000_000), "EPSG:32633")
    assert anything.on(grid, "average").read()[0].ravel().tolist() == [0] + [1] * 15
    tall = np.zeros((1, 300, 2), np.uint8)
    tall[0, 150:] = 1
    long = Layer(ClassMask(Layer.open(tall, grid=GeoBox((300, 2), Affine(1, 0, 0, 0, -1, 0), None)), [1]))
    assert long.read_coarse((150, 1))[0].ravel().tolist() == [0] * 75 + [1] * 75  # in strips of 64 rows


def test_a_second_value_without_data_is_refused_if_both_occur() -> None:
    from deepnets4eo.read_as import Door

    values = 100 * NOISE.astype(np.float32)
    values[:, :4], values[:, 4:8] = -9999, 0
    with raises_naming(InputError, "declares -9999 as nodata and also contains 0"):
        images.with_one_nodata(layer(values, nodata=-9999), 0.0, Door("PRE"))
    values[:, :4] = 7
    assert images.with_one_nodata(layer(values, nodata=-9999), 0.0, Door("PRE")).nodata == 0


def test_heights_are_as_steep_as_their_range_in_squares_of_fifty_metres() -> None:
    rules = SteepRules()
    heights, valid = np.zeros((100, 150)), np.ones((100, 150), bool)
    heights[10, 10], heights[60, 140] = 25, -5
    assert rules.slope(heights, valid, 1.0) == [0.5, 0, 0, 0, 0, 0.1]
    assert rules.slope(heights[:99, :149], valid[:99, :149], 1.0) == [0.5, 0]  # parts at the border do not count
    valid[:26, :50] = False
    assert rules.slope(heights, valid, 1.0) == [0, 0, 0, 0, 0.1]  # less than half of the first square is known
    half = np.zeros((50, 50))
    half[0, 0] = 100
    known = np.ones((50, 50), bool)
    known[25:] = False
    assert rules.slope(half, known, 1.0) == [2]
    assert not rules.slope(half, known & False, 1.0)
    coarse = np.zeros((4, 8))
    coarse[0, 0] = 80
    assert rules.slope(coarse, np.ones((4, 8), bool), 20.0) == [1, 0]  # four pixels at least
    assert rules.slope(coarse, np.ones((4, 8), bool), 1.0) == [20, 0]  # a small image is its own square
    assert rules.slope(coarse[:3], np.ones((3, 8), bool), 1.0) == []
