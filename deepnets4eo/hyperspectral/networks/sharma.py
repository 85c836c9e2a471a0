"""2-D convolutions over all bands on patches of 64 pixels (Sharma et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_dense, apply_linear, check_bands, measure_patch

WIDTHS = (96, 256, 512)
HIDDEN = 1024
DROPOUT = 0.5


class Sharma(PatchClassifier):
    """Sharma et al. 2016: three convolutions over all maps, two of them strided and pooled, and two linear layers.

    patch_px : 56 at least; of 64 pixels the poolings leave out the last eight rows and columns.
    Errors: InputError for smaller patches.

    >>> sum(parameter.numel() for parameter in Sharma(103, 9).parameters())
    2292905
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 64) -> None:
        check_bands("Sharma et al. 2016", in_channels, lambda bands: bands)
        first, second, third = WIDTHS
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, first, 6, stride=2), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, stride=2), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(second, third, 3), nn.ReLU(),
        ]  # fmt: skip
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 2 * sum(WIDTHS) + HIDDEN)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        self.hidden = nn.Linear(third * geometry.side_px**2, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(HIDDEN, num_classes)
        initialise(self.modules(), nn.init.kaiming_normal_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.dropout(self.hidden(self.features(patches).flatten(1))))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − b, w − b), b = before_px + after_px"""
        maps = apply_dense(self.features, cube)
        hidden = self.dropout(apply_linear(self.hidden, maps, self.geometry.side_px, self.geometry.dilation))
        return apply_linear(self.output, hidden, 1)
