"""What `check` takes for labelled images: folders of classes with patches, and tables of images."""

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.classification import inspect_images


def test_folders_and_tables_of_patches_are_known_and_scenes_are_not(tmp_path: Path):
    def write(folder: str, side: int) -> None:
        (tmp_path / folder).mkdir(parents=True)
        write_geotiff(tmp_path / folder / "a.tif", np.zeros((1, side, side), np.uint8))

    for name, sides in (("patches/a", 20), ("patches/b", 20), ("one/a", 20), ("scenes/a", 700), ("scenes/b", 20)):
        write(name, sides)
    (tmp_path / "table.csv").write_text("image,label\npatches/a/a.tif,a\npatches/b/a.tif,b\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("name,label\nx,a\n", encoding="utf-8")
    names = ("patches", "one", "scenes", "table.csv", "other.csv")
    known = {name: inspect_images(str(tmp_path / name)) is not None for name in names}
    assert known == {"patches": True, "one": False, "scenes": False, "table.csv": True, "other.csv": False}


@pytest.mark.parametrize(
    ("images", "masks", "kind"),
    [((3, "a.tif"), (1, "a.tif"), "images and masks"), ((3, "a_sat.tif"), (1, "a_mask.tif"), "images and masks"),
     ((3, "a.tif"), (1, "b.tif"), "images with labels"), ((3, "a.tif"), (3, "a.tif"), "images with labels"),
     ((1, "a.tif"), (1, "a.tif"), "images with labels")],
)  # fmt: skip
def test_a_folder_of_images_and_one_of_their_masks_are_no_two_classes(tmp_path: Path, images, masks, kind: str) -> None:
    for folder, (bands, name) in (("img_dir", images), ("ann_dir", masks)):
        (tmp_path / folder).mkdir()
        write_geotiff(tmp_path / folder / name, np.zeros((bands, 20, 20), np.uint8))
    found = inspect_images(str(tmp_path))
    assert found is not None
    assert found.kind == kind
    if kind == "images and masks":
        assert found.facts["pairs"] == "1, images in img_dir, masks in ann_dir"
        assert found.facts["to train"].endswith(f"--images {tmp_path / 'img_dir'} --masks {tmp_path / 'ann_dir'}")
        assert not found.problems
