"""What `check` takes for labelled images: folders of classes with patches, and tables of images."""

from pathlib import Path

import numpy as np
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
