"""What the training minimises: the loss of pixels inside buildings, and that of whole buildings.

Takes batches of `PairSamples`; returns one number. A batch without a labelled pixel costs 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.siamese.pooling import pool_batch
from deepnets4eo.damage.siamese.recipe import GradingSection
from deepnets4eo.training.criterion import class_weights
from deepnets4eo.training.losses import CrossEntropy, SumOfLosses

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
        grades = torch.zeros(len(means), dtype=torch.int64, device=logits.device)
        grades[index] = batch["mask"][building > 0]
        total: Tensor = self.cross_entropy.to(logits.device)(means, grades)
        return total
