"""Spectral-spatial networks, which read the spectrum first and the neighbourhood after it: residual, hybrid, and a
transformer.

A U-Net over features of each pixel labels whole images: dense labels from sparse ones, with wide context.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier, apply_linear, initialise, map_pixels
from deepnets4eo.segmentation import pad_to_stride

SSRN_KERNEL = 7  # bands
SSRN_WIDTH, SSRN_SPECTRAL_WIDTH = 24, 128

KERNELS, WIDTHS = (7, 5), (16, 32)  # of the spectral convolutions, stride 2
PIXELS = 8192  # at once: some 100 MB at 200 bands


class SSRN(PatchClassifier):
    """Zhong, Li, Luo and Chapman, TGRS 56(2), 2018: two spectral and two spatial residual blocks of two convolutions each.

    Spectral convolutions (7 bands at least) are computed once a pixel, spatial ones once a patch (3 px at least), with zeros at its edges.

    >>> sum(parameter.numel() for parameter in SSRN(200, 16).parameters())
    363800
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 7) -> None:
        if in_channels < SSRN_KERNEL or patch_px < 3:
            raise InputError(
                f"SSRN got {in_channels} bands and patches of {patch_px} pixels; it needs at least {SSRN_KERNEL} bands and 3 "
                "pixels. Choose more components, or another network."
            )
        length = (in_channels - SSRN_KERNEL) // 2 + 1
        held = 3 * SSRN_WIDTH * (length + (patch_px - 2) ** 2)
        super().__init__(patch_px, patch_px // 2, patch_px - 1 - patch_px // 2, held)
        self.spectral = nn.Sequential(
            nn.Conv1d(1, SSRN_WIDTH, SSRN_KERNEL, stride=2, bias=False),
            Residual(nn.Conv1d, nn.BatchNorm1d, SSRN_KERNEL),
            Residual(nn.Conv1d, nn.BatchNorm1d, SSRN_KERNEL),
            nn.BatchNorm1d(SSRN_WIDTH), nn.ReLU(inplace=True),
            nn.Conv1d(SSRN_WIDTH, SSRN_SPECTRAL_WIDTH, length, bias=False),
            nn.BatchNorm1d(SSRN_SPECTRAL_WIDTH), nn.ReLU(inplace=True),
            nn.Flatten(),
        )  # fmt: skip
        self.entry = nn.Conv2d(SSRN_SPECTRAL_WIDTH, SSRN_WIDTH, 3, bias=False)
        self.spatial = nn.Sequential(
            Residual(nn.Conv2d, nn.BatchNorm2d, 3),
            Residual(nn.Conv2d, nn.BatchNorm2d, 3),
            nn.BatchNorm2d(SSRN_WIDTH), nn.ReLU(inplace=True),
            nn.AvgPool2d(patch_px - 2), nn.Flatten(), nn.Linear(SSRN_WIDTH, num_classes),
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
        """Return (N, B, h, w) → (N, 24, h − 2, w − 2)"""
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
            layers += [norm(SSRN_WIDTH), nn.ReLU(inplace=True)]
            layers.append(convolution(SSRN_WIDTH, SSRN_WIDTH, kernel, padding=kernel // 2, bias=False))
        self.change = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Add the change to the maps, in the same shape."""
        output: Tensor = maps + self.change(maps)
        return output


HYBRIDSN_KERNELS = ((7, 3, 3), (5, 3, 3), (3, 3, 3))  # bands, rows, columns; a last one of 3 × 3
HYBRIDSN_SPECTRAL_LOSS = sum(kernel[0] - 1 for kernel in HYBRIDSN_KERNELS)
HYBRIDSN_SPATIAL_LOSS = 2 * (len(HYBRIDSN_KERNELS) + 1)
HYBRIDSN_VALUES_PER_BAND = 64  # that the 3-D convolutions hold of a pixel


class HybridSN(PatchClassifier):
    """Roy, Krishna, Dubey and Chaudhuri, GRSL 17(2), 2020: three 3-D convolutions, one 2-D convolution, three linear layers.

    Published with 30 principal components for Indian Pines, else 15; at least 13, and patches of 9 px. dropout : after both hidden layers.

    >>> sum(parameter.numel() for parameter in HybridSN(30, 16).parameters())
    5122176
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 25, dropout: float = 0.4) -> None:
        if in_channels <= HYBRIDSN_SPECTRAL_LOSS or patch_px <= HYBRIDSN_SPATIAL_LOSS:
            raise InputError(
                f"HybridSN got {in_channels} bands and patches of {patch_px} pixels; its convolutions need at least "
                f"{HYBRIDSN_SPECTRAL_LOSS + 1} bands and {HYBRIDSN_SPATIAL_LOSS + 1} pixels. Reduce the bands to 15 or 30 components, or "
                "choose another network."
            )
        super().__init__(patch_px, patch_px // 2, patch_px - 1 - patch_px // 2, HYBRIDSN_VALUES_PER_BAND * in_channels)
        widths = (1, 8, 16, 32)
        layers: list[nn.Module] = []
        for before, after, kernel in zip(widths, widths[1:], HYBRIDSN_KERNELS, strict=False):
            layers += [nn.Conv3d(before, after, kernel), nn.ReLU(inplace=True)]
        self.spectral = nn.Sequential(*layers)
        self.spatial = nn.Sequential(
            nn.Conv2d(widths[-1] * (in_channels - HYBRIDSN_SPECTRAL_LOSS), 64, 3), nn.ReLU(inplace=True)
        )
        self.side_px = patch_px - HYBRIDSN_SPATIAL_LOSS
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
        """Apply the first fully connected layer as a convolution. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)."""
        hidden = apply_linear(self.hidden, self._maps(cube), self.side_px)
        scores: Tensor = self.classifier(hidden.movedim(1, -1))
        return scores.movedim(-1, 1)

    def _maps(self, cube: Tensor) -> Tensor:
        """Return (N, B, h, w) → (N, 64, h − 8, w − 8)"""
        maps: Tensor = self.spatial(self.spectral(cube[:, None]).flatten(1, 2))
        return maps


SPECTRALFORMER_WIDTH, SPECTRALFORMER_HEADS, SPECTRALFORMER_HEAD_WIDTH, SPECTRALFORMER_HIDDEN = 64, 4, 16, 8


class SpectralFormer(PatchClassifier):
    """Hong et al., TGRS 60, 2022: five layers of four heads, 64 wide; the first token, which belongs to no band, is classified.

    The token of a band comes from the pixels of the patch in `group_bands` neighbouring bands (odd; the last band neighbours
    the first).

    From the third of the `layers` on, the input is fused with the input of the layer two before. Whole cubes are computed as
    patches (odd side; 7 or 1 published).

    >>> sum(parameter.numel() for parameter in SpectralFormer(200, 16).parameters())
    355577
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        patch_px: int = 7,
        group_bands: int = 3,
        layers: int = 5,
        dropout: float = 0.1,
    ) -> None:
        if patch_px % 2 == 0 or group_bands % 2 == 0 or min(patch_px, group_bands, layers - 1) < 1:
            raise InputError(
                f"SpectralFormer got patch_px={patch_px}, group_bands={group_bands}, layers={layers}; the first two must "
                "be odd, and there must be at least 2 layers."
            )
        held = (group_bands * patch_px**2 + 8 * SPECTRALFORMER_WIDTH) * in_channels
        super().__init__(patch_px, patch_px // 2, patch_px // 2, held)
        self.group_bands = group_bands
        self.embedding = nn.Linear(group_bands * patch_px**2, SPECTRALFORMER_WIDTH)
        self.class_token = nn.Parameter(torch.randn(1, 1, SPECTRALFORMER_WIDTH))
        self.positions = nn.Parameter(torch.randn(1, in_channels + 1, SPECTRALFORMER_WIDTH))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(AttentionLayer(dropout) for _ in range(layers))
        self.fusions = nn.ModuleList(nn.Conv2d(in_channels + 1, in_channels + 1, (1, 2)) for _ in range(layers - 2))
        self.classifier = nn.Sequential(
            nn.LayerNorm(SPECTRALFORMER_WIDTH), nn.Linear(SPECTRALFORMER_WIDTH, num_classes)
        )

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        reach = self.group_bands // 2
        bands = patches.flatten(2)
        groups = torch.cat([bands.roll(-shift, dims=1) for shift in range(-reach, reach + 1)], dim=2)
        first = self.class_token.expand(patches.shape[0], -1, -1)
        tokens = self.dropout(torch.cat([first, self.embedding(groups)], dim=1) + self.positions)
        inputs: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            inputs.append(tokens)
            if number >= 2:
                tokens = self.fusions[number - 2](torch.stack([tokens, inputs[number - 2]], dim=3))[:, :, :, 0]
            tokens = layer(tokens)
        scores: Tensor = self.classifier(tokens[:, 0])
        return scores


class AttentionLayer(nn.Module):
    """Attention between all tokens, then two layers on each; both add to what comes in."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        inner = SPECTRALFORMER_HEADS * SPECTRALFORMER_HEAD_WIDTH
        self.norm = nn.LayerNorm(SPECTRALFORMER_WIDTH)
        self.queries_keys_values = nn.Linear(SPECTRALFORMER_WIDTH, 3 * inner, bias=False)
        self.output = nn.Sequential(nn.Linear(inner, SPECTRALFORMER_WIDTH), nn.Dropout(dropout))
        self.hidden = nn.Sequential(
            nn.LayerNorm(SPECTRALFORMER_WIDTH), nn.Linear(SPECTRALFORMER_WIDTH, SPECTRALFORMER_HIDDEN), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(SPECTRALFORMER_HIDDEN, SPECTRALFORMER_WIDTH), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, T, 64), the same shape"""
        combined = self.queries_keys_values(self.norm(tokens)).unflatten(
            2, (3, SPECTRALFORMER_HEADS, SPECTRALFORMER_HEAD_WIDTH)
        )
        queries, keys, values = combined.permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.output(attention.transpose(1, 2).flatten(2))
        output: Tensor = tokens + self.hidden(tokens)
        return output


class SpectralUNet(nn.Module):
    """Two convolutions along the spectrum and a linear layer for each pixel, then a U-Net (Ronneberger et al. 2015).

    features : numbers that a spectrum becomes. widths : channels of the levels, from the image's own resolution down.

    >>> SpectralUNet(103, 9)(torch.zeros(1, 103, 30, 41)).shape
    torch.Size([1, 9, 30, 41])
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, features: int = 64, widths: Sequence[int] = (64, 128, 256)
    ) -> None:
        super().__init__()
        if min(in_channels, num_classes, features, *widths, len(widths)) < 1:
            raise InputError(
                f"SpectralUNet got in_channels={in_channels}, num_classes={num_classes}, features={features}, "
                f"widths={list(widths)}; all must be at least 1, and there must be a level."
            )
        layers: list[nn.Module] = []
        length, before = in_channels, 1
        for kernel, width in zip(KERNELS, WIDTHS, strict=True):
            layers += [nn.Conv1d(before, width, kernel, stride=2, padding=kernel // 2), nn.ReLU(inplace=True)]
            length, before = -(-length // 2), width
        self.spectral = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(before * length, features), nn.ReLU(inplace=True)
        )
        inputs = (features, *widths)
        self.down = nn.ModuleList(_block(*pair) for pair in zip(inputs, widths, strict=False))
        rising = tuple(widths)[::-1]
        self.up = nn.ModuleList(_block(low + high, high) for low, high in zip(rising, rising[1:], strict=False))
        self.score = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, cube: Tensor) -> Tensor:
        """cube : (N, B, h, w) → logits (N, K, h, w)"""
        height, width = cube.shape[2:]
        whole = self.training or torch.compiler.is_compiling()  # a graph has no loops
        features = map_pixels(self._spectrum, cube, None if whole else PIXELS)
        maps = pad_to_stride(features, 2 ** len(self.up))
        levels: list[Tensor] = []
        for number, block in enumerate(self.down):
            maps = block(F.max_pool2d(maps, 2) if number else maps)
            levels.append(maps)
        for block, level in zip(self.up, levels[-2::-1], strict=True):
            finer = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
            maps = block(torch.cat([finer, level], dim=1))
        logits: Tensor = self.score(maps)
        return logits[:, :, :height, :width]

    def _spectrum(self, spectra: Tensor) -> Tensor:
        features: Tensor = self.spectral(spectra[:, None])
        return features


def _block(in_channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, width):
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)  # normalisation has its own
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
