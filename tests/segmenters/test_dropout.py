"""Passes with dropout: the numbers of whole passes, at the price of the part behind the first dropout."""

import numpy as np
import pytest
import torch
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model
from deepnets4eo.segmenters.dropout import DropoutPasses


class Small(nn.Module):
    """A skip past the dropout, a layer used on both sides of it, and layers that work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.shared = nn.Conv2d(8, 8, 1)
        self.calls = 0
        self.encoder.register_forward_hook(self._count)
        self.decoder = nn.Sequential(
            nn.Dropout2d(0.5, inplace=True), nn.Conv2d(8, 8, 1), nn.Dropout(0.3), nn.ReLU(inplace=True)
        )
        self.output = nn.Conv2d(16, 4, 1)

    def _count(self, *_: object) -> None:
        self.calls += 1

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.encoder(image)
        inner = self.shared(self.decoder(self.shared(features)))
        output = self.output(torch.cat([features, inner], dim=1))
        return torch.cat([output[:, :3], output[:, 3:].exp()], dim=1)  # two classes, a value, its deviation


@pytest.fixture(scope="module")
def network() -> Small:
    torch.manual_seed(0)
    return Small().eval()


IMAGE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_the_numbers_are_those_of_whole_passes(network):
    passes = DropoutPasses(network, passes=5, num_classes=2)
    before = network(IMAGE)
    expected = passes.whole_passes(IMAGE)
    network.calls = 0
    result = passes(IMAGE)
    assert torch.equal(result, expected)
    assert network.calls == 5, "hooks see the remembered encoder"
    assert torch.equal(network(IMAGE), before), "the network itself is as it was"


@torch.inference_mode()
def test_mean_and_deviation_are_those_of_the_single_passes(network):
    passes = DropoutPasses(network, passes=6, num_classes=2)
    singles = torch.stack([passes._outputs(IMAGE, number) for number in range(6)])
    result = passes(IMAGE)
    np.testing.assert_allclose(result[:, :2].exp(), singles[:, :, :2].softmax(dim=2).mean(dim=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result[:, 2], singles[:, :, 2].mean(dim=0), rtol=1e-4, atol=1e-6)
    expected = singles[:, :, 2].var(dim=0) + singles[:, :, 3].square().mean(dim=0)
    np.testing.assert_allclose(result[:, 3], expected.sqrt(), rtol=1e-4, atol=1e-6)
    assert singles[:, :, 2].var(dim=0).min() > 0


@torch.inference_mode()
def test_a_tile_has_the_same_result_in_any_batch(network):
    passes = DropoutPasses(network, passes=3, num_classes=4)
    np.testing.assert_allclose(passes(IMAGE)[1:], passes(IMAGE[1:]), rtol=1e-4, atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["fpn/resnet18", "fc-ef"])
def test_registered_networks_keep_their_numbers(name):
    torch.manual_seed(0)
    network = create_model(name, in_channels=6, num_classes=3).eval()
    passes = DropoutPasses(network, passes=3, num_classes=3)
    image = torch.rand(1, 6, 32, 32)
    assert torch.equal(passes(image), passes.whole_passes(image))


def test_networks_without_dropout_are_refused(network):
    with pytest.raises(InputError, match="Conv2d has no dropout"):
        DropoutPasses(nn.Conv2d(3, 2, 1), passes=3)
    with pytest.raises(InputError, match="expected at least 2"):
        DropoutPasses(network, passes=1)
