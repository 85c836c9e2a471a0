"""HOG after Felzenszwalb, against the paper's formulas pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.hog import HOG16, HOG_NAMES, felzenszwalb_cells


def by_pixels(grey: np.ndarray, cell_px: int) -> np.ndarray:
    """The definition with loops, on an image whose border is repeated outward by five cells."""
    rows, cols = (length // cell_px for length in grey.shape)
    margin = 5 * cell_px
    padded = np.pad(grey.astype(float), margin, mode="edge")
    cells = np.zeros((rows + 2, cols + 2, 18))
    for y in range(1, padded.shape[0] - 1):
        for x in range(1, padded.shape[1] - 1):
            down, right = padded[y + 1, x] - padded[y - 1, x], padded[y, x + 1] - padded[y, x - 1]
            direction = math.floor(math.atan2(down, right) * 9 / math.pi + 0.5) % 18
            row, col = ((place - margin + 0.5) / cell_px + 0.5 for place in (y, x))
            for r in (math.floor(row), math.floor(row) + 1):
                for c in (math.floor(col), math.floor(col) + 1):
                    if 0 <= r < rows + 2 and 0 <= c < cols + 2:
                        share = (1 - abs(row - r)) * (1 - abs(col - c))
                        cells[r, c, direction] += math.hypot(down, right) * share
    energy = ((cells[..., :9] + cells[..., 9:]) ** 2).sum(axis=-1)
    found = np.zeros((31, rows, cols))
    for r in range(1, rows + 1):
        for c in range(1, cols + 1):
            for corner, (dr, dc) in enumerate([(-1, -1), (-1, 1), (1, -1), (1, 1)]):
                norm = math.sqrt(energy[r, c] + energy[r + dr, c] + energy[r, c + dc] + energy[r + dr, c + dc] + 1e-4)
                unsigned = np.minimum((cells[r, c, :9] + cells[r, c, 9:]) / norm, 0.2)
                found[:18, r - 1, c - 1] += np.minimum(cells[r, c] / norm, 0.2) / 2
                found[18:27, r - 1, c - 1] += unsigned / 2
                found[27 + corner, r - 1, c - 1] = unsigned.sum() / 3
    return found


@pytest.mark.parametrize(("cell_px", "shape"), [(8, (26, 33)), (4, (17, 12)), (5, (20, 16))])
def test_cells_follow_the_paper(cell_px: int, shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(cell_px).random(shape).astype(np.float32)
    np.testing.assert_allclose(felzenszwalb_cells(grey, cell_px), by_pixels(grey, cell_px), atol=1e-6)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10_000))
def test_values_stay_in_their_range_whatever_the_shape(height: int, width: int, seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 2, (height, width)).astype(np.float32)
    found = felzenszwalb_cells(grey)
    assert found.shape == (31, height // 8, width // 8)
    assert found.dtype == np.float32
    assert found.min(initial=0) >= 0
    assert found[:27].max(initial=0) <= 0.4 + 1e-6
    assert found[27:].max(initial=0) <= 0.6 + 1e-6


def test_a_ramp_points_where_grey_grows() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    middle = {
        turned: felzenszwalb_cells(np.ascontiguousarray(image))[:, 4, 4]
        for turned, image in ((0, ramp), (180, ramp[:, ::-1]))
    }
    for degrees, values in middle.items():
        assert HOG_NAMES[int(values[:18].argmax())] == f"signed{degrees}"
        assert HOG_NAMES[18 + int(values[18:27].argmax())] == "unsigned0"


def test_brightness_does_not_matter_and_contrast_hardly_does() -> None:
    grey = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    found = felzenszwalb_cells(grey)
    np.testing.assert_allclose(felzenszwalb_cells(grey + 0.25), found, atol=1e-5)
    np.testing.assert_allclose(felzenszwalb_cells(grey / 2), found, atol=1e-3)


def test_rounding_noise_on_a_plain_is_no_texture() -> None:
    noise = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    assert felzenszwalb_cells(0.5 + 1e-6 * noise).max() < 0.01


def test_a_site_sees_the_four_cells_around_it_on_the_grid_through_it() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (64, 80)).astype(np.float32)
    bands = Bands(grey[None], ("image.grey",))
    cells = felzenszwalb_cells(bands.grey())
    sites = HOG16.compute(bands, 16)  # at 8, 24, …: the corners of cells
    for row in range(sites.shape[1]):
        for col in range(sites.shape[2]):
            four = cells[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
            np.testing.assert_allclose(sites[:, row, col].reshape(2, 2, 31), four.transpose(1, 2, 0), atol=2e-6)


def test_a_negative_turns_signed_directions_around_and_leaves_the_others() -> None:
    """Edges along rows and columns too, whose direction lies just between two bins."""
    grey = np.kron(np.random.default_rng(2).integers(0, 4, (6, 7)), np.ones((7, 7))).astype(np.float32) / 4
    found, negative = felzenszwalb_cells(grey), felzenszwalb_cells(1 - grey)
    np.testing.assert_allclose(negative[18:], found[18:], atol=1e-6)
    np.testing.assert_allclose(negative[:18], np.roll(found[:18], 9, axis=0), atol=1e-6)
