"""Single buildings: patches find each other, and neighbours speak for what was destroyed."""

import numpy as np
import pytest
from moved_place import noisy, place

from deepnets4eo.damage.registration.correlation import orientation_field
from deepnets4eo.damage.registration.refine import local_offsets, match_patches

REACH = 10


def patches(shifts: np.ndarray, seed: int = 0, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Pre patches and, from the same place, post patches whose things lie at +shift (col, row) in pre."""
    rng = np.random.default_rng(seed)
    image = place(seed, (600, 600))
    pre, post = [], []
    for col, row in shifts:
        y, x = rng.integers(80, 450, 2)
        pre.append(image[y - REACH : y + side + REACH, x - REACH : x + side + REACH])
        post.append(noisy(image[y + row : y + row + side, x + col : x + col + side], seed))
    return np.array(pre), np.array(post)


def test_each_patch_is_found_where_it_lies():
    shifts = np.array([(3, -4), (0, 0), (-7, 6), (8, 2)])
    peaks = match_patches(*patches(shifts))
    np.testing.assert_allclose(peaks.cols, shifts[:, 0], atol=0.3)
    np.testing.assert_allclose(peaks.rows, shifts[:, 1], atol=0.3)
    assert (peaks.values > 0.5).all()


def test_a_peak_is_the_normalised_correlation_by_hand():
    pre, post = patches(np.array([(2, 1)]))
    whole, part = orientation_field(pre[0]), orientation_field(post[0])
    scores = np.empty((2 * REACH + 1, 2 * REACH + 1))
    for row in range(2 * REACH + 1):
        for col in range(2 * REACH + 1):
            window = whole[row : row + 48, col : col + 48]
            scores[row, col] = (window * part.conj()).real.sum() / np.sqrt(
                (np.abs(window) ** 2).sum() * (np.abs(part) ** 2).sum()
            )
    found = match_patches(pre, post)
    assert found.values[0] == pytest.approx(scores.max(), abs=1e-3)
    assert (round(found.rows[0]) + REACH, round(found.cols[0]) + REACH) == np.unravel_index(
        scores.argmax(), scores.shape
    )


def test_a_destroyed_building_takes_its_neighbours_offset():
    pre, post = patches(np.tile([(3, -2)], (9, 1)))
    post[4] = np.random.default_rng(1).uniform(0, 255, post[4].shape)
    points = np.column_stack((np.arange(9) * 25.0, np.zeros(9)))
    found = local_offsets(pre, post, points, 0.5)
    np.testing.assert_allclose(found.offsets_m, np.tile([(1.5, -1.0)], (9, 1)), atol=0.2)
    assert not found.own[4]
    assert found.own.sum() >= 6


def test_unrelated_patches_move_nothing_together():
    rng = np.random.default_rng(3)
    pre, post = (rng.uniform(0, 255, (12, side, side)).astype(np.float32) for side in (68, 48))
    points = rng.uniform(0, 100, (12, 2))
    assert local_offsets(pre, post, points, 0.5).own.sum() <= 1
