"""Flood maps as `--water`, and buildings of flood maps: ground near new water that POST hides is not known to be dry."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import Legend
from deepnets4eo.damage import Settings, assess
from deepnets4eo.floods import BuildingWater, FloodOptions, map_flood
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter, Layer

SIDE = 128
GRID = GeoBox((SIDE, SIDE), Affine(1, 0, 500_000, 0, -1, 4_000_000 + SIDE), "EPSG:32633")
HOUSES = {"in water": (20, 40, 30, 50), "on dark ground": (56, 40, 66, 50), "on bright ground": (105, 40, 115, 50)}


def scene(seed: int) -> np.ndarray:
    """Red, green and blue: rough ground, dark up to column 80."""
    image = np.random.default_rng(seed).normal(150, 20, (1, SIDE, SIDE)) + np.zeros((3, 1, 1))
    image[:, :, :80] = np.random.default_rng(seed).normal(45, 2, (1, SIDE, 80))
    return image.clip(0, 255).astype(np.uint8)


def write_water(path: Path, values: np.ndarray, legend: Legend | None) -> str:
    with CogWriter(path, GRID, nodata=255, legend=legend) as writer:
        writer.write(whole(GRID), values)
    return str(path)


@pytest.mark.parametrize(("kind", "expected"), [("flood map", "yes"), ("mask", "no")])
def test_dark_ground_next_to_the_flood_of_a_map_is_no_dry_ground_unless_a_mask_states_it(
    kind: str, expected: str, tmp_path: Path
) -> None:
    wet = np.zeros((SIDE, SIDE), np.uint8)
    wet[:, :50] = 1
    is_map = kind == "flood map"
    water = write_water(tmp_path / "water.tif", 2 * wet if is_map else wet, Legend.load("water") if is_map else None)
    houses = [shapely.box(500_000 + x0, 4_000_000 + y0, 500_000 + x1, 4_000_000 + y1) for x0, y0, x1, y1 in HOUSES.values()]  # fmt: skip
    outlines = gpd.GeoDataFrame({"id": list(HOUSES)}, geometry=houses, crs="EPSG:32633")
    found = assess(
        None, Layer.open(scene(0), grid=GRID), outlines, settings=Settings(network=False, align=False, water=water)
    )
    inundated = found.buildings.set_index("id")["inundated"]
    assert inundated.to_dict() == {"in water": "yes", "on dark ground": expected, "on bright ground": "no"}


def test_a_dry_building_has_the_water_of_the_visible_ground_only_where_the_image_hides_the_other() -> None:
    given = BuildingWater(np.zeros(4), np.array([0.1, 0.1, 0.1, 0.9]), np.array(["no", "no", "no", "yes"], object))
    hidden = BuildingWater(
        np.zeros(4), np.array([0.8, 0.1, np.nan, 0.9]), np.array(["yes", "no", "not known", "not known"], object),
        np.array([np.nan, np.nan, 0.3, 0.6]),
    )  # fmt: skip
    found = given.doubted_by(hidden)
    assert found.inundated.tolist() == ["yes", "no", "not known", "yes"]
    np.testing.assert_array_equal(found.ring_share, [0.8, 0.1, np.nan, 0.9])
    np.testing.assert_array_equal(found.hidden_share, [np.nan, np.nan, 0.3, np.nan])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "gsd_m", "least"),
    [("events_more/hurricane-florence_00000520", 0.92, 5), ("xbd_more/hurricane-florence_00000480", 0.5, 9)],
)
def test_houses_of_a_flood_map_between_which_ground_is_hidden_stand_in_the_flood(
    place: str, gsd_m: float, least: int, real_data: Path, shipped_networks: None, tmp_path: Path
) -> None:
    folder = real_data / place
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    options = FloodOptions(gsd_m=gsd_m, footprints=str(folder / "footprints_px.geojson"))
    found = map_flood([folder / "pre.png"], folder / "post.png", tmp_path / "map", options)
    assert found is not None
    assert found.summary["buildings"]["inundated"] >= least
