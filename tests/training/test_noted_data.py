"""A training goes on only with the data it began with: files of the note, and new files of their kinds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from deepnets4eo.errors import OtherJobError
from deepnets4eo.training import job

RECIPE: Any = None


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two images, noted; every file in it is data."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        (folder / name).write_text(name)
    monkeypatch.setattr(job, "_data_files", lambda *_: sorted(folder.iterdir()))
    job.note_data_files(RECIPE, tmp_path, tmp_path / "note.json")
    return folder


def check(data: Path) -> None:
    job.check_data_files(RECIPE, data.parent, data.parent / "note.json")


def test_data_as_noted_or_only_touched_goes_on(data: Path) -> None:
    check(data)
    os.utime(data / "a.tif", (1, 1))
    check(data)
    (data / "readme.txt").write_text("of another kind than the images")
    check(data)
    (data.parent / "note.json").unlink()
    (data / "b.tif").unlink()
    check(data)  # nothing was noted


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.tif", "A.tif"), ("a.tif", "longer"), ("b.tif", None), ("c.tif", "new")],
    ids=["other content", "other size", "gone", "new"],
)
def test_data_that_changed_is_refused_by_name(data: Path, name: str, text: str | None) -> None:
    if text is None:
        (data / name).unlink()
    else:
        (data / name).write_text(text)
        os.utime(data / name, (1, 1))
    with pytest.raises(OtherJobError, match=f"{name}: changed since the training"):
        check(data)


@pytest.mark.parametrize(("count", "more"), [(job.NAMED, ""), (job.NAMED + 2, " and 2 more")])
def test_some_of_many_changed_files_are_named(data: Path, count: int, more: str) -> None:
    for number in range(count):
        (data / f"new_{number}.tif").write_text("new")
    with pytest.raises(OtherJobError) as error:
        check(data)
    assert str(error.value).count(".tif") == job.NAMED
    assert f"new_{job.NAMED - 1}.tif{more}: changed" in str(error.value)


def test_folders_of_images_and_masks_leave_what_the_user_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(job, "load_recipe", lambda recipe, overrides: (RECIPE, None))
    monkeypatch.setattr(
        job.ImageMaskFolders, "overrides", lambda self, *words: asked.append(words) or ["data.split=scenes"]
    )
    folders, chosen = job.ImageMaskFolders("images", "masks"), ["legend = own.yaml", "data.split=blocks"]
    found = job._with_folders("unet-resnet34", tmp_path / "run", folders, chosen, job.TrainOptions())
    assert found == ((), [*chosen, "data.split=scenes"])
    assert asked == [(RECIPE, {"legend", "data.split"}, tmp_path / "run")]
