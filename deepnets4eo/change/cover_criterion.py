"""What networks of change and land cover minimise, and how both are scored.

Takes batches of `CoverSamples`; a network of `CoverAndChange`. Trusts its input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepnets4eo.cards.legend import Legend
from deepnets4eo.change.cover_samples import COVERS
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.training.criterion import class_of_monitor, class_weights
from deepnets4eo.training.data import Sample
from deepnets4eo.training.losses import SumOfLosses, median_frequency
from deepnets4eo.training.recipe import TrainSection

Batch = Mapping[str, Tensor]
OVERALL = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")


class CoverCriterion:
    """Losses of change, of land cover, or of both, for networks of the kind `CoverAndChange`. `pixels` are training
    pixels of no change and change, `cover_pixels` (L,) those of land cover, None where it is not weighted."""

    def __init__(
        self,
        train: TrainSection,
        layers: Sequence[str],
        legend: Legend,
        pixels: Sequence[int],
        cover_pixels: Sequence[int] | None,
    ) -> None:
        self.layers, self.legend = list(layers), legend
        self.of_class = class_of_monitor(train, legend)
        self.change_loss = SumOfLosses(train.losses, class_weights(train, legend, pixels))
        weights = None if cover_pixels is None else median_frequency(cover_pixels)
        self.cover_loss = SumOfLosses(train.losses, weights)

    def step_cover(self, network: Any, batch: Batch) -> Tensor:
        """Loss of land cover at both dates, () float32."""
        return self._cover_losses(network.forward_cover(self._dates(batch)), batch).sum()

    def step_change(self, network: Any, batch: Batch) -> Tensor:
        """Loss of change alone, () float32."""
        return self._change_loss(network.forward_all(self._dates(batch))[0], batch)

    def step_both(self, network: Any, batch: Batch, *, cover_weight: float) -> Tensor:
        """Loss of change plus `cover_weight` times those of land cover, () float32."""
        change, *covers = network.forward_all(self._dates(batch))
        return self._change_loss(change, batch) + cover_weight * self._cover_losses(covers, batch).sum()

    def _dates(self, batch: Batch) -> Tensor:
        return torch.cat([batch[name] for name in self.layers], dim=1)

    def _change_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        loss: Tensor = self.change_loss.to(logits.device)(logits, batch["mask"].long(), batch["valid"])
        return loss

    def _cover_losses(self, logits: Sequence[Tensor], batch: Batch) -> Tensor:
        loss = self.cover_loss.to(logits[0].device)
        pairs = zip(logits, COVERS, strict=True)
        return torch.stack([loss(one, batch[name].long(), batch["valid"]) for one, name in pairs])


def score_covers(
    segmenter: NetworkSegmenter, batches: Iterable[Sample], covers: int, *, margin_px: int
) -> dict[str, ConfusionMatrix]:
    """Confusion matrices of change, of land cover at both dates, and of the pairs from → to, over a validation part."""
    matrices = {"change": ConfusionMatrix(2), "cover": ConfusionMatrix(covers), "from_to": ConfusionMatrix(covers**2)}
    for batch in batches:
        stack = np.concatenate([batch[name] for name in segmenter.inputs.names], axis=1)
        pairs = segmenter.predict_classes(stack, margin_px=margin_px)
        height, width = pairs.shape[1:]
        inner = np.s_[:, margin_px : margin_px + height, margin_px : margin_px + width]
        pre, post = pairs // covers, pairs % covers
        mask, cover_pre, cover_post = (batch[name][inner] for name in ("mask", *COVERS))
        matrices["change"].update(mask, (pre != post).astype(np.uint8))
        matrices["cover"].update(cover_pre, pre).update(cover_post, post)
        known = (cover_pre < covers) & (cover_post < covers)
        reference = np.where(known, cover_pre.astype(np.int64) * covers + cover_post, 255)
        matrices["from_to"].update(reference, pairs)
    return matrices


def overall(matrix: ConfusionMatrix) -> dict[str, float]:
    """The overall scores of a matrix."""
    return {name: float(getattr(matrix, name)) for name in OVERALL}
