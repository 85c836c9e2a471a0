"""Limits at which images, heights and masks are read otherwise, each from both sides."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from deepnets4eo import processor
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import kinds
from deepnets4eo.read_as.assessment import Door
from deepnets4eo.read_as.images import _white_parts, undeclared_nodata
from deepnets4eo.read_as.masks import ValuesSeen, open_cloud_mask


def ground(dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(100, 200, (1, 100, 100)).astype(dtype)


@pytest.mark.parametrize(
    ("white", "near", "level", "found"),
    [(500, 0, 250, True), (499, 0, 250, False), (500, 50, 250, True), (500, 51, 250, False), (500, 51, 245, False), (500, 51, 244, True)],
)  # fmt: skip
def test_a_twentieth_of_an_image_in_white_squares_may_have_no_data(
    white: int, near: int, level: int, found: bool
) -> None:
    image = ground()
    block = image[0, :20, :25].copy()
    block.ravel()[:white] = 255
    image[0, :20, :25] = block
    image[0].ravel()[-near or 10_000 :] = level
    assert (_white_parts(Layer.open(image)) is not None) is found


@pytest.mark.parametrize(("highest", "largest"), [(3, 3.0), (4, None)])
def test_lossy_compression_leaves_bytes_up_to_three(highest: int, largest: float | None) -> None:
    image = ground()
    image[0, :40, :40] = np.arange(1600).reshape(40, 40) % (highest + 1)
    found = undeclared_nodata(Layer.open(image))
    assert (None if found is None else found.largest) == largest


@pytest.mark.parametrize(("faint", "found"), [(0.99e-3, True), (1.9e-3, False)])
def test_fractions_up_to_a_thousandth_of_the_90th_percentile_are_noise(faint: float, found: bool) -> None:
    image = np.random.default_rng(0).uniform(0.5, 1.0, (1, 100, 100)).astype(np.float32)
    image[image > 0.95] = 1.0  # a tenth of it
    image[0, :40, :40] = np.linspace(faint / 1600, faint, 1600).reshape(40, 40)
    assert (undeclared_nodata(Layer.open(image)) is not None) is found


@pytest.mark.parametrize(
    ("highest", "correlation", "named"),
    [(1.5, 0.99, False), (1.51, 0.99, True), (1.51, 0.945, True), (1.51, 0.944, False)],
)
def test_fractions_beyond_one_and_a_half_that_hardly_vary_may_be_heights(
    highest: float, correlation: float, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "_correlation", lambda *_: correlation)
    layer = Layer.open(np.linspace(0.1, highest, 400, dtype=np.float32).reshape(1, 20, 20))
    found = kinds.report_heights(layer, Door.of_image("post", by_camera=True)).findings
    assert len(found) == named


@pytest.mark.parametrize(("bands", "named"), [(3, False), (1, False), (7, True)])
def test_means_of_the_three_bands_of_a_colour_image_are_no_heights(bands: int, named: bool) -> None:
    smooth = np.linspace(0, 250, 1024).reshape(32, 32)
    grey = (smooth + np.arange(bands)[:, None, None]).astype(np.uint8).mean(axis=0, dtype=np.float32)
    found = kinds.report_heights(Layer.open(grey[None]), Door.of_image("post", by_camera=True)).findings
    assert len(found) == named


@pytest.mark.parametrize(("value", "is_mask"), [(1, True), (255, True), (2, False), (254, False), (0, True)])
def test_what_is_true_in_a_mask_is_1_or_255(value: int, is_mask: bool) -> None:
    seen = ValuesSeen.of(Layer.open(np.array([[[0, value]]], np.uint8)))
    assert seen.is_mask is is_mask


@pytest.mark.parametrize(("value", "hides"), [(1, True), (255, True), (2, True), (3, False)])
def test_a_mask_of_clouds_has_1_or_255_for_clouds_and_2_for_shadow(value: int, hides: bool) -> None:
    image = Layer.open(np.ones((3, 10, 10), np.uint8))
    mask = np.zeros((1, 10, 10), np.uint8)
    mask[0, 0] = value
    if hides:
        assert (open_cloud_mask(mask, image, "--mask").read()[0] > 0).sum() == 10
    else:
        with pytest.raises(InputError, match="holds the values 3; expected a mask of clouds"):
            open_cloud_mask(mask, image, "--mask")


def test_six_values_of_a_wrong_mask_are_listed() -> None:
    seen = ValuesSeen.of(Layer.open(np.arange(9, dtype=np.uint8).reshape(1, 3, 3)))
    assert seen.listed == "1, 2, 3, 4, 5, 6"


@pytest.mark.parametrize(("covered", "warned"), [(89, False), (90, True)])
def test_a_mask_that_hides_nine_tenths_of_an_image_is_named(
    covered: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.zeros((1, 10, 10), np.uint8)
    mask.ravel()[:covered] = 1
    with caplog.at_level(logging.WARNING):
        open_cloud_mask(mask, Layer.open(np.ones((3, 10, 10), np.uint8)), "--mask")
    assert any("hides 90 % of the image" in message for message in caplog.messages) is warned


@pytest.mark.parametrize(("seconds", "precision"), [(1.25, "bfloat16"), (1.24, "float32")])
def test_the_shorter_precision_is_used_if_it_is_a_quarter_faster(
    seconds: float, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: Any = {"float32": seconds, "bfloat16": 1.0}
    monkeypatch.setattr(processor, "kept_measurement", lambda *_: kept)
    assert processor.fastest_precision.__wrapped__() == precision
