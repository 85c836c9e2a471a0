"""Numbers per region, against loops over masks."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, strategies as st
from skimage.measure import regionprops_table

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import HOMES, build_features
from deepnets4eo.baselines.features.feature import FittedFeature
from deepnets4eo.baselines.superpixels import (
    majority,
    pool,
    pool_stack,
    pooled_columns,
    region_deviations,
    region_means,
    region_ranges,
)

COUNT = 6


def case(seed, bands=2, offset=0.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(offset, 5, (bands, 9, 11)).astype(np.float32)
    return values, rng.integers(-1, COUNT - 1, (9, 11)).astype(np.int32)  # the last region has no pixel


@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e4]))
def test_means_deviations_and_ranges_equal_those_of_masks(seed, offset):
    values, ids = case(seed, offset=offset)
    deviations, means = region_deviations(values, ids, COUNT), region_means(values, ids, COUNT)
    low, high = region_ranges(values, ids, COUNT)
    for region in range(COUNT):
        inside = values[:, ids == region].astype(np.float64)
        if not inside.shape[1]:
            assert np.isnan([deviations[region], means[region], low[region], high[region]]).all()
            continue
        np.testing.assert_allclose(deviations[region], inside.std(axis=1), atol=1e-4 if offset else 1e-6)
        np.testing.assert_allclose(means[region], inside.mean(axis=1), rtol=1e-5)
        np.testing.assert_array_equal([low[region], high[region]], [inside.min(axis=1), inside.max(axis=1)])


def test_means_equal_scikit_images():
    values, ids = case(3)
    ids = ids + 2  # its labels start at 1
    table = regionprops_table(ids, np.moveaxis(values, 0, -1), properties=("label", "intensity_mean"))
    means = region_means(values, ids, COUNT + 2)
    np.testing.assert_allclose(means[table["label"], 0], table["intensity_mean-0"], rtol=1e-5)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9]))
def test_majority_is_that_of_each_mask_and_void_does_not_vote(seed, min_labelled):
    _, ids = case(seed)
    labels = np.random.default_rng(seed + 1).choice(np.uint8([0, 1, 2, 255]), ids.shape)
    found = majority(labels, ids, COUNT, 3, min_labelled=min_labelled)
    for region in range(COUNT):
        inside = labels[ids == region]
        known = inside[inside != 255]
        enough = known.size and known.size >= min_labelled * inside.size
        expected = np.bincount(known, minlength=3).argmax() if enough else 255
        assert found[region] == expected


@dataclass(frozen=True)
class Extent:
    """A feature that pools by itself: the pixels of a region."""

    name: str = "extent"
    halo_px: int = 0

    def columns(self, bands):
        return ["one"]

    def pooled_columns(self, bands):
        return ["pixels"]

    def compute(self, bands, stride_px=1):
        return np.ones((1, *bands.shape), np.float32)

    def pool(self, bands, ids, count):
        return np.bincount(ids[ids >= 0], minlength=count)[:, None].astype(np.float32)


def test_features_pool_as_they_say_themselves_and_else_by_the_mean():
    values, ids = case(0)
    bands = Bands(values, ("image.red", "image.green"))
    features = (*build_features(["pixels"]), Extent())
    assert pooled_columns(features, bands) == ["pixels.image.red", "pixels.image.green", "extent.pixels"]
    np.testing.assert_array_equal(pool(features[0], bands, ids, COUNT), region_means(values, ids, COUNT))
    stacked = pool_stack(features, bands, ids, COUNT)
    np.testing.assert_array_equal(stacked[:, 2], [(ids == region).sum() for region in range(COUNT)])


def test_every_registered_feature_has_as_many_pooled_columns_as_names():
    rng = np.random.default_rng(0)
    names = ("image.red", "image.green", "image.blue", "image.nir", "dsm.height", "ndsm.ndsm")
    values = rng.uniform(0, 255, (6, 48, 48)).astype(np.float32)
    bands = Bands(values, names, 0.1, np.tile(np.float32([0, 255]), (6, 1)))
    ids = ((np.arange(48) // 12)[:, None] * 4 + np.arange(48) // 12).astype(np.int32)
    for feature in build_features(list(HOMES)):
        feature = feature.fit(bands) if isinstance(feature, FittedFeature) else feature
        found = pool(feature, bands, ids, 16)
        assert found.shape == (16, len(pooled_columns([feature], bands))), feature.name
        assert np.isfinite(found).all(), feature.name


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_values_of_any_type_are_squared_in_full(dtype):
    ones = np.full((1, 40, 40), 200 if dtype == np.uint8 else 1000, dtype)
    assert region_deviations(ones, np.zeros((40, 40), np.int32), 1)[0, 0] == 0
