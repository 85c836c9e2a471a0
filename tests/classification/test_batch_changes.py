"""Weights and losses of unlabelled images, on batches computed by hand from the published equations."""

import math

import pytest
import torch

from deepnets4eo.classification.batch_changes import CHANGES, WEIGHTS, Consistency, UnlabelledSection, strong, weak

ROWS = torch.arange(4)
Q = torch.tensor([[0.96, 0.03, 0.01], [0.10, 0.80, 0.10], [0.02, 0.96, 0.02], [0.50, 0.30, 0.20]])


def weights_of(method: str, **keys: float):  # type: ignore[no-untyped-def]
    return WEIGHTS[method](UnlabelledSection(method=method, **keys), 3, 4)


def test_fixmatch_counts_images_whose_probability_reaches_the_threshold() -> None:
    assert weights_of("fixmatch")(Q, ROWS).tolist() == [1, 0, 1, 0]
    assert weights_of("fixmatch", threshold=0.5)(Q, ROWS).tolist() == [1, 1, 1, 1], "at least, not above"


def test_flexmatch_lowers_the_threshold_of_classes_that_are_learnt_slowly() -> None:
    weigh = weights_of("flexmatch")
    assert weigh(Q, ROWS).tolist() == [1, 1, 1, 1], "nothing is noted yet: all thresholds are 0"
    assert weigh.sure.tolist() == [0, 3, 1, 3], "noted where the fixed threshold is passed"
    # counts 1, 1, 0 and two images not sure: beta = 1/2, 1/2, 0; thresholds 0.95 · (1/2) / (3/2) = 0.3167, and 0
    low = torch.tensor([[0.31, 0.35, 0.34], [0.36, 0.32, 0.32], [0.3, 0.3, 0.4], [0.316, 0.3, 0.384]])
    assert weigh(low, ROWS).tolist() == [1, 1, 1, 1]
    weigh.sure.copy_(torch.tensor([0, 0, 0, 1]))  # none is unsure: beta = 1, 1/3, 0
    q = torch.tensor([[0.94, 0.05, 0.01], [0.4, 0.5, 0.1], [0.41, 0.18, 0.41 + 1e-3], [0.2, 0.6, 0.2]])
    thresholds = [0.95, 0.95 * (1 / 3) / (5 / 3), 0.0]
    expected = [float(row.max() >= thresholds[int(row.argmax())]) for row in q]
    assert weigh(q, ROWS).tolist() == expected == [0, 1, 1, 1]


def test_losses_are_means_over_all_unlabelled_images() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [1.0, 0.0, 0.0]])
    each = [-math.log(math.exp(2) / (math.exp(2) + 2)), -math.log(math.exp(3) / (math.exp(3) + 2))]

    def loss(**keys: float) -> float:
        keeper = Consistency(UnlabelledSection(method="fixmatch", **keys), 3, 4)
        return float(keeper.loss(logits, Q, ROWS))

    assert loss() == pytest.approx(sum(each) / 4), "divided by all images, not by those that count"
    assert loss(weight=0.5) == pytest.approx(sum(each) / 8)


def test_strong_changes_keep_the_order_of_bands_and_nothing_beyond_the_values_met() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 5, 16, 16) + torch.arange(5.0)[:, None, None]
    changed = strong(images)
    assert changed.shape == images.shape
    assert "colour" not in CHANGES
    assert "contrast" not in CHANGES
    means = torch.stack([one[:, (one != 0).all(0)].mean(1) for one in changed])
    assert (means.diff(dim=1) > 0.5).all(), "bands stay apart as they were: no scale of its own for each image or band"
    assert ((changed == 0).all(1).flatten(1).float().mean(1) <= 0.27).all(), "a square of a quarter at most is cut out"
    gains = means[:, 4] / 4.5
    assert (gains.log().abs() < 0.25).all(), "one small gain for all bands"


def test_weak_changes_only_move_pixels() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 2, 6, 6)
    turned = weak(images, flips=True, rotations=True, shift=0.0)
    torch.testing.assert_close(turned.flatten(2).sort(2).values, images.flatten(2).sort(2).values)
    views = {
        tuple(one.flatten().tolist())
        for one in weak(images[:1].expand(200, -1, -1, -1), flips=True, rotations=True, shift=0.0)
    }
    assert len(views) == 8, "all turns and mirror images"
    quarter = {
        tuple(one.flatten().tolist())
        for one in weak(images[:1].expand(99, -1, -1, -1), flips=False, rotations=True, shift=0.0)
    }
    assert len(quarter) == 4
    moved = weak(images, flips=False, rotations=False, shift=0.2)
    assert set(moved.flatten().tolist()) <= set(images.flatten().tolist())
