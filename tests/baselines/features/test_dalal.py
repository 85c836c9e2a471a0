"""HOG after Dalal and Triggs, against scikit-image on each patch alone."""

import numpy as np
import pytest
from skimage.feature import hog

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.hog import DALAL32, DalalHog


@pytest.mark.parametrize(
    ("side_px", "cell_px", "block_cells", "directions"),
    [(16, 8, 2, 9), (32, 8, 3, 9), (24, 8, 2, 8), (32, 16, 2, 12), (8, 8, 1, 9), (20, 5, 2, 7)],
)
@pytest.mark.parametrize("kind", ["grain", "steps"])
def test_every_patch_is_described_as_if_alone(
    side_px: int, cell_px: int, block_cells: int, directions: int, kind: str
) -> None:
    rng = np.random.default_rng(side_px)
    levels = (
        rng.integers(0, 256, (60, 70)) if kind == "grain" else np.kron(rng.integers(0, 9, (6, 7)), np.ones((10, 10)))
    )
    grey = (levels / 255).astype(np.float32)
    stride = 10
    bands = Bands((grey * np.float32(255))[None], ("image.pan",))
    found = DalalHog("", side_px, cell_px, block_cells, directions).compute(bands, stride)
    padded = np.pad(grey, side_px // 2, mode="edge")
    for row in range(6):
        for col in range(7):
            top, left = row * stride + stride // 2, col * stride + stride // 2
            expected = hog(
                padded[top : top + side_px, left : left + side_px],
                orientations=directions,
                pixels_per_cell=(cell_px, cell_px),
                cells_per_block=(block_cells, block_cells),
            )
            np.testing.assert_allclose(found[:, row, col], expected, atol=1e-6)


def test_the_feature_uses_the_grey_image() -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 40, 40)).astype(np.float32)
    bands = Bands(values, ("image.red", "image.green", "image.blue"))
    sites = np.arange(4, 40, 8)
    expected = DalalHog("", 32).around(bands.grey(), sites[:, None], sites)
    np.testing.assert_array_equal(DALAL32.compute(bands, 8), expected)
