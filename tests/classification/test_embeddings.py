"""Embeddings of two sensors: their gap by hand, retrieval, probes, weights between two, and a student that follows its teacher."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from deepnets4eo.classification import align, interpolate_weights, measure_gap, probe, recall_at
from deepnets4eo.classification.embeddings import centre, shift
from deepnets4eo.classification.training import ImageCriterion
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


def test_centring_closes_the_gap_and_shifting_moves_along_it(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    before = measure_gap(*pairs)
    assert measure_gap(*centre(*pairs)).size < 0.1
    assert measure_gap(*shift(*pairs, 0.3)).size < before.size < measure_gap(*shift(*pairs, -0.3)).size
    assert recall_at(*centre(*pairs)) > recall_at(*pairs)


def test_two_places_that_are_alike_share_a_rank() -> None:
    assert recall_at(np.eye(4), np.eye(4)[[1, 0, 3, 2]]) == 0
    assert recall_at(np.eye(4), np.eye(4)[[1, 0, 3, 2]], k=2) == 1


def test_frozen_features_that_separate_classes_are_seen() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = np.eye(3)[labels] + 0.1 * rng.normal(size=(60, 3))
    scores = probe(features, labels, range(30), range(30, 60))
    assert min(scores.values()) == 1
    assert max(probe(rng.normal(size=(60, 3)), labels, range(30), range(30, 60)).values()) < 0.7
    with pytest.raises(InputError, match="does not learn from"):
        probe(features, labels, range(30), range(20, 60))


def test_weights_between_two() -> None:
    first, tuned = ({"w": torch.full((2,), value), "n": torch.tensor(int(value))} for value in (1.0, 3.0))
    assert interpolate_weights(first, tuned, 0.25)["w"].tolist() == [1.5, 1.5]
    assert interpolate_weights(first, tuned, 0.25)["n"] == 3
    with pytest.raises(InputError, match="alpha is 2"):
        interpolate_weights(first, tuned, 2)
    with pytest.raises(InputError, match="two networks: n differs"):
        interpolate_weights(first, {"w": tuned["w"]}, 0.5)


def test_a_student_learns_to_embed_as_its_teacher() -> None:
    torch.manual_seed(0)
    places = torch.randn(64, 3, 4, 4)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(48, 8))
    embeddings = nn.functional.normalize(teacher(places), dim=1).detach()
    other = places.flip(1) * 2 + 1  # another sensor's values of the same places
    student = nn.Sequential(nn.Flatten(), nn.Linear(48, 8))
    before = recall_at(student(other).detach().numpy(), embeddings.numpy())
    classes = torch.eye(8)[:2]
    losses = align(
        student, embeddings, lambda _epoch: np.arange(64).reshape(4, 16), other,
        label_embeddings=classes, targets=(embeddings @ classes.T > 0), epochs=60, lr=0.01,
    )  # fmt: skip
    assert losses[-1] < losses[0]
    assert recall_at(student(other).detach().numpy(), embeddings.numpy()) > max(before, 0.9)
    with pytest.raises(InputError, match="belong together"):
        align(student, embeddings, lambda _epoch: [], other, label_embeddings=classes)


@pytest.mark.parametrize("wrong", [np.zeros((6, 3)), np.full((6, 3), np.nan), np.ones(6)])
def test_what_is_no_embedding_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected"):
        measure_gap(wrong, np.ones((6, 3)))


def test_centring_and_shifting_are_those_by_hand() -> None:
    x, y = np.array([[1.0, 0.0], [0.6, 0.8]] * 3), np.array([[0.0, 1.0], [-0.6, 0.8]] * 3)
    middles = [0.8, 0.4], [-0.3, 0.9]
    gap = np.array([1.1, -0.5]) / np.hypot(1.1, 0.5)
    ways = (centre(x, y), [x - middles[0], y - middles[1]]), (shift(x, y, 0.25), [x - 0.25 * gap, y + 0.25 * gap])
    for found, expected in ways:
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other / np.linalg.norm(other, axis=1, keepdims=True))


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
