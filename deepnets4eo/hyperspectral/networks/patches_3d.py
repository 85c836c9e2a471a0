"""Networks of patches whose convolutions are 3-D: along the spectrum and over the neighbourhood together."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import (
    PatchClassifier,
    apply_dense,
    apply_linear,
    check_bands,
    convolve,
    initialise,
    measure_patch,
    out_length,
)

CHEN_MAPS = 32
CHEN_KERNEL = (32, 4, 4)
CHEN_DROPOUT = 0.5
CHEN_SPREAD = 0.001  # of first weights


class FlattenedPatch(PatchClassifier):
    """Convolutions `features` of a patch, the last of `maps` maps, and a layer `output` over all that they leave of it."""

    def __init__(
        self, name: str, layers: list[nn.Module], sizes: tuple[int, int], patch_px: int, maps: int, held: int
    ) -> None:
        in_channels, num_classes = sizes
        check_bands(name, in_channels, lambda bands: out_length(layers, bands, -3))
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, held * in_channels)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        self.output = nn.Linear(maps * out_length(layers, in_channels, -3) * geometry.side_px**2, num_classes)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.drop(self.features(patches[:, None]).flatten(1)))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Return logits wherever the context is inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px."""
        maps = self.drop(apply_dense(self.features, cube[:, None]))
        return apply_linear(self.output, maps, self.geometry.side_px, self.geometry.dilation)

    def drop(self, values: Tensor) -> Tensor:
        """Values before the last layer, as they are."""
        return values


class Chen(FlattenedPatch):
    """Chen et al., TGRS 2016: three 3-D convolutions of 32 × 4 × 4, the first two pooled, on patches of 27 pixels.

    At least 94 bands, and patches of 25 px; of 27 the poolings leave out the last two rows and columns.

    >>> sum(parameter.numel() for parameter in Chen(103, 9).parameters())
    1067945"""

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 27) -> None:
        layers: list[nn.Module] = [
            nn.Conv3d(1, CHEN_MAPS, CHEN_KERNEL), nn.ReLU(inplace=True), nn.MaxPool3d((1, 2, 2)), nn.Dropout(CHEN_DROPOUT),
            nn.Conv3d(CHEN_MAPS, CHEN_MAPS, CHEN_KERNEL), nn.ReLU(inplace=True), nn.MaxPool3d((1, 2, 2)), nn.Dropout(CHEN_DROPOUT),
            nn.Conv3d(CHEN_MAPS, CHEN_MAPS, CHEN_KERNEL), nn.ReLU(inplace=True), nn.Dropout(CHEN_DROPOUT),
        ]  # fmt: skip
        super().__init__("Chen et al. 2016", layers, (in_channels, num_classes), patch_px, CHEN_MAPS, CHEN_MAPS)
        initialise(self.modules(), partial(nn.init.normal_, std=CHEN_SPREAD), zero_bias=True)


class Li(FlattenedPatch):
    """Li, Zhang and Shen, Remote Sensing 2017: two 3-D convolutions, the second with twice the maps, and no pooling.

    At least 5 bands and patches of 5 px. planes : maps of the first convolution; 16 in Audebert et al. 2019, 2 in the original.

    >>> sum(parameter.numel() for parameter in Li(103, 9).parameters())
    43401
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 5, planes: int = 16) -> None:
        if planes < 1:
            raise InputError(f"planes={planes} maps; expected at least 1 (published: 2 or 16).")
        layers: list[nn.Module] = [
            nn.Conv3d(1, planes, (7, 3, 3), padding=(1, 0, 0)), nn.ReLU(inplace=True),
            nn.Conv3d(planes, 2 * planes, 3, padding=(1, 0, 0)), nn.ReLU(inplace=True),
        ]  # fmt: skip
        super().__init__("Li et al. 2017", layers, (in_channels, num_classes), patch_px, 2 * planes, 4 * planes)
        initialise(self.modules(), nn.init.xavier_uniform_, zero_bias=True)


HE_MAPS = 16
HE_SCALES = (1, 3, 5, 11)
HE_DROPOUT = 0.6


class He(FlattenedPatch):
    """He, Li and Chen, ICIP 2017: twice the sum of four convolutions along the spectrum, of 1, 3, 5 and 11 bands.

    At least 17 bands and patches of 4 px.

    >>> sum(parameter.numel() for parameter in He(103, 9).parameters())
    81881"""

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 7) -> None:
        layers: list[nn.Module] = [
            nn.Conv3d(1, HE_MAPS, (11, 3, 3), stride=(3, 1, 1)), nn.ReLU(inplace=True),
            _MultiScale(), nn.ReLU(inplace=True),
            _MultiScale(), nn.ReLU(inplace=True),
            nn.Conv3d(HE_MAPS, HE_MAPS, (3, 2, 2)), nn.ReLU(inplace=True),
        ]  # fmt: skip
        super().__init__("He et al. 2017", layers, (in_channels, num_classes), patch_px, HE_MAPS, HE_MAPS)
        self.dropout = nn.Dropout(HE_DROPOUT)
        initialise(self.modules(), nn.init.kaiming_uniform_)

    def drop(self, values: Tensor) -> Tensor:
        """Values before the last layer, in training without some."""
        kept: Tensor = self.dropout(values)
        return kept


class _MultiScale(nn.Module):
    """The sum of four convolutions along the spectrum, which they leave as long as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Conv3d(HE_MAPS, HE_MAPS, (kernel, 1, 1), padding=(kernel // 2, 0, 0)) for kernel in HE_SCALES
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Apply one convolution with the sum of the four kernels.

        maps : (N, 16, bands, h, w) → the same shape"""
        longest = max(HE_SCALES) // 2
        scales = [cast(nn.Conv3d, scale) for scale in self.scales]
        weights = [F.pad(scale.weight, (0, 0, 0, 0, *[longest - scale.kernel_size[0] // 2] * 2)) for scale in scales]
        bias = torch.stack([cast(Tensor, scale.bias) for scale in scales]).sum(dim=0)
        return convolve(maps, torch.stack(weights).sum(dim=0), bias, padding=longest)


HAMIDA_FIRST, HAMIDA_LATER = 20, 35  # maps
HAMIDA_PATCHES = (3, 5, 7)


class Hamida(FlattenedPatch):
    """Ben Hamida et al., TGRS 2018: small 3-D kernels, and strided convolutions along the spectrum for poolings.

    patch_px : 3, 5 or 7; of 3 whole cubes are computed as patches, without gain. dilation : of all kernels along the spectrum.

    >>> sum(parameter.numel() for parameter in Hamida(103, 9).parameters())
    35039
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 5, dilation: int = 1) -> None:
        _check_hamida(patch_px, dilation)
        layers = _hamida_layers(1 if patch_px == 3 else 0, dilation)
        sizes = in_channels, num_classes
        super().__init__("Ben Hamida et al. 2018", layers, sizes, patch_px, HAMIDA_LATER, 2 * HAMIDA_FIRST)
        self.before_px = self.after_px = patch_px // 2  # zeros around patches of 3 px are no context
        initialise(self.modules(), nn.init.kaiming_normal_, zero_bias=True)

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Return logits wherever the context is inside. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)."""
        return PatchClassifier.inner_scores(self, cube) if self.patch_px == 3 else super().inner_scores(cube)


def _check_hamida(patch_px: int, dilation: int) -> None:
    if patch_px not in HAMIDA_PATCHES:
        raise InputError(f"patch_px={patch_px} is not among {', '.join(map(str, HAMIDA_PATCHES))}. Choose one of them.")
    if dilation < 1:
        raise InputError(f"dilation={dilation} along the spectrum; expected at least 1 (1: none).")


def _hamida_layers(padding: int, dilation: int) -> list[nn.Module]:
    def along(before: int, after: int, kernel: tuple[int, int, int], stride: int = 1) -> nn.Conv3d:
        return nn.Conv3d(before, after, kernel, (stride, 1, 1), (1, 0, 0), (dilation, 1, 1))

    return [
        nn.Conv3d(1, HAMIDA_FIRST, 3, padding=padding, dilation=(dilation, 1, 1)), nn.ReLU(inplace=True),
        along(HAMIDA_FIRST, HAMIDA_FIRST, (3, 1, 1), stride=2),
        along(HAMIDA_FIRST, HAMIDA_LATER, (3, 3, 3)), nn.ReLU(inplace=True),
        along(HAMIDA_LATER, HAMIDA_LATER, (3, 1, 1), stride=2),
        along(HAMIDA_LATER, HAMIDA_LATER, (3, 1, 1)), nn.ReLU(inplace=True),
        along(HAMIDA_LATER, HAMIDA_LATER, (2, 1, 1), stride=2), nn.ReLU(inplace=True),
    ]  # fmt: skip


LUO_MAPS = 90
LUO_IMAGE_MAPS = 64
LUO_HIDDEN = 1024


class Luo(PatchClassifier):
    """HSI-CNN (Luo et al., ICPR 2018): 90 maps of T values along the spectrum are convolved as one image of T × 90.

    The image is the memory of the maps in rows of 90, as in the public code, not their transpose. At least 42 bands, patches of 3 px.

    >>> Luo(51, 9).length
    4
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 3) -> None:
        if patch_px != 3:
            raise InputError(f"patch_px={patch_px} was given; HSI-CNN is made for 3. Leave it out.")
        spectral = nn.Conv3d(1, LUO_MAPS, (24, 3, 3), stride=(9, 1, 1))
        check_bands("Luo et al. 2018", in_channels, lambda bands: out_length([spectral], bands, -3) - 2)
        length = out_length([spectral], in_channels, -3)
        image_values = LUO_IMAGE_MAPS * (length - 2) * (LUO_MAPS - 2)
        super().__init__(patch_px, 1, 1, 2 * image_values + LUO_HIDDEN)
        self.length, self.spectral = length, spectral
        self.image = nn.Conv2d(1, LUO_IMAGE_MAPS, 3)
        self.hidden = nn.Linear(image_values, LUO_HIDDEN)
        self.output = nn.Linear(LUO_HIDDEN, num_classes)
        initialise(self.modules(), nn.init.kaiming_uniform_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        return self.inner_scores(patches).flatten(1)

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all but the outermost pixels. cube : (N, B, h, w) → (N, K, h − 2, w − 2)"""
        maps = torch.relu(self.spectral(cube[:, None])).permute(0, 3, 4, 1, 2)
        images = maps.reshape(-1, 1, self.length, LUO_MAPS)
        hidden = torch.relu(self.hidden(torch.relu(self.image(images)).flatten(1)))
        scores: Tensor = self.output(hidden)
        return scores.unflatten(0, maps.shape[:3]).permute(0, 3, 1, 2)
