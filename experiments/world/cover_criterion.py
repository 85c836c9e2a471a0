"""What the networks for one image minimise, and how they are validated: land cover and buildings in one pass.

Takes batches of `WindowCutter`; the network's first outputs are the classes of land cover, the others those of buildings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepnets4eo.cards import Legend
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.training import SumOfLosses, TrainSection
from world.windows import BORDER, BUILDING

Sample = dict[str, NDArray[Any]]

SHIFTS = np.arange(-1.0, 2.01, 0.1)  # of the background's logit, which are tried
BUILDING_WEIGHTS = (1.0, 1.0, 2.0)  # background, building, border: borders are thin
LANDCOVER, BUILDINGS = Legend.load("landcover"), Legend.load("buildings")


class CoverCriterion:
    """The sum of the losses of land cover and of buildings; `losses` of the training section hold for both.

    >>> criterion = CoverCriterion(TrainSection())
    >>> batch = {"mask": torch.zeros(1, 4, 4, dtype=torch.uint8), "buildings": torch.ones(1, 4, 4, dtype=torch.uint8)}
    >>> batch |= {"image": torch.zeros(1, 3, 4, 4), "valid": torch.ones(1, 4, 4, dtype=torch.bool)}
    >>> round(criterion.step(nn.Conv2d(3, 10, 1, bias=False), batch).item(), 2)
    3.04
    """

    def __init__(self, train: TrainSection) -> None:
        self.cover = SumOfLosses(train.losses)
        self.buildings = SumOfLosses(train.losses, BUILDING_WEIGHTS)

    def step(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch of stacked `WindowCutter` samples; the network maps (N, 3, H, W) to logits (N, 7
        + 3, H, W)."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        logits = network(image)
        self.cover.to(logits.device)
        self.buildings.to(logits.device)
        cover, buildings = torch.split(logits, [LANDCOVER.num_classes, BUILDINGS.num_classes], dim=1)
        loss = self.cover(cover, batch["mask"].long(), batch["valid"])
        return loss + self.buildings(buildings, batch["buildings"].long(), batch["valid"])


class CoverScorer:
    """Scores on windows that stay the same, pairs of style and sample: of land cover, of buildings, and of buildings by
    style."""

    def __init__(self, windows: Iterable[tuple[str, Sample]], batch_size: int = 8) -> None:
        self.windows, self.batch_size = list(windows), batch_size

    def __call__(self, segmenter: NetworkSegmenter) -> dict[str, float]:
        """Return mean_iou and overall_accuracy of land cover, f1.building, iou.building (borders included), f1.border
        and iou.STYLE over all windows; NaN where there is none."""
        cover = ConfusionMatrix(LANDCOVER.num_classes)
        borders = ConfusionMatrix(BUILDINGS.num_classes)
        styles = {style: ConfusionMatrix(2) for style, _ in self.windows}
        for several, logits in self._batches(segmenter.module):
            classes, buildings = (part.argmax(dim=1).to(torch.uint8).cpu().numpy() for part in logits)
            for (style, sample), class_map, building_map in zip(several, classes, buildings, strict=True):
                cover.update(sample["mask"], class_map)
                borders.update(sample["buildings"], building_map)
                styles[style].update(_without_border(sample["buildings"]), _without_border(building_map))
        whole = ConfusionMatrix.from_matrix(np.sum([matrix.matrix for matrix in styles.values()], axis=0))
        scores = {"mean_iou": cover.mean_iou, "overall_accuracy": cover.overall_accuracy}
        scores |= {"f1.building": float(whole.f1[1]), "iou.building": float(whole.iou[1])}
        scores |= {"f1.border": float(borders.f1[BORDER])}
        return scores | {f"iou.{style}": float(matrix.iou[1]) for style, matrix in sorted(styles.items())}

    def best_shift(self, segmenter: NetworkSegmenter) -> float:
        """Return the shift of `SHIFTS` that, taken from the logit of the background, gives the best IoU of building
        pixels. Buildings are rarer than their background, so a network that is not yet sure names too few."""
        matrices = [ConfusionMatrix(2) for _ in SHIFTS]
        for several, (_, logits) in self._batches(segmenter.module):
            odds = (logits[:, BUILDING:].amax(dim=1) - logits[:, 0]).cpu().numpy()
            truth = _without_border(np.stack([sample["buildings"] for _, sample in several]))
            for matrix, shift in zip(matrices, SHIFTS, strict=True):
                matrix.update(truth, (odds > -shift).astype(np.uint8))
        return float(SHIFTS[int(np.nanargmax([matrix.iou[BUILDING] for matrix in matrices]))])

    def _batches(self, module: nn.Module) -> Iterator[tuple[list[tuple[str, Sample]], tuple[Tensor, Tensor]]]:
        """Several windows at a time, with the logits of their land cover and of their buildings."""
        for start in range(0, len(self.windows), self.batch_size):
            several = self.windows[start : start + self.batch_size]
            yield several, _logits(module, np.stack([sample["image"] for _, sample in several]))


def _without_border(buildings: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Building or not; borders count as building."""
    return np.where(buildings == BORDER, np.uint8(BUILDING), buildings)


def _logits(module: nn.Module, images: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) → logits of land cover and of buildings, (N, classes, H, W) float32 each."""
    first = next(module.parameters())
    batch = torch.from_numpy(images).to(first.device).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        cover, buildings = torch.split(module(batch).float(), [LANDCOVER.num_classes, BUILDINGS.num_classes], dim=1)
    return cover, buildings
