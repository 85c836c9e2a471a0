"""What segmentation minimises and how it is validated.

Takes batches of `ClassSamples`; layers are concatenated in the segmenter's order. Trusts its input.
A network may return several logits in training, the main ones first (deep supervision): their losses are summed.
A part of it with `extra_loss(mask)` adds to them, as distance heads do; where not valid, the mask is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.training.losses import SumOfLosses, median_frequency
from deepnets4eo.training.recipe import TrainSection

Batch = Mapping[str, Tensor]


class SegmentationCriterion:
    """The loss of a network's logits on a batch, and its scores over a validation set.

    layers : names in the order of the segmenter's inputs. pixels : (K,) training pixels of each class.
    """

    def __init__(self, train: TrainSection, legend: Legend, layers: Sequence[str], pixels: Sequence[int]) -> None:
        self.layers, self.num_classes = list(layers), legend.num_classes
        self.loss = SumOfLosses(dict(train.losses), class_weights(train, legend, pixels))

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of one batch, () float32."""
        return self._evaluate(network, batch)[0]

    def validate(self, network: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean loss over the batches that have labels, and the overall scores of one confusion matrix."""
        matrix, losses = ConfusionMatrix(self.num_classes), []
        device = next(network.parameters()).device
        for batch in batches:
            moved = {name: layer.to(device) for name, layer in batch.items()}
            loss, logits = self._evaluate(network, moved)
            if bool(((batch["mask"] != VOID) & batch["valid"]).any()):
                losses.append(float(loss))
            matrix.update(batch["mask"].numpy(), logits.argmax(dim=1).cpu().numpy())
        names = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")
        return {"val_loss": sum(losses) / max(len(losses), 1)} | {name: getattr(matrix, name) for name in names}

    def _evaluate(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = network(torch.cat([batch[name] for name in self.layers], dim=1))
        several = output if isinstance(output, tuple) else (output,)
        self.loss.to(several[0].device)
        losses = [self.loss(logits, batch["mask"], batch["valid"]) for logits in several]
        if network.training:
            mask = batch["mask"].masked_fill(~batch["valid"], VOID)
            extra: list[Any] = [part for part in network.modules() if hasattr(part, "extra_loss")]
            losses += [part.extra_loss(mask) for part in extra]
        return torch.stack(losses).sum(), several[0]


def class_weights(train: TrainSection, legend: Legend, pixels: Sequence[int]) -> list[float] | None:
    """Factors (K,) on the loss of each class; None where the recipe has none. Errors: LabelError for unknown names."""
    if train.class_weighting == "none" and not train.class_weights:
        return None
    weights = median_frequency(pixels) if train.class_weighting == "median_frequency" else [1.0] * legend.num_classes
    for name, factor in train.class_weights.items():
        weights[legend.index(name)] *= factor
    return weights
