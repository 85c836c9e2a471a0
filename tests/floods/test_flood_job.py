"""The flood job from files to products: sensors, dates and masks, what is written, and what is refused (SYNTHETIC places)."""

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from block_jobs import OneByOne
from refusals import raises_naming

pytest.importorskip("numba")

import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import gaussian_filter

from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError, OutputError
from deepnets4eo.floods import (
    FloodOptions,
    RadarOptions,
    RadarWater,
    WaterMapper,
    map_flood,
    radar_date,
    water_around,
    water_indices,
)
from deepnets4eo.floods.buildings import NO, NOT_KNOWN, YES
from deepnets4eo.floods.date_kinds import recognise
from deepnets4eo.floods.products import flood_polygons
from deepnets4eo.floods.radar import FilteredRadar, compare_radar
from deepnets4eo.floods.scene import open_flood_scene
from deepnets4eo.floods.spectrum import measure_land_nir
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.jobs import Part
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import load_run
from deepnets4eo.segmenters.run import save_run

SIDE, GSD = 200, 10.0
LEVELS_DB = {"VV": (-22.0, -9.0), "VH": (-29.0, -16.0)}  # of water and land
RIVER, FLOODED = np.s_[:, 20:60], np.s_[40:160, 60:120]


def wet(*parts: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    for part in parts:
        mask[part] = True
    return mask


def named(path: Path, values: np.ndarray, names: list[str], **profile) -> str:
    """A file whose bands have names."""
    write_geotiff(path, values, gsd=GSD, **profile)
    with rasterio.open(path, "r+") as file:
        file.descriptions = names
    return str(path)


def radar(
    path: Path, *parts: tuple[slice, slice], seed: int = 0, bands: str = "VV VH", power: bool = False, **profile
) -> str:
    """A made-up radar image of 4.4 looks in dB."""
    rng, water = np.random.default_rng(seed), wet(*parts)
    decibel = np.stack(
        [
            np.where(water, *LEVELS_DB[band]) + 10 * np.log10(rng.gamma(4.4, 1 / 4.4, water.shape))
            for band in bands.split()
        ]
    )
    values = (10 ** (decibel / 10) if power else decibel).astype(np.float32)
    return named(path, values, bands.split(), **profile)


def spectral(path: Path, *parts: tuple[slice, slice], seed: int = 0) -> str:
    """Reflectances × 10,000 of green, near and short-wave infrared, with snow in a corner."""
    rng, water = np.random.default_rng(seed), wet(*parts)[None]
    land, lake = np.array([800.0, 2600, 2200]), np.array([700.0, 250, 120])
    image = np.where(water, lake[:, None, None], land[:, None, None])
    image[:, :30, 170:] = np.array([8000.0, 7600, 900])[:, None, None]
    values = (image * rng.normal(1, 0.08, image.shape)).clip(1).astype(np.uint16)
    return named(path, values, ["B3", "B8", "B11"])


def labels_of(result) -> np.ndarray:
    return Layer.open(result.paths["flood.tif"]).read()[0][0]


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("floods")
    radar(path / "pre.tif", RIVER)
    radar(path / "post.tif", RIVER, FLOODED, seed=1)
    houses = [shapely.box(500_000 + x, 4_998_800, 500_000 + x + 40, 4_998_840) for x in (800, 1500)]
    gpd.GeoDataFrame({"id": ["wet", "dry"]}, geometry=houses, crs="EPSG:32631").to_file(path / "houses.gpkg")
    cover = np.zeros((1, SIDE, SIDE), np.uint8)
    cover[0, :100] = 1
    legend = json.dumps(
        {
            "name": "two",
            "classes": [
                {"value": 0, "name": "field", "color": [0, 99, 0]},
                {"value": 1, "name": "wood", "color": [9, 9, 9]},
            ],
        }
    )
    write_geotiff(path / "cover.tif", cover, gsd=GSD, tags={"LEGEND": legend})
    return path


@pytest.fixture(scope="module")
def result(folder: Path):
    options = FloodOptions(footprints=str(folder / "houses.gpkg"), cover=str(folder / "cover.tif"))
    return map_flood([str(folder / "pre.tif")], str(folder / "post.tif"), folder / "whole", options)


def test_flood_and_permanent_water_are_mapped_with_their_areas(result) -> None:
    labels = labels_of(result)
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.93
    assert iou(labels == PERMANENT_WATER, wet(RIVER)) > 0.93
    area = result.summary["area"]
    assert area["flood_ha"] == pytest.approx((labels == FLOOD).sum() / 100, rel=2e-3)  # a pixel is 100 m² in UTM
    assert area["flood_ha"] + area["permanent_water_ha"] < area["seen_ha"] == pytest.approx(SIDE**2 / 100, rel=2e-3)
    assert area["flood_ha_interval"][0] < area["flood_ha"] < area["flood_ha_interval"][1]
    largest = result.polygons.iloc[0]
    assert largest["area_low_m2"] < largest["area_m2"] < largest["area_high_m2"]
    assert largest["area_high_m2"] - largest["area_low_m2"] == pytest.approx(largest.geometry.length * GSD, rel=0.1)
    assert result.polygons["area_m2"].sum() == pytest.approx(area["flood_ha"] * 10_000, rel=1e-6)
    assert 0.9 < largest["score"] <= 1


def test_areas_half_a_pixel_farther_in_and_out_are_those_of_geometry(tmp_path: Path) -> None:
    """A rectangle of 20 × 30 px loses half a pixel a side, or gains it with round corners; a line of one pixel loses all."""
    labels, packed = np.zeros((2, 1, 64, 64), np.uint8)
    labels[0, 10:30, 10:40], labels[0, 50, 10:40] = FLOOD, FLOOD
    packed[0, 10:30, 10:25], packed[0, 10:30, 25:40], packed[0, 50] = 254, 127, 127
    layers = [Layer.open(write_geotiff(tmp_path / f"{n}.tif", one, gsd=4.0)) for n, one in enumerate((labels, packed))]
    large, line = flood_polygons(*layers, FLOOD, FloodOptions()).itertuples()
    assert (large.id, line.id) == ("1", "2")
    scale = large.area_m2 / (600 * 16)  # of UTM
    assert scale == pytest.approx(1, abs=2e-3)
    assert large.area_low_m2 == pytest.approx(19 * 29 * 16 * scale, rel=1e-9)
    assert large.area_high_m2 == pytest.approx((600 + 50 + np.pi / 4) * 16 * scale, rel=1e-9)
    assert line.area_low_m2 == 0
    assert line.area_high_m2 == pytest.approx((30 + 31 + np.pi / 4) * 16 * scale, rel=1e-9)
    assert (large.score, line.score) == pytest.approx((0.75, 0.5))


def test_probability_agrees_with_the_labels_everywhere(result) -> None:
    labels, (packed, known) = labels_of(result), Layer.open(result.paths["probability.tif"]).read()
    water = np.isin(labels, (FLOOD, PERMANENT_WATER))
    assert known.all()
    assert (packed[0][water] >= 127).all()
    assert (packed[0][~water] <= 127).all()


def test_buildings_and_land_cover_in_the_flood_are_counted(result) -> None:
    houses = pyogrio.read_dataframe(result.paths["flood.gpkg"], layer="buildings").set_index("id")
    assert houses["inundated"].to_dict() == {"wet": YES, "dry": NO}
    counted = result.summary["buildings"]
    assert (counted["count"], counted["known"], counted["inundated"]) == (2, 2, 1)
    assert counted["built_inundated_ha"] == pytest.approx(0.16, rel=5e-3)
    cover = {entry["class"]: entry for entry in result.summary["cover"]}
    flood = labels_of(result) == FLOOD
    assert cover["wood"]["flood_ha"] == pytest.approx(flood[:100].sum() / 100, rel=5e-3)
    assert cover["field"]["seen_ha"] == pytest.approx(SIDE**2 / 200, rel=5e-3)
    assert re.match(
        r"\d+\.?\d* ha \(.*\) flooded, 1\d\.\d % of 400 ha of visible ground; 1 of 2 buildings stand in it; the range does not include errors",
        result.headline(),
    )


def test_every_product_is_there_and_says_how_it_was_made(result) -> None:
    assert {path.name for path in result.paths["flood.tif"].parent.iterdir()} == set(result.paths)
    manifest = json.loads(result.paths["manifest.json"].read_text())
    assert manifest["inputs"]["pre_1"][0]["sha256"]
    assert manifest["parameters"]["speckle"] == "refined-lee"
    assert result.summary["sensors"] == {"pre_1": "radar", "post": "radar"}
    assert -20 < result.summary["thresholds"]["post"]["VV"] < -11
    assert list(pyogrio.list_layers(result.paths["flood.gpkg"])[:, 0]) == ["flood", "buildings", "layer_styles"]
    flood = pyogrio.read_dataframe(result.paths["flood.gpkg"], layer="flood")
    assert flood["area_m2"].tolist() == result.polygons["area_m2"].tolist()
    page = result.paths["report.html"].read_text()
    assert re.search(r"buildings? stands? in it", page)
    assert [finding.code for finding in result.findings] == ["registration_assumed"]


@pytest.mark.core("one job per verb")
def test_parts_and_resumed_jobs_give_the_same_map(folder: Path, result, monkeypatch) -> None:
    images = [str(folder / "pre.tif")], str(folder / "post.tif")
    monkeypatch.setattr("deepnets4eo.floods.mapper.SIDE_PX", 64)
    for number in (2, 1):
        assert map_flood(*images, folder / "shared", FloodOptions(part=Part(number, 2))) is None
    with monkeypatch.context() as patch:
        patch.setattr("deepnets4eo.floods.job.WaterMapper.of_scene", None)  # measured by the parts
        shared = map_flood(*images, folder / "shared", FloodOptions(), resume=True)
    alone = map_flood(*images, folder / "alone", FloodOptions())
    assert (labels_of(shared) == labels_of(alone)).all()
    assert (labels_of(shared) == labels_of(result)).mean() > 0.995  # bodies of water are cut by smaller windows
    with pytest.raises(OutputError, match="exists already"):
        map_flood(*images, folder / "shared")
    with monkeypatch.context() as patch:
        patch.setattr("deepnets4eo.maps.region_page.RegionPage.write", _stop)
        with pytest.raises(KeyboardInterrupt):
            map_flood(*images, folder / "stopped")
    monkeypatch.setattr("deepnets4eo.prediction.predict", _stop)  # must not be called again
    assert (labels_of(map_flood(*images, folder / "stopped", resume=True)) == labels_of(alone)).all()


def test_tiles_by_other_processes_make_the_same_map(folder: Path, result) -> None:
    executor = OneByOne()
    again = map_flood([str(folder / "pre.tif")], str(folder / "post.tif"), folder / "blocks", executor=executor)
    assert executor.done
    for name in ("flood.tif", "probability.tif"):
        assert again.paths[name].read_bytes() == result.paths[name].read_bytes()


def _stop(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_an_optical_image_before_tells_what_is_new_in_a_radar_image(folder: Path, tmp_path: Path) -> None:
    before = spectral(tmp_path / "s2.tif", RIVER)
    found = map_flood([before], str(folder / "post.tif"), tmp_path / "out")
    assert found.summary["sensors"] == {"pre_1": "spectrum", "post": "radar"}
    labels = labels_of(found)
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.9
    assert iou(labels == PERMANENT_WATER, wet(RIVER)) > 0.9
    assert {"no_cloud_mask", "registration_assumed"} <= {finding.code for finding in found.findings}


def test_two_optical_dates_are_told_by_their_indices_and_snow_is_no_water(tmp_path: Path) -> None:
    images = [spectral(tmp_path / "a.tif", RIVER)], spectral(tmp_path / "b.tif", RIVER, FLOODED, seed=1)
    labels = labels_of(map_flood(*images, tmp_path / "out", FloodOptions(assume_registered=True)))
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.97
    assert (labels[:30, 170:] == DRY).mean() > 0.99


def test_of_several_dates_before_most_decide(folder: Path, tmp_path: Path) -> None:
    """Once the ground was flooded before as well; that is not most of the dates."""
    earlier = radar(tmp_path / "once.tif", RIVER, FLOODED, seed=2), radar(tmp_path / "pre2.tif", RIVER, seed=3)
    two = open_labels([*earlier, str(folder / "pre.tif")], folder, tmp_path / "three")
    assert iou(two == FLOOD, wet(FLOODED)) > 0.9
    one = open_labels([earlier[0]], folder, tmp_path / "one")
    assert (one == FLOOD).mean() < 0.01
    assert iou(one == PERMANENT_WATER, wet(RIVER, FLOODED)) > 0.93


def test_radar_is_compared_with_radar_and_an_optical_date_by_its_own_water(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[FilteredRadar] = []

    def compare(before: FilteredRadar, after: FilteredRadar, options: RadarOptions) -> RadarWater:
        compared.extend((before, after))
        return compare_radar(before, after, options)

    monkeypatch.setattr(radar_date, "compare_radar", compare)
    labels = open_labels([str(folder / "pre.tif")], folder, tmp_path / "radar")
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.9
    assert len(compared) >= 2
    compared.clear()
    open_labels([spectral(tmp_path / "optical.tif", RIVER)], folder, tmp_path / "optical")
    assert not compared


def open_labels(pres: list[str], folder: Path, out: Path, **options) -> np.ndarray:
    return labels_of(map_flood(pres, str(folder / "post.tif"), out, FloodOptions(**options)))


def test_a_map_of_permanent_water_stands_for_a_date_before(folder: Path, tmp_path: Path) -> None:
    alone = map_flood([], str(folder / "post.tif"), tmp_path / "alone")
    assert iou(labels_of(alone) == PERMANENT_WATER, wet(RIVER, FLOODED)) > 0.93
    assert alone.findings[0].code == "no_date_before"
    assert "of water of unknown age" in alone.headline()
    write_geotiff(tmp_path / "river.tif", wet(RIVER)[None].astype(np.uint8), gsd=GSD)
    labels = open_labels([], folder, tmp_path / "out", permanent_water=str(tmp_path / "river.tif"))
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.93
    assert not (labels[:, 20:60] == FLOOD).any()


def test_a_gap_in_one_of_several_dates_hides_nothing_that_another_one_saw(folder: Path, tmp_path: Path) -> None:
    """One date of radar and one optical date lack a side each; ground that neither saw is left out and named."""
    gap = radar(tmp_path / "gap.tif", RIVER, seed=4)
    with rasterio.open(gap, "r+") as file:
        values = file.read()
        values[:, :, 80:] = np.nan
        file.write(values)
    optical = spectral(tmp_path / "s2.tif", RIVER, seed=5)
    with rasterio.open(optical, "r+") as file:
        values = file.read()
        values[:, :, :70], values[:, 190:] = 0, 0
        file.nodata = 0
        file.write(values)
    found = map_flood([gap, optical], str(folder / "post.tif"), tmp_path / "out")
    labels, page = labels_of(found), found.paths["report.html"].read_text()
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.9
    assert iou(labels == PERMANENT_WATER, wet(RIVER)) > 0.9
    assert '["Image before 1","gap.tif: radar, threshold' in page
    assert '["Image before 2","s2.tif: spectrum' in page
    assert (labels[190:, 80:] == NOT_SEEN).all()
    assert not (labels[:190] == NOT_SEEN).any()
    missing = next(one for one in found.findings if one.code == "not_seen_before")
    assert "3% of the ground" in missing.message  # 10 of 200 rows, 120 of 200 columns


def test_ground_without_a_height_above_drainage_is_low(folder: Path, tmp_path: Path) -> None:
    above = np.full((1, SIDE, SIDE), 2, np.float32)
    above[0, :, 130:], above[0][wet(RIVER, FLOODED)] = 60, np.nan
    write_geotiff(tmp_path / "above.tif", above, gsd=GSD)
    options = FloodOptions(above_drainage=str(tmp_path / "above.tif"))
    found = map_flood([str(folder / "pre.tif")], str(folder / "post.tif"), tmp_path / "out", options)
    labels = labels_of(found)
    assert iou(labels == FLOOD, wet(FLOODED)) > 0.93
    assert (labels[:, 130:] == DRY).all()
    assert "38% of the ground" in next(one for one in found.findings if one.code == "no_drainage").message


@pytest.mark.parametrize(
    ("values", "nodata", "words"),
    [
        ([0, 1], 0, "declares 0 as nodata"),
        ([0, 2, 95], 255, "holds the values 2, 95; expected a mask"),
        ([30, 80], None, "holds the values 30, 80"),
        ([30, 30], None, "holds the values 30"),
        ([9, 1], 9, "has no data wherever it shows no water"),
    ],
)
def test_permanent_water_that_is_no_mask_of_water_is_refused(
    folder: Path, tmp_path: Path, values: list[int], nodata: int | None, words: str
) -> None:
    mask = np.resize(np.repeat(np.array(values, np.uint8), 20), (1, SIDE, SIDE))
    write_geotiff(tmp_path / "water.tif", mask, gsd=GSD, nodata=nodata)
    with pytest.raises(InputError, match=words):
        open_flood_scene([], str(folder / "post.tif"), FloodOptions(permanent_water=str(tmp_path / "water.tif")))


def test_of_a_map_of_floods_the_permanent_water_counts(folder: Path, result) -> None:
    scene = open_flood_scene([], str(folder / "post.tif"), FloodOptions(permanent_water=str(result.paths["flood.tif"])))
    given = scene.scene.layers["permanent_water"].read()[0][0]
    assert (given == (labels_of(result) == PERMANENT_WATER)).all()


def test_clouds_slopes_and_high_ground_are_left_out(folder: Path, tmp_path: Path) -> None:
    clouds, heights, above = (np.zeros((1, SIDE, SIDE), np.float32) for _ in range(3))
    clouds[0, :50] = 1
    heights[0, :, 100:] = np.arange(SIDE - 100) * 10.0  # 45°
    above[0, 120:] = 50
    for name, values in (("clouds", clouds.astype(np.uint8)), ("dem", heights), ("above", above)):
        write_geotiff(tmp_path / f"{name}.tif", values, gsd=GSD)
    labels = open_labels(
        [str(folder / "pre.tif")], folder, tmp_path / "out", cloud_mask_post=str(tmp_path / "clouds.tif"),
        dem=str(tmp_path / "dem.tif"), above_drainage=str(tmp_path / "above.tif"),
    )  # fmt: skip
    assert (labels[:50] == NOT_SEEN).all()
    assert (labels[:, 102:] == NOT_SEEN).all()
    assert (labels[120:, :98] == DRY).all()
    assert iou(labels[50:120, :98] == FLOOD, wet(FLOODED)[50:120, :98]) > 0.9


def test_what_a_mountain_hides_from_radar_is_left_out_and_counted(folder: Path, tmp_path: Path) -> None:
    heights = np.full((1, SIDE, SIDE), 5, np.float32)  # ground of 0 m next to nothing but a wall would be no ground
    heights[0, :, 100:110] += 40 * GSD  # a wall across the view, 40 pixels high
    write_geotiff(tmp_path / "dem.tif", heights, gsd=GSD)
    options = FloodOptions(dem=str(tmp_path / "dem.tif"), incidence_deg=45.0, look_deg=90.0)
    found = map_flood([str(folder / "pre.tif")], str(folder / "post.tif"), tmp_path / "out", options)
    labels = labels_of(found)
    assert (labels[:, 62:148] == NOT_SEEN).all()  # 40 px of layover in front of it, 40 px of shadow behind
    assert not (labels[:, :58] == NOT_SEEN).any()
    counted = next(one for one in found.findings if one.code == "hidden_by_relief").message
    for share, words in ((50 / SIDE, "in layover"), (40 / SIDE, "in shadow")):  # the wall itself is laid over, too
        said = float(counted.split(f"% {words}")[0].split()[-1]) / 100
        assert said == pytest.approx(share, abs=0.04)


def test_a_fine_optical_pair_is_mapped_in_pixels_of_a_metre(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pre = np.kron(rng.integers(40, 200, (3, 80, 80)), np.ones((1, 5, 5))) + rng.normal(0, 3, (3, 400, 400))
    post = pre.copy()
    post[:, 100:300, 80:320] = np.array([120, 105, 80.0])[:, None, None] + rng.normal(0, 1, (3, 200, 240))
    for name, image in (("pre", pre), ("post", post)):
        write_geotiff(tmp_path / f"{name}.tif", image.clip(0, 255).astype(np.uint8), gsd=0.5)
    found = map_flood([str(tmp_path / "pre.tif")], str(tmp_path / "post.tif"), tmp_path / "out")
    labels, truth = labels_of(found), np.zeros((200, 200), bool)
    truth[50:150, 40:160] = True
    assert iou(labels == FLOOD, truth) > 0.9
    assert found.summary["area"]["flood_ha"] == pytest.approx(1.2, rel=0.1)


def test_the_page_shows_an_image_of_many_bands_in_its_true_colours(tmp_path: Path) -> None:
    """Bands of Sentinel-2 in the order of their numbers, of which the first three are no colours."""
    names = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"]
    dates = []
    for number, date in enumerate(("before", "after")):
        levels = np.random.default_rng(number).normal(1000, 50, (len(names), SIDE, SIDE)).clip(1)
        dates.append(named(tmp_path / f"{date}.tif", levels.astype(np.uint16), names))
    opened = open_flood_scene(dates[:1], dates[1], FloodOptions(assume_registered=True))
    assert opened.kinds == {"pre_1": "spectrum", "post": "spectrum"}
    for name, path in (("pre_1", dates[0]), ("post", dates[1])):
        np.testing.assert_array_equal(opened.pictures[name].read()[0], Layer.open(path, bands=[4, 3, 2]).read()[0])


def test_what_belongs_together_by_no_unit_band_flight_or_date_is_refused(folder: Path, tmp_path: Path) -> None:
    post = str(folder / "post.tif")
    for problem, words in (
        (radar(tmp_path / "power.tif", RIVER, power=True), "dB = 10"),
        (radar(tmp_path / "vv.tif", RIVER, bands="VV"), "has no VH"),
    ):
        with pytest.raises(InputError, match=words):
            map_flood([problem], post, tmp_path / "out")
    tags = [{"ORBIT": "ascending", "DATE": "2026-05-01"}, {"ORBIT": "descending"}, {"DATE": "2026-04-01"}]
    flights = [radar(tmp_path / f"{number}.tif", RIVER, seed=number, tags=tag) for number, tag in enumerate(tags)]
    with pytest.raises(InputError, match="taken ascending and .* descending"):
        map_flood([flights[0]], flights[1], tmp_path / "out")
    with raises_naming(InputError, "2026-05-01", "POST", "2026-04-01"):
        map_flood([flights[0]], flights[2], tmp_path / "out")
    with pytest.raises(InputError, match="one image"):
        map_flood([post], post, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".partial-scratch*"))


def test_stated_days_count_before_tags_and_the_time_of_writing_is_no_date(folder: Path, tmp_path: Path) -> None:
    later, sooner = ({"DATE": f"2026-02-{day}"} for day in ("20", "10"))
    pre = radar(tmp_path / "pre.tif", RIVER, tags=later | {"TIFFTAG_DATETIME": "2026:11:20 10:00:00"})
    post = radar(
        tmp_path / "post.tif", RIVER, FLOODED, seed=1, tags=sooner | {"TIFFTAG_DATETIME": "2026:11:19 10:00:00"}
    )
    scene = open_flood_scene([pre], post, FloodOptions()).scene
    with raises_naming(InputError, "2026-02-20", "POST"):
        WaterMapper.of_scene(scene)
    WaterMapper.of_scene(scene, days={"pre_1": "2026-02-01"})
    with raises_naming(InputError, "2026-03-01", "POST", "2026-02-10"):
        WaterMapper.of_scene(scene, days={"pre_1": "2026-03-01"})
    with rasterio.open(pre, "r+") as file:
        file.update_tags(DATE="")
    WaterMapper.of_scene(open_flood_scene([pre], post, FloodOptions()).scene)


def test_swapped_dates_are_a_finding(folder: Path, tmp_path: Path, result) -> None:
    found = map_flood([str(folder / "post.tif")], str(folder / "pre.tif"), tmp_path / "out")
    said = next(one for one in found.findings if one.code == "dates_swapped").message
    lost = (wet(FLOODED) & ~wet(RIVER)).mean()
    assert float(said.split("%")[0]) / 100 == pytest.approx(lost, rel=0.05)
    assert "dates_swapped" not in {one.code for one in result.findings}
    optical = spectral(tmp_path / "a.tif", RIVER, FLOODED), spectral(tmp_path / "b.tif", RIVER, seed=1)
    mixed = map_flood([optical[0]], str(folder / "pre.tif"), tmp_path / "mixed")
    assert "dates_swapped" in {one.code for one in mixed.findings}


def test_images_without_bands_metres_or_a_place_are_refused(folder: Path, tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE), dtype=np.uint8)
    write_geotiff(tmp_path / "coarse.tif", rgb, gsd=GSD)
    write_geotiff(tmp_path / "pixels.tif", rgb, crs=None)
    write_geotiff(tmp_path / "grey.tif", rgb[:1], gsd=GSD)
    for name, words in (("coarse", "at most 2 m"), ("pixels", "--gsd METRES"), ("grey", "Name its bands")):
        with pytest.raises(InputError, match=words):
            map_flood([], str(tmp_path / f"{name}.tif"), tmp_path / "out")
    with raises_naming(InputError, "--set", "2 bands"):
        map_flood([], str(tmp_path / "coarse.tif"), tmp_path / "out", FloodOptions(post_bands="green,nir"))
    far = radar(tmp_path / "far.tif", RIVER, origin=(900_000, 5_000_000))
    with pytest.raises(GridError, match="does not overlap"):
        map_flood([far], str(folder / "post.tif"), tmp_path / "out")


def test_bands_can_be_named_and_the_sensor_said(folder: Path, tmp_path: Path) -> None:
    values, _ = Layer.open(folder / "post.tif").read()
    write_geotiff(tmp_path / "plain.tif", np.rint(values * 100).astype(np.int16), gsd=GSD, scale=0.01)
    scene = open_flood_scene([], str(tmp_path / "plain.tif"), FloodOptions(sensor="radar", post_bands="vv,vh"))
    assert scene.kinds == {"post": "radar"}
    assert scene.scene.layers["post"].band_names == ["VV", "VH"]


def test_a_mapper_that_was_saved_finds_the_same(folder: Path, tmp_path: Path) -> None:
    scene = open_flood_scene([str(folder / "pre.tif")], str(folder / "post.tif"), FloodOptions()).scene
    mapper = WaterMapper.of_scene(scene)
    restored = load_run(save_run(mapper, tmp_path / "run")).segmenter
    batch = mapper.inputs.prepare(scene.read())[None]
    expected = mapper.predict_proba(batch)
    assert (restored.predict_proba(batch) == expected).all()
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)


def test_shares_of_water_are_those_of_outline_and_ring() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[:, 50:] = FLOOD
    labels[:, 80:] = NOT_SEEN  # and the ring of the third house
    houses = np.array(
        [shapely.box(40, 40, 60, 60), shapely.box(60, 10, 70, 20), shapely.box(92, 40, 98, 46), shapely.box(5, 5, 9, 9)]
    )
    found = water_around(Layer.open(labels), houses)
    assert found.inundated.tolist() == [YES, YES, YES, NO]  # the third by the nearest ground that is seen
    assert water_around(Layer.open(labels), houses, nearby=False).inundated[2] == NOT_KNOWN
    assert found.share[:2].tolist() == [0.5, 1.0]
    assert found.ring_share[0] == pytest.approx(0.5, abs=0.03)
    assert np.isnan(found.share[2])
    permanent = np.where(labels == FLOOD, np.uint8(PERMANENT_WATER), labels)
    assert water_around(Layer.open(permanent), houses).inundated.tolist() == [NO, NO, NOT_KNOWN, NO]
    assert water_around(Layer.open(permanent), houses, any_water=True).inundated.tolist()[:2] == [YES, YES]


@pytest.mark.parametrize("crs", [4326, 3857, 2264])  # degrees, a web map at 60° north, feet
def test_rings_around_houses_are_in_metres_on_the_ground(crs: int) -> None:
    place = (-79.0, 35.5) if crs == 2264 else (25.0, 60.2)
    utm = 32617 if crs == 2264 else 32635
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(*place)
    pixel = {4326: 5e-6, 3857: 1.0, 2264: 1.5}[crs]
    grid = GeoBox((200, 200), Affine(pixel, 0, x, 0, -pixel, y), f"EPSG:{crs}")
    labels = np.zeros((200, 200), np.uint8)
    labels[:, 122:] = labels[:70] = FLOOD
    house = shapely.box(x + 90 * pixel, y - 110 * pixel, x + 110 * pixel, y - 95 * pixel)
    rows, cols = np.nonzero(labels)
    wet = shapely.box(x + cols * pixel, y - (rows + 1) * pixel, x + (cols + 1) * pixel, y - rows * pixel)
    wet, ring = (gpd.GeoSeries(part, crs=crs).to_crs(utm) for part in (wet, [house]))
    ring = ring.iloc[0].buffer(12).difference(ring.iloc[0].buffer(2))
    right = shapely.area(shapely.intersection(wet.to_numpy(), ring)).sum() / ring.area
    found = water_around(Layer.open(labels, grid=grid), np.array([house]))
    assert found.ring_share[0] == pytest.approx(right, abs=0.03)


def test_indices_of_water_are_those_of_their_authors() -> None:
    green, nir, swir = (np.full((1, 2), value, np.float32) for value in (0.08, 0.02, 0.01))
    indices, snow = water_indices({"green": green, "nir": nir, "swir": swir})
    assert indices["ndwi"][0, 0] == pytest.approx(0.6)
    assert indices["mndwi"][0, 0] == pytest.approx(7 / 9)
    assert not snow.any()
    assert list(water_indices({"green": green, "swir": swir})[0]) == ["mndwi"]


def test_snow_is_brighter_than_land_and_muddy_water_is_not() -> None:
    land, muddy, snow = (800.0, 2600, 2200), (1300.0, 1100, 380), (8000.0, 7600, 900)  # of a real river, Sentinel-2
    bands = dict(zip(("green", "nir", "swir"), np.array([[land, land, muddy, snow]], np.float32).T, strict=True))
    brightness = measure_land_nir(bands, np.ones((4, 1), bool))
    assert brightness == 2600
    assert water_indices(bands, brightness)[1].ravel().tolist() == [False, False, False, True]
    assert measure_land_nir({"green": bands["green"], "nir": bands["nir"]}, np.ones((4, 1), bool)) == 0


def test_the_verb_says_what_it_would_do_and_ends_with_its_result(
    folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(folder)
    command = ["flood", "pre.tif", "post.tif", "--out", str(tmp_path / "out"), "--footprints", "houses.gpkg"]
    assert main([*command, "--dry-run"]) == 0
    assert "200 x 200 px would be mapped" in (said := capsys.readouterr().out)
    assert "pre_1 radar, post radar" in said
    assert main([*command, "--event", "name=River"]) == 0
    printed = capsys.readouterr()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["event"]["name"] == "River"
    assert "1 of 2 buildings stand in it" in printed.err
    assert main(command) == 1
    again = [*command, "--event", "name=River", "--resume"]
    assert main([*again, "--workers", "1"]) == 0
    assert main([*again, "--set", "threshold=kittler"]) == 2
    assert "is of another job: threshold 'otsu' then, 'kittler' now" in capsys.readouterr().err
    assert main(["flood", "post.tif", "pre.tif", *again[3:]]) == 2
    assert "is of another job: pre " in capsys.readouterr().err
    assert main(["flood", "post.tif", "--out", str(tmp_path / "part"), "--part", "1/2"]) == 0
    assert "part 1/2 is done and kept" in capsys.readouterr().out


@pytest.mark.real_data
def test_a_spanish_flood_is_mapped_by_radar_after_an_optical_image(real_data: Path, tmp_path: Path) -> None:
    """Both are of one day, so that all water is permanent: agreement with the labels by hand. Measured: IoU 0.61."""
    chip = real_data / "sen1floods11"
    images = [str(next((chip / name).glob("*.tif"))) for name in ("S2", "S1")]
    labels = labels_of(map_flood(images[:1], images[1], tmp_path / "out"))
    reference = Layer.open(next((chip / "Labels").glob("*.tif"))).read()[0][0]
    matrix = ConfusionMatrix(2).update((reference == 1).astype(np.uint8), (labels > 0).astype(np.uint8), reference >= 0)
    assert matrix.iou[1] > 0.58


def test_bands_are_taken_by_their_names_and_angles_and_heights_are_no_image(tmp_path: Path) -> None:
    values = np.full((3, 40, 40), -12, np.float32)
    for gsd in (10.0, 1.0):
        path = tmp_path / f"{gsd}.tif"
        write_geotiff(path, values, gsd=gsd)
        with rasterio.open(path, "r+") as file:
            file.descriptions = ["VV", "VH", "angle"]
        image, date = recognise(Layer.open(path))
        assert (date.kind, image.band_names) == ("radar", ["VV", "VH"])
    with pytest.raises(InputError, match="are heights, angles or masks and no image"):
        recognise(Layer.open(named(tmp_path / "dsm.tif", values[:1], ["DSM"])))


def test_a_border_without_data_that_nothing_declares_is_not_seen_and_no_water(tmp_path: Path) -> None:
    """The right quarter of POST was not seen; its values are zeros, or the noise of a radar's border."""
    pre = radar(tmp_path / "pre.tif", RIVER, seed=1, power=True)
    post = Layer.open(radar(tmp_path / "post.tif", RIVER, FLOODED, seed=2, power=True)).read()[0]
    for name, fill in (("zeros", 0.0), ("noise", np.random.default_rng(3).uniform(0, 2e-6, post[:, :, 150:].shape))):
        post[:, :, 150:] = fill
        found = map_flood([pre], named(tmp_path / f"{name}.tif", post, ["VV", "VH"]), tmp_path / name)
        assert "undeclared_nodata_post" in [finding.code for finding in found.findings]
        labels = labels_of(found)
        assert (labels[:, 151:] == NOT_SEEN).all()
        assert (
            ConfusionMatrix(2)
            .update(wet(FLOODED)[:, :150].astype(np.uint8), (labels == FLOOD)[:, :150].astype(np.uint8))
            .iou[1]
            > 0.95
        )


def test_ground_under_a_cloud_is_not_seen_and_no_water(tmp_path: Path) -> None:
    pre, image = (
        spectral(tmp_path / "pre.tif", RIVER),
        Layer.open(spectral(tmp_path / "post.tif", RIVER, FLOODED, seed=1)).read()[0],
    )
    cloud = np.s_[70:130, 90:150]
    image[(slice(None), *cloud)] = np.random.default_rng(2).normal(4500, 200, (3, 60, 60))
    found = map_flood(
        [pre],
        named(tmp_path / "cloud.tif", image, ["B3", "B8", "B11"]),
        tmp_path / "out",
        FloodOptions(assume_registered=True),
    )
    labels = labels_of(found)
    assert (labels[cloud] == NOT_SEEN).all()
    assert (labels[150:, 130:] == DRY).all()
    assert "clouds_post" in [finding.code for finding in found.findings]


def test_where_clouds_hide_most_of_the_scene_the_interval_covers_what_they_hide(tmp_path: Path) -> None:
    pre = spectral(tmp_path / "pre.tif", RIVER)
    image = Layer.open(spectral(tmp_path / "post.tif", RIVER, FLOODED, seed=1)).read()[0]
    quality = np.zeros((1, SIDE, SIDE), image.dtype)
    quality[:, : SIDE * 3 // 5] = 1 << 10  # opaque clouds
    post = named(tmp_path / "cloud.tif", np.concatenate([image, quality]), ["B3", "B8", "B11", "QA60"])
    found = map_flood([pre], post, tmp_path / "out", FloodOptions(assume_registered=True))
    area = found.summary["area"]
    total_ha = area["seen_ha"] + area["unknown_ha"]
    assert area["unknown_ha"] == pytest.approx(0.6 * total_ha, rel=0.02)
    assert area["flood_ha_interval"][1] == pytest.approx(area["flood_ha"] + area["unknown_ha"])
    assert area["flood_share"] is None
    assert found.findings[0].code == "clouds_post"


def test_an_optical_date_is_registered_on_the_flood_and_the_flood_on_nothing(tmp_path: Path):
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(3, SIDE, SIDE)), (0, 2, 2)) * 4000 + 1500
    texture = texture.clip(1).astype(np.uint16)
    images = {"a.tif": np.roll(texture, 3, axis=2), "b.tif": texture}
    dates = [named(tmp_path / name, values, ["B3", "B8", "B11"]) for name, values in images.items()]
    opened = open_flood_scene(dates[:1], dates[1], FloodOptions())
    assert opened.registration is not None
    assert opened.registration.matrix[:2, 2] == pytest.approx([3, 0], abs=0.01)


def test_device_and_precision_reach_the_prediction_and_what_a_machine_lacks_is_refused(
    folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    asked = []

    def note(run, scene, out, options, **further):
        asked.append((options.device, options.precision))
        raise InputError("stopped by the test. Go on.")

    monkeypatch.setattr("deepnets4eo.prediction.predict", note)
    words = ["flood", str(folder / "pre.tif"), str(folder / "post.tif"), "--out", str(tmp_path / "out")]
    assert main([*words, "--device", "cpu", "--set", "precision=bfloat16"]) == 2
    assert asked == [("cpu", "bfloat16")]
    monkeypatch.undo()
    assert main([*words, "--set", "precision=float16", "--device", "cpu"]) == 2
    assert "float16 is for GPUs" in capsys.readouterr().err
