"""Radar is told from optical images by its speckle."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepnets4eo.damage.images.dates import is_radar
from deepnets4eo.rasters import Layer


@pytest.fixture
def ground() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(600, 700))
    return 100 + 40 * gaussian_filter(noise, 12) / gaussian_filter(noise, 12).std()


@pytest.mark.parametrize("looks", [1, 4, 16])
def test_speckle_is_radar(ground: np.ndarray, looks: int) -> None:
    speckle = np.random.default_rng(1).gamma(looks, 1 / looks, ground.shape)
    assert is_radar(Layer.open(np.clip(np.abs(ground) * np.sqrt(speckle), 0, 255).astype(np.uint8)))


def test_sensor_noise_is_not(ground: np.ndarray) -> None:
    noisy = ground + np.random.default_rng(1).normal(0, 3, ground.shape)
    assert not is_radar(Layer.open(np.clip(noisy, 0, 255).astype(np.uint8)))


def test_colour_is_not_however_noisy(ground: np.ndarray) -> None:
    colour = np.random.default_rng(2).integers(0, 255, (3, 200, 200)).astype(np.uint8)
    assert not is_radar(Layer.open(colour))


def test_an_empty_image_is_not() -> None:
    assert not is_radar(Layer.open(np.zeros((1, 50, 50), np.uint8)))


@pytest.mark.parametrize(("rough", "smooth", "windows", "radar"), [(0.6, 0.02, 4, False), (0.22, 0.0, 5, True)])
def test_most_windows_decide_and_not_the_roughest(rough: float, smooth: float, windows: int, radar: bool) -> None:
    """A few windows of surf or crops do not make a photo radar; a few calm ones do not make radar a photo."""
    side = 512
    noise = np.random.default_rng(3).normal(size=(3, side, 3, side)).transpose(0, 2, 1, 3)
    share = np.full((3, 3), smooth)
    share.flat[:windows] = rough
    image = 120 * np.clip(1 + share[..., None, None] * noise, 0.01, None)
    means = [_mean_variation(tile) for tile in image.reshape(9, side, side)]
    assert (np.mean(means) > 0.09) is not radar  # the mean would say otherwise
    whole = image.transpose(0, 2, 1, 3).reshape(3 * side, 3 * side)
    assert is_radar(Layer.open(whole.astype(np.float32))) is radar


def _mean_variation(tile: np.ndarray) -> float:
    """Roughness of a window's smoothest tenth, measured on separate squares of 5 × 5 pixels."""
    squares = tile[:510, :510].reshape(102, 5, 102, 5)
    return float(np.percentile(squares.std(axis=(1, 3)) / squares.mean(axis=(1, 3)), 10))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("path", "radar"),
    [
        ("bright_la_palma/la_palma-volcano_00000279_post_disaster.tif", True),
        ("bright_la_palma/la_palma-volcano_00000279_pre_disaster.tif", False),
        ("hetero_cd/shuguang_1.bmp", True),
        ("hetero_cd/Italy_1.bmp", False),
        ("joplin/post", False),
    ],
)
def test_real_images_are_classified(path: str, radar: bool, real_data: Path) -> None:
    assert is_radar(Layer.open(real_data / path)) is radar
