"""Detection scores on cases worked out by hand, and against scikit-learn's average precision where it means the same."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from refusals import raises_naming
from sklearn.metrics import average_precision_score

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.metrics import evaluate_detections, score_instances, scores_of


def squares(*lefts, crs="EPSG:32633", **columns):
    return gpd.GeoDataFrame(columns, geometry=[shapely.box(left, 0, left + 10, 10) for left in lefts], crs=crs)


def test_further_detections_of_the_same_thing_are_false_alarms():
    found = evaluate_detections(squares(0, 1, score=[0.9, 0.8]), squares(0))
    assert (found.hits, found.false_alarms, found.missed) == (1, 1, 0)
    assert found.precision == 0.5
    assert found.average_precision == 1.0


def test_an_overlap_of_a_half_is_not_enough():
    third = 10 / 3  # shifted by a third of its side, a square overlaps by exactly a half
    assert evaluate_detections(squares(third + 0.01, score=[1.0]), squares(0)).hits == 0
    assert evaluate_detections(squares(third - 0.01, score=[1.0]), squares(0)).hits == 1


def test_difficult_things_count_neither_way():
    reference = squares(0, 50, difficult=[True, False])
    found = evaluate_detections(squares(0, 100, score=[0.9, 0.5]), reference)
    assert (found.hits, found.false_alarms, found.missed) == (0, 1, 1)


def test_the_better_detection_chooses_first():
    found = evaluate_detections(squares(2, 0, score=[0.9, 0.8]), squares(0))
    assert found.average_precision == 1.0
    assert found.f1 == pytest.approx(2 / 3)


def test_average_precision_is_the_area_below_the_envelope():
    rng = np.random.default_rng(3)
    for _ in range(20):
        hit, scores = rng.random(30) < 0.5, rng.random(30)
        if not hit.any():
            continue
        found = scores_of(hit, scores, int(hit.sum()) + 4)
        order = np.argsort(-scores)
        recall = np.cumsum(hit[order]) / (hit.sum() + 4)
        precision = np.cumsum(hit[order]) / np.arange(1, 31)
        expected = sum((r - (recall[i - 1] if i else 0)) * precision[i:].max() for i, r in enumerate(recall))
        assert found.average_precision == pytest.approx(expected)
        assert scores_of(hit, scores, int(hit.sum())).average_precision >= average_precision_score(hit, scores) - 1e-12


def test_without_detections_or_things_scores_are_undefined_not_wrong():
    nothing = evaluate_detections(squares(score=[]), squares(0))
    assert np.isnan(nothing.precision)
    assert (nothing.recall, nothing.f1, nothing.missed) == (0, 0, 1)
    alarm = evaluate_detections(squares(0, score=[0.5]), squares())
    assert np.isnan(alarm.recall)
    assert alarm.false_alarms == 1


def test_references_in_another_crs_are_brought_over():
    reference = squares(500_000).to_crs("EPSG:4326")
    assert evaluate_detections(squares(500_000, score=[1.0]), reference).hits == 1
    with raises_naming(GridError, "CRS"):
        evaluate_detections(squares(0, score=[1.0]), squares(0, crs=None))


def test_without_scores_all_count_alike_and_there_is_no_average_precision():
    found = evaluate_detections(squares(0, 50), squares(0))
    assert (found.hits, found.false_alarms) == (1, 1)
    assert np.isnan(found.average_precision)


def test_limits_that_let_nothing_or_everything_pass_are_refused():
    for limits in ({"min_iou": 1.0}, {"min_iou": -0.1}, {"max_distance_m": 0.0}, {"max_distance_m": float("inf")}):
        with raises_naming(InputError, "min_iou"):
            evaluate_detections(squares(0), squares(0), **limits)


def test_by_distance_each_thing_has_one_detection_the_nearest_of_equals():
    found = evaluate_detections(squares(0.4, 0.1, 30), squares(0, 31.5), max_distance_m=1.0)
    assert (found.hits, found.false_alarms, found.missed) == (1, 2, 1)
    chains = evaluate_detections(squares(1, 2), squares(0, 1.2), max_distance_m=1.0)
    assert chains.hits == 1 or chains.hits == 2  # greedy: 1 ↔ 1.2 first, then 2 has nothing left, and 0 neither
    assert chains.hits == 1


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263"])  # degrees, feet
def test_distances_are_metres_in_any_crs(crs):
    things = gpd.GeoDataFrame(geometry=shapely.points([(500_000.0, 4_500_000.0)]), crs="EPSG:32618").buffer(1)
    moved = things.translate(2.0, 0).to_crs(crs).to_frame("geometry")
    reference = things.to_frame("geometry").to_crs(crs)
    assert evaluate_detections(moved, reference, max_distance_m=2.05).hits == 1
    assert evaluate_detections(moved, reference, max_distance_m=1.95).hits == 0


@pytest.mark.parametrize("unmarked", [None, float("nan")])
def test_a_thing_without_a_mark_is_not_difficult(unmarked):
    reference = squares(0, 50, 90, difficult=[unmarked, True, False])
    found = evaluate_detections(squares(0, 50), reference)
    assert (found.hits, found.false_alarms, found.missed) == (1, 0, 1)
    assert evaluate_detections(squares(0, 50), squares(0, 50, difficult=[1.0, 0.0])).hits == 1


def test_marks_that_are_neither_yes_nor_no_are_refused():
    with raises_naming(InputError, "'difficult'"):
        evaluate_detections(squares(0), squares(0, 50, difficult=["no", "yes"]))


def test_outlines_that_cross_themselves_are_refused():
    bow = gpd.GeoDataFrame(geometry=[shapely.Polygon([(0, 0), (2, 4), (2, 0), (0, 4)])], crs="EPSG:32633")
    with raises_naming(InputError, "1 detections"):
        evaluate_detections(bow, squares(0))
    with raises_naming(InputError, "1 reference"):
        evaluate_detections(squares(0), bow)


def test_equal_scores_count_together_in_whatever_order_they_come():
    hit, scores = np.array([True, False, True, False, True]), np.array([0.5, 0.5, 0.5, 0.5, 0.9])
    orders = [np.random.default_rng(seed).permutation(5) for seed in range(5)]
    found = {round(scores_of(hit[order], scores[order], 3).average_precision, 9) for order in orders}
    assert found == {round(float(average_precision_score(hit, scores)), 9)}


def test_distances_in_web_maps_are_those_on_the_ground():
    at_60_north = gpd.GeoSeries(shapely.points([(1_000_000.0, 8_399_737.9)]), crs="EPSG:3857").buffer(2)
    moved = at_60_north.translate(20.0, 0).to_frame("geometry")  # 10 m
    assert evaluate_detections(moved, at_60_north.to_frame("geometry"), max_distance_m=10.2).hits == 1
    assert evaluate_detections(moved, at_60_north.to_frame("geometry"), max_distance_m=9.8).hits == 0


def made_up_instances(seed: int) -> list[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]]:
    """Three images of boxes on whole pixels in three classes; many detections, of equal scores too."""
    rng, images = np.random.default_rng(seed), []
    for _ in range(3):
        reference, detections = [], []
        for _ in range(rng.integers(5, 25)):
            x, y, w, h = rng.integers(0, 80), rng.integers(0, 80), rng.integers(4, 20), rng.integers(4, 20)
            label = int(rng.integers(1, 4))
            reference.append((x, y, x + w, y + h, label))
            for _ in range(rng.integers(0, 3)):
                d = rng.integers(-2, 3, 4)
                x0, y0, x1, y1 = max(x + d[0], 0), max(y + d[1], 0), x + w + d[2], y + h + d[3]
                called = label if rng.random() < 0.8 else int(rng.integers(1, 4))
                detections.append((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1), called, float(np.round(rng.random(), 1))))
        images.append(
            (
                instances_of(detections, score=[row[5] for row in detections]),
                instances_of(reference),
            )
        )
    return images


def instances_of(rows: list[tuple], **columns: object) -> gpd.GeoDataFrame:
    boxes = [shapely.box(*map(float, row[:4])) for row in rows]
    return gpd.GeoDataFrame({"label": [str(row[4]) for row in rows], **columns}, geometry=boxes)


@pytest.mark.parametrize(
    ("seed", "mean_ap", "ap50", "ap75"),
    [
        (0, 0.10526295486691525, 0.3064189752308564, 0.031536486982031535),
        (6, 0.0747573967923108, 0.2927942794279428, 0.0034740316136876843),
        (11, 0.17564827911362563, 0.424975116559275, 0.1577086280056577),
    ],
)
def test_instances_score_as_pycocotools_scores_their_masks(seed: int, mean_ap: float, ap50: float, ap75: float) -> None:
    """The figures are those of pycocotools 2.0.11 on masks of the same boxes, maxDets 1, 100, 1500."""
    scores = score_instances(made_up_instances(seed))
    assert (scores.mean_ap, scores.ap50, scores.ap75) == pytest.approx((mean_ap, ap50, ap75), abs=1e-12)
    assert np.mean(list(scores.by_class.values())) == pytest.approx(mean_ap)
    if seed == 0:  # numbers for names, on one side whole and on the other with a gap's type
        numbered = [(found.assign(label=found["label"].astype(int)), true.assign(label=true["label"].astype(float)))
                    for found, true in made_up_instances(seed)]  # fmt: skip
        assert score_instances(numbered).by_class == scores.by_class


def test_only_the_surest_instances_count_and_a_class_without_reference_does_not() -> None:
    reference, wrong = squares(0, label=["a"]), squares(0, 50, 90, label=["a", "a", "b"], score=[0.2, 0.9, 0.9])
    assert score_instances([(wrong, reference)]).by_class == {"a": pytest.approx(0.5)}
    assert score_instances([(wrong, reference)], most=1).mean_ap == 0
    assert np.isnan(score_instances([(wrong, reference[:0])]).mean_ap)
    with pytest.raises(InputError, match="no column score"):
        score_instances([(reference, reference)])
