"""Counts in windows, against a plain count in each of them."""

import numpy as np
from hypothesis import given, strategies as st

from deepnets4eo.baselines.features.feature import Windows, window_counts


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 12),
    st.integers(1, 9),
    st.integers(1, 30),
)
def test_counts_are_those_of_each_window(height: int, width: int, radius: int, stride: int, num_codes: int) -> None:
    codes = np.random.default_rng(height * width).integers(0, num_codes, (height, width)).astype(np.uint8)
    windows = Windows.around_sites((height, width), 2 * radius + 1, stride)
    found = np.zeros((num_codes, *windows.shape))
    for some, counts in window_counts(codes, windows):
        found[some] = counts
    for row, y in enumerate(range(stride // 2, height, stride)):
        for col, x in enumerate(range(stride // 2, width, stride)):
            patch = codes[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
            np.testing.assert_array_equal(found[:, row, col], np.bincount(patch.ravel(), minlength=num_codes))
            assert windows.areas[row, col] == patch.size


def test_running_sums_that_wrap_around_lose_nothing() -> None:
    codes = np.full((700, 700), 6, np.uint8)  # the seventh counter of nine bits: its running sum passes 2^64 often
    codes[0, :7] = np.arange(7)
    windows = Windows.around_sites(codes.shape, 17, 50)
    found = [counts for some, part in window_counts(codes, windows) for counts in part[some == 6]]
    assert len(found) == 1
    assert (found[0] == windows.areas).all()
