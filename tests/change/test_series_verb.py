"""`deepnets4eo series` from files to products; real series are ranked without an error."""

import json
import re
from datetime import date

import geopandas as gpd
import numpy as np
import pytest
import shapely
from block_jobs import OneByOne
from geotiff import write_geotiff
from made_up_series import BANDS, CELL, Change, make_series

from deepnets4eo.change import NoveltyOptions
from deepnets4eo.change.series import SeriesInputs, SeriesJob, SeriesProducts
from deepnets4eo.change.series.breaks import write_breaks
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.harmonic import HarmonicOptions
from deepnets4eo.change.series.page import SeriesChips, _positions
from deepnets4eo.change.series.ranking import cluster_color
from deepnets4eo.change.series.stack import ImageSeries, MaskRule
from deepnets4eo.cli.main import main
from deepnets4eo.errors import CompleteError, OtherJobError
from deepnets4eo.jobs import JobOutput, SharedWork

CHANGE = Change(3, 4, 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    for image in make_series(2, size=192, count=14, changes=(CHANGE,), clouds=0.1):
        tags = {"SYNTHETIC": "yes"}
        write_geotiff(folder / "images" / f"{image.day}.tif", image.sources[0], gsd=10, tags=tags)
        write_geotiff(folder / "masks" / f"mask_{image.day}.tif", image.masks[0], gsd=10)
    return folder


@pytest.fixture(scope="module")
def result(folder):
    words = [
        "--masks",
        folder / "masks",
        "--bands",
        ",".join(BANDS),
        "--set",
        f"cell_px={CELL}",
        "--set",
        "top=4",
        "--workers",
        1,
    ]
    words += [
        word
        for key in ("name=Fire <1>", "place=Valley", "sensor=Sentinel-2", "producer=Team 7")
        for word in ("--event", key)
    ]
    words += ["--set", "breaks_from=2020-01-20"]
    out = folder / "out"
    # 12 dates of history for the curve: two harmonics and a trend need as many
    assert main(["series", str(folder / "images"), "--out", str(out), *map(str, words)]) == 2
    assert main(["series", str(folder / "images"), "--out", str(out), *map(str, words[:-2]), "--overwrite"]) == 0
    return out


def test_a_dry_run_names_dates_and_pixels_and_writes_nothing(folder, tmp_path, capsys):
    words = ["series", str(folder / "images"), "--out", str(tmp_path / "out"), "--dry-run"]
    assert main(words) == 0
    dates = len(list((folder / "images").iterdir()))
    assert re.search(rf"{dates} dates of \d+ x \d+ px would be ranked into .*out", capsys.readouterr().out)
    assert not list(tmp_path.iterdir())
    assert main([*words, "--set", "encoder=resnet18"]) == 2
    assert main(["series", str(folder / "images"), "--like", "1", "--dry-run"]) == 2
    assert "Leave --dry-run out" in capsys.readouterr().err


def test_embeddings_of_zeros_are_refused_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("deepnets4eo.change.series.job.rank_series", lambda *_, **__: pytest.fail("it was measured"))
    for month in range(1, 9):
        zeros = np.zeros((64, 40, 40), np.float32)
        write_geotiff(tmp_path / "zeros" / f"2020-{month:02}-01.tif", zeros, gsd=10, tags={"EMBEDDING": "alphaearth"})
    assert main(["series", str(tmp_path / "zeros"), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "all 8 dates" in message
    assert "2020-01-01.tif" in message
    assert not (tmp_path / "out").exists()


def test_the_products_are_on_the_ground_and_say_what_they_are(folder, result):
    table = gpd.read_file(result / "changes.gpkg", layer="changes")
    assert table.crs.to_epsg() == 32631
    first = table.iloc[0]
    left, bottom, right, top = first.geometry.bounds
    assert (left, top) == (500_000 + 4 * 160, 5_000_000 - 3 * 160)
    assert (right - left, top - bottom) == (160, 160)
    manifest = json.loads((result / "series.json").read_text())
    assert manifest["synthetic"]
    assert manifest["options"]["cell_px"] == CELL
    assert len(manifest["dates"]) == 14
    assert manifest["changes"] == len(table)
    style = gpd.read_file(result / "changes.gpkg", layer="layer_styles").iloc[0]
    assert 'attr="cluster"' in style["styleQML"]
    for cluster in table["cluster"].unique():
        assert f'value="{cluster}"' in style["styleQML"]
        assert f'value="{",".join(map(str, cluster_color(cluster)))},255"' in style["styleQML"]


def test_the_event_is_on_every_product(result):
    known = {"name": "Fire <1>", "place": "Valley", "sensor": "Sentinel-2", "credit": None, "producer": "Team 7"}
    assert json.loads((result / "series.json").read_text())["event"] == known
    rows = gpd.read_file(result / "changes.gpkg", layer="event").set_index("field")["value"]
    assert rows.dropna().to_dict() == {name: value for name, value in known.items() if value}
    page = (result / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<h1>Changes of 14 dates, [^<]*: Fire &lt;1&gt;, Valley</h1>", page)
    assert "<dt>Sensor</dt><dd>Sentinel-2</dd>" in page


def test_cells_and_breaks_by_other_processes_make_the_same_bytes(folder, tmp_path):
    series = ImageSeries.from_words(
        str(folder / "images"), SeriesInputs(masks=str(folder / "masks"), bands=",".join(BANDS))
    )
    executor, start, curve = OneByOne(), date(2019, 10, 1), HarmonicOptions(harmonics=1, trend=False)
    for out, how in ((tmp_path / "alone", None), (tmp_path / "shared", executor)):
        SeriesJob(series, JobOutput(out), NoveltyOptions(cell_px=CELL)).run(executor=how)
        shared = None if how is None else SharedWork(how, tmp_path / "blocks")
        write_breaks(series, out / "breaks.tif", start, options=curve, shared=shared)
    assert len(executor.done) == len(series) + 4
    for name in ("changes.npz", "report.html", "breaks.tif"):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert not list(tmp_path.glob(".partial*"))


def test_the_page_loads_nothing_and_shows_the_first_changes(result):
    page = (result / "report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC" in page
    assert page.count("<article") == 4
    assert page.count("data:image/webp;base64,") == 8
    assert page.count("data:image/jpeg;base64,") == 1, "the overview"
    assert not re.search(r"<script|https?://|url\(", page)
    targets = set(re.findall(r'id="(change-\d+)"', page))
    assert set(re.findall(r'href="#(change-\d+)"', page)) == targets


def test_the_picture_of_the_place_is_the_last_date_that_shows_it() -> None:
    """The last date lies under clouds for most of the place, the one before for a tenth."""
    images, clouds = np.ones((4, 3, 40, 40), np.uint8), np.zeros((4, 1, 40, 40), np.uint8)
    clouds[3, :, 10:], clouds[2, :, :4] = 1, 1
    dated = [DatedImage(date(2020, 1 + k, 1), (images[k],), (clouds[k],)) for k in range(4)]
    assert SeriesChips(ImageSeries(dated)).last_shown() == 2
    assert SeriesChips(ImageSeries(dated[3:])).last_shown() == 0


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:32701", 'LOCAL_CS["site",UNIT["metre",1]]', None])
def test_the_page_says_where_a_change_is(crs):
    shapes = gpd.GeoSeries([shapely.box(175_000, 4_101_400, 175_010, 4_101_480)], crs=crs)
    (position,) = _positions(shapes)
    if crs is None or crs.startswith("LOCAL"):
        assert position == f"x 175005.0, y 4101440.0 ({'no CRS' if crs is None else 'site'})"
        return
    lat, lon = map(float, re.fullmatch(r"latitude (-?\d+\.\d{6}), longitude (-?\d+\.\d{6})", position).groups())
    truth = shapes.centroid.to_crs(4326)[0]
    assert (lat, lon) == (pytest.approx(truth.y, abs=1e-6), pytest.approx(truth.x, abs=1e-6))


def test_the_changes_on_the_page_have_latitude_and_longitude(result):
    page = (result / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r"cells? at latitude 45\.\d{6}, longitude 3\.\d{6}</p>", page)) == 4


def test_the_changes_most_like_one_are_listed(result, capsys):
    capsys.readouterr()
    assert main(["series", str(result), "--like", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"\d+: 20\d\d-\d\d-\d\d, similarity -?[\d.]+, score [\d.]+, cluster \d+", lines[0])
    assert main(["series", str(result), "--like", "1", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [int(line.split(":")[0]) for line in lines]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images"], "--out is missing"),
        (["images", "--out", "x", "--like", "1"], "Leave --out out"),
        (["images", "--out", "x", "--set", "breaks_from=soon"], "--set breaks_from soon is no date"),
        (["images", "--out", "x", "--set", "breaks_from=2019-13-01"], "--set breaks_from 2019-13-01 is no date"),
        (["images", "--out", "x", "--bands", "nir=four"], "is not of the form name=number"),
        (["images", "--out", "x", "--masks", "masks", "--set", "mask_values=a"], "--set mask_values=a are not numbers"),
        (["images", "--out", "x", "--bands", "red,nir"], "has 4 bands, but 2 names were given"),
        (["images", "--out", "x", "--set", "cell_px=512"], "less than a cell of 512"),
        (
            ["images", "--out", "x", "--masks", "masks", "--set", "mask_values=0,1"],
            "no cell of 32 px has 70% of valid pixels",
        ),
        (["images", "--out", "x", "--set", "mask_values=3"], "--set mask_values was given without a mask"),
        (["images", "--out", "x", "--set", "mask_above=50"], "--set mask_above was given without a mask"),
        (["images", "--out", "x", "--masks", "masks", "--set", "mask_band=1"], "Choose one of them"),
        (
            ["images", "--out", "x", "--masks", "masks", "--set", "mask_values=3", "--set", "mask_above=5"],
            "--set mask_values and --set mask_above were given",
        ),
        (["images", "--out", "x", "--set", "break_of=nir"], "--set break_of=nir was given without --set breaks_from"),
        (["images/2019-01-15*", "--out", "x"], "the series has 1 dates with valid cells, expected at least 6"),
    ],
)
def test_wrong_input_is_refused_with_what_to_do(folder, words, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["series", *words]) == 2
    assert message in capsys.readouterr().err


def test_breaks_of_an_earlier_job_go_and_the_manifest_says_what_was_detected(tmp_path):
    series = ImageSeries(make_series(2, size=64, count=18, changes=(Change(1, 1, 7),)))
    assert series.bands_assumed
    output, options = JobOutput(tmp_path, overwrite=True), NoveltyOptions(cell_px=CELL)
    SeriesJob(series, output, options, SeriesProducts(breaks_from=series.dates[13].isoformat())).run()
    manifest = json.loads((tmp_path / "series.json").read_text())
    assert manifest["breaks"] == {"of": "ndvi", "from": series.dates[13].isoformat()}
    assert manifest["bands"] == ["red", "green", "blue", "nir"]
    assert manifest["bands_assumed"]
    assert (tmp_path / "breaks.tif").is_file()
    SeriesJob(series, output, options).run()
    assert not (tmp_path / "breaks.tif").exists()
    assert json.loads((tmp_path / "series.json").read_text())["breaks"] is None
    again = JobOutput(tmp_path, resume=True)
    with pytest.raises(CompleteError):
        SeriesJob(series, again, options, workers=3).run()
    other = ImageSeries(make_series(3, size=64, count=10))
    for job, differing in (
        (SeriesJob(series, again, NoveltyOptions(cell_px=2 * CELL)), {"cell_px"}),
        (SeriesJob(other, again, options), {"images"}),
    ):
        with pytest.raises(OtherJobError) as error:
            job.run()
        assert differing <= set(error.value.differing)


def test_a_stopped_job_leaves_the_earlier_result_whole(tmp_path, monkeypatch):
    series = ImageSeries(make_series(2, size=64, count=10, changes=(Change(1, 1, 7),)))
    output = JobOutput(tmp_path / "out", overwrite=True)
    SeriesJob(series, output, NoveltyOptions(cell_px=CELL)).run()
    before = {path.name: path.read_bytes() for path in output.out.iterdir()}

    def stop(*_words, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepnets4eo.change.series.job.write_page", stop)
    with pytest.raises(KeyboardInterrupt):
        SeriesJob(series, output, NoveltyOptions(cell_px=CELL, history=4)).run()
    assert {path.name: path.read_bytes() for path in output.out.iterdir()} == before
    assert not list(tmp_path.glob(".partial-*-out*"))


REAL = {
    "landsat_series/landsat": (dict(bands=["swir", "nir", "red", "green"]), NoveltyOptions(cell_px=16)),
    "modis_ndvi_series/TERRA*": (dict(bands=["ndvi"]), NoveltyOptions(cell_px=8)),
    "s2_flood_series/S2": (
        dict(bands={"green": 3, "red": 4, "nir": 8}, mask=MaskRule(above=50, band=15)),
        NoveltyOptions(cell_px=8, persistence=0),
    ),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_a_real_series_is_ranked(name, real_data, tmp_path):
    how, options = REAL[name]
    series = ImageSeries.open(str(real_data / name), **how)
    _, paths = SeriesJob(series, JobOutput(tmp_path), options, SeriesProducts(top=2)).run()
    assert "report.html" in {path.name for path in paths}
    table = gpd.read_file(tmp_path / "changes.gpkg")
    assert np.isfinite(table["score"]).all()
    assert (table["score"] > 0).all()


@pytest.mark.real_data
def test_breaks_of_a_real_series_are_rarer_than_clouds(real_data):
    """68 dates of NDVI over Slovenia, 2015 to 2017, with its cloud masks; no labels of change, so only that it runs."""
    from deepnets4eo.change.series.dates import find_images
    from deepnets4eo.change.series.harmonic import decimal_years, detect_breaks

    folder = real_data / "eolearn_ndvi_series"
    days = [text[:10] for text in json.loads((folder / "TestEOPatch" / "timestamps.json").read_text())]
    values = np.load(folder / "data" / "NDVI.npy")[..., 0]
    clouds = np.load(folder / "mask" / "CLM.npy")[..., 0]
    unique = [index for index, day in enumerate(days) if day not in days[:index]]
    images = find_images([values[index] for index in unique], dates=[days[index] for index in unique])
    times = decimal_years([image.day for image in images])
    flat = values[unique].reshape(len(unique), -1)
    valid = np.isfinite(flat) & (clouds[unique].reshape(len(unique), -1) == 0)
    breaks = detect_breaks(flat, valid, times, 2017.0)
    assert breaks.monitored.mean() > 0.9
    assert np.isfinite(breaks.time).mean() < 0.5
    assert breaks.time[np.isfinite(breaks.time)].min() >= 2017
