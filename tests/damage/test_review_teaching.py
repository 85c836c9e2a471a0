"""Maps that learn from what people answered: what moves, what stays, and which buildings are looked at next."""

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from refusals import raises_naming
from scipy.special import logit
from sklearn.metrics import f1_score, roc_auc_score

from deepnets4eo.cli.main import main
from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products.content import DamageMapContent
from deepnets4eo.damage.products.tables import write_gpkg, write_parquet
from deepnets4eo.damage.review import Taught, choose_next, draw_sample, review_counts, taught_map, teach, teaching
from deepnets4eo.damage.review.regression import Side
from deepnets4eo.damage.table.buildings import NETWORK
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.errors import InputError

COUNT = 300


def make_map(known: float, seed: int = 0) -> tuple[gpd.GeoDataFrame, list[str]]:
    """A map that ranks damage poorly, evidence that ranks it better by `known`, and the true grades."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 4, COUNT)
    prob = 1 / (1 + np.exp(-(rng.normal(size=COUNT) + 1.2 * (grade >= 2) - 0.6)))
    named = np.where(prob > 0.5, 3, 0)
    x = np.arange(COUNT) * 40.0
    columns = {
        "id": [f"b{number}" for number in range(COUNT)],
        "damage": np.array(GRADES, object)[named],
        "damage_prob": prob,
        "confidence": 0.9 * np.maximum(prob, 1 - prob),
        "damage_set": "no-damage,minor-damage,major-damage",
        "status": "assessed",
        "reason": "",
        "method": "pre_post",
        "dx_px": 0.0,
        "dy_px": 0.0,
        "ev_new": known * grade + rng.normal(size=COUNT),
        "ev_empty": np.nan,
    }
    frame = gpd.GeoDataFrame(columns, geometry=shapely.box(x, 0, x + 20, 20), crs="EPSG:32615")
    frame.loc[:9, ["status", "damage", "damage_prob", "confidence"]] = ["not_assessed", None, np.nan, np.nan]
    return frame, [GRADES[number] for number in grade]


def right(buildings: gpd.GeoDataFrame, truth: list[str], rows: np.ndarray) -> float:
    return float(np.mean(buildings["damage"].to_numpy()[rows] == np.array(truth)[rows]))


def test_what_the_map_did_not_heed_is_learnt_from_answers() -> None:
    buildings, truth = make_map(known=2.0)
    answers = {row: truth[row] for row in range(100)} | {100: "cannot-tell"}
    taught = teach(buildings, answers)
    assert set(taught.moved) == {"damaged", "minor-damage", "destroyed"}
    assert taught.answers == 90  # ten were not assessed
    assert taught.after.f1 > taught.before.f1
    assert "F1" in taught.gain()
    rest = np.arange(101, COUNT)
    assert right(taught.buildings, truth, rest) > right(buildings, truth, rest) + 0.08
    assert taught.buildings["damage"][:10].isna().all()


def test_chance_seldom_moves_a_map_of_which_nothing_can_be_learnt() -> None:
    """Of 40 such draws of 20 answers one, of 40 answers three."""
    moved = 0
    for seed in range(10):
        buildings, _ = make_map(known=0.0, seed=seed)
        by_map = np.where(
            np.random.default_rng(seed).random(COUNT) < buildings["damage_prob"], "destroyed", "no-damage"
        )
        look = np.random.default_rng(seed).normal(size=(COUNT, 30))
        taught = teach(buildings, {row: str(by_map[row]) for row in range(10, 30)}, look=look)
        moved += bool(taught.moved)
        if not taught.moved:
            assert taught.buildings is buildings
            assert taught.before == taught.after
    assert moved <= 1


def test_twenty_answers_teach_what_damaged_buildings_look_like() -> None:
    """The map's evidence knows nothing; what the buildings look like does, in a direction that no fit has seen."""
    buildings, truth = make_map(known=0.0)
    damaged = np.isin(truth, GRADES[2:])
    rng = np.random.default_rng(5)
    look = rng.normal(size=(COUNT, 40)) + np.outer(damaged, rng.normal(size=40))
    look[200:210] = np.nan  # the post image does not show them
    answers = {row: truth[row] for row in range(10, 30)}
    rest = np.setdiff1d(np.arange(30, COUNT), np.arange(200, 210))
    alone, taught = teach(buildings, answers), teach(buildings, answers, look=look)
    assert "damaged" in taught.moved
    of = [
        roc_auc_score(damaged[rest], table["damage_prob"].to_numpy()[rest])
        for table in (alone.buildings, taught.buildings)
    ]
    assert of[1] > of[0] + 0.1
    assert np.isfinite(taught.buildings["damage_prob"][200:210]).all()


def test_few_answers_teach_nothing() -> None:
    buildings, truth = make_map(known=2.0)
    with raises_naming(InputError, "19 assessed"):
        teach(buildings, {row: truth[row] for row in range(29)})


def test_doubtful_buildings_unlike_those_looked_at_come_next() -> None:
    buildings, _ = make_map(known=2.0)
    sure = np.arange(10, COUNT) % 2 == 0
    buildings.loc[10:, "damage_prob"] = np.where(sure, 0.001, 0.45)
    buildings.loc[10:, "confidence"] = np.where(sure, 0.998, 0.3)
    buildings.loc[10:, "damage"] = np.where(sure, "no-damage", "minor-damage")
    shown = np.arange(10, 100)
    chosen = choose_next(buildings, {}, shown, 40)
    assert len(np.unique(chosen)) == 40
    assert chosen.min() >= 100  # neither shown nor without a grade
    assert np.mean(chosen % 2) > 0.9  # the doubtful ones
    assert len(choose_next(buildings, {}, shown, 1000)) == COUNT - 100
    assert len(choose_next(buildings, {}, np.empty(0, int), 3)) == 3


def fill(path: Path, truth: list[str]) -> list[str]:
    with closing(sqlite3.connect(path)) as database, database:
        names = [name for (name,) in database.execute("SELECT id FROM sample ORDER BY look")]
        database.executemany("UPDATE sample SET answer = ? WHERE id = ?", [(truth[int(n[1:])], n) for n in names])
    return names


def test_chosen_answers_move_a_copy_of_the_map_and_enter_no_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buildings, truth = make_map(known=2.0)
    content = DamageMapContent(buildings, gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)], crs=buildings.crs))
    old = write_gpkg(content, tmp_path / "damage.gpkg").read_bytes()
    write_parquet(content, tmp_path / "damage.parquet")
    assert main(["review", str(tmp_path), "--next", "30"]) == 0
    assert main(["review", str(tmp_path), "--next", "30"]) == 0
    first, second = (set(fill(tmp_path / f"next-{number}.gpkg", truth)) for number in (1, 2))
    assert not first & second
    capsys.readouterr()
    assert main(["review", str(tmp_path), "--update"]) == 0
    assert "60 answers put in; the others are graded again" in capsys.readouterr().err
    layers = [gpd.list_layers(tmp_path / name)["name"].tolist() for name in ("taught.gpkg", "damage.gpkg")]
    assert layers[0] == layers[1]
    taught = gpd.read_file(tmp_path / "taught.gpkg", layer="buildings").set_index("id")
    answered = [int(name[1:]) for name in first | second]
    assert right(taught, truth, np.array(answered)) == 1
    assert right(taught, truth, np.arange(10, COUNT)) > right(buildings, truth, np.arange(10, COUNT)) + 0.08
    sets = taught["damage_set"][10:]
    assert all(grade in kept for grade, kept in zip(taught["damage"][10:], sets, strict=True))
    assert "60 buildings have" in gpd.read_file(tmp_path / "taught.gpkg", layer="findings")["message"].iloc[0]
    assert (tmp_path / "damage.gpkg").read_bytes() == old
    assert main(["review", str(tmp_path), str(tmp_path / "next-1.gpkg")]) == 2
    assert "do not represent the others" in capsys.readouterr().err


def test_log_odds_of_sure_buildings_are_those_of_the_least_probability() -> None:
    table = {
        "damage": ["no-damage", "minor-damage", "destroyed"],
        "damage_prob": [0.0, 0.25, 1.0],
        "confidence": [1.0, 0.6, 0.9],
    }
    least = teaching.MIN_PROBABILITY
    odds = teaching._log_odds(pd.DataFrame(table))
    most, minor, destroyed = np.log((1 - least) / least), np.log(0.8 / 0.2), np.log(9.0)
    np.testing.assert_allclose(odds[:, 0], [-most, -np.log(3), most])
    np.testing.assert_allclose(odds[:, 1], [-most, minor, (minor - most) / 2])  # the last one has the mean of its side
    np.testing.assert_allclose(odds[:, 2], [destroyed] * 3)


def test_answers_that_change_nothing_are_no_gain():
    start = np.array([-1.0, 2.0, -0.5, 1.5])
    side = Side(np.zeros((4, 1)), np.array([False, True, True, True]), start)
    assert not side.gains(start)
    assert side.gains(start + np.array([-1.0, 1.0, 1.0, 1.0]))


def test_answers_leave_the_table_that_was_taught_as_it_was() -> None:
    table = pd.DataFrame({
        "id": list("abc"), "status": ["assessed", "assessed", "not_assessed"], "reason": ["", "greener", "too small"],
        "damage": [GRADES[0], GRADES[3], None], "damage_prob": [0.1, 0.9, np.nan], "confidence": [0.9, 0.8, np.nan],
        "damage_set": [GRADES[0], GRADES[3], None],
    })  # fmt: skip
    table["reason"] = table["reason"].astype(object)
    taught = Taught(table, Grades.of_numbers(np.array([0, 3, -1])), None, None, (), 1)
    answered = taught.with_answers({1: GRADES[2], 2: GRADES[3]})  # the last is not assessed
    assert answered["reason"].tolist() == ["", Reason.BY_PERSON.sentence, "too small"]
    assert answered.loc[1, "damage"] == GRADES[2]
    assert table["reason"].tolist() == ["", "greener", "too small"]
    assert table["damage"].tolist()[:2] == [GRADES[0], GRADES[3]]


def test_the_map_names_as_many_as_the_sample_counts_and_keeps_probabilities() -> None:
    p = np.zeros((8, 4))
    p[:, 3] = [0.9, 0.8, 0.6, 0.4, 0.3, 0.2, 0.01, np.nan]
    p[:, 0] = 1 - p[:, 3]
    grades = Grades.of_sides(p)
    frame = pd.DataFrame({"id": list("abcdefgh"), "status": ["assessed"] * 7 + ["not_assessed"], "reason": ""})
    table = pd.concat([frame, grades.table(frame.index)], axis=1)
    taught, answers = Taught(table, grades, None, None, (), 1), {0: "no-damage"}
    damaged = lambda low, high: set(table["id"][taught.within(low, high, answers).buildings["damage"].isin(GRADES[2:])])  # noqa: E731
    named = {"b", "c"}  # of the others, as they are
    assert damaged(0, 8) - {"a"} == named
    assert damaged(4, 4) - {"a"} == named | {"d", "e"}
    assert damaged(0, 1) - {"a"} == {"b"}
    assert damaged(6, 6) - {"a"} == named | {"d", "e", "f"}  # g is surely intact
    assert taught.within(0, 8, answers) is taught
    of_count = taught.within(4, 4, answers)
    pd.testing.assert_series_equal(of_count.buildings["damage_prob"], table["damage_prob"])
    assert of_count.buildings["reason"][3].startswith("less probable than not")


def test_forty_answers_teach_where_damage_is_rare() -> None:
    """SYNTHETIC: 12 of 300 are damaged, the map ranks them poorly, and what buildings look like ranks them well."""
    truth = np.array([GRADES[0]] * COUNT, object)
    rng = np.random.default_rng(3)
    damaged = np.isin(np.arange(COUNT), 10 + rng.permutation(COUNT - 10)[:12])
    truth[damaged] = GRADES[3]
    odds = rng.normal(-4, 1, COUNT) + 2.5 * damaged
    buildings, _ = make_map(known=0.0)
    prob = 1 / (1 + np.exp(-odds))
    named = np.where(prob > 0.5, GRADES[3], GRADES[0])
    buildings.loc[10:, "damage_prob"], buildings.loc[10:, "damage"] = prob[10:], named[10:]
    buildings.loc[10:, "confidence"] = np.maximum(prob, 1 - prob)[10:]
    look = rng.normal(size=(COUNT, 40)) + 2 * np.outer(damaged, rng.normal(size=40))
    scores = {}
    for name, likeliest in (("at random", 0), ("half at the likeliest", None)):
        of_draws = []
        for seed in range(3):
            sample = draw_sample(buildings, 40, seed, likeliest)
            answers = {int(row): str(truth[row]) for row in sample.rows}
            count = review_counts(sample, answers, buildings["damage"]).buildings["damaged"]["interval_95"]
            table = teach(buildings, answers, look=look).within(*count, answers).with_answers(answers)[10:]
            of_draws.append([
                roc_auc_score(damaged[10:], table["damage_prob"]),
                f1_score(damaged[10:], table["damage"].isin(GRADES[2:])),
            ])  # fmt: skip
        scores[name] = np.mean(of_draws, axis=0)
    own = [
        roc_auc_score(damaged[10:], prob[10:]),
        f1_score(damaged[10:], buildings["damage"][10:].isin(GRADES[2:])),
    ]
    assert (scores["half at the likeliest"] > own).all()
    assert scores["half at the likeliest"][1] > scores["at random"][1] - 0.02
    assert scores["half at the likeliest"][0] > 0.95


def test_grades_are_put_into_a_layer_whose_spatial_index_has_triggers() -> None:
    """As GeoPackages have it: functions of one geometry, which plain SQLite lacks."""
    columns = ["damage", "damage_prob", "damage_confidence", "damage_set", "reason", "likeliest"]
    with closing(sqlite3.connect(":memory:")) as database, database:
        database.execute(
            f"CREATE TABLE buildings (id TEXT, geom BLOB, {', '.join(dict.fromkeys([*taught_map.COLUMNS, *columns]))})"
        )
        database.execute("CREATE TABLE tree (low, high)")
        ends = "ST_MinX(NEW.geom), ST_MaxY(NEW.geom)"
        database.execute(
            f"CREATE TRIGGER inserted AFTER UPDATE ON buildings WHEN NOT ST_IsEmpty(NEW.geom) BEGIN INSERT INTO tree VALUES ({ends}); END"
        )
        database.executemany("INSERT INTO buildings (id, damage) VALUES (?, 'no-damage')", [("a",), ("b",)])
        frame = pd.DataFrame(
            {"id": ["b", "a"], "damage": ["destroyed", None], "damage_prob": [0.9, np.nan], "reason": ["", "cloud"]}
        )
        taught_map._update(database, frame)
        rows = database.execute("SELECT id, damage, damage_prob, reason FROM buildings ORDER BY id").fetchall()
        assert rows == [("a", None, None, "cloud"), ("b", "destroyed", 0.9, "")]
        assert database.execute("SELECT count(*) FROM tree").fetchone() == (0,)  # no geometry is known to be there


@pytest.mark.parametrize("kind", ["network", "prior", "neither"])
def test_a_network_and_a_prior_are_evidence_that_answers_weigh(kind: str) -> None:
    table, _ = make_map(known=1.0)
    rng = np.random.default_rng(0)
    if kind == "network":
        p = rng.uniform(0.05, 0.95, len(table))
        table = table.assign(**dict(zip(NETWORK, [0.8 * (1 - p), 0.2 * (1 - p), 0.3 * p, 0.7 * p], strict=True)))
    elif kind == "prior":
        p = rng.uniform(0.05, 0.95, len(table))
        table = table.assign(prior_probability=p)
    log_odds = teaching._log_odds(table)
    evidence = teaching._evidence(table, log_odds)
    plain = teaching._evidence(make_map(known=1.0)[0], log_odds)
    added = {"network": 3, "prior": 1, "neither": 0}[kind]
    assert evidence.shape[1] - plain.shape[1] == added
    if added:
        standard = (logit(p) - logit(p).mean()) / logit(p).std()
        assert any(np.allclose(column, standard, atol=1e-6) for column in evidence.T)


def test_buildings_of_which_the_network_thinks_otherwise_are_looked_at_first() -> None:
    table, _ = make_map(known=0.0)
    share = table["damage_prob"].fillna(0.5).to_numpy()
    other = np.arange(COUNT) % 40 == 11
    p = np.where(other, 1 - share, share)
    table = table.assign(**dict(zip(NETWORK, [1 - p, 0 * p, 0 * p, p], strict=True)))
    sure = np.abs(share - 0.5) > 0.35
    rows = choose_next(table, {}, np.zeros(0, np.intp), 30)
    assert (other & sure)[rows].mean() > 3 * (other & sure).mean()
