"""World files, and labels without a georeference: `check` on the folder and the training say the same."""

import logging
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from made_up_datasets import make_dataset, tile_path
from PIL import Image
from refusals import raises_naming
from score_table import BenchmarkScenes, Row, run_possible

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.errors import DeepNets4EOError, GridError, InputError
from deepnets4eo.grid import Window
from deepnets4eo.inspection import inspect, inspect_dataset, overlaps
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.training.scenes import dataset_scenes

TILES = ["1", "3"]
WORLD = {".tif": ".tfw", ".png": ".wld", ".jpg": ".jgw"}


def plain(path: Path) -> None:
    """Write a file anew without its georeference."""
    write_geotiff(path, Layer.open(path).read()[0], crs=None)


def world_file(path: Path, east: float = 497_000.0, suffix: str = "") -> None:
    lines = (0.09, 0.0, 0.0, -0.09, east + 0.045, 5_419_000.0 - 0.045)
    path.with_suffix(suffix or WORLD[path.suffix]).write_text("\n".join(map(str, lines)) + "\n")


@pytest.fixture
def contest(tmp_path: Path) -> DatasetCard:
    """Tiles without any CRS, their images with world files."""
    card = make_dataset(tmp_path, "isprs_vaihingen", TILES, ["image", "labels", "dsm"])
    for tile in TILES:
        for layer in ("image", "labels", "dsm"):
            plain(tmp_path / tile_path(card, layer, tile))
        world_file(tmp_path / tile_path(card, "image", tile))
    return card.model_copy(update={"splits": {"few": {"train": tuple(TILES)}}, "protocols": {}, "published": {}})


def problems(root: Path, card: DatasetCard) -> list[str]:
    return inspect_dataset(str(root), card).problems


def labelled_share(root: Path, card: DatasetCard) -> float:
    shown = [
        one.scene.read(Window(0, 0, *one.scene.shape)) for one in dataset_scenes(card, root, layers=["image", "dsm"])
    ]
    return float(np.mean([one["valid"] & (one["labels"] != 255) for one in shown]))


def test_labels_without_world_files_lie_on_the_pixels_of_images_with_them(contest: DatasetCard, tmp_path: Path) -> None:
    assert problems(tmp_path, contest) == []
    assert labelled_share(tmp_path, contest) == 1


@pytest.mark.parametrize("layer", ["labels", "dsm"])
def test_world_files_of_two_places_are_refused_by_both(contest: DatasetCard, tmp_path: Path, layer: str) -> None:
    world_file(tmp_path / tile_path(contest, layer, "1"), east=700_000.0)
    assert any(f"tile 1: {layer}" in line and "covers 0%" in line for line in problems(tmp_path, contest))
    with pytest.raises(GridError, match="does not overlap"):
        labelled_share(tmp_path, contest)


def test_one_place_without_the_other_of_another_size_is_refused_by_both(contest: DatasetCard, tmp_path: Path) -> None:
    path = tmp_path / tile_path(contest, "labels", "1")
    write_geotiff(path, Layer.open(path).read()[0][:, :50], crs=None)
    assert any("labels is 50 × 64 px" in line and "world file" in line for line in problems(tmp_path, contest))
    with raises_naming(GridError, "top_mosaic_09cm_area1.tif", "50", "64"):
        labelled_share(tmp_path, contest)


def test_two_files_of_which_one_has_a_place_are_told_to_lie_pixel_on_pixel_as_training_reads_them(
    tmp_path: Path,
) -> None:
    files = [
        write_geotiff(tmp_path / f"{name}.tif", np.ones((40, width), np.uint8), crs=None)
        for name, width in (("image", 30), ("labels", 30), ("narrow", 29))
    ]
    world_file(files[0])
    image, labels, narrow = (inspect(str(path)) for path in files)
    assert (Scene.open(image=files[0], labels=files[1]).read()["labels"] == 1).all()
    assert overlaps([labels, image]).lines == [
        f"{files[0]} and {files[1]} are of one size and only one has a place: as layers of a scene they lie pixel on pixel."
    ]
    lines, problems = overlaps([image, narrow])
    assert (lines, len(problems)) == ([], 1)
    assert "one raster has a world file and the other has none" in problems[0]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_images_of_other_formats_with_world_files_too(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(tmp_path / f"image{suffix}")
    world_file(tmp_path / f"image{suffix}")
    labels = write_geotiff(tmp_path / "labels.tif", np.ones((40, 30), np.uint8), crs=None)
    scene = Scene.open(image=tmp_path / f"image{suffix}", labels=labels)
    assert not scene.grid.affine.is_identity
    assert (scene.read()["labels"] == 1).all()


def test_grids_of_plain_pixels_are_still_warped() -> None:
    coarse = Layer.open(np.arange(4, dtype=np.uint8).reshape(2, 2))
    fine = coarse.grid.zoom_to((4, 4))
    assert fine.affine == Affine.scale(0.5)
    assert coarse.on(fine, "nearest").read()[0][0, 0].tolist() == [0, 0, 1, 1]


def test_a_table_without_rows_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    far = write_geotiff(tmp_path / "far.tif", np.zeros((64, 64), np.uint8), origin=(900_000, 5_000_000))
    scenes = {}
    for name in ("a", "b"):
        image = write_geotiff(tmp_path / f"{name}.tif", np.ones((3, 64, 64), np.uint8))
        scenes[name] = {"image": str(image), "labels": str(far)}
    folds = [BenchmarkScenes({"a": scenes["a"]}, {"b": scenes["b"]})]
    rows = [
        Row("first", "baselines/random-forest"),
        Row("heights", "baselines/expert-rules", ("model.layers=[image, dsm]",)),
    ]
    with caplog.at_level(logging.ERROR), raises_naming(InputError, "far.tif", "2 rows") as refused:
        run_possible(rows, folds, Legend.load("isprs"), tmp_path / "out")
    assert "does not overlap" in str(refused.value)
    assert issubclass(GridError, DeepNets4EOError)
