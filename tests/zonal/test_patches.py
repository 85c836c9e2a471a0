"""Block-ordered patches against one read per patch."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal.patches import cut_patches, patch_centres, resample_patches

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (3, 90, 120)).astype(np.uint8)


def collect(batches: object, count: int, channels: int, side: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    data, valid = np.zeros((count, channels, side, side), dtype), np.zeros((count, side, side), bool)
    seen = np.zeros(count, int)
    for batch in batches:
        data[batch.rows], valid[batch.rows] = batch.data, batch.valid
        seen[batch.rows] += 1
    assert (seen == 1).all()
    return data, valid


@given(st.integers(1, 40), st.integers(1, 31), st.sampled_from([16, 50, 200]), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_patches_are_those_of_one_read_each_whatever_the_block(count: int, side: int, block: int, seed: int) -> None:
    centres = np.random.default_rng(seed).uniform(-20, 140, (count, 2))
    layer = Layer.open(IMAGE, nodata=7)
    data, valid = collect(cut_patches(layer, centres, side, block_px=block, batch=5), count, 3, side, np.uint8)
    for row, (x, y) in enumerate(centres):
        window = Window(int(np.floor(y - side / 2 + 0.5)), int(np.floor(x - side / 2 + 0.5)), side, side)
        expected, expected_valid = layer.read(window)
        np.testing.assert_array_equal(data[row], expected)
        np.testing.assert_array_equal(valid[row], expected_valid)


def test_batches_are_bounded_and_come_in_block_order() -> None:
    centres = RNG.uniform(0, 90, (200, 2))
    batches = list(cut_patches(Layer.open(IMAGE), centres, 8, block_px=30, batch=7))
    assert max(len(batch.rows) for batch in batches) <= 7
    order = np.concatenate([batch.rows for batch in batches])
    column, row = (centres[order] // 30).T
    blocks = row * 10 + column
    assert (np.diff(blocks) >= 0).all()


def test_each_block_is_read_once() -> None:
    class Watched(Layer):
        reads: list[Window] = []

        def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
            self.reads.append(window)
            return super().read(window)

    centres = RNG.uniform(0, 90, (300, 2))
    list(cut_patches(Watched(Layer.open(IMAGE)._source), centres, 8, block_px=45, batch=10))
    assert len(Watched.reads) == 4


def test_no_buildings_give_no_batches() -> None:
    assert list(cut_patches(Layer.open(IMAGE), np.zeros((0, 2)), 8)) == []


def test_centres_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 patch centres"):
        list(cut_patches(Layer.open(IMAGE), np.array([[1.0, 2.0], [np.nan, 3.0]]), 8))
    with pytest.raises(InputError, match="above 0"):
        list(resample_patches(Layer.open(IMAGE), np.array([[1.0, 2.0]]), np.array([0.0]), 8))


def test_centres_of_polygons_are_columns_and_rows() -> None:
    grid = GeoBox((100, 100), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32615")
    house = np.array([shapely.box(500_010, 3_999_980, 500_014, 3_999_990)])
    assert patch_centres(house, grid).tolist() == [[24.0, 30.0]]


def test_resampling_at_its_own_size_changes_nothing() -> None:
    centres = np.array([[40.0, 50.0], [61.0, 30.0]])
    layer = Layer.open(IMAGE)
    plain, _ = collect(cut_patches(layer, centres, 16), 2, 3, 16, np.float32)
    same, valid = collect(resample_patches(layer, centres, 16, 16), 2, 3, 16, np.float32)
    np.testing.assert_allclose(same, plain, atol=1e-4)
    assert valid.all()


@pytest.mark.parametrize("extent", [5.0, 11.3, 40.0, 77.0])
def test_a_ramp_stays_a_ramp_at_any_scale(extent: float) -> None:
    rows, cols = np.mgrid[:200, :200] + 0.5
    layer = Layer.open(np.stack([cols, rows]).astype(np.float32))
    centres = RNG.uniform(60, 140, (9, 2))
    data, valid = collect(resample_patches(layer, centres, extent, 12, block_px=64), 9, 2, 12, np.float32)
    along = ((np.arange(12) + 0.5) / 12 - 0.5) * extent
    for patch, (x, y) in zip(data, centres, strict=True):
        np.testing.assert_allclose(patch[0], np.tile(x + along, (12, 1)), atol=1e-3)
        np.testing.assert_allclose(patch[1], np.tile((y + along)[:, None], (1, 12)), atol=1e-3)
    assert valid.all()


def test_resampled_pixels_touching_nodata_or_the_outside_are_not_valid() -> None:
    image = np.ones((1, 40, 40), np.float32)
    image[0, 20, 20] = np.nan
    data, valid = collect(
        resample_patches(Layer.open(image), np.array([[20.5, 20.5], [0.0, 0.0]]), 6.0, 12), 2, 1, 12, np.float32
    )
    assert not valid[0, 5:7, 5:7].any()
    assert valid[0, 0].all()
    assert not valid[1, :5, :5].any()
    assert valid[1, 8:, 8:].all()
    assert np.isfinite(data).all()
