"""The journal of a prediction's rows: they come back as they went in, whatever was cut short."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, strategies as st

from deepnets4eo.errors import OtherJobError, OutputError
from deepnets4eo.grid import Window
from deepnets4eo.jobs import Part, RowJournal


def rows_of(number):
    rng = np.random.default_rng(number)
    return {
        "labels": rng.integers(0, 9, (1, 4, 6), dtype=np.uint8),
        "probabilities": rng.integers(0, 9, (3, 4, 6), dtype=np.uint8),
        "scores": rng.random((1, 4, 6), np.float32),
    }


def filled(out, count=3):
    journal = RowJournal(out)
    journal.start({"run": "a", "tiling": {"tile_px": 64}})
    for number in range(count):
        journal.record(0, Window(4 * number, 0, 4, 6), rows_of(number), {"tiles": 2 * number, "skipped": number})
    return journal


def block(journal, name):
    return journal.folder / f"{name}.npz"


def test_rows_come_back_in_order_by_product(tmp_path):
    filled(tmp_path / "labels.tif", 11)
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    assert journal.finished_rows(0) == 44
    assert journal.finished_rows(1) == 0
    assert journal.counts == {"tiles": 20, "skipped": 10}
    for product in rows_of(0):
        assert len(list(journal.replay(product))) == 11
        for number, (window, part) in enumerate(journal.replay(product)):
            assert window == Window(4 * number, 0, 4, 6)
            assert part.dtype == rows_of(number)[product].dtype
            np.testing.assert_array_equal(part, rows_of(number)[product])


@given(st.integers(0, 2), st.integers(0, 1200), st.integers(0, 60))
def test_work_goes_on_from_wherever_a_kill_cut_the_files(tmp_path_factory, number, length, torn):
    """A file is cut anywhere; the half of another lies beside it."""
    out = tmp_path_factory.mktemp("job") / "labels.tif"
    written = filled(out)
    content = block(written, number).read_bytes()
    block(written, number).write_bytes(content[: min(length, len(content) - 1)])
    (written.folder / ".partial-0123abcd-3.npz").write_bytes(b"x" * torn)
    journal = RowJournal(out)
    assert journal.load() == (number > 0)
    if number == 0:
        journal.start({"run": "a"})
    assert len(journal.entries) == number
    for left in range(number, 3):
        journal.record(0, Window(4 * left, 0, 4, 6), rows_of(left), {"tiles": 0, "skipped": 0})
    again = RowJournal(out)
    assert again.load()
    found = [part for _, part in again.replay("labels")]
    np.testing.assert_array_equal(found, [rows_of(number)["labels"] for number in range(3)])


def test_lost_rows_mean_starting_anew(tmp_path):
    block(filled(tmp_path / "labels.tif"), 0).write_bytes(b"")
    assert not RowJournal(tmp_path / "labels.tif").load()


def test_another_job_is_refused_and_the_same_is_not(tmp_path):
    filled(tmp_path / "labels.tif")
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    journal.check({"run": "a", "tiling": {"tile_px": 64}})
    with pytest.raises(OtherJobError) as error:
        journal.check({"run": "b", "tiling": {"tile_px": 64}})
    assert error.value.differing == ("run",)


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    journal = RowJournal(tmp_path / "labels.tif")
    block(journal, 0).mkdir(parents=True)
    with pytest.raises(OutputError, match="could not write .*Is a directory"):
        journal.record(0, Window(0, 0, 4, 6), rows_of(0), {})
    assert [path.name for path in journal.folder.iterdir()] == ["0.npz"]
    assert not journal.entries


@pytest.mark.parametrize("damage", [b"x", b"PK\x03\x04", b"3", b"\x93NUMPY", b"\xff\xfe", b"[" * 100_000])
def test_work_goes_on_before_damaged_rows(tmp_path, damage):
    block(filled(tmp_path / "labels.tif"), 1).write_bytes(damage)
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    assert journal.finished_rows(0) == 4
    assert [window.row for window, _ in journal.replay("labels")] == [0]
    journal.record(0, Window(4, 0, 4, 6), rows_of(1), {"tiles": 2})
    again = RowJournal(tmp_path / "labels.tif")
    assert again.load()
    assert again.finished_rows(0) == 12  # the third is still there
    for number, (window, part) in enumerate(again.replay("probabilities")):
        assert window.row == 4 * number
        np.testing.assert_array_equal(part, rows_of(number)["probabilities"])


@pytest.mark.parametrize(
    "entry",
    [b"[]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"strip": 0, "window": [4, 0, 4, 6], "rows": 8, "arrays": {}}',
     b'{"strip": 0, "window": [4, 0, 4], "rows": 8, "counts": {}, "arrays": {}}',
     b'{"strip": 0, "window": [4, 0, 4, 6], "rows": "8", "counts": {}, "arrays": {}}'],
)  # fmt: skip
def test_an_entry_that_is_none_counts_as_damaged(tmp_path, entry):
    written = filled(tmp_path / "labels.tif")
    np.savez(block(written, 1), entry=np.frombuffer(entry, np.uint8))
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    assert journal.finished_rows(0) == 4


def test_an_entry_whose_values_were_changed_counts_as_damaged(tmp_path):
    written = filled(tmp_path / "labels.tif")
    content = block(written, 1).read_bytes()
    assert b'"rows": 8' in content
    block(written, 1).write_bytes(content.replace(b'"rows": 8', b'"rows": 9'))
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    assert journal.finished_rows(0) == 4


@pytest.mark.parametrize("product", ["labels", "probabilities", "scores"])
def test_rows_that_were_damaged_are_computed_again(tmp_path, product):
    written = filled(tmp_path / "labels.tif")
    content = bytearray(block(written, 1).read_bytes())
    content[content.index(zlib.compress(rows_of(1)[product].tobytes(), 1)) + 5] ^= 0xFF
    block(written, 1).write_bytes(bytes(content))
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    assert journal.finished_rows(0) == 4


def test_rows_that_are_lost_after_loading_end_the_job_with_an_error(tmp_path):
    filled(tmp_path / "labels.tif")
    journal = RowJournal(tmp_path / "labels.tif")
    assert journal.load()
    block(journal, 2).unlink()
    with pytest.raises(OutputError, match="cannot be read any more"):
        list(journal.replay("labels"))


@pytest.mark.parametrize(
    "change", [{"arrays": {}}, {"arrays": {"labels": ["|u1", [3]]}}, {"arrays": {"labels": ["no type", [4, 6]]}}]
)
def test_rows_that_do_not_fit_their_entry_end_the_job_with_an_error(tmp_path, change):
    journal = filled(tmp_path / "labels.tif")
    with np.load(block(journal, 1)) as archive:
        members = dict(archive)
    entry = json.loads(members["entry"].tobytes()) | change
    members["entry"] = np.frombuffer(json.dumps(entry).encode(), np.uint8)
    np.savez(block(journal, 1), **members)
    assert journal.load()
    with pytest.raises(OutputError, match="cannot be read any more"):
        list(journal.replay("labels"))


@pytest.mark.parametrize("content", [b"x", b"[]", b"3", b'{"run": "a"}'])
def test_a_job_that_cannot_be_read_means_starting_anew(tmp_path, content):
    block(filled(tmp_path / "labels.tif"), "job").write_bytes(content)
    assert not RowJournal(tmp_path / "labels.tif").load()


def test_parts_of_two_divisions_are_refused(tmp_path):
    out = tmp_path / "labels.tif"
    for part in (Part(1, 2), Part(1, 3)):
        RowJournal(out, part).start({"run": "a"})
        if part.total == 2:
            assert RowJournal.parts(out) == [Part(1, 2), Part(2, 2)]
    with pytest.raises(OutputError, match="2 and into 3"):
        RowJournal.parts(out)
