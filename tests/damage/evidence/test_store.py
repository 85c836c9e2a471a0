"""Blocks kept on disk: back as they went in; damaged ones are measured again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.damage.evidence.block import BlockSums, Table
from deepnets4eo.damage.evidence.store import BlockStore
from deepnets4eo.grid import Window
from deepnets4eo.jobs.journal import Journal

WINDOW = Window(0, 0, 8, 8)
THREE, TWO = (Table(np.arange(count), {"ev": np.ones((count, 2))}) for count in (3, 2))
PART = BlockSums(THREE, TWO, Table(np.arange(0), {}), TWO)


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    """A store whose folder is given; its name is a hash of a job, which this test has not."""
    made = BlockStore.__new__(BlockStore)
    made.journal = Journal(tmp_path)
    return made


def test_a_block_comes_back_as_it_went_in(store: BlockStore) -> None:
    store.put(WINDOW, PART)
    found = store.get(WINDOW)
    assert found is not None
    np.testing.assert_array_equal(found.sums.rows["ev"], PART.sums.rows["ev"])
    np.testing.assert_array_equal(found.context.buildings, PART.context.buildings)
    assert found.shifted.rows == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 300, b"PK\x05\x06" + bytes(18)])
def test_a_damaged_block_counts_as_not_finished_and_can_be_written_again(store: BlockStore, content: bytes) -> None:
    (store.journal.folder / "0-0.npz").write_bytes(content)
    assert store.get(WINDOW) is None
    store.put(WINDOW, PART)
    assert store.get(WINDOW) is not None


def test_a_folder_in_its_place_counts_as_not_finished(store: BlockStore) -> None:
    (store.journal.folder / "0-0.npz").mkdir()
    assert store.get(WINDOW) is None


@pytest.mark.parametrize(
    "table",
    [
        Table(np.arange(4), THREE.rows),
        Table(np.ones(3), THREE.rows),
        Table(np.ones((3, 1), int), THREE.rows),
        Table(THREE.buildings, {"ev": np.ones(3)}),
        Table(THREE.buildings, {"ev": np.array([["a"], ["b"], ["c"]])}),
    ],
)
@pytest.mark.parametrize("kind", ["sums", "best", "shifted", "context"])
def test_tables_that_do_not_fit_the_buildings_are_measured_again(store: BlockStore, table: Table, kind: str) -> None:
    store.put(WINDOW, replace(PART, **{kind: table}))
    assert store.get(WINDOW) is None
