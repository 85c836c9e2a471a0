"""The benchmark's colours with heights: the histogram, the mean height and the mean gradient."""

import numpy as np

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, build_features
from deepnets4eo.baselines.features.colour import HSV_HISTOGRAM
from deepnets4eo.baselines.features.height import HSVDGR

NAMES = ("image.red", "image.green", "image.blue", "dsm.height")


def scene(gsd_m: float | None = 0.5) -> Bands:
    rng = np.random.default_rng(0)
    rows, cols = np.indices((40, 50))
    height = 60 + 0.3 * rows + 0.4 * cols
    return Bands(np.concatenate([rng.random((3, 40, 50)) * 255, height[None]]).astype(np.float32), NAMES, gsd_m)


def test_it_is_the_histogram_with_mean_height_and_mean_gradient():
    bands = scene()
    assert build_features(["hsvdgr"]) == (HSVDGR,)
    assert isinstance(HSVDGR, Feature)
    values = HSVDGR.compute(bands)
    assert HSVDGR.columns(bands)[-2:] == ["height", "gradient"]
    assert np.array_equal(values[:-2], HSV_HISTOGRAM.compute(bands))
    inside = (slice(12, -12), slice(12, -12))
    assert np.allclose(values[-2][inside], bands.values[3][inside], atol=1e-3)  # of a plane
    assert np.allclose(values[-1][inside], 0.5 / 0.5, atol=1e-3)
    assert np.allclose(HSVDGR.compute(scene(None))[-1][inside], 0.5, atol=1e-3)


def test_superpixels_have_means_over_their_pixels():
    bands = scene()
    ids = np.random.default_rng(2).integers(-1, 3, (40, 50)).astype(np.int32)
    found = HSVDGR.pool(bands, ids, 4)
    assert found.shape == (4, len(HSVDGR.pooled_columns(bands)))
    assert np.array_equal(found[:, :-2], HSV_HISTOGRAM.pool(bands, ids, 4))
    for number in range(3):
        assert np.isclose(found[number, -2], bands.values[3][ids == number].mean(), rtol=1e-5)
    assert np.isfinite(found).all()


def test_values_at_sites_are_those_of_their_pixels():
    bands = scene()
    assert np.array_equal(HSVDGR.compute(bands, 6), HSVDGR.compute(bands)[:, 3::6, 3::6])
