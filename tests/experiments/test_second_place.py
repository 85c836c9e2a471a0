"""The second place's recipe: patches around buildings, networks that learn a plain difference, votes whose ties are counted."""

import numpy as np
import pytest
import second_place
import torch


def patches(count: int) -> second_place.Patches:
    """Bright patches after the event are damaged, all others are dark at both dates."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype(np.int8)
    pre = rng.integers(40, 60, (count, 3, 32, 32)).astype(np.uint8)
    post = (pre + 160 * labels.astype(int)[:, None, None, None]).astype(np.uint8)
    return second_place.Patches(pre, post, labels, np.where(np.arange(count) < count // 2, "east", "west"))


def test_a_patch_is_centred_on_its_building_and_black_outside_the_image() -> None:
    image = np.zeros((3, 200, 200), np.uint8)
    image[:, 90:110, 90:110] = 200
    centre, corner = second_place.cut_patches(image, np.array([[90, 90, 110, 110], [0, 0, 10, 10]]))
    assert centre.shape == (3, second_place.PATCH_PX, second_place.PATCH_PX)
    middle = second_place.PATCH_PX // 2
    assert centre[0, middle, middle] == 200
    assert centre[0, 0, 0] == 0
    assert corner.max() == 0


def test_values_beyond_bytes_are_scaled() -> None:
    image = np.linspace(0, 4000, 300, dtype=np.uint16).reshape(3, 10, 10)
    scaled = second_place.to_bytes(image)
    assert scaled.dtype == np.uint8
    assert scaled.max() == 255
    assert np.array_equal(second_place.to_bytes(scaled), scaled)


@pytest.mark.parametrize("both", [False, True])
def test_the_networks_learn_what_differs(both: bool) -> None:
    torch.manual_seed(0)
    learnt = patches(40)
    network = second_place.fit(second_place.PatchNetwork(both=both), learnt, seed=0, steps=8)
    found = np.array(second_place.probabilities(network, learnt))
    assert found[learnt.labels == 1].mean() > found[learnt.labels == 0].mean() + 0.1


def test_ties_are_counted_and_the_first_network_decides_them() -> None:
    tested = patches(4)
    yes, no = np.ones(4, np.int8), np.zeros(4, np.int8)
    scores = second_place.score(tested, {second_place.AFTER: [tested.labels, yes], second_place.SIAMESE: [no, no]})
    assert scores["ties"] == 2  # damaged ones: two yes, two no
    assert scores[second_place.VOTE] == 100
    assert scores[second_place.AFTER] == [100, pytest.approx(66.7)]
    assert scores[second_place.ALL] == pytest.approx(66.7)
    assert set(scores["events"]) == {"east", "west"}
    assert "± " in second_place.table({"here": scores}, "Title")
