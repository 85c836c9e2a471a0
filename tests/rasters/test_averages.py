"""Rasters averaged down by NumPy: means of valid pixels, whatever is averaged at a time."""

import numpy as np
import pytest

from deepnets4eo.rasters import Layer, averages

NODATA = 255


@pytest.mark.parametrize("part_values", [1, 1 << 40])
@pytest.mark.parametrize("shape", [(25, 31), (16, 8), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_averages_are_means_of_the_valid_pixels_of_each_cell(part_values, shape, dtype, monkeypatch) -> None:
    monkeypatch.setattr(averages, "PART_VALUES", part_values)
    image = np.random.default_rng(0).integers(0, 250, (2, 128, 97)).astype(dtype)
    image[:, 40:60, 10:70] = NODATA
    means, valid = averages.read_averaged(Layer.open(image, nodata=NODATA).reader, shape, [1, 2])
    rows, cols = (np.append(np.arange(n) * side // n, side) for n, side in zip(shape, (128, 97), strict=True))
    for row, col in np.ndindex(shape):
        cell = image[:, rows[row] : rows[row + 1], cols[col] : cols[col + 1]]
        seen = cell[0] != NODATA
        assert valid[row, col] == seen.any()
        if seen.any():
            expected = cell[:, seen].mean(axis=1, dtype=float)
            rounded = np.rint(expected) if dtype is np.uint8 else expected
            np.testing.assert_allclose(means[:, row, col], rounded, rtol=1e-6)
