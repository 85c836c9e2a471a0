"""Windows without labels beside labelled ones, and what training on them adds to the loss (the methods of `consistency`).

Refuses trainings in which nothing is without labels, scenes unlike those of training, and networks with own losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.training.augmentation import is_image
from deepnets4eo.training.batch_changes import cut_mix, relight, strong_in_place
from deepnets4eo.training.consistency import Consistency
from deepnets4eo.training.data import OTHER_DRAWS, Sample, Samples, SceneSamples
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.scenes import NamedScene, open_layers
from deepnets4eo.training.splits import TRAIN, DataSplit, SplitRule, assign_blocks

Batch = Mapping[str, Tensor]
Step = Callable[[nn.Module, Batch], Tensor]

BEFORE = "unlabelled_"  # the names of their arrays
LEAST_SHARE = 0.01  # of the training part's pixels: less is nothing to learn from


@dataclass(frozen=True)
class WithUnlabelled:
    """Samples of which each has `ratio` further ones, stacked: the arrays of `further` as `unlabelled_NAME` (ratio, …)."""

    samples: Samples
    further: Samples
    ratio: int

    def windows(self, epoch: int) -> list[Any]:
        """The windows of an epoch, in order."""
        others = [self.further.windows(self.ratio * epoch + number) for number in range(self.ratio)]
        return list(zip(self.samples.windows(epoch), *others, strict=True))

    def read(self, window: tuple[Any, ...]) -> Sample:
        """A labelled window and its further ones."""
        further = [self.further.read(one) for one in window[1:]]
        return self.samples.read(window[0]) | {
            BEFORE + name: np.stack([one[name] for one in further]) for name in further[0]
        }


class WithoutTarget(SceneSamples):
    """Windows of scenes drawn by area, images alone."""

    def target(self, layers: Mapping[str, NDArray[Any]], labelled: NDArray[np.bool_]) -> Sample:
        """None."""
        return {}


def further_windows(split: DataSplit[Any], inputs: InputSpec, recipe: Recipe, labelled_pixels: int) -> SceneSamples:
    """Windows of the training part and of `data.unlabelled`, by area; InputError without such, or for other bands or pixels."""
    data = recipe.data
    if not data.unlabelled:
        _check_left_out(split, labelled_pixels, recipe)
    further: list[NamedScene] = []
    if data.unlabelled:
        patterns = {name: pattern for name, pattern in data.layers.items() if name in inputs.layers}
        named = data.model_copy(update={"folders": data.unlabelled, "scenes": (), "layers": patterns})
        further = open_layers(named, inputs.names)
        for one in further:
            inputs.check(one.scene)
    by_area = data.model_copy(update={"sampling": "random"})
    splits = [*split.splits, *assign_blocks(further, SplitRule(split.kind, 0.0, 0))]
    samples = WithoutTarget(
        DataSplit([*split.scenes, *further], splits, split.kind), inputs, recipe.model_copy(update={"data": by_area})
    )
    samples.seed += OTHER_DRAWS
    return samples


def _check_left_out(split: DataSplit[Any], labelled_pixels: int, recipe: Recipe) -> None:
    pixels = sum(int(split.mask(number, TRAIN, whole(named.grid)).sum()) for number, named in enumerate(split.scenes))
    if pixels - labelled_pixels < LEAST_SHARE * pixels:
        raise InputError(
            f"unlabelled.method={recipe.unlabelled.method} learns from pixels without labels, but all of the training part is labelled. Name "
            "folders of further scenes in data.unlabelled, or leave the method out."
        )


class UnlabelledCriterion:
    """The loss of a batch by its labels (`supervised`) and of windows without them, by the network's part `consistency` until `detach`."""

    def __init__(
        self,
        supervised: Step,
        recipe: Recipe,
        layers: Sequence[str],
        network: nn.Module,
        num_classes: int,
        pool: Callable[[Tensor, Batch], Tensor] | None = None,
    ) -> None:
        if any(hasattr(part, "masks_for") or hasattr(part, "extra_loss") for part in network.modules()):
            raise InputError(
                f"unlabelled.method={recipe.unlabelled.method} does not go with networks that have a loss of their own (co-teaching, distance "
                "heads, the loss contrastive). Choose one of them."
            )
        if isinstance(network, nn.Sequential):  # what is added to it would become a layer
            raise InputError(
                f"the network {recipe.model.network} is a plain chain of layers, beside which nothing can be remembered. Put it into a module of "
                "its own, or leave unlabelled.method out."
            )
        self.supervised, self.layers, self.pool = supervised, list(layers), pool
        self.photometric = recipe.train.photometric
        network.consistency = Consistency(recipe.unlabelled, num_classes, 0)

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of one batch, () float32."""
        return self.supervised(network, batch) + self.of_unlabelled(network, batch)

    def of_unlabelled(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of the windows without labels; each has a square of another one."""
        keeper: Any = network.consistency
        layers = {name: batch[BEFORE + name].flatten(0, 1) for name in self.layers}
        valid = batch[BEFORE + "valid"].flatten(0, 1)
        first = self._view(layers, valid)
        mix = cut_mix(first) if self.pool is None else _as_it_is
        counted = mix(valid)

        def rows(logits: Tensor) -> Tensor:
            return logits.movedim(1, -1)[counted] if self.pool is None else self.pool(logits, batch)

        with torch.no_grad():
            q = rows(mix(_main_scores(network, first))).softmax(dim=1)
        compared = rows(_main_scores(network, mix(self._view(layers, valid, strong_in_place))))
        loss: Tensor = keeper.loss(compared, q, torch.arange(len(q)))
        return loss

    def detach(self, network: nn.Module) -> None:
        """Take what only training needs out of the network."""
        del network.consistency

    def _view(
        self, layers: Mapping[str, Tensor], valid: Tensor, change: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """(U, C, H, W): images under another light, each date by itself, and changed; heights as they are."""
        seen = []
        for name, layer in layers.items():
            if is_image(name):
                layer = relight(layer, self.photometric)
                layer = layer if change is None else change(layer)
            seen.append(layer)
        return torch.cat(seen, dim=1) * valid[:, None]


def _main_scores(network: nn.Module, images: Tensor) -> Tensor:
    output = network(images)
    main: Tensor = output[0] if isinstance(output, tuple) else output
    return main.float()


def _as_it_is(values: Tensor) -> Tensor:
    return values
