"""Embeddings from files to maps: values by their card, what `check` says, change and similarity between years and rasters."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.change import ChangeDetector, NoveltyOptions
from deepnets4eo.change.pair import open_pair
from deepnets4eo.change.series import Likeness
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.job import rank_series
from deepnets4eo.change.series.likeness import vector_at
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run

SIDE = 48
CHANGED = np.s_[16:32, 32:48]


def vectors(seed: int, *, changed: bool = False) -> np.ndarray:
    """Three kinds of ground with a vector each, and a fourth where something changed; (64, SIDE, SIDE) of length 1."""
    kinds = np.random.default_rng(0).normal(size=(4, 64))
    ground = np.repeat(np.arange(SIDE) * 3 // SIDE, SIDE).reshape(SIDE, SIDE)
    if changed:
        ground[CHANGED] = 3
    values = kinds[ground] + np.random.default_rng(seed).normal(0, 0.3, (SIDE, SIDE, 64))
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).transpose(2, 0, 1)


def alphaearth(path: Path, values: np.ndarray, **where) -> Path:
    """As published: int8 whose square is the value, −128 for nothing, bands named A00 to A63."""
    numbers = np.rint(np.sign(values) * np.sqrt(np.abs(values)) * 127.5).clip(-127, 127).astype(np.int8)
    numbers[:, :2, :2] = -128
    write_geotiff(path, numbers, nodata=-128, tags={"SYNTHETIC": "yes"}, gsd=10, **where)
    with rasterio.open(path, "r+") as file:
        file.descriptions = [f"A{band:02}" for band in range(64)]
    return path


def tessera(folder: Path, scales: np.ndarray) -> tuple[Path, np.ndarray]:
    numbers = np.random.default_rng(0).integers(-127, 128, (12, 20, 128)).astype(np.int8)
    tile = folder / "global_0.1_degree_representation" / "2024" / "grid_0.15_52.05.npy"
    tile.parent.mkdir(parents=True)
    np.save(tile, numbers)
    np.save(tile.with_name("grid_0.15_52.05_scales.npy"), scales.astype(np.float32))
    write_geotiff(
        folder / "global_0.1_degree_tiff_all" / "grid_0.15_52.05.tiff", np.ones((1, 12, 20), np.uint8), gsd=10
    )
    return tile, numbers


def test_alphaearth_is_read_to_its_values_also_on_another_grid_and_as_a_mosaic(tmp_path: Path) -> None:
    path = alphaearth(tmp_path / "tiles" / "a.tif", vectors(1))
    layer = Layer.open(path)
    data, valid = layer.read()
    with rasterio.open(path) as file:
        numbers = file.read().astype(np.float64)
    expected = ((numbers / 127.5) ** 2) * np.sign(numbers)  # as the publisher states it
    assert layer.embedding == EmbeddingCard.load("alphaearth")
    assert not valid[:2, :2].any()
    assert valid.sum() == SIDE**2 - 4
    np.testing.assert_allclose(data[:, valid], expected[:, valid], atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(data[:, valid], axis=0), 1, atol=0.02)
    np.testing.assert_array_equal(layer.on(layer.grid[8:40, 4:30]).read()[0], data[:, 8:40, 4:30])
    alphaearth(tmp_path / "tiles" / "b.tif", vectors(1), origin=(500_000 + 10 * SIDE, 5_000_000))
    mosaic = Layer.open(tmp_path / "tiles")
    assert mosaic.embedding is not None
    np.testing.assert_array_equal(mosaic.read()[0][:, :, :SIDE][:, valid], data[:, valid])


def test_values_in_floating_point_are_read_as_they_are(tmp_path: Path) -> None:
    values = vectors(1).astype(np.float32)
    write_geotiff(tmp_path / "a.tif", values, gsd=10)
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.descriptions = [f"A{band:02}" for band in range(64)]
    np.testing.assert_array_equal(Layer.open(tmp_path / "a.tif").read()[0], values)


@pytest.mark.parametrize("shape", [(12, 20), (12, 20, 128)])
def test_tessera_is_numbers_times_scales_on_the_grid_of_its_land_mask(tmp_path: Path, shape: tuple[int, ...]) -> None:
    scales = np.random.default_rng(1).uniform(0.01, 0.05, shape)
    scales[:3] = np.nan
    tile, numbers = tessera(tmp_path, scales)
    layer = Layer.open(tile)
    data, valid = layer.read()
    expected = numbers * (scales if len(shape) == 3 else scales[..., None])
    np.testing.assert_allclose(data.transpose(1, 2, 0)[3:], expected[3:], rtol=1e-6)
    assert valid[3:].all()
    assert not valid[:3].any()
    assert layer.grid.crs is not None
    np.testing.assert_array_equal(layer.on(layer.grid[4:9, 5:12]).read()[0], data[:, 4:9, 5:12])
    assert inspect(str(tile)).kind == "embeddings"
    (tmp_path / "global_0.1_degree_tiff_all" / "grid_0.15_52.05.tiff").unlink()
    np.save(tmp_path / "labels.npy", np.zeros((20, 12), np.uint8))
    with pytest.raises(
        GridError, match="their pixels cannot be matched"
    ):  # and never read in another order, without scales
        Scene.open(image=tile, labels=tmp_path / "labels.npy")


def test_scales_of_another_tile_are_refused(tmp_path: Path) -> None:
    tile, _ = tessera(tmp_path, np.ones((12, 21)))
    with pytest.raises(InputError, match="Fetch both again"):
        Layer.open(tile)


def test_a_tile_of_tessera_without_scales_is_refused_unless_its_numbers_are_asked_for(tmp_path: Path) -> None:
    tile, numbers = tessera(tmp_path, np.ones((12, 20)))
    tile.with_name("grid_0.15_52.05_scales.npy").unlink()
    with raises_naming(InputError, "grid_0.15_52.05_scales.npy") as refused:
        Layer.open(tile)
    assert "without scales" in inspect(str(tile)).problems[0]
    asked = str(refused.value).rsplit(" ", 1)[-1].rstrip(".")
    np.testing.assert_array_equal(Layer.open(asked).read()[0], numbers.transpose(2, 0, 1))


def test_check_calls_embeddings_neither_noise_nor_wrong_reflectance(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(48, 40, 40)).astype(np.float32)
    write_geotiff(tmp_path / "own.tif", noise, gsd=10)
    assert any("noise" in problem for problem in inspect(str(tmp_path / "own.tif")).problems)
    write_geotiff(tmp_path / "own.tif", noise, gsd=10, tags={"EMBEDDING": "vectors"})
    assert not inspect(str(tmp_path / "own.tif")).problems
    found = inspect(str(alphaearth(tmp_path / "a.tif", vectors(1))))
    assert (found.kind, found.problems) == ("embeddings", [])
    assert found.facts["lengths of vectors"].endswith("median 1")
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.descriptions = [None] * 64
    (problem,) = inspect(str(tmp_path / "a.tif")).problems
    assert problem.endswith("a.tif#alphaearth.")
    halved = inspect(str(alphaearth(tmp_path / "b.tif", vectors(1) / 2)))
    assert [problem for problem in halved.problems if "lengths about 0.5" in problem]


def test_a_card_of_ones_own_is_named_behind_the_file(tmp_path: Path, capsys) -> None:
    write_geotiff(tmp_path / "a.tif", np.full((3, 4, 5), -20, np.int8), gsd=10)
    (tmp_path / "card.yaml").write_text("{name: mine, title: Mine, components: 3, stored: int8, scale: 0.1}", "utf-8")
    layer = Layer.open(f"{tmp_path / 'a.tif'}#{tmp_path / 'card.yaml'}")
    assert layer.read()[0] == pytest.approx(-2)
    assert layer.embedding is not None
    assert layer.embedding.name == "mine"
    with raises_naming(InputError, "a.tif", "3 bands"):
        Layer.open(f"{tmp_path / 'a.tif'}#alphaearth")
    (tmp_path / "card.yaml").write_text("{name: mine, title: Mine, scale: 0}", "utf-8")
    with pytest.raises(InputError, match="is no card of embeddings: scale"):
        Layer.open(f"{tmp_path / 'a.tif'}#{tmp_path / 'card.yaml'}")
    write_geotiff(tmp_path / "b.tif", np.ones((3, 4, 5), np.int8), gsd=10, tags={"EMBEDDING": "alphaerth"})
    with pytest.raises(InputError, match=r"expected one of alphaearth, tessera, vectors"):
        Layer.open(tmp_path / "b.tif")
    assert main(["datasets", "alphaearth"]) == 0
    assert "title: AlphaEarth Foundations" in capsys.readouterr().out


def test_the_cosine_distance_of_two_years_is_their_change(tmp_path: Path) -> None:
    scene = Scene.open(
        image_pre=vectors(1).astype(np.float32), image_post=3 * vectors(2, changed=True).astype(np.float32)
    )
    detector = ChangeDetector.of_scene(scene, "cosine")
    score = detector.method.measure(detector.inputs.prepare(scene.read()))
    np.testing.assert_allclose(score, 1 - (vectors(1) * vectors(2, changed=True)).sum(axis=0), atol=1e-5)
    change = detector.predict_classes(detector.inputs.prepare(scene.read())[None])[0] > 0
    truth = np.zeros((SIDE, SIDE), bool)
    truth[CHANGED] = True
    np.testing.assert_array_equal(change, truth)


def test_a_pair_of_embeddings_is_not_registered_and_two_cards_are_refused(tmp_path: Path) -> None:
    pre, post = alphaearth(tmp_path / "2020.tif", vectors(1)), alphaearth(tmp_path / "2021.tif", vectors(2))
    pair = open_pair(pre, post)
    np.testing.assert_array_equal(pair.registration.matrix, [[1, 0, 0], [0, 1, 0]])
    assert not pair.findings
    own = write_geotiff(tmp_path / "own.tif", vectors(1).astype(np.float32), gsd=10, tags={"EMBEDDING": "vectors"})
    with raises_naming(InputError, "own.tif", "2021.tif"):
        open_pair(own, post)


def series(first: int, at: int) -> ImageSeries:
    """Ten years, something changed from `at` on."""
    arrays = [vectors(first + year, changed=year >= at) for year in range(10)]
    images = [DatedImage(date(2016 + year, 7, 1), (array.astype(np.float32),)) for year, array in enumerate(arrays)]
    return ImageSeries(images)


def test_a_series_of_embeddings_is_ranked_by_mean_vectors_and_searched_by_a_change_of_another() -> None:
    stack = series(100, 5)
    stack.embedding = "vectors"  # arrays have no tags
    ranking = rank_series(stack, NoveltyOptions(cell_px=8))
    assert len(ranking.names) == 64
    assert ranking.table.iloc[0]["date"] == "2021-07-01"
    assert shapely.box(32, 16, 48, 32).covers(ranking.table.iloc[0].geometry)
    other = series(200, 6)
    other.embedding = "vectors"
    second = rank_series(other, NoveltyOptions(cell_px=8))
    similar = ranking.similar(1, example=second)
    assert similar.iloc[0]["date"] == "2021-07-01"
    assert shapely.box(32, 16, 48, 32).covers(similar.iloc[0].geometry)
    assert similar.iloc[0]["similarity"] > 0.7
    with pytest.raises(InputError, match="Rank both with the same bands"):
        ranking.similar(1, example=replace(second, names=("red mean",) * 64))


def test_similarity_is_mapped_in_the_years_of_another_raster(tmp_path: Path, capsys) -> None:
    for year in (2020, 2021):
        alphaearth(tmp_path / "years" / f"{year}.tif", vectors(year, changed=year == 2021))
    example = alphaearth(tmp_path / "elsewhere.tif", vectors(7, changed=True), origin=(600_000, 4_000_000))
    out = tmp_path / "alike.tif"
    point = "600405,3999755"  # column 40, row 24: in what changed
    words = ["series", str(tmp_path / "years"), "--like", point, "--out", str(out)]
    assert main(words) == 2
    assert "--like-in FILE" in capsys.readouterr().err
    assert main([*words, "--like-in", str(example)]) == 0
    alike = Layer.open(out)
    data, _ = alike.read()
    assert alike.band_names == ["2020-07-01", "2021-07-01"]
    assert alike.synthetic
    changed = np.zeros((SIDE, SIDE), bool)
    changed[CHANGED] = True
    assert data[1][changed].min() > 0.7 > 0.5 > np.nanmax(np.where(changed, np.nan, data[1]))
    wanted = vector_at(Layer.open(example), (600_405, 3_999_755))
    image = Layer.open(tmp_path / "years" / "2021.tif").read()[0][:, 24, 40]
    assert data[1, 24, 40] == pytest.approx(wanted @ image / np.linalg.norm(image), abs=1e-5)
    capsys.readouterr()
    assert main([*words[:3], "0,0", "--out", str(out), "--like-in", str(example), "--overwrite"]) == 2
    assert "has no data at 0,0" in capsys.readouterr().err
    assert main([*words[:3], "here", "--out", str(out)]) == 2
    assert "Write longitude,latitude" in capsys.readouterr().err


def test_nearest_neighbours_learn_from_embeddings_without_a_warning(tmp_path: Path, caplog) -> None:
    alphaearth(tmp_path / "a" / "image.tif", vectors(1))
    labels = np.repeat(np.arange(SIDE) * 3 // SIDE, SIDE).reshape(1, SIDE, SIDE).astype(np.uint8)
    write_geotiff(tmp_path / "a" / "labels.tif", labels, gsd=10)
    named = "".join(f"- {{value: {n}, name: k{n}, color: [9, 0, {n}]}}\n" for n in range(3))
    (tmp_path / "legend.yaml").write_text(f"name: three\ntitle: three\nclasses:\n{named}", "utf-8")
    words = ["baselines/random-forest", "--data", str(tmp_path / "a" / ".."), "--out", str(tmp_path / "run")]
    keys = {
        "legend": tmp_path / "legend.yaml",
        "model.features": "[pixels]",
        "estimator.name": "knn",
        "data.block_px": 16,
        "train.refit": "false",
    }
    assert main(["train", *words, *(word for key, value in keys.items() for word in ("--set", f"{key}={value}"))]) == 0
    assert "reflectance" not in caplog.text
    run = load_run(tmp_path / "run").segmenter
    scene = Scene.open(image=alphaearth(tmp_path / "next.tif", vectors(2)))
    classes = run.predict_classes(run.inputs.prepare(scene.read())[None])[0]
    assert (classes == labels[0])[2:].mean() > 0.99


def test_progress_of_a_search_goes_by_windows_from_the_first_to_all(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.change.series.likeness.READ_PX", 16)
    path = write_geotiff(
        tmp_path / "a.tif", np.random.default_rng(0).uniform(1, 2, (4, 32, 40)).astype(np.float32), gsd=10
    )
    x, y = Layer.open(path).grid.affine * (3.5, 4.5)
    shares: list[float] = []
    Likeness(ImageSeries([DatedImage(date.min, (str(path),))]), str(path), (x, y)).write(
        tmp_path / "out.tif", shares.append
    )
    np.testing.assert_allclose(shares, np.arange(1, 7) / 6)
