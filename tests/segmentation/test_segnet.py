"""SegNet: its weights counted, its unpooling against a loop, any size and band count, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import SegNet, SegNetDecoder, SegNetEncoder, max_pool, pad_to_stride
from deepnets4eo.segmentation.blocks import max_unpool
from deepnets4eo.segmenters import create_model


def tiny(in_channels=3, num_classes=4, **options):
    torch.manual_seed(0)
    return SegNet(in_channels, num_classes, **{"width": 4} | options)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("in_channels", "num_classes", "weights"),
    [(3, 6, 29_446_470), (3, 7, 29_447_047), (4, 6, 29_447_046), (1, 6, 29_445_318), (13, 12, 29_455_692)],
)
def test_the_weights_are_as_many_as_published(in_channels, num_classes, weights):
    with torch.device("meta"):
        network = SegNet(in_channels, num_classes)
    assert count(network) == weights == 29_441_280 + 576 * in_channels + 577 * num_classes


def test_encoder_decoder_and_buffers_have_the_published_sizes():
    with torch.device("meta"):
        encoder, decoder = SegNetEncoder(4), SegNetDecoder()
    assert (count(encoder), count(decoder)) == (14_723_712, 14_719_872)
    buffers = [value for part in (encoder, decoder) for name, value in part.named_buffers() if "running" in name]
    assert sum(value.numel() for value in buffers) == 15_872
    assert len(buffers) == 2 * 25


def test_the_multi_kernel_head_adds_the_published_weights():
    with torch.device("meta"):
        network = create_model("segnet", in_channels=3, num_classes=6, head="multi-kernel")
    assert count(network) == 29_446_470 + 28_428


def unpooled_by_loop(maps, places):
    """One value at a time."""
    result = np.zeros((*maps.shape[:2], 2 * maps.shape[2], 2 * maps.shape[3]), np.float32)
    for n, c, row, col in np.ndindex(*maps.shape):
        where = int(places[n, c, row, col])
        result[n, c, where // result.shape[3], where % result.shape[3]] = maps[n, c, row, col]
    return result


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
    ties=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_unpooling_is_what_a_loop_over_pixels_does(shape, seed, ties, layout):
    rng = np.random.default_rng(seed)
    full = (*shape[:2], 2 * shape[2], 2 * shape[3])
    values = rng.integers(0, 3, full) if ties else rng.normal(size=full)
    maps = torch.from_numpy(values.astype(np.float32)).contiguous(memory_format=layout)
    pooled, places = max_pool(maps)
    squares = maps.numpy().reshape(*shape[:3], 2, shape[3], 2)
    np.testing.assert_array_equal(pooled.numpy(), squares.max(axis=(3, 5)))
    np.testing.assert_array_equal(max_unpool(pooled, places).numpy(), unpooled_by_loop(pooled, places))


def test_unpooling_for_export_is_the_same_and_so_is_its_gradient(monkeypatch):
    pooled, places = max_pool(torch.randn(2, 3, 8, 6))
    results = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        maps = pooled.clone().requires_grad_()
        unpooled = max_unpool(maps, places)
        (unpooled * torch.arange(unpooled.numel()).view_as(unpooled)).sum().backward()
        results.append((unpooled.detach(), maps.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_height_and_width_come_back(height, width):
    network = tiny(width=1).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, height, width)).shape == (1, 4, height, width)


def test_sides_that_are_no_multiples_are_continued_and_cut():
    network, image = tiny().eval(), torch.randn(2, 3, 40, 61)
    continued = torch.from_numpy(np.pad(image.numpy(), [(0, 0), (0, 0), (0, 24), (0, 3)], mode="edge"))
    with torch.inference_mode():
        assert torch.equal(pad_to_stride(image, 32), continued)
        assert torch.equal(network(image), network(continued)[:, :, :40, :61])


def test_convolution_normalisation_and_relu_follow_in_this_order():
    kinds = [type(layer).__name__ for stage in tiny().encoder.stages for layer in stage]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 13


def test_weights_are_drawn_as_he_says():
    network = SegNet(3, 6, width=16)
    for layer in (network.encoder.stages[4][0], network.decoder.stages[0][0], network.head):
        assert float(layer.weight.detach().std()) == pytest.approx((2 / layer.weight[0].numel()) ** 0.5, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize("side", [1, 16, 32, 33])
def test_a_batch_of_one_trains_whatever_its_size(side):
    network = tiny().train()
    logits = network(torch.randn(1, 3, side, side))
    assert logits.isfinite().all()
    logits.sum().backward()


def test_another_number_of_bands_is_refused():
    with raises_naming(InputError, "in_channels", "4 bands", "SegNet of 3"):
        tiny()(torch.zeros(1, 4, 32, 32))


def test_sizes_below_one_are_refused():
    with raises_naming(InputError, "in_channels", "width=0"):
        SegNet(3, 2, width=0)
