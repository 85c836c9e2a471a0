"""Golden counts of parameters, and how the networks of two dates treat them."""

from __future__ import annotations

import hashlib

import pytest
import torch
from refusals import raises_naming
from safetensors.torch import save_file
from small_networks import NETWORKS as SMALL
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.change import FCEF, FCSiamConc, FCSiamDiff, FresUNet
from deepnets4eo.change.networks.changeformer import ChangeFormer
from deepnets4eo.change.networks.encoder_pair import EncoderPair
from deepnets4eo.change.networks.hrscd import MultitaskChangeNet, ResidualUNet
from deepnets4eo.errors import InputError
from deepnets4eo.floods.conv_lstm import ConvLSTM
from deepnets4eo.segmenters import InputSpec, LayerInput, create_model
from deepnets4eo.training import Recipe, build_segmenter


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def warmed(network: nn.Module, bands: int) -> nn.Module:
    """With statistics of normalisation that differ from the initial ones, in evaluation mode."""
    torch.manual_seed(0)
    network.train()
    for _ in range(3):
        network(torch.randn(2, bands, 32, 32))
    return network.eval()


@pytest.mark.parametrize(
    ("network", "counts"),
    [
        (FCEF, (1_350_578, 1_350_866, 1_352_594, 1_353_458)),
        (FCSiamConc, (1_545_986, 1_546_130, 1_546_994, 1_547_426)),
        (FCSiamDiff, (1_350_146, 1_350_290, 1_351_154, 1_351_586)),
        (FresUNet, (1_103_874, 1_103_946, 1_104_994, 1_105_474)),
    ],
)
def test_networks_of_daudt_have_the_published_layers(network, counts):
    """Instantiated from the published code with 3, 4, 10 and 13 bands a date."""
    assert tuple(count(network(2 * bands)) for bands in (3, 4, 10, 13)) == counts


def forward_as_published(network: nn.Module, pre: torch.Tensor, post: torch.Tensor, skip) -> torch.Tensor:
    """The forward pass of the paper's figure written out, from the layers of a network: dates one after the other, four poolings,
    the decoder from the pooled features of post; before each of its blocks the maps, then what `skip` makes of both dates."""
    features = []
    for image in (pre, post):
        levels = []
        for block in network.encoder:
            levels.append(block(image))
            image = torch.max_pool2d(levels[-1], 2, stride=2)
        features.append((levels, image))
    (before, _), (after, maps) = features
    for number in range(4):
        maps = network.ups[number](maps)
        height, width = before[3 - number].shape[2:]
        maps = torch.nn.ReplicationPad2d((0, width - maps.shape[3], 0, height - maps.shape[2]))(maps)
        maps = network.decoder[number](torch.cat((maps, *skip(before[3 - number], after[3 - number])), 1))
    return network.head(maps)


@pytest.mark.parametrize(
    ("network", "skip"),
    [(FCSiamConc, lambda pre, post: (pre, post)), (FCSiamDiff, lambda pre, post: (torch.abs(pre - post),))],
)
def test_siamese_networks_join_skips_in_the_published_order(network, skip):
    """Upsampled maps, then pre, then post, or their difference; also where a side is odd."""
    warm = warmed(network(6), 6)
    dates = torch.randn(2, 6, 37, 50)
    with torch.no_grad():
        expected = forward_as_published(warm, dates[:, :3], dates[:, 3:], skip)
        torch.testing.assert_close(warm(dates), expected)


def test_blocks_of_the_fc_networks_are_convolution_normalisation_rectifier_and_dropout_of_maps():
    for part, kind, counts in (("encoder", nn.Conv2d, (2, 2, 3, 3)), ("decoder", nn.ConvTranspose2d, (3, 3, 2, 1))):
        for block, count_of in zip(getattr(FCSiamConc(6), part), counts, strict=True):
            assert [type(layer) for layer in block] == count_of * [kind, nn.BatchNorm2d, nn.ReLU, nn.Dropout2d]
            assert {layer.p for layer in block if isinstance(layer, nn.Dropout2d)} == {0.2}


def test_changeformer_takes_the_weights_of_a_mix_transformer_in_a_file(tmp_path):
    """Those of five bands, whose first layer is fitted to four; and it has as many weights as its layers add up to."""
    weights = ChangeFormer(10).encoder.state_dict()
    save_file(weights, tmp_path / "mit.safetensors")
    network = ChangeFormer(8, weights=str(tmp_path / "mit.safetensors"))
    torch.testing.assert_close(
        network.encoder.state_dict()["block4.1.mlp.fc2.weight"], weights["block4.1.mlp.fc2.weight"]
    )
    assert count(ChangeFormer(6)) == 4_092_962
    with raises_naming(InputError, "mit_b0", "mit_b5"):
        ChangeFormer(6, encoder="resnet18")


def test_hrscd_networks_have_the_published_layers():
    assert [count(ResidualUNet(3, classes)) for classes in (5, 6, 7)] == [6_386_797, 6_386_806, 6_386_815]
    assert count(ResidualUNet(6, 2)) == 6_387_010
    assert count(MultitaskChangeNet(6, 2, cover_classes=5)) == 13_713_455
    assert count(MultitaskChangeNet(6, 1, cover_classes=5)) == 13_713_446


@pytest.mark.parametrize(("encoder", "difference", "concat"), [("resnet18", 14_328_209, 16_300_433)])
def test_siamese_unets_have_as_many_weights_as_those_of_torchgeo(encoder, difference, concat):
    assert count(EncoderPair(6, 1, encoder=encoder)) == difference
    assert count(EncoderPair(6, 1, encoder=encoder, fusion="concat")) == concat


@pytest.mark.parametrize("network", [FCSiamConc, FCSiamDiff])
def test_published_siamese_networks_are_not_symmetric_in_time(network):
    """The decoder starts from the coarsest features of post alone."""
    warm = warmed(network(6), 6)
    dates = torch.randn(1, 6, 32, 32)
    with torch.no_grad():
        assert (warm(dates) - warm(dates.roll(3, dims=1))).abs().max() > 0


def test_equal_dates_leave_nothing_of_the_difference_but_constants():
    network = EncoderPair(6, 2, encoder="resnet18", fusion="difference").eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = network(torch.cat([image, image], dim=1))
    torch.testing.assert_close(logits[0], logits[1])


def test_both_answers_of_the_multitask_network_agree():
    network = MultitaskChangeNet(6).eval()
    dates = torch.randn(1, 6, 65, 70)
    with torch.no_grad():
        change, pre, post = network.forward_all(dates)
        torch.testing.assert_close(change, network(dates))
        torch.testing.assert_close(pre, network.cover(dates[:, :3]), rtol=1e-4, atol=1e-5)
    assert post.shape == (1, 5, 65, 70)


@pytest.mark.parametrize(
    "network", [FCEF, FCSiamConc, FCSiamDiff, FresUNet, MultitaskChangeNet, EncoderPair, ChangeFormer]
)
def test_an_odd_number_of_bands_is_refused(network):
    with raises_naming(InputError, "5 bands"):
        network(5)


def test_images_too_small_for_four_poolings_are_refused():
    with raises_naming(InputError, "image of 15", "40 pixels"):
        FCEF(6)(torch.zeros(1, 6, 15, 40))


def test_an_unknown_fusion_is_refused():
    with pytest.raises(InputError, match="concat, difference, both"):
        EncoderPair(6, fusion="sum")


PAIRS = {  # digests of the names and shapes of the weights in runs of version 0.1, six bands
    "change-encoder": "37ffe9ce93e9",
    "damage-network": "07cc99a48fef",
    "fc-ef": "ae27f44d218a",
    "fc-siam-conc": "3009e95df882",
    "fc-siam-diff": "99cbe9e694ea",
    "fresunet": "6f84581ee193",
    "from-to": "6e2fab4543b8",
    "hrscd": "f33f9ef34e13",
}


@pytest.mark.parametrize("name", PAIRS)
def test_runs_written_before_dates_had_an_axis_still_load(name):
    small = SMALL[name]
    network = create_model(name, in_channels=6, num_classes=small.num_classes, **small.arguments(6))
    shapes = ";".join(f"{key}{tuple(value.shape)}" for key, value in sorted(network.state_dict().items()))
    assert hashlib.sha256(shapes.encode()).hexdigest()[:12] == PAIRS[name]


@pytest.mark.parametrize("name", [*PAIRS, "changeformer"])
def test_dates_may_stand_on_an_axis_of_their_own(name):
    """(N, 2, C, H, W) and the joined bands of a tile, (N, 2 C, H, W), have the same logits, bit for bit."""
    torch.manual_seed(0)
    small = SMALL[name]
    network = create_model(name, in_channels=8, num_classes=small.num_classes, **small.arguments(8)).eval()
    dates = torch.randn(2, 2, 4, 64, 64)
    with torch.no_grad():
        apart, joined = network(dates), network(torch.cat([dates[:, 0], dates[:, 1]], dim=1))
    assert torch.equal(apart, joined)
    assert not torch.equal(apart, network(dates.flip(1)))


def test_three_dates_are_refused_by_a_network_of_two_and_taken_by_one_of_three():
    dates = torch.randn(1, 3, 2, 32, 32)
    with raises_naming(InputError, "3 dates"):
        FCSiamDiff(4)(dates)
    network = ConvLSTM(6, 3, widths=(4, 8)).eval()
    assert torch.equal(network(dates), network(dates.flatten(1, 2)))


@pytest.mark.parametrize(
    ("network", "bands", "refused"),
    [
        ("fc-siam-diff", (("red", "nir"), ("red", "nir")), False),
        ("fc-siam-diff", (("SR_B3", "SR_B4"), ("SR_B4", "SR_B5")), False),  # Landsat 5 and 8
        ("fc-siam-diff", (("red", "nir"), ("NIR", "red")), True),
        ("hrscd", (("red", "green", "blue"), ("red",)), True),
        ("conv-lstm", (("vv",), ("vv",), ("vv", "vh", "dem", "slope")), True),
        ("conv-lstm", (("vv", "vh"), ("vv", "vh"), ("vv", "vh")), False),
        ("fc-siam-conc", (("vv",), ("vv",), ("vv", "vh")), True),
        ("fc-ef", (("red", "green", "blue"), ("red",)), False),  # each band has weights of its own
    ],
)
def test_a_training_whose_dates_have_other_bands_is_refused(network, bands, refused):
    layers = {f"image_{n}": LayerInput(one, (0.0,) * len(one), (1.0,) * len(one), 0, 1) for n, one in enumerate(bands)}
    arguments = ({"name": network}, InputSpec(layers), Legend.load("change"))
    if refused:
        with raises_naming(InputError, "image_0"):
            build_segmenter(Recipe(), *arguments)
    else:
        build_segmenter(Recipe(), *arguments)
