"""Streams: cutting, presence, and what becomes of an absent one, against plain slicing."""

import pytest
import torch
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.fusion import Streams, stream_sizes
from deepnets4eo.fusion.streams import average, first_weights, mask_absent_streams, one_each


def make_image(sizes, missing=()):
    """Two images of noise; `missing` holds (image, stream) pairs that are zero all over."""
    image = torch.randn(2, sum(sizes), 4, 5)
    for number, stream in missing:
        image[number, sum(sizes[:stream]) : sum(sizes[: stream + 1])] = 0
    return image


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_streams_are_the_slices_of_the_concatenated_image(sizes):
    image = make_image(sizes)
    parts, present = Streams(sizes)(image)
    assert present is None
    assert torch.equal(torch.cat(parts, dim=1), image)
    assert [part.shape[1] for part in parts] == sizes
    assert stream_sizes(sum(sizes), sizes) == stream_sizes(sizes) == tuple(sizes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4,), r"in_channels=4 without streams.*streams: \[3, 1\]"),
        ((4, [3, 2]), r"4 bands got streams=\[3, 2\].*sum to 4"),
        ((4, [4]), "two or more numbers"),
        (((3,),), "two or more numbers"),
        ((3, [3, 0]), "each at least 1"),
        (((3, 1), [1, 3]), "disagree"),
    ],
)
def test_streams_that_do_not_add_up_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        stream_sizes(*arguments)


def test_an_image_of_other_bands_is_refused():
    with raises_naming(InputError, "5 bands", "network of 3", "1"):
        Streams((3, 1))(torch.zeros(1, 5, 4, 4))


def test_an_unknown_rule_for_absent_streams_is_refused():
    with raises_naming(InputError, "'zero'"):
        Streams((3, 1), absent="zero")


def test_presence_is_told_image_by_image():
    _, present = Streams((3, 1), absent="silent")(make_image((3, 1), missing=[(1, 1)]))
    assert [flag.flatten().tolist() for flag in present] == [[1, 1], [1, 0]]


def test_one_value_apart_from_zero_is_presence():
    image = make_image((3, 1), missing=[(0, 1)])
    image[0, 3, 2, 2] = -1e-3
    _, present = Streams((3, 1), absent="silent")(image)
    assert present[1].flatten().tolist() == [1, 1]


def test_an_absent_stream_is_filled_with_what_was_learned_and_a_present_one_is_not():
    streams = Streams((3, 2), absent="learned")
    with torch.no_grad():
        streams.fill[1].copy_(torch.tensor([5.0, 7.0]).reshape(1, 2, 1, 1))
    image = make_image((3, 2), missing=[(1, 1)])
    (first, second), present = streams(image)
    assert present is None
    assert torch.equal(first, image[:, :3])
    assert torch.equal(second[0], image[0, 3:])
    assert second[1].flatten(1).unique(dim=1).tolist() == [[5.0], [7.0]]


def test_absent_streams_are_silent_and_the_mean_is_over_the_others():
    maps = [torch.full((3, 1, 2, 2), 2.0), torch.full((3, 1, 2, 2), 6.0)]
    present = [torch.tensor([1.0, 1.0, 0.0]).reshape(3, 1, 1, 1), torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1, 1)]
    assert [one[:, 0, 0, 0].tolist() for one in mask_absent_streams(maps, present)] == [[2, 2, 0], [6, 0, 0]]
    assert average(maps, present)[:, 0, 0, 0].tolist() == [4, 2, 0]
    assert average(maps, None)[:, 0, 0, 0].tolist() == [4, 4, 4]


def test_weights_are_named_one_stream_after_the_other():
    assert first_weights(None, 2) == [None, None]
    assert first_weights(",imagenet", 2) == [None, "imagenet"]
    with raises_naming(InputError, "weights", "3 sources", "2 streams"):
        first_weights("a,b,c", 2)


def test_options_are_one_for_all_or_one_each():
    assert one_each("unet", 2, "network") == ["unet", "unet"]
    assert one_each({"width": 4}, 2, "options") == [{"width": 4}] * 2
    with raises_naming(InputError, "network", "3 entries", "2 streams"):
        one_each(["a", "b", "c"], 2, "network")
