"""Wrong inputs are refused at the start with the reason that holds, and the advice works as it is written."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.cards import ShippedModel
from deepnets4eo.damage.images.checks import require_fine_pixels
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import check_any_valid
from deepnets4eo.training import load_recipe


def image(gsd_m: float, side: int = 60) -> Layer:
    grid = GeoBox((side, side), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_000_000), "EPSG:32633")
    return Layer.open(np.full((3, side, side), 90, np.uint8), grid=grid)


def houses(side_m: float, gsd_m: float) -> np.ndarray:
    corner = np.arange(0, 40, 8.0)
    return shapely.box(corner, corner, corner + side_m / gsd_m, corner + side_m / gsd_m)


@pytest.mark.parametrize(("gsd_m", "refused"), [(9.0, True), (3.0, True), (2.0, False), (0.5, False)])
def test_pixels_that_are_too_coarse_for_the_buildings_are_named_with_those_that_are_not(
    gsd_m: float, refused: bool
) -> None:
    outlines = houses(12.5, gsd_m)  # 156 m²
    if not refused:
        require_fine_pixels(image(gsd_m), outlines)
        return
    with pytest.raises(InputError, match=rf"{gsd_m:g} m .* 156 m² .* 1\.5 m"):
        require_fine_pixels(image(gsd_m), outlines)


def test_a_few_large_buildings_may_be_assessed_on_coarse_pixels() -> None:
    outlines = np.concatenate([houses(12.5, 9.0), houses(90.0, 9.0)])
    require_fine_pixels(image(9.0), outlines)


def test_an_image_without_a_valid_pixel_is_named_as_such() -> None:
    empty = Layer.open(np.full((3, 64, 64), np.nan, np.float32))
    with pytest.raises(InputError, match="NaN"):
        check_any_valid(empty, "the post image")
    one = np.full((3, 64, 64), np.nan, np.float32)
    one[:, 3, 3] = 7.0
    check_any_valid(Layer.open(one), "the post image")


def test_points_are_no_outlines_and_lines_may_be_closed(tmp_path: Path) -> None:
    for name, shape, advice in (
        ("points", shapely.Point(10, 45), "point"), ("lines", shapely.LineString([(10, 45), (10, 46)]), "close"),
    ):  # fmt: skip
        path = tmp_path / f"{name}.geojson"
        gpd.GeoDataFrame({"id": ["a"]}, geometry=[shape], crs="EPSG:4326").to_file(path)
        with pytest.raises(InputError) as refused:
            read_footprints(path)
        assert advice in str(refused.value)
        assert ("close" in str(refused.value)) == (name == "lines")


def test_a_table_of_coordinates_is_named_as_points(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    path.write_text("id;Latitude;Longitude\n1;37.05;-94.5\n", encoding="utf-8")
    with pytest.raises(InputError, match="Latitude and Longitude"):
        read_footprints(path)
    path.write_text("id,size\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="unknown format"):
        read_footprints(path)


def test_a_network_is_no_model_and_trains_as_the_advice_says() -> None:
    with pytest.raises(InputError, match="light-unet"):
        _ = ShippedModel("light-unet").folder
    recipe, _ = load_recipe("unet-resnet34", overrides=["model.network=light-unet", "legend=isprs"])
    assert recipe.model.network == "light-unet"


def test_a_misspelt_word_of_another_library_is_met() -> None:
    with raises_naming(InputError, "'train.lr'"):
        load_recipe("unet-resnet34", overrides=["train.lerning_rate=0.1", "legend=isprs"])
    with raises_naming(InputError, "'train.epochs'"):
        load_recipe("unet-resnet34", overrides=["train.epoch=3", "legend=isprs"])
