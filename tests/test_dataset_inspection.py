"""`check` on dataset folders: recognised by their layout, what is missing and what is broken is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from deepnets4eo.dataset_card import DatasetCard
from deepnets4eo.dataset_inspection import inspect_dataset, recognise


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff" if path.suffix == ".tif" else "PNG", width=4, height=4, count=3,
                       dtype="uint8") as file:  # fmt: skip
        file.write(np.arange(48, dtype=np.uint8).reshape(3, 4, 4))


@pytest.fixture
def xbd(tmp_path: Path) -> Path:
    for number in (1, 2):
        for when in ("pre", "post"):
            stem = f"flood_{number:08d}_{when}_disaster"
            image(tmp_path / "train" / "images" / f"{stem}.png")
            (tmp_path / "train" / "labels").mkdir(exist_ok=True)
            (tmp_path / "train" / "labels" / f"{stem}.json").write_text(json.dumps({"features": {"xy": []}}))
    return tmp_path


@pytest.fixture
def vaihingen(tmp_path: Path) -> Path:
    for area in (1, 3):
        image(tmp_path / "top" / f"top_mosaic_09cm_area{area}.tif")
        image(tmp_path / "gts_for_participants" / f"top_mosaic_09cm_area{area}.tif")
    return tmp_path


def test_folders_are_recognised_by_their_layout(xbd: Path) -> None:
    card = recognise(xbd)
    assert card is not None
    assert card.name == "xbd"
    found = inspect_dataset(str(xbd), card)
    assert found.problems == []
    assert found.facts["pre"].startswith("2 of 2")
    assert found.facts["targets"] == "none"


def test_another_layout_is_another_card(vaihingen: Path) -> None:
    card = recognise(vaihingen)
    assert card is not None
    assert card.name == "isprs_vaihingen"


def test_a_plain_folder_is_no_dataset(tmp_path: Path) -> None:
    image(tmp_path / "photo.tif")
    assert recognise(tmp_path) is None


def test_what_is_missing_is_named(vaihingen: Path) -> None:
    (vaihingen / "gts_for_participants" / "top_mosaic_09cm_area3.tif").unlink()
    found = inspect_dataset(str(vaihingen), DatasetCard.load("isprs_vaihingen"))
    assert found.problems == ["1 items have no labels: 3."]


def test_what_is_corrupt_is_named(vaihingen: Path) -> None:
    (vaihingen / "top" / "top_mosaic_09cm_area1.tif").write_bytes(b"not an image")
    found = inspect_dataset(str(vaihingen), DatasetCard.load("isprs_vaihingen"))
    assert any("1 files cannot be opened" in problem and "area1.tif" in problem for problem in found.problems)


def test_a_folder_that_holds_nothing_of_it_says_what_was_expected(tmp_path: Path) -> None:
    found = inspect_dataset(str(tmp_path), DatasetCard.load("xbd"))
    assert "nothing lies as the card says" in found.problems[0]
