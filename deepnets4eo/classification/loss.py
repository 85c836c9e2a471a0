"""The loss of a batch of whole images: of labelled ones, of unlabelled ones by consistency, or by a teacher's embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.cards import Legend
from deepnets4eo.classification.batch_changes import Consistency, relight, strong, weak
from deepnets4eo.classification.batches import TrainingImages
from deepnets4eo.training import SumOfLosses, class_weights, loss_of_scores


class ImageCriterion:
    """The loss of a batch: of its labelled images and, with `unlabelled.method`, of the others."""

    def __init__(self, material: TrainingImages, legend: Legend, network: nn.Module) -> None:
        recipe, split = material.recipe, material.split
        self.train, self.several, self.label_weight = recipe.train, material.several, recipe.teacher.label_weight
        counts = material.targets[split.labelled].sum(axis=0)
        weights = class_weights(recipe.train, legend, counts)
        self.weights = None if weights is None else torch.tensor(weights)
        self.loss = SumOfLosses(recipe.train.losses, weights)
        self.consistency = recipe.unlabelled.method != "none"
        if self.consistency:
            number = material.targets.shape[1]
            network.consistency = Consistency(recipe.unlabelled, number, len(material.unlabelled))

    def step(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch, () float32."""
        net: Any = network
        images = self._weak(batch["image"])
        if self.train.photometric:
            images = relight(images, self.train.photometric)
        images = images.contiguous(memory_format=torch.channels_last)  # 1.2 times as fast on CPUs
        if "taught" in batch:
            return self._follow(net, images, batch)
        if not self.consistency:
            return self._supervised(network, net.patch_scores(images), batch["target"])
        keeper: Consistency = net.consistency
        first = self._weak(batch["unlabelled"])
        second = self._weak(batch["unlabelled"])
        together = [images, first, strong(second)]
        seen = torch.cat(together).contiguous(memory_format=torch.channels_last)
        logits = net.patch_scores(seen).float().split([len(part) for part in together])
        q = logits[1].detach().softmax(dim=1)
        return self._supervised(network, logits[0], batch["target"]) + keeper.loss(logits[-1], q, batch["rows"])

    def _follow(self, network: Any, images: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Squared distance to the teacher's embeddings, and the loss of the labels through its last layer."""
        features, known = network.features(images).float(), batch["known"]
        apart = (F.normalize(features, dim=1) - batch["taught"]).square().sum(dim=1).mean()
        if not bool(known.any()):
            return apart
        logits = network.head(features[known])
        return apart + self.label_weight * self._supervised(network, logits, batch["target"][known])

    def detach(self, network: nn.Module) -> None:
        """Take what only training needs out of the network."""
        if self.consistency:
            del network.consistency

    def _weak(self, images: Tensor) -> Tensor:
        train = self.train
        if self.consistency:
            return weak(images, flips=train.flips, rotations=train.rotations)
        return weak(images, flips=train.flips, rotations=train.rotations, shift=0.0)

    def _supervised(self, network: nn.Module, logits: Any, target: Tensor) -> Tensor:
        """Return the loss of labelled images: logits (N, K), or several of them; target (N, K) bool."""
        if self.several:
            weights = None if self.weights is None else self.weights.to(logits.device)
            return F.binary_cross_entropy_with_logits(logits.float(), target.float(), weight=weights)
        return loss_of_scores(network, self.loss, logits, target.byte().argmax(dim=1))
