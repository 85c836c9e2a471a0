"""Images that are not of 8 bits are shown to runs that learnt from 8 bits, by percentiles of the image itself."""

import numpy as np
import pytest

from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import LayerInput, needed_stretch, show

RNG = np.random.default_rng(0)
PIXELS = RNG.gamma(4, 90, (3, 400, 300)).astype(np.uint16) + np.array([100, 300, 500], np.uint16)[:, None, None]


def test_each_band_is_stretched_by_its_own_percentiles_to_two_deviations_of_training() -> None:
    stretch = needed_stretch(LayerInput.display_rgb, Layer.open(PIXELS))
    assert stretch is not None
    for band, (low, high) in enumerate(zip(stretch.low, stretch.high, strict=True)):
        assert (low, high) == pytest.approx(tuple(np.percentile(PIXELS[band], (2, 98))), rel=0.02)
    assert stretch.shown_low == (0.0, 3.0, 1.0)
    assert stretch.shown_high == (208.0, 203.0, 193.0)
    shown, _ = show(Layer.open(PIXELS), stretch).read()
    assert (shown.min(), shown.max()) == (0, 255)


def test_collars_nodata_and_hot_pixels_do_not_move_the_stretch() -> None:
    clean = needed_stretch(LayerInput.display_rgb, Layer.open(PIXELS.astype(np.float32)))
    spoilt = PIXELS.astype(np.float32)
    spoilt[:, :120] = 0  # a collar that is not declared
    spoilt[:, 120:160] = -9999
    spoilt[:, 160:170] = np.nan
    spoilt[0, 200:206, 7:200:9] = 65_535
    found = needed_stretch(LayerInput.display_rgb, Layer.open(spoilt, nodata=-9999))
    undeclared = needed_stretch(LayerInput.display_rgb, Layer.open(spoilt))
    assert clean is not None
    for other in (found, undeclared):
        assert other is not None
        assert other.low == pytest.approx(clean.low, rel=0.03)
        assert other.high == pytest.approx(clean.high, rel=0.03)


@pytest.mark.parametrize(
    "image",
    [
        PIXELS[:, :90, :90].clip(0, 255).astype(np.uint8),
        RNG.integers(0, 256, (3, 90, 90)).astype(np.uint16),
        RNG.integers(0, 256, (3, 90, 90)).astype(np.float32),
        np.full((3, 90, 90), 900, np.uint16),
        np.zeros((3, 90, 90), np.uint16),
    ],
    ids=["8 bits", "8 bits in 16", "8 bits as floats", "flat", "empty"],
)
def test_values_of_8_bits_and_flat_images_stay_as_they_are(image: np.ndarray) -> None:
    assert needed_stretch(LayerInput.display_rgb, Layer.open(image)) is None


def test_runs_that_learnt_from_other_values_or_from_no_colours_get_them_as_stored() -> None:
    names, ones = ("a", "b", "c"), (1.0, 1.0, 1.0)
    wide = LayerInput(names, ones, ones, 100.0, 2000.0, "uint16")
    marks = LayerInput(names, ones, ones, 0.0, 1.0)
    heights = LayerInput(("height",), (100.0,), (40.0,), 0.0, 255.0)
    assert needed_stretch(wide, Layer.open(PIXELS)) is None
    assert needed_stretch(marks, Layer.open(PIXELS)) is None
    assert needed_stretch(heights, Layer.open(PIXELS[:1])) is None


def test_fractions_are_stretched_and_what_is_measured_does_not_grow_with_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = []
    plain = Layer.read
    monkeypatch.setattr(Layer, "read", lambda layer, window: read.append(window) or plain(layer, window))
    fractions = Layer.open(np.broadcast_to(PIXELS[:, :1, :] / np.float32(3000), (3, 20_000, 300)))
    assert needed_stretch(LayerInput.display_rgb, fractions) is not None
    assert sum(window.height * window.width for window in read) <= 256 * 64**2
    rows = [window.row for window in read]
    assert (min(rows), max(rows)) == (0, 20_000 - 64)
