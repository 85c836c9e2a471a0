"""The plain baseline: a pixel's spectrum through fully connected layers."""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.pixel_network import PixelNetwork

WIDTHS = (2048, 4096, 2048)
DROPOUT = 0.5


class FullyConnected(PixelNetwork):
    """Three hidden layers of 2048, 4096 and 2048 units on single spectra; the baseline of Audebert et al., GRSM 2019.

    patch_px : 1. dropout : half of the units of each hidden layer are left out in training.

    >>> sum(parameter.numel() for parameter in FullyConnected(103, 9).parameters())
    17014793
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1, dropout: bool = False) -> None:
        super().__init__(patch_px, in_channels)
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(DROPOUT if dropout else 0)]
        self.layers = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], num_classes))
        initialise(self.modules(), nn.init.kaiming_normal_, zero_bias=True)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        scores: Tensor = self.layers(spectra)
        return scores
