"""Graded neighbours: no fit has grades of its own city, only the last way takes it, and scores count the standing that are called."""

from pathlib import Path

import geopandas as gpd
import graded_neighbours
import numpy as np
import pandas as pd
import pytest
import shapely
from graded_neighbours import NAMED, NEIGHBOURS, TOGETHER, UNNAMED
from places.damage_scores import BOTH, QUAKE, DamageCase

from deepnets4eo.damage import Settings
from deepnets4eo.damage.network.look_model import LookModel
from deepnets4eo.rasters import Layer

COUNTS = {"east": 60, "west": 50, "north": 40}


def city(name: str, count: int) -> DamageCase:
    """A row of buildings, every fourth collapsed, the last one without a grade."""
    boxes = [shapely.box(4 * number, 0, 4 * number + 2, 2) for number in range(count)]
    grades = np.where(np.arange(count) % 4 == 0, "destroyed", "no-damage").astype(object)
    grades[-1] = "unknown"
    outlines = gpd.GeoDataFrame({"id": [str(number) for number in range(count)]}, geometry=boxes)
    truth = pd.DataFrame({"id": outlines["id"], "damage": grades})
    return DamageCase(name, None, Layer.open(np.zeros((3, 4, 4 * count), np.uint8)), outlines, truth, event=QUAKE)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Settings, bool]]:
    """Jobs that were asked for; each calls every fourth building, and one that stands, if it has no neighbours."""
    asked: list[tuple[str, Settings, bool]] = []

    def features(post: Layer, outlines: np.ndarray) -> np.ndarray:
        values = np.random.default_rng(len(outlines)).normal(size=(len(outlines), 8))
        values[::4, 0] += 4
        return values

    def assess(case: DamageCase, settings: Settings) -> dict[str, gpd.GeoDataFrame]:
        asked.append((case.site, settings, case.event.is_earthquake))
        damaged = case.truth["damage"].to_numpy() == "destroyed"
        called = damaged | ((np.arange(len(damaged)) == 1) & (settings.look is None))
        rows = {
            "site": case.site, "case": "", "id": case.truth["id"], "truth": np.where(damaged, 3, 0)[: len(damaged)],
            "grade": np.where(called, 3, 0), "probability": np.where(called, 0.9, 0.1),
            "probability_half": np.where(called, 0.9, 0.1), "interval_low": 0.1, "interval_high": 0.4,
        }  # fmt: skip
        return {BOTH: gpd.GeoDataFrame(rows, geometry=case.outlines.geometry)}

    monkeypatch.setattr(graded_neighbours, "look_features", features)
    monkeypatch.setattr(graded_neighbours, "assess_case", assess)
    return asked


def test_a_fit_has_the_graded_buildings_of_the_other_cities_alone(tmp_path: Path, jobs: list) -> None:
    looks = {name: graded_neighbours.look_of(city(name, count)) for name, count in COUNTS.items()}
    assert [len(look.damaged) for look in looks.values()] == [59, 49, 39]  # none without a grade
    fits = graded_neighbours.fit_neighbours(looks, tmp_path)
    assert {name: LookModel.load(fit).card.buildings for name, fit in fits.items()} == {
        "east": 88, "west": 98, "north": 108,
    }  # fmt: skip


def test_each_city_is_mapped_in_three_ways_once_and_the_standing_that_are_called_are_counted(
    tmp_path: Path, jobs: list
) -> None:
    cases = [city(name, count) for name, count in COUNTS.items()]
    results = graded_neighbours.map_cities(cases, tmp_path)
    assert [(settings.look, quake) for _, settings, quake in jobs[:3]] == [(None, False), (None, True), (0.5, True)]
    assert str(jobs[2][1].look_from).endswith("east")
    assert list(results) == [UNNAMED, NAMED, NEIGHBOURS]
    assert [results[way]["west"]["standing_called"] for way in results] == [1, 1, 0]
    assert [results[way][TOGETHER]["standing_called"] for way in results] == [3, 3, 0]
    assert results[NEIGHBOURS][TOGETHER]["f1"] == 1
    assert results[NAMED]["east"]["inside"] == 1
    assert results[NAMED][TOGETHER]["width"] == pytest.approx(0.3)
    assert "| north | and graded neighbours | 10 | 40 |" in graded_neighbours.table_of(results)
    assert graded_neighbours.map_cities(cases, tmp_path) == results
    assert len(jobs) == 9  # finished jobs are read again
