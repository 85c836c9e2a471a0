"""The multi-kernel head: the mean of its layers, on any network, and what it refuses."""

import pytest
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import MultiKernelHead
from deepnets4eo.segmenters import create_model, last_layer
from deepnets4eo.segmenters.networks import list_heads


def test_the_scores_are_the_mean_of_the_layers():
    torch.manual_seed(0)
    head = MultiKernelHead(8, 5)
    maps = torch.randn(2, 8, 11, 9)
    for layer in head.layers:
        nn.init.normal_(layer.bias)
    mean = sum(layer(maps) for layer in head.layers) / 3
    torch.testing.assert_close(head(maps), mean, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_the_layers_side_by_side():
    torch.manual_seed(0)
    head, maps = MultiKernelHead(4, 3), torch.randn(2, 4, 8, 8)
    head(maps).square().sum().backward()
    merged = [parameter.grad.clone() for parameter in head.parameters()]
    head.zero_grad()
    (sum(layer(maps) for layer in head.layers) / 3).square().sum().backward()
    assert all(one.any() for one in merged)
    for one, parameter in zip(merged, head.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet/resnet18", {}),
        ("fpn/resnet18", {}),
        ("deeplabv3plus/resnet18", {}),
        ("segformer/resnet18", {}),
        ("segnet", {"width": 4, "deep_supervision": True}),
        ("patch-alexnet", {"width": 4}),
    ],
)
def test_any_network_takes_the_head(name, options):
    sizes = {"in_channels": 4, "num_classes": 5}
    plain = create_model(name, **sizes, **options)
    network = create_model(name, **sizes, head="multi-kernel", **options).eval()
    replaced = network.get_submodule(last_layer(plain, 5)[0])
    assert isinstance(replaced, MultiKernelHead)
    assert list_heads().count("multi-kernel") == 1
    with torch.inference_mode():
        assert network(torch.zeros(1, 4, 64, 64)).shape == (1, 5, 64, 64)
    assert len(set(plain.state_dict()) - set(network.state_dict())) == 2  # weight and bias of the layer replaced


def test_an_unknown_head_is_refused_with_the_nearest():
    with raises_naming(InputError, "'multikernel'", "'multi-kernel'"):
        create_model("unet/resnet18", in_channels=3, num_classes=2, head="multikernel")


def test_a_network_without_a_last_convolution_is_refused():
    with raises_naming(InputError, "3 channels"):
        last_layer(nn.Linear(3, 3), 3)


@pytest.mark.parametrize("kernels", [(), (3, 4), (-1,)])
def test_kernels_without_a_middle_are_refused(kernels):
    with pytest.raises(InputError, match="expected odd sides"):
        MultiKernelHead(4, 2, kernels=kernels)


def test_a_network_that_ends_in_a_transposed_convolution_takes_no_head():
    with raises_naming(InputError, "16 channels"):
        create_model("fc-ef", in_channels=6, num_classes=16, head="multi-kernel")
