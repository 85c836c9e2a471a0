"""The damage network itself, at full resolution and without a head for the post image alone."""

import pytest
import torch
from gradients import without_gradient
from refusals import raises_naming

from deepnets4eo.damage.network import DamageNet
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model, list_models
from deepnets4eo.training.optimization import PullToStart

SMALL = (16, 16, 8)


def small(bands: int = 6) -> DamageNet:
    torch.manual_seed(0)
    return DamageNet(bands, 4, unet="unet", post_head=False, decoder_channels=SMALL).eval()


@pytest.mark.parametrize("bands", [2, 6, 8])
def test_it_gives_a_logit_per_grade_and_pixel_and_learns_from_both_dates(bands):
    network, dates = small(bands), torch.randn(2, bands, 32, 64, requires_grad=True)
    logits = network(dates)
    assert logits.shape == (2, 4, 32, 64)
    logits.square().sum().backward()
    assert (dates.grad[:, : bands // 2] != 0).any()
    assert (dates.grad[:, bands // 2 :] != 0).any()
    assert without_gradient(network.head) == []


def test_both_dates_go_through_the_same_weights():
    network, dates = small(), torch.randn(1, 6, 32, 32)
    seen = []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(dates)
        network(torch.cat([dates[:, 3:], dates[:, :3]], dim=1))
    width = SMALL[-1]
    torch.testing.assert_close(seen[0][:, :width], seen[1][:, width : 2 * width])
    torch.testing.assert_close(seen[0][:, 2 * width :], seen[1][:, 2 * width :])  # the difference has no direction


def test_the_head_compares_the_dates_and_does_not_only_add_them_up():
    """With a linear head, f(a, b) − f(a, d) − f(c, b) + f(c, d) would be 0 for all images."""
    network = small()
    a, b, c, d = torch.randn(4, 1, 3, 32, 32)
    with torch.no_grad():
        mixed = [network(torch.cat(pair, dim=1)) for pair in ((a, b), (a, d), (c, b), (c, d))]
    assert (mixed[0] - mixed[1] - mixed[2] + mixed[3]).abs().max() > 1e-4


def test_it_is_found_by_its_name():
    assert "damage-network" in list_models("damage*")
    network = create_model("damage-network", in_channels=2, num_classes=4, encoder="resnet18", decoder_channels=SMALL)
    assert isinstance(network, DamageNet)


def test_bands_that_two_dates_cannot_share_are_refused():
    with raises_naming(InputError, "7 bands"):
        DamageNet(7, 4)


def test_an_unknown_encoder_and_an_unknown_unet_are_refused():
    for unet in ("unet", "light-unet"):
        with raises_naming(InputError, "'resnet19'"):
            DamageNet(6, 4, unet=unet, encoder="resnet19")
    with raises_naming(InputError, "'segnet'"):
        DamageNet(6, 4, unet="segnet")


def test_the_rate_and_the_pull_of_its_encoder_are_those_of_the_recipe():
    network = small()
    encoder = {id(weight) for weight in network.twin.encoder.parameters()}
    assert {id(weight) for weight in PullToStart(network, 0.1).weights} == encoder
