"""The distance head: a network estimates how far each pixel is from the borders of each class, then its class.

Takes the maps before a network's last layer; returns scores, and in training a loss of its own beside them.
A head of any network of the toolbox: `model.options={head: distance}`. Refuses settings that leave nothing to learn.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.distance import CLIP_PX, check_clip, window_targets
from deepnets4eo.segmenters.score_layer import replace_last_layer


class DistanceHead(nn.Module):
    """Signed distances estimated from the maps, and scores from maps and distances together.

    Distances pass a hard tanh, as their truth does; the scores are made from them, too, so that the classes train
    them. In training the last estimate is kept until `extra_loss` has compared it with the truth.
    Source: Audebert, Boulch, Le Saux, Lefèvre, CVIU 2019.

    Parameters
    ----------
    in_channels
        Channels of the maps.
    num_classes
        Classes K.
    clip_px
        Pixels beyond which all distances are equal, at least 1.
    weight
        λ of CE + λ · L1, at least 0.
    kernel
        Odd side of both layers, in pixels.

    Raises
    ------
    InputError
        Settings outside these ranges.

    Examples
    --------
    >>> head = DistanceHead(64, 6)
    >>> head(torch.zeros(1, 64, 32, 32)).shape
    torch.Size([1, 6, 32, 32])
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, clip_px: int = CLIP_PX, weight: float = 1.0, kernel: int = 3
    ) -> None:
        super().__init__()
        check_clip(clip_px)
        if weight < 0 or kernel < 1 or kernel % 2 == 0:
            raise InputError(f"a distance head got weight={weight}, kernel={kernel}; expected at least 0, and odd.")
        self.clip_px, self.weight = clip_px, weight
        self.distance = nn.Conv2d(in_channels, num_classes, kernel, padding=kernel // 2)
        self.scores = nn.Conv2d(in_channels + num_classes, num_classes, kernel, padding=kernel // 2)
        self.estimate: Tensor | None = None

    def forward(self, maps: Tensor) -> Tensor:
        """maps : (N, in_channels, H, W) · returns : scores (N, K, H, W)."""
        estimate = F.hardtanh(self.distance(maps))
        self.estimate = estimate if self.training else None
        scores: Tensor = self.scores(torch.cat([maps, estimate], dim=1))
        return scores

    def extra_loss(self, mask: Tensor) -> Tensor:
        """λ · mean of |estimate − truth| over the pixels and classes whose truth is known in the window, () float32.

        mask : (N, H, W) int64, void 255, of the last batch in training; each estimate is compared once.
        """
        if self.estimate is None:
            raise InputError(
                "a distance head has no loss before a batch in training. Run the network on one in training mode first."
            )
        estimate, self.estimate = self.estimate.float(), None
        height, width = mask.shape[1:]
        if estimate.shape[-1] < width:  # the network enlarges its scores afterwards
            estimate = F.interpolate(estimate, (height, width), mode="bilinear", align_corners=True)
        truth, known = window_targets(mask, estimate.shape[1], self.clip_px)
        apart = (estimate[:, :, :height, :width] - truth).abs() * known
        return self.weight * apart.sum() / known.sum().clamp_min(1)


def add_distance_head(
    network: nn.Module, num_classes: int, *, clip_px: int = CLIP_PX, weight: float = 1.0
) -> nn.Module:
    """Replace a network's last layer by a distance head with its kernel, in place; see `replace_last_layer`.

    Errors: InputError where there is no such layer.

    >>> from deepnets4eo.segmenters.networks import create_model
    >>> network = create_model("unet", in_channels=3, num_classes=6, encoder="resnet18", head="distance")
    >>> isinstance(network.segmentation_head[0], DistanceHead)
    True
    """

    def build(layer: nn.Conv2d) -> DistanceHead:
        kernel = int(layer.kernel_size[0])
        return DistanceHead(layer.in_channels, num_classes, clip_px=clip_px, weight=weight, kernel=kernel)

    return replace_last_layer(network, num_classes, build)
