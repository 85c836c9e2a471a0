"""Clouds of a damage map are a layer of its page, on if they hide a building, and stay when the map is written again."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.damage import DamageMap, ProductOptions, Settings, assess
from deepnets4eo.damage.files.written_again import write_again
from deepnets4eo.damage.review.map_images import open_images
from deepnets4eo.damage.review.taught_map import save_again
from deepnets4eo.grid import Grid
from deepnets4eo.outputs.map_page import CLOUD_COLOUR
from deepnets4eo.synthetic import City

pytestmark = pytest.mark.beyond_core

QUICK = Settings(network=False, align=False, assume_registered=True)
LEFT_PX = 96  # clear; what is left is as large as a cloud
CITY = City(seed=3, size_px=288)


def layers_of_page(folder: Path) -> dict[str, dict[str, Any]]:
    """Layers over the images of report.html, by name."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    over = re.search(r'<script type="application/json" id="over">(.*?)</script>', text, re.S)
    assert over is not None
    return {layer["role"]: layer for layer in json.loads(over[1])}


def write(path: Path, image: np.ndarray, grid: Grid) -> Path:
    return write_geotiff(path, image, crs=grid.crs, transform=grid.affine)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Both images, the later one with an opaque cloud over its right part."""
    post = CITY.post.image.copy()
    smooth = np.random.default_rng(0).normal(220, 4, (60, *post.shape[1:])).mean(axis=0)  # as clouds are
    post[:, :, LEFT_PX:] = smooth[:, LEFT_PX:].astype(np.uint8)
    return [
        write(tmp_path / "pre.tif", CITY.pre.image, CITY.pre.grid),
        write(tmp_path / "post.tif", post, CITY.post.grid),
    ]


@pytest.mark.parametrize("given", [True, False])
def test_clouds_are_a_layer_that_the_page_opens_with_if_they_hide_a_building(images: list[Path], given: bool) -> None:
    folder, mask = images[0].parent, None
    if given:
        cells = np.zeros((1, *CITY.post.grid.shape), np.uint8)
        cells[:, :, LEFT_PX:] = 1
        mask = write(folder / "clouds.tif", cells, CITY.post.grid)
    found = assess(*images, CITY.footprints(), cloud_mask=mask, settings=QUICK)
    assert "under cloud" in set(found.buildings["reason"])
    found.save(folder / "map", also=())
    first = layers_of_page(folder / "map")["Clouds"]
    assert first["visible"] is True
    assert tuple(first["colour"]) == CLOUD_COLOUR
    save_again(DamageMap.load(folder / "map"), open_images(folder / "map"), folder / "map", "en")
    assert layers_of_page(folder / "map")["Clouds"] == first
    write_again(open_images(folder / "map"), folder / "map", None, ProductOptions(language="fr"))
    assert layers_of_page(folder / "map")["Clouds"]["tiles"] == first["tiles"]


def test_a_mask_that_hides_no_building_is_off_at_first_and_a_clear_place_has_no_such_layer(tmp_path: Path) -> None:
    images = [
        write(tmp_path / "pre.tif", CITY.pre.image, CITY.pre.grid),
        write(tmp_path / "post.tif", CITY.post.image, CITY.post.grid),
    ]
    buildings = CITY.footprints()
    cells = np.zeros((1, *CITY.post.grid.shape), np.uint8)
    cells[:, :2, :2] = 1
    mask = write(tmp_path / "clouds.tif", cells, CITY.post.grid)
    for clouds, expected in ((mask, {"Clouds": False}), (None, {})):
        found = assess(*images, buildings, cloud_mask=clouds, settings=QUICK)
        assert "under cloud" not in set(found.buildings["reason"])
        found.save(tmp_path / "map", also=(), overwrite=True)
        layers = layers_of_page(tmp_path / "map")
        assert {name: layer["visible"] for name, layer in layers.items() if name.startswith("Clouds")} == expected
