"""Deep 3-D convolutions on large patches (Chen et al. 2016)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_dense, apply_linear, check_bands, measure_patch, out_length

MAPS = 32
KERNEL = (32, 4, 4)
DROPOUT = 0.5
SPREAD = 0.001  # of first weights


class Chen(PatchClassifier):
    """Chen et al., TGRS 2016: three 3-D convolutions of 32 × 4 × 4, the first two pooled, on patches of 27 pixels.

    patch_px : 25 at least; of 27 pixels the poolings leave out the last two rows and columns.
    Errors: InputError for less than 94 bands, or smaller patches.

    >>> sum(parameter.numel() for parameter in Chen(103, 9).parameters())
    1067945
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 27) -> None:
        layers: list[nn.Module] = [
            nn.Conv3d(1, MAPS, KERNEL), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Dropout(DROPOUT),
            nn.Conv3d(MAPS, MAPS, KERNEL), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Dropout(DROPOUT),
            nn.Conv3d(MAPS, MAPS, KERNEL), nn.ReLU(), nn.Dropout(DROPOUT),
        ]  # fmt: skip
        check_bands("Chen et al. 2016", in_channels, lambda bands: out_length(layers, bands, -3))
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 2 * MAPS * in_channels)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        flat = MAPS * out_length(layers, in_channels, -3) * self.geometry.side_px**2
        self.output = nn.Linear(flat, num_classes)
        initialise(self.modules(), partial(nn.init.normal_, std=SPREAD), zero_bias=True)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.features(patches[:, None]).flatten(1))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px"""
        maps = apply_dense(self.features, cube[:, None]).flatten(1, 2)
        return apply_linear(self.output, maps, self.geometry.side_px, self.geometry.dilation)
