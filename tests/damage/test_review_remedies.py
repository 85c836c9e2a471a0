"""What a map advises works as it is written: draw, answer, update, and the page shows what was answered."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from made_up_map import make_map_of_files

from deepnets4eo.cli.main import main
from deepnets4eo.damage import GRADES, DamageMap, review
from deepnets4eo.damage.review import Corrections, Taught, teach
from deepnets4eo.damage.review.map_before import map_before
from deepnets4eo.damage.review.moved_estimates import moved_estimates
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A map of 40 buildings, some of them not assessed, with its images and all products."""
    damage_map, images = make_map_of_files(tmp_path, 0.75)
    number, expected = damage_map.buildings["damage_prob"].count(), float(damage_map.buildings["damage_prob"].sum())
    interval = [expected - 3.0, expected + 3.0]
    damage_map.estimates = {"buildings": {"damaged": {"expected": expected, "interval_95": interval}}, "confusion": {}}
    share = {"value": expected / number, "interval_95": [end / number for end in interval]}
    damage_map.damaged_share = share | {"status": "measured", "intact": 0.0, "prior": 0.5}
    damage_map.save(tmp_path / "map", **images, also=())
    return tmp_path / "map"


def answer(path: Path, grade: str, rows: int | None = None) -> None:
    """Give the first looks of a sample one grade."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE sample SET answer = ? WHERE look <= ?", (grade, rows or 10_000))


def not_measured(*_: object, **__: object) -> None:
    raise AssertionError("what buildings look like takes minutes, and is not needed")


@pytest.mark.core("the only map taught by answers")
def test_twenty_buildings_that_were_drawn_and_answered_can_be_put_into_the_map(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(review, "look_of_map", not_measured, raising=False)
    assert main(["review", str(folder), "--looks", "20"]) == 0
    commands = re.findall("`[^`]*deepnets4eo (review .*?)`", capsys.readouterr().err)
    assert commands == [f"review {folder} --serve", f"review {folder}"]
    answer(folder / "review.gpkg", "destroyed")
    corrections = Corrections.read(folder, [folder / "review.gpkg"])
    assert len(corrections.answers) == 20
    assert 0 < corrections.graded < 20  # some of those drawn are not assessed
    assert main(["review", str(folder)]) == 0  # counts
    old = (folder / "report.html").read_bytes()
    assert main(["review", str(folder), "--update"]) == 0
    missing = 20 - corrections.graded
    assert f"--next {missing}" in capsys.readouterr().err
    assert main(["review", str(folder), "--next", str(missing)]) == 0  # the remedy that it names
    taught = gpd.read_file(folder / "damage.gpkg", layer="buildings")
    seen = taught[taught["reason"] == Reason.BY_PERSON.sentence]
    assert len(seen) == corrections.graded
    assert set(seen["damage"]) == set(seen["damage_set"]) == {"destroyed"}
    assert (seen[["damage_prob", "confidence"]] == 1).all(axis=None)
    assert gpd.read_file(folder / "damage.gpkg", layer="findings")["code"].tolist().count("taught") == 1
    assert (folder / "report.html").read_bytes() != old


def damaged_of(path: Path) -> int:
    """Buildings with major damage or worse in a product, as a reader of its format counts them."""
    if path.suffix == ".json":
        return int(read_json(path)["damaged"]["count"])
    if path.suffix == ".html":
        page = path.read_text(encoding="utf-8")
        return int(json.loads(page.split('id="page">')[1].split("</script>")[0])["summary"]["damaged"]["count"])
    tables = {".csv": pd.read_csv, ".parquet": gpd.read_parquet}
    table = tables.get(path.suffix, gpd.read_file)(path)
    return int(table["damage"].isin(["major-damage", "destroyed"]).sum())


def test_all_products_after_an_update_are_of_one_map_and_the_next_update_starts_from_the_map_before(
    tmp_path: Path,
) -> None:
    damage_map, images = make_map_of_files(tmp_path, 0.75)
    folder = tmp_path / "map"
    damage_map.save(folder, **images)
    names = [*(f"damage.{suffix}" for suffix in ("gpkg", "parquet", "csv", "geojson")), "summary.json", "report.html"]
    (old,) = {damaged_of(folder / name) for name in names}
    files, table = {path.name for path in folder.iterdir()}, sha256(folder / "damage.parquet")
    assert main(["review", str(folder), "--looks", "20"]) == 0
    answer(folder / "review.gpkg", "destroyed")
    taught, written = Corrections.read(folder).write_taught()
    assert {path.name for path in written} == files
    before, after = (read_json(path / "manifest.json")["inputs"] for path in (folder / "before_review", folder))
    assert {role: facts["sha256"] for role, facts in after.items()} == {
        role: facts["sha256"] for role, facts in before.items()
    }
    (new,) = {damaged_of(folder / name) for name in names}
    assert new == taught.with_answers(Corrections.read(folder).answers)["damage"].isin(DAMAGED).sum() > old
    assert DamageMap.load(folder).buildings["reason"].eq(Reason.BY_PERSON.sentence).any()
    outputs = read_json(folder / "manifest.json")["outputs"]
    assert {name: facts["sha256"] for name, facts in outputs.items()} == {
        name: sha256(folder / name) for name in outputs
    }
    assert sha256(folder / "before_review" / "damage.parquet") == table

    assert main(["review", str(folder)]) == 0  # the sample is still of this map
    again = [sha256(path) for path in Corrections.read(folder).write_taught()[1]]
    assert again == [sha256(path) for path in written]
    answer(folder / "review.gpkg", "no-damage")
    Corrections.read(folder).write_taught()
    (last,) = {damaged_of(folder / name) for name in names}
    assert last < old


def test_a_new_map_in_the_folder_is_not_taken_for_the_map_before_answers(tmp_path: Path) -> None:
    damage_map, images = make_map_of_files(tmp_path, 0.75)
    folder = tmp_path / "map"
    damage_map.save(folder, **images)
    assert main(["review", str(folder), "--looks", "20"]) == 0
    answer(folder / "review.gpkg", "destroyed")
    Corrections.read(folder).write_taught()
    assert map_before(folder) == folder / "before_review"
    damage_map.buildings["damage_prob"] *= 0.5
    damage_map.save(folder, **images, overwrite=True)
    assert map_before(folder) == folder
    with pytest.raises(InputError, match="review.gpkg"):
        Corrections.read(folder)


def test_without_its_images_the_taught_map_is_written_and_the_page_stays(folder: Path) -> None:
    assert main(["review", str(folder), "--looks", "20"]) == 0
    answer(folder / "review.gpkg", "no-damage")
    old = sha256(folder / "report.html")
    (folder.parent / "post.tif").unlink()
    assert Corrections.read(folder, [folder / "review.gpkg"]).write_taught()[1] == [folder / "taught.gpkg"]
    assert sha256(folder / "report.html") == old


@pytest.mark.parametrize("options", [["--update"], ["--update", "--next", "3"]])
def test_an_update_without_a_grade_is_refused_before_anything_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr(review, "look_of_map", not_measured, raising=False)
    assert main(["review", str(folder), "--looks", "20"]) == 0
    assert main(["review", str(folder), *options]) == 2
    answer(folder / "review.gpkg", "cannot-tell")
    assert main(["review", str(folder), *options]) == 2
    assert not (folder / "taught.gpkg").exists()


def test_what_answers_teach_moves_all_columns(folder: Path) -> None:
    buildings = DamageMap.load(folder).buildings
    rng = np.random.default_rng(0)
    assessed = np.flatnonzero(buildings["status"] == "assessed")
    worse = rng.random(len(buildings)) < 0.5
    buildings["ev_texture"] = np.where(worse, 3.0, -3.0) + rng.normal(0, 0.2, len(buildings))
    buildings.loc[assessed, ["damage_prob", "damage"]] = [0.97, "destroyed"]
    buildings.loc[assessed, ["damage_set", "confidence"]] = ["destroyed", 0.9]
    taught = teach(buildings, {row: GRADES[3] if worse[row] else GRADES[0] for row in assessed[:24]})
    assert taught.moved
    intact = taught.buildings.iloc[assessed[~worse[assessed]]]
    assert (intact["damage"] == "no-damage").all()
    assert intact["damage_set"].str.contains("no-damage").all()
    assert not intact.loc[intact["damage_prob"] < 0.05, "damage_set"].str.contains("destroyed").any()
    assert (intact["confidence"] <= 1 - intact["damage_prob"] + 1e-9).all()


def test_few_answers_leave_the_others_as_they_are(folder: Path) -> None:
    buildings = DamageMap.load(folder).buildings
    row = int(np.flatnonzero(buildings["status"] == "assessed")[0])
    taught = Taught.of_few(buildings, {row: "major-damage"})
    table = taught.with_answers({row: "major-damage"})
    others = buildings["id"] != buildings["id"].iloc[row]
    np.testing.assert_allclose(table.loc[others, "damage_prob"], buildings.loc[others, "damage_prob"])
    assert table.loc[others, "damage"].fillna("").tolist() == buildings.loc[others, "damage"].fillna("").tolist()
    assert table.loc[row, ["damage", "damage_prob", "confidence", "damage_set"]].tolist() == [
        "major-damage",
        1.0,
        1.0,
        "major-damage",
    ]


@pytest.mark.parametrize("rows", [6, 20])
@pytest.mark.core("the only update of a map's page")
def test_the_page_after_an_update_keeps_its_language_and_has_the_narrower_estimates(folder: Path, rows: int) -> None:
    page = folder / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace('<html lang="en"', '<html lang="fr"', 1), encoding="utf-8")
    before = DamageMap.load(folder)
    assert main(["review", str(folder), "--looks", "20"]) == 0
    answer(folder / "review.gpkg", "destroyed", rows)
    corrections = Corrections.read(folder, [folder / "review.gpkg"])
    assert corrections.count is not None
    counted = corrections.count.buildings["damaged"]
    taught, _ = corrections.write_taught()
    text = page.read_text(encoding="utf-8")
    assert '<html lang="fr"' in text
    assert "bâtiments" in text
    estimates = gpd.read_file(folder / "damage.gpkg", layer="estimates").set_index(["quantity", "of"])
    old, new = before.estimates["buildings"]["damaged"], estimates.loc[("buildings", "damaged")]
    table = taught.with_answers(corrections.answers)
    step = table["damage_prob"].sum() - before.buildings["damage_prob"].sum()
    assert step > 1
    most = len(table["damage_prob"].dropna())
    moved = [min(end + step, most) for end in (old["expected"], *old["interval_95"])]
    by_sample = np.subtract(*counted["interval_95"][::-1]) < moved[2] - max(moved[1], corrections.graded)
    assert by_sample == (rows == 20)
    assert new["value"] == pytest.approx(counted["expected"] if by_sample else moved[0], abs=0.01)
    assert corrections.graded <= new["low_95"] <= new["value"] <= new["high_95"] <= most
    assert estimates.loc[("share", "damaged"), "value"] == pytest.approx(new["value"] / most)


def test_estimates_move_with_the_answers_between_what_is_certain() -> None:
    buildings = {"damaged": {"expected": 1.0, "interval_95": [0.0, 3.0]}, "destroyed": None}
    p = np.array([[0.4, 0.2, 0.2, 0.2], [0.6, 0.1, 0.2, 0.1], [0.8, 0.1, 0.1, 0.0]])
    before = Grades.of_sides(p)
    after = before.with_rows(np.array([0]), Grades.of_numbers(np.array([3])))
    moved = moved_estimates({"buildings": buildings, "confusion": {}}, before, after, [0], np.array([50.0, 60, 70]))
    assert moved["buildings"]["damaged"] == {"expected": pytest.approx(1.6), "interval_95": [1.0, 3.0]}
    assert (moved["buildings"]["destroyed"], moved["built_area_m2"]) == (None, None)
    assert "confusion" not in moved
