"""OSMNet: its published size, and that everything in it learns."""

import pytest
import torch
from gradients import without_gradient
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.fusion import OSMNet
from deepnets4eo.segmenters import create_model


@pytest.mark.parametrize(
    ("in_channels", "options", "expected"),
    [(3, {}, 42_182), (5, {}, 43_334), (3, {"batch_norm": True}, 42_438), (5, {"batch_norm": True}, 43_590)],
)
def test_it_has_as_many_parameters_as_computed_by_hand(in_channels, options, expected):
    network = create_model("osmnet", in_channels=in_channels, num_classes=6, **options)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_it_keeps_the_resolution_of_any_size_and_gives_its_last_maps():
    network = OSMNet(4, 6, width=8)
    osm = torch.randn(2, 4, 13, 37)
    assert network(osm).shape == (2, 6, 13, 37)
    assert network.features(osm).shape == (2, 8, 13, 37)
    assert torch.equal(network.score(network.features(osm)), network(osm))


def test_it_sees_seven_pixels_and_no_more():
    torch.manual_seed(0)
    network = OSMNet(1, 2, width=8)
    changed = torch.zeros(1, 1, 21, 21)
    changed[0, 0, 10, 10] = 1
    different = (network(changed) != network(torch.zeros_like(changed))).any(dim=1)[0]
    rows, cols = torch.nonzero(different, as_tuple=True)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (7, 13, 7, 13)


def test_gradients_reach_every_parameter_and_it_learns_to_tell_what_is_drawn():
    torch.manual_seed(0)
    network = OSMNet(4, 3, batch_norm=True, width=16)
    osm = torch.where(torch.rand(2, 4, 16, 16) > 0.5, 1.0, -1.0)
    target = torch.where(osm[:, 0] > 0, 1, torch.where(osm[:, 1] > 0, 2, 0))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(osm), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert without_gradient(network) == []
    assert (network(osm).argmax(dim=1) == target).float().mean() > 0.99


def test_sizes_below_one_are_refused():
    with raises_naming(InputError, "in_channels", "width=0"):
        OSMNet(3, 6, width=0)
