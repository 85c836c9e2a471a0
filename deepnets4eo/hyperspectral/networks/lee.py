"""The contextual fully convolutional network with residual blocks (Lee and Kwon 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import check_bands

WIDTH = 128
DROPOUT = 0.5
NORM_OFFSET, NORM_FACTOR, NORM_POWER = 1.0, 1e-4, 0.75


class Lee(PatchClassifier):
    """Lee and Kwon, IGARSS 2016: kernels of 3 × 3 and 1 × 1 over all bands, then residual layers of 1 × 1.

    Published for label maps of 5 × 5 pixels whose outermost pixels see zeros beyond the patch. Here a patch is labelled at
    its centre, which no padding reaches, and a cube at every pixel by its 3 × 3 neighbours: both agree everywhere.
    patch_px : 3 at least; the centre's 3 × 3 neighbours are used. Errors: InputError for smaller patches.

    >>> sum(parameter.numel() for parameter in Lee(103, 9).parameters())
    265225
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 5) -> None:
        check_bands("Lee and Kwon 2016", in_channels, lambda bands: bands)
        if patch_px < 3:
            raise InputError(f"patch_px={patch_px} is too small for kernels of 3 × 3; expected at least 3.")
        super().__init__(patch_px, 1, 1, 8 * WIDTH)
        self.context = nn.Conv2d(in_channels, WIDTH, 3)
        self.spectrum = nn.Conv2d(in_channels, WIDTH, 1)
        self.joined = nn.Sequential(
            _LocalResponse(2 * WIDTH), nn.ReLU(),
            nn.Conv2d(2 * WIDTH, WIDTH, 1), _LocalResponse(WIDTH), nn.ReLU(),
            _Residual(), _Residual(),
            nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Conv2d(WIDTH, num_classes, 1),
        )  # fmt: skip
        initialise([self.context, self.spectrum], nn.init.kaiming_uniform_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        first, last = self.patch_px // 2 - 1, self.patch_px // 2 + 2
        return self.inner_scores(patches[:, :, first:last, first:last]).flatten(1)

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all but the outermost pixels. cube : (N, B, h, w) → (N, K, h − 2, w − 2)"""
        scores: Tensor = self.joined(torch.cat([self.context(cube), self.spectrum(cube[:, :, 1:-1, 1:-1])], dim=1))
        return scores


class _LocalResponse(nn.Module):
    """Local response normalisation over channels, as torch's, which neither bfloat16 nor many channels suit: the mean
    of squares around each channel is one product with a matrix of ones near the diagonal."""

    near: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        index = torch.arange(channels)
        offset = index - index[:, None]
        near = (offset >= -(channels // 2)) & (offset < channels - channels // 2)
        self.register_buffer("near", near[:, :, None, None].float() / channels, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """maps : (N, C, h, w) → the same"""
        return maps * (NORM_OFFSET + NORM_FACTOR * F.conv2d(maps * maps, self.near)) ** -NORM_POWER


class _Residual(nn.Module):
    """Two layers of 1 × 1, added to what they take."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """maps : (N, 128, h, w) → the same"""
        return torch.relu(maps + self.layers(maps))
