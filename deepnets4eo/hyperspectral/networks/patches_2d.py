"""Networks of patches whose first convolutions are 2-D, over all bands at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import (
    PatchClassifier,
    apply_dense,
    apply_linear,
    check_bands,
    initialise,
    measure_patch,
    out_length,
)

LEE_WIDTH = 128
LEE_DROPOUT = 0.5
LEE_NORM_OFFSET, LEE_NORM_FACTOR, LEE_NORM_POWER = 1.0, 1e-4, 0.75


class Lee(PatchClassifier):
    """Lee and Kwon, IGARSS 2016: kernels of 3 × 3 and 1 × 1 over all bands, then residual layers of 1 × 1.

    A patch (3 px at least) is labelled at its centre, which no padding reaches (published: maps of 5 × 5 pixels with zeros beyond).

    >>> sum(parameter.numel() for parameter in Lee(103, 9).parameters())
    265225
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 5) -> None:
        check_bands("Lee and Kwon 2016", in_channels, lambda bands: bands)
        if patch_px < 3:
            raise InputError(f"patch_px={patch_px} is too small for kernels of 3 × 3; expected at least 3.")
        super().__init__(patch_px, 1, 1, 8 * LEE_WIDTH)
        self.context = nn.Conv2d(in_channels, LEE_WIDTH, 3)
        self.spectrum = nn.Conv2d(in_channels, LEE_WIDTH, 1)
        self.joined = nn.Sequential(
            _LocalResponse(2 * LEE_WIDTH), nn.ReLU(),
            nn.Conv2d(2 * LEE_WIDTH, LEE_WIDTH, 1), _LocalResponse(LEE_WIDTH), nn.ReLU(),
            _Residual(), _Residual(),
            nn.Conv2d(LEE_WIDTH, LEE_WIDTH, 1), nn.ReLU(), nn.Dropout(LEE_DROPOUT),
            nn.Conv2d(LEE_WIDTH, LEE_WIDTH, 1), nn.ReLU(), nn.Dropout(LEE_DROPOUT),
            nn.Conv2d(LEE_WIDTH, num_classes, 1),
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
        """Apply local response normalisation over channels.

        maps : (N, C, h, w) → the same shape"""
        return maps * (LEE_NORM_OFFSET + LEE_NORM_FACTOR * F.conv2d(maps * maps, self.near)) ** -LEE_NORM_POWER


class _Residual(nn.Module):
    """Two layers of 1 × 1, added to what they take."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(LEE_WIDTH, LEE_WIDTH, 1), nn.ReLU(), nn.Conv2d(LEE_WIDTH, LEE_WIDTH, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Add the layers' output to the maps, and clip at 0.

        maps : (N, 128, h, w) → the same shape"""
        return torch.relu(maps + self.layers(maps))


SHARMA_WIDTHS = (96, 256, 512)
SHARMA_HIDDEN = 1024
SHARMA_DROPOUT = 0.5


class Sharma(PatchClassifier):
    """Sharma et al. 2016: three convolutions over all maps, two of them strided and pooled, and two linear layers.

    patch_px : 56 at least; of 64 pixels the poolings leave out the last eight rows and columns.

    >>> sum(parameter.numel() for parameter in Sharma(103, 9).parameters())
    2292905"""

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 64) -> None:
        check_bands("Sharma et al. 2016", in_channels, lambda bands: bands)
        first, second, third = SHARMA_WIDTHS
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, first, 6, stride=2), nn.BatchNorm2d(first), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, stride=2), nn.BatchNorm2d(second), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(second, third, 3), nn.ReLU(inplace=True),
        ]  # fmt: skip
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 2 * third)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        self.hidden = nn.Linear(third * geometry.side_px**2, SHARMA_HIDDEN)
        self.dropout = nn.Dropout(SHARMA_DROPOUT)
        self.output = nn.Linear(SHARMA_HIDDEN, num_classes)
        initialise(self.modules(), nn.init.kaiming_normal_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.dropout(self.hidden(self.features(patches).flatten(1))))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Return logits wherever the context is inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px."""
        maps = apply_dense(self.features, cube)
        hidden = self.dropout(apply_linear(self.hidden, maps, self.geometry.side_px, self.geometry.dilation))
        return apply_linear(self.output, hidden, 1)


LIU_MAPS = 80


class Liu(PatchClassifier):
    """Liu et al., Remote Sensing Letters 2017: one convolution, one linear layer, and a decoder with skips (ladder).

    A normalisation that the public code never calls is left out. The decoder adds maps before pooling and activation. patch_px : 4 at least.

    >>> sum(parameter.numel() for parameter in Liu(103, 9).parameters())
    4358592
    """

    reconstruction_weight = 1.0

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 9) -> None:
        check_bands("Liu et al. 2017", in_channels, lambda bands: bands)
        layers: list[nn.Module] = [nn.Conv2d(in_channels, LIU_MAPS, 3), nn.BatchNorm2d(LIU_MAPS), nn.MaxPool2d(2)]
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 3 * LIU_MAPS + in_channels)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        flat, wide = LIU_MAPS * geometry.side_px**2, LIU_MAPS * out_length(layers[:1], patch_px, -1) ** 2
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
        """Return logits wherever the context is inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px."""
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
