"""Limits at which pixels count as data, masks keep classes and samples know areas, each from both sides."""

from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.evaluation.sampled.draw import draw_pixels, share_out
from deepnets4eo.grid import Grid, Window, whole
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import images
from deepnets4eo.read_as.images import (
    _apart,
    _has_sentinel,
    _is_flat,
    _sizes,
    _some_of,
    are_squares,
    bright_value,
    is_grey,
    undeclared_in_bands,
)
from deepnets4eo.read_as.masks import ClassMask

UTM = "EPSG:32631"


def grid_of(rows: int, cols: int, *, left: float = 500_000, size: float = 1.0) -> Grid:
    return Grid((rows, cols), Affine(size, 0, left, 0, -size, 5_000_000), UTM)


@pytest.mark.parametrize(("cols", "shows"), [(10, True), (9, False)])
def test_a_view_of_half_of_a_raster_shows_most_of_it(cols: int, shows: bool) -> None:
    layer = Layer.open(np.ones((20, 20), np.uint8), grid=grid_of(20, 20))
    view = layer.on(grid_of(40, 2 * cols, size=0.5))
    assert (view.reader.most_of() is not None) is shows


@pytest.mark.parametrize(("loose", "solid"), [(49, True), (50, False)])
def test_most_of_what_has_no_data_isare_squares_of_seven_pixels(loose: int, solid: bool) -> None:
    mask = np.zeros((40, 60), bool)
    mask[:7, :7] = True
    places = [(row, col) for row in range(20, 40, 2) for col in range(0, 60, 2)][:loose]
    mask[tuple(np.transpose(places))] = True
    assert are_squares([mask]) is solid
    mask[:7, 6] = False
    assert not are_squares([mask]), "squares of six pixels are none"


@pytest.mark.parametrize(("values", "flat"), [(63, True), (64, False)])
def test_64_values_make_an_image_also_if_every_97th_pixel_shows_fewer(values: int, flat: bool) -> None:
    assert _is_flat(np.arange(values)) is flat
    rare = np.zeros(97 * 200)
    rare[1:values] = np.arange(1, values)
    assert _is_flat(rare) is flat


@pytest.mark.parametrize(
    ("hidden_px", "near_px", "whole_numbers", "share"),
    [
        (50, 0, False, 0.005), (49, 0, False, 0.0),  # half a percent of 10,000
        (1000, 100, False, 0.1), (1000, 101, False, 0.0),  # a tenth as many near it, by 2 % of the median of 200
        (1000, 100, True, 0.1), (1000, 101, True, 0.0),
    ],
)  # fmt: skip
def test_zeros_apart_from_other_values_have_no_data(
    hidden_px: int, near_px: int, whole_numbers: bool, share: float
) -> None:
    values = np.full(10_000, 200.0)
    values[:hidden_px] = 0
    values[hidden_px : hidden_px + near_px] = 4.0
    assert _apart(values, 0.0, values == 0, whole=whole_numbers) == pytest.approx(share)
    values[hidden_px : hidden_px + near_px] = 4.01
    assert _apart(values, 0.0, values == 0, whole=whole_numbers) == pytest.approx(
        0.0 if hidden_px < 50 else hidden_px / 1e4
    )
    assert _apart(np.zeros(10), 0.0, np.ones(10, bool), whole=True) == 0.0, "nothing else is there"


def test_in_dark_images_whole_numbers_up_to_two_steps_are_near_zero() -> None:
    values = np.full(1000, 30.0)
    values[:100], values[100:120] = 0, 2
    assert _apart(values, 0.0, values == 0, whole=True) == 0.0
    assert _apart(values, 0.0, values == 0, whole=False) == pytest.approx(0.1)


def test_sizes_leave_out_pixels_of_which_one_band_has_a_usual_nodata_value() -> None:
    pixels = np.array([[-9999.0, 5, -9999, -7], [3, 2, -9999, -3]])
    size, highest = _sizes(pixels)
    assert size.tolist() == [5, 9999, 7]
    assert highest.tolist() == [5, -9999, -3]
    assert _has_sentinel(pixels)
    assert _has_sentinel(np.array([[3.0, 65535.0]]))
    assert not _has_sentinel(np.array([[3.0, 7.0], [-9999.0, -9999.0]]))
    assert not _has_sentinel(np.zeros((1, 0)))


def test_values_are_sampled_every_seventh_pixel_and_all_that_are_equal_in_every_band() -> None:
    pixels = np.stack([np.arange(15.0), np.r_[np.arange(1.0, 15), 14]])
    assert _some_of(pixels).tolist() == [0, 7, 14, 14]


@pytest.mark.parametrize(("count", "looked_at"), [(1, 0), (2, 2), (16, 16), (17, 0)])
def test_single_bands_without_data_are_looked_for_in_two_to_sixteen_bands(
    count: int, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(images, "_look_at_band", lambda _layer, index, *_: asked.append(index))
    assert undeclared_in_bands(Layer.open(np.ones((count, 8, 8), np.uint8))) == ()
    assert asked == list(range(looked_at))


def test_an_image_is_as_bright_as_its_95th_percentile_and_grey_if_all_bands_are_alike() -> None:
    ramp = np.arange(210 * 70, dtype=np.int64).reshape(210, 70) % 200
    image = np.stack([ramp] * 3).astype(np.uint8)
    layer = Layer.open(image)
    assert bright_value(layer) == pytest.approx(np.percentile(image, 95), abs=1.0)
    assert is_grey(layer)
    image[2, 100, 30] += 1
    assert not is_grey(Layer.open(image))
    nothing = Layer.open(np.zeros((3, 8, 8), np.uint8), nodata=0)
    assert bright_value(nothing) is None
    assert not is_grey(nothing)


def test_a_mask_of_classes_is_never_averaged_and_coarse_pixels_have_the_class_of_their_middle() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 5, (210, 90)).astype(np.uint8)
    layer = Layer.open(classes, grid=grid_of(210, 90))
    some, every = Layer(ClassMask(layer, [2, 4])), Layer(ClassMask(layer, []))
    np.testing.assert_array_equal(some.read()[0][0], np.isin(classes, (2, 4)))
    np.testing.assert_array_equal(every.read()[0][0], classes > 0)
    coarse, valid = some.read_coarse((70, 30))  # cells of 3 x 3 pixels, in more than one strip of 64 rows
    np.testing.assert_array_equal(coarse[0], np.isin(classes[1::3, 1::3], (2, 4)))
    assert valid.all()
    warped = some.on(GeoBox((105, 45), Affine(2, 0, 500_000.4, 0, -2, 4_999_999.6), UTM), "bilinear")
    assert set(np.unique(warped.read()[0])) == {0, 1}


@pytest.mark.parametrize("width_degrees", [1e-3, 1e-11])
def test_pixels_of_degrees_have_areas_of_their_own_however_small_they_are(width_degrees: float) -> None:
    """A cell at 60° of latitude has half of the area of one at the equator."""
    grid = GeoBox((60, 1), Affine(width_degrees, 0, 0, 0, -1, 60), "EPSG:4326")
    strata: Any = lambda window: np.zeros((window.height, window.width), np.uint8)  # noqa: E731
    sample = draw_pixels(strata, grid, [whole(grid)], 1, lambda _: np.array([60]), 0)
    assert sample.areas is not None
    by_row = sample.areas[np.argsort(sample.row)]
    assert by_row[0] / by_row[-1] == pytest.approx(np.cos(np.radians(59.5)), rel=0.02), "the ellipsoid is no sphere"
    assert sample.hectares is not None
    assert sample.hectares[0] == pytest.approx(by_row.sum(), rel=1e-3)
    plane = draw_pixels(strata, grid_of(6, 5), [Window(0, 0, 6, 5)], 1, lambda _: np.array([30]), 0)
    assert plane.areas is None
    assert plane.hectares is not None
    assert plane.hectares[0] == pytest.approx(30e-4, rel=2e-3)


def test_half_of_the_looks_go_to_all_classes_alike_and_two_at_least() -> None:
    assert share_out(np.array([10_000, 10_000, 0]), 100).sum() == 100
    small = share_out(np.array([99_000, 500, 500]), 120)
    assert small[1:].tolist() == [20, 20]
    assert share_out(np.array([99_000, 500, 500]), 6).min() == 2
