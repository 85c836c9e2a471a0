"""How many labels of no change and change are wrong, estimated from a network's probabilities (confident learning).

Takes counts of pixels by label and packed probability; returns a share for each label. A label is wrong where the network is as
sure of the other class as it is, on average, where that class is labelled (Northcutt, Jiang and Chuang, JAIR 70, 2021).
Trusts its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Mask
from deepnets4eo.tiling.scores import PACKED_ONE

LEVELS = 256  # of packed probabilities


@dataclass(frozen=True)
class LabelNoise:
    """Shares of labels that are wrong.

    Parameters
    ----------
    no_change
        Of the pixels labelled as no change, 0 to 1; NaN where the network is sure of none of them, or one class is not labelled.
    change
        Of the pixels labelled as change, likewise.
    """

    no_change: float
    change: float

    def to_dict(self) -> dict[str, float]:
        """Rounded, for the card of a run."""
        return {"no change": round(self.no_change, 4), "change": round(self.change, 4)}

    def __str__(self) -> str:
        return f"{self.change:.0%} of labelled change and {self.no_change:.0%} of labelled no change"


def count_packed(labels: ByteImage, packed: ByteImage, known: Mask) -> NDArray[np.int64]:
    """Pixels by label and packed probability of change.

    Parameters
    ----------
    labels
        (H, W) class indices, 0 no change, 1 change; others do not count.
    packed
        (H, W), probability of change times 254.
    known
        (H, W), where there is a probability.

    Returns
    -------
    NDArray[np.int64]
        (2, 256), to be summed over scenes.
    """
    counted = known & (labels < 2)
    flat = labels[counted].astype(np.int64) * LEVELS + packed[counted]
    return np.bincount(flat, minlength=2 * LEVELS).reshape(2, LEVELS)


def estimate_label_noise(counts: NDArray[np.int64]) -> LabelNoise:
    """Shares of wrong labels; network errors count as well where the network is sure of them.

    Parameters
    ----------
    counts
        (2, 256), see `count_packed`.

    Returns
    -------
    LabelNoise

    Examples
    --------
    Of twenty labels of change, four lie where the network is as sure of no change as elsewhere:

    >>> counts = np.zeros((2, 256), np.int64)
    >>> counts[0, 20], counts[1, 240], counts[1, 10] = 100, 16, 4
    >>> print(estimate_label_noise(counts))
    20% of labelled change and 0% of labelled no change
    """
    if not counts.sum(axis=1).all():
        return LabelNoise(np.nan, np.nan)
    change = np.minimum(np.arange(LEVELS) / PACKED_ONE, 1)
    mean = (counts * change).sum(axis=1) / counts.sum(axis=1)
    of_change, of_none = change >= mean[1], change <= mean[0]
    nearer = change >= 0.5
    both = of_change & of_none  # a network that cannot tell both classes apart
    sure = np.stack([of_none & ~(both & nearer), of_change & ~(both & ~nearer)])
    joint = counts @ sure.T.astype(np.int64)
    wrong = np.array([joint[0, 1], joint[1, 0]]) / np.where(joint.sum(axis=1), joint.sum(axis=1), np.nan)
    return LabelNoise(float(wrong[0]), float(wrong[1]))
