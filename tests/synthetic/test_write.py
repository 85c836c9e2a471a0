"""What a city writes is georeferenced, labelled as synthetic, and reads back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio

from deepnets4eo.cards import Legend
from deepnets4eo.errors import OutputError
from deepnets4eo.synthetic import City

RASTERS = ("pre", "post", "dsm_pre", "dsm_post", "dtm", "labels", "labels_post")
TAG = "deepnets4eo miniature city, seed=8"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[City, Path]:
    city = City(8, 160, 0.5)
    return city, city.write(tmp_path_factory.mktemp("city") / "out")


@pytest.mark.parametrize("name", RASTERS)
def test_every_raster_is_tagged_synthetic_and_lies_on_the_grid(written: tuple[City, Path], name: str) -> None:
    city, folder = written
    with rasterio.open(folder / f"{name}.tif") as source:
        assert source.tags()["SYNTHETIC"] == TAG
        assert source.shape == city.shape
        assert source.crs.to_epsg() == 32633
        assert source.transform.almost_equals(city.grid.affine)


def test_rasters_read_back_as_they_were(written: tuple[City, Path]) -> None:
    city, folder = written
    with rasterio.open(folder / "post.tif") as source:
        np.testing.assert_array_equal(source.read(), city.post.image)
        assert source.descriptions == ("red", "green", "blue", "near infrared")
    with rasterio.open(folder / "dsm_pre.tif") as source:
        np.testing.assert_array_equal(source.read(1), city.dsm)
    with rasterio.open(folder / "labels.tif") as source:
        np.testing.assert_array_equal(source.read(1), city.labels("minicity"))
        card = json.loads(source.tags()["LEGEND"])
        assert tuple(item["name"] for item in card["classes"]) == Legend.load("minicity").names


def test_vectors_are_tagged_and_hold_the_truth(written: tuple[City, Path]) -> None:
    city, folder = written
    truth = gpd.read_file(folder / "truth.gpkg", layer="buildings")
    assert truth["damage"].tolist() == city.buildings["damage"].tolist()
    assert truth.crs.to_epsg() == 32633
    for name, layer in (("truth", "buildings"), ("footprints", "footprints"), ("osm", "buildings")):
        assert pyogrio.read_info(folder / f"{name}.gpkg", layer=layer)["layer_metadata"]["SYNTHETIC"] == TAG


def test_the_card_gives_the_true_transform(written: tuple[City, Path]) -> None:
    city, folder = written
    card = json.loads((folder / "city.json").read_text())
    assert card["synthetic"] == TAG
    np.testing.assert_allclose(card["post_to_pre"], list(city.post.to_pre)[:6])


def test_a_second_write_is_refused_unless_overwriting(written: tuple[City, Path]) -> None:
    city, folder = written
    with pytest.raises(OutputError, match="exists already"):
        city.write(folder)
    city.write(folder, overwrite=True)


def test_nothing_half_written_is_left(written: tuple[City, Path]) -> None:
    names = {path.name for path in written[1].iterdir()}
    expected = {f"{name}.tif" for name in RASTERS} | {"footprints.gpkg", "osm.gpkg", "truth.gpkg", "city.json"}
    assert expected <= names
    assert not [name for name in names if "partial" in name or "stream" in name]
