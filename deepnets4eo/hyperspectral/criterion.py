"""What patch networks minimise, and how they are watched during training.

Takes batches of `PatchLoader`; the loss is that of the class of the middle pixel, and for networks with `reconstruct` that
of the middle spectrum, which unlabelled pixels have as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.training.losses import SumOfLosses

WATCHED = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")


class PatchCriterion:
    """The loss of a patch network on a batch, and its scores on watched pixels.

    losses : name → weight. class_weights : (K,) factors; None: all alike.
    """

    def __init__(self, losses: Mapping[Any, float], class_weights: list[float] | None) -> None:
        self.loss = SumOfLosses(losses, class_weights)

    def step(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of one batch, () float32."""
        patches: Any = batch["patches"]
        if not hasattr(network, "reconstruct"):
            return self._classify(_call(network, "patch_scores", patches), batch["mask"])
        scores, reconstruction = _call(network, "reconstruct", patches)
        weight = float(network.reconstruction_weight)  # type: ignore[arg-type]
        return self._classify(scores, batch["mask"]) + weight * F.mse_loss(
            reconstruction.float(), _middle_spectra(network, patches)
        )

    @torch.no_grad()
    def watch(self, network: nn.Module, num_classes: int, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
        """Mean loss and overall scores on watched pixels; NaN without any."""
        device = next(network.parameters()).device
        matrix, total, count = ConfusionMatrix(num_classes), 0.0, 0
        for batch in batches:
            scores, mask = _call(network, "patch_scores", batch["patches"].to(device)), batch["mask"].to(device)
            total += float(self._classify(scores, mask)) * len(mask)
            count += len(mask)
            matrix.update(batch["mask"].numpy(), scores.argmax(dim=1).to(torch.uint8).cpu().numpy())
        loss = total / count if count else float("nan")
        return {"val_loss": loss} | {name: getattr(matrix, name) for name in WATCHED}

    def _classify(self, scores: Tensor, mask: Tensor) -> Tensor:
        self.loss.to(scores.device)
        loss: Tensor = self.loss(scores[..., None, None], mask.long()[:, None, None])
        return loss


def _middle_spectra(network: nn.Module, patches: Tensor) -> Tensor:
    """(N, B) spectra of the middle pixels, as the network takes them: normalised and reduced where its first part does that."""
    middle = patches.shape[-1] // 2
    pixels = patches[:, :, middle : middle + 1, middle : middle + 1]
    spectra: Tensor = network.spectra(pixels) if hasattr(network, "spectra") else pixels  # type: ignore[operator]
    return spectra[:, :, 0, 0]


def _call(network: nn.Module, method: str, patches: Tensor) -> Any:
    return getattr(network, method)(patches)
