"""Which labels of no change and change are wrong, and how many, from a network's probabilities (confident learning).

Takes counts of pixels by label and packed probability; returns a class for each probability, and a share for each label. A label is
wrong where the network is as sure of the other class as it is, on average, where that class is labelled (Northcutt, Jiang and
Chuang, JAIR 70, 2021). Trusts its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Mask
from deepnets4eo.cards.legend import VOID
from deepnets4eo.tiling.scores import PACKED_ONE

LEVELS = 256  # of packed probabilities


@dataclass(frozen=True)
class LabelNoise:
    """Shares 0 to 1 of the labels of no change and of change that are wrong; NaN where the network is sure of none of
    them, or one class is not labelled."""

    no_change: float
    change: float

    def to_dict(self) -> dict[str, float]:
        """Rounded, for the card of a run."""
        return {"no change": round(self.no_change, 4), "change": round(self.change, 4)}

    def __str__(self) -> str:
        return f"{self.change:.0%} of labelled change and {self.no_change:.0%} of labelled no change"


def count_packed(labels: ByteImage, packed: ByteImage, known: Mask) -> NDArray[np.int64]:
    """Count known pixels by label (0 no change, 1 change) and packed probability (value / 254): (2, 256), to be summed
    over scenes."""
    counted = known & (labels < 2)
    flat = labels[counted].astype(np.int64) * LEVELS + packed[counted]
    return np.bincount(flat, minlength=2 * LEVELS).reshape(2, LEVELS)


def confident_classes(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the class (256,) that a network is sure of at each packed probability: 1 from the mean where change is
    labelled on, 0 up to the mean where no change is labelled, 255 between and where one class is not labelled.

    >>> counts = np.zeros((2, 256), np.int64)
    >>> counts[0, 20], counts[1, 240] = 100, 16
    >>> confident_classes(counts)[[10, 20, 130, 240, 250]].tolist()
    [0, 0, 255, 1, 1]
    """
    classes = np.full(LEVELS, VOID, np.uint8)
    if not counts.sum(axis=1).all():
        return classes
    levels = np.arange(LEVELS)
    of_none, of_change = (counts * levels).sum(axis=1) / counts.sum(axis=1)
    nearest = levels >= PACKED_ONE / 2
    both = (levels >= of_change) & (levels <= of_none)  # a network that cannot tell both classes apart
    classes[levels <= of_none] = 0
    classes[levels >= of_change] = 1
    classes[both] = nearest[both]
    return classes


def estimate_label_noise(counts: NDArray[np.int64]) -> LabelNoise:
    """Return the shares of wrong labels from counts (2, 256) of `count_packed`; errors of the network count as well
    where it is sure of them.

    >>> counts = np.zeros((2, 256), np.int64)
    >>> counts[0, 20], counts[1, 240], counts[1, 10] = 100, 16, 4
    >>> print(estimate_label_noise(counts))
    20% of labelled change and 0% of labelled no change
    """
    classes = confident_classes(counts)
    joint = np.stack([counts[:, classes == index].sum(axis=1) for index in (0, 1)], axis=1)
    wrong = np.array([joint[0, 1], joint[1, 0]]) / np.where(joint.sum(axis=1), joint.sum(axis=1), np.nan)
    return LabelNoise(float(wrong[0]), float(wrong[1]))
