"""OpenStreetMap of a real site: the map is the outlines made worse, and scored as it is without training."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import osm_joint_learning
import pytest
from affine import Affine
from noisy_labels import Area
from score_table import BenchmarkScenes
from shapely import box

from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Scene
from deepnets4eo.synthetic.write import write_raster

SIDE_PX, ROOF_PX, GSD_M = 64, 8, 0.5


@pytest.fixture
def area(tmp_path: Path) -> Area:
    """Four square roofs of 8 × 8 pixels."""
    grid = Grid((SIDE_PX, SIDE_PX), Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_000_000), "EPSG:32633")
    corners = [(500_000 + 4 + 12 * east, 4_000_000 - 8 - 12 * south) for east in (0, 1) for south in (0, 1)]
    side_m = ROOF_PX * GSD_M
    outlines = gpd.GeoDataFrame(geometry=[box(x, y, x + side_m, y + side_m) for x, y in corners], crs=grid.crs)
    image = tmp_path / "area-0.tif"
    write_raster(image, grid, np.full((3, *grid.shape), 90, np.uint8), {})
    return Area(grid, outlines, image)


def scored(area: Area) -> dict[str, float]:
    sources = {"osm": osm_joint_learning.map_of_site(area, 0), Scene.label_layer: str(area.draw("none"))}
    return dict(osm_joint_learning.map_itself([BenchmarkScenes({"other": sources}, {"half": sources})]).scores)


def test_a_map_like_the_labels_scores_100(area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osm_joint_learning, "OFFSET_M", 0)
    monkeypatch.setattr(osm_joint_learning, "MISSING", 0)
    assert scored(area)["f1 of building"] == scored(area)["overall_accuracy"] == 100


def test_a_map_off_by_two_pixels_loses_a_quarter_of_each_roof(area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
    def two_pixels_east(
        layers: dict[str, gpd.GeoDataFrame], _rng: np.random.Generator, offset_m: float, missing_share: float
    ) -> dict[str, gpd.GeoDataFrame]:
        assert (offset_m, missing_share) == (2.0, 0.25)
        return {name: table.set_geometry(table.translate(2 * GSD_M, 0)) for name, table in layers.items()}

    monkeypatch.setattr(osm_joint_learning, "osm_layers", two_pixels_east)
    scores = scored(area)
    assert scores["f1 of building"] == pytest.approx(75)  # 48 of 64 pixels of each roof, and 16 next to it
    assert scores["overall_accuracy"] == pytest.approx(100 - 100 * 128 / 4096)
