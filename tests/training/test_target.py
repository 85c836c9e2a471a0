"""Targets that cannot be are refused before anything is learnt, with what to do about them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import Quantity
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import evaluate_values
from deepnets4eo.training import RegressionRecipe, make_split, open_layers
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.target import check_values, measure_target, place_target

SIDE_PX = 64
RNG = np.random.default_rng(0)
HEIGHTS = RNG.gamma(1.0, 4.0, (SIDE_PX, SIDE_PX)).astype(np.float32)  # metres above ground


def check(folder: Path, heights: np.ndarray, *overrides: str, unit: str = "", **file: Any) -> Any:
    """What a training finds out about a target before it learns."""
    write_geotiff(folder / "image.tif", np.ones((3, SIDE_PX, SIDE_PX), np.uint8), **file)
    path = write_geotiff(folder / "height.tif", heights, **file)
    if unit:
        with rasterio.open(path, "r+") as opened:
            opened.units = [unit]
    values = {
        "data": {"folders": [str(folder)], "layers": {"image": "image.tif", "height": "height.tif"}, "block_px": 16},
        "model": {"network": "unet"},
    }
    recipe = resolve(values, overrides, kind=RegressionRecipe)
    scenes = [
        place_target(named, recipe.target, recipe.data)
        for named in open_layers(recipe.data, ["image", *recipe.target.layers])
    ]
    split = make_split(scenes, recipe.data)
    return measure_target(split, recipe.target, recipe.target.resolve_quantity())


def test_heights_in_metres_are_taken_as_they_are(tmp_path: Path) -> None:
    scale = check(tmp_path, HEIGHTS)
    assert (scale.median, scale.std) == pytest.approx((4 * math.log(2), 4), abs=0.5)
    again = check(tmp_path, np.rint(HEIGHTS * 1000).astype(np.uint16), "target.factor=0.001")
    assert again.median == pytest.approx(scale.median, abs=1e-3)


WRONG = {
    "millimetres": (np.rint(HEIGHTS * 1000).astype(np.uint16), "target.factor=0.001", {}),
    "feet by its CRS": (HEIGHTS, "gdalwarp", {"crs": "EPSG:2992"}),
    "feet by its unit": (HEIGHTS, "0.3048", {"unit": "ft"}),
    "untagged nodata": (np.where(HEIGHTS < 1, -9999, HEIGHTS), "data.nodata={height: -9999}", {}),
    "negative": (-50 * HEIGHTS, "are not from -30 to 1000 m", {}),
    "infinite": (np.where(HEIGHTS < 1, np.inf, HEIGHTS), "Set them to nodata", {}),
    "all void": (np.full_like(HEIGHTS, np.nan), "all are void", {}),
    "surface": (HEIGHTS + 130, "target.terrain=LAYER", {}),
    "zeros that are maybe void": (np.where(HEIGHTS < 3, 0, HEIGHTS), "target.zero=void", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_target_is_refused_with_its_remedy(name: str, tmp_path: Path) -> None:
    heights, remedy, more = WRONG[name]
    with pytest.raises(InputError) as caught:
        check(tmp_path, heights.astype(heights.dtype if heights.dtype.kind == "u" else np.float32), **more)
    assert remedy in str(caught.value)
    assert "height" in str(caught.value)


def test_a_surface_that_lies_on_its_terrain_is_ground(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "dtm.tif", np.zeros_like(HEIGHTS))
    layers = "data.layers={image: image.tif, height: height.tif, dtm: dtm.tif}"
    assert check(tmp_path, np.where(HEIGHTS < 3, 0, HEIGHTS), layers, "target.terrain=dtm").std > 0


def test_depth_of_zero_is_void_unless_the_recipe_says_other(tmp_path: Path) -> None:
    depth = np.where(HEIGHTS < 1, 0, HEIGHTS + 1)
    assert check(tmp_path, depth, "target.quantity=depth").pixels == (depth > 0).sum() - _withheld(tmp_path, depth)
    with pytest.raises(InputError, match="zeros are void"):
        check(tmp_path, np.where(HEIGHTS < 1, 0, HEIGHTS - 0.99), "target.quantity=depth")
    with raises_naming(InputError, "height.tif", "values are 0"):
        check(tmp_path, np.zeros_like(HEIGHTS), "target.quantity=depth")


def _withheld(folder: Path, depth: np.ndarray) -> int:
    return int((depth > 0).sum()) - check(folder, depth, "target.quantity=depth", "target.zero=void").pixels


def test_a_target_of_another_size_is_refused_without_georeference(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither has a georeference"):
        check(tmp_path, HEIGHTS[:50, :40], crs=None)


def test_a_reference_above_the_sea_or_in_feet_is_not_scored_against(tmp_path: Path) -> None:
    heights = write_geotiff(tmp_path / "heights.tif", HEIGHTS)
    with pytest.raises(InputError, match="above the sea"):
        evaluate_values([(heights, write_geotiff(tmp_path / "dsm.tif", HEIGHTS + 130))], Quantity.from_name("height"))
    with pytest.raises(InputError, match="foot"):
        evaluate_values(
            [(heights, write_geotiff(tmp_path / "feet.tif", HEIGHTS, crs="EPSG:2992"))], Quantity.from_name("height")
        )
    with pytest.raises(InputError, match="all is void"):
        evaluate_values([(heights, np.full(HEIGHTS.shape, np.nan, np.float32))], Quantity.from_name("height"))


@pytest.mark.parametrize(
    ("beyond", "infinite", "words"),
    [
        (0, 0, ""),
        (1, 0, ""),
        (2, 0, "2% of the values are not from"),
        (0, 1, ""),
        (0, 2, "2 values are infinite"),
        (100, 0, "100%"),
    ],
)
def test_a_hundredth_of_the_values_may_be_impossible(
    beyond: int, infinite: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    quantity = Quantity.from_name("height")
    values = np.full(100 - infinite, 3, np.float32)
    values[:beyond] = quantity.high + 1
    target = RegressionRecipe().target
    if words:
        with pytest.raises(InputError, match=words):
            check_values(values, target, quantity, "heights.tif", infinite=infinite)
    else:
        check_values(values, target, quantity, "heights.tif", infinite=infinite)
        assert (f"{beyond} values beyond" in caplog.text) is (beyond > 0)


def test_a_training_part_without_values_is_refused() -> None:
    with raises_naming(InputError, "no pixel of the training part has a value"):
        check_values(np.zeros(0, np.float32), RegressionRecipe().target, Quantity.from_name("height"), "heights.tif")
