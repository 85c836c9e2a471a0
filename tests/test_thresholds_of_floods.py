"""Limits at which a mapped flood is named as something else or left unknown, each from both sides."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import shapely.affinity
from affine import Affine

from deepnets4eo.floods.lookalikes import _fields, _sea, _snow, _white
from deepnets4eo.floods.recognition import write_sure_water
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.floods.water_date import SAMPLE_PX, SAMPLE_WINDOWS, Sample
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer

GRID = Grid((1000, 1000), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")  # pixels of 100 m²


def polygons_of(*shapes: shapely.Geometry) -> gpd.GeoDataFrame:
    """Shapes in pixels of the grid, placed on the ground."""
    placed = [shapely.affinity.affine_transform(shape, [10, 0, 0, -10, 500_000, 5_000_000]) for shape in shapes]
    return gpd.GeoDataFrame({"area_m2": shapely.area(placed)}, geometry=placed, crs=GRID.crs.to_wkt())


def rectangle(number: int, area_px: float) -> shapely.Geometry:
    """A rectangle of this area in pixels, turned against the grid."""
    side = area_px**0.5
    left = 60 * number
    return shapely.affinity.rotate(shapely.box(left, 0, left + side / 2, 2 * side), 30)


@pytest.mark.parametrize(
    ("number", "area_px", "named"),
    [(8, 100, True), (7, 100, False), (8, 499.9, True), (8, 500.1, False), (8, 9.01, True), (8, 8.99, False)],
)
def test_eight_four_sided_regions_of_nine_pixels_to_five_hectares_are_fields(
    number: int, area_px: float, named: bool
) -> None:
    found = _fields(polygons_of(*(rectangle(index, area_px) for index in range(number))), GRID)
    assert (found is not None) is named
    if found is not None:
        assert (found.values["share"], found.values["number"], found.values["most_ha"]) == (1.0, 8, 5.0)


@pytest.mark.parametrize(("river_px", "named"), [(800, True), (801, False)])
def test_half_of_the_flooded_area_is_in_fields(river_px: float, named: bool) -> None:
    fields = [rectangle(index, 100) for index in range(8)]
    assert (_fields(polygons_of(*fields, shapely.box(0, 200, river_px, 201)), GRID) is not None) is named


@pytest.mark.parametrize(("cut", "named"), [(0.19, True), (0.21, False)])
def test_a_field_fills_eight_tenths_of_the_rectangle_around_it(cut: float, named: bool) -> None:
    """A square without a strip of its middle, which leaves its corners and so the rectangle around it."""
    notched = [
        shapely.box(left, 0, left + 20, 20).difference(shapely.box(left + 1, 0, left + 1 + 18, 20 * cut * 20 / 18))
        for left in range(0, 320, 40)
    ]
    assert (_fields(polygons_of(*notched), GRID) is not None) is named


@pytest.mark.parametrize(("bright", "named"), [(20, True), (19, False)])
def test_a_fifth_of_the_flood_brighter_than_dry_land_in_the_infrared_is_white(bright: int, named: bool) -> None:
    classes = np.full((10, 20), DRY, np.uint8)
    classes[:, :10] = FLOOD
    infrared = np.where(classes == DRY, 0.3, 0.05).astype(np.float32)
    infrared.ravel()[np.flatnonzero(classes == FLOOD)[:bright]] = 0.31
    found = _white({"nir": infrared, "red": infrared}, classes, np.ones_like(classes, bool))
    assert (found is not None) is named
    by_swir = _white({"nir": infrared, "swir": np.zeros_like(infrared)}, classes, np.ones_like(classes, bool))
    assert by_swir is None, "short-wave infrared decides if it is known"


@pytest.mark.parametrize(("byte", "named"), [(181, True), (180, False)])
def test_water_is_white_by_colour_if_its_darkest_band_is_above_180(byte: int, named: bool) -> None:
    classes = np.full((10, 10), FLOOD, np.uint8)
    bands = {
        name: np.full((10, 10), value, np.float32) for name, value in (("red", 250), ("green", byte), ("blue", 220))
    }
    found = _white(bands, classes, np.ones_like(classes, bool))
    assert (found is not None) is named


@pytest.mark.parametrize(("snow_px", "named"), [(100, True), (99, False)])
def test_snow_on_a_hundredth_of_the_ground_is_named(snow_px: int, named: bool) -> None:
    snow, seen = np.zeros((100, 200), bool), np.zeros((100, 200), bool)
    seen[:, :100] = True
    snow[0, :snow_px] = snow[1:, 150] = True
    assert (_snow(snow, seen) is not None) is named
    assert _snow(None, seen) is None
    assert _snow(snow, np.zeros_like(seen)) is None


@pytest.mark.parametrize(
    ("border_px", "gsd_m", "flood_px", "named"),
    [
        (80, 100.0, 10, True),  # a fifth of the border of 100 x 100 pixels: 396 of them
        (79, 100.0, 10, False),
        (80, 25.0, 10, True),  # 2 km
        (80, 24.9, 10, False),
        (80, 100.0, 9, False),  # a tenth of the flood
    ],
)
def test_a_sea_leaves_by_a_fifth_of_the_border_and_two_kilometres(
    border_px: int, gsd_m: float, flood_px: int, named: bool
) -> None:
    classes = np.full((100, 100), DRY, np.uint8)
    classes[:3, 5 : 5 + border_px] = PERMANENT_WATER
    classes[3, 5 : 5 + flood_px] = FLOOD
    classes[60, 5 : 5 + 100 - flood_px] = FLOOD
    found = _sea(classes, gsd_m)
    assert (found is not None) is named
    if found is not None:
        assert found.values["share"] == pytest.approx(flood_px / 100)
        assert found.values["border"] == pytest.approx(border_px / 396)


@pytest.mark.parametrize("infrared", [True, False])
def test_water_is_sure_if_it_floods_or_lasts_and_other_ground_if_it_is_measured_dry(
    infrared: bool, tmp_path: Path
) -> None:
    classes = np.array([[FLOOD, PERMANENT_WATER, DRY, DRY, NOT_SEEN, PERMANENT_WATER]], np.uint8)
    grid = Grid(classes.shape, Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631")
    labels = Layer.open(classes, grid=grid, nodata=NOT_SEEN)
    share = np.round(np.array([[0, 0, 0.9, 0.89, 1, 0]]) * 254).astype(np.uint8)
    dry = Layer.open(share, grid=grid)
    known = np.array([[False, True, False, False, False, False]])
    date = SimpleNamespace(by_appearance=not infrared)
    mapper: Any = SimpleNamespace(
        dates={"post": date}, before=("pre_1",), tiling=SimpleNamespace(halo_px=0), pixel_m2=1.0,
        known_water=lambda _: (known, known),
    )  # fmt: skip
    mapper.dates["pre_1"] = SimpleNamespace(by_appearance=False)
    scene: Any = SimpleNamespace(read=lambda *_: {}, grid=grid)
    kept = write_sure_water(labels, tmp_path / "sure.tif", scene, mapper, probability=dry).read()[1]
    expected = [True, True, True, False, False, True] if infrared else [True, True, False, False, False, False]
    assert kept[0].tolist() == expected


@pytest.mark.parametrize("side", [SAMPLE_WINDOWS * SAMPLE_PX - 1, SAMPLE_WINDOWS * SAMPLE_PX])
def test_a_date_is_sampled_by_windows_from_a_side_on_and_knows_its_gaps(side: int) -> None:
    values = np.arange(2 * 3 * side, dtype=np.float32).reshape(2, 3, side)
    values[0, 1, 0] = np.nan
    sample = Sample(Layer.open(values))
    assert sample.values.shape == (2, 3, side), "windows next to each other cover it"
    np.testing.assert_array_equal(sample.values, values)
    assert not sample.valid[1, 0]
    assert sample.valid.sum() == 3 * side - 1
