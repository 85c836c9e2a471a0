"""Counts from buildings that a person looked at: the draw, the file, the answers that are refused, intervals that hold."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from refusals import raises_naming
from scipy.special import expit

from deepnets4eo.cli.main import main
from deepnets4eo.damage import GRADES
from deepnets4eo.damage.review import Sample, answers, draw_sample, review_counts
from deepnets4eo.damage.review.counts import _recalibrated
from deepnets4eo.damage.review.sample import _looks_by_stratum
from deepnets4eo.errors import InputError


def make_table(share: float, count: int = 600, seed: int = 0, bias: float = 0.0) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """A map that is right more often than not, or off by `bias`, and which buildings are damaged."""
    rng = np.random.default_rng(seed)
    damaged = rng.permutation(count) < round(share * count)
    odds = 4 * (rng.normal(size=count) / 2 + damaged - 0.5) + bias
    prob, unseen = 1 / (1 + np.exp(-odds)), rng.random(count) < 0.05
    side, x = rng.uniform(8, 25, count), np.arange(count) * 40.0
    columns = {
        "id": [f"b{number}" for number in range(count)],
        "status": np.where(unseen, "not_assessed", "assessed"),
        "damage_prob": np.where(unseen, np.nan, prob),
        "damage": np.where(unseen, None, np.where(prob > 0.5, "destroyed", "no-damage")),
    }
    return gpd.GeoDataFrame(columns, geometry=shapely.box(x, 0, x + side, side), crs="EPSG:32615"), damaged


def look(rows: np.ndarray, damaged: np.ndarray) -> dict[int, str]:
    return {int(row): "destroyed" if damaged[row] else "no-damage" for row in rows}


@pytest.mark.parametrize("looks", [1, 7, 60, 600, 700])
def test_as_many_as_wanted_are_drawn_and_none_twice(looks: int) -> None:
    table, _ = make_table(0.3)
    sample = draw_sample(table, looks, seed=3)
    assert len(np.unique(sample.rows)) == min(looks, 600)
    np.testing.assert_array_equal(sample.rows, draw_sample(table, looks, seed=3).rows)
    if looks == 60:
        assert set(sample.stratum[sample.rows]) == set(sample.stratum)
        assert set(sample.rows) != set(draw_sample(table, looks, seed=4).rows)


def test_the_first_answers_count_where_no_building_of_the_likeliest_strata_was_among_them() -> None:
    table, damaged = make_table(0.3)
    sample = draw_sample(table, 60, likeliest=0)
    rows = sample.rows[sample.stratum[sample.rows] == 2][:3]  # all are of one stratum, below the last
    counts = review_counts(sample, look(rows, damaged), table["damage"])
    named = table["damage"].to_numpy(object)[rows]
    right = named == np.where(damaged[rows], "destroyed", "no-damage")
    assert counts.looked_at == 3
    assert counts.agreement["share"] == pytest.approx(right.mean())  # one stratum: all weigh alike


def test_all_buildings_looked_at_leave_no_doubt() -> None:
    table, damaged = make_table(0.3)
    counts = review_counts(draw_sample(table, 600), look(np.arange(600), damaged), table["damage"])
    assert counts.buildings["damaged"] == {"expected": 180.0, "interval_95": [180.0, 180.0]}
    assert counts.buildings["destroyed"]["expected"] + counts.buildings["no-damage"]["expected"] == 600
    assert counts.built_area_m2["damaged"]["expected"] == pytest.approx(table.geometry.area[damaged].sum())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_intervals_hold_the_truth_whatever_the_share_and_the_bias_of_the_map(share: float) -> None:
    held, width = [], []
    for seed in range(12):
        table, damaged = make_table(share, seed=seed, bias=(-2.0, 0.0, 2.0)[seed % 3])
        sample = draw_sample(table, 100, seed, likeliest=0)
        low, high = review_counts(sample, look(sample.rows, damaged), table["damage"]).buildings["damaged"][
            "interval_95"
        ]
        held.append(low <= damaged.sum() <= high)
        width.append((high - low) / len(table))
    assert np.mean(held) >= 0.85
    assert np.min(width) > 0
    assert np.mean(width) < (
        0.06 if share == 0 else 0.17
    )  # where all that was seen contradicts the map, it weighs less


def make_rare(seed: int = 0) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """A SYNTHETIC map of 400 buildings, 12 of them damaged, most of which are among the 20 most probable."""
    table, _ = make_table(0.0, count=400, seed=seed)
    damaged = np.random.default_rng(seed).permutation(400) < 12
    odds = np.random.default_rng(seed + 1).normal(-4, 1, 400) + 3 * damaged
    return table.assign(status="assessed", damage_prob=expit(odds), damage="no-damage"), damaged


def test_half_of_the_looks_are_at_the_likeliest_buildings_unless_a_plain_sample_is_wanted() -> None:
    table, _ = make_rare()
    sample = draw_sample(table, 60)
    likeliest = np.argsort(-table["damage_prob"].to_numpy())[:30]
    assert sample.likeliest == 30
    assert set(likeliest) <= set(sample.rows)
    assert set(np.flatnonzero(sample.stratum == 0)) == set(likeliest)
    assert 3 < np.isin(sample.rows[:20], likeliest).sum() < 17  # any first part is a sample, too
    common = table.assign(damage_prob=table["damage_prob"] + 0.2)  # more damaged buildings than half of the looks
    assert draw_sample(common, 60).likeliest == 30
    assert draw_sample(common, 60, likeliest=0).likeliest == 0


def test_counts_with_half_of_the_looks_at_the_likeliest_buildings_are_unbiased() -> None:
    """The mean over 150 draws is the truth within three standard errors; without the weights it would be several times as high."""
    table, damaged = make_rare()
    numbers, held = [], []
    for seed in range(150):
        sample = draw_sample(table, 60, seed)
        counts = review_counts(sample, look(sample.rows, damaged), table["damage"], seed=seed).buildings["damaged"]
        numbers.append(counts["expected"])
        held.append(counts["interval_95"][0] <= damaged.sum() <= counts["interval_95"][1])
    error = np.std(numbers) / np.sqrt(len(numbers))
    assert abs(np.mean(numbers) - damaged.sum()) < 3 * error + 1e-9
    assert np.mean(damaged[sample.rows]) * len(table) > 4 * damaged.sum()
    assert np.mean(held) >= 0.93


def test_a_sample_of_an_earlier_version_is_counted_as_it_was_drawn(tmp_path: Path) -> None:
    table, damaged = make_rare()
    path = tmp_path / "damage.parquet"
    table.to_parquet(path)
    answers.write_sample(tmp_path / "new.gpkg", path, looks=40)
    assert answers.read_answers(tmp_path / "new.gpkg", path)[0].likeliest == 20
    rows = draw_sample(table, 40, likeliest=0).rows
    answers.write_looks(tmp_path / "old.gpkg", path, table, rows, seed=0)
    with closing(sqlite3.connect(tmp_path / "old.gpkg")) as database, database:
        database.execute("ALTER TABLE drawn DROP COLUMN likeliest")
    np.testing.assert_array_equal(answers.read_answers(tmp_path / "old.gpkg", path)[0].rows, rows)


def test_answers_that_are_none_or_of_chosen_buildings_alone_are_refused() -> None:
    table, damaged = make_table(0.3)
    sample = draw_sample(table, 20)
    other = next(row for row in range(600) if row not in sample.rows)
    with pytest.raises(InputError, match="no building that was drawn"):
        review_counts(sample, {other: "destroyed"}, table["damage"])
    with raises_naming(InputError, "'gone'"):
        review_counts(sample, {int(sample.rows[0]): "gone"}, table["damage"])
    with pytest.raises(InputError, match="no building that was drawn was given a grade"):
        review_counts(sample, {int(sample.rows[0]): "cannot-tell"}, table["damage"])


def test_outlines_without_a_building_and_under_cloud_are_none_of_the_buildings_that_are_counted() -> None:
    table, damaged = make_table(0.6)
    table, damaged = table[:180], damaged[:180]
    sample, none, cloud = draw_sample(table, 180), np.arange(180) % 9 == 0, np.arange(180) % 20 == 1
    answers = look(sample.rows, damaged) | dict.fromkeys(np.flatnonzero(none).tolist(), "no-building")
    answers |= dict.fromkeys(np.flatnonzero(cloud & ~none).tolist(), "cloud")
    found = review_counts(sample, answers, table["damage"])
    there = ~none & ~cloud
    number = int((damaged & there).sum())
    assert (found.looked_at, found.left_out, found.cannot_tell) == (there.sum(), 180 - there.sum(), 0)
    assert found.buildings["damaged"] == {"expected": number, "interval_95": [number, number]}
    assert found.population == {"expected": there.sum(), "interval_95": [there.sum(), there.sum()]}
    assert found.share["expected"] == pytest.approx(number / there.sum())
    assert f"{number} of {there.sum()} buildings damaged" in found.headline()
    part = review_counts(sample, {row: answers[row] for row in sample.rows[:60].tolist()}, table["damage"])
    low, high = part.population["interval_95"]
    assert 100 < low <= there.sum() <= high < 180
    assert {said for row in found.agreement["table"].values() for said in row} <= set(GRADES)


def fill(path: Path, answers: dict[str, str]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "UPDATE sample SET answer = ? WHERE id = ?", [(said, name) for name, said in answers.items()]
        )


def test_a_sample_is_filled_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, damaged = make_table(0.3)
    folder = tmp_path / "map"
    folder.mkdir()
    table.to_parquet(folder / "damage.parquet")
    assert main(["review", str(folder), "--looks", "80"]) == 0
    assert "80 buildings drawn" in capsys.readouterr().err
    sample = folder / "review.gpkg"
    names = gpd.read_file(sample, layer="sample")["id"].tolist()
    assert "damage" not in gpd.read_file(sample, layer="sample").columns  # nobody is led by the map
    said = {name: "destroyed" if damaged[int(name[1:])] else "no-damage" for name in names[:60]}
    fill(sample, said | {names[60]: "cannot-tell"})
    second = tmp_path / "second.gpkg"
    second.write_bytes(sample.read_bytes())
    fill(second, {names[0]: "minor-damage"})
    halves = gpd.GeoDataFrame({"name": ["west", "east", "sea"]}, geometry=shapely.box([-1, 12_000, 9e5], -9, [12_000, 9e5, 1e6], 99), crs="EPSG:32615")  # fmt: skip
    halves.to_file(tmp_path / "areas.gpkg")
    assert main(["review", str(folder), str(sample), str(second), "--areas", str(tmp_path / "areas.gpkg")]) == 0
    assert "buildings damaged (" in capsys.readouterr().err
    counts = json.loads((folder / "review.json").read_text())
    assert (counts["looked_at"], counts["cannot_tell"]) == (60, 1)
    assert [area["of"] for area in counts["areas"]] == [300, 300, 0]
    assert "buildings" not in counts["areas"][2]
    assert counts["kappa"][str(second)]["buildings"] == 61
    assert 0.9 < counts["kappa"][str(second)]["kappa"] < 1
    assert 0.5 < counts["agreement"]["share"] <= 1


def test_qgis_opens_a_sample_with_its_answers_to_choose_from(tmp_path: Path) -> None:
    make_table(0.3)[0].to_parquet(tmp_path / "damage.parquet")
    assert main(["review", str(tmp_path), "--looks", "4"]) == 0
    (style,) = gpd.read_file(tmp_path / "review.gpkg", layer="layer_styles").itertuples()
    assert (style.f_table_name, style.f_geometry_column, style.useAsDefault) == ("sample", "geom", True)
    assert all(f'value="{answer}"' in style.styleQML for answer in ("no-damage", "destroyed", "cannot-tell"))


@pytest.mark.parametrize(
    ("option", "message"),
    [(["--next", "5"], "were drawn or chosen before"), (["--update"], "damage.gpkg does not exist")],
    ids=["no building is left", "no map to update"],
)
def test_what_cannot_be_taught_is_refused_before_the_long_look_at_buildings(
    option: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, damaged = make_table(0.3, count=40)
    table.to_parquet(tmp_path / "damage.parquet")
    assert main(["review", str(tmp_path), "--looks", "40"]) == 0
    fill(tmp_path / "review.gpkg", {f"b{row}": "destroyed" if damaged[row] else "no-damage" for row in range(40)})
    monkeypatch.setattr("deepnets4eo.damage.review.look_of_map", lambda *_, **__: pytest.fail("it takes minutes"))
    assert main(["review", str(tmp_path), *option]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("UPDATE sample SET answer = 'gone' WHERE look = 1", "'gone'; expected one of"),
        ("UPDATE sample SET id = 'x', answer = 'destroyed' WHERE look = 1", "was not drawn"),
        ("UPDATE sample SET answer = 'destroyed', id = (SELECT id FROM sample WHERE look = 2) WHERE look < 3", "twice"),
        ("UPDATE drawn SET sha256 = 'other'", "drawn from another map"),
        ("DROP TABLE drawn", "is no sample"),
    ],
)
def test_a_spoilt_sample_is_refused(
    spoil: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, _ = make_table(0.3, count=60)
    table.to_parquet(tmp_path / "damage.parquet")
    assert main(["review", str(tmp_path), "--looks", "10"]) == 0
    with closing(sqlite3.connect(tmp_path / "review.gpkg")) as database, database:
        database.execute(spoil)
    assert main(["review", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_map_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", str(tmp_path)]) == 2
    assert "damage.parquet does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(("answered", "skipped"), [([], 0), ([7], 0), ([7, 3], 0), ([3], 1), ([7, 9], 1), ([5], 3)])
def test_looks_before_the_last_answer_without_one_count_as_skipped(answered: list[int], skipped: int) -> None:
    sample = Sample(np.array([7, 3, 9, 5]), np.zeros(10, int), np.zeros(10), np.ones(10), 0)
    assert answers._skipped(sample, dict.fromkeys(answered, "destroyed")) == skipped


def test_what_the_map_says_is_shifted_towards_what_was_seen_and_keeps_its_order():
    odds = np.linspace(-3, 3, 800)
    seen = np.random.default_rng(0).random(800) < expit(odds + 1)
    again = _recalibrated(expit(odds), np.arange(800), seen)
    assert (np.diff(again) > 0).all()
    np.testing.assert_allclose(again, expit(odds + 1), atol=0.06)


def test_a_small_certain_stratum_is_looked_at_four_times():
    np.testing.assert_array_equal(_looks_by_stratum(np.array([1000, 10]), np.array([0.5, 0.0]), 20), [16, 4])
