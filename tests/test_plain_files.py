"""Text, JSON and YAML on disk: written whole or not at all, read with the file's name in every refusal."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo import files
from deepnets4eo.errors import InputError, OutputError


@pytest.mark.parametrize(
    ("overwrite", "resume", "allowed", "flags"),
    [
        (False, None, False, "Pass --overwrite to replace it, or choose another"),
        (True, None, True, ""),
        (False, False, False, "Pass --overwrite to replace it, --resume to go on with it, or choose"),
        (True, False, True, ""),
        (False, True, True, ""),
    ],
)
def test_what_is_there_stays_unless_it_may_be_replaced_or_gone_on_with(tmp_path, overwrite, resume, allowed, flags):
    for path in (tmp_path / "file", tmp_path / "folder"):
        assert files.check_overwrite(path, overwrite=overwrite, resume=resume) == path
    (tmp_path / "folder").mkdir()
    assert files.check_overwrite(tmp_path / "folder", overwrite=overwrite, resume=resume)  # an empty one holds nothing
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "mine").write_text("")
    for path in (tmp_path / "file", tmp_path / "folder"):
        if allowed:
            assert files.check_overwrite(path, overwrite=overwrite, resume=resume) == path
        else:
            with raises_naming(OutputError, path, flags):
                files.check_overwrite(path, overwrite=overwrite, resume=resume)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "a.txt"
    files.write_text(target, "first")
    with pytest.raises(ValueError, match="stop"), files.atomic_write(target) as partial:
        partial.write_text("half")
        assert partial.suffix == ".txt"
        assert partial.parent == target.parent
        raise ValueError("stop")
    assert target.read_text() == "first"
    with files.atomic_write(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "b").write_text("b")
    assert (tmp_path / "folder" / "b").read_text() == "b"
    with pytest.raises(ValueError, match="stop"), files.atomic_write(tmp_path / "other") as partial:
        partial.mkdir()
        (partial / "b").write_text("b")
        raise ValueError("stop")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt", "b", "folder", "new"]


def test_values_become_plain_json():
    value = {
        "a": np.float32(0.5), 2: (np.int64(3), float("nan")), "array": np.array([[1, 2]]), "path": Path("x") / "y",
        "none": None, "inf": [float("-inf")], "flag": np.bool_(True), "set": {7},
    }  # fmt: skip
    expected = {
        "a": 0.5, "2": [3, None], "array": [[1, 2]], "path": str(Path("x") / "y"), "none": None, "inf": [None],
        "flag": True, "set": [7],
    }  # fmt: skip
    assert files.plain(value) == expected
    assert type(files.plain(np.float64(1))) is float


def test_json_and_yaml_keep_order_and_letters(tmp_path):
    value = {"z": "Gebäude", "a": [1, 2.5], "nothing": float("nan")}
    text = files.write_json(tmp_path / "v.json", value).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["z", "a", "nothing"]
    assert files.read_json(tmp_path / "v.json") == {"z": "Gebäude", "a": [1, 2.5], "nothing": None}
    text = files.write_yaml(tmp_path / "v.yaml", value).read_text(encoding="utf-8")
    assert text.startswith("z: Gebäude\na:\n")
    assert files.read_yaml(tmp_path / "v.yaml") == {"z": "Gebäude", "a": [1, 2.5], "nothing": None}


@pytest.mark.parametrize("read", [files.read_json, files.read_yaml])
def test_files_that_cannot_be_read_are_named(read, tmp_path):
    with raises_naming(InputError, "a.txt"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with raises_naming(InputError, "a.txt"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("{")
    with raises_naming(InputError, "a.txt", "1"):
        read(tmp_path / "a.txt")


def test_a_hash_of_a_large_file_is_that_of_all_its_pieces(tmp_path):
    content = bytes(range(256)) * 5000  # more than one piece of 1 MiB
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
