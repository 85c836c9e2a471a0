"""Real places beside made-up ones: what is read of them, how often they are drawn, and what a window of them knows."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from PIL import Image
from shapely import box

pytest.importorskip("torch")
from equal_steps import DUBAI
from places.working_grid import metric_grid
from world.real_sites import BUILDING, OTHER, OUTLINED, RealSite, cut_mixed, mixed_pairs, read_real_sites
from world.windows import WindowCutter

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.grid import transform_shapes, whole
from deepnets4eo.rasters import CogWriter

LANDCOVER = Legend.load("landcover")


@pytest.fixture
def sites(tmp_path: Path) -> list[RealSite]:
    """Two roofs that touch in each outlined image, and parts of four tiles of Dubai."""
    grid = metric_grid((40, 60), (0.15, 0.15))
    for name in OUTLINED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with CogWriter(tmp_path / f"{name}.tif", grid, count=3, dtype="uint8", nodata=None) as cog:
            cog.write(whole(grid), np.full((3, 40, 60), 90, np.uint8))
        roofs = transform_shapes(grid.affine, np.array([box(4, 8, 14, 20), box(14, 8, 30, 20)]))
        gpd.GeoDataFrame(geometry=list(roofs), crs=grid.crs).to_file(tmp_path / f"{name}_buildings.geojson")
    colours = np.array([[one.color for one in DUBAI.classes]], np.uint8)
    for tile in ("tile_1", "tile_2", "tile_4", "tile_5"):
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            (tmp_path / "dubai" / tile / kind).mkdir(parents=True)
            Image.fromarray(colours).save(tmp_path / "dubai" / tile / kind / f"part.{suffix}")
    return read_real_sites(tmp_path)


def test_outlines_are_numbered_at_twice_the_size_of_a_pixel(sites: list[RealSite]) -> None:
    first = sites[0]
    assert first.image.shape == (3, 20, 30)
    assert first.gsd_m == pytest.approx(0.264)
    expected = np.zeros((20, 30), int)
    expected[4:10, 2:7], expected[4:10, 7:15] = 1, 2
    np.testing.assert_array_equal(first.roofs, expected)
    np.testing.assert_array_equal(first.labels, np.where(expected, BUILDING, OTHER))


def test_dubai_comes_without_tiles_five_and_six_and_the_plots_of_the_fourth(sites: list[RealSite]) -> None:
    tiles = sites[len(OUTLINED) :]
    assert len(tiles) == 3
    at = [one.name for one in DUBAI.classes].index("building")
    assert [tile.labels[0, at] for tile in tiles] == [BUILDING, BUILDING, VOID]
    assert [tile.roofs[0, at] for tile in tiles] == [1, 1, 0]


def test_seeds_draw_places_by_their_shares_and_dubai_at_any_size_of_a_pixel(sites: list[RealSite]) -> None:
    make = mixed_pairs(lambda seed: seed, sites, 0.4)  # type: ignore[arg-type,return-value]
    drawn = [make(seed) for seed in range(2000)]
    real = [one for one in drawn if isinstance(one, RealSite)]
    assert [one for one in drawn if not isinstance(one, RealSite)] == [
        seed for seed, one in enumerate(drawn) if not isinstance(one, RealSite)
    ]
    assert len(real) / 2000 == pytest.approx(0.4, abs=0.04)
    outlined = [one for one in real if one.gsd_m in (0.264, 0.296)]
    assert len(outlined) / len(real) == pytest.approx(0.65, abs=0.06)
    sizes = [one.gsd_m for one in real if one.gsd_m not in (0.264, 0.296)]
    assert 0.3 <= min(sizes) < 0.35
    assert 0.9 < max(sizes) <= 1.0


def test_a_window_knows_buildings_everywhere_and_land_cover_where_it_was_labelled(sites: list[RealSite]) -> None:
    cut = cut_mixed(WindowCutter(tile_px=32))
    sample = cut(sites[0], np.random.default_rng(0))
    assert sample["image"].shape == (3, 32, 32)
    assert sample["valid"].all()
    building = sample["mask"] == LANDCOVER.value("building")
    assert building.any()
    assert (sample["mask"][~building] == VOID).all()
    assert (sample["buildings"][~building] != 1).all()
    assert set(np.unique(sample["buildings"][building])) == {1, 2}
