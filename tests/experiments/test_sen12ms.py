"""SEN12MS: labels of a patch from its cover, and scenes drawn whole."""

import csv
from pathlib import Path

import numpy as np
import sen12ms

from deepnets4eo.cards import Legend
from deepnets4eo.training import load_recipe

NAMES = list(Legend.load("sen12ms").names)


def test_a_class_is_a_label_where_it_fills_a_tenth_and_similar_ones_count_as_one() -> None:
    cover = np.full((10, 10), 17, np.uint16)  # water
    cover[0, :5], cover[1, :5] = 1, 5  # two kinds of forest, a tenth together
    cover[2, :9] = 13  # nine percent of a town
    assert sen12ms.labels_of(cover, NAMES) == ["Forest", "Water"]
    cover[2, 9] = 13
    assert sen12ms.labels_of(cover, NAMES) == ["Forest", "Urban", "Water"]
    assert sen12ms.labels_of(np.full((4, 4), 999), NAMES) == []


def test_every_patch_of_a_scene_is_in_one_part_and_all_parts_have_some(tmp_path: Path) -> None:
    root = sen12ms.make_patches(tmp_path / "data")
    with sen12ms.write_labels(root, tmp_path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    counts = {part: sum(row["part"] == part for row in rows) for part in ("train", "val", "test")}
    assert counts == {"train": 14, "val": 3, "test": 3}
    for row in rows:
        number = int(Path(row["image"]).parent.name.removeprefix("s2_"))
        assert row["label"] == ("Water", "Forest")[number % 2]


def test_the_recipe_takes_the_bands_of_bigearthnet() -> None:
    own, first = (load_recipe(f"images/{name}")[0] for name in ("sen12ms", "bigearthnet"))
    assert own.model.options == first.model.options
    assert list(own.data.bands) == ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
