"""Signed distances against scipy's transform, by hand, and in windows against those of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from refusals import raises_naming
from scipy.ndimage import distance_transform_edt

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import signed_distance
from deepnets4eo.segmentation.heads import window_targets

LABELS = arrays(
    np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from([0, 0, 0, 1, 2, 255])
)


def blocks(seed: int, cells: int = 9, side_px: int = 7, void_share: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    classes = np.where(rng.random((cells, cells)) < void_share, 255, rng.integers(0, 4, (cells, cells)))
    return np.kron(classes, np.ones((side_px, side_px))).astype(np.uint8)


def by_scipy(labels: np.ndarray, num_classes: int, clip_px: int) -> np.ndarray:
    """Inside minus outside, both Euclidean; void is on neither side."""
    void, result = labels == 255, []
    for place in range(num_classes):
        inside, outside = labels == place, (labels != place) & ~void
        to_outside = distance_transform_edt(~outside) if outside.any() else np.full(labels.shape, np.inf)
        to_inside = distance_transform_edt(~inside) if inside.any() else np.full(labels.shape, np.inf)
        result.append(np.clip(np.where(inside, to_outside, -to_inside), -clip_px, clip_px) / clip_px)
    return np.where(void, 0, np.stack(result)).astype(np.float32)


def test_a_square_of_three_pixels_has_the_distances_of_the_reference() -> None:
    labels = np.zeros((7, 7), np.uint8)
    labels[2:5, 2:5] = 1
    pixels = signed_distance(labels, 2, clip_px=8)[1] * 8
    assert pixels[3].tolist() == [-2, -1, 1, 2, 1, -1, -2]
    assert pixels[0, 0] == pytest.approx(-2.8284, abs=1e-4)
    assert pixels[1, 1] == pytest.approx(-1.4142, abs=1e-4)
    assert signed_distance(labels, 2, clip_px=2)[1][3].tolist() == [-1, -0.5, 0.5, 1, 0.5, -0.5, -1]


def test_of_two_classes_one_is_the_other_turned_round() -> None:
    distance = signed_distance((blocks(0, void_share=0) > 1).astype(np.uint8), 2)
    np.testing.assert_array_equal(distance[0], -distance[1])


def test_an_absent_class_is_far_everywhere_and_one_alone_is_deep_everywhere() -> None:
    distance = signed_distance(np.full((40, 30), 1, np.uint8), 3)
    assert [np.unique(plane).tolist() for plane in distance] == [[-1], [1], [-1]]
    assert not signed_distance(np.full((4, 4), 255, np.uint8), 2).any()


@given(LABELS, st.integers(1, 30))
def test_it_agrees_with_scipy(labels: np.ndarray, clip_px: int) -> None:
    np.testing.assert_allclose(signed_distance(labels, 3, clip_px), by_scipy(labels, 3, clip_px), rtol=1e-6)


def test_long_radii_do_not_overflow() -> None:
    labels = np.zeros((3, 400), np.uint8)
    labels[1, 0] = 1
    assert (signed_distance(labels, 2, 300)[1, 1] * 300)[[1, 250, 399]] == pytest.approx([-1, -250, -300])


@given(st.integers(0, 99), st.integers(1, 12), st.integers(0, 25), st.integers(0, 25))
def test_a_margin_of_the_radius_makes_a_window_exact(seed: int, clip_px: int, row: int, col: int) -> None:
    labels = np.pad(blocks(seed), 12, mode="reflect")
    whole = signed_distance(labels, 4, clip_px)
    row, col = row + 12, col + 12
    cut = labels[row - clip_px : row + 20 + clip_px, col - clip_px : col + 20 + clip_px]
    inner = slice(clip_px, clip_px + 20)
    np.testing.assert_array_equal(
        signed_distance(cut, 4, clip_px)[:, inner, inner], whole[:, row : row + 20, col : col + 20]
    )


@given(st.integers(0, 99), st.integers(1, 12), st.integers(0, 30), st.integers(0, 30))
def test_where_a_window_is_known_no_other_surroundings_or_void_would_change_it(
    seed: int, clip_px: int, row: int, col: int
) -> None:
    true = blocks(seed, void_share=0)
    shown = np.where(np.random.default_rng(seed).random(true.shape) < 0.01, 255, true)
    window = (slice(row, row + 32), slice(col, col + 32))
    distance, known = window_targets(torch.from_numpy(shown[window])[None].long(), 4, clip_px)
    found = known[0].numpy()
    whole = signed_distance(true, 4, clip_px)[(slice(None), *window)]
    np.testing.assert_array_equal(distance[0].numpy()[found], whole[found])
    assert not known[0][:, torch.from_numpy(shown[window] == 255)].any()


def test_what_a_window_cannot_know_is_no_more_than_it_must_be() -> None:
    mask = torch.zeros(1, 40, 40, dtype=torch.int64)
    mask[:, :, 20:] = 1
    known = window_targets(mask, 2, 8)[1][0, 1]
    assert known[8:-8, 8:-8].all()
    assert known[20].tolist() == [False] * 7 + [True] * 26 + [False] * 7  # column 7 has 8 pixels to the edge
    assert not known[0, 18]
    assert known[0, 19]  # the border beside it is as near as the edge


def test_a_radius_of_nothing_is_refused() -> None:
    with raises_naming(InputError, "clip_px", "0"):
        signed_distance(np.zeros((4, 4), np.uint8), 2, 0)
