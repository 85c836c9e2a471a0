"""What the answers to a sample of a map say, function by function: each result against values by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming
from scipy.stats import binom

from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.sampled import page
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.sampled.estimates import (
    MapDifference,
    _range_text,
    _reach,
    by_area,
    estimate_accuracy,
    estimate_difference,
)
from deepnets4eo.evaluation.sampled.trusted import trusted_classes, trusted_zone
from deepnets4eo.evaluation.sampled.zones import Zones
from deepnets4eo.metrics import wilson_interval
from deepnets4eo.outputs.served_page.chips import Chips
from deepnets4eo.rasters import Layer


def test_answers_of_pixels_of_one_size_are_counted_and_others_weighed_by_their_area() -> None:
    pairs = np.array([[0, 0], [0, 0], [0, 1], [1, 1], [1, 1], [1, 1]])
    assert by_area(pairs, None, 3).tolist() == [[2, 1, 0], [0, 3, 0], [0, 0, 0]]
    weighted = by_area(pairs, np.array([1.0, 1, 2, 5, 5, 5]), 3)
    as_sure = 16 / 6  # (1 + 1 + 2)² / (1 + 1 + 4): of three answers
    np.testing.assert_allclose(weighted, [[as_sure / 2, as_sure / 2, 0], [0, 3, 0], [0, 0, 0]])
    few = by_area(np.array([[0, 0], [0, 1]]), np.array([1.0, 99]), 2)
    np.testing.assert_allclose(few.sum(axis=1), [2, 0])  # not less than two answers, where there are two


def test_the_accuracy_of_a_map_is_that_of_its_areas() -> None:
    """Class a covers three quarters and is right in 9 of 10, class b is always right."""
    table = np.array([[9, 1, 0], [0, 10, 0], [0, 0, 0]])
    trusted = {"share": 0.25, "accuracy": 0.9}
    found = estimate_accuracy(("a", "b", "c"), table, np.array([75.0, 25, 0]), "ha", 4, trusted)
    assert (found.answers, found.cannot_tell, found.unit, sorted(found.needed)) == (20, 4, "ha", [0.02, 0.03, 0.05])
    assert found.estimate.overall_accuracy == pytest.approx(0.75 * 0.9 + 0.25)
    assert found.headline().startswith("92.5% of the map is right (")
    assert found.headline().endswith("by 20 answers; 25% of it can be trusted to be right in 90% of its area")
    assert "no part of it is sure" in estimate_accuracy(("a", "b", "c"), table, np.array([75.0, 25, 0]), "ha", 4, {"share": 0, "accuracy": 0.9}).headline()  # fmt: skip
    a, b = found.lines()  # nothing of c
    assert a.startswith("a: 90% (")
    assert " of what is mapped is right, 100% (" in a
    assert " of it is mapped, area 67.50 ha (" in a
    assert b.startswith("b: 100% (")
    assert ", area 32.50 ha (" in b
    share = estimate_accuracy(("a", "b", "c"), table, np.array([0.75, 0.25, 0]), "share", 4, trusted)
    assert ", area 32% (" in share.lines()[1] or ", area 33% (" in share.lines()[1]
    assert share.lines()[1].endswith(" of the map")
    plain = found.to_dict()
    assert (plain["classes"], plain["area_unit"], plain["table"], plain["trusted"]) == (["a", "b", "c"], "ha", table.tolist(), trusted)  # fmt: skip
    assert sorted(plain["answers_needed"]) == ["0.02", "0.03", "0.05"]


def test_classes_that_are_mapped_need_two_answers() -> None:
    table = np.array([[9, 1, 0], [0, 1, 0], [0, 0, 0]])
    with raises_naming(InputError, "fewer than 2 answers", "b (1), c (0)"):
        estimate_accuracy(("a", "b", "c"), table, np.array([75.0, 25, 1]), "ha", 0, {})
    only = np.array([[9, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert estimate_accuracy(("a", "b", "c"), only, np.array([75.0, 0, 0]), "ha", 0, {}).answers == 10


def test_the_better_of_two_maps_is_right_more_often_where_they_differ() -> None:
    found = estimate_difference(9, 1, 0, 2, 0.2)
    assert (found.first, found.second, found.neither, found.cannot_tell, found.share) == (9, 1, 0, 2, 0.2)
    assert found.p_value == pytest.approx(2 * 11 / 1024)
    assert found.difference == pytest.approx(0.2 * 0.8)
    one, two = wilson_interval(9, 10), wilson_interval(1, 10)
    below, above = (
        (0.9 - one.low) + (two.high - 0.1),
        (one.high - 0.9) + (0.1 - two.low),
    )  # both shares are one question
    assert (found.low, found.high) == pytest.approx((0.2 * max(0.8 - below, -1), 0.2 * min(0.8 + above, 1)))
    assert found.headline().startswith("the first map is better: where they differ (20.0% of the map), the first is right 9 times, the second 1, neither 0 (p = 0.021)")  # fmt: skip
    back = estimate_difference(1, 9, 0, 2, 0.2)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert back.headline().startswith("the second map is better")
    assert estimate_difference(8, 2, 0, 0, 0.2).headline().startswith("neither is shown to be better")
    assert found.lines() == []


def test_without_a_right_answer_neither_map_is_better_and_areas_weigh_answers() -> None:
    none = estimate_difference(0, 0, 5, 0, 1.0)
    assert (none.p_value, none.difference) == (1, 0)
    weighted = estimate_difference(5, 5, 0, 0, 1.0, np.array([8.0, 2, 0]))
    assert (weighted.p_value, weighted.difference) == (1, pytest.approx(0.6))
    with raises_naming(InputError, "no point has an answer"):
        estimate_difference(0, 0, 0, 3, 1.0)
    assert (_reach(3, 4, 0.0), _reach(3, 4, 1.0), _reach(3, 4, -1.0), _reach(3, 3, 1.0)) == (5, 1, 7, 0)
    assert (_range_text(0.5, np.array([0.25, 0.75])), _range_text(np.nan, np.zeros(2))) == ("50% (25%–75%)", "unknown share")  # fmt: skip
    assert MapDifference(1, 2, 3, 4, 0.5, 0.05, 0.1, 0, 0.2).headline().startswith("neither")


def test_classes_are_trusted_if_all_of_them_are_right_often_enough_together() -> None:
    """Exact tests, the surest first: each at 5 % over the number of classes that are left."""
    table = np.diag([44, 29, 28, 0]) + np.array([[0] * 4] * 3 + [[0, 0, 0, 0]])
    chances = binom.sf(np.array([43, 28, 27]), [44, 29, 28], 0.9)
    assert chances[0] < 0.05 / 3
    assert chances[1] > 0.05 / 2  # .9²⁹ = .047: enough alone, not beside two others
    found = trusted_classes(table, np.array([10.0, 20, 30, 40]), list("abcd"))
    assert found == {"by": "class", "accuracy": 0.9, "share": 0.1, "classes": ["a"]}
    alone = trusted_classes(np.diag([0, 29, 0, 0]), np.array([10.0, 20, 30, 40]), list("abcd"))
    assert (alone["classes"], alone["share"]) == (["b"], 0.2)
    assert trusted_classes(np.diag([0, 28, 0, 0]), np.array([10.0, 20, 30, 40]), list("abcd"))["classes"] == []
    lower = trusted_classes(np.diag([0, 28, 0, 0]), np.array([10.0, 20, 30, 40]), list("abcd"), accuracy=0.8)
    assert (lower["classes"], lower["accuracy"]) == (["b"], 0.8)


def test_the_surest_zones_are_trusted_until_one_fails() -> None:
    def zone(right: int, wrong: int) -> np.ndarray:
        return np.array([[right, wrong], [0.0, 0.0]])

    areas = [np.array([10.0, 0]), np.array([30.0, 0]), np.array([100.0, 0])]
    found = trusted_zone([zone(100, 0), zone(300, 3), zone(400, 200)], areas, [0.9, 0.8, 0.1])
    assert found == {"by": "confidence", "accuracy": 0.9, "share": 0.3, "confidence": 0.8}
    early = trusted_zone([zone(60, 40), zone(3000, 0), zone(9000, 0)], areas, [0.9, 0.8, 0.1])
    assert (early["share"], early["confidence"]) == (0, None)  # a larger zone is not tested after one that fails
    few = trusted_zone([zone(14, 14), zone(300, 3), zone(400, 200)], areas, [0.9, 0.8, 0.1])
    assert few["confidence"] == 0.8  # 28 answers decide nothing
    unseen = [np.array([10.0, 5]), np.array([30.0, 5]), np.array([100.0, 5])]
    assert trusted_zone([zone(100, 0)] * 3, unseen, [0.9, 0.8, 0.1])["confidence"] is None  # a class without answers counts as wrong  # fmt: skip


def grid(height: int, width: int, step_m: float = 10.0, crs: str | None = "EPSG:32633") -> GeoBox:
    return GeoBox((height, width), Affine(step_m, 0, 500_000, 0, -step_m, 4_000_000), crs)


def test_zones_are_tenths_of_the_labelled_pixels_by_falling_confidence() -> None:
    labels = np.array([[0] * 10 + [1] * 10 + [VOID] * 4], np.uint8)
    confidence = np.concatenate([np.linspace(1, 0.05, 20), [0.5] * 4])[None, None].astype(np.float32)
    classes: Any = SimpleNamespace(source="map", grid=grid(1, 24), names=("a", "b"), windows=[SimpleNamespace(row=0, col=0, height=1, width=24, slices=None)])  # fmt: skip
    from deepnets4eo.grid import Window

    window = Window(0, 0, 1, 24)
    classes.windows, classes.read = [window], lambda _: labels
    sample: Any = SimpleNamespace(row=np.array([0, 0, 0]), col=np.array([0, 9, 19]))
    found = Zones.measure(Layer.open(confidence, grid=grid(1, 24)), classes, sample)
    assert found.count == 10
    assert found.limits == sorted(found.limits, reverse=True)
    assert found.limits[-1] == pytest.approx(0.05)
    assert found.zone_of.tolist() == [0, 4, 9]
    np.testing.assert_allclose(found.sizes, [[0.02, 0]] * 5 + [[0, 0.02]] * 5, rtol=2e-3)  # two pixels of 100 m² each
    half = found.areas(np.array([50.0, 30, 20]))
    np.testing.assert_allclose(half[0], [10, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(half[-1], [50, 30, 0], rtol=1e-6)
    again = Zones.from_dict(found.to_dict())
    assert (again.limits, again.sizes.tolist(), again.zone_of.tolist()) == (found.limits, found.sizes.tolist(), found.zone_of.tolist())  # fmt: skip
    with raises_naming(InputError, "expected one band on the grid of map"):
        Zones.measure(Layer.open(np.repeat(confidence, 2, axis=0), grid=grid(1, 24)), classes, sample)


def test_values_without_a_legend_are_classes_in_their_order_and_two_maps_share_classes_by_name() -> None:
    first = ClassMap.open(Layer.open(np.array([[[7, 3], [3, 200]]], np.uint8), grid=grid(2, 2), nodata=200))
    second = ClassMap.open(Layer.open(np.array([[[5, 3], [3, 5]]], np.uint8), grid=grid(2, 2)))
    assert first.names == ("class 3", "class 7")
    (window,) = first.windows
    assert first.read(window).tolist() == [[1, 0], [0, VOID]]
    one, two = first.unite(second)
    assert one.names == two.names == ("class 3", "class 7", "class 5")
    assert (one.read(window).tolist(), two.read(window).tolist()) == ([[1, 0], [0, VOID]], [[2, 0], [0, 2]])
    with raises_naming(InputError, "Warp one to the grid of the other"):
        first.unite(ClassMap.open(Layer.open(np.zeros((1, 2, 2), np.uint8), grid=grid(2, 2, 5.0))))


@pytest.mark.parametrize(("values", "accepted"), [(np.arange(60), True), (np.arange(61), False), (np.array([0.5]), False), (np.array([2.0**31 - 1]), True), (np.array([2.0**31]), False)])  # fmt: skip
def test_a_raster_without_a_legend_has_up_to_sixty_whole_numbers(values: np.ndarray, accepted: bool) -> None:
    layer = Layer.open(values[None, None].astype(np.float64), grid=grid(1, len(values)))
    if accepted:
        assert len(ClassMap.open(layer).names) == len(values)
    else:
        with pytest.raises(InputError):
            ClassMap.open(layer)


def test_images_of_a_sample_show_the_ground_of_the_map() -> None:
    image = np.zeros((3, 8, 8), np.uint8)
    image[0, 0, 0] = 1
    there = gpd.GeoDataFrame(geometry=[shapely.box(500_010, 3_999_950, 500_020, 3_999_960)], crs="EPSG:32633")
    found = page._open_images([Layer.open(image, grid=grid(8, 8))], there)  # type: ignore[list-item]
    assert list(found) == ["image"]
    pair = page._open_images([Layer.open(image, grid=grid(8, 8)), Layer.open(image, grid=grid(8, 8))], there)  # type: ignore[list-item]  # fmt: skip
    assert list(pair) == ["pre", "post"]
    for moved in ((-200, 0), (200, 0), (0, 200), (0, -200)):
        away = there.assign(geometry=there.translate(*moved))
        with raises_naming(InputError, "does not show the map"):
            page._open_images([Layer.open(image, grid=grid(8, 8))], away)  # type: ignore[list-item]
    with raises_naming(InputError, "a CRS, the map has none"):
        page._open_images([Layer.open(image, grid=grid(8, 8))], there.set_crs(None, allow_override=True))  # type: ignore[list-item]
    with raises_naming(InputError, "got 3 images"):
        page._open_images([image] * 3, there)  # type: ignore[list-item]
    plain = there.set_crs(None, allow_override=True)
    assert page._shapes_on(Layer.open(image, grid=grid(8, 8)), plain).equals(
        plain.geometry
    )  # one CRS alone moves nothing


def test_chips_show_forty_metres_or_twice_the_outline_and_are_stretched_by_all_their_values() -> None:
    """A gradient along columns: its chip is stretched as its pixels are, not as its first one is."""
    values = np.tile(np.arange(400, dtype=np.uint16), (3, 400, 1))
    shapes = np.array([shapely.box(500_180, 3_999_780, 500_220, 3_999_820), shapely.box(500_020, 3_999_800, 500_180, 3_999_900)], object)  # fmt: skip
    layer = Layer.open(values, grid=grid(400, 400, 1.0))
    chips = Chips({"post": layer}, shapes, [0])
    side = 88  # 2.2 × 40 m
    assert chips.window(0) == (200 - side // 2, 200 - side // 2, side, side)
    assert chips.window(0, wide=True)[2:] == (264, 264)
    facts = chips.facts(1)
    assert facts["windows"][0] == [100 - 176, 150 - 176, 352, 352]
    assert facts["across_m"] == [352, 1056]
    small = Chips({"post": layer}, shapes[:1], [0], min_m=300)
    assert small.window(0)[2:] == (300, 300)
    point = Chips({"post": layer}, np.array([shapely.Point(500_200, 3_999_800)], object), [0])
    assert point.window(0)[2:] == (64, 64)  # pixels, more than 40 m
    fine = Chips({"post": Layer.open(values, grid=grid(400, 400, 0.5))}, np.array([shapely.Point(500_100, 3_999_900)], object), [0])  # fmt: skip
    assert fine.window(0)[2:] == (80, 80)  # 40 m
    low, high = chips._stretch["post"][:, 0]
    assert 156 <= low < 165
    assert 235 < high <= 244
