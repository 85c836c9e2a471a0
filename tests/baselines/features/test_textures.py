"""What all dense textures have in common: names, sites, halo, constant images, superpixels."""

import numpy as np
import pytest

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, build_features

NAMES = ("hog16", "hog32")


@pytest.fixture(params=NAMES)
def feature(request: pytest.FixtureRequest) -> Feature:
    return build_features([request.param])[0]


def scene(height: int, width: int, seed: int = 0) -> Bands:
    """Blotches with grain, so that a window holds edges, plains and noise."""
    rng = np.random.default_rng(seed)
    blotches = np.kron(rng.integers(0, 220, (height // 6 + 1, width // 6 + 1)), np.ones((6, 6)))[:height, :width]
    values = np.stack([blotches + rng.integers(0, 30, (height, width)) for _ in range(3)]).astype(np.float32)
    return Bands(values, ("image.red", "image.green", "image.blue"))


def part(bands: Bands, top: int, left: int, height: int, width: int) -> Bands:
    return Bands(bands.values[:, top : top + height, left : left + width], bands.names)


def test_each_column_has_its_own_name_and_the_values_are_float32(feature: Feature) -> None:
    bands = scene(40, 52)
    found = feature.compute(bands, 8)
    names = feature.columns(bands)
    assert found.dtype == np.float32
    assert found.shape == (len(names), 5, 6)
    assert len(set(names)) == len(names)


def test_sites_of_a_stride_have_the_values_of_all_pixels(feature: Feature) -> None:
    bands = scene(33, 40)
    dense = feature.compute(bands, 1)
    for stride in (5, 8):
        np.testing.assert_allclose(
            feature.compute(bands, stride), dense[:, stride // 2 :: stride, stride // 2 :: stride], atol=2e-5
        )


def test_a_tile_with_its_halo_has_the_values_of_the_whole(feature: Feature) -> None:
    bands, halo, core = scene(112, 120), feature.halo_px, 16
    for top, left in ((32, 40), (41, 33)):
        tile = part(bands, top - halo, left - halo, core + 2 * halo, core + 2 * halo)
        inside = feature.compute(tile, 1)[:, halo : halo + core, halo : halo + core]
        expected = _crop(feature, bands, top, left)
        np.testing.assert_allclose(inside, expected, atol=3e-5)


def _crop(feature: Feature, bands: Bands, top: int, left: int) -> np.ndarray:
    """16 × 16 values from a tile with a far larger halo: all pixels of the whole would fill the memory."""
    more = 32
    values = feature.compute(part(bands, top - more, left - more, 16 + 2 * more, 16 + 2 * more), 1)
    return values[:, more : more + 16, more : more + 16]


def test_one_pixel_less_of_halo_would_change_values(feature: Feature) -> None:
    """The halo is no larger than it has to be (HOG's outermost weights are tiny, hence the strong edge)."""
    rng = np.random.default_rng(3)
    halo = feature.halo_px
    side = 2 * halo + 1
    values = (255 * rng.integers(0, 2, (1, side, side))).astype(np.float32)
    middle = feature.compute(Bands(values, ("image.grey",)), 1)[:, halo, halo]
    inner = feature.compute(Bands(values[:, 1:-1, 1:-1], ("image.grey",)), 1)[:, halo - 1, halo - 1]
    assert np.abs(middle - inner).max() > 1e-5


@pytest.mark.parametrize("level", [0.0, 127.0, 255.0])
def test_constant_images_give_the_same_finite_values_everywhere(feature: Feature, level: float) -> None:
    bands = Bands(np.full((3, 24, 24), level, np.float32), ("image.red", "image.green", "image.blue"))
    found = feature.compute(bands, 4)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1, :1], found.shape), atol=1e-6)
    assert not found.any()


def test_images_smaller_than_a_window_have_values(feature: Feature) -> None:
    for shape in ((1, 1), (1, 9), (5, 3)):
        found = feature.compute(scene(*shape), 2)
        sites = [len(range(1, length, 2)) for length in shape]
        assert found.shape[1:] == tuple(sites)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("name", NAMES)
def test_superpixels_have_a_row_each_even_those_without_pixels(name: str) -> None:
    (feature,) = build_features([name])
    bands = scene(40, 48)
    ids = np.kron(np.arange(4, dtype=np.int32).reshape(2, 2), np.ones((20, 24), np.int32))
    ids[:3] = -1
    rows = feature.pool(bands, ids, 6)
    assert rows.shape == (6, len(feature.pooled_columns(bands)))
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert np.ptp(rows[:4], axis=0).any()


@pytest.mark.parametrize("name", ["hog16"])
def test_hog_of_a_superpixel_is_that_of_the_patch_around_its_centre(name: str) -> None:
    (feature,) = build_features([name])
    bands = scene(48, 64)
    ids = np.full((48, 64), -1, np.int32)
    ids[10:23, 20:29], ids[30:43, 36:45] = 1, 0  # centres (16, 24) and (36, 40)
    dense = feature.compute(bands, 1)
    np.testing.assert_allclose(feature.pool(bands, ids, 2), [dense[:, 36, 40], dense[:, 16, 24]], atol=2e-5)
