"""Averaging and residual correction: what they reduce to, what learns and what stays, and starting from runs."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.fusion import DualStream, ResidualCorrection
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, create_model
from deepnets4eo.segmenters.run import save_run

TINY = {"width": 2}
SIZES = (50, 70)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pair(**options):
    """A residual correction and the averaging of the very same streams."""
    corrected = ResidualCorrection((3, 1), 5, options=TINY, **options).eval()
    averaged = DualStream((3, 1), 5, options=TINY, absent=options.get("absent", "mean")).eval()
    state = {key.replace("network.", ""): value for key, value in corrected.members.state_dict().items()}
    averaged.members.load_state_dict({key.replace("head.layer.", "head."): value for key, value in state.items()})
    return corrected, averaged


def test_the_mean_of_scores_is_that_of_the_two_networks():
    network = DualStream((3, 1), 5, options=TINY).eval()
    image = torch.randn(2, 4, *SIZES)
    first, second = (member(part) for member, part in zip(network.members, image.split((3, 1), 1), strict=True))
    torch.testing.assert_close(network(image), (first + second) / 2)


def test_the_mean_of_probabilities_is_what_the_softmax_of_the_logits_gives():
    network = DualStream((3, 1), 5, options=TINY, of="probabilities").eval()
    image = torch.randn(2, 4, *SIZES)
    parts = image.split((3, 1), 1)
    mean = sum(member(part).softmax(1) for member, part in zip(network.members, parts, strict=True)) / 2
    torch.testing.assert_close(network(image).softmax(dim=1), mean)


@pytest.mark.parametrize("of", ["scores", "probabilities"])
def test_without_its_other_stream_the_average_is_one_network(of):
    network = DualStream((3, 1), 5, options=TINY, of=of, absent="silent").eval()
    image = torch.randn(2, 4, *SIZES)
    image[1, :3] = 0
    alone = network.members[1](image[:, 3:]).softmax(dim=1)
    torch.testing.assert_close(network(image).softmax(dim=1)[1], alone[1])


@pytest.mark.parametrize("absent", ["mean", "silent"])
def test_an_untrained_correction_is_averaging(absent):
    corrected, averaged = pair(absent=absent)
    image = torch.randn(2, 4, *SIZES)
    image[1, 3] = 0
    assert torch.equal(corrected(image), averaged(image))


def test_the_correction_sees_the_maps_before_both_score_layers():
    corrected, averaged = pair()
    nn.init.normal_(corrected.head.weight)
    maps = []
    for member in averaged.members:
        member.head.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
    image = torch.randn(2, 4, 64, 32)
    expected = averaged(image) + corrected.head(corrected.correction(torch.cat(maps, dim=1)))
    torch.testing.assert_close(corrected(image), expected)


def test_a_segnets_correction_takes_64_and_64_maps():
    with torch.device("meta"):
        network = ResidualCorrection((3, 3), 6)
        plain = sum(p.numel() for p in network.members.parameters())
    assert network.correction[0].in_channels == 128
    assert [layer.out_channels for layer in network.correction if isinstance(layer, nn.Conv2d)] == [64, 64]
    assert plain == 2 * 29_446_470


def step(network, image):
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    nn.functional.cross_entropy(network(image), torch.zeros(2, *image.shape[2:], dtype=torch.long)).backward()
    optimizer.step()
    return {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}


def test_frozen_streams_stay_to_the_last_bit_and_the_correction_learns():
    network = ResidualCorrection((3, 1), 5, options=TINY, frozen=True).train()
    image = torch.randn(2, 4, 32, 32)
    changed = step(network, image) | step(network, image)
    assert not any(key.startswith("members.") for key in changed)
    assert {"head.weight", "head.bias", "correction.0.weight", "correction.1.running_mean"} <= changed
    assert not network.members.training


def test_a_frozen_average_moves_no_statistics_and_has_nothing_to_learn():
    network = DualStream((3, 1), 5, options=TINY, frozen=True)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for training in (True, False, True):
        network.train(training)(torch.randn(2, 4, 32, 32))
    assert any(key.endswith("running_mean") for key in before)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network.training
    assert not network.members.training


def test_an_average_that_is_trained_moves_weights_and_statistics():
    changed = step(DualStream((3, 1), 5, options=TINY).train(), torch.randn(2, 4, 32, 32))
    assert {"members.0.encoder.stages.0.0.weight", "members.1.encoder.stages.0.1.running_mean"} <= changed


def test_joint_streams_learn_with_the_correction():
    network = ResidualCorrection((3, 1), 5, options=TINY).train()
    changed = step(network, torch.randn(2, 4, 32, 32))
    assert {"members.0.network.encoder.stages.0.0.weight", "members.1.network.head.layer.bias", "head.bias"} <= changed


@pytest.mark.parametrize("network", ["unet/resnet18", "fpn/resnet18", "osmnet", ["osmnet", "unet/resnet18"]])
def test_streams_are_any_networks_of_the_toolbox(network):
    small = {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    options = [{"width": 4} if name == "osmnet" else small if name.startswith("unet") else {}
               for name in ([network] * 2 if isinstance(network, str) else network)]  # fmt: skip
    corrected = ResidualCorrection((3, 1), 5, network=network, options=options).eval()
    image = torch.randn(1, 4, 64, 96)
    parts = image.split((3, 1), 1)
    names = [network] * 2 if isinstance(network, str) else network
    plain = [create_model(name, in_channels=bands, num_classes=5, **option).eval()
             for name, bands, option in zip(names, (3, 1), options, strict=True)]  # fmt: skip
    for twin, member in zip(plain, corrected.members, strict=True):
        twin.load_state_dict(
            {k.replace(".layer.", "."): v for k, v in member.network.state_dict().items()}, strict=True
        )
    torch.testing.assert_close(corrected(image), sum(twin(part) for twin, part in zip(plain, parts, strict=True)) / 2)


def test_streams_start_from_files_of_weights_or_from_nothing(tmp_path):
    encoders, files = [], []
    for name, bands in (("image", 3), ("dsm", 1)):
        torch.manual_seed(bands)
        encoders.append(create_model("segnet", in_channels=bands, num_classes=6, width=2))
        files.append(tmp_path / f"{name}.safetensors")
        save_file(encoders[-1].state_dict(), files[-1])
    fused = ResidualCorrection((3, 1), 6, options={"width": 2}, weights=",".join(map(str, files)))
    for member, known in zip(fused.members, encoders, strict=True):
        mine = {name.replace(".layer.", "."): value for name, value in member.network.state_dict().items()}
        wanted = {name: value for name, value in known.state_dict().items() if name.startswith("encoder.")}
        assert wanted
        assert all(torch.equal(mine[name], value) for name, value in wanted.items())
    torch.manual_seed(0)
    plain = ResidualCorrection((3, 1), 6, options={"width": 2})
    first = "network.encoder.stages.0.0.weight"
    assert not torch.equal(plain.members[0].state_dict()[first], fused.members[0].state_dict()[first])


def test_streams_start_from_runs(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (4, 64, 64), dtype=np.uint8)
    folders, segmenters = [], []
    for name, bands in (("image", slice(0, 3)), ("dsm", slice(3, 4))):
        inputs = InputSpec.measure([Scene.open(**{name: image[bands]})], [name])
        segmenters.append(NetworkSegmenter({"name": "segnet", "width": 2}, inputs, Legend.load("isprs")))
        folders.append(str(save_run(segmenters[-1], tmp_path / name)))
    network = ResidualCorrection((3, 1), 6, options=TINY, weights=",".join(folders), frozen=True).eval()
    seen = torch.randn(1, 4, *SIZES)
    parts = seen.split((3, 1), 1)
    expected = sum(one.module(part) for one, part in zip(segmenters, parts, strict=True)) / 2
    torch.testing.assert_close(network(seen), expected)
    with pytest.raises(InputError, match="whose weights do not fit this stream"):
        DualStream((1, 3), 6, options=TINY, weights=",".join(folders))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DualStream((3, 1), 6, of="votes"), "of='votes' is unknown; expected scores or probabilities"),
        (lambda: DualStream((3, 1), 6, options={"deep_supervision": True}), "returns one"),
        (lambda: DualStream((3, 1), 6, network="segnett"), "'segnett' is unknown. Did you mean 'segnet'"),
        (lambda: ResidualCorrection((3, 1), 6, options={"width": 2, "head": "multi-kernel"}), "head='multi-kernel'"),
        (lambda: DualStream((3, 1), 6, network="osmnet").encoder_parameters(), "OSMNet, OSMNet has no part named encoder. Set .* to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_the_networks_of_the_streams_are_its_members_in_their_order() -> None:
    members = [object(), object()]
    fused: Any = SimpleNamespace(members=members)
    assert DualStream.stream_networks(fused) == members
    assert DualStream.averaged.fget(fused) == members
