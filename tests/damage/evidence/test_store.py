"""Blocks kept on disk: back as they went in; damaged ones are measured again."""

from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.damage.evidence.block import BlockSums
from deepnets4eo.damage.evidence.store import BlockStore
from deepnets4eo.grid import Window

WINDOW = Window(0, 0, 8, 8)
PART = BlockSums(np.arange(3), {"ev": np.ones((3, 2))}, np.arange(2), {"light": np.zeros((2, 1))})


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    """A store whose folder is given; its name is a hash of a job, which this test has not."""
    made = BlockStore.__new__(BlockStore)
    made.root = made.folder = tmp_path
    return made


def test_a_block_comes_back_as_it_went_in(store: BlockStore) -> None:
    store.put(WINDOW, PART)
    found = store.get(WINDOW)
    assert found is not None
    np.testing.assert_array_equal(found.sums["ev"], PART.sums["ev"])
    np.testing.assert_array_equal(found.centred, PART.centred)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 300, b"PK\x05\x06" + bytes(18)])
def test_a_damaged_block_counts_as_not_finished_and_can_be_written_again(store: BlockStore, content: bytes) -> None:
    (store.folder / "0-0.npz").write_bytes(content)
    assert store.get(WINDOW) is None
    store.put(WINDOW, PART)
    assert store.get(WINDOW) is not None


def test_a_folder_in_its_place_counts_as_not_finished(store: BlockStore) -> None:
    (store.folder / "0-0.npz").mkdir()
    assert store.get(WINDOW) is None


@pytest.mark.parametrize(
    "part",
    [
        BlockSums(np.arange(4), PART.sums, PART.centred, PART.context),
        BlockSums(np.ones(3), PART.sums, PART.centred, PART.context),
        BlockSums(PART.buildings, {"ev": np.ones(3)}, PART.centred, PART.context),
        BlockSums(PART.buildings, PART.sums, PART.centred, {"light": np.array([["a"], ["b"]])}),
    ],
)
def test_tables_that_do_not_fit_the_buildings_are_measured_again(store: BlockStore, part: BlockSums) -> None:
    store.put(WINDOW, part)
    assert store.get(WINDOW) is None
