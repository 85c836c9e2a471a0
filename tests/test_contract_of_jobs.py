"""Whole small jobs (SYNTHETIC): what each verb makes of a place whose truth is known, down to each column and number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

from deepnets4eo.cli.main import main

pytestmark = pytest.mark.core("one whole job per verb, whose products are known")

GSD_M, LEFT, TOP = 10, 500_000, 5_000_000


@pytest.fixture(autouse=True)
def _quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Keep what jobs print."""


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        values: np.ndarray = file.read(1)
    return values


def summary_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return content


def test_a_square_of_another_colour_is_a_change_of_its_area(tmp_path: Path) -> None:
    """Of 64 × 64 pixels of 10 m, 16 rows of 20 are redder and less blue than before."""
    ground = np.random.default_rng(0).integers(90, 110, (3, 64, 64)).astype(np.uint8)
    after, changed = ground.copy(), np.zeros((64, 64), bool)
    changed[20:36, 10:30] = True
    after[0, changed] += 100
    after[2, changed] -= 60
    for name, image in (("pre", ground), ("post", after)):
        write_geotiff(tmp_path / f"{name}.tif", image, gsd=GSD_M)
    out = tmp_path / "map"
    assert main(["change", str(tmp_path / "pre.tif"), str(tmp_path / "post.tif"), "--out", str(out), "--assume-registered"]) == 0  # fmt: skip
    np.testing.assert_array_equal(read(out / "change.tif"), changed)
    summary = summary_of(out)
    area = {
        "changed_ha": 3.2,
        "changed_ha_interval": None,
        "seen_ha": 40.96,
        "changed_share": 320 / 4096,
    }  # one block of the bootstrap
    assert {name: summary["area"][name] for name in area} == pytest.approx(area)
    assert summary["polygons"] == {"count": 1, "min_area_m2": 0, "area_ha": 3.2, "largest_m2": 32_000}
    assert (summary["synthetic"], summary["refined"], summary["bands"]["pre"]) == (False, True, ["band_1", "band_2", "band_3"])  # fmt: skip
    assert [(one["code"], one["severity"]) for one in summary["findings"]] == [("registration_assumed", "caution")]
    assert {name: summary["registration"][name] for name in ("status", "dx_m", "dy_m", "tested")  if name in summary["registration"]} == {"status": "ok", "dx_m": 0, "dy_m": 0}  # fmt: skip
    table = gpd.read_file(out / "change.gpkg", layer="change")
    assert table[["id", "area_m2"]].to_dict("records") == [{"id": "1", "area_m2": 32_000}]
    assert table.total_bounds.tolist() == [LEFT + 100, TOP - 360, LEFT + 300, TOP - 200]
    score = read(out / "score.tif") / 254
    assert table["score"][0] == pytest.approx(score[changed].mean(), abs=0.01)
    assert score[changed].min() > 0.9
    assert score[~changed].max() < 0.1


def test_water_that_was_not_there_before_is_a_flood_of_its_area(tmp_path: Path) -> None:
    """Of 96 × 96 pixels of 10 m, ten columns are water at both dates, and 32 rows of 40 only after."""
    rng = np.random.default_rng(0)
    lasting, flood = np.zeros((96, 96), bool), np.zeros((96, 96), bool)
    lasting[:, :10], flood[30:62, 40:80] = True, True
    for name, wet in (("pre", lasting), ("post", lasting | flood)):
        bands = np.array([900, 3000, 2200])[:, None, None] * rng.normal(1, 0.04, (3, 96, 96))
        bands[:, wet] = np.array([700, 250, 120])[:, None] + rng.normal(0, 15, (3, wet.sum()))
        path = write_geotiff(tmp_path / f"{name}.tif", bands.astype(np.uint16), gsd=GSD_M)
        with rasterio.open(path, "r+") as file:
            file.descriptions = ("green", "nir", "swir1")
    out = tmp_path / "map"
    assert main(["flood", str(tmp_path / "pre.tif"), str(tmp_path / "post.tif"), "--out", str(out)]) == 0
    np.testing.assert_array_equal(read(out / "flood.tif"), np.select([flood, lasting], [2, 1], 0))
    summary = summary_of(out)
    area = {"flood_ha": 12.8, "flood_share": 1280 / 9216, "permanent_water_ha": 9.6, "permanent_water_share": 960 / 9216, "seen_ha": 92.16, "not_seen_ha": 0}  # fmt: skip
    assert {name: summary["area"][name] for name in area} == pytest.approx(area)
    low, high = summary["area"]["flood_ha_interval"]
    assert 0 < low < 12.8 < high < 92.16
    assert summary["sensors"] == {"pre_1": "spectrum", "post": "spectrum"}
    assert summary["polygons"] == {"count": 1, "min_area_m2": 0}
    for found in summary["thresholds"].values():  # between (700 − 250) / 950 of water and (900 − 3000) / 3900 of ground
        assert -0.54 < found["ndwi"] < 0.47
        assert -0.42 < found["mndwi"] < 0.71
    assert "no_cloud_mask" in [one["code"] for one in summary["findings"]]
    (row,) = gpd.read_file(out / "flood.gpkg", layer="flood").to_dict("records")
    corners = (1 - np.pi / 4) * 100  # of the square that is half a pixel larger, rounded
    expected = {"area_m2": 128_000, "area_low_m2": 39 * 31 * 100, "area_high_m2": 41 * 33 * 100 - corners, "score": 1}
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert row["geometry"].bounds == (LEFT + 400, TOP - 620, LEFT + 800, TOP - 300)


def test_regions_of_labels_are_polygons_of_their_class(tmp_path: Path) -> None:
    labels = np.zeros((12, 10), np.uint8)
    labels[1:4, 1:6], labels[6:9, 2:4], labels[7, 8], labels[11] = 1, 2, 2, 255
    write_geotiff(tmp_path / "labels.tif", labels, gsd=2, nodata=255)
    out = tmp_path / "regions.gpkg"
    assert main(["polygons", str(tmp_path / "labels.tif"), "--out", str(out)]) == 0
    table = gpd.read_file(out)
    rows = sorted((row["value"], row["area_m2"], *row["geometry"].bounds) for row in table.to_dict("records"))
    whole = (LEFT, TOP - 22, LEFT + 20, TOP)
    assert rows == [
        (0, 4 * (110 - 15 - 6 - 1), *whole), (1, 60, LEFT + 2, TOP - 8, LEFT + 12, TOP - 2), (2, 4, LEFT + 16, TOP - 16, LEFT + 18, TOP - 14),
        (2, 24, LEFT + 4, TOP - 18, LEFT + 8, TOP - 12),
    ]  # fmt: skip
    assert main(["polygons", str(tmp_path / "labels.tif"), "--out", str(tmp_path / "some.gpkg"), "--classes", "2", "--min-area", "5"]) == 0  # fmt: skip
    assert gpd.read_file(tmp_path / "some.gpkg")["area_m2"].tolist() == [24]
