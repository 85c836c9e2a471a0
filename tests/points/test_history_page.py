"""The page of heights over several dates: which buildings, and each drawing, by its numbers."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from deepnets4eo.points.rubble import history
from deepnets4eo.points.rubble.rubble_map import RubbleMap

DAYS = ("2024-01-01", "2024-06-01", "2024-12-01")


def building(number: int, lost: float, first_loss: str | None = DAYS[1]) -> dict[str, object]:
    return {"id": f"b{number}", "state": "collapsed", "first_loss": first_loss, "lost_m3": lost, "lost_low_m3": lost - 5,
            "lost_high_m3": lost + 5, "debris_m3": 1234.0}  # fmt: skip


def dates(heights: list[float], number: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {"id": f"b{number}", "date": DAYS, "state": ["standing", "collapsed", "elsewhere"], "height_m": heights,
         "volume_m3": 100.0, "lost_m3": 10.0, "debris_m3": 1.0}
    )  # fmt: skip


def test_heights_are_drawn_between_the_margins_with_0_at_the_bottom() -> None:
    card = history._card(pd.Series(building(0, 250.0)), dates([10.0, 5.0, -2.0]))
    top, bottom = history.MARGIN, history.HEIGHT - history.MARGIN
    left, right = history.MARGIN, history.WIDTH - history.MARGIN
    middle = (left + right) / 2
    (line,) = re.findall('polyline points="([^"]*)"', card)
    points = [tuple(map(float, point.split(","))) for point in line.split()]
    assert points == [(left, top), (middle, (top + bottom) / 2), (right, bottom)]
    assert [float(y) for y in re.findall(r'y="([\d.]+)">-?[\d.]+ m<', card)] == [down - 8 for _, down in points]
    assert re.findall(">(-?[\\d.]+ m)<", card) == ["10.0 m", "5.0 m", "-2.0 m"]
    assert "lost 250 m³ (245 to 255), debris 1,234 m³" in card
    assert f"first loss {DAYS[1]}" in card
    assert re.findall(f'y="{history.HEIGHT - 4}">([^<]*)<', card) == list(DAYS)


def test_a_date_without_a_height_has_no_mark_and_low_buildings_are_drawn_to_one_metre() -> None:
    card = history._card(pd.Series(building(0, np.nan, None)), dates([0.5, np.nan, -0.04]))
    (line,) = re.findall('polyline points="([^"]*)"', card)
    bottom = history.HEIGHT - history.MARGIN
    assert [float(point.split(",")[1]) for point in line.split()] == [(history.MARGIN + bottom) / 2, bottom]
    assert card.count("<circle") == 2
    assert "no loss seen" in card
    assert "lost" not in card
    assert "0.0 m<" in card
    assert "-0.0" not in card


@pytest.mark.parametrize("shown", [2, 3])
def test_buildings_that_lost_most_come_first_and_those_without_a_number_last(
    shown: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_SHOWN_BUILDINGS", shown)
    rows = [building(0, np.nan), building(1, 0.0), building(2, 90.0)]
    table = gpd.GeoDataFrame(rows, geometry=[shapely.box(0, 0, 1, 1)] * 3)
    over = pd.concat([dates([10.0, 5.0, 1.0], number) for number in range(3)])
    rubble = RubbleMap(table, gpd.GeoDataFrame(geometry=[]), history=over, synthetic=True)
    text = history.write_history_page(rubble, tmp_path / "history.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(b.)", text) == ["b2", "b1", "b0"][:shown]
    assert ("; the 2 that lost most are below" in text) is (shown == 2)
    assert "<h1>SYNTHETIC " in text
    assert "3 buildings" in text


def test_volumes_and_states_are_summed_by_date() -> None:
    table = history._sums(pd.concat([dates([10.0, 5.0, 1.0], number) for number in range(3)]))
    rows = re.findall("<td>([^<]*)</td>", table)
    first = rows[: len(rows) // 3]
    assert first[:4] == [DAYS[0], "300", "30", "3"]
    assert first[4:].count("3") == 1
