"""Paths in the values of a recipe, which are the same file wherever a training is gone on with."""

from pathlib import Path

import pytest

from deepnets4eo.training.same_recipe import _absolute


def test_texts_that_name_existing_files_become_absolute_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "b.tif", "isprs", "with, comma.tif"):
        (tmp_path / name).touch()
    here = {name: str(tmp_path / name) for name in ("a.tif", "b.tif", "with, comma.tif")}
    assert _absolute("a.tif") == here["a.tif"]
    assert _absolute("a.tif, b.tif") == f"{here['a.tif']},{here['b.tif']}"
    assert _absolute("with, comma.tif") == here["with, comma.tif"]
    assert _absolute("a.tif,missing.tif") == "a.tif,missing.tif", "no list of files"
    assert _absolute("isprs") == "isprs", "a name of a catalog, whatever is in this folder"
    assert _absolute(["a.tif", {"image": "b.tif", "number": 3}]) == (
        here["a.tif"],
        {"image": here["b.tif"], "number": 3},
    )
