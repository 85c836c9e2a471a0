"""Clouds are found by the bands that name them, else as what is bright, white, smooth and new (SYNTHETIC places)."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import Grid
from deepnets4eo.inspection import cloud_finding, clouds_in_image, inspect
from deepnets4eo.inspection.clouds import _bands_of_clouds, describe_clouds
from deepnets4eo.rasters import Layer, cloud_band
from deepnets4eo.read_as import open_cloud_mask

SIDE, GSD = 400, 0.5
CLOUD = np.hypot(*np.mgrid[-200:200, -200:200]) < 120  # 60 m around the middle


def town(seed: int) -> np.ndarray:
    """Roofs, streets and gardens of 8 m."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(40, 130, (3, 25, 25)), np.ones((16, 16)))
    return ground + np.random.default_rng(seed).normal(0, 4, ground.shape)


def under_cloud(image: np.ndarray) -> np.ndarray:
    texture = np.kron(np.random.default_rng(9).normal(215, 9, (20, 20)), np.ones((20, 20)))
    return np.where(CLOUD, texture, image)


def layer(image: np.ndarray, names: str = "red green blue") -> Layer:
    return Layer.open(image.clip(0, 255).astype(np.uint8)).with_names(names.split())


def found(post: np.ndarray, pre: np.ndarray | None) -> np.ndarray:
    mask = clouds_in_image(layer(post), None if pre is None else layer(pre), GSD)
    return np.zeros((SIDE, SIDE), bool) if mask is None else mask.on(layer(post).grid, "nearest").read()[0][0] > 0


def test_a_cloud_is_found_by_what_was_there_before_and_a_large_roof_of_both_dates_is_none() -> None:
    pre, post = town(1), town(2)
    clouds = found(under_cloud(post), pre)
    assert clouds[CLOUD].all()
    assert clouds[~CLOUD].mean() < 0.3  # its border is hidden, too
    assert not clouds[:40].any()
    whole = np.broadcast_to(np.kron(np.random.default_rng(9).normal(215, 9, (20, 20)), np.ones((20, 20))), post.shape)
    assert found(whole, pre).all()
    assert not found(under_cloud(post), under_cloud(pre)).any()
    assert not found(post, pre).any()
    roof = post.copy()
    roof[:, 100:200, 100:200] = 230  # 50 m, built in between
    assert not found(roof, pre).any()


HAZE, MUD = (np.array(colour)[:, None, None] for colour in ((176.0, 180, 186), (168.0, 140, 100)))


@pytest.mark.parametrize(
    ("veil", "share", "hidden"), [(HAZE, 0.85, True), (HAZE, 0.4, False), (MUD, 0.85, False), (HAZE / 2, 0.85, False)]
)
def test_thick_white_haze_hides_the_ground_and_thin_haze_mud_and_dark_smoke_do_not(
    veil: np.ndarray, share: float, hidden: bool
) -> None:
    pre, post = town(1) + 60, town(2) + 60  # bright ground, which haze hardly brightens
    hazy = post + share * (veil - post)
    assert found(hazy, pre).all() == hidden
    assert found(hazy, pre).any() == hidden
    assert not found(hazy, hazy).any()


def test_haze_over_a_part_of_an_image_hides_that_part() -> None:
    post = town(2) + 60
    post[:, :, 256:] += 0.9 * (HAZE - post[:, :, 256:])
    clouds = found(post, town(1) + 60)
    assert clouds[:, 256:].all()
    assert not clouds[:, :190].any()


def test_a_lake_of_one_colour_at_both_dates_is_no_haze() -> None:
    pre, post = town(1), town(2)
    for image in (pre, post):
        image[:, :, 128:] = np.random.default_rng(3).normal(150, 2, (3, SIDE, SIDE - 128))
    assert not found(post, pre).any()


def test_bright_yellow_sand_is_no_cloud() -> None:
    post = town(2)
    sand = np.where(CLOUD, np.array([225.0, 190, 150])[:, None, None], post)
    assert not found(sand, town(1)).any()
    assert not found(sand, None).any()
    assert found(np.where(CLOUD, 255, post), None)[CLOUD].all()


def test_clouds_are_bright_in_green_and_infrared_and_snow_and_floods_are_not() -> None:
    rng = np.random.default_rng(0)
    pre = np.array([0.09, 0.3, 0.2])[:, None, None] * rng.normal(1, 0.1, (3, 60, 60))
    parts = {
        "cloud": (0.45, 0.5, 0.4),
        "snow": (0.7, 0.65, 0.08),
        "muddy flood": (0.2, 0.08, 0.03),
        "crop": (0.12, 0.6, 0.2),
    }
    for name, part in parts.items():
        post = pre.copy()
        post[:, 20:45, 20:45] = np.array(part)[:, None, None]
        images = [Layer.open(image.astype(np.float32)).with_names(["green", "nir", "swir"]) for image in (post, pre)]
        mask = clouds_in_image(*images, 10.0)
        assert (mask is not None) == (name == "cloud"), name
    assert describe_clouds(images[0]) is None


BANDS = {
    "clear": ([1, 0, 1, 0], [0, 1, 0, 1]),  # UDM2 of Planet
    "SCL": ([4, 3, 9, 11], [0, 1, 1, 0]),
    "QA60": ([0, 1024, 2048, 1], [0, 1, 1, 0]),
    "QA_PIXEL": ([64, 8, 16, 128], [0, 1, 1, 0]),
    "probability": ([0, 50, 51, 100], [0, 0, 1, 1]),
    "cloud_mask": ([0, 1, 2, 0], [0, 1, 1, 0]),
}


def banded(path: Path, name: str, values: list[int]) -> str:
    """Four pixels of an image, after which comes a band with a name."""
    image = np.stack([np.full((2, 2), 9), np.array(values).reshape(2, 2)]).astype(np.uint16)
    write_geotiff(path, image)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["red", name]
    return str(path)


@pytest.mark.parametrize("name", list(BANDS))
def test_bands_of_products_say_where_clouds_are_each_in_its_way(name: str, tmp_path: Path) -> None:
    values, clouds = BANDS[name]
    image = Layer.open(banded(tmp_path / "a.tif", name, values))
    mask = cloud_band(image)
    assert mask is not None
    assert mask.read()[0].ravel().tolist() == clouds
    finer = image.grid.zoom_to((4, 4))  # classes and bits are never averaged
    np.testing.assert_array_equal(mask.on(finer).read()[0][0], np.kron(np.reshape(clouds, (2, 2)), np.ones((2, 2))))
    assert open_cloud_mask(image, image, "--cloud-mask").read()[0].ravel().tolist() == clouds
    assert any("according to its band" in problem for problem in inspect(str(tmp_path / "a.tif")).problems)


def test_a_band_without_any_value_says_nothing_of_clouds(tmp_path: Path) -> None:
    values = np.stack([np.full((2, 2), 9), np.full((2, 2), np.nan), [[0, 1024], [0, 0]]]).astype(np.float32)
    path = write_geotiff(tmp_path / "a.tif", values)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["B3", "probability", "QA60"]
    mask = cloud_band(Layer.open(path))
    assert mask is not None
    assert mask.read()[0].ravel().tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("names", "dtype", "gsd", "coarsest", "bands"),
    [
        ("red green blue nir", np.uint8, 1.9, 2.0, ["red", "green", "blue"]),
        ("red green blue nir", np.uint8, 2.5, 30.0, ["green", "nir"]),
        ("red green blue nir", np.uint16, 1.0, 2.0, ["green", "nir"]),
        ("red green nir swir", np.uint16, 10.0, 2.0, ["green", "nir", "swir"]),
        ("red green blue", np.uint8, 1.9, 2.0, ["red", "green", "blue"]),
        ("red green blue", np.uint8, 2.5, 2.0, None),
        ("red green blue", np.uint8, 29.9, 30.0, ["red", "green", "blue"]),
        ("red green blue", np.uint8, 31.0, 30.0, None),
        ("red green blue", np.uint16, 1.0, 2.0, None),
        ("red green", np.uint8, 1.0, 2.0, None),
    ],
)
def test_clouds_are_looked_for_in_green_and_infrared_or_in_fine_colours(names, dtype, gsd, coarsest, bands) -> None:
    grid = Grid((8, 8), Affine(gsd, 0, 500_000, 0, -gsd, 4_000_000), "EPSG:32615")
    image = Layer.open(np.ones((len(names.split()), 8, 8), dtype), grid=grid).with_names(names.split())
    chosen = _bands_of_clouds(image, coarsest)
    assert (None if chosen is None else chosen.band_names) == bands


@pytest.mark.parametrize(("cells", "severity"), [(1, "note"), (3, "note"), (4, "caution"), (200, "caution")])
def test_clouds_over_less_than_a_hundredth_of_an_image_are_a_note(cells: int, severity: str) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask.flat[:cells] = 1
    finding = cloud_finding(Layer.open(mask[None], labels=True), layer(town(1)), "post", "give_cloud_mask")
    assert finding is not None
    assert (finding.severity, finding.share) == (severity, cells / 400)


def test_a_finding_on_clouds_shows_no_folder_of_the_file(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "day.tif", town(1).clip(0, 255).astype(np.uint8), crs=None)
    mask = Layer.open(np.ones((1, 20, 20), np.uint8), labels=True)
    finding = cloud_finding(mask, Layer.open(path), "post", "give_cloud_mask")
    assert finding is not None
    assert "before" not in finding.message, "there may be no image before"
    assert finding is not None
    assert "day.tif" in finding.message
    assert str(tmp_path) not in finding.whole


def test_the_undeclared_offset_of_sentinel_2_is_no_cloud_and_is_named(caplog) -> None:
    rng = np.random.default_rng(0)
    land = rng.uniform(0.8, 1.2, (96, 96))
    before = np.stack([700 * land, 2500 * land, 1800 * land]).astype(np.float32)
    grid = GeoBox((96, 96), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32633")

    def bands(values: np.ndarray) -> Layer:
        return Layer.open(values, grid=grid).with_names(["green", "nir", "swir"])

    assert clouds_in_image(bands(before + 1000), bands(before), 10.0) is None
    assert "brighter by 1000 in all bands" in caplog.text
    cloudy = before + 1000
    cloudy[:, 20:60, 20:60] = 6000
    cloudy[:, 20:60, 20:60] *= rng.uniform(0.9, 1.1, (40, 40))
    clouds = clouds_in_image(bands(cloudy), bands(before), 10.0)
    assert clouds is not None
    assert clouds.read()[0][0, 25:55, 25:55].mean() > 0.9
