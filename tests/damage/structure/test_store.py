"""Blocks kept on disk: back as they went in; damaged ones are measured again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.damage.structure.block import BlockSums, Table
from deepnets4eo.jobs import Journal
from deepnets4eo.jobs.journal import NOT_FINISHED

THREE, TWO = (Table(np.arange(count), {"ev": np.ones((count, 2))}) for count in (3, 2))
PART = BlockSums(THREE, TWO, Table(np.arange(0), {}), TWO)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, kinds=(BlockSums, Table))


def test_a_block_comes_back_as_it_went_in(journal: Journal) -> None:
    journal.keep("0-0", PART)
    found = journal.recall("0-0")
    assert found.fit
    np.testing.assert_array_equal(found.sums.rows["ev"], PART.sums.rows["ev"])
    np.testing.assert_array_equal(found.context.buildings, PART.context.buildings)
    assert found.shifted.rows == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 300, b"PK\x05\x06" + bytes(18)])
def test_a_damaged_block_counts_as_not_finished_and_can_be_written_again(journal: Journal, content: bytes) -> None:
    (journal.folder / "0-0.npz").write_bytes(content)
    assert journal.recall("0-0") is NOT_FINISHED
    journal.keep("0-0", PART)
    assert journal.recall("0-0").fit


def test_a_folder_in_its_place_counts_as_not_finished(journal: Journal) -> None:
    (journal.folder / "0-0.npz").mkdir()
    assert journal.recall("0-0") is NOT_FINISHED


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
def test_tables_that_do_not_fit_the_buildings_are_measured_again(journal: Journal, table: Table, kind: str) -> None:
    journal.keep("0-0", replace(PART, **{kind: table}))
    assert not journal.recall("0-0").fit
