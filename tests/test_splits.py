"""Splits against a brute-force computation of every pixel's distance to the other parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.splits import BlockSplit

SHARES = {"train": 0.6, "val": 0.4}


def parts_by_hand(split: BlockSplit) -> np.ndarray:
    rows, cols = (np.arange(side) // split.block_px for side in split.shape)
    return split.dealt[np.ix_(rows, cols)]


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(9, 40), st.integers(9, 40)),
    st.integers(4, 8),
    st.integers(0, 11),
    st.integers(0, 9),
    st.data(),
)
def test_the_buffer_is_the_distance_along_rows_and_columns(
    shape: tuple[int, int], block_px: int, buffer_px: int, seed: int, data: st.DataObject
) -> None:
    split = BlockSplit(shape, block_px, min(buffer_px, block_px - 1), SHARES, seed)
    parts = parts_by_hand(split)
    other = np.argwhere(parts != 0)
    expected = np.zeros(shape, bool)
    for row, col in np.argwhere(parts == 0):
        expected[row, col] = (abs(other - (row, col)).max(axis=1) > split.buffer_px).all()
    window = Window(
        *data.draw(st.tuples(st.integers(-9, 30), st.integers(-9, 30), st.integers(1, 30), st.integers(1, 30)))
    )
    padded = np.pad(np.stack([expected, parts == 1]), ((0, 0), (60, 60), (60, 60)))
    rows, cols = (slice(start + 60, start + 60 + side) for start, side in zip(window[:2], window[2:], strict=True))
    assert np.array_equal(split.mask("train", window), padded[0, rows, cols])
    assert np.array_equal(split.mask("val", window), padded[1, rows, cols])
    assert split.shows("val", window) == padded[1, rows, cols].any()


def test_every_part_gets_blocks_and_windows_cover_it_once() -> None:
    split = BlockSplit((100, 70), 16, 4, {"train": 0.9, "val": 0.05, "test": 0.05}, seed=3)
    for part in split.parts:
        seen = np.zeros(split.shape, int)
        for window in split.windows(part, 10):
            seen[window.slices] += 1
        assert np.array_equal(seen, (parts_by_hand(split) == split.parts.index(part)).astype(int))
        assert split.blocks(part)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((64, 64), 16, 16, SHARES), "buffer_px=16 must be at least 0 and less than block_px=16"),
        (((64, 64), 64, 0, SHARES), "too few for the parts"),
        (((64, 64), 16, 0, {"train": 0.5}), "expected positive numbers that sum to 1"),
    ],
)
def test_impossible_splits_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BlockSplit(*arguments)
    with pytest.raises(InputError, match="the split has the parts"):
        BlockSplit((64, 64), 16, 0, SHARES).mask("test", Window(0, 0, 4, 4))
