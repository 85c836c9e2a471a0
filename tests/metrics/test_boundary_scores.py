"""Border scores against a naive search of all pairs of pixels, by hand, and in windows against the whole."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from deepnets4eo.errors import InputError
from deepnets4eo.metrics import BoundaryScores


def blobs(seed: int, shape: tuple[int, int] = (30, 26), void_share: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cells = np.kron(rng.integers(0, 3, (9, 9)), np.ones((4, 4), int))[: shape[0], : shape[1]].astype(np.uint8)
    cells[rng.random(shape) < void_share] = 255
    return cells


def shaken(labels: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    moved = np.roll(labels, rng.integers(-2, 3, 2), (0, 1))
    return np.where(rng.random(labels.shape) < 0.02, rng.integers(0, 3, labels.shape), moved).astype(np.uint8)


def line_of(labels: np.ndarray, place: int) -> np.ndarray:
    """Border pixels of a class as an array of (row, col), looked up one by one."""
    found = []
    for row, col in np.argwhere(labels == place):
        for near_row, near_col in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            inside = 0 <= near_row < labels.shape[0] and 0 <= near_col < labels.shape[1]
            if inside and labels[near_row, near_col] not in (place, 255):
                found.append((row, col))
                break
    return np.array(found).reshape(-1, 2)


def naive_share(line: np.ndarray, other: np.ndarray, reference: np.ndarray, radius_px: int) -> float:
    """Share of the pixels of `line` within reach of `other`, without those near void or the edge."""
    beyond = np.argwhere(np.pad(reference == 255, 1, constant_values=True)) - 1
    known = [pixel for pixel in line if (((beyond - pixel) ** 2).sum(1) > radius_px**2).all()]
    near = [bool(len(other)) and (((other - pixel) ** 2).sum(1) <= radius_px**2).any() for pixel in known]
    return float(np.mean(near)) if known else math.nan


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 999), st.integers(1, 4))
def test_it_agrees_with_a_search_of_all_pairs(seed: int, radius_px: int) -> None:
    reference = blobs(seed)
    prediction = shaken(reference, seed)
    scores = BoundaryScores(3, radius_px)
    scores.update(reference, prediction)
    for place in range(3):
        lines = line_of(prediction, place), line_of(reference, place)
        assert scores.precision[place] == pytest.approx(naive_share(*lines, reference, radius_px), nan_ok=True)
        assert scores.recall[place] == pytest.approx(naive_share(*lines[::-1], reference, radius_px), nan_ok=True)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 999), st.integers(1, 3), st.integers(7, 20))
def test_windows_with_a_margin_count_what_the_whole_counts(seed: int, radius_px: int, step_px: int) -> None:
    reference = blobs(seed)
    prediction = shaken(reference, seed)
    whole, parts = BoundaryScores(3, radius_px), BoundaryScores(3, radius_px)
    whole.update(reference, prediction)
    margin_px = parts.margin_px
    around = [np.pad(labels, margin_px, constant_values=255) for labels in (reference, prediction)]
    for row in range(0, reference.shape[0], step_px):
        for col in range(0, reference.shape[1], step_px):
            window = BoundaryScores(3, radius_px)
            cut = (slice(row, row + step_px + 2 * margin_px), slice(col, col + step_px + 2 * margin_px))
            window.update(around[0][cut], around[1][cut], margin_px=margin_px)
            parts += window
    assert {name: found.tolist() for name, found in parts.counts.items()} == {
        name: found.tolist() for name, found in whole.counts.items()
    }


def test_a_border_moved_within_reach_is_right_and_beyond_it_wrong() -> None:
    reference, prediction = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    reference[:, 20:], prediction[:, 22:] = 1, 1
    near, far = BoundaryScores(2, 2), BoundaryScores(2, 1)
    for scores in (near, far):
        scores.update(reference, prediction)
    assert near.f1.tolist() == [1, 1]
    assert near.mean_f1 == 1
    assert far.f1.tolist() == [0, 0]


def test_a_class_without_borders_is_undefined_and_one_with_borders_on_one_side_is_wrong() -> None:
    reference, prediction = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    prediction[8:12, 8:12] = 1
    scores = BoundaryScores(3, 2)
    scores.update(reference, prediction)
    np.testing.assert_array_equal(scores.f1, [0, 0, np.nan])
    np.testing.assert_array_equal(scores.precision, [0, 0, np.nan])
    np.testing.assert_array_equal(scores.recall, [np.nan] * 3)
    assert math.isnan(BoundaryScores(2, 1).mean_f1)


def test_void_predictions_make_no_border_but_leave_the_reference_missed() -> None:
    reference = np.zeros((20, 20), np.uint8)
    reference[:, 10:] = 1
    scores = BoundaryScores(2, 1)
    scores.update(reference, np.full((20, 20), 255, np.uint8))
    assert scores.recall.tolist() == [0, 0]
    assert np.isnan(scores.precision).all()
    assert scores.f1.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BoundaryScores(2, 0), "reach of 0 px"),
        (lambda: BoundaryScores(2, 2).update(np.zeros((9, 9), np.uint8), np.zeros((9, 8), np.uint8)), r"\(9, 8\)"),
        (lambda: BoundaryScores(2, 2).update(*[np.zeros((9, 9), np.uint8)] * 2, margin_px=2), "margin of 2 px"),
        (lambda: BoundaryScores(2, 2).update(*[np.zeros((9, 9), np.uint8)] * 2, margin_px=-3), "margin of -3 px"),
        (lambda: BoundaryScores(2, 2).update(*[np.zeros((9, 9), int)] * 2), "reference of int64"),
        (lambda: BoundaryScores(2, 2).__iadd__(BoundaryScores(2, 5)), "one legend and one radius"),
        (lambda: BoundaryScores(2, 2).__iadd__(BoundaryScores(3, 2)), "one legend and one radius"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
