"""Embeddings of two sensors: their gap by hand, retrieval, weights between two, and what draws a student to its teacher."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refusals import raises_naming

from deepnets4eo.classification import interpolate_weights, measure_gap, recall_at
from deepnets4eo.classification.loss import ImageCriterion
from deepnets4eo.errors import InputError


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of 60 places by two sensors, the second one's moved by a constant."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(60, 12))
    return places, places + 0.3 * rng.normal(size=places.shape) + np.eye(12)[0] * 5


def test_the_gap_is_that_by_hand(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in pairs)
    gap = measure_gap(*pairs)
    np.testing.assert_allclose(gap.vector, x.mean(axis=0) - y.mean(axis=0))
    assert gap.size == pytest.approx(np.linalg.norm(gap.vector))
    assert gap.matched == pytest.approx(np.mean([a @ b for a, b in zip(x, y, strict=True)]))
    inside = [a @ b for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    assert gap.within_first == pytest.approx(np.mean(inside))
    spread = [np.exp(-2 * ((a - b) ** 2).sum()) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    assert gap.uniformity_second == pytest.approx(np.log(np.mean(spread)))
    assert gap.alignment == pytest.approx(2 - 2 * gap.matched)
    assert gap.separability > 0.95
    assert "vector" not in gap.to_dict()


def test_two_places_that_are_alike_share_a_rank() -> None:
    assert recall_at(np.eye(4), np.eye(4)[[1, 0, 3, 2]]) == 0
    assert recall_at(np.eye(4), np.eye(4)[[1, 0, 3, 2]], k=2) == 1


def test_weights_between_two() -> None:
    first, tuned = ({"w": torch.full((2,), value), "n": torch.tensor(int(value))} for value in (1.0, 3.0))
    assert interpolate_weights(first, tuned, 0.25)["w"].tolist() == [1.5, 1.5]
    assert interpolate_weights(first, tuned, 0.25)["n"] == 3
    with raises_naming(InputError, "alpha is 2"):
        interpolate_weights(first, tuned, 2)
    with pytest.raises(InputError, match="two networks: n differs"):
        interpolate_weights(first, {"w": tuned["w"]}, 0.5)


@pytest.mark.parametrize("wrong", [np.zeros((6, 3)), np.full((6, 3), np.nan), np.ones(6)])
def test_what_is_no_embedding_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected"):
        measure_gap(wrong, np.ones((6, 3)))


@pytest.mark.parametrize("known", [[True, False, True], [False] * 3])
def test_a_student_is_drawn_to_its_teacher_and_by_the_labels_that_are_known(known: list[bool]) -> None:
    features, taught = (
        torch.tensor([[3.0, 4.0], [0.0, 2.0], [5.0, 0.0]]),
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
    )
    criterion = SimpleNamespace(
        label_weight=0.05, _supervised=lambda _, logits, target: (logits - target).square().mean()
    )
    network = SimpleNamespace(features=lambda images: images, head=lambda one: one * 2)
    batch = {"taught": taught, "known": torch.tensor(known), "target": torch.ones(3, 2)}
    apart = (0.4**2 + 0.8**2 + 0 + 1 + 1) / 3
    labels = 0.05 * (5**2 + 7**2 + 9**2 + 1) / 4 if any(known) else 0
    assert float(ImageCriterion._follow(criterion, network, features, batch)) == pytest.approx(apart + labels)
