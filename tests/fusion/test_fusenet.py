"""FuseNet and V-FuseNet: published sizes, their equations against a second computation, and what they reduce to."""

import pytest
import torch
import torch.nn.functional as F
from gradients import without_gradient
from refusals import raises_naming
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion import FuseNet, VFuseNet
from deepnets4eo.segmentation import SegNet


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def arbitrary(network):
    """Other normalisation than the first one, so that nothing holds by accident."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.bias, layer.running_mean):
                nn.init.normal_(values, 0.2, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("network", "in_channels", "num_classes", "parameters"),
    [
        (FuseNet, (3, 3), 6, 44_169_606),
        (VFuseNet, (3, 3), 6, 58_964_742),
        # each further band is 3 · 3 · 64 weights, each further class 3 · 3 · 64 and a bias
        (FuseNet, (4, 1), 8, 44_169_606 - 576 + 2 * 577),
        (VFuseNet, (8, 3), 6, 58_964_742 + 5 * 576),
    ],
)
def test_published_numbers_of_parameters(network, in_channels, num_classes, parameters):
    with torch.device("meta"):
        assert count(network(in_channels, num_classes)) == parameters


def stages(encoder, maps):
    """Maps after each stage of an encoder that nobody adds to."""
    for stage in encoder.stages:
        found = stage(maps)
        yield found
        maps = F.max_pool2d(found, 2)


def decoded(network, maps, places):
    """The decoder and head, by torch's own unpooling module."""
    for stage, found in zip(network.decoder.stages, reversed(places), strict=True):
        maps = stage(nn.MaxUnpool2d(2)(maps, found))
    return network.head(maps)


def pooled(maps):
    return nn.MaxPool2d(2, return_indices=True)(maps)


def test_fusenet_is_its_equations():
    network = arbitrary(FuseNet((3, 2), 5, width=4))
    image = torch.randn(2, 5, 64, 96)
    maps, places = image[:, :3], []
    for stage, auxiliary in zip(network.encoder.stages, stages(network.auxiliary[0], image[:, 3:]), strict=True):
        maps, found = pooled(stage(maps) + auxiliary)
        places.append(found)
    torch.testing.assert_close(network(image), decoded(network, maps, places))


def test_v_fusenet_is_its_equations():
    network = arbitrary(VFuseNet((3, 2), 5, width=4))
    image = torch.randn(2, 5, 64, 96)
    optical, auxiliary = (
        list(stages(e, part)) for e, part in zip(network.encoders, image.split((3, 2), 1), strict=True)
    )
    maps, places = torch.cat([optical[0], auxiliary[0]], dim=1), []
    for stage, one, other in zip(network.virtual.stages, optical, auxiliary, strict=True):
        maps, found = pooled(stage(maps) + one + other)
        places.append(found)
    torch.testing.assert_close(network(image), decoded(network, maps, places))


def test_fusenet_whose_auxiliary_activations_are_zero_is_the_segnet_of_its_main_sensor():
    """Zero input alone is not zero activation: biases and normalisation shift it. So their scale and shift are zeroed."""
    network = arbitrary(FuseNet((3, 1), 5, width=4))
    segnet = SegNet(3, 5, width=4).eval()
    segnet.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("auxiliary.")})
    image = torch.randn(2, 4, 50, 70)
    assert not torch.equal(network(image), segnet(image[:, :3]))
    for layer in network.auxiliary.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert torch.equal(network(image), segnet(image[:, :3]))


def test_fusenet_whose_auxiliary_is_absent_and_silent_is_the_segnet_of_its_main_sensor():
    network = arbitrary(FuseNet((3, 1), 5, width=4, absent="silent"))
    segnet = SegNet(3, 5, width=4).eval()
    segnet.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("auxiliary.")})
    image = torch.randn(2, 4, 50, 70)
    image[1, 3] = 0
    found, alone = network(image), segnet(image[:, :3])
    assert torch.equal(found[1], alone[1])
    assert not torch.equal(found[0], alone[0])


def test_v_fusenet_knows_no_first_sensor():
    network, other = arbitrary(VFuseNet((3, 2), 5, width=4)), VFuseNet((2, 3), 5, width=4).eval()
    swap = {"encoders.0": "encoders.1", "encoders.1": "encoders.0"}
    state = {swap.get(key[:10], key[:10]) + key[10:]: value for key, value in network.state_dict().items()}
    first = "virtual.stages.0.0.weight"
    state[first] = torch.cat(state[first].chunk(2, dim=1)[::-1], dim=1)
    other.load_state_dict(state)
    image = torch.randn(1, 5, 64, 64)
    torch.testing.assert_close(other(torch.cat([image[:, 3:], image[:, :3]], dim=1)), network(image))


def test_fusenet_knows_its_main_sensor():
    network, other = arbitrary(FuseNet((2, 2), 5, width=4)), FuseNet((2, 2), 5, width=4).eval()
    state = network.state_dict()
    swapped = {}
    for key, value in state.items():
        key = (
            key.replace("encoder.", "auxiliary.0.")
            if key.startswith("encoder.")
            else key.replace("auxiliary.0", "encoder")
        )
        swapped[key] = value
    other.load_state_dict(swapped)
    image = torch.randn(1, 4, 64, 64)
    assert not torch.allclose(other(image.roll(2, dims=1)), network(image))


@pytest.mark.parametrize("network", [FuseNet, VFuseNet])
def test_three_sensors_are_fused_likewise(network):
    fused = network((3, 1, 2), 4, width=2)
    fused(torch.randn(2, 6, 32, 32)).square().mean().backward()
    assert without_gradient(fused) == []


def test_encoders_can_learn_at_their_own_rate():
    for network, encoders in ((FuseNet((3, 1), 6, width=2), 2), (VFuseNet((3, 1), 6, width=2), 3)):
        parameters = set(network.encoder_parameters())
        assert len(parameters) == encoders * 13 * 4
        assert not parameters & set(network.decoder.parameters())


def test_encoders_start_from_trained_segnets(tmp_path):
    """As the authors of V-FuseNet did: one SegNet a sensor first."""
    from safetensors.torch import save_file

    segnets = [arbitrary(SegNet(bands, 6, width=4)) for bands in (3, 1)]
    files = [tmp_path / "image.safetensors", tmp_path / "dsm.safetensors"]
    for segnet, file in zip(segnets, files, strict=True):
        save_file(segnet.state_dict(), file)
    network = VFuseNet((3, 1), 6, width=4, weights=",".join(map(str, files)))
    for segnet, encoder in zip(segnets, network.encoders, strict=True):
        for name, value in segnet.encoder.state_dict().items():
            assert torch.equal(encoder.state_dict()[name], value)
    with raises_naming(InputError, "VGG-16-BN", "64"):
        FuseNet((3, 1), 6, width=8, weights=str(files[0]))
