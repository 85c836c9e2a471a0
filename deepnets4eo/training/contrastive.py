"""The contrastive loss of Siamese change networks: features of both dates near each other where nothing changed, apart where it did.

Batch-balanced form (Chen and Shi, Remote Sensing 12(10), 2020) of the loss with a margin (Hadsell et al., CVPR 2006):

    L = ½ · mean of D² over unchanged pixels + ½ · mean of max(0, m − D)² over changed pixels,

D the Euclidean distance of both dates' features at a pixel, interpolated to the size of the labels, m the margin. Each
level of the encoder has such a loss; their mean counts. Pixels that are void or not valid do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import ON_FEATURES, TrainSection

CHANGE = "change"


class FeatureContrast(nn.Module):
    """Measures how far the features of two dates are apart in training, and the loss of that; it has no weights, so
    runs stay as they are. A network that offers it has an attribute `contrast` and calls it with the features of
    both dates. `margin` is the distance that is enough between changed pixels; published: 2.

    >>> contrast = FeatureContrast(weight=1.0, margin=2.0)
    >>> contrast([(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))])
    >>> contrast.extra_loss(torch.zeros(1, 2, 2, dtype=torch.int64))
    tensor(1.5000)
    """

    def __init__(self, weight: float = 1.0, margin: float = 2.0, change_index: int = 1) -> None:
        super().__init__()
        self.weight, self.margin, self.change_index = weight, margin, change_index
        self.distances: list[Tensor] = []

    def forward(self, levels: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Remember the distances of a batch in training. levels : features of pre and post, (N, C, h, w) each"""
        if self.training:
            self.distances = [
                torch.linalg.vector_norm(post.float() - pre.float(), dim=1, keepdim=True) for pre, post in levels
            ]

    def extra_loss(self, mask: Tensor) -> Tensor:
        """Return the weight times the mean loss of the levels of the last batch for a mask (N, H, W) of 0, 1 and void;
        each batch is compared once."""
        if not self.distances:
            raise InputError(
                "the contrastive loss has no features yet. Run the network on a batch in training mode first."
            )
        distances, self.distances = self.distances, []
        size = (int(mask.shape[1]), int(mask.shape[2]))
        losses = [
            contrastive_loss(_resize(distance, size)[:, 0], mask, margin=self.margin, change_index=self.change_index)
            for distance in distances
        ]
        return self.weight * torch.stack(losses).mean()


def contrastive_loss(distances: Tensor, mask: Tensor, *, margin: float = 2.0, change_index: int = 1) -> Tensor:
    """Return the batch-balanced contrastive loss of distances (N, H, W) and a mask of 0, 1 and void; a batch without
    pixels of one kind has no loss of that kind.

    >>> mask = torch.tensor([[[0, 0, 1, 255]]])
    >>> contrastive_loss(torch.tensor([[[1.0, 0.0, 0.5, 9.0]]]), mask, margin=2.0)
    tensor(1.3750)
    """
    changed = (mask == change_index).to(distances.dtype)
    unchanged = ((mask != change_index) & (mask != VOID)).to(distances.dtype)
    near = (unchanged * distances.square()).sum() / _counted(unchanged)
    apart = (changed * F.relu(margin - distances).square()).sum() / _counted(changed)
    return (near + apart) / 2


def set_contrastive_loss(network: nn.Module, train: TrainSection, legend: Legend) -> None:
    """Let a Siamese network measure the distance of its dates' features, where `losses` have "contrastive". Raises
    InputError for a network without features of two dates, or classes that are not no change and change."""
    weight = sum(value for name, value in train.losses.items() if name == ON_FEATURES)
    if weight <= 0:
        return
    names = [name.casefold() for name in legend.names]
    if len(names) != 2 or CHANGE not in names:
        raise InputError(
            f"train.losses has contrastive, which is defined for no change and change; the legend {legend.name!r} has "
            f"{', '.join(legend.names)}. Set legend: change, or leave contrastive out."
        )
    parts: Sequence[Any] = [part for part in network.modules() if hasattr(part, "contrast")]
    if not parts:
        raise InputError(
            f"train.losses has contrastive, which compares the features of two dates, but {type(network).__name__} has none "
            "apart. Choose fc-siam-conc, fc-siam-diff or change-encoder, or leave contrastive out."
        )
    for part in parts:
        part.contrast = FeatureContrast(weight, train.contrastive_margin, names.index(CHANGE))


def _resize(distances: Tensor, size: tuple[int, int]) -> Tensor:
    if (int(distances.shape[2]), int(distances.shape[3])) == size:
        return distances
    return F.interpolate(distances, size, mode="bilinear", align_corners=False)


def _counted(pixels: Tensor) -> Tensor:
    """How many pixels, at least 1; where several processes learn from one batch, their mean, as of cross-entropy."""
    number = pixels.sum()
    if torch.is_grad_enabled():
        number = Rank.current().mean(number)
    return number.clamp_min(1)
