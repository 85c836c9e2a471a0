"""Snapshots as samples of the one trainer, and as batches to validate on.

Takes rendered views; returns layers (C, H, W) float32, valid (H, W) bool and mask (H, W) uint8. All draws follow from
(seed, epoch). In a view to learn from, faces of validation points are not valid, and only training points have a label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deepnets4eo.cards.legend import VOID
from deepnets4eo.points.cloud_data import LEARNT, WITHHELD
from deepnets4eo.points.snapnet.recipe import COMPOSITE
from deepnets4eo.points.snapnet.rendering import BORDER, LABELS, NOTHING, PART, RenderedViews
from deepnets4eo.training.data import Sample, read_ahead
from deepnets4eo.training.recipe import Recipe


class ViewWindow(NamedTuple):
    """A view of an epoch, and what the third band of its composite is multiplied by."""

    number: int
    third_factor: float = 1.0


class ViewSamples:
    """Views to learn from, each as often as any other; the third band of each composite is multiplied by a random
    factor between 1 by `third_factor` and `third_factor`."""

    def __init__(self, rendered: RenderedViews, recipe: Recipe, third_factor: float = 1.0) -> None:
        self.rendered, self.count, self.seed = rendered, recipe.data.windows_per_epoch, recipe.train.seed
        self.largest = math.log(third_factor)

    def windows(self, epoch: int) -> list[ViewWindow]:
        """The views of an epoch: all of them in random order, again and again."""
        rng = np.random.default_rng([self.seed, epoch])
        rounds = -(-self.count // len(self.rendered.learnt))
        order = np.concatenate([rng.permutation(self.rendered.learnt) for _ in range(rounds)])
        factors = np.exp(rng.uniform(-self.largest, self.largest, self.count))
        return [
            ViewWindow(int(number), float(factor)) for number, factor in zip(order[: self.count], factors, strict=True)
        ]

    def read(self, window: ViewWindow) -> Sample:
        """A view to learn from."""
        return read_view(self.rendered, window.number, LEARNT, window.third_factor)


@dataclass(frozen=True)
class ValidationViews:
    """Batches of the views that show validation points, read ahead by `workers` threads; the labels of others are void."""

    rendered: RenderedViews
    batch_size: int
    workers: int = 0

    def __iter__(self) -> Iterator[Sample]:
        numbers = self.rendered.withheld

        def batch(index: int) -> Sample:
            chosen = numbers[index * self.batch_size : (index + 1) * self.batch_size]
            views = [read_view(self.rendered, number, WITHHELD) for number in chosen]
            return {name: np.stack([view[name] for view in views]) for name in views[0]}

        return read_ahead(batch, range(-(-len(numbers) // self.batch_size)), self.workers)


def read_view(rendered: RenderedViews, number: int, part: int, third_factor: float = 1.0) -> Sample:
    """Return a scaled snapshot by layers with `valid` and the labels of one split (LEARNT or WITHHELD) as `mask`;
    withheld faces are hidden from what is learnt."""
    layers = rendered.store.read(number)
    if third_factor != 1 and COMPOSITE in layers:
        third = layers[COMPOSITE][2]
        layers[COMPOSITE][2] = np.minimum(np.rint(third * np.float32(third_factor)), 255)
    parts = layers[PART]
    hidden = (NOTHING, WITHHELD, BORDER) if part == LEARNT else (NOTHING,)
    valid = ~np.isin(parts, hidden)
    prepared = rendered.inputs.prepare(layers | {"valid": valid})
    ends = np.cumsum([len(layer.bands) for layer in rendered.inputs.layers.values()])
    sample: Sample = dict(zip(rendered.inputs.names, np.split(prepared, ends[:-1]), strict=True))
    return sample | {"mask": np.where(parts == part, layers[LABELS], np.uint8(VOID)), "valid": valid}
