"""Detection scores on cases worked out by hand, and against scikit-learn's average precision where it means the same."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from sklearn.metrics import average_precision_score

from deepnets4eo.baselines.parts import area_scores, evaluate_detections
from deepnets4eo.baselines.parts.scoring import scores_of
from deepnets4eo.errors import GridError, InputError


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
    with pytest.raises(GridError, match="CRS"):
        evaluate_detections(squares(0, score=[1.0]), squares(0, crs=None))


def test_scores_must_be_there():
    with pytest.raises(InputError, match="'score'"):
        evaluate_detections(squares(0), squares(0))


def test_area_scores_count_common_ground_once():
    precision, recall, f1 = area_scores(squares(0, 0, score=[1.0, 1.0]), squares(5))
    assert (precision, recall, f1) == pytest.approx((0.5, 0.5, 0.5))
