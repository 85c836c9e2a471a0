"""3-D convolutions on four spectral scales (He et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_dense, apply_linear, check_bands, measure_patch, out_length

MAPS = 16
SCALES = (1, 3, 5, 11)
DROPOUT = 0.6


class He(PatchClassifier):
    """He, Li and Chen, ICIP 2017: twice the sum of four convolutions along the spectrum, of 1, 3, 5 and 11 bands.

    patch_px : 4 at least. Errors: InputError for less than 17 bands, or smaller patches.

    >>> sum(parameter.numel() for parameter in He(103, 9).parameters())
    81881
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 7) -> None:
        layers: list[nn.Module] = [
            nn.Conv3d(1, MAPS, (11, 3, 3), stride=(3, 1, 1)), nn.ReLU(),
            _MultiScale(), nn.ReLU(),
            _MultiScale(), nn.ReLU(),
            nn.Conv3d(MAPS, MAPS, (3, 2, 2)), nn.ReLU(),
        ]  # fmt: skip
        check_bands("He et al. 2017", in_channels, lambda bands: out_length(layers, bands, -3))
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 2 * MAPS * in_channels)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(MAPS * out_length(layers, in_channels, -3) * geometry.side_px**2, num_classes)
        initialise(self.modules(), nn.init.kaiming_uniform_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.dropout(self.features(patches[:, None]).flatten(1)))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)"""
        maps = self.dropout(apply_dense(self.features, cube[:, None]).flatten(1, 2))
        return apply_linear(self.output, maps, self.geometry.side_px)


class _MultiScale(nn.Module):
    """The sum of four convolutions along the spectrum, which they leave as long as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Conv3d(MAPS, MAPS, (kernel, 1, 1), padding=(kernel // 2, 0, 0)) for kernel in SCALES
        )

    def forward(self, maps: Tensor) -> Tensor:
        """maps : (N, 16, bands, h, w) → the same"""
        return torch.stack([scale(maps) for scale in self.scales]).sum(dim=0)
