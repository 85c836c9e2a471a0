"""A semi-supervised 2-D network that reconstructs the centre's spectrum (Liu et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_dense, apply_linear, check_bands, measure_patch, out_length

MAPS = 80


class Liu(PatchClassifier):
    """Liu et al., Remote Sensing Letters 2017: one convolution, one linear layer, and a decoder with skips (ladder).

    The public code declares one more normalisation, of the flat pooled maps, and never calls it; it is left out here, with
    its 1,440 parameters. The maps that the decoder adds are those before pooling and before the activation.
    patch_px : 4 at least. Errors: InputError for smaller patches.

    >>> sum(parameter.numel() for parameter in Liu(103, 9).parameters())
    4358592
    """

    reconstruction_weight = 1.0

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 9) -> None:
        check_bands("Liu et al. 2017", in_channels, lambda bands: bands)
        layers: list[nn.Module] = [nn.Conv2d(in_channels, MAPS, 3), nn.BatchNorm2d(MAPS), nn.MaxPool2d(2)]
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 3 * MAPS + in_channels)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        flat, wide = MAPS * geometry.side_px**2, MAPS * out_length(layers[:1], patch_px, -1) ** 2
        self.output = nn.Linear(flat, num_classes)
        self.decoder = _Decoder(flat, wide, in_channels)
        initialise(self.modules(), nn.init.kaiming_normal_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(torch.relu(self.features(patches)).flatten(1))
        return scores

    def reconstruct(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and reconstructed spectra (N, B) of the centres of patches (N, B, P, P)."""
        self.check_patches(patches)
        wide = self.features[:2](patches)
        pooled = self.features[2](wide).flatten(1)
        code = torch.relu(pooled)
        return self.output(code), self.decoder(code, pooled, wide.flatten(1))

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px"""
        maps = torch.relu(apply_dense(self.features, cube))
        return apply_linear(self.output, maps, self.geometry.side_px, self.geometry.dilation)


class _Decoder(nn.Module):
    """From the code of a patch, and its maps, to the spectrum of the centre. flat, wide : values after and before pooling."""

    def __init__(self, flat: int, wide: int, bands: int) -> None:
        super().__init__()
        self.hidden, self.pooled, self.wide = nn.Linear(flat, flat), nn.Linear(flat, flat), nn.Linear(flat, wide)
        self.pooled_norm, self.wide_norm = nn.BatchNorm1d(flat), nn.BatchNorm1d(wide)
        self.spectrum = nn.Linear(wide, bands)

    def forward(self, code: Tensor, pooled: Tensor, wide: Tensor) -> Tensor:
        """code, pooled : (N, flat), wide : (N, wide) → (N, B)"""
        values = torch.relu(self.hidden(code))
        values = torch.relu(self.pooled_norm(self.pooled(values) + pooled))
        values = torch.relu(self.wide_norm(self.wide(values) + wide))
        spectrum: Tensor = self.spectrum(values)
        return spectrum
