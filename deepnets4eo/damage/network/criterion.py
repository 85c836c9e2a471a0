"""What the training minimises: the losses of pixels and buildings, or the ordinal loss of both heads.

Takes batches of windows (image_pre, image_post, mask, building); returns one number. A batch without a graded building
costs 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.network.architecture import PairOrPostNet
from deepnets4eo.damage.network.pooling import pool_batch
from deepnets4eo.damage.network.recipe import GradingSection
from deepnets4eo.training.losses import CrossEntropy, SumOfLosses, class_weights

NUM_GRADES = 4
MEMORY = 0.98  # of how often each grade was met, by batch
LARGEST_WEIGHT = 4.0

Batch = Mapping[str, Tensor]


class GradingCriterion:
    """Losses of logits on a batch.

    buildings : (K,) training buildings of each grade, from which class weights follow where the recipe sets them.
    """

    def __init__(self, train: GradingSection, legend: Legend, buildings: Sequence[int]) -> None:
        weights = class_weights(train, legend, buildings)
        self.pixel_loss, self.building_loss = SumOfLosses(dict(train.losses), weights), train.building_loss
        self.cross_entropy = CrossEntropy(None if weights is None else torch.tensor(weights, dtype=torch.float32))

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of one batch, () float32."""
        logits = network(torch.cat([batch["image_pre"], batch["image_post"]], dim=1)).float()
        self.pixel_loss.to(logits.device)
        loss: Tensor = self.pixel_loss(logits, batch["mask"], batch["valid"])
        if self.building_loss > 0:
            loss = loss + self.building_loss * self.of_buildings(logits, batch)
        return loss

    def of_buildings(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of mean logits over each building, every building counting the same but for class weights."""
        building = batch["building"] * (batch["mask"] != VOID) * batch["valid"]
        if not bool((building > 0).any()):
            return logits.sum() * 0.0
        means, index = pool_batch(logits, building)
        grades = _of_each(batch["mask"][building > 0], index, len(means))
        total: Tensor = self.cross_entropy.to(logits.device)(means, grades)
        return total


class OrdinalCriterion:
    """Binary cross-entropy at the borders (minor or worse, major or worse, destroyed), each grade counting the same.

    A window counts by the square root of its number of buildings.

    Parameters
    ----------
    post_loss
        Weight of the head of post alone, beside that of the pair.

    Examples
    --------
    ```python
    loss = OrdinalCriterion(post_loss=0.7).step(network, batch)
    ```
    """

    def __init__(self, post_loss: float) -> None:
        self.post_loss, self.met = post_loss, torch.ones(NUM_GRADES)

    def step(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch, () float32.

        Parameters
        ----------
        network
            A `PairOrPostNet`.
        batch
            image_pre, image_post, mask and building, as of `read_window`.
        """
        dates = torch.cat([batch["image_pre"], batch["image_post"]], dim=1).contiguous(
            memory_format=torch.channels_last
        )
        pair, post = cast(PairOrPostNet, network).both(dates)
        building = batch["building"]
        if not bool((building > 0).any()):
            return (pair.sum() + post.sum()) * 0.0
        means, index = pool_batch(pair.float(), building)
        inside = building > 0
        grades = _of_each(batch["mask"][inside], index, len(means))
        window = _of_each(inside.nonzero()[:, 0], index, len(means))
        weight = self._weight(grades) / window.bincount()[window].sqrt()  # a dense town is not all that is learnt
        loss = ordinal_loss(means, grades, weight)
        if self.post_loss > 0:
            loss = loss + self.post_loss * ordinal_loss(pool_batch(post.float(), building)[0], grades, weight)
        return loss

    def _weight(self, grades: Tensor) -> Tensor:
        """Weights (B,) by which every grade counts the same over the last batches."""
        self.met = MEMORY * self.met + torch.bincount(grades.cpu(), minlength=NUM_GRADES)
        factors = (self.met.mean() / self.met).clamp(1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
        return factors.to(grades.device)[grades]


def _of_each(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Values (B,) int64 of buildings from those of their pixels (n,), which are equal within a building."""
    out = torch.zeros(count, dtype=torch.int64, device=values.device)
    out[index] = values
    return out


def ordinal_loss(logits: Tensor, grades: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean over buildings of the binary cross-entropy at all borders, () float32.

    Parameters
    ----------
    logits
        (B, K) of the grades.
    grades
        (B,) int64.
    weight
        (B,) of the buildings.
    """
    odds = border_odds(logits)
    beyond = grades[:, None] > torch.arange(odds.shape[1], device=grades.device)
    losses = F.binary_cross_entropy_with_logits(odds, beyond.to(odds.dtype), reduction="none").sum(dim=1)
    return (losses * weight).sum() / weight.sum()


def border_odds(logits: Tensor) -> Tensor:
    """Return (B, K − 1) log-odds of lying beyond each border, from (B, K) logits of the grades; they never rise.

    Parameters
    ----------
    logits
        (B, K).

    Examples
    --------
    >>> border_odds(torch.zeros(1, 4)).exp().round(decimals=2).tolist()
    [[3.0, 1.0, 0.33000001311302185]]
    """
    borders = range(1, logits.shape[1])
    return torch.stack([logits[:, k:].logsumexp(dim=1) - logits[:, :k].logsumexp(dim=1) for k in borders], dim=1)
