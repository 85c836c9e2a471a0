"""SSRN: residual blocks along the spectrum, then residual blocks over the patch.

Takes cubes of at least 7 bands; refuses patches below 3 pixels.
After Zhong, Li, Luo and Chapman, "Spectral–Spatial Residual Network for Hyperspectral Image Classification: A 3-D Deep
Learning Framework", IEEE TGRS 56(2), 2018.
"""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.pixelwise import map_pixels

KERNEL = 7  # bands
WIDTH, SPECTRAL_WIDTH = 24, 128


class SSRN(PatchClassifier):
    """Zhong et al. 2018: two spectral and two spatial residual blocks, each of two convolutions.

    The spectral convolutions see single pixels and are computed once for each. The spatial blocks keep the size of
    the patch with zeros at its edges, so that they are computed for each patch. Convolutions have no bias, as batch
    normalisation follows each.

    Parameters
    ----------
    in_channels
        Bands B, at least 7.
    num_classes
        Classes K.
    patch_px
        7 as published, at least 3.

    Raises
    ------
    InputError
        Fewer bands or smaller patches than the convolutions need.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in SSRN(200, 16).parameters())
    363800
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 7) -> None:
        if in_channels < KERNEL or patch_px < 3:
            raise InputError(
                f"SSRN got {in_channels} bands and patches of {patch_px} pixels; it needs at least {KERNEL} bands and 3 "
                "pixels. Choose more components, or another network."
            )
        length = (in_channels - KERNEL) // 2 + 1
        held = 3 * WIDTH * (length + (patch_px - 2) ** 2)
        super().__init__(patch_px, patch_px // 2, patch_px - 1 - patch_px // 2, held)
        self.spectral = nn.Sequential(
            nn.Conv1d(1, WIDTH, KERNEL, stride=2, bias=False),
            Residual(nn.Conv1d, nn.BatchNorm1d, KERNEL),
            Residual(nn.Conv1d, nn.BatchNorm1d, KERNEL),
            nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True),
            nn.Conv1d(WIDTH, SPECTRAL_WIDTH, length, bias=False),
            nn.BatchNorm1d(SPECTRAL_WIDTH), nn.ReLU(inplace=True),
            nn.Flatten(),
        )  # fmt: skip
        self.entry = nn.Conv2d(SPECTRAL_WIDTH, WIDTH, 3, bias=False)
        self.spatial = nn.Sequential(
            Residual(nn.Conv2d, nn.BatchNorm2d, 3),
            Residual(nn.Conv2d, nn.BatchNorm2d, 3),
            nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True),
            nn.AvgPool2d(patch_px - 2), nn.Flatten(), nn.Linear(WIDTH, num_classes),
        )  # fmt: skip
        initialise(self.modules(), nn.init.kaiming_normal_, zero_bias=True)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.spatial(self._entry_maps(patches))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Spectra once, spatial blocks patch by patch. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)"""
        side = self.patch_px - 2
        patches = self._entry_maps(cube).unfold(2, side, 1).unfold(3, side, 1).permute(0, 2, 3, 1, 4, 5)
        scores = self.spatial(patches.flatten(0, 2))
        return scores.unflatten(0, patches.shape[:3]).permute(0, 3, 1, 2)

    def _entry_maps(self, cube: Tensor) -> Tensor:
        """(N, B, h, w) → (N, 24, h − 2, w − 2)"""
        maps: Tensor = self.entry(map_pixels(self._spectrum, cube))
        return maps

    def _spectrum(self, spectra: Tensor) -> Tensor:
        features: Tensor = self.spectral(spectra[:, None])
        return features


class Residual(nn.Module):
    """Adds what two convolutions compute of a map, each after normalisation and rectification."""

    def __init__(self, convolution: type[nn.Module], norm: type[nn.Module], kernel: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [norm(WIDTH), nn.ReLU(inplace=True)]
            layers.append(convolution(WIDTH, WIDTH, kernel, padding=kernel // 2, bias=False))
        self.change = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """The same shape."""
        output: Tensor = maps + self.change(maps)
        return output
