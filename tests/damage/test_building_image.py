"""Which images the shipped network finds buildings in, and what is said of the others."""

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.damage.network.find_buildings import to_working_image
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, mean_gsd_m
from deepnets4eo.rasters import Layer


def make_image(bands: int = 3, gsd_m: float = 0.3, crs: str | None = "EPSG:32633", **options) -> Layer:
    rng = np.random.default_rng(0)
    image = rng.integers(0, options.get("bright", 200), (bands, 120, 90)).astype(options.get("dtype", np.uint8))
    return Layer.open(image, grid=Grid((120, 90), Affine(gsd_m, 0, 4e5, 0, -gsd_m, 5e6), crs))


@pytest.mark.parametrize("gsd_m", [0.2, 0.5, 1.5])
def test_an_image_gets_the_ground_size_that_was_learnt(gsd_m: float) -> None:
    working = to_working_image(make_image(4, gsd_m), 0.5)
    assert mean_gsd_m(working.grid) == pytest.approx(0.5)
    assert working.shape == (round(120 * gsd_m / 0.5), round(90 * gsd_m / 0.5))
    assert working.count == 3


def test_degrees_are_measured_on_the_ground() -> None:
    image = np.random.default_rng(0).integers(0, 200, (3, 60, 60), np.uint8)
    layer = Layer.open(image, grid=Grid((60, 60), Affine(4e-6, 0, 13.0, 0, -4e-6, 50.0), "EPSG:4326"))
    assert mean_gsd_m(to_working_image(layer, 0.5).grid) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gsd_m": 0.1}, r"pixels of 0\.1 m; buildings are found in images of 0\.2 to 1\.5 m"),
        ({"gsd_m": 2.0}, r"pixels of 2 m"),
        ({"crs": None}, "no CRS"),
        ({"bands": 1}, r"has 1 band\(s\)"),
        ({"bright": 20}, "dark as at night"),
    ],
)
def test_images_that_were_never_learnt_are_refused_with_a_way_out(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        to_working_image(make_image(**options), 0.5)
    assert "Give footprints, or --set segmenter=RUN" in str(caught.value)


@pytest.mark.parametrize(("dtype", "scale", "offset"), [("uint16", 7, 300), ("float32", 1 / 255, 0.02)])
def test_images_of_more_bits_and_of_fractions_are_shown_as_of_8_bits(dtype: str, scale: float, offset: float) -> None:
    plain = make_image(bright=256)
    stored = (plain.read()[0].astype(float) * scale + offset).astype(dtype)
    shown, valid = to_working_image(Layer.open(stored, grid=plain.grid), 0.3).read()
    assert valid.all()
    for band, mean, std in zip(range(3), (104, 103, 97), (52, 50, 48), strict=True):
        low, high = np.percentile(plain.read()[0][band], (2, 98))
        line = max(mean - 2 * std, 0) + (plain.read()[0][band] - low) / (high - low) * (
            mean + 2 * std - max(mean - 2 * std, 0)
        )
        assert shown[band] == pytest.approx(np.clip(line, 0, 255), abs=1.5)


def test_values_of_8_bits_in_a_file_of_16_are_taken_as_they_are() -> None:
    wide, plain = (to_working_image(make_image(dtype=dtype), 0.3).read()[0] for dtype in (np.uint16, np.uint8))
    assert wide.dtype == np.uint16
    np.testing.assert_array_equal(wide, plain)
