"""Local binary patterns, against scikit-image and against exact arithmetic."""

from fractions import Fraction
from math import cos, floor, pi, sin

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.texture import LBP, LocalBinaryPatterns, grey_levels, local_patterns


@pytest.mark.parametrize(("points", "radius"), [(8, 1), (8, 2), (12, 1.5), (16, 2)])
@pytest.mark.parametrize("levels", [256, 3])
def test_patterns_are_those_of_scikit_image(points: int, radius: float, levels: int) -> None:
    """But for exact ties between pixels, which scikit-image decides by the rounding of the place in the image."""
    image = np.random.default_rng(points).integers(0, levels, (70, 90)).astype(np.uint8)
    expected = local_binary_pattern(image, points, radius, "uniform")
    other = (local_patterns(image, points, radius) != expected)[2:-2, 2:-2]
    assert other.any() == (levels == 3 and radius == 2)
    for row, col in np.argwhere(other) + 2:
        angles = [2 * pi * one / points for one in range(points)]
        assert image[row, col] in [_exactly(image, row, col, radius, angle) for angle in angles]


@pytest.mark.parametrize(("points", "radius"), [(8, 1), (16, 2)])
def test_ties_are_decided_exactly(points: int, radius: int) -> None:
    image = np.random.default_rng(7).choice(np.array([10, 77, 78], np.uint8), (14, 15), p=[0.1, 0.8, 0.1])
    found = local_patterns(image, points, radius)
    for row in range(radius, 14 - radius):
        for col in range(radius, 15 - radius):
            bits = [
                _exactly(image, row, col, radius, 2 * pi * one / points) >= int(image[row, col])
                for one in range(points)
            ]
            changes = sum(one != other for one, other in zip(bits, [*bits[1:], bits[0]], strict=True))
            assert found[row, col] == (sum(bits) if changes <= 2 else points + 1)


def _exactly(image: np.ndarray, row: int, col: int, radius: float, angle: float) -> Fraction:
    down, right = (Fraction(f"{radius * one(angle):.5f}") for one in (lambda a: -sin(a), cos))
    top, left = floor(down), floor(right)
    value = Fraction(0)
    for dr, by_row in ((0, 1 - (down - top)), (1, down - top)):
        for dc, by_col in ((0, 1 - (right - left)), (1, right - left)):
            if by_row * by_col:
                value += by_row * by_col * int(image[row + top + dr, col + left + dc])
    return value


def test_a_plain_is_one_pattern_at_every_level() -> None:
    for level in range(0, 256, 5):
        assert (local_patterns(np.full((9, 9), level, np.uint8)) == 8).all()
        assert (local_patterns(np.full((9, 9), level, np.uint8), 16, 2) == 16).all()


def test_a_monotonous_change_of_brightness_leaves_the_patterns() -> None:
    """With the eight neighbours at whole places (four points): interpolation is not monotonous."""
    image = np.random.default_rng(0).integers(0, 100, (20, 20)).astype(np.uint8)
    np.testing.assert_array_equal(local_patterns(image, 4, 1), local_patterns((2 * image + 40).astype(np.uint8), 4, 1))


def test_a_quarter_turn_leaves_the_patterns() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8)
    np.testing.assert_array_equal(np.rot90(local_patterns(image)), local_patterns(np.rot90(image)))


def test_shares_are_those_of_the_window() -> None:
    values = np.random.default_rng(2).integers(0, 256, (1, 50, 44)).astype(np.float32)
    bands = Bands(values, ("image.grey",))
    patterns = local_patterns(grey_levels(bands))
    found = LBP.compute(bands, 7)
    for row, y in enumerate(range(3, 50, 7)):
        for col, x in enumerate(range(3, 44, 7)):
            window = patterns[max(y - 8, 0) : y + 9, max(x - 8, 0) : x + 9]
            np.testing.assert_allclose(
                found[:, row, col], np.bincount(window.ravel(), minlength=10) / window.size, 1e-6
            )
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_shares_of_a_superpixel_are_those_of_its_pixels() -> None:
    rng = np.random.default_rng(4)
    bands = Bands(rng.integers(0, 256, (1, 30, 30)).astype(np.float32), ("image.grey",))
    ids = rng.integers(-1, 5, (30, 30)).astype(np.int32)
    feature = LocalBinaryPatterns("any", points=16, radius=2)
    rows = feature.pool(bands, ids, 6)
    patterns = local_patterns(grey_levels(bands), 16, 2)
    for one in range(5):
        own = patterns[ids == one]
        np.testing.assert_allclose(rows[one], np.bincount(own, minlength=18) / own.size, rtol=1e-6)
    assert not rows[5].any()


def test_levels_of_bytes_are_the_bytes() -> None:
    values = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    np.testing.assert_array_equal(grey_levels(Bands(values, ("image.grey",))), values[0])
