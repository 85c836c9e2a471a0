"""Head of networks that estimate a quantity: their last channels in its unit, such as metres.

Takes any network; offset and scale are from the training data and are stored in the run's card."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256)  # of the discriminator
MAX_LOG = 10.0  # of a variance, either way: e⁵ = 148 scales


class InUnits(nn.Module):
    """A network whose last channels are a quantity: value = offset + scale · output, deviation = scale · exp(output / 2)."""

    def __init__(
        self,
        network: nn.Module,
        *,
        offset: float = 0.0,
        scale: float = 1.0,
        deviation: bool = False,
        critic_bands: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.offset, self.scale, self.deviation = network, offset, scale, deviation
        self.discriminator = patch_discriminator(critic_bands + 1) if critic_bands else None

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, C, H, W), standardised · returns : (N, K, H, W) float32, logits and values in their unit."""
        output = self.network(image).float()
        last = output.shape[1] - (2 if self.deviation else 1)
        parts = [output[:, :last], self.offset + self.scale * output[:, last : last + 1]]
        if self.deviation:
            parts.append(self.scale * torch.exp(output[:, last + 1 :].clamp(-MAX_LOG, MAX_LOG) / 2))
        return torch.cat(parts, dim=1)


def patch_discriminator(in_channels: int) -> nn.Module:
    """Return a network that classifies each patch's values as measured (1) or estimated (0); it stays with the run, to resume."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((in_channels, *WIDTHS)):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 1, 3, padding=1))


def add_units(
    network: nn.Module,
    num_classes: int,
    *,
    offset: float = 0.0,
    scale: float = 1.0,
    deviation: bool = False,
    critic_bands: int = 0,
) -> nn.Module:
    """Return the network with its last channels in the unit of a quantity; `num_classes` are all its channels."""
    return InUnits(network, offset=offset, scale=scale, deviation=deviation, critic_bands=critic_bands)
