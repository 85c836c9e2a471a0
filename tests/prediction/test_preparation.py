"""A scene is labelled as the run learnt images: values of 8 bits, pixels of its size; results lie on the scene's own grid."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.cli.main import main
from deepnets4eo.errors import RunError
from deepnets4eo.jobs import Part
from deepnets4eo.prediction import PredictOptions, describe, open_scene, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, ensemble_run, load_run
from deepnets4eo.segmenters.any_size import WORLD_TASK
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

LEGEND = Legend("two", (LegendClass(3, "dark", (0, 0, 9)), LegendClass(7, "bright", (255, 255, 255))))
RNG = np.random.default_rng(0)
BRIGHT = np.kron(RNG.integers(0, 2, (20, 17)), np.ones((8, 8), int)).astype(bool)  # (160, 136)
IMAGE = (np.where(BRIGHT, 170, 60) + RNG.integers(-40, 41, (3, *BRIGHT.shape))).astype(np.uint8)
LABELS = np.where(BRIGHT, 7, 3).astype(np.uint8)
ONE = PredictOptions(threads=1)


def write(path: Path, image: np.ndarray, size_m: float = 0.5, nodata: float | None = None) -> Path:
    place = Affine(size_m, 0, 500_000, 0, -size_m, 4_000_000)
    return write_geotiff(path, image, crs="EPSG:32615", transform=place, nodata=nodata)


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run that tells bright from dark pixels of 0.5 m, of a recipe of this task."""
    scene = Scene(
        {
            "image": Layer.open(write(tmp_path_factory.mktemp("learnt") / "image.tif", IMAGE)),
            "labels": Layer.open(LABELS),
        }
    )
    segmenter = PixelClassifier(LogisticRegression(), InputSpec.measure([scene]), LEGEND, tiling=Tiling(48, 0))
    segmenter.fit([scene], max_pixels=2000)
    return lambda task="": save_run(segmenter, tmp_path_factory.mktemp("run") / "run", recipe={"task": task})


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_an_image_of_other_values_is_labelled_like_its_8_bits(make_run: Callable, tmp_path: Path, dtype: str) -> None:
    run, stored = make_run(), IMAGE.astype(float) * (6.5 if dtype == "uint16" else 1 / 400) + 0.3
    image = write(tmp_path / "image.tif", stored.astype(dtype))
    out = predict(run, image, tmp_path / "labels.tif", ONE).paths["labels"]
    assert (read(out) == LABELS).mean() > 0.99
    with rasterio.open(out) as file:
        (stretch,) = json.loads(file.tags()["STRETCH"]).values()
    assert stretch["low"] == pytest.approx(np.percentile(stored, 2, axis=(1, 2)), rel=0.03)
    assert "STRETCH" not in rasterio.open(predict(run, IMAGE, tmp_path / "plain.tif", ONE).paths["labels"]).tags()


def test_parts_and_a_folder_of_tiles_are_stretched_as_the_whole(
    make_run: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = IMAGE.astype(np.uint16) * 8
    wide[:, :80] //= 3  # by themselves, both halves would get another stretch
    run, whole = make_run(), write(tmp_path / "whole.tif", wide)
    (tmp_path / "tiles").mkdir()
    for name, rows in (("a", slice(0, 80)), ("b", slice(80, 160))):
        place = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000 - 0.5 * rows.start)
        write_geotiff(tmp_path / "tiles" / f"{name}.tif", wide[:, rows], crs="EPSG:32615", transform=place)
    expected = read(predict(run, whole, tmp_path / "labels.tif", ONE).paths["labels"])
    tiled = predict(run, tmp_path / "tiles", tmp_path / "tiled.tif", ONE).paths["labels"]
    np.testing.assert_array_equal(read(tiled), expected)
    for number in (2, 1):
        predict(run, whole, tmp_path / "parts.tif", PredictOptions(threads=1, block_px=64, part=Part(number, 2)))
    joined = predict(run, whole, tmp_path / "parts.tif", PredictOptions(threads=1, block_px=64, resume=True))
    np.testing.assert_array_equal(read(joined.paths["labels"]), expected)
    assert main(["predict", str(run), str(whole), "--out", str(tmp_path / "dry.tif"), "--dry-run"]) == 0
    assert "stretched to 8 bits, from the 2nd to the 98th percentile of each band" in capsys.readouterr().out


def test_a_run_of_any_size_labels_at_its_own_and_writes_on_the_grid_of_the_image(
    make_run: Callable, tmp_path: Path
) -> None:
    fine = np.kron(IMAGE, np.ones((1, 2, 2), np.uint8))
    spots = np.zeros(fine.shape, bool)
    spots[:, ::2, ::2] = True  # one pixel of 0.25 m of four, which their mean outweighs
    fine = np.where(spots, np.uint8(255) - fine, fine)
    fine[:, :7, :9] = 0
    run, image = make_run(WORLD_TASK), write(tmp_path / "fine.tif", fine, 0.25, nodata=0)
    proba = tmp_path / "p.tif"
    options = PredictOptions(threads=1, probabilities=proba, block_px=64)
    out = predict(run, image, tmp_path / "labels.tif", options).paths["labels"]
    labels = read(out)
    with rasterio.open(image) as given, rasterio.open(out) as made:
        assert (made.shape, made.transform) == (given.shape, given.transform)
    void = (fine == 0).all(axis=0)
    np.testing.assert_array_equal(labels == 255, void)
    np.testing.assert_array_equal(read(proba) == 255, void)
    np.testing.assert_array_equal(labels[:, ::2][~void[:, ::2]], labels[:, 1::2][~void[:, ::2]])
    mean = fine.reshape(3, 160, 2, 136, 2).mean(axis=(0, 2, 4))
    assert ((labels[::2, ::2] == 7) == (mean > 115))[10:, 10:].mean() > 0.97
    plain = read(predict(make_run(), image, tmp_path / "plain.tif", ONE).paths["labels"])
    assert (plain == labels).mean() < 0.9
    assert "labelled at 160 x 136 px of 0.5 m" in describe(
        load_run(run), open_scene(image, load_run(run).segmenter), ONE
    )


def test_pixels_that_such_a_run_never_learnt_are_refused(make_run: Callable, tmp_path: Path) -> None:
    run = make_run(WORLD_TASK)
    for size_m in (0.1, 2.0):
        with raises_naming(RunError, "0.2", "1.5"):
            predict(run, write(tmp_path / "image.tif", IMAGE, size_m), tmp_path / "labels.tif", ONE)


def test_a_run_of_buildings_labels_every_tile_by_two_views_unless_one_is_asked_for(make_run: Callable) -> None:
    of_world, other = load_run(make_run(WORLD_TASK)), load_run(make_run())
    assert ensemble_run([of_world]) is of_world, "land cover, by one view"
    of_world.segmenter.legend = replace(of_world.segmenter.legend, name="buildings")
    assert ensemble_run([of_world]).card["views"] == "half-turn"
    assert ensemble_run([of_world], views="none").segmenter is of_world.segmenter
    assert ensemble_run([of_world], views="none").card["views"] == "none"
    assert ensemble_run([other]) is other
