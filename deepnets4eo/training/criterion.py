"""What segmentation minimises and how it is validated.

Takes batches of `ClassSamples`; layers are concatenated in the segmenter's order. Trusts its input.
A network may return several logits in training, the main ones first (deep supervision): their losses are summed.
A part of it with `extra_loss(mask)` adds to them, as distance heads and the contrastive loss do; where not valid, the
mask is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.training.data import Sample, to_tensors
from deepnets4eo.training.losses import SumOfLosses, median_frequency
from deepnets4eo.training.recipe import ON_FEATURES, TrainSection

Batch = Mapping[str, Tensor]


class SegmentationCriterion:
    """The loss of the logits of a network on a batch, and its scores over a validation set; `pixels` (K,) are training
    pixels of each class."""

    def __init__(self, train: TrainSection, legend: Legend, layers: Sequence[str], pixels: Sequence[int]) -> None:
        self.layers, self.num_classes = list(layers), legend.num_classes
        self.monitor = class_of_monitor(train, legend)
        of_scores = {name: weight for name, weight in train.losses.items() if name != ON_FEATURES}
        self.loss = SumOfLosses(of_scores, class_weights(train, legend, pixels))

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of one batch, () float32."""
        return self._evaluate(network, batch)[0]

    def validate(self, network: nn.Module, batches: Iterable[Sample]) -> dict[str, float]:
        """Mean loss over the batches that have labels, and scores of one confusion matrix: the overall ones, and the F1 monitored."""
        device, losses = next(network.parameters()).device, []
        counts = torch.zeros(self.num_classes**2 + 1, dtype=torch.int64, device=device)
        for batch in batches:
            moved = {name: layer.to(device, non_blocking=True) for name, layer in to_tensors(batch).items()}
            loss, logits = self._evaluate(network, moved)
            if bool(((batch["mask"] != VOID) & batch["valid"]).any()):  # NumPy's: nothing waits for the device
                losses.append(loss)
            self._count(counts, moved["mask"], logits)
        matrix = ConfusionMatrix.from_matrix(counts[:-1].reshape(self.num_classes, self.num_classes).cpu().numpy())
        mean = sum(torch.stack(losses).tolist()) / len(losses) if losses else 0.0
        names = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")
        of_class = {name: float(matrix.f1[index]) for name, index in self.monitor.items()}
        return {"val_loss": mean} | {name: getattr(matrix, name) for name in names} | of_class

    def _count(self, counts: Tensor, mask: Tensor, logits: Tensor) -> None:
        """Add (reference, prediction) pairs to counts (K² + 1,) on the device; the last of them is for void."""
        pairs = mask.long() * self.num_classes + logits.argmax(dim=1)
        pairs = pairs.masked_fill_(mask == VOID, len(counts) - 1).flatten()
        counts.index_add_(0, pairs, torch.ones_like(pairs))

    def _evaluate(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = network(torch.cat([batch[name] for name in self.layers], dim=1))
        several = output if isinstance(output, tuple) else (output,)
        self.loss.to(several[0].device)
        target = batch["mask"].long()  # bytes until here: an eighth of the way to a GPU
        losses = [self.loss(logits, target, batch["valid"]) for logits in several]
        if network.training:
            mask = target.masked_fill(~batch["valid"], VOID)
            extra: list[Any] = [part for part in network.modules() if hasattr(part, "extra_loss")]
            losses += [part.extra_loss(mask) for part in extra]
        return torch.stack(losses).sum(), several[0]


def class_of_monitor(train: TrainSection, legend: Legend) -> dict[str, int]:
    """The score `f1.CLASS` that a recipe monitors and its class index; empty for others. Errors: LabelError for an unknown class."""
    _, dot, name = train.monitor.partition(".")
    return {train.monitor: legend.index(name)} if dot else {}


def class_weights(train: TrainSection, legend: Legend, pixels: Sequence[int]) -> list[float] | None:
    """Factors (K,) on the loss of each class; None where the recipe has none. Errors: LabelError for unknown names."""
    if train.class_weighting == "none" and not train.class_weights:
        return None
    weights = median_frequency(pixels) if train.class_weighting == "median_frequency" else [1.0] * legend.num_classes
    for name, factor in train.class_weights.items():
        weights[legend.index(name)] *= factor
    return weights
