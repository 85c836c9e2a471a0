"""How far rounding moves a network's scores, pixel by pixel.

Takes a network segmenter and prepared images; returns its scores and the range that they take when each layer is rounded
otherwise. Refuses networks whose scores are not finite.

Two runtimes add in another order, and so differ in the last digits. Where a pooling with indices has two values
that are equal but for those, the index is another one, and scores of nearby pixels differ at
sight, though both are right; repeated rows at a padded edge make such ties by the hundred. No tolerance fits all pixels
then, so the network itself is run with rounding added, several times what torch makes in most layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepnets4eo.arrays import Batch, Mask
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters.segmenter import NetworkSegmenter

# of a layer's largest value, evenly spread; torch's own, measured on SegNet and a U-Net: at most 2^-22 (root of the mean
# square; 2^-26 in most layers), 2^-18.6 at the worst single value
ROUNDING = 2.0**-19
LAST_DIGIT = 1e-6  # of the largest score
DECIDED = 1e-3  # of the largest score: where rounding moves scores by more, they are not decided
TIES = 16  # times as far as ordinary: beyond it, ties are at work


class RoundingRange:
    """Scores (N, K, h, w) of images (N, C, h, w), and the least and the largest of them over runs with rounding added.

    Memory: three times the scores, and one run of the network. Errors: RunError for scores that are not finite.
    """

    def __init__(self, segmenter: NetworkSegmenter, batch: Batch, runs: int) -> None:
        self.segmenter, self.batch, self.runs = segmenter, batch, 0
        self.scores = segmenter.predict_raw(batch)
        if not np.isfinite(self.scores).all():
            raise RunError(
                f"the network {segmenter.network} returns scores that are not finite on values as in its training data. "
                "Train it again, with a lower train.lr or with train.clip_norm=1."
            )
        self.low, self.high = self.scores.copy(), self.scores.copy()
        self.add_runs(runs)

    def add_runs(self, count: int) -> None:
        """Widen the range by so many runs; each number of a run has its own rounding, the same every time."""
        for seed in range(self.runs, self.runs + count):
            with added_rounding(self.segmenter.module, seed):
                scores = self.segmenter.predict_raw(self.batch)
            np.minimum(self.low, scores, out=self.low)
            np.maximum(self.high, scores, out=self.high)
        self.runs += count

    @property
    def width(self) -> Batch:
        """(N, h, w): how far rounding moves a pixel's scores, at least as far as it moves those of a tenth of the pixels."""
        width = (self.high - self.low).max(axis=1)
        return np.maximum(width, max(float(np.quantile(width, 0.1)), LAST_DIGIT * self._largest))

    @property
    def ordinary(self) -> float:
        """How far rounding moves scores where no tie falls otherwise; infinite where that is no small part of them."""
        least = float(self.width.min())
        return least if least <= DECIDED * self._largest else np.inf

    def decided_mask(self, ordinary: float) -> Mask:
        """(N, h, w): where float32 decides the scores, as rounding moves them `TIES` times as far as `ordinary` at most."""
        return self.width <= TIES * min(ordinary, DECIDED / TIES * self._largest)

    def explains(self, scores: Batch, ordinary: float) -> Mask:
        """(N, K, h, w): which other scores of the same images rounding explains; never those that are not a number.

        Where float32 decides, they lie in the range, or beside it by its width at most: a label then differs only where
        the two best scores are that close. Elsewhere nothing is compared: one runtime decides all ties in one way, and
        had scores seven widths beside those of random rounding.
        """
        width = self.width[:, None]
        beside = (scores >= self.low - width) & (scores <= self.high + width)
        return beside | (np.isfinite(scores) & ~self.decided_mask(ordinary)[:, None])

    @property
    def _largest(self) -> float:
        return float(np.abs(self.scores).max())


@contextmanager
def added_rounding(network: nn.Module, seed: int) -> Iterator[None]:
    """While open, results of layers with weights are off by a random share of their largest value, at most `ROUNDING`.

    Other layers round next to nothing. Zeros stay zeros, as they are exact: of equal ones all runtimes take the first.
    """
    generator = torch.Generator().manual_seed(seed)

    def add(layer: nn.Module, inputs: Any, result: Any) -> Any:
        if not isinstance(result, Tensor):
            return result
        off = torch.rand(result.shape, generator=generator).sub_(0.5).mul_(2 * ROUNDING).to(result)
        return result + off * result.abs().max() * (result != 0)

    layers = [one for one in network.modules() if not list(one.children()) and list(one.parameters())]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
