"""What a page of a review says while people answer, which buildings it chooses, and what buildings look like, kept beside the map."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from made_up_review import write_reviewed
from safetensors.numpy import load_file, save_file

from deepnets4eo.damage.review import (
    ReviewServer,
    look_of_map,
    read_answers,
    review_counts,
    rounds as rounds_module,
    site_look,
)
from deepnets4eo.damage.review.rounds import Rounds
from deepnets4eo.files import sha256
from deepnets4eo.outputs.served_page import Answers
from deepnets4eo.rasters import Layer

NUMBER, LOOKS = 80, 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_reviewed(tmp_path, looks=LOOKS, number=NUMBER, size_px=256)


def grades_of(folder: Path) -> dict[str, str]:
    """What a person says: the map is right, but that every fifth building is destroyed."""
    buildings = gpd.read_parquet(folder / "damage.parquet")
    named = buildings["damage"].fillna("no-damage").where(np.arange(len(buildings)) % 5 > 0, "destroyed")
    return dict(zip(buildings["id"], named, strict=True))


def answer(folder: Path, file: Path, most: int) -> None:
    truth, answers = grades_of(folder), Answers(file)
    for row in answers.rows()[:most]:
        if row.answer is None:
            assert answers.commit(row.fid, truth[row.id], None, (None, None))


def test_without_an_answer_the_page_says_what_is_missing(folder: Path) -> None:
    state = Rounds(folder, folder / "review.gpkg", 10).state()
    assert state == {
        "lines": ["Nothing is counted yet.", "From 20 grades on they teach the map: 0 so far."],
        "enough": False,
        "added": 0,
    }
    assert Rounds(folder, folder / "review.gpkg").state()["lines"] == ["Nothing is counted yet."]


def test_the_count_is_that_of_the_drawn_buildings_alone_whatever_the_chosen_ones_are(folder: Path) -> None:
    sample, rounds = folder / "review.gpkg", Rounds(folder, folder / "review.gpkg", 10)
    answer(folder, sample, 30)
    first = rounds.state()
    assert first["added"] == 5
    assert rounds.state()["added"] == 0  # those are not answered yet
    drawn, answers, buildings = read_answers(sample, folder / "damage.parquet")
    low, high = review_counts(drawn, answers, buildings["damage"]).share["interval_95"]
    assert f"Damaged: {low:.0%} to {high:.0%} of the buildings, by 30 " in first["lines"][0]
    chosen = Answers(folder / "next-1.gpkg").rows()
    assert not {row.id for row in chosen} & {row.id for row in Answers(sample).rows()}
    answer(folder, folder / "next-1.gpkg", 5)
    second = rounds.state()
    assert second["lines"][0] == first["lines"][0]
    assert second["lines"][1].startswith("Taught by ")
    assert second["added"] == 5
    assert (folder / "next-2.gpkg").exists()


def test_a_narrow_interval_and_two_rounds_without_changes_are_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds(folder, folder / "review.gpkg", 8)
    monkeypatch.setattr("deepnets4eo.damage.review.rounds.ENOUGH_WIDTH", 1.0)
    monkeypatch.setattr("deepnets4eo.damage.review.rounds.FEW_CHANGES", 1.0)
    told = []
    for number in (24, 32, LOOKS):
        answer(folder, folder / "review.gpkg", number)
        for path in rounds.chosen:
            answer(folder, path, 10)
        told.append(rounds.state())
    assert [one["enough"] for one in told] == [False, False, True]
    assert " changed the side of " in told[1]["lines"][2]
    assert told[-1]["lines"][-1].startswith("This is enough")


def test_answers_on_the_page_go_to_the_file_of_their_building(folder: Path) -> None:
    answer(folder, folder / "review.gpkg", 30)
    server = ReviewServer(folder, folder / "review.gpkg", "Anna", 10)
    with server:
        assert json.loads(server.post("state", {})[2])["added"] == 5
        rows = json.loads(server.get("sample.json")[2])["rows"]
        chosen = [row for row in rows if row.get("chosen")]
        assert [row["fid"] for row in chosen] == [f"next-1-{number}" for number in range(1, 6)]
        assert server.get(f"chips/{chosen[1]['fid']}/post/near")[0] == 200
        seen = {"answer": None, "note": None}
        body = {"fid": chosen[1]["fid"], "answer": "destroyed", "note": "gone", "seen": seen}
        assert server.post("answers", body)[0] == 200
        assert json.loads(server.post("answers", body)[2])["fid"] == chosen[1]["fid"]  # seen as it was before: refused
        before = [row.answer for row in Answers(folder / "review.gpkg").rows()]
    kept = [(row.answer, row.note, row.reviewer) for row in Answers(folder / "next-1.gpkg").rows()]
    assert kept == [(None, None, None), ("destroyed", "gone", "Anna"), *[(None, None, None)] * 3]
    assert sum(one is not None for one in before) == 30


def test_what_buildings_look_like_is_measured_once_for_each_map(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from deepnets4eo.damage.network.look_model import look_features

    buildings = gpd.read_parquet(folder / "damage.parquet")
    expected = look_features(Layer.open(folder.parent / "post.tif"), buildings.geometry.to_numpy())
    shares: list[float] = []
    np.testing.assert_allclose(look_of_map(folder, shares.append), expected, atol=2e-3, rtol=2e-3)
    assert shares[-1] == 1.0
    kept = load_file(folder / "look.safetensors")["features"]
    assert (kept.dtype, kept.shape) == (np.float16, (NUMBER, 496))
    calls = []
    monkeypatch.setattr(site_look, "look_features", lambda *_: calls.append(1) or np.zeros((NUMBER, 496)))
    np.testing.assert_array_equal(look_of_map(folder), kept)
    assert not calls
    (folder / "look.safetensors").write_bytes(b"broken")
    look_of_map(folder)
    about = {"sha256": sha256(folder / "damage.parquet")}
    for damaged in ({"features": kept[1:]}, {"features": kept[:, 1:]}, {"others": kept}):
        save_file(damaged, folder / "look.safetensors", metadata=about)
        assert look_of_map(folder).shape == (NUMBER, 496)
    buildings.assign(damage_prob=0.5).to_parquet(folder / "damage.parquet")  # another map
    look_of_map(folder)
    assert len(calls) == 5


def test_people_need_not_wait_for_what_buildings_look_like(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, go_on = Rounds(folder, folder / "review.gpkg", 10), Event()
    look = np.random.default_rng(0).normal(size=(NUMBER, 496))

    def measure(_: Path, progress: Callable[[float], None]) -> np.ndarray:
        progress(0.4)
        go_on.wait(60)
        return look

    monkeypatch.setattr("deepnets4eo.damage.review.rounds.look_of_map", measure)
    answer(folder, folder / "review.gpkg", 30)
    thread = rounds.measure_look()
    assert "What the buildings look like is still measured: 40%." in rounds.state()["lines"]
    go_on.set()
    thread.join(60)
    assert rounds.look is look
    assert not any("still measured" in line for line in rounds.state()["lines"])


def test_without_the_image_answers_teach_by_the_evidence_and_a_warning_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder.parent / "post.tif").unlink()
    with caplog.at_level(logging.WARNING):
        assert look_of_map(folder) is None
    assert "answers teach without what buildings look like" in caplog.text
    assert "post.tif, the post image of this map, is not on this machine" in caplog.text
    assert not (folder / "look.safetensors").exists()


@pytest.mark.parametrize(("interval", "narrow"), [((0.2, 0.34), True), ((0.6, 0.74), True), ((0.0, 0.16), False)])
def test_an_interval_is_narrow_up_to_fifteen_points_wherever_it_lies(interval, narrow: bool, monkeypatch) -> None:
    counts = SimpleNamespace(share={"interval_95": interval}, looked_at=20, left_out=3)
    monkeypatch.setattr(rounds_module, "review_counts", lambda *_: counts)
    asked: Any = SimpleNamespace(_drawn="drawn", buildings={"damage": None})
    line, enough = Rounds._count_line(asked, {})
    assert enough == narrow
    assert line.startswith(f"Damaged: {interval[0]:.0%} to {interval[1]:.0%} of the buildings, by 23 ")


def test_half_a_round_is_chosen_once_all_that_were_chosen_are_answered(monkeypatch, tmp_path: Path) -> None:
    written: list[Any] = []
    monkeypatch.setattr(rounds_module, "graded_answers", lambda _table, answers: answers)
    monkeypatch.setattr(
        rounds_module, "choose_next", lambda _table, _answers, listed, count, look: np.arange(count) + listed.max() + 1
    )
    monkeypatch.setattr(rounds_module, "write_looks", lambda *arguments: written.append(arguments))
    asked: Any = SimpleNamespace(count=8, buildings="table", look=None, folder=tmp_path)
    answers = dict.fromkeys(range(20), "destroyed")
    drawn: dict[int, str | None] = dict.fromkeys(range(20), "destroyed")
    assert Rounds._choose(asked, answers, drawn, [{30: None}]) == 0
    assert Rounds._choose(asked, dict.fromkeys(range(3), "destroyed"), drawn, []) == 0
    assert not written
    assert Rounds._choose(asked, answers, drawn, [{30: "destroyed"}]) == 4
    ((path, table_path, table, rows, person),) = written
    assert (path, table_path, table, person) == (
        rounds_module.next_file(tmp_path),
        tmp_path / "damage.parquet",
        "table",
        None,
    )
    assert rows.tolist() == [31, 32, 33, 34]
