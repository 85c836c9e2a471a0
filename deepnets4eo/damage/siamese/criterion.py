"""What the training minimises: the loss of pixels inside buildings, and that of whole buildings.

Takes batches of `PairReader`; gives one number. A batch without a labelled pixel costs 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.damage.siamese.pooling import pool_batch
from deepnets4eo.damage.siamese.recipe import GradingSection
from deepnets4eo.legend import VOID, Legend
from deepnets4eo.training.losses import SumOfLosses, median_frequency

Batch = Mapping[str, Tensor]


class GradingCriterion:
    """Losses of logits on a batch.

    buildings : (K,) training buildings of each grade, from which class weights follow where the recipe asks for them.
    """

    def __init__(self, train: GradingSection, legend: Legend, buildings: Sequence[int]) -> None:
        weights = _class_weights(train, legend, buildings)
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.pixel_loss, self.building_loss = SumOfLosses(dict(train.losses), weights), train.building_loss

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
        means, place = pool_batch(logits, building)
        grades = torch.zeros(len(means), dtype=torch.int64, device=logits.device)
        grades[place] = batch["mask"][building > 0]
        weights = None if self.weights is None else self.weights.to(logits.device)
        total = F.cross_entropy(means, grades, weight=weights, reduction="sum")
        return total / (len(grades) if weights is None else weights[grades].sum().clamp_min(1e-12))


def _class_weights(train: GradingSection, legend: Legend, buildings: Sequence[int]) -> list[float] | None:
    """Factors (K,) by grade; None where the recipe asks for none. LabelError for unknown names."""
    if train.class_weighting == "none" and not train.class_weights:
        return None
    weights = median_frequency(buildings) if train.class_weighting == "median_frequency" else [1.0] * legend.num_classes
    for name, factor in train.class_weights.items():
        weights[legend.index(name)] *= factor
    return weights
