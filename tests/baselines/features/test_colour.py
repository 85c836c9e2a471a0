"""Colours: indices, hue and Lab of any three bands, histograms around sites and in superpixels."""

import numpy as np
import pytest
from refusals import raises_naming
from skimage.color import rgb2hsv, rgb2lab

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, build_features
from deepnets4eo.baselines.features.colour import HSV_HISTOGRAM, green_share
from deepnets4eo.errors import InputError

RNG = np.random.default_rng(0)
RGBN = ("image.red", "image.green", "image.blue", "image.nir")


def bands_of(*names: str, shape: tuple[int, int] = (33, 40), scale: float = 255, **more) -> Bands:
    return Bands((RNG.random((len(names), *shape)) * scale).astype(np.float32), names, **more)


def column(name: str, bands: Bands) -> dict[str, np.ndarray]:
    (feature,) = build_features([name])
    assert isinstance(feature, Feature)
    return dict(zip(feature.columns(bands), feature.compute(bands), strict=True))


def test_indices_are_those_that_there_are_bands_for():
    assert list(column("indices", bands_of(*RGBN))) == ["ndvi", "gndvi", "ndwi", "exg"]
    assert list(column("indices", bands_of("image.nir", "image.red", "image.green"))) == ["ndvi", "gndvi", "ndwi"]
    assert list(column("indices", bands_of(*RGBN[:3]))) == ["exg"]
    with raises_naming(InputError, "image.red", "dsm.height"):
        column("indices", bands_of("image.red", "dsm.height"))


def test_indices_are_ratios_of_the_values_as_they_are():
    bands = bands_of(*RGBN, scale=0.6)
    red, green, blue, nir = bands.values.astype(float)
    values = column("indices", bands)
    assert np.allclose(values["ndvi"], (nir - red) / (nir + red), atol=1e-5)
    assert np.allclose(values["ndwi"], (green - nir) / (green + nir), atol=1e-5)
    assert np.allclose(values["exg"], (2 * green - red - blue) / (red + green + blue), atol=1e-5)
    assert np.array_equal(values["gndvi"], -values["ndwi"])


def test_bands_of_different_layers_are_brought_to_one_scale_first():
    values = np.stack([np.full((4, 4), 51), np.full((4, 4), 3000)]).astype(np.float32)
    span = np.array([[0, 255], [1000, 5000]], np.float32)
    found = column("indices", Bands(values, ("image.red", "lidar.nir"), span=span))
    assert np.allclose(found["ndvi"], (0.5 - 0.2) / 0.7)


def test_nothing_over_nothing_is_zero():
    zero = np.zeros((3, 3), np.float32)
    assert not any(values.any() for values in column("indices", bands_of(*RGBN, scale=0)).values())
    assert not green_share(zero, zero, zero).any()


def test_hsv_and_lab_equal_those_of_scikit_image():
    bands = bands_of(*RGBN)
    colours = np.moveaxis(bands.values[:3] / 255, 0, -1).astype(float)
    assert np.allclose(np.stack(list(column("hsv", bands).values()), -1), rgb2hsv(colours), atol=1e-4)
    assert np.allclose(np.stack(list(column("lab", bands).values()), -1), rgb2lab(colours), atol=1e-2)


def test_composites_without_blue_have_the_hue_of_the_composite_and_say_so():
    bands = bands_of("image.nir", "image.red", "image.green")
    found = column("hsv", bands)
    assert list(found) == ["hue.nir-red-green", "saturation.nir-red-green", "value.nir-red-green"]
    assert np.allclose(found["value.nir-red-green"], bands.values.max(axis=0) / 255)
    assert list(column("lab", bands))[0] == "lightness.nir-red-green"
    assert column("hsv_histogram", bands).keys() > {"hue0.nir-red-green"}


@pytest.mark.parametrize("name", ["hsv", "lab", "hsv_histogram"])
def test_fewer_than_three_bands_have_no_colour(name):
    with raises_naming(InputError, "image.red", "image.nir"):
        column(name, bands_of("image.red", "image.nir"))


@pytest.mark.parametrize("stride", [1, 5])
def test_histograms_around_sites_equal_those_counted_one_by_one(stride):
    bands = bands_of(*RGBN[:3], shape=(30, 36))
    found = HSV_HISTOGRAM.compute(bands, stride)
    hsv = np.stack(list(column("hsv", bands).values()))
    radius, first = HSV_HISTOGRAM.radius_px, stride // 2
    for row, col in [(0, 0), (2, 3), (1, 5)]:
        y, x = first + row * stride, first + col * stride
        window = hsv[:, max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        counts = [np.histogram(one, bins, (0, 1))[0] / one.size for one, bins in zip(window, (16, 8, 8), strict=True)]
        assert np.allclose(found[:, row, col], np.concatenate(counts), atol=1e-6)
    assert found.shape[1:] == bands.values[0, first::stride, first::stride].shape


def test_histograms_of_superpixels_count_their_pixels_alone():
    bands = bands_of(*RGBN[:3], shape=(20, 24))
    ids = RNG.integers(-1, 5, (20, 24)).astype(np.int32)
    found = HSV_HISTOGRAM.pool(bands, ids, 6)
    hsv = np.stack(list(column("hsv", bands).values()))
    for number in range(5):
        own = hsv[:, ids == number]
        counts = [np.histogram(one, bins, (0, 1))[0] / one.size for one, bins in zip(own, (16, 8, 8), strict=True)]
        assert np.allclose(found[number], np.concatenate(counts), atol=1e-6)
    assert not found[5].any()  # no pixels: nothing, and no NaN
    assert found.dtype == np.float32
    assert len(HSV_HISTOGRAM.pooled_columns(bands)) == found.shape[1]
