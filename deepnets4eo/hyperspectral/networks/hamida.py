"""3-D convolutions that halve the spectrum by learned strides (Ben Hamida et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_dense, apply_linear, check_bands, measure_patch, out_length

FIRST, LATER = 20, 35  # maps
PATCHES = (3, 5, 7)


class Hamida(PatchClassifier):
    """Ben Hamida et al., TGRS 2018: small 3-D kernels, and strided convolutions along the spectrum for poolings.

    patch_px : 3, 5 or 7. dilation : of all kernels along the spectrum. Patches of 3 pixels are padded with zeros, patch by
    patch, so that whole cubes are computed as their patches: exact, but without gain.
    Errors: InputError for another patch, a dilation below 1, or too few bands (3 without dilation).

    >>> sum(parameter.numel() for parameter in Hamida(103, 9).parameters())
    35039
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 5, dilation: int = 1) -> None:
        _check_arguments(patch_px, dilation)
        layers = _build_layers(1 if patch_px == 3 else 0, dilation)
        check_bands("Ben Hamida et al. 2018", in_channels, lambda bands: out_length(layers, bands, -3))
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, patch_px // 2, patch_px // 2, 2 * FIRST * in_channels)
        self.side_px, self.features = geometry.side_px, nn.Sequential(*layers)
        self.output = nn.Linear(LATER * out_length(layers, in_channels, -3) * geometry.side_px**2, num_classes)
        initialise(self.modules(), nn.init.kaiming_normal_, zero_bias=True)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.features(patches[:, None]).flatten(1))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)"""
        if self.patch_px == 3:
            return super().inner_scores(cube)
        return apply_linear(self.output, apply_dense(self.features, cube[:, None]).flatten(1, 2), self.side_px)


def _check_arguments(patch_px: int, dilation: int) -> None:
    if patch_px not in PATCHES:
        raise InputError(f"patch_px={patch_px} is not among {', '.join(map(str, PATCHES))}. Choose one of them.")
    if dilation < 1:
        raise InputError(f"dilation={dilation} along the spectrum; expected at least 1 (1: none).")


def _build_layers(padding: int, dilation: int) -> list[nn.Module]:
    def along(before: int, after: int, kernel: tuple[int, int, int], stride: int = 1) -> nn.Conv3d:
        return nn.Conv3d(before, after, kernel, (stride, 1, 1), (1, 0, 0), (dilation, 1, 1))

    return [
        nn.Conv3d(1, FIRST, 3, padding=padding, dilation=(dilation, 1, 1)), nn.ReLU(),
        along(FIRST, FIRST, (3, 1, 1), stride=2),
        along(FIRST, LATER, (3, 3, 3)), nn.ReLU(),
        along(LATER, LATER, (3, 1, 1), stride=2),
        along(LATER, LATER, (3, 1, 1)), nn.ReLU(),
        along(LATER, LATER, (2, 1, 1), stride=2), nn.ReLU(),
    ]  # fmt: skip
