"""Samples that were edited by hand, are locked, or hold long and foreign texts: named, and never counted as if they were whole."""

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from geotiff import write_geotiff

from deepnets4eo.cli.main import main
from deepnets4eo.damage.review import read_answers, review_counts, write_review, write_sample
from deepnets4eo.damage.review.map_images import open_images
from deepnets4eo.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 200 buildings in a folder with an Arabic name and marks of addresses, the first eight looks of 20 answered."""
    folder = tmp_path_factory.mktemp("خريطة 100 %#?")
    rng, x = np.random.default_rng(0), np.arange(200) * 40.0
    prob = rng.random(200)
    columns = {
        "id": [f"مبنى {number}" for number in range(200)],
        "status": "assessed",
        "damage_prob": prob,
        "damage": np.where(prob > 0.5, "destroyed", "no-damage"),
    }
    gpd.GeoDataFrame(columns, geometry=shapely.box(x, 0, x + 12, 12), crs="EPSG:32615").to_parquet(
        folder / "damage.parquet"
    )
    write_sample(folder / "review.gpkg", folder / "damage.parquet", 20)
    edit(folder / "review.gpkg", "UPDATE sample SET answer = iif(look % 2, 'destroyed', 'no-damage') WHERE look < 9")
    return folder


def edit(path: Path, change: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(change)


def edited(folder: Path, path: Path, change: str) -> Path:
    path.write_bytes((folder / "review.gpkg").read_bytes())
    edit(path, change)
    return path


def test_arabic_names_and_marks_of_addresses_are_read(folder: Path) -> None:
    assert write_review(folder, [folder / "review.gpkg"])[0].looked_at == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER TABLE sample DROP COLUMN answer", "no column 'answer'"),
        ("UPDATE sample SET id = printf('%.10000c', 'x') WHERE look = 1", "has none of that id"),
        ("UPDATE sample SET id = NULL WHERE look = 1", "has none of that id"),
        ("UPDATE sample SET answer = printf('%.10000c', 'x') WHERE look = 1", "expected one of"),
        ("UPDATE sample SET answer = 4 WHERE look = 1", "has the answer '4'"),
        ("UPDATE drawn SET looks = 'many'", "is no sample"),
        ("UPDATE drawn SET seed = NULL", "chosen buildings, which do not represent the others"),
        ("DELETE FROM drawn", "is no sample"),
    ],
)
def test_a_sample_whose_draw_is_not_known_any_more_is_refused_in_one_short_line(
    change: str, message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read_answers(edited(folder, tmp_path / "s.gpkg", change), folder / "damage.parquet")
    assert len(str(refused.value).replace(str(folder), "").replace(str(tmp_path), "")) < 250


def test_buildings_that_were_put_in_by_hand_count_as_seen_and_stand_for_no_others(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = folder / "damage.parquet"
    sample, answers, buildings = read_answers(folder / "review.gpkg", table)
    others = [row for row in range(200) if row not in sample.rows][:30]
    values = ", ".join(f"('{buildings['id'][row]}', 'destroyed')" for row in others)
    change = f"INSERT INTO sample (id, answer) VALUES {values}"
    with caplog.at_level(logging.WARNING):
        result, _ = write_review(folder, [edited(folder, tmp_path / "s.gpkg", change)])
    assert "30 buildings were put into the sample by hand" in caplog.text
    assert (result.looked_at, result.added) == (38, 30)
    rest = np.ones(200, bool)
    rest[others] = False
    alone = review_counts(sample, answers, buildings["damage"], rest)
    for kind, more in {"damaged": 30, "destroyed": 30, "no-damage": 0}.items():
        for counts, of_rest, size in (
            (result.buildings, alone.buildings, 1),
            (result.built_area_m2, alone.built_area_m2, 144),
        ):
            assert counts[kind]["expected"] == pytest.approx(of_rest[kind]["expected"] + more * size)
            assert counts[kind]["interval_95"] == pytest.approx(
                [end + more * size for end in of_rest[kind]["interval_95"]]
            )


def test_of_another_draw_only_what_both_have_stands_for_others(folder: Path, tmp_path: Path) -> None:
    path = edited(folder, tmp_path / "s.gpkg", "UPDATE drawn SET looks = 19, seed = 5")
    sample, answers, _ = read_answers(path, folder / "damage.parquet")
    assert write_review(folder, [path])[0].added == sum(row not in sample.rows for row in answers) > 0


@pytest.mark.parametrize(
    ("change", "skipped"),
    [
        ("DELETE FROM sample WHERE look IN (3, 4)", 2),
        ("UPDATE sample SET answer = NULL WHERE look = 1", 1),
        ("UPDATE sample SET look = 99 - look", 0),
    ],
)
def test_looks_that_were_passed_over_are_counted_and_said(
    change: str, skipped: int, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        write_review(folder, [edited(folder, tmp_path / "s.gpkg", change)])
    assert ("passed over before the last" in caplog.text) == bool(skipped)
    assert json.loads((folder / "review.json").read_text())["skipped"] == skipped


def test_locked_missing_and_other_files_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *words, **options: opened(*words, **options | {"timeout": 0.1}))
    path = edited(folder, tmp_path / "s.gpkg", "UPDATE sample SET note = 'x'")
    with closing(opened(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert main(["review", str(folder), str(path)]) == 2
        database.execute("ROLLBACK")
    assert "locked by another program" in capsys.readouterr().err
    assert main(["review", str(folder), str(tmp_path / "none.gpkg")]) == 2
    assert "none.gpkg does not exist" in capsys.readouterr().err
    (tmp_path / "text.gpkg").write_text("no sample")
    assert main(["review", str(folder), str(tmp_path / "text.gpkg")]) == 2
    assert "text.gpkg could not be read" in capsys.readouterr().err


def test_a_sample_is_drawn_beside_a_project_that_cannot_be_read(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "damage.parquet").write_bytes((folder / "damage.parquet").read_bytes())
    (tmp_path / "damage.qgz").write_bytes(b"no archive")
    with caplog.at_level(logging.WARNING):
        write_sample(tmp_path / "review.gpkg", tmp_path / "damage.parquet", 3)
    assert "damage.qgz cannot be read as a project of QGIS. Open review.gpkg by itself" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"damage.parquet", "damage.qgz", "review.gpkg"}


def test_how_often_a_reviewer_contradicts_herself_is_written(folder: Path, tmp_path: Path) -> None:
    again = edited(folder, tmp_path / "again.gpkg", "UPDATE sample SET answer = 'destroyed' WHERE look IN (2, 4)")
    write_review(folder, [folder / "review.gpkg", again])
    agreed = json.loads((folder / "review.json").read_text())["kappa"][str(again)]
    assert agreed["buildings"] == 8
    assert agreed["kappa"] == pytest.approx(0.5)  # 6 of 8 alike, 4 by chance


def test_areas_that_overlap_or_leave_gaps_and_ten_thousand_of_them_are_counted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def areas(left: np.ndarray, right: np.ndarray, names: list[str]) -> list[dict]:
        outlines = gpd.GeoDataFrame({"name": names}, geometry=shapely.box(left, -9, right, 99), crs="EPSG:32615")
        outlines.to_file(tmp_path / "حي.gpkg")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            write_review(folder, [folder / "review.gpkg"], tmp_path / "حي.gpkg")
        return json.loads((folder / "review.json").read_text())["areas"]

    counted = areas(np.array([-1, 1999]), np.array([3999, 5999]), ["ح" * 10_000, "<b>"])
    assert [(area["area"], area["of"]) for area in counted] == [
        ("ح" * 10_000, 100),
        ("<b>", 100),
        ("outside all areas", 50),
    ]
    assert "The areas overlap: 50 buildings" in caplog.text
    assert "The areas leave gaps: 50 buildings" in caplog.text
    edges = np.linspace(-1, 8000, 10_001)
    counted = areas(edges[:-1], edges[1:], [f"a{number}" for number in range(10_000)])
    assert (len(counted), sum(area["of"] for area in counted), caplog.text) == (10_000, 200, "")
    assert sum("buildings" in area for area in counted) == 8


def test_a_map_that_was_once_made_from_heights_opens_for_review(tmp_path: Path) -> None:
    for role in ("pre", "post"):
        heights = write_geotiff(
            tmp_path / f"{role}.tif", np.linspace(2, 9, 256, dtype=np.float32).reshape(1, 16, 16), gsd=1
        )
        with rasterio.open(heights, "r+") as file:
            file.units = ("m",)
    (tmp_path / "manifest.json").write_text(
        json.dumps(
            {"inputs": {role: {"path": str(tmp_path / f"{role}.tif")} for role in ("pre", "post")}, "parameters": {}}
        )
    )
    pair = open_images(tmp_path)
    assert pair.pre is not None
    assert (pair.pre.count, pair.post.shape) == (1, (16, 16))
