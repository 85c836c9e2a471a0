"""Change and land cover as classes from → to, decided by brute force over all pairs; frozen land cover."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from refusals import raises_naming
from small_segmenters import INPUTS, LEGEND, make_pair
from torch import nn

from deepnets4eo.change import ChangeDetector, CoverComparison
from deepnets4eo.change.networks.cover_and_change import FromTo, count_covers, from_to_scores
from deepnets4eo.change.networks.encoder_pair import EncoderPair
from deepnets4eo.change.networks.hrscd import MultitaskChangeNet
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.tiling import Tiling

SMALL = {"encoder": "mobilenet_v2", "decoder_channels": [8, 8]}


def best_pair(change: np.ndarray, pre: np.ndarray, post: np.ndarray) -> int:
    """The most probable pair that agrees with the decision on change, one pixel."""
    count = len(pre)
    pairs = [(i, j) for i, j in itertools.product(range(count), repeat=2) if (i != j) == (change[1] > change[0])]
    i, j = max(pairs, key=lambda pair: pre[pair[0]] + post[pair[1]])
    return i * count + j


def test_the_best_class_agrees_with_change_and_is_the_most_probable_pair_that_does() -> None:
    torch.manual_seed(0)
    change, pre, post = torch.randn(2, 2, 7, 5), torch.randn(2, 4, 7, 5), torch.randn(2, 4, 7, 5)
    scores = from_to_scores(change, pre, post)
    best = scores.argmax(1)
    for n, row, col in itertools.product(range(2), range(7), range(5)):
        pixel = [one[n, :, row, col].numpy() for one in (change, pre.log_softmax(1), post.log_softmax(1))]
        assert int(best[n, row, col]) == best_pair(*pixel)
    same = torch.eye(4, dtype=torch.bool).flatten()
    assert torch.allclose(scores[:, same].amax(1), change.log_softmax(1)[:, 0], atol=1e-6)
    assert torch.allclose(scores[:, ~same].amax(1), change.log_softmax(1)[:, 1], atol=1e-6)


def test_a_number_of_classes_that_is_no_square_is_refused() -> None:
    assert count_covers(64) == 8
    for wrong in (1, 2, 24):
        with raises_naming(InputError, "from → to", wrong):
            count_covers(wrong)
    with raises_naming(InputError, "'fc-ef'"):
        FromTo(6, 4, network="fc-ef")


@pytest.mark.parametrize("network", [MultitaskChangeNet(6, cover_classes=3), EncoderPair(6, cover_classes=3, **SMALL)])
def test_land_cover_alone_is_that_of_all_outputs_and_freezes(network: nn.Module) -> None:
    dates = torch.randn(2, 6, 64, 64)
    with torch.no_grad():
        network.eval()
        _, *together = network.forward_all(dates)
        for alone, one in zip(network.forward_cover(dates), together, strict=True):
            assert torch.equal(alone, one)
    network.freeze_cover()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    network(dates).square().mean().backward()
    frozen = [parameter for module in network.cover_modules() for parameter in module.parameters()]
    assert frozen
    assert all(parameter.grad is None for parameter in frozen)
    kept = {f"{id(module)}{name}" for module in network.cover_modules() for name, _ in module.named_buffers()}
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert kept
    assert changed  # statistics of the part that learns change
    for module in network.cover_modules():
        assert not any(part.training for part in module.modules())


def cover(seed: int = 0) -> NetworkSegmenter:
    torch.manual_seed(seed)
    inputs = InputSpec({"image": INPUTS.layers["image"]})
    return NetworkSegmenter({"name": "osmnet", "width": 4}, inputs, LEGEND, tiling=Tiling(64, 3))


def test_two_maps_are_compared_pixel_by_pixel() -> None:
    """Strategy 1: the pair is what each map says by itself."""
    one, pair = cover(), make_pair(side_px=64)
    comparison = CoverComparison(one)
    prepared = comparison.inputs.prepare(pair.read())[None]
    classes = comparison.predict_classes(prepared)
    pre, post = (one.predict_classes(date) for date in np.split(prepared, 2, axis=1))
    np.testing.assert_array_equal(classes, pre * 3 + post)


def test_separate_change_decides_and_covers_agree_with_it() -> None:
    """Strategy 3, with another scaling of each run, against all pairs of each pixel."""
    one, pair = cover(), make_pair(side_px=64)
    detector = ChangeDetector.of_scene(pair, "difference")
    comparison = CoverComparison(one, detector)
    prepared = comparison.inputs.prepare(pair.read())[None]
    change = detector.predict_proba(prepared)
    plain = pair.read()
    image = InputSpec({"image": one.inputs.layers["image"]})
    covers = [
        one.predict_proba(image.prepare({"image": plain[f"image_{date}"], "valid": plain["valid"]})[None])
        for date in ("pre", "post")
    ]
    classes = comparison.predict_classes(prepared)[0]
    differing = 0
    for row, col in itertools.product(range(0, 64, 5), range(0, 64, 5)):
        pixel = [change[0, :, row, col], *(np.log(one[0, :, row, col]) for one in covers)]
        differing += int(classes[row, col]) != best_pair(*pixel)
    assert differing <= 1  # rounding of the two scalings
    changed = change[:, 1] > change[:, 0]
    np.testing.assert_array_equal((classes // 3 != classes % 3)[None], changed)


def test_runs_that_do_not_fit_are_refused() -> None:
    pair = make_pair(side_px=64)
    both = NetworkSegmenter({"name": "osmnet", "width": 4}, INPUTS, LEGEND)
    with raises_naming(InputError, "image", "dsm"):
        CoverComparison(both)
    with raises_naming(InputError, "image_pre", "image_post"):
        CoverComparison(cover(), cover())
    inputs = InputSpec({"image": INPUTS.layers["dsm"]})
    heights = NetworkSegmenter({"name": "osmnet", "width": 4}, inputs, LEGEND)
    with raises_naming(InputError, "image_pre", "land cover has 1"):
        CoverComparison(heights, ChangeDetector.of_scene(pair, "difference"))
