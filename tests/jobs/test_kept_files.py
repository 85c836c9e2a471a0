"""Kept files: whole as they were noted, or not finished."""

from pathlib import Path

import pytest

from deepnets4eo.jobs import KeptFiles


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "note gone", "note damaged", "never noted"])
def test_a_file_that_is_not_as_it_was_noted_is_not_finished(tmp_path: Path, damage: str) -> None:
    kept, file, other = KeptFiles(tmp_path), tmp_path / "map.tif", tmp_path / "table.json"
    for path in (file, other):
        path.write_bytes(b"whole")
    kept.note("map.tif", "table.json")
    assert kept.has("map.tif", "table.json")
    (note,) = tmp_path.glob(".partial-*map.tif")
    changes = {
        "cut": lambda: file.write_bytes(b"who"), "changed": lambda: file.write_bytes(b"WHOLE"), "gone": file.unlink,
        "note gone": note.unlink, "note damaged": lambda: note.write_bytes(b"\xff\xfe"),
        "never noted": lambda: (tmp_path / "third.tif").write_bytes(b"whole"),
    }  # fmt: skip
    changes[damage]()
    names = ["map.tif", "table.json", *(["third.tif"] if damage == "never noted" else [])]
    assert not kept.has(*names)
    assert kept.has("table.json")
