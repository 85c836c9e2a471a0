"""`check` on dataset folders: recognised by their layout; what is missing, broken or odd is said, and what is fine."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from made_up_datasets import make_dataset, tile_path, write

from deepnets4eo.cards import CardKind, DatasetCard
from deepnets4eo.cli.main import main
from deepnets4eo.files import read_json, read_yaml, write_yaml
from deepnets4eo.inspection import inspect_dataset, recognise

VAIHINGEN = ["1", "3", "5", "7", "11", "13", "15", "17", "21", "23", "26", "28", "30", "32", "34", "37"]


def image(path: Path) -> None:
    driver = "GTiff" if path.suffix == ".tif" else "PNG"
    write_geotiff(path, np.arange(48, dtype=np.uint8).reshape(3, 4, 4), crs=None, driver=driver)


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
    make_dataset(tmp_path, "isprs_vaihingen", VAIHINGEN, ["image", "labels", "labels_eroded", "dsm"])
    return tmp_path


def problems(root: Path, name: str = "isprs_vaihingen", **options: object) -> list[str]:
    return inspect_dataset(str(root), DatasetCard.load(name), **options).problems  # type: ignore[arg-type]


def test_folders_are_recognised_by_their_layout(xbd: Path) -> None:
    card = recognise(xbd)
    assert card is not None
    assert card.name == "xbd"
    found = inspect_dataset(str(xbd), card)
    assert found.problems == []
    assert found.facts["pre"].startswith("2 of 2")
    assert found.facts["targets"] == "none"
    assert found.facts["split xview2, train"] == "all 2 tiles have pre, post, footprints, labels"
    assert found.facts["split xview2, test"] == "nothing here"


def test_the_folder_of_one_split_is_checked_too(xbd: Path, monkeypatch) -> None:
    """Training takes xbd/train; so does the check."""
    image(xbd / "test" / "images" / "flood_00000009_pre_disaster.png")  # of another split, which is not checked
    card = recognise(xbd / "train")
    assert card is not None
    assert card.name == "xbd"
    assert main(["check", str(xbd / "train"), "--dataset", "xbd"]) == 0
    found = inspect_dataset(str(xbd / "train"), card)
    assert found.problems == []
    assert found.facts["pre"].startswith("2 of 2")
    assert found.facts["split xview2, train"] == "all 2 tiles have pre, post, footprints, labels"
    assert found.facts["split xview2, test"] == "nothing here"
    for folder, given in ((xbd, "train"), (xbd / "train", "."), (xbd / "train" / "images", "..")):
        monkeypatch.chdir(folder)
        assert inspect_dataset(given, card).facts["pre"].startswith("2 of 2"), given


def test_what_the_folder_of_one_split_lacks_is_a_problem(xbd: Path) -> None:
    (xbd / "train" / "labels" / "flood_00000002_post_disaster.json").unlink()
    assert problems(xbd / "train", "xbd") == ["split xview2, train: 1 of 2 tiles have no labels: train/flood_00000002."]


def test_a_folder_above_or_below_the_dataset_leads_to_it(xbd: Path) -> None:
    expected = "no file lies where the card expects it, e.g. {{split}}/images/{{id}}_pre_disaster.png. {}"
    assert problems(xbd / "train" / "images", "xbd") == [expected.format(f"Did you mean the folder {xbd}?")]
    above = xbd / "above"
    (above / "inner").mkdir(parents=True)
    (xbd / "train").rename(above / "inner" / "train")
    assert problems(above, "xbd") == [expected.format(f"Did you mean the folder {above / 'inner'}?")]


def test_a_folder_without_anything_of_the_dataset_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "rgb").mkdir()
    image(tmp_path / "rgb" / "a.png")
    for name in ("xbd", "isprs_vaihingen"):
        (problem,) = problems(tmp_path / "rgb", name)
        assert "Check the folder." in problem


@pytest.mark.parametrize(
    ("name", "tile"),
    [("isprs_vaihingen", "1"), ("isprs_potsdam", "2_10"), ("dfc2015", "1"), ("dfc2018", "272056_3289689"),
     ("dfc2019", "JAX_004_006"), ("loveda", "Val/Urban/3514")],
)  # fmt: skip
def test_every_dataset_is_known_by_its_own_layout(name: str, tile: str, tmp_path: Path) -> None:
    make_dataset(tmp_path, name, [tile])
    card = recognise(tmp_path)
    assert card is not None
    assert card.name == name


def test_a_plain_folder_is_no_dataset(tmp_path: Path) -> None:
    image(tmp_path / "photo.tif")
    assert recognise(tmp_path) is None


def test_a_whole_dataset_is_fine_and_other_splits_are_facts(vaihingen: Path) -> None:
    found = inspect_dataset(str(vaihingen), DatasetCard.load("isprs_vaihingen"))
    assert found.problems == []
    assert found.facts["split deepnetsforeo, test"] == "all 4 tiles have image, labels, dsm"
    assert found.facts["split official, test"].startswith("incomplete: 17 of 17 tiles are not here: 2, 4, 6")
    assert "fine" in found.facts
    assert problems(vaihingen, split="official")[0].startswith("split official, test: 17 of 17 tiles are not here")


def test_what_is_missing_is_named_by_part_layer_and_tile(vaihingen: Path) -> None:
    card = DatasetCard.load("isprs_vaihingen")
    for layer, tile in (("labels", "21"), ("dsm", "5"), ("labels", "15")):
        (vaihingen / tile_path(card, layer, tile)).unlink()
    assert problems(vaihingen) == [
        "split deepnetsforeo, test: 2 of 4 tiles have no labels: 15, 21.",
        "split deepnetsforeo, test: 1 of 4 tiles have no dsm: 5.",
    ]


def test_what_is_corrupt_or_cut_off_is_named(vaihingen: Path) -> None:
    card = DatasetCard.load("isprs_vaihingen")
    broken = vaihingen / tile_path(card, "image", "1")
    broken.write_bytes(b"not an image")
    cut = vaihingen / tile_path(card, "dsm", "3")
    cut.write_bytes(cut.read_bytes()[:9000])
    (text,) = problems(vaihingen)
    assert text.startswith("2 files cannot be read: ")
    assert broken.name in text
    assert cut.name in text


def test_a_png_that_is_cut_off_is_named(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "loveda", ["Train/Rural/0", "Val/Rural/2522"])
    assert problems(tmp_path, "loveda") == []
    path = tmp_path / tile_path(card, "image", "Train/Rural/0")
    path.write_bytes(path.read_bytes()[:4000])
    (text,) = problems(tmp_path, "loveda")
    assert "1 files cannot be read" in text
    assert "0.png" in text


def test_a_defect_between_the_samples_is_found_when_all_is_read(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "dfc2019", ["JAX_004_006", "OMA_001_002"])
    labels = np.full((1, 1600, 1600), 2, np.uint8)
    labels[0, 530, 20] = 77
    for layer in ("image", "msi", "agl"):
        write(
            tmp_path / tile_path(card, layer, "JAX_004_006"), np.ones((3 if layer == "image" else 1, 1600, 1600), "u1")
        )
    write(tmp_path / tile_path(card, "labels", "JAX_004_006"), labels)
    assert problems(tmp_path, "dfc2019") == []
    (text,) = problems(tmp_path, "dfc2019", thorough=True)
    assert "77 (1 px)" in text


def test_labels_outside_the_legend_and_other_band_counts_are_named(vaihingen: Path) -> None:
    card = DatasetCard.load("isprs_vaihingen")
    with rasterio.open(vaihingen / tile_path(card, "labels", "7"), "r+") as file:
        data = file.read()
        data[:, :3, :3] = 77
        file.write(data)
    write(vaihingen / tile_path(card, "labels", "11"), np.ones((1, 64, 64), np.uint8), east=VAIHINGEN.index("11"))
    strange = problems(vaihingen)
    assert len(strange) == 2
    assert 'not in legend "isprs": (77, 77, 77) (9 px)' in strange[0]
    assert "area11.tif has 1 bands, the labels of isprs_vaihingen 3 (red, green, blue)" in strange[1]


def test_sizes_that_disagree_are_named(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "loveda", ["Train/Rural/0", "Val/Rural/2522"])
    write(tmp_path / tile_path(card, "labels", "Train/Rural/0"), np.ones((1, 64, 60), np.uint8))
    (text,) = problems(tmp_path, "loveda")
    assert text == "tile Train/Rural/0: labels is 64 × 60 px, image 64 × 64, and not both have a CRS."


def test_checksums_are_compared_where_the_file_lies_there(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", "loveda", ["Train/Rural/0", "Val/Rural/2522"])
    (tmp_path / "data" / "Train.zip").write_bytes(b"cut off")
    (text,) = problems(tmp_path / "data", "loveda")
    assert "Train.zip: md5 is " in text
    right = f"md5:{hashlib.md5(b'cut off', usedforsecurity=False).hexdigest()}"
    values = read_yaml(CardKind.DATASET.path("loveda")) | {"checksums": {"Train.zip": right}}
    card = DatasetCard.load(write_yaml(tmp_path / "own.yaml", values))
    assert inspect_dataset(str(tmp_path / "data"), card).problems == []


def test_a_folder_without_files_of_the_dataset_has_a_problem_with_the_expected_path(tmp_path: Path) -> None:
    assert "no file lies where the card expects it" in problems(tmp_path, "xbd")[0]


def test_the_verb_ends_with_one_where_there_are_problems(vaihingen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", str(vaihingen), "--dataset", "isprs_vaihingen"]
    assert main(words) == 0
    assert "all 12 tiles have image, labels, dsm" in capsys.readouterr().out
    target = vaihingen / "check.json"
    assert main([*words, "--split", "official", "--json", str(target)]) == 1
    assert "17 of 17 tiles are not here" in read_json(target)["files"][0]["problems"][0]
    assert main([*words, "--layer", "image=somewhere/{id}.tif"]) == 1
    assert "16 of 16 tiles have no image" in capsys.readouterr().out.replace("12 of 12", "16 of 16")
    assert main(["check", str(vaihingen), "--dataset", "isprs_vaihingn"]) == 2
    assert "Did you mean 'isprs_vaihingen'" in capsys.readouterr().err
    assert main([*words, "--split", "oficial"]) == 2
    assert "Did you mean 'official'" in capsys.readouterr().err
    assert main(["check", str(vaihingen), "--thorough"]) == 2


def test_a_folder_in_the_place_of_a_file_with_a_checksum_is_passed_over(tmp_path: Path) -> None:
    card = make_dataset(tmp_path, "isprs_vaihingen", ["1"])
    checked = card.model_copy(update={"checksums": {"odd*": "md5:0"}})
    (tmp_path / "odd").mkdir()
    assert not any("md5" in problem for problem in inspect_dataset(str(tmp_path), checked).problems)
    (tmp_path / "odd.txt").write_text("x")
    assert any("md5" in problem for problem in inspect_dataset(str(tmp_path), checked).problems)
