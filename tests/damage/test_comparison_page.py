"""The page of a comparison: its ground, classes, first lines and outlines; and how buildings of two maps are matched, at the limits."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from deepnets4eo.damage.comparison.maps import MIN_TOUCHING, _check_one_unit, _match, _on_the_ground
from deepnets4eo.damage.comparison.report import (
    NOT_COMPARED,
    ONLY_A,
    ONLY_B,
    OTHER_GRADE,
    SAME,
    _in_metres,
    _other_outlines,
    _quality,
    classes_of,
    page_headline,
    plain_grid,
)
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import Interval

UTM = "EPSG:32631"


def houses(count: int, side: float = 10.0, shift: float = 0.0) -> np.ndarray:
    left = 500_000 + 30.0 * np.arange(count) + shift
    return shapely.box(left, 5_000_000, left + side, 5_000_000 + side)


def frame(shapes: Any, crs: str | None = UTM, **columns: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns or {"id": [str(number) for number in range(len(shapes))]}, geometry=shapes, crs=crs)


@pytest.mark.parametrize("crs", [UTM, None])
def test_plain_ground_has_a_margin_of_3_percent_and_1200_pixels_along_its_longer_side(crs: str | None) -> None:
    outlines = frame(
        [shapely.box(500_000, 5_000_000, 500_010, 5_000_010), shapely.box(500_190, 5_000_090, 500_200, 5_000_100)], crs
    )
    grid = plain_grid(outlines)
    assert (grid.shape[1], grid.shape[0]) == (1200, round(1200 * 112 / 212))
    box = grid.extent.boundingbox
    assert box.left == pytest.approx(499_994)
    assert box.right == pytest.approx(500_206)
    assert {round(box.bottom), round(box.top)} == {4_999_994, 5_000_106}
    assert (grid.affine.e < 0) is (crs is not None), "rows of plain pixels count downwards"
    point = frame([shapely.Point(500_000, 5_000_000)], crs)
    assert min(plain_grid(point).shape) >= 1


def test_outlines_in_degrees_are_drawn_in_metres() -> None:
    degrees = frame(houses(2)).to_crs(4326)
    moved = _in_metres(degrees)
    assert moved.crs.axis_info[0].unit_name == "metre"
    assert shapely.area(moved.geometry.to_numpy()) == pytest.approx([100, 100], rel=0.01)
    plane = frame(houses(2), None)
    assert _in_metres(plane) is plane


def compared(**columns: object) -> Any:
    return SimpleNamespace(table=pd.DataFrame(columns))


def test_each_building_is_in_one_class_of_the_page() -> None:
    table = compared(
        agree=pd.array([True, True, False, False, False, False, None], "boolean"),
        damaged_a=[1.0, 0, 1, 0, 1, 0, 1],
        damaged_b=[1.0, 0, 0, 1, 1, 0, np.nan],
    )
    expected = [SAME, SAME, ONLY_A, ONLY_B, OTHER_GRADE, OTHER_GRADE, NOT_COMPARED]
    assert classes_of(table).tolist() == expected
    assert [SAME, OTHER_GRADE, ONLY_A, ONLY_B, NOT_COMPARED] == [0, 1, 2, 3, 4], (
        "as the scripts of the page number them"
    )


@pytest.mark.parametrize("interval", [None, Interval(0.8, 0.7, 0.9)])
def test_the_first_lines_of_the_page_are_the_buildings_with_the_same_grade(interval: Interval | None) -> None:
    comparison: Any = SimpleNamespace(
        matrix=SimpleNamespace(total=50, overall_accuracy=0.8),
        shares=(0.5, 0.25),
        table=range(53),
        intervals={} if interval is None else {"overall_accuracy": interval},
    )
    told = page_headline(comparison)
    assert told.number == "40"
    assert "50" in told.sentence
    assert "3" in told.limit
    assert (told.bar is None) is (interval is None)
    if told.bar is not None:
        assert (told.bar.low, told.bar.high, told.bar.whole) == pytest.approx((35, 45, 50))
        assert "35–45" in told.bar.words


@pytest.mark.parametrize(("shift", "drawn"), [(0.09, 0), (0.11, 1)])
def test_outlines_that_differ_by_more_than_two_percent_are_drawn(shift: float, drawn: int) -> None:
    """A house of 10 m that is moved by d shares (10 - d) / (10 + d) with itself: 0.98 at a move of 0.101 m."""
    first = frame(houses(3), match=["both", "both", "a"])
    other = houses(3)
    other[0] = houses(3, shift=shift)[0]
    other[2] = None
    comparison: Any = SimpleNamespace(table=first, outlines_b=other)
    found = _other_outlines(comparison, first.geometry.to_numpy(), plain_grid(first))
    assert len(found) == drawn
    if drawn:
        assert len(found[0]["dashed"]) == 1
        assert found[0]["title"] == "Outlines of B"


@pytest.mark.parametrize(("number", "drawn"), [(3000, True), (3001, False)])
def test_no_more_outlines_of_the_other_map_are_drawn_than_a_page_can_show(
    number: int, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.damage.comparison.report.rings_in_pixels", lambda shapes, _: list(shapes))
    first = frame(houses(number), match=["both"] * number)
    comparison: Any = SimpleNamespace(table=first, outlines_b=houses(number, shift=5))
    found = _other_outlines(comparison, first.geometry.to_numpy(), plain_grid(first))
    assert [len(one["dashed"]) for one in found] == [3000] * drawn


def test_the_page_names_files_without_folders_and_how_buildings_were_matched() -> None:
    comparison: Any = SimpleNamespace(
        first=SimpleNamespace(source=str(Path("/home/x/a.gpkg"))), second=SimpleNamespace(source="b.gpkg"), matched_by="overlap"
    )  # fmt: skip
    assert _quality(comparison, str) == "A: a.gpkg · B: b.gpkg · matched by overlap"


@pytest.mark.parametrize(("times", "refused"), [(1.04, False), (1.06, True), (0.94, True), (0.96, False)])
def test_outlines_of_one_id_more_than_five_percent_longer_are_of_another_unit(times: float, refused: bool) -> None:
    first, second = frame(houses(6)), frame(shapely.box(0, 0, *np.full((2, 6), 10 * times)))
    if refused:
        with pytest.raises(InputError, match=rf"are {times:.3g} times as long"):
            _check_one_unit(first, second, "a", "b")
    else:
        _check_one_unit(first, second, "a", "b")
    twice = second.assign(id="7")
    _check_one_unit(first, twice, "a", "b")
    _check_one_unit(twice, first, "a", "b")
    few = second.assign(id=["0", "1", "x", "y", "z", "w"])
    _check_one_unit(first, few, "a", "b")  # two of six ids are those of other buildings


def test_rows_that_lie_nowhere_are_left_out() -> None:
    table = frame([*houses(2), None, shapely.Polygon(), shapely.Point(np.nan, 1), shapely.Point(np.inf, 1)])
    assert len(_on_the_ground(table, "a")) == 2
    with pytest.raises(InputError, match="no building with a geometry"):
        _on_the_ground(table.iloc[2:], "a")


@pytest.mark.parametrize(("moved", "how"), [(1, "id"), (2, "overlap")])
def test_ids_count_if_nine_of_ten_outlines_of_one_id_touch(moved: int, how: str) -> None:
    assert MIN_TOUCHING == 0.9
    other = houses(10)
    other[:moved] = houses(10, shift=2000)[:moved]
    left, right, by = _match(frame(houses(10)), frame(other))
    assert by == how
    assert len(left) == len(right) == (10 if how == "id" else 10 - moved)


@pytest.mark.parametrize(("shift", "pairs"), [(5.0, 1), (5.1, 0)])
def test_outlines_that_cover_half_of_the_smaller_one_are_one_building(shift: float, pairs: int) -> None:
    first, second = frame(houses(1)), frame(houses(1, shift=shift)).assign(id="other")
    assert len(_match(first, second)[0]) == pairs
