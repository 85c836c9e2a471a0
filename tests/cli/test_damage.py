"""The main job on the command line: it works on a made-up place, and what is wrong is said before long work starts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from affine import Affine
from geotiff import write_geotiff
from shapely import force_3d
from shapely.geometry import LineString, Polygon, box

import deepnets4eo.registration.pair as registration_pair
from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageMap, Settings
from deepnets4eo.damage.images.checks import check_images
from deepnets4eo.damage.map import PRODUCTS
from deepnets4eo.damage.opening import open_pair
from deepnets4eo.damage.products import FURTHER, USUAL
from deepnets4eo.damage.products.content import AREAS_FILE
from deepnets4eo.outputs.wording import LANGUAGES
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City, Event

pytestmark = pytest.mark.usefixtures("registered_once")
SIZE_PX = 256


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city on disk."""
    city = City(11, SIZE_PX, 0.5, event=Event(shift_px=(2.0, -3.0), damage_shares=(0.4, 0.1, 0.1, 0.4)))
    return city.write(tmp_path_factory.mktemp("place") / "city")


@pytest.fixture(scope="module")
def whole(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job by two workers."""
    out = tmp_path_factory.mktemp("whole") / "damage"
    assert run(place, out, "--workers", "2") == 0
    return out


def run(
    place: Path, out: Path, *options: str, pre: object = None, post: object = None, footprints: object = None
) -> int:
    """The verb on the city, with one input replaced."""
    names = [pre or place / "pre.tif", post or place / "post.tif", footprints or place / "footprints.gpkg"]
    return main(["damage", *map(str, names), "--out", str(out), *options])


@pytest.mark.core("the main job")
def test_the_job_writes_every_product(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "damage"
    assert run(place, out) == 0
    said = capsys.readouterr().out
    assert said.startswith("Open report.html in a browser, damage.qgz in QGIS.")
    assert said.splitlines().count(str(out / "report.html")) == 1
    names = {path.name for path in out.iterdir()}
    assert names - {DamageMap.water_file} == set(PRODUCTS) - {AREAS_FILE, DamageMap.water_file} - {
        file for name, file in FURTHER.items() if name not in USUAL
    }
    assert {name for name, _ in pyogrio.list_layers(out / "damage.gpkg")} == {
        "buildings",
        "assessed_extent",
        "imaged_without_outlines",
        "event",
        "findings",
        "estimates",
        "layer_styles",
    }
    buildings = gpd.read_file(out / "damage.gpkg", layer="buildings")
    given = gpd.read_file(place / "footprints.gpkg")
    assert set(buildings["id"]) == set(given["id"].astype(str))
    assert json.loads((out / "summary.json").read_text())["synthetic"] is True


def test_the_same_inputs_give_the_same_table(
    place: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration_pair, "register", register)  # measured again
    assert run(place, tmp_path / "again", "--workers", "1") == 0
    tables = [gpd.read_parquet(folder / "damage.parquet") for folder in (whole, tmp_path / "again")]
    assert tables[0].equals(tables[1])


def test_without_a_pre_image_every_building_is_assessed_from_post(place: Path, tmp_path: Path) -> None:
    assert run(place, tmp_path / "out", pre="-") == 0
    methods = gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings")["method"]
    assert set(methods.dropna()) <= {"post_only", ""}
    assert (methods == "post_only").any()


def test_surface_models_become_evidence(place: Path, tmp_path: Path) -> None:
    heights = ("--dsm-pre", str(place / "dsm_pre.tif"), "--dsm-post", str(place / "dsm_post.tif"))
    assert run(place, tmp_path / "out", *heights) == 0
    buildings = gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings")
    assert any("height" in name and buildings[name].notna().any() for name in buildings if name.startswith("ev_"))


def test_clouds_keep_buildings_from_being_assessed(place: Path, tmp_path: Path) -> None:
    grid = Layer.open(place / "post.tif").grid
    write_geotiff(tmp_path / "cloud.tif", np.ones(grid.shape, np.uint8), crs=grid.crs, transform=grid.affine)
    assert run(place, tmp_path / "out", "--cloud-mask", str(tmp_path / "cloud.tif")) == 3
    buildings = gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings")
    assert set(buildings["status"]) == {"not_assessed"}
    assert buildings["reason"].str.contains("cloud").any()


def test_what_limits_the_map_is_the_end_of_what_is_printed_and_stands_in_every_product(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = gpd.read_file(place / "footprints.gpkg")
    bow = Polygon([(0, 0), (8, 8), (8, 0), (0, 8)])
    corner = table.geometry.iloc[0].centroid
    moved = Polygon([(corner.x + x, corner.y + y) for x, y in bow.exterior.coords])
    line = LineString([(corner.x, corner.y), (corner.x + 9, corner.y)])
    table.geometry = [moved, line, *table.geometry[2:]]
    table.loc[3, "id"] = table.loc[4, "id"]
    table.to_file(tmp_path / "rough.gpkg")
    assert run(place, tmp_path / "out", footprints=tmp_path / "rough.gpkg") == 0
    said = capsys.readouterr().err.splitlines()
    used = len(table) - 1
    account = {"read": used + 1, "used": used, "repaired": 1, "renamed": 1, "made_ids": False}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["footprints"] == account | {"dropped": {"not a polygon": 1}}
    assert f"footprints: {used} of {used + 1} rows used, 1 repaired, 1 id renamed; left out: 1 not a polygon" in said
    codes = [finding["code"] for finding in summary["findings"]]
    assert {"footprints_dropped", "footprints_changed"} <= set(codes)
    worst = summary["findings"][0]
    assert worst["message"] in said[-1]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["findings"] == summary["findings"]
    kept = pyogrio.read_dataframe(tmp_path / "out" / "damage.gpkg", layer="findings")
    assert kept["code"].tolist() == codes
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.index('id="synthetic"') < page.index('id="headline"') < page.index('id="findings"')


def test_event_formats_and_an_assumed_registration_are_options(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = (
        "--event",
        "name=Tornado",
        "--event",
        "place=Joplin",
        "--event",
        "date_post=2011-05-22",
        "--event",
        "credit=NOAA",
    )
    assert run(place, tmp_path / "out", *event, "--also", "kml", "--areas", "grid", "--assume-registered") == 0
    said = capsys.readouterr().err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == set(PRODUCTS) - {DamageMap.water_file} - {file for name, file in FURTHER.items() if name != "kml"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["event"]["name"], summary["event"]["place"]) == ("Tornado", "Joplin")
    assert summary["registration"]["reason"] == "taken as registered, not measured"
    assert "registration_assumed" in {finding["code"] for finding in summary["findings"]}
    assert "CAUTION: The pre image was assumed to match the post image (--assume-registered)" in said
    assert "Building damage: Tornado, Joplin" in (tmp_path / "out" / "damage.kml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--event", "date_post=22.05.2011"), ("date_post is '22.05.2011', expected a date",)),
        (
            ("--event", "date_pre=2012-01-01", "--event", "date_post=2011-05-22"),
            ("later than date_post, which is 2011-05-22",),
        ),
        (("--also", "kml,kmz"), ("'kmz' is no further format", "Did you mean 'kml'?")),
        (("--set", "population=people.tif"), ("population is given without --areas",)),
        (("--areas", "grid:1"), ("the areas are grid:1", "a side of 10 to 1,000,000 metres")),
        (("--set", "language=de"), ("--set: language", "'en', 'fr', 'es', 'ar' or 'pt'")),
        (("--also", "cems=AOI06"), ("cems is 'AOI06', expected EMSRNNN_AOINN",)),
    ],
)
def test_bad_options_are_refused_before_long_work(
    options: tuple[str, ...], words: tuple[str, ...], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path / "out", *options, "--dry-run") == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words)
    assert not (tmp_path / "out").exists()


def test_an_assumed_registration_needs_a_pre_image(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        capsys, run(place, tmp_path / "out", "--assume-registered", pre="-"), "--assume-registered", "there is none"
    )


@pytest.mark.parametrize("verb", ["damage", "change", "rubble", "series"])
def test_the_event_is_one_option_of_every_verb_of_several_dates(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--event FILE|KEY=VALUE" in said
    assert "Keys: name, place, credit, producer" in said


@pytest.mark.parametrize(
    ("event", "asks"), [((), True), (("--event", "name=Earthquake"), False), (("--event", "place=Hatay"), True)]
)
def test_the_hazard_is_asked_for_unless_the_event_has_a_name(
    event: tuple[str, ...], asks: bool, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path / "out", *event, "--dry-run") == 0
    assert ("note: Name the hazard: --event name=HAZARD" in capsys.readouterr().err) is asks


@pytest.mark.parametrize(("water", "lines"), [("auto", 0), ("none", 1)])
def test_a_map_asks_for_the_hazard_by_a_note_of_its_own_only_if_no_finding_does(
    water: str, lines: int, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = () if water == "auto" else ("--water", water)
    assert run(place, tmp_path / "out", *chosen) == 0
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("note: Name the hazard") for line in said) == lines
    assert (
        sum(
            line.endswith(
                "Name the hazard: --event name=HAZARD, with Earthquake, Flood, Hurricane, Tornado or Wildfire as it was."
            )
            for line in said
        )
        == 1
    )


def test_check_asks_for_the_hazard_of_files_that_belong_together(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(place / name) for name in ("pre.tif", "post.tif")]
    assert main(["check", *pair]) == 0
    assert "note: Name the hazard" in capsys.readouterr().err
    assert main(["check", pair[0]]) == 0
    assert "hazard" not in capsys.readouterr().err


def test_the_event_can_stand_in_a_file(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "event.yaml").write_text("name: Tornado\ndate_post: 2011-05-22\nplace: Joplin\n")
    assert run(place, tmp_path / "out", "--event", str(tmp_path / "event.yaml"), "--event", "place=Duquesne") == 0
    event = json.loads((tmp_path / "out" / "summary.json").read_text())["event"]
    assert (event["name"], event["place"], event["date_post"]) == ("Tornado", "Duquesne", "2011-05-22")
    (tmp_path / "wrong.json").write_text('{"title": "Tornado"}')
    assert run(place, tmp_path / "new", "--event", str(tmp_path / "wrong.json"), "--dry-run") == 2
    assert "wrong.json: unknown key 'title'" in capsys.readouterr().err


def test_the_result_is_a_line_before_the_findings(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path / "out") == 0
    said = capsys.readouterr().err
    damaged = json.loads((tmp_path / "out" / "summary.json").read_text())["damaged"]
    low, high = damaged["interval_95"]
    classified = rf"{damaged['count']} of \d+ assessed buildings classified as major damage or worse"
    assert re.search(rf"^{classified} · true number {low:,.0f}–{high:,.0f} \(95 %\)$", said, re.M)


def test_dry_run_says_what_would_be_done_and_writes_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path / "out", "--dry-run") == 0
    assert "buildings would be assessed" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--set", "damaged_share=1.5", "less than 1"),
        ("--model", "nope", "nope"),
        ("--set", "max_shift_m=-3", "max_shift_m"),
    ],
)
def test_dry_run_refuses_what_the_job_would_refuse(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    refused(capsys, run(place, tmp_path / "out", "--dry-run", option, value), words)


def test_a_dry_run_counts_the_buildings_that_the_post_image_shows_and_names_unusable_rows(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    houses = gpd.read_file(place / "footprints.gpkg")
    here = len(houses)
    far = [
        *(off_the_image(5000 + 50 * k, 5000) for k in range(7)),
        off_the_image(-5, 100),
        LineString([(0, 0), (9, 9)]),
    ]
    more = gpd.GeoDataFrame({"id": [f"far-{k}" for k in range(len(far))]}, geometry=far, crs=houses.crs)
    pd.concat([houses, more]).to_file(tmp_path / "all.gpkg")
    assert run(place, tmp_path / "out", "--dry-run", footprints=tmp_path / "all.gpkg") == 0
    said = capsys.readouterr()
    counted, total = re.search(r"([\d,]+) of (\d+) buildings would be assessed", said.out).groups()
    assert int(total) == here + 8
    assert run(place, tmp_path / "map", footprints=tmp_path / "all.gpkg", pre="-") == 0
    table = gpd.read_file(tmp_path / "map" / "damage.gpkg", layer="buildings")
    assert abs(int(counted) - (table["status"] == "assessed").sum()) <= 1  # the job moves outlines by some pixels
    assert "7 × outside the post image" in said.out
    assert " × partly outside the post image" in said.out
    assert "left out: 1 not a polygon" in said.err


def test_a_wrong_path_is_noticed_before_anything_large_is_loaded(place: Path, tmp_path: Path) -> None:
    command = [
        "damage",
        str(place / "pre.tif"),
        str(place / "post.tif"),
        "nowhere.gpkg",
        "--out",
        str(tmp_path / "out"),
    ]
    command.append("--dry-run")
    code = (
        f"import sys; from deepnets4eo.cli.main import main; status = main({command!r}); "
        "print(status, sorted(set(sys.modules) & {'geopandas', 'torch', 'scipy', 'rasterio'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
    assert done.stderr.strip() == "Error: nowhere.gpkg does not exist. Check the path."


def refused(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> None:
    error = capsys.readouterr().err
    assert status in {1, 2}, error
    for word in words:
        assert word in error, error
    assert "Traceback" not in error


def test_a_missing_file_is_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for role in ("pre", "post", "footprints"):
        refused(capsys, run(place, tmp_path / "out", **{role: tmp_path / "nowhere.gpkg"}), "nowhere.gpkg", "not exist")
    assert not (tmp_path / "out").exists()


def test_what_is_no_raster_is_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.tif").write_text("hello")
    refused(capsys, run(place, tmp_path / "out", post=tmp_path / "text.tif"), "text.tif", "not a raster")


def test_a_truncated_image_is_named_and_leaves_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (place / "post.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    refused(capsys, run(place, tmp_path / "out", post=tmp_path / "cut.tif"), "cut.tif")
    assert not (tmp_path / "out").exists()


def test_images_of_different_places_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = Layer.open(place / "pre.tif")
    moved = image.grid.affine * Affine.translation(50_000, 0)
    write_geotiff(tmp_path / "far.tif", image.read()[0], crs=image.grid.crs, transform=moved)
    refused(capsys, run(place, tmp_path / "out", pre=tmp_path / "far.tif"), "do not overlap", "deepnets4eo check")


def test_one_image_without_crs_is_named_unless_both_have_one_size(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = Layer.open(place / "pre.tif").read()[0][:3]
    write_geotiff(tmp_path / "whole.png", pixels, crs=None, driver="PNG")
    write_geotiff(tmp_path / "part.png", pixels[:, :100], crs=None, driver="PNG")
    refused(capsys, run(place, tmp_path / "out", pre=tmp_path / "part.png"), "part.png has no CRS", "Georeference both")
    assert run(place, tmp_path / "out", pre=tmp_path / "whole.png") == 0
    assert (gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings")["method"] == "pre_post").any()
    said = capsys.readouterr().err
    assert "CAUTION: The pre image has no CRS. It was laid pixel on pixel on the post image" in said


def test_a_post_image_without_crs_that_is_laid_on_the_pre_image_is_a_caution(place: Path, tmp_path: Path) -> None:
    pixels = Layer.open(place / "post.tif").read()[0][:3]
    write_geotiff(tmp_path / "post.png", pixels, crs=None, driver="PNG")
    pair = open_pair(str(place / "pre.tif"), str(tmp_path / "post.png"), Settings())
    assert pair.post.grid == pair.pre.grid
    (finding,) = [one for one in check_images(pair).findings if one.code == "laid_by_pixels"]
    assert finding.severity == "caution"
    assert finding.message.startswith("The post image has no CRS.")
    assert "gdal_translate -a_srs" in finding.remedy
    assert len({finding.text(language=language) for language in LANGUAGES}) == 5


def test_outlines_in_degrees_are_refused_for_images_without_crs(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pre", "post"):
        write_geotiff(tmp_path / f"{name}.png", Layer.open(place / f"{name}.tif").read()[0][:3], crs=None, driver="PNG")
    images = {name: tmp_path / f"{name}.png" for name in ("pre", "post")}
    refused(
        capsys,
        run(place, tmp_path / "out", **images),
        "the image has no CRS but the footprints",
        "--footprints-crs pixels",
    )
    assert not (tmp_path / "out").exists()


def off_the_image(col: int, row: int) -> Polygon:
    """A house of 10 × 10 pixels at a pixel of the city's grid, whose image has 256 × 256."""
    grid = City(11, SIZE_PX, 0.5).grid
    return box(*(grid.affine * (col, row + 10)), *(grid.affine * (col + 10, row)))


def _outlines(path: Path, geometries: list, crs: str | None = "EPSG:32633") -> Path:
    gpd.GeoDataFrame(geometry=geometries, crs=crs).to_file(path)
    return path


@pytest.mark.parametrize(
    ("name", "geometries", "crs", "word"),
    [
        ("elsewhere.gpkg", [box(0, 0, 10, 10)], "EPSG:32633", "the one footprint of"),
        ("right.gpkg", [off_the_image(500, 100)], "EPSG:32633", "the one footprint of"),
        ("left.gpkg", [off_the_image(-500, 100)], "EPSG:32633", "the one footprint of"),
        ("below.gpkg", [off_the_image(100, 500)], "EPSG:32633", "the one footprint of"),
        ("above.gpkg", [off_the_image(100, -500)], "EPSG:32633", "the one footprint of"),
        ("lines.gpkg", [LineString([(0, 0), (5, 5)])], "EPSG:32633", "polygon"),
        ("plain.shp", [box(0, 0, 10, 10)], None, "CRS"),
        ("empty.geojson", [], "EPSG:4326", "empty"),
    ],
)
def test_footprints_that_cannot_serve_are_refused(
    name: str,
    geometries: list,
    crs: str | None,
    word: str,
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = _outlines(tmp_path / name, geometries, crs)
    refused(capsys, run(place, tmp_path / "out", footprints=path), name, word)


def test_flat_and_raised_footprints_give_the_same(place: Path, whole: Path, tmp_path: Path) -> None:
    flat = gpd.read_file(place / "footprints.gpkg")
    raised = flat.set_geometry(force_3d(flat.geometry.to_numpy(), 12.0), crs=flat.crs)
    raised.to_file(tmp_path / "raised.gpkg")
    assert run(place, tmp_path / "raised", footprints=tmp_path / "raised.gpkg") == 0
    a, b = (gpd.read_parquet(folder / "damage.parquet") for folder in (whole, tmp_path / "raised"))
    assert np.allclose(a["damage_prob"], b["damage_prob"], equal_nan=True)


def test_footprints_over_the_edge_are_kept_with_their_reason(place: Path, tmp_path: Path) -> None:
    given = gpd.read_file(place / "footprints.gpkg")
    west, _, _, north = gpd.GeoSeries([box(*given.total_bounds)], crs=given.crs).total_bounds
    far = Polygon([(west - 500, north), (west - 490, north), (west - 490, north - 10), (west - 500, north - 10)])
    extra = gpd.GeoDataFrame({"id": ["far"]}, geometry=[far], crs=given.crs)
    joined = gpd.GeoDataFrame(
        np.concatenate([given[["id", "geometry"]], extra]), columns=["id", "geometry"], crs=given.crs
    )
    joined.to_file(tmp_path / "f.gpkg")
    assert run(place, tmp_path / "out", footprints=tmp_path / "f.gpkg") == 0
    row = gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings").set_index("id").loc["far"]
    assert row["status"] == "not_assessed"
    assert "outside" in row["reason"]


def test_an_image_of_nan_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Layer.open(place / "post.tif").grid
    nothing = np.full((3, *grid.shape), np.nan, np.float32)
    write_geotiff(tmp_path / "nan.tif", nothing, crs=grid.crs, transform=grid.affine)
    refused(capsys, run(place, tmp_path / "out", post=tmp_path / "nan.tif"), "nan.tif has no valid pixel")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_needs_overwrite(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep me")
    refused(capsys, run(place, tmp_path / "out"), "exists already", "--overwrite")
    assert run(place, tmp_path / "out", "--overwrite") == 0
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep me"


def test_one_surface_model_alone_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, run(place, tmp_path / "out", "--dsm-pre", str(place / "dsm_pre.tif")), "--dsm-pre and --dsm-post")


def test_radar_is_refused_without_a_network(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Layer.open(place / "post.tif").grid
    speckle = np.random.default_rng(0).gamma(1, 60, grid.shape).clip(0, 255).astype(np.uint8)
    write_geotiff(tmp_path / "sar.tif", speckle, crs=grid.crs, transform=grid.affine)
    refused(capsys, run(place, tmp_path / "out", post=tmp_path / "sar.tif"), "sar.tif looks like radar", "--model RUN")
