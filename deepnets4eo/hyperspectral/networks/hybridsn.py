"""HybridSN: three 3-D convolutions, one 2-D convolution, three fully connected layers.

Takes cubes of at least 13 bands, usually principal components; refuses patches below 9 pixels.
After Roy, Krishna, Dubey and Chaudhuri, "HybridSN: Exploring 3-D–2-D CNN Feature Hierarchy for Hyperspectral Image
Classification", IEEE GRSL 17(2), 2020.
"""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_linear

KERNELS = ((7, 3, 3), (5, 3, 3), (3, 3, 3))  # bands, rows, columns; a last one of 3 × 3
SPECTRAL_LOSS = sum(kernel[0] - 1 for kernel in KERNELS)
SPATIAL_LOSS = 2 * (len(KERNELS) + 1)
VALUES_PER_BAND = 64  # that the 3-D convolutions hold of a pixel


class HybridSN(PatchClassifier):
    """Roy et al. 2020; published with 30 principal components for Indian Pines and 15 for the other scenes.

    Parameters
    ----------
    in_channels
        Bands or components, at least 13.
    num_classes
        Classes K.
    patch_px
        25 as published, at least 9.
    dropout
        After both hidden layers.

    Raises
    ------
    InputError
        Fewer bands or smaller patches than the convolutions need.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in HybridSN(30, 16).parameters())
    5122176
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 25, dropout: float = 0.4) -> None:
        if in_channels <= SPECTRAL_LOSS or patch_px <= SPATIAL_LOSS:
            raise InputError(
                f"HybridSN got {in_channels} bands and patches of {patch_px} pixels; its convolutions need at least "
                f"{SPECTRAL_LOSS + 1} bands and {SPATIAL_LOSS + 1} pixels. Reduce the bands to 15 or 30 components, or "
                "choose another network."
            )
        super().__init__(patch_px, patch_px // 2, patch_px - 1 - patch_px // 2, VALUES_PER_BAND * in_channels)
        widths = (1, 8, 16, 32)
        layers: list[nn.Module] = []
        for before, after, kernel in zip(widths, widths[1:], KERNELS, strict=False):
            layers += [nn.Conv3d(before, after, kernel), nn.ReLU(inplace=True)]
        self.spectral = nn.Sequential(*layers)
        self.spatial = nn.Sequential(
            nn.Conv2d(widths[-1] * (in_channels - SPECTRAL_LOSS), 64, 3), nn.ReLU(inplace=True)
        )
        self.side_px = patch_px - SPATIAL_LOSS
        self.hidden = nn.Linear(64 * self.side_px**2, 256)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Sequential(
            nn.ReLU(), self.dropout, nn.Linear(256, 128), nn.ReLU(), self.dropout, nn.Linear(128, num_classes)
        )
        initialise(self.modules(), nn.init.xavier_uniform_, zero_bias=True)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.classifier(self.hidden(self._maps(patches).flatten(1)))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """The first fully connected layer as a convolution. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)"""
        hidden = apply_linear(self.hidden, self._maps(cube), self.side_px)
        scores: Tensor = self.classifier(hidden.movedim(1, -1))
        return scores.movedim(-1, 1)

    def _maps(self, cube: Tensor) -> Tensor:
        """(N, B, h, w) → (N, 64, h − 8, w − 8)"""
        maps: Tensor = self.spatial(self.spectral(cube[:, None]).flatten(1, 2))
        return maps
