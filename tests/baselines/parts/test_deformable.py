"""Parts against a loop over all their places."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from deepnets4eo.baselines.parts.detector import load_bank, save_bank
from deepnets4eo.baselines.parts.templates import (
    REACH,
    PartModels,
    Shapes,
    TemplateBank,
    align_parts,
    first_parts,
    in_used_frame,
    part_scores,
)
from deepnets4eo.errors import RunError


@pytest.fixture(scope="module")
def bank():
    rng = np.random.default_rng(7)
    shapes = Shapes.from_medians(np.array([[16.0, 8.0]]), headings=2, cell_px=4)
    weights = np.zeros((2, 31, *shapes.frame), np.float32)
    for template, (row, col) in enumerate(shapes.corner):
        rows, cols = shapes.sizes[template]
        weights[template, :, row : row + rows, col : col + cols] = rng.standard_normal((31, rows, cols))
    zeros = np.zeros(2, np.float32)
    plain = TemplateBank(shapes, weights, zeros, zeros + 1, zeros)
    parts = first_parts(plain, 2)
    springs = np.array([0.05, 0.01, 0.03, -0.02], np.float32) * rng.uniform(0.5, 2, (2, 2, 4)).astype(np.float32)
    return TemplateBank(shapes, weights, zeros, zeros + 1, zeros, PartModels(parts.weights, parts.anchors, springs))


def best_by_loop(fine, bank, template, begin):
    """The parts' best total for a frame that begins at a coarse cell."""
    total = 0.0
    padded = np.pad(fine, ((0, 0), (40, 40), (40, 40)))
    for weights, anchor, spring in zip(
        bank.parts.weights[template], bank.parts.anchors[template], bank.parts.springs[template], strict=True
    ):
        side = weights.shape[-1]
        best = -np.inf
        for y in range(-REACH, REACH + 1):
            for x in range(-REACH, REACH + 1):
                row, col = 2 * begin[0] + anchor[0] + y + 40, 2 * begin[1] + anchor[1] + x + 40
                response = (weights * padded[:, row : row + side, col : col + side]).sum()
                best = max(best, response - spring @ np.array([y * y, y, x * x, x]))
        total += best
    return total


def test_the_score_of_parts_is_the_best_of_all_their_places(bank):
    rng = np.random.default_rng(8)
    fine = rng.random((31, 21, 24), dtype=np.float32)
    half = np.array(bank.shapes.frame) // 2
    shape = tuple(np.array([10, 12]) + 2 * half - bank.shapes.frame + 1)
    found = part_scores(fine, bank, shape)
    assert found.shape == (2, *shape)
    for template in range(2):
        for row, col in [(0, 0), (3, 4), (shape[0] - 1, shape[1] - 1), (5, 1)]:
            expected = best_by_loop(fine, bank, template, (row - half[0], col - half[1]))
            assert found[template, row, col] == pytest.approx(expected, abs=1e-3)


def test_training_sees_parts_where_detection_does(bank):
    fine = np.random.default_rng(9).random((31, 60, 60), dtype=np.float32)
    used = in_used_frame(bank.parts, bank.shapes.corner)
    for template in range(2):
        begin = np.array([6, 7]) + bank.shapes.corner[template]
        rows, cols = 2 * bank.shapes.sizes[template] + 2 * REACH
        top, left = 2 * begin - REACH
        features, moves = align_parts(fine[None, :, top : top + rows, left : left + cols], used, template)
        score = features[0] @ bank.parts.weights[template].ravel() - moves[0] @ bank.parts.springs[template].ravel()
        assert score == pytest.approx(best_by_loop(fine, bank, template, (6, 7)), abs=1e-3)


def test_first_parts_lie_within_their_template(bank):
    parts = bank.parts
    side = parts.weights.shape[-1]
    first = 2 * bank.shapes.corner[:, None]
    assert (parts.anchors >= first).all()
    assert (parts.anchors + side <= first + 2 * bank.shapes.sizes[:, None]).all()


def test_parts_survive_a_file(tmp_path, bank):
    save_bank(bank, tmp_path / "templates.safetensors")
    again = load_bank(tmp_path / "templates.safetensors")
    assert np.array_equal(again.parts.weights, bank.parts.weights)
    assert np.array_equal(again.parts.anchors, bank.parts.anchors)
    assert np.array_equal(again.weights, bank.weights)


@pytest.mark.parametrize(
    ("name", "values"),
    [("cell_px", np.int64(8)), ("things", np.ones(3)), ("bias", np.float32(1)), ("component", np.zeros(0, np.int64))],
)
def test_arrays_of_other_shapes_are_no_templates(tmp_path, bank, name, values):
    save_bank(bank, tmp_path / "templates.safetensors")
    arrays = load_file(tmp_path / "templates.safetensors") | {name: np.asarray(values)}
    save_file(arrays, tmp_path / "damaged.safetensors")
    with pytest.raises(RunError, match="do not fit one another"):
        load_bank(tmp_path / "damaged.safetensors")


def test_first_parts_cost_as_much_along_rows_as_along_columns(bank):
    springs = first_parts(bank, 2).springs
    for move in ((1, 0), (0, 1), (-1, 0), (0, -2)):
        rows, cols = move
        cost = springs @ np.array([rows**2, rows, cols**2, cols], np.float32)
        np.testing.assert_allclose(cost, 0.02 * (rows**2 + cols**2), rtol=1e-6)
