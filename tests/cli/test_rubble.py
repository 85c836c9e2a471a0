"""`deepnets4eo rubble` on files: all products are there, the points keep their number, and a second job needs --overwrite."""

import csv
import json

import geopandas as gpd
import laspy
import numpy as np
import pytest

from deepnets4eo.cli.main import main
from deepnets4eo.errors import CompleteError, OtherJobError
from deepnets4eo.jobs import JobOutput
from deepnets4eo.points import RubbleOptions, open_cloud
from deepnets4eo.points.rubble import RubbleJob
from deepnets4eo.synthetic import City, Event, aerial_scan


def write_laz(cloud, path):
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.system_identifier = "SYNTHETIC"
    header.offsets, header.scales = np.floor(cloud.xyz.min(axis=0)), [0.001] * 3
    header.add_crs(cloud.crs)
    las = laspy.LasData(header)
    las.x, las.y, las.z = cloud.xyz.T
    las.classification = np.where(cloud.classification == 70, 1, cloud.classification)
    las.red, las.green, las.blue = (cloud.colour.astype(np.uint16) * 257).T
    las.write(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rubble")
    city = City(6, 180, 0.5, event=Event(kind="quake", damage_shares=(0.5, 0.1, 0.1, 0.3)))
    for name in ("pre", "post"):
        write_laz(aerial_scan(getattr(city, name), 5.0), folder / f"{name}.laz")
    city.footprints(0.5).to_file(folder / "footprints.gpkg")
    return folder


def plan(words, output, options=RubbleOptions()):
    _, post, _, pre, _, footprints = words
    return RubbleJob.plan(post, [pre], footprints, output, options)


@pytest.mark.core("one job per verb")
def test_all_products_are_written_and_the_points_of_heaps_are_rubble(files, tmp_path, capsys):
    words = ["rubble", f"{files}/post.laz", "--pre", f"{files}/pre.laz", "--footprints", f"{files}/footprints.gpkg"]
    out = tmp_path / "out"
    assert main([*words, "--out", str(out), "--dry-run"]) == 0
    assert "would be measured" in capsys.readouterr().out
    assert not out.exists()
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out.split()
    assert sorted(printed) == sorted(str(path) for path in out.iterdir())
    resumed = JobOutput(out, resume=True)
    with pytest.raises(CompleteError):
        plan(words, resumed).run()
    with pytest.raises(OtherJobError) as error:
        plan(words, resumed, RubbleOptions(cell_m=1.0)).run()
    assert error.value.differing == ("cell_m",)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["synthetic"]
    assert set(manifest["products"]) | {"manifest.json"} == {path.name for path in out.iterdir()}
    assert gpd.list_layers(out / "rubble.gpkg")["name"].tolist() == ["buildings", "rubble", "layer_styles"]
    buildings, rubble = (gpd.read_file(out / "rubble.gpkg", layer=name) for name in ("buildings", "rubble"))
    assert len(buildings) == manifest["totals"]["buildings"]
    styles = gpd.read_file(out / "rubble.gpkg", layer="layer_styles").set_index("f_table_name")["styleQML"]
    assert set(styles.index) == {"buildings", "rubble"}
    assert [value in styles["buildings"] for value in buildings["state"].unique()] == [True] * buildings[
        "state"
    ].nunique()
    before, after = (open_cloud(path).read() for path in (files / "post.laz", out / "points.laz"))
    assert np.abs(before.xyz - after.xyz).max() < 1e-6
    assert (before.colour == after.colour).all()
    assert before.synthetic
    assert after.synthetic
    changed = before.classification != after.classification
    assert (after.classification[changed] == 70).all()
    inside = gpd.GeoSeries(gpd.points_from_xy(*after.xyz[changed, :2].T), crs=rubble.crs).within(
        rubble.union_all().buffer(0.01)
    )
    assert inside.all()
    assert changed.sum() > 20 * len(rubble)
    assert main([*words, "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_event_is_on_every_product(files, tmp_path):
    words = ["rubble", f"{files}/post.laz", "--footprints", f"{files}/footprints.gpkg", "--out", str(tmp_path / "out")]
    event = {"name": "Quake", "place": "Łódź", "date_post": "2024-01-01", "sensor_post": "ALS", "credit": "Ours"}
    assert main([*words, *(f"--event={name}={value}" for name, value in event.items())]) == 0
    out = tmp_path / "out"
    known = json.loads((out / "manifest.json").read_text())["event"]
    names = ("name", "place", "date_post", "date_pre")
    assert [known[name] for name in names] == ["Quake", "Łódź", "2024-01-01", None]
    rows = gpd.read_file(out / "rubble.gpkg", layer="event").set_index("field")["value"]
    assert (rows["name"], rows["sensor_post"]) == ("Quake", "ALS")
    assert len(gpd.read_file(out / "rubble.gpkg", layer="buildings")) > 0
    with (out / "rubble.csv").open(encoding="utf-8") as stream:
        rows = {(row["event"], row["place"], row["credit"]) for row in csv.DictReader(stream)}
    assert rows == {("Quake", "Łódź", "Ours")}
    text = "Rubble: Quake, Łódź\nEvent: Quake\nPlace: Łódź\nDate after: 2024-01-01\nSensor after: ALS\nCredit: Ours"
    with laspy.open(out / "points.laz") as points:
        records = [vlr for vlr in points.header.vlrs if (vlr.user_id, vlr.record_id) == ("LASF_Spec", 3)]
        assert [vlr.record_data_bytes().decode() for vlr in records] == [text]


def test_a_job_on_one_date_writes_what_is_wanted_and_says_what_it_lacks(files, tmp_path, capsys):
    words = ["rubble", f"{files}/post.laz", "--footprints", f"{files}/footprints.gpkg", "--out", str(tmp_path / "out")]
    assert main([*words, "--also", "none"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rubble.gpkg", "rubble.csv", "manifest.json"}
    assert "There are no heights from before" in capsys.readouterr().err
    assert main([*words, "--also", "obj", "--overwrite"]) == 2
    assert "expected some of laz, cityjson, roofs, or none" in capsys.readouterr().err
