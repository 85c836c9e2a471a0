"""Correlation against sliding windows, geometry of templates, the SVM against scikit-learn's, sub-categories."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from deepnets4eo.baselines.parts.learning import sub_categories
from deepnets4eo.baselines.parts.mining import FLAT, WEIGHT, best_alignments, linear_svm, positive_cells
from deepnets4eo.baselines.parts.templates import Shapes, correlate


@pytest.mark.parametrize("normalised", [False, True])
def test_correlation_is_a_window_slid_over_the_cells(normalised):
    rng = np.random.default_rng(1)
    cells = rng.random((31, 9, 12), dtype=np.float32)
    weights = rng.standard_normal((3, 31, 4, 5)).astype(np.float32)
    found = correlate(cells, weights, normalised=normalised)
    assert found.shape == (3, 6, 8)
    for template in range(3):
        for row in range(6):
            for col in range(8):
                product = (weights[template] * cells[:, row : row + 4, col : col + 5]).astype(np.float64)
                expected = product.sum() / (np.sqrt((product**2).sum()) if normalised else 1)
                assert found[template, row, col] == pytest.approx(expected, abs=2e-4)


def test_correlation_has_the_same_bits_whatever_the_number_of_threads():
    rng = np.random.default_rng(2)
    cells = rng.random((31, 90, 80), dtype=np.float32)
    weights = rng.standard_normal((8, 31, 9, 9)).astype(np.float32)
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = correlate(cells, weights)
        torch.set_num_threads(2)
        assert np.array_equal(correlate(cells, weights), one)
    finally:
        torch.set_num_threads(before)


def test_nothing_correlates_with_nothing():
    assert not correlate(np.zeros((31, 8, 8), np.float32), np.ones((1, 31, 3, 3), np.float32), normalised=True).any()


def test_a_template_holds_its_thing_at_every_heading():
    shapes = Shapes.from_medians(np.array([[45.0, 19.0], [60.0, 20.0]]), headings=8, cell_px=4)
    assert len(shapes) == 16
    for (length, width, heading), (rows, cols) in zip(shapes.things, shapes.sizes, strict=True):
        tall = length * abs(math.sin(heading)) + width * abs(math.cos(heading))
        wide = length * abs(math.cos(heading)) + width * abs(math.sin(heading))
        assert rows * 4 >= tall
        assert cols * 4 >= wide


def test_a_box_lies_in_the_middle_of_its_template():
    shapes = Shapes.from_medians(np.array([[40.0, 16.0]]), headings=4, cell_px=4)
    box = shapes.boxes(np.array([0]), np.array([10]), np.array([20]), (2.0, 2.0))[0]
    (corner_row, corner_col), (rows, cols) = shapes.corner[0], shapes.sizes[0]
    assert box[:2].tolist() == [(10 + corner_row + rows / 2) * 2, (20 + corner_col + cols / 2) * 2]
    assert box[2:].tolist() == [20, 8, 0]


def test_the_svm_is_that_of_liblinear():
    rng = np.random.default_rng(0)
    vectors = rng.random((300, 60)).astype(np.float32)
    vectors[:40] += 0.2 * (np.arange(60) % 2)
    weight, bias = linear_svm(vectors[:40], vectors[40:], 0.1)
    target = np.r_[np.ones(40), -np.ones(260)]
    reference = LinearSVC(C=0.1, dual=True, intercept_scaling=30, max_iter=100_000, tol=1e-6, random_state=0)
    flat = np.concatenate([vectors, np.zeros((1, 60))])
    reference.fit(flat, np.append(target, -1), np.append(np.where(target > 0, WEIGHT, 1.0), FLAT))
    # liblinear pulls the bias towards 0 as it does weights, the less the larger its scaling
    assert np.corrcoef(vectors @ weight + bias, reference.decision_function(vectors))[0, 1] > 0.99
    own = 0.5 * weight @ weight + 0.1 * loss(vectors, target, weight, bias)
    its = reference.coef_[0], reference.intercept_[0]
    assert own <= 1.01 * (0.5 * its[0] @ its[0] + 0.1 * loss(vectors, target, *its))


def loss(vectors, target, weight, bias):
    each = np.where(target > 0, WEIGHT, 1) * np.maximum(0, 1 - target * (vectors @ weight + bias)) ** 2
    return each.sum() + FLAT * max(0, 1 + bias) ** 2


def test_alignment_finds_the_shift_that_fits_best():
    rng = np.random.default_rng(4)
    template = rng.standard_normal((31, 4, 3)).astype(np.float32)
    positives = np.zeros((1, 4, 3, 31, 6, 5), np.float16)
    positives[0, 0, 2, :, 2:6, 0:3] = template
    found = best_alignments(positives, template).vectors
    assert found.shape == (4, 31 * 12)
    assert np.allclose(found[0], template.reshape(-1), atol=2e-3)
    centred = best_alignments(positives, None).vectors
    assert not centred.any()


def test_sub_categories_part_vans_from_cars():
    rng = np.random.default_rng(5)
    aspect = np.concatenate([rng.normal(1.6, 0.03, 40), rng.normal(3.2, 0.05, 30)])
    boxes = np.column_stack([np.zeros((70, 2)), 20 * aspect, np.full(70, 20.0), np.zeros(70)])
    kinds = sub_categories(boxes, 2, seed=0)
    assert len(set(kinds[:40])) == len(set(kinds[40:])) == 1
    assert kinds[0] != kinds[-1]


def test_few_boxes_make_few_sub_categories():
    boxes = np.column_stack([np.zeros((7, 2)), np.linspace(30, 60, 7), np.full(7, 20.0), np.zeros(7)])
    assert set(sub_categories(boxes, 5, seed=0)) == {0}


@pytest.mark.parametrize(
    ("fine_room", "rows", "cols"),
    [(None, 4 + 2, 7 + 2), (0, 2 * (4 + 2), 2 * (7 + 2)), (3, 2 * (4 + 2) + 6, 2 * (7 + 2) + 6)],
)
def test_cells_of_objects_have_the_room_in_which_a_template_is_shifted(fine_room, rows, cols):
    """Four sides (turned by half a turn, mirrored) and three sizes of each object; fine cells have half the side."""
    shapes = SimpleNamespace(sizes=np.array([[4, 7]]), things=np.zeros((1, 3)), cell_px=8)
    cells = positive_cells([], shapes, 0, 1, fine_room=fine_room)
    assert cells.shape == (0, 4 * 3, 31, rows, cols)
