"""What a selection of files leaves out is counted and named: tiles, clouds, pictures of classes, masks, predictions, scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.evaluation.pairs import pair_tiles
from deepnets4eo.formats import warn_of_left_out
from deepnets4eo.points.cloud_data import CloudData, find_clouds
from deepnets4eo.rasters import find_tiles
from deepnets4eo.training.image_masks import ImageMaskFolders
from deepnets4eo.training.scenes import find_sources


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_files_that_could_be_meant_are_counted_and_others_are_not(tmp_path: Path, caplog) -> None:
    touch(tmp_path, "a.tif", "b.BMP", "sub/c.webp", "a.tif.aux.xml", "readme.txt", ".d.bmp", "__MACOSX/e.bmp")
    left = warn_of_left_out(tmp_path, [tmp_path / "a.tif"], "Write GeoTIFF.")
    assert [path.name for path in left] == ["b.BMP", "c.webp"]
    assert f"2 of 3 rasters in {tmp_path} are left out: b.BMP, sub/c.webp. Write GeoTIFF." in caplog.text


def test_a_folder_of_tiles_names_rasters_of_other_formats(tmp_path: Path, caplog) -> None:
    assert len(find_tiles(touch(tmp_path, "a.tif", "b.tif", "c.bmp", "outlines.gpkg"))) == 2
    assert "1 of 3 rasters" in caplog.text
    assert "c.bmp" in caplog.text


def test_clouds_are_found_in_capital_letters_and_other_formats_are_named(tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.points.cloud_data.open_cloud", lambda path: path)
    touch(tmp_path, "a.laz", "b.LAS", "c.txt", "d.ply")
    clouds = find_clouds(CloudData(folders=(str(tmp_path),), clouds=("**/*.laz", "**/*.las")), 1.0)
    assert [cloud.name for cloud in clouds] == ["a", "b"]
    assert "2 of 4 clouds in" in caplog.text
    assert "c.txt, d.ply" in caplog.text


def test_images_and_masks_of_other_formats_are_named(tmp_path: Path, caplog) -> None:
    touch(tmp_path, "images/1.png", "images/2.heic", "masks/1.png", "masks/2.jxl")
    assert len(ImageMaskFolders(tmp_path / "images", tmp_path / "masks").pairs()) == 1
    assert "2.heic" in caplog.text
    assert "2.jxl" in caplog.text


def test_scenes_of_another_ending_are_named(tmp_path: Path, caplog) -> None:
    touch(tmp_path, "images/1.tif", "images/2.TIF", "labels/1.tif", "labels/2.TIF")
    assert len(find_sources([str(tmp_path)], {"image": "images/*.tif", "labels": "labels/*.tif"})) == 1
    assert "2 of 4 rasters" in caplog.text


@pytest.mark.parametrize("names", [("1.tif", "2.tif", "9_night.tif")])
def test_a_prediction_without_a_reference_is_named(names: tuple[str, ...], tmp_path: Path, caplog) -> None:
    for folder, some in (("predictions", names), ("references", names[:2])):
        (tmp_path / folder).mkdir()
        for name in some:
            write_geotiff(tmp_path / folder / name, np.ones((1, 4, 4), np.uint8))
    assert len(pair_tiles(tmp_path / "predictions", tmp_path / "references")) == 2
    assert (
        f"1 of 3 predictions in {tmp_path / 'predictions'} is left out: 9_night.tif. They are not scored" in caplog.text
    )
