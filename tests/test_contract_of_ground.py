"""Ground that relief or soil hides, areas and scales of others, and independent looks: each result against values by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.damage.areas import OUTSIDE, Areas, find_areas
from deepnets4eo.damage.comparison.scales import CODES, scale_of
from deepnets4eo.errors import InputError
from deepnets4eo.floods import permanent, surface_date
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.permanent import is_darkened_soil, write_proven_water
from deepnets4eo.floods.relief import _finding, _overlapping, check_radar_view, layover_and_shadow
from deepnets4eo.grid import Window
from deepnets4eo.interferometry.looks import CoherenceBias, Correlation
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import Layer

EAST = np.array([[1.0, 0], [0, -1]])  # pixels of one metre: right is east, down is south


def profile(*heights: float) -> np.ndarray:
    return np.tile(np.array(heights, np.float32), (3, 1))


@pytest.mark.parametrize(
    ("heights", "incidence_deg", "look_deg", "expected"),
    [
        ((0, 0, 0, 0, 0, 0), 45, 90, [0] * 6),
        ((0, 0, 2.5, 0, 0, 0), 45, 90, [2, 2, 2, 3, 3, 0]),  # the radar looks east from the west: shadow behind, layover before
        ((0, 0, 2.5, 0, 0, 0), 45, 270, [3, 3, 2, 2, 2, 0]),
        ((0, 0, 0.9, 0, 0, 0), 45, 90, [0] * 6),  # no slope of 45 degrees
        ((0, 0, 1.5, 0, 0, 0), 60, 90, [0, 0, 0, 3, 3, 0]),  # tan 60° up a metre for layover, its inverse for shadow
        ((0, 0, 1.5, 0, 0, 0), 30, 90, [2, 2, 2, 0, 0, 0]),
        ((0, 0, 2.5, np.nan, 0, 0), 45, 90, [2, 2, 2, 0, 3, 0]),
        ((np.nan,) * 6, 45, 90, [0] * 6),
    ],
)  # fmt: skip
def test_relief_hides_ground_behind_and_before_it(heights: Any, incidence_deg: float, look_deg: float, expected: list[int]) -> None:  # fmt: skip
    found = layover_and_shadow(profile(*heights), EAST, incidence_deg, look_deg)
    assert found.tolist() == [expected] * 3
    turned = layover_and_shadow(profile(*heights).T, EAST, incidence_deg, (look_deg + 90) % 360)  # fmt: skip
    assert turned.T.tolist() == [expected] * 3  # a look to the south along the rows


def test_pixels_overlap_themselves_at_an_offset() -> None:
    values = np.arange(12).reshape(3, 4)
    here, there = _overlapping((3, 4), np.array([1, -2]))
    assert values[here].tolist() == [[2, 3], [6, 7]]
    assert values[there].tolist() == [[4, 5], [8, 9]]
    here, there = _overlapping((3, 4), np.array([5, 0]))
    assert values[here].size == values[there].size == 0


@pytest.mark.parametrize(
    ("view", "named"),
    [
        ({}, None), ({"dem": "a.tif"}, None), ({"dem": "a.tif", "incidence_deg": 40.0, "look_deg": 90.0}, None), ({"incidence_deg": 40.0, "look_deg": 90.0}, "dem=None"),
        ({"dem": "a.tif", "incidence_deg": 40.0}, "look_deg=None"), ({"dem": "a.tif", "look_deg": 90.0}, "incidence_deg=None"),
    ],
)  # fmt: skip
def test_half_of_a_view_of_radar_is_refused(view: dict[str, Any], named: str | None) -> None:
    options = FloodOptions(**view)
    if named is None:
        check_radar_view(options)
        return
    with raises_naming(InputError, named):
        check_radar_view(options)


def test_ground_that_the_relief_hides_is_counted_by_reason() -> None:
    counts, options = np.array([50, 10, 15, 25]), FloodOptions(steepest_deg=5.0)
    steep = Phrase("ground_too_steep", {"share": 0.1, "steepest_deg": 5.0})
    assert _finding(counts, options) == Finding("hidden_by_relief", "note", {"share": 0.5, "parts": [steep]})
    viewed = _finding(counts, FloodOptions(steepest_deg=5.0, dem="a.tif", incidence_deg=40.0, look_deg=90.0))
    assert list(viewed.values["parts"]) == [steep, Phrase("ground_in_layover", {"share": 0.15}), Phrase("ground_in_shadow", {"share": 0.25})]  # fmt: skip


def test_soil_is_brown_and_became_darker_than_the_rest() -> None:
    before = np.tile(np.array([110.0, 104, 98], np.float32)[:, None, None], (1, 40, 40))
    after = before.copy()
    after[:, :20, :20] -= 20
    found = is_darkened_soil(before, after)
    assert found[5, 5]
    assert not found[30, 30]
    green = before + np.array([0, 20, 0], np.float32)[:, None, None]
    assert not is_darkened_soil(green, after).any()
    grey = np.full_like(before, 104)
    assert not is_darkened_soil(grey, after).any()
    little = before.copy()
    little[:, :20, :20] -= 11
    assert not is_darkened_soil(before, little).any()
    assert is_darkened_soil(before, after + 50)[5, 5]  # the light of the day does not count


GRID = GeoBox((16, 16), Affine(1, 0, 500_000, 0, -1, 4_000_000), "EPSG:32633")


@pytest.mark.parametrize(("proven_rows", "share"), [(0, 0.5), (4, 0.25), (8, None)])
def test_permanent_water_that_no_date_before_shows_is_of_unknown_age(proven_rows: int, share: float | None, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    classes = np.zeros((1, 16, 16), np.uint8)
    classes[0, :8], classes[0, 8] = 1, 2
    labels = Layer.open(classes, grid=GRID)
    proven = np.zeros((16, 16), bool)
    proven[:proven_rows] = True
    monkeypatch.setattr(permanent, "_proven_water", lambda scene, mapper, window: proven[window.slices])
    date = SimpleNamespace(by_appearance=True, shows_lasting=True)
    mapper: Any = SimpleNamespace(dates={"post": date, "pre": date}, before=["pre"])
    written, findings = write_proven_water(labels, tmp_path / "water.tif", None, mapper)  # type: ignore[arg-type]
    if share is None:
        assert (written, findings) == (labels, ())
        return
    assert findings == (Finding("age_of_water_unknown", "note", {"share": share}),)
    (found,), valid = written.read()
    assert np.where(valid, found, 255)[:, 3].tolist() == [1] * proven_rows + [255] * (8 - proven_rows) + [2] + [0] * 7
    for other in ({"by_appearance": False, "shows_lasting": True}, {"by_appearance": True, "shows_lasting": False}):
        mapper = SimpleNamespace(dates={"post": date, "pre": SimpleNamespace(**other)}, before=["pre"])
        assert write_proven_water(labels, tmp_path / "other.tif", None, mapper) == (labels, ())  # type: ignore[arg-type]


def test_the_first_fine_date_in_colour_stands_for_before_if_post_is_one() -> None:
    fine, other = SimpleNamespace(by_appearance=True), SimpleNamespace(by_appearance=False)

    def first(post: Any, **before: Any) -> str | None:
        return permanent.first_by_appearance(SimpleNamespace(dates={"post": post, **before}, before=list(before)))  # type: ignore[arg-type]

    assert first(fine, a=other, b=fine, c=fine) == "b"
    assert (first(other, a=fine), first(fine, a=other), first(fine)) == (None, None, None)
    sample = {"pre": np.array([[[np.nan, 2.0]]] * 3), "post": np.array([[[3.0, 4.0]]] * 3), "valid": np.array([[True, True]])}  # fmt: skip
    scene: Any = SimpleNamespace(read=lambda window, names: sample)
    before, after, seen = permanent.read_pair(scene, "pre", Window(0, 0, 1, 2))
    assert (before[0].tolist(), after[0].tolist(), seen.tolist()) == ([[0, 2]], [[3, 4]], [[False, True]])


@pytest.mark.parametrize(("gsd_m", "shape", "step"), [(1.0, (90, 61), 1), (0.3, (30, 21), 3), (0.5, (45, 31), 2), (1.6, (90, 61), 1)])  # fmt: skip
def test_surfaces_are_measured_in_pixels_of_about_a_metre(gsd_m: float, shape: tuple[int, int], step: int) -> None:
    grid = GeoBox((90, 61), Affine(gsd_m, 0, 7, 0, -gsd_m, 9), "EPSG:32633")
    found = surface_date.surface_grid(grid, gsd_m)
    assert (found.shape, found.affine.a) == (shape, pytest.approx(step * gsd_m))
    assert (found.affine.c, found.affine.f) == (7, 9)
    assert surface_date._bytes(np.array([-3.0, 0.4, 0.6, 300])).tolist() == [0, 0, 1, 255]


def test_buildings_are_in_none_one_or_several_areas() -> None:
    districts = gpd.GeoDataFrame({"name": ["west", "east", "all"]}, geometry=[shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(0, 0, 20, 4)], crs="EPSG:32633")  # fmt: skip
    houses = gpd.GeoDataFrame(geometry=[shapely.box(1, 1, 2, 2), shapely.box(9, 6, 11, 8), shapely.box(12, 6, 13, 7), shapely.box(40, 0, 41, 1)], crs="EPSG:32633")  # fmt: skip
    found = find_areas(districts, houses)
    pairs = sorted(zip(found.area.tolist(), found.building.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 1), (1, 2), (2, 0)]  # the second is on the line between two: in the first of them
    assert found.times.tolist() == [2, 1, 1, 0]
    assert found.inside(0).tolist() == [True, True, False, False]
    assert found.findings() == (
        Finding("areas_overlap", "note", {"number": 1}),
        Finding("areas_leave_gaps", "note", {"number": 1, "row": Finding.verbatim(repr(OUTSIDE))}),
    )
    assert Areas(found.frame, np.array([0, 0]), np.array([0, 1]), 2).findings() == ()


@pytest.mark.parametrize(
    ("scale", "words", "grades"),
    [
        ("xview2", ["1", "4", None], [0, 3, None]), ("unosat", ["1", "2", "3", "4", "6"], [3, 2, 2, 1, 0]), ("yes-no", ["no", "true", "0"], [0, 1, 0]),
        ("Affected=minor-damage,Gone=destroyed,?=none", ["affected", "gone", "?"], [1, 3, None]), ("a=b=major-damage", ["a-b"], None),
    ],
)  # fmt: skip
def test_codes_of_others_are_grades_of_a_stated_scale(scale: str, words: list[Any], grades: list[Any] | None) -> None:
    found = scale_of(scale)
    if grades is None:
        assert list(found.words.values()) == [2]
        return
    column = found.grades(pd.Series(words, dtype=object), "a.gpkg")
    assert [None if np.isnan(value) else int(value) for value in column] == grades


@pytest.mark.parametrize("scale", ["Affected", "Affected=bad", "=destroyed", "a=destroyed,b"])
def test_a_scale_that_names_no_grades_is_refused(scale: str) -> None:
    with raises_naming(InputError, f"scale is {scale!r}"):
        scale_of(scale)


def test_words_that_a_scale_lacks_are_counted() -> None:
    with raises_naming(InputError, "a.gpkg holds 2 values that are no grades of xView2", "7 (2), 9 (1)"):
        CODES["xview2"].grades(pd.Series(["1", "7", "7", "9"]), "a.gpkg")
    with raises_naming(InputError, "a.gpkg holds no grades: 7 (1)"):
        CODES["xview2"].grades(pd.Series(["7"]), "a.gpkg")
    with raises_naming(InputError, "all of it is empty"):
        CODES["xview2"].grades(pd.Series([None, None], dtype=object), "a.gpkg")


def test_looks_are_the_pixels_of_a_window_unless_neighbours_are_alike() -> None:
    rng = np.random.default_rng(0)
    noise = (rng.normal(size=(400, 400)) + 1j * rng.normal(size=(400, 400))).astype(np.complex64)
    plain = Correlation((3, 5))
    plain.add((noise, noise), np.ones(noise.shape, bool))
    assert plain.independent_looks() == pytest.approx(15, rel=0.01)
    twice = np.repeat(noise[:200], 2, axis=0)  # neighbours along columns correlate by one half of the pairs
    alike = Correlation((3, 5))
    alike.add((twice, twice), np.ones(twice.shape, bool))
    down = 3**2 / (3 + 2 * 2 * 0.25)  # the product of both images' correlations
    assert alike.independent_looks() == pytest.approx(5 * down, rel=0.02)
    empty = Correlation((3, 5))
    empty.add((noise, noise), np.zeros(noise.shape, bool))
    plain.add((noise * 0, noise * 0), np.zeros(noise.shape, bool))
    assert plain.independent_looks() == pytest.approx(15, rel=0.01)
    one = Correlation((1, 1))
    one.add((noise, noise), np.ones(noise.shape, bool))
    assert one.independent_looks() == 1
    with raises_naming(InputError, "1.99 independent looks"):
        CoherenceBias(1.99)
    assert CoherenceBias(2.0).correct(np.array([1.0, 0.0])).tolist() == [1, 0]
