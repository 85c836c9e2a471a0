"""Water around buildings: found in a flooded pair, given as a raster, counted apart from the structure (SYNTHETIC places)."""

import gc
import hashlib
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from geotiff import write_geotiff
from refusals import raises_naming
from scipy.special import expit, logit

from deepnets4eo.damage import (
    GRADES,
    DamageJob,
    DamageMap,
    FurtherInputs,
    ProductOptions,
    RasterEvidence,
    Settings,
    assess,
    placing,
)
from deepnets4eo.damage.decision.decision import Decision
from deepnets4eo.damage.decision.estimates import InundatedBuildings, site_estimates
from deepnets4eo.damage.decision.inundation import (
    dry_hazard_findings,
    inundated_buildings,
    inundation_after_answers,
    with_inundation,
)
from deepnets4eo.damage.decision.site_fit import SHARES, ShareEstimate, SiteFit, SiteShift, fit_to_site
from deepnets4eo.damage.evidences import water as water_evidence
from deepnets4eo.damage.evidences.shown_water import ShownWater
from deepnets4eo.damage.files.written_again import write_again
from deepnets4eo.damage.review.map_images import open_images
from deepnets4eo.damage.review.taught_map import save_again
from deepnets4eo.damage.site.site import WaterAround
from deepnets4eo.damage.site.work import Work
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.floods import BuildingWater, Recognition, open_new_water
from deepnets4eo.footprints import align_footprints
from deepnets4eo.jobs import JobOutput, Journal
from deepnets4eo.outputs import EventInfo, Finding, Phrase
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.registration import ImagePair
from deepnets4eo.synthetic import City
from deepnets4eo.zonal import class_counts

pytestmark = pytest.mark.usefixtures("gathered_once")
WATER = Settings(network=False)


@cache
def city() -> City:
    return City(seed=1, size_px=512)


@cache
def pre_layer() -> Layer:
    return Layer.open(city().pre.image, grid=city().grid)


@cache
def flooded_post() -> tuple[Layer, np.ndarray]:
    """The post image, whose lower half is smooth, brown water up to the walls; (H, W) where that is."""
    image, flood = np.array(city().post.image), np.zeros(city().post.image.shape[1:], np.uint8)
    houses = class_image()
    flood[256:] = 1
    flood[houses > 0] = 0
    noise = np.random.default_rng(0).normal(0, 1, image.shape)
    water = np.array([120.0, 105, 80, 60])[:, None, None] + noise
    return Layer.open(np.where(flood == 1, water, image).clip(0, 255).astype(np.uint8), grid=city().post.grid), flood


def class_image() -> np.ndarray:
    from rasterio.features import rasterize

    return rasterize(
        [(shape, 1) for shape in city().footprints().geometry], city().grid.shape, transform=city().grid.affine
    )


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """A map with its water by a raster, one of the same job without water, and the raster."""
    post, flood = flooded_post()
    path = tmp_path_factory.mktemp("water") / "water.tif"
    with CogWriter(path, city().grid, nodata=255) as writer:
        from deepnets4eo.grid import whole

        writer.write(whole(city().grid), flood)
    settings = Settings(network=False, water=str(path))
    return [
        assess(pre_layer(), post, city().footprints(), settings=one)
        for one in (settings, Settings(network=False, water="none"))
    ], path


def test_buildings_surrounded_by_given_water_are_damaged_and_the_others_stay(maps) -> None:
    (wet_map, dry_map), path = maps
    wet, dry = wet_map.buildings.set_index("id"), dry_map.buildings.set_index("id")
    assert "inundated" not in dry
    around = wet.geometry.buffer(12).difference(wet.geometry.buffer(2))
    counts = class_counts(Layer.open(path), around.to_numpy(), 2).counts
    share = counts[:, 1] / counts.sum(axis=1)
    np.testing.assert_allclose(
        wet["ev_water_ring_share"], np.where(wet["status"] == "assessed", share, np.nan), atol=0.03
    )
    surrounded = (wet["inundated"] == "yes") & (wet["status"] == "assessed")
    assert 0 < surrounded.sum() < (wet["status"] == "assessed").sum()
    clear = (wet["inundated"] != "not known") & (abs(share - 0.4) > 0.03)
    assert clear.sum() > 10
    assert ((share > 0.4) == (wet["inundated"] == "yes"))[clear].all()
    assert wet.loc[surrounded, "damage"].isin(GRADES[2:]).all()
    chance = wet.loc[surrounded, "damage_prob"]
    assert chance.min() > 0.8
    assert chance.mean() == pytest.approx(0.9, abs=0.01)
    assert wet.loc[surrounded, "reason"].str.startswith("surrounded by water").all()
    measured = [name for name in dry.columns if name.startswith("ev_")]
    pd.testing.assert_frame_equal(
        wet.loc[~surrounded, ["status", *measured]], dry.loc[~surrounded, ["status", *measured]]
    )
    expected = wet_map.estimates["buildings"]["damaged"]["expected"]
    assert expected == pytest.approx(wet["damage_prob"].sum())
    assert wet_map.damaged_share["value"] == pytest.approx(expected / (wet["status"] == "assessed").sum())


def test_structure_and_water_are_counted_apart_and_together(maps) -> None:
    (wet_map, dry_map), _ = maps
    counts, rows = wet_map.inundation, wet_map.buildings
    assessed = rows["status"] == "assessed"
    assert counts["inundated"] == int(((rows["inundated"] == "yes") & assessed).sum())
    assert counts["together"] == int(rows["damage"].isin(GRADES[2:]).sum()) > counts["structure"]
    assert counts["together"] - counts["structure"] <= counts["inundated"]
    assert (
        f"{counts['inundated']} stand in new water" in wet_map.headline() or "stands in new water" in wet_map.headline()
    )
    finding = next(one for one in wet_map.findings if one.code == "buildings_in_water")
    assert "count as damaged, as in xBD" in finding.message
    assert dry_map.inundation == {}


def test_water_is_seen_in_the_images_themselves(monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.SurfaceRules.min_area_m2", 300.0)  # the miniature city is small
    found = assess(pre_layer(), flooded_post()[0], city().footprints(), settings=WATER).buildings
    dry = assess(
        pre_layer(), Layer.open(city().post.image, grid=city().post.grid), city().footprints(), settings=WATER
    ).buildings
    assert (found["inundated"] == "yes").sum() >= 2
    assert not (dry["inundated"] == "yes").any()


@pytest.fixture(scope="module")
def wet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map whose job found water and had a raster of scores, in a folder."""
    home = tmp_path_factory.mktemp("found")
    write_geotiff(home / "pre.tif", city().pre.image, crs=city().grid.crs, transform=city().grid.affine)
    post = flooded_post()[0]
    write_geotiff(home / "post.tif", post.read()[0], crs=post.grid.crs, transform=post.grid.affine)
    noise = np.random.default_rng(2).random(post.shape, np.float32)
    write_geotiff(home / "score.tif", noise, crs=post.grid.crs, transform=post.grid.affine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepnets4eo.floods.optical.SurfaceRules.min_area_m2", 300.0)
        scores = [RasterEvidence("change", home / "score.tif")]
        found = assess(home / "pre.tif", home / "post.tif", city().footprints(), evidence=scores, settings=WATER)
    found.save(home / "map", also=())
    return home


def layers_of_page(folder: Path) -> list[str]:
    """Names of the layers over the images of report.html."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    over = re.search(r'<script type="application/json" id="over">(.*?)</script>', text, re.S)
    return [layer["role"] for layer in json.loads(over[1])]


def test_water_that_the_job_found_is_a_product_and_a_layer_of_the_page(wet_folder: Path) -> None:
    folder, flood = wet_folder / "map", flooded_post()[1]
    assert layers_of_page(folder) == ["New water", "Water not known", "change"]
    facts = json.loads((folder / "manifest.json").read_text())["outputs"][DamageMap.water_file]
    assert facts["sha256"] == hashlib.sha256((folder / DamageMap.water_file).read_bytes()).hexdigest()
    water = open_new_water(str(folder / DamageMap.water_file), city().post.grid)
    wet, known = water.read()
    assert known.any()
    assert flood[(wet[0] == 1) & known].mean() > 0.9, "what is called water is water"
    assert (wet[0] == 1)[(flood == 1) & known].mean() > 0.2, "most that is seen is found"


def test_a_page_after_answers_or_in_another_language_keeps_water_and_scores(wet_folder: Path, caplog) -> None:
    folder = wet_folder / "map"
    before = (folder / DamageMap.water_file).read_bytes()
    save_again(DamageMap.load(folder), open_images(folder), folder, "en")
    assert layers_of_page(folder) == ["New water", "Water not known", "change"]
    pair = ImagePair.open(wet_folder / "pre.tif", wet_folder / "post.tif", as_shown=True)
    write_again(pair, folder, None, ProductOptions(language="fr"))
    assert layers_of_page(folder) == ["New water", "Water not known", "change"]
    assert (folder / DamageMap.water_file).read_bytes() == before
    assert DamageMap.water_file in json.loads((folder / "manifest.json").read_text())["outputs"]
    assert "one layer less" not in caplog.text
    (wet_folder / "score.tif").rename(wet_folder / "away.tif")
    save_again(DamageMap.load(folder), open_images(folder), folder, "en")
    assert layers_of_page(folder) == ["New water", "Water not known"]
    assert "score.tif" in caplog.text
    caplog.clear()
    write_again(pair, folder, ["geojson"], ProductOptions())
    assert not caplog.text, "only the page shows scores"
    assert (folder / DamageMap.water_file).read_bytes() == before


@pytest.mark.parametrize(
    ("classes", "is_wet"), [([2, 255], True), ([2, 2], True), ([0, 1], False), ([255, 255], False), ([0, 255], False)]
)
def test_only_new_water_makes_a_raster_of_it_whatever_else_is_seen(
    classes: list[int], is_wet: bool, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    labels = np.repeat(np.array(classes, np.uint8), 32)[None].repeat(64, axis=0)
    path = write_geotiff(tmp_path / "labels.tif", labels, nodata=255)
    layer = Layer.open(path)
    water = ShownWater.of_labels(layer, layer.grid)
    assert (water is not None) is is_wet
    if water is None:
        assert list(tmp_path.iterdir()) == [path]
    else:
        wet, valid = water.layer.read()
        assert np.array_equal((wet[0] == 1) & valid, labels == 2)
        assert np.array_equal(valid, labels != 255)
        home = water.product.parent
        del water
        gc.collect()
        assert not home.exists(), "removed with the value"


def test_a_map_without_water_has_no_raster_of_it(maps, tmp_path: Path) -> None:
    (given, without), _ = maps
    for number, damage_map in enumerate((given, without)):
        damage_map.save(tmp_path / str(number), also=())
        assert not (tmp_path / str(number) / DamageMap.water_file).exists()


def test_a_file_called_as_the_raster_of_water_is_kept_if_it_is_no_product(maps, tmp_path: Path) -> None:
    (_, without), _ = maps
    without.save(tmp_path / "map", also=())
    own = tmp_path / "map" / DamageMap.water_file
    own.write_bytes(b"of the user")
    without.save(tmp_path / "map", also=(), overwrite=True)
    assert own.read_bytes() == b"of the user"


def test_water_that_is_given_is_not_in_the_folder_that_the_job_replaces(wet_folder: Path) -> None:
    out, outlines = wet_folder / "map", wet_folder / "outlines.gpkg"
    city().footprints().to_file(outlines)
    images = str(wet_folder / "pre.tif"), str(wet_folder / "post.tif")
    settings = replace(WATER, water=str(out / DamageMap.water_file))
    with raises_naming(OutputError, DamageMap.water_file):
        DamageJob.plan(images, str(outlines), FurtherInputs(), settings, JobOutput(out, overwrite=True)).check()


def test_files_of_an_evidence_are_not_mixed_with_those_of_another_that_is_numbered(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.tif" for name in ("change", "change_2", "tile_0", "tile_1")]
    for path in paths:
        path.touch()
    inputs = {f"ev_{path.stem}": {"path": str(path)} for path in paths}
    assert DamageMap.input_files("ev_change", inputs, tmp_path) == [str(paths[0])]
    assert DamageMap.input_files("ev_tile", inputs, tmp_path) == [str(path) for path in paths[2:]]


def test_a_job_that_fails_ends_the_search_for_water_beside_it(tmp_path: Path, monkeypatch) -> None:
    begun, seen = Event(), []

    def search(_scene, folder: Path, _workers, progress) -> None:
        begun.set()
        try:
            while True:
                progress(0.5)
        finally:
            seen.append(folder)

    monkeypatch.setattr(water_evidence, "_seen_water", search)
    monkeypatch.setattr(water_evidence, "_shows_water", lambda _scene, _role: True)
    site: Any = SimpleNamespace(settings=Settings(), event=EventInfo(), work=Work(Journal(tmp_path)))
    with pytest.raises(InputError, match="swapped"), water_evidence.Water().ahead(site):
        begun.wait()
        raise InputError("swapped")
    assert seen == [tmp_path / "water"]


@pytest.mark.parametrize("name", ["water_seen.tif", "recognition.json"])
def test_kept_water_that_was_damaged_is_looked_for_again(name: str, tmp_path: Path, monkeypatch) -> None:
    dry, predicted = np.zeros((1, 8, 8), np.uint8), []

    def predict(*_words: object, **_named: object) -> None:
        predicted.append(write_geotiff(tmp_path / "water.tif", dry))

    mapper = SimpleNamespace(inputs=SimpleNamespace(gsd_m=0.5))
    monkeypatch.setattr("deepnets4eo.prediction.predict", predict)
    for function, result in {
        "_dates": SimpleNamespace(layers={"post": None}),
        "_mapper_run": SimpleNamespace(segmenter=mapper),
        "measure_recognition": Recognition(seen=64, new=64),  # water is recognised, so that mud is not sought
    }.items():
        monkeypatch.setattr(water_evidence, function, lambda *_words, result=result, **_named: result)
    sides = []

    def write_seen(_water: object, _post: object, pixel_m: float, path: Path) -> None:
        sides.append(pixel_m)
        write_geotiff(path, dry)

    monkeypatch.setattr(water_evidence, "write_seen_water", write_seen)
    site: Any = SimpleNamespace(settings=Settings(), post=None)
    for expected in (1, 1):
        water_evidence._seen_water(site, tmp_path, 1)
        assert len(predicted) == expected
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-4])
    water_evidence._seen_water(site, tmp_path, 1)
    assert len(predicted) == 2
    assert sides == [0.5, 0.5]
    assert json.loads((tmp_path / "recognition.json").read_text())["seen"] == 64


def test_under_clouds_it_is_not_known_whether_a_building_stands_in_water(monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.SurfaceRules.min_area_m2", 300.0)
    mask = np.zeros((1, *city().grid.shape), np.uint8)
    mask[..., 256:] = 1
    cloud = Layer.open(mask, grid=city().post.grid)
    found = assess(pre_layer(), flooded_post()[0], city().footprints(), settings=WATER, cloud_mask=cloud).buildings
    edge = (city().grid.affine @ (256, 0))[0]
    hidden = found.geometry.bounds["minx"] > edge + 12  # the whole ring, which is 12 m wide
    assert hidden.sum() >= 2
    assert set(found["inundated"][hidden]) == {"not known"}
    assert (found["inundated"][~hidden] == "yes").any()


def test_what_water_counts_as_is_a_setting(maps) -> None:
    (wet_map, _), path = maps
    post = flooded_post()[0]
    grades = {}
    for counts_as in ("possibly-damaged", "shown"):
        settings = Settings(network=False, water=str(path), inundation=counts_as)
        rows = assess(pre_layer(), post, city().footprints(), settings=settings).table.with_likeliest_grades().frame
        grades[counts_as] = rows.loc[(rows["inundated"] == "yes") & (rows["status"] == "assessed"), "damage"]
    assert grades["possibly-damaged"].isin(GRADES[1:]).all()
    assert (grades["possibly-damaged"] == GRADES[1]).any()
    assert (grades["shown"] == GRADES[0]).any()


def test_numbers_of_houses_in_water_rest_on_the_share_of_damaged_ones_among_such() -> None:
    """Six houses of unknown structure in water, beside a plain simulation: a share after 9 of 9, and chance."""
    rows = np.ones(6, bool)
    wet = InundatedBuildings(rows, np.arange(6) == 0, np.full(6, 0.8))
    site = SiteFit(np.eye(len(SHARES))[0], np.full((6, 4), np.nan), 0.5)
    share, found = site_estimates(site, np.ones((6, 3)), np.full(6, 100.0), wet)
    rng = np.random.default_rng(1)
    simulated = rng.binomial(6, 0.8 * rng.beta(10, 1, 20_000))
    row = found["buildings"]["damaged"]
    assert row["expected"] == pytest.approx(6 * 0.8 * 0.9)
    np.testing.assert_allclose(row["interval_95"], np.quantile(simulated, [0.025, 0.975]), atol=1)  # a building
    assert share.interval_95 == pytest.approx([bound / 6 for bound in row["interval_95"]])
    assert found["buildings"]["destroyed"]["expected"] == pytest.approx(0.8 * 0.9)
    assert found["built_area_m2"]["damaged"]["expected"] == pytest.approx(600 * 0.8 * 0.9)


def test_houses_in_water_add_to_those_that_the_structure_counts() -> None:
    """Forty dry houses and ten in water, of which one has lost its roof: its structure says more than the water."""
    structure = np.tile([0.9, 0.08, 0.01, 0.01], (50, 1))
    structure[0] = [0.0, 0.0, 0.02, 0.98]
    wet = InundatedBuildings(np.arange(50) < 10, np.zeros(50, bool), np.ones(50))
    site, spread, area = SiteFit(np.eye(len(SHARES))[0], structure, 0.5), np.full((50, 3), 0.1), np.full(50, 100.0)
    dry = site_estimates(site.rows(~wet.rows), spread[10:], area[10:])[1]["buildings"]
    both = site_estimates(site, spread, area, wet)[1]["buildings"]
    assert both["damaged"]["expected"] - dry["damaged"]["expected"] == pytest.approx(9 * 0.9 + 1.0)
    assert both["destroyed"]["expected"] - dry["destroyed"]["expected"] == pytest.approx(0.98 + 9 * 0.01)
    assert sum(both[grade]["expected"] for grade in GRADES) == pytest.approx(50)
    assert both["damaged"]["interval_95"][0] > 10 * 0.6


def test_houses_in_water_keep_the_order_of_their_structure_and_their_number() -> None:
    """Five houses in water at 90 %, the last with a whole roof; one whose structure shows more than the water; a dry one."""
    shown = np.array([0.3, 0.31, 0.29, np.nan, 0.05, 0.97, 0.5])
    structure = np.stack([1 - shown, 0 * shown, shown / 2, shown / 2], axis=1)
    wet = InundatedBuildings(np.arange(7) < 6, np.zeros(7, bool), (np.arange(7) < 6) * 1.0)
    damaged = wet.grades(structure, 0.9)[:, -1]
    assert damaged[1] > damaged[0] > damaged[2] > damaged[3] > damaged[4] > 0.8
    assert damaged[:5].sum() == pytest.approx(5 * 0.9)
    assert damaged[5:].tolist() == [0.97, 0.5]
    assert wet.grades(structure, 1.0)[:5, -1].tolist() == [1.0] * 5


def test_houses_in_water_say_nothing_of_the_share_among_the_others() -> None:
    shift = SiteShift((-1.0, 1.0), (0.6, 0.8), 0.4, 0.7)
    p = np.repeat([[0.2, 0.1, 0.3, 0.4], [0.8, 0.1, 0.05, 0.05]], 30, axis=0)
    kind, apart = np.full(60, "a", object), np.arange(60) < 30
    alone = fit_to_site(p[30:], kind[30:], {"a": shift})
    beside = fit_to_site(p, kind, {"a": shift}, apart=apart)
    np.testing.assert_allclose(beside.weights, alone.weights)
    np.testing.assert_allclose(beside.probabilities[30:], alone.probabilities)


def test_outlines_of_unknown_place_have_a_grade_where_water_is_all_around(maps, monkeypatch) -> None:
    """A job whose footprints cannot be aligned: only houses with new water wherever they may stand within 8 m have a grade."""
    _, path = maps
    post, flood = flooded_post()
    aligned = align_footprints(pre_layer(), city().footprints())
    failed = replace(
        aligned,
        status="failed",
        why=Phrase("few_footprints", {"number": 3, "least": 10}),
        in_place=0.0,
        offsets_m=0 * aligned.offsets_m,
        voters=50,
    )
    monkeypatch.setattr(placing, "measure_alignments", lambda *_, **__: {"pre": failed})
    found = assess(pre_layer(), post, city().footprints(), settings=Settings(network=False, water=str(path)))
    rows = found.buildings
    rings = rows.geometry.buffer(20).difference(rows.geometry.buffer(2))
    counts = class_counts(Layer.open(np.ascontiguousarray(flood), grid=city().grid), rings.to_numpy(), 2).counts
    share = counts[:, 1] / counts.sum(axis=1)
    graded = (rows["status"] == "assessed").to_numpy()
    clear = abs(share - 0.5) > 0.03
    assert 3 < graded.sum() < len(rows)
    assert (graded == (share > 0.5))[clear & (rows["inundated"] != "not known").to_numpy()].all()
    wet = rows[graded]
    assert set(wet["method"]) == {"water"}
    assert (wet["damage"] == "major-damage").all()
    assert (wet["damage_set"] == ",".join(GRADES)).all()
    assert wet["reason"].str.startswith("surrounded by water; footprint not on a building").all()
    np.testing.assert_allclose(wet["confidence"], 0.9 * wet["ev_water_ring_share"])
    assert rows.loc[~graded, "damage"].isna().all()
    counted = found.inundation
    assert counted["by_water"] == len(wet)
    assert counted["structure"] is counted["together"] is None  # no structure is assessed
    finding = next(one for one in found.findings if one.code == "alignment_failed")
    assert finding.severity == "caution"
    assert f"{len(wet)} outlines have a grade" in finding.message


def test_without_an_image_before_water_is_named_and_grades_stay(monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.SurfaceRules.min_area_m2", 300.0)
    found = assess(None, flooded_post()[0], city().footprints(), settings=WATER)
    plain = assess(None, flooded_post()[0], city().footprints(), settings=Settings(network=False, water="none"))
    assert found.inundation["since_unknown"] >= 2
    assert "buildings_in_old_or_new_water" in {finding.code for finding in found.findings}
    assert not (found.buildings["inundated"] == "yes").any()
    assert (found.buildings["damage"].fillna("") == plain.buildings["damage"].fillna("")).all()


def test_a_raster_that_is_no_map_of_water_is_refused(tmp_path: Path) -> None:
    post = flooded_post()[0]
    with raises_naming(InputError, "--water", "4 bands"):
        from geotiff import write_geotiff

        path = write_geotiff(
            tmp_path / "rgb.tif",
            np.array(city().post.image),
            crs=city().grid.crs.to_wkt(),
            transform=city().grid.affine,
        )
        assess(pre_layer(), post, city().footprints(), settings=Settings(water=str(path)))


def test_water_whose_dry_ground_has_no_data_is_refused_and_depths_are_water(tmp_path: Path) -> None:
    """A share of water could not be told where dry ground is not counted."""
    from geotiff import write_geotiff

    depth = np.zeros((1, 40, 40), np.float32)
    depth[0, :, :15] = np.linspace(0.2, 3, 15)
    paths = {name: tmp_path / f"{name}.tif" for name in ("plain", "zero", "holes")}
    write_geotiff(paths["plain"], depth, nodata=-9999)
    write_geotiff(paths["zero"], depth, nodata=0)
    write_geotiff(paths["holes"], np.where(depth > 0, depth, np.float32(-9999)), nodata=-9999)
    grid = Layer.open(paths["plain"]).grid
    given = open_new_water(str(paths["plain"]), grid).read()[0][0]
    np.testing.assert_array_equal(given, depth[0] > 0)
    for name, words in (("zero", "declares 0 as nodata"), ("holes", "no data wherever it shows no water")):
        with pytest.raises(InputError, match=words):
            open_new_water(str(paths[name]), grid)


@pytest.mark.parametrize(
    ("values", "profile"),
    [
        ((50, 80), {"dtype": np.uint8}),  # land cover: 80 is water that was always there
        ((0, 2), {"dtype": np.uint8}),
        ((0.0, 50.0, 80.0), {"dtype": np.float32}),
        ((0, -1.5, 2.5), {"dtype": np.float32}),  # a height above the water, or an undeclared nodata value
        ((3.5, 8.25), {"dtype": np.float32}),  # heights: no dry ground
        ((0, 20, 95), {"dtype": np.uint8, "unit": "percent"}),
    ],
)
def test_values_that_are_neither_a_mask_nor_depths_are_no_water(tmp_path: Path, values, profile) -> None:
    path = _raster_of(tmp_path / "w.tif", values, **profile)
    with pytest.raises(InputError, match="mask"):
        open_new_water(str(path), Layer.open(path).grid)


@pytest.mark.parametrize(
    ("values", "profile"),
    [
        ((0, 1), {"dtype": np.uint8}),
        ((0, 255), {"dtype": np.uint8}),
        ((0, 40, 150), {"dtype": np.uint16, "unit": "cm"}),
        ((0, 40, 150), {"dtype": np.uint16, "scale": 0.01}),
        ((0, 0.4, 1.5), {"dtype": np.float32}),
    ],
)
def test_masks_and_depths_are_water_wherever_they_are_not_0(tmp_path: Path, values, profile) -> None:
    path = _raster_of(tmp_path / "w.tif", values, **profile)
    found = open_new_water(str(path), Layer.open(path).grid).read()[0][0]
    assert found.mean() == pytest.approx(1 - 1 / len(values), abs=0.03)


def _raster_of(path: Path, values, *, dtype, unit: str = "", scale: float = 1.0) -> Path:
    """Write a raster of stripes of these values."""
    import rasterio
    from geotiff import write_geotiff

    write_geotiff(path, np.sort(np.resize(np.array(values, dtype), (1, 40, 36)), axis=2))
    with rasterio.open(path, "r+") as file:
        file.units, file.scales = (unit,), (scale,)
    return path


def test_buildings_that_are_covered_are_destroyed_and_sets_hold_what_lies_between() -> None:
    frame = pd.DataFrame({"id": list("abcd"), "status": "assessed", "reason": ["", "", "", "greener"],
                          "method": ["pre_post"] * 3 + ["water"]})  # fmt: skip
    structure = np.array([[0.88, 0.06, 0.03, 0.03], [0.2, 0.5, 0.2, 0.1], [0.9, 0.07, 0.02, 0.01], [np.nan] * 4])
    grades = Grades(structure, np.array([0, 1, 0, 0]), np.eye(4, dtype=bool)[[0, 1, 0, 0]])
    decision = Decision(Buildings(frame, {}), grades, ShareEstimate(0.3, "estimated", None, 0.0, 0.5))
    around = BuildingWater(
        np.array([0.0, 0.9, 0.0, 0.0]), np.array([0.9, 0.9, 0.1, 1.0]), np.array(["yes", "yes", "no", "yes"], object)
    )
    water = WaterAround(around, "a map", is_new=True)
    wet = inundated_buildings(Buildings(frame), water, Settings())
    after = with_inundation(decision, water, wet, Settings())
    assert after.buildings.frame["damage"].tolist() == [GRADES[2], GRADES[3], GRADES[0], GRADES[2]]
    everything = ",".join(GRADES)
    assert after.buildings.frame["damage_set"].tolist() == [",".join(GRADES[:3]), everything, GRADES[0], everything]
    chance = after.buildings.frame["damage_prob"].to_numpy(float)
    assert chance[2] == pytest.approx(0.03)
    assert chance[[0, 1, 3]].mean() == pytest.approx(0.9)
    assert chance[1] > chance[3] > chance[0]  # in the order of their structure; an unknown one is between
    confidence = after.buildings.frame["confidence"].to_numpy(float)
    np.testing.assert_allclose(confidence, [chance[0] - 0.03, chance[1], 0.9, chance[3]])
    reasons = ["surrounded by water", "under water", "", "surrounded by water; greener"]
    assert after.ungraded.frame["reason"].tolist() == reasons
    counts = ("structure", "together", "inundated", "by_water", "known", "hidden", "not_assessed", "unknown")
    assert [after.inundation[name] for name in counts] == [0, 3, 3, 1, 4, 0, 0, 0]
    flood = EventInfo(name="Flood")
    before_water, after_water = (  # three of four are damaged, but none before the water is known
        replace(one, share=replace(one.share, interval_95=(0.6, 0.9))).checked_against_grades(flood)
        for one in (decision, after)
    )
    assert before_water.share.contradicted
    assert [finding.code for finding in before_water.findings] == ["count_not_told"]
    assert not after_water.share.contradicted
    assert "count_not_told" not in [finding.code for finding in after_water.findings]
    possibly = Settings(inundation="possibly-damaged")
    after = with_inundation(decision, water, inundated_buildings(Buildings(frame), water, possibly), possibly)
    assert after.buildings.frame["damage"].tolist() == [GRADES[1], GRADES[1], GRADES[0], GRADES[1]]
    np.testing.assert_allclose(after.buildings.frame["damage_prob"].to_numpy(float), [0.06, 0.3, 0.03, 0.3])
    np.testing.assert_allclose(
        after.buildings.frame["confidence"].to_numpy(float), [0.06 + 0.9 * 0.88, 0.5 + 0.9 * 0.2, 0.9, 0.9 * 0.7]
    )
    assert inundated_buildings(Buildings(frame), water, Settings(inundation="shown")) is None
    capped = replace(decision, capped=np.array([True, False, True, True]))  # a finding says "confidence is at most 0.6"
    after = with_inundation(capped, water, wet, Settings())
    np.testing.assert_allclose(after.buildings.frame["confidence"].to_numpy(float), [0.6, confidence[1], 0.6, 0.6])
    chance = after.buildings.frame["damage_prob"].to_numpy(float)
    assert chance[2] == pytest.approx(0.03)
    assert chance[[0, 1, 3]].mean() == pytest.approx(0.9)
    assert chance[1] > chance[3] > chance[0]  # covered, of unknown structure, surrounded with a whole roof


def test_of_houses_whose_water_is_not_told_none_and_all_may_be_damaged() -> None:
    """Forty houses that look whole, thirty of them where water is not recognised, beside the probabilities of the ten others."""
    structure = np.tile([0.97, 0.02, 0.005, 0.005], (40, 1))
    nobody, unsure = np.zeros(40, bool), np.arange(40) < 30
    wet = InundatedBuildings(nobody, nobody, np.zeros(40), unknown=unsure)
    site, area = SiteFit(np.eye(len(SHARES))[0], structure, 0.5), np.full(40, 100.0)
    share, found = site_estimates(site, np.full((40, 3), 0.1), area, wet)
    row = found["buildings"]["damaged"]
    assert row["expected"] == pytest.approx(10 * 0.01 + 30 * (1 - 0.99 * 0.55))
    assert row["interval_95"][0] <= 1
    assert row["interval_95"][1] >= 28
    assert share.interval_95[1] - share.interval_95[0] > 0.5


def test_houses_whose_ground_is_hidden_count_as_wet_as_the_nearest_ground_that_is_seen() -> None:
    """Twenty houses that look whole: ten named by the ground nearby, four fifths of it wet, and ten where a fifth of it is."""
    structure = np.tile([0.97, 0.02, 0.005, 0.005], (20, 1))
    named, chance = np.arange(20) < 10, np.where(np.arange(20) < 10, 0.8, 0.2)
    wet = InundatedBuildings(named, np.zeros(20, bool), chance, hidden=np.ones(20, bool))
    site, area = SiteFit(np.eye(len(SHARES))[0], structure, 0.5), np.full(20, 100.0)
    row = site_estimates(site, np.full((20, 3), 0.1), area, wet)[1]["buildings"]["damaged"]
    assert row["expected"] == pytest.approx(sum(1 - 0.99 * (1 - 0.9 * chance)))
    rng = np.random.default_rng(2)
    shifted = expit(logit(chance)[:, None] + rng.normal(size=4000))
    simulated = (rng.random((20, 4000)) < 1 - 0.99 * (1 - rng.beta(10, 1, 4000) * shifted)).sum(axis=0)
    np.testing.assert_allclose(row["interval_95"], np.quantile(simulated, [0.025, 0.975]), atol=1.5)
    frame = pd.DataFrame({"id": list("abcd"), "status": ["assessed", "assessed", "assessed", "not-assessed"], "reason": "",
                          "method": "pre_post"})  # fmt: skip
    around = BuildingWater(
        np.zeros(4), np.array([0.9, 0.0, 0.0, 0.0]), np.array(["yes", "not known", "yes", "yes"], object), np.array([np.nan, 0.2, 0.8, 0.8])
    )  # fmt: skip
    found = inundated_buildings(Buildings(frame), WaterAround(around, "a map", is_new=True), Settings())
    assert found is not None
    assert found.rows.tolist() == [True, False, True, False]  # what is not seen itself is not named by its surroundings
    assert found.perhaps.tolist() == [False, True, True, False]
    np.testing.assert_allclose(found.chance, [1.0, 0.2, 0.8, 0.0])
    grades = Grades(
        np.array([[0.8, 0.1, 0.06, 0.04]] * 3 + [[np.nan] * 4]), np.zeros(4, int), np.eye(4, dtype=bool)[[0] * 4]
    )
    decision = Decision(Buildings(frame, {}), grades, ShareEstimate(0.3, "estimated", None, 0.0, 0.5))
    after = with_inundation(decision, WaterAround(around, "a map", is_new=True), found, Settings())
    assert after.buildings.frame["damage"].tolist()[:3] == [GRADES[2], GRADES[0], GRADES[2]]
    np.testing.assert_allclose(
        after.buildings.frame["damage_prob"][:3].astype(float), [0.9, 1 - 0.9 * 0.82, 1 - 0.9 * 0.28]
    )
    assert after.buildings.frame["damage_set"][1] == ",".join(GRADES)
    assert "the ground around it is hidden" in after.ungraded.frame["reason"][1]
    assert "nearest ground" in after.ungraded.frame["reason"][2]
    assert after.ungraded.frame["inundated"].tolist() == ["yes", "not known", "yes", "not known"]
    counts = ("known", "inundated", "hidden", "not_assessed", "unknown")
    assert [after.inundation[name] for name in counts] == [2, 2, 1, 0, 0]
    unseen = BuildingWater(np.zeros(4), np.zeros(4), np.array(["not known"] * 3 + ["yes"], object))
    doubted = WaterAround(unseen, "a map", is_new=True, doubt=Finding("water_not_told", "caution", {}))
    after = with_inundation(decision, doubted, found, Settings())
    assert [after.inundation[name] for name in counts] == [0, 0, 3, 1, 3]


def test_a_house_in_water_that_only_its_colour_shows_keeps_its_probability_and_the_word_is_not_told() -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "status": "assessed", "reason": "", "method": "pre_post"})
    seen = BuildingWater(np.zeros(2), np.array([0.8, 0.0]), np.array(["yes", "not known"], object))
    water = WaterAround(seen.by_colour(), "a patch", is_new=True, doubt=Finding("water_not_told", "caution", {}))
    found = inundated_buildings(Buildings(frame), water, Settings())
    assert found is not None
    assert not found.rows.any()
    assert found.unsure.all()
    grades = found.grades(np.tile([0.97, 0.02, 0.005, 0.005], (2, 1)), 0.9)
    np.testing.assert_allclose(grades[:, -1], [1 - 0.99 * (1 - 0.9 * 0.8), 1 - 0.99 * (1 - 0.9 * 0.5)])


@pytest.mark.parametrize(
    ("wet", "states_dry", "everywhere"), [(34, False, True), (31, False, False), (34, True, False)]
)
def test_where_nearly_all_ground_that_is_seen_is_wet_all_may_be_damaged(
    wet: int, states_dry: bool, everywhere: bool
) -> None:
    """41 houses that look whole, most of them in water, and others whose ground looks dry."""
    frame = pd.DataFrame({"id": [str(n) for n in range(41)], "status": "assessed", "reason": "", "method": "pre_post"})
    answers = np.where(np.arange(41) < wet, "yes", "no").astype(object)
    measured = BuildingWater(np.zeros(41), np.where(answers == "yes", 0.9, 0.1), answers)
    around = WaterAround(measured, "a map", is_new=True, states_dry=states_dry)
    found = inundated_buildings(Buildings(frame), around, Settings())
    assert found is not None
    site = SiteFit(np.eye(len(SHARES))[0], np.tile([0.97, 0.02, 0.005, 0.005], (41, 1)), 0.5)
    share, estimates = site_estimates(site, np.full((41, 3), 0.1), np.full(41, 100.0), found)
    low, high = estimates["buildings"]["damaged"]["interval_95"]
    assert low < wet
    assert (high == 41) is everywhere
    assert (share.interval_95[1] == 1) is everywhere
    assert (estimates["built_area_m2"]["damaged"]["interval_95"][1] == 4100) is everywhere


def test_water_that_the_images_show_outweighs_a_dry_hazard_which_is_reported_first(maps, monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.SurfaceRules.min_area_m2", 300.0)  # the miniature city is small
    seen = replace(WATER, network=True)  # its shipped weights are missing here
    given = replace(WATER, water=str(maps[1]))
    unnamed, fire, with_raster = (
        assess(pre_layer(), flooded_post()[0], city().footprints(), settings=settings, event=EventInfo(name=name))
        for name, settings in (("", seen), ("Wildfire", seen), ("Wildfire", given))
    )
    assert "buildings_in_water" in {finding.code for finding in unnamed.findings}
    assert fire.findings[0].code == "water_at_dry_hazard"
    assert "Wildfire" in fire.findings[0].message
    assert "water_at_dry_hazard" not in {finding.code for finding in (*unnamed.findings, *with_raster.findings)}
    assert fire.estimates == unnamed.estimates
    assert (with_raster.buildings["inundated"] == "yes").sum() >= 2


def test_a_map_without_water_states_that_colours_do_not_prove_dry_ground_unless_the_hazard_decides() -> None:
    post = Layer.open(city().post.image, grid=city().post.grid)
    unnamed, storm, tornado = (
        assess(pre_layer(), post, city().footprints(), settings=WATER, event=EventInfo(name=name))
        for name in ("", "Hurricane", "Tornado")
    )
    remedies = {}
    for name, one in (("", unnamed), ("Hurricane", storm)):
        (finding,) = (finding for finding in one.findings if finding.code == "water_not_excluded")
        assert finding.severity == "note"
        remedies[name] = finding.remedy
    assert "--event name=" in remedies[""]
    assert "--water" in remedies["Hurricane"]
    assert "water_not_excluded" not in {finding.code for finding in tornado.findings}
    assert set(unnamed.buildings["inundated"]) == set(storm.buildings["inundated"]) == {"not known"}, (
        "as the note states"
    )
    assert (unnamed.inundation["known"], tornado.inundation.get("known", 0)) == (0, 0)
    assert unnamed.estimates == tornado.estimates  # a note changes no probability


def test_the_note_on_dry_ground_is_not_given_where_buildings_stand_in_little_water(monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.SurfaceRules.min_area_m2", 300.0)  # the miniature city is small
    monkeypatch.setattr(Recognition, "is_none_found", property(lambda _: True))  # too little for the whole image
    found = assess(pre_layer(), flooded_post()[0], city().footprints(), settings=WATER)
    assert found.inundation["inundated"] + found.inundation["not_assessed"] > 0
    assert "no" in set(found.buildings["inundated"])
    assert "water_not_excluded" not in {finding.code for finding in found.findings}


def test_a_raster_of_another_package_needs_no_product(maps, tmp_path: Path) -> None:
    (_, without), _ = maps
    post = Layer.open(city().post.image, grid=city().post.grid)
    foreign = SimpleNamespace(name="theirs", layer=Layer.open(np.zeros(post.shape), grid=post.grid), scale=1.0)
    without.save(tmp_path / "map", post=post, scores=[foreign], also=())
    assert layers_of_page(tmp_path / "map") == ["theirs"]


def test_a_flood_that_is_not_found_leaves_it_open_which_houses_stand_in_it() -> None:
    post = Layer.open(city().post.image, grid=city().post.grid)
    plain, found = (
        assess(pre_layer(), post, city().footprints(), settings=WATER, event=EventInfo(name=name))
        for name in ("Tornado", "Flood")
    )
    first = found.findings[0]
    assert first.code == "water_not_told"
    assert "no new water was found" in first.message
    assert "--water" in first.remedy
    assert "water_not_told" not in {one.code for one in plain.findings}
    unknown = (found.buildings["inundated"] == "not known") & (found.buildings["status"] == "assessed")
    assert unknown.sum() > 0.3 * len(unknown)
    assert found.inundation["unknown"] == (found.buildings["inundated"] == "not known").sum()
    assert found.buildings.loc[unknown, "damage_set"].str.endswith(GRADES[3]).all()
    assert found.buildings.loc[unknown, "reason"].str.startswith("not told whether it stands in water").all()
    assert (found.buildings["damage"].fillna("") == plain.buildings["damage"].fillna("")).all()
    before, after = (one.estimates["buildings"]["damaged"]["interval_95"] for one in (plain, found))
    assert after[1] >= unknown.sum()
    assert after[1] > before[1]
    expected = found.estimates["buildings"]["damaged"]["expected"]
    assert expected == pytest.approx(found.buildings["damage_prob"].sum())


def test_an_image_that_cannot_show_water_is_stated_to_unless_water_is_given_or_the_hazard_excludes_it(maps) -> None:
    grey = Layer.open(city().post.image[:1], grid=city().post.grid)
    given = replace(WATER, water=str(maps[1]))
    severities, remedies = {}, {}
    for name, settings in (("", WATER), ("Flood", WATER), ("Tornado", WATER), ("Flood ", given)):
        found = assess(pre_layer(), grey, city().footprints(), settings=settings, event=EventInfo(name=name))
        finding = next((finding for finding in found.findings if finding.code == "water_not_shown"), None)
        severities[name] = finding and finding.severity
        remedies[name] = finding and finding.remedy
    assert severities == {"": "note", "Flood": "caution", "Tornado": None, "Flood ": None}
    assert "--event name=" in remedies[""]
    assert "--water" in remedies["Flood"]


def test_answers_move_the_number_by_structure_only_on_dry_ground() -> None:
    """Rows: dry and damaged, dry and whole, wet and damaged, wet and damaged. Answers reverse the first three."""

    def grades(*numbers: int) -> Grades:
        return Grades(np.eye(4)[list(numbers)], np.array(numbers), np.eye(4, dtype=bool)[list(numbers)])

    numbers = {"structure": 1, "together": 3, "inundated": 2, "source": "seen"}
    others = Finding("water_may_be_hidden", "note", {"number": 1})
    wet = np.array([False, False, True, True])
    found = Finding("buildings_in_water", "note", {"number": 2, "structure": 1})
    before, after = grades(3, 0, 2, 2), grades(0, 0, 0, 2)
    moved, findings = inundation_after_answers(numbers, (others, found), wet, before, after)
    assert moved == {"structure": 0, "together": 1, "inundated": 2, "source": "seen"}
    assert findings == (others, Finding("buildings_in_water", "note", {"number": 2, "structure": 0}))
    assert inundation_after_answers(numbers, (), wet, before, grades(3, 2, 2, 2))[0]["structure"] == 2
    assert (
        inundation_after_answers(numbers | {"structure": 3}, (), wet, before, grades(3, 0, 0, 0))[0]["structure"] == 1
    )
    assert inundation_after_answers({}, (others,), wet, before, after) == ({}, (others,))


@pytest.mark.parametrize(
    ("name", "water", "number", "codes"),
    [
        ("Earthquake", None, 3, ["water_at_dry_hazard"]),
        ("Flood", None, 3, []),
        ("", None, 3, []),
        ("Earthquake", "water.tif", 3, []),  # the user gives the water
        ("Earthquake", None, 0, []),
    ],
)
def test_water_at_a_dry_hazard_is_a_finding_with_its_name(name: str, water: Any, number: int, codes: list) -> None:
    found = dry_hazard_findings(EventInfo(name), Settings(water=water), number)
    assert [finding.code for finding in found] == codes
    assert all((finding.affected, str(finding.values["name"])) == (number, name) for finding in found)
