"""The progress_file of a prediction: rows come back as they went in, whatever was cut short."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepnets4eo.errors import OutputError, RunError
from deepnets4eo.grid import Window
from deepnets4eo.jobs.progress_file import ProgressFile


def rows_of(number):
    rng = np.random.default_rng(number)
    return {
        "labels": rng.integers(0, 9, (1, 4, 6), dtype=np.uint8),
        "probabilities": rng.integers(0, 9, (3, 4, 6), dtype=np.uint8),
    }


def filled(out, count=3):
    progress_file = ProgressFile(out)
    progress_file.start({"run": "a", "tiling": {"tile_px": 64}})
    for number in range(count):
        progress_file.record(0, Window(4 * number, 0, 4, 6), rows_of(number), {"tiles": 2 * number, "skipped": number})
    return progress_file


def test_rows_come_back_in_order_by_product(tmp_path):
    filled(tmp_path / "labels.tif")
    progress_file = ProgressFile(tmp_path / "labels.tif")
    assert progress_file.load()
    assert progress_file.finished_rows(0) == 12
    assert progress_file.finished_rows(1) == 0
    assert progress_file.counts == {"tiles": 4, "skipped": 2}
    for product, bands in (("labels", 1), ("probabilities", 3)):
        assert len(list(progress_file.replay(product, bands))) == 3
        for number, (window, part) in enumerate(progress_file.replay(product, bands)):
            assert window == Window(4 * number, 0, 4, 6)
            np.testing.assert_array_equal(part, rows_of(number)[product])


@given(st.integers(0, 700), st.integers(0, 60))
def test_work_goes_on_from_wherever_a_kill_cut_the_files(tmp_path_factory, cut, torn):
    """The line being written is cut anywhere; bytes of rows that no line mentions follow the good ones."""
    out = tmp_path_factory.mktemp("job") / "labels.tif"
    written = filled(out)
    lines = written.path.read_bytes()
    first = lines.index(b"\n") + 1
    written.path.write_bytes(lines[: max(len(lines) - cut, first)])
    with written.rows_path.open("ab") as file:
        file.write(b"x" * torn)
    progress_file = ProgressFile(out)
    assert progress_file.load()
    for number in range(len(progress_file.entries), 3):
        progress_file.record(0, Window(4 * number, 0, 4, 6), rows_of(number), {"tiles": 0, "skipped": 0})
    again = ProgressFile(out)
    assert again.load()
    found = [part for _, part in again.replay("labels", 1)]
    np.testing.assert_array_equal(found, [rows_of(number)["labels"] for number in range(3)])


def test_lost_rows_mean_starting_anew(tmp_path):
    progress_file = filled(tmp_path / "labels.tif")
    progress_file.rows_path.write_bytes(b"")
    assert not ProgressFile(tmp_path / "labels.tif").load()


def test_another_job_is_refused_and_the_same_is_not(tmp_path):
    filled(tmp_path / "labels.tif")
    progress_file = ProgressFile(tmp_path / "labels.tif")
    assert progress_file.load()
    progress_file.check({"run": "a", "tiling": {"tile_px": 64}})
    with pytest.raises(RunError, match=r"run 'a' then, 'b' now"):
        progress_file.check({"run": "b", "tiling": {"tile_px": 64}})


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    progress_file = ProgressFile(tmp_path / "labels.tif")
    progress_file.rows_path.mkdir()
    with pytest.raises(OutputError, match="could not write .*Is a directory.* go on with --resume"):
        progress_file.record(0, Window(0, 0, 4, 6), rows_of(0), {})


@pytest.mark.parametrize("damage", [b"x", b"[", b"3", b"null", b"\xff\xfe", b'{"strip": 0}', b"[" * 100_000])
def test_work_goes_on_before_a_damaged_line(tmp_path, damage):
    written = filled(tmp_path / "labels.tif")
    lines = written.path.read_bytes().split(b"\n")
    written.path.write_bytes(b"\n".join([*lines[:2], damage, *lines[3:]]))
    progress_file = ProgressFile(tmp_path / "labels.tif")
    assert progress_file.load()
    assert progress_file.finished_rows(0) == 4
    assert [window.row for window, _ in progress_file.replay("labels", 1)] == [0]
    progress_file.record(0, Window(4, 0, 4, 6), rows_of(1), {"tiles": 2})
    assert ProgressFile(tmp_path / "labels.tif").load()
    for number, (window, part) in enumerate(progress_file.replay("probabilities", 3)):
        assert window.row == 4 * number
        np.testing.assert_array_equal(part, rows_of(number)["probabilities"])


def test_a_line_whose_values_were_changed_counts_as_damaged(tmp_path):
    written = filled(tmp_path / "labels.tif")
    text = written.path.read_bytes()
    written.path.write_bytes(text.replace(b'"rows": 8', b'"rows": 9'))
    progress_file = ProgressFile(tmp_path / "labels.tif")
    assert progress_file.load()
    assert progress_file.finished_rows(0) == 4


def test_rows_that_were_damaged_are_computed_again(tmp_path):
    written = filled(tmp_path / "labels.tif")
    first = sum(written.entries[0]["bytes"].values())
    content = bytearray(written.rows_path.read_bytes())
    content[first + 5] ^= 0xFF
    written.rows_path.write_bytes(bytes(content))
    progress_file = ProgressFile(tmp_path / "labels.tif")
    assert progress_file.load()
    assert progress_file.finished_rows(0) == 4
    assert written.rows_path.stat().st_size == first


@pytest.mark.parametrize("first", [b"x", b"[]", b"3", b'{"run": "a"}'])
def test_a_job_that_cannot_be_read_means_starting_anew(tmp_path, first):
    written = filled(tmp_path / "labels.tif")
    written.path.write_bytes(b"\n".join([first, *written.path.read_bytes().split(b"\n")[1:]]))
    assert not ProgressFile(tmp_path / "labels.tif").load()
