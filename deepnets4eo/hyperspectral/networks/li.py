"""Two 3-D convolutions without pooling (Li et al. 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import apply_dense, apply_linear, check_bands, measure_patch, out_length


class Li(PatchClassifier):
    """Li, Zhang and Shen, Remote Sensing 2017: two 3-D convolutions, the second with twice the maps, and no pooling.

    patch_px : 5 at least. planes : maps of the first convolution; 16 in the comparison of Audebert et al. 2019, 2 in the
    original. Errors: InputError for less than 5 bands, smaller patches, or no planes.

    >>> sum(parameter.numel() for parameter in Li(103, 9).parameters())
    43401
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 5, planes: int = 16) -> None:
        if planes < 1:
            raise InputError(f"planes={planes} maps; expected at least 1 (published: 2 or 16).")
        layers: list[nn.Module] = [
            nn.Conv3d(1, planes, (7, 3, 3), padding=(1, 0, 0)), nn.ReLU(),
            nn.Conv3d(planes, 2 * planes, 3, padding=(1, 0, 0)), nn.ReLU(),
        ]  # fmt: skip
        check_bands("Li et al. 2017", in_channels, lambda bands: out_length(layers, bands, -3))
        geometry = measure_patch(layers, patch_px)
        super().__init__(patch_px, geometry.before_px, geometry.after_px, 4 * planes * in_channels)
        self.geometry, self.features = geometry, nn.Sequential(*layers)
        flat = 2 * planes * out_length(layers, in_channels, -3) * geometry.side_px**2
        self.output = nn.Linear(flat, num_classes)
        initialise(self.modules(), nn.init.xavier_uniform_, zero_bias=True)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        scores: Tensor = self.output(self.features(patches[:, None]).flatten(1))
        return scores

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits wherever the context lies inside. cube : (N, B, h, w) → (N, K, h − P + 1, w − P + 1)"""
        maps = apply_dense(self.features, cube[:, None]).flatten(1, 2)
        return apply_linear(self.output, maps, self.geometry.side_px)
