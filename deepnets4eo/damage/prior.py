"""How many buildings of a place are damaged, estimated from their own evidence: the prior of its decision.

Takes probabilities that hold where half of the buildings are damaged; returns the share that explains them best. Where
damage is rare, probabilities for one half name more intact buildings damaged than there are damaged ones.
Source: Saerens, Latinne & Decaestecker 2002 (adjusting a classifier to new class shares by expectation-maximisation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SHARE, LARGEST_SHARE = 0.05, 0.5
PSEUDO_COUNT = 1.0  # buildings of either kind added, so that few buildings move the share little
CERTAIN = 1e-4  # no probability counts as nearer to 0 or 1
STEPS = 200


def estimated_share(probability: NDArray[np.float64]) -> float:
    """Share of damaged buildings, 0.05 to 0.5, from (N,) probabilities for a share of one half; NaN rows are left out.

    Never above one half: a share that the evidence itself raised would confirm what raised it. Never below 0.05: among
    very many intact buildings a few that are plainly damaged are still named.

    >>> rng = np.random.default_rng(0)
    >>> estimated_share(rng.uniform(0, 0.3, 200))
    0.05
    """
    known = np.clip(probability[np.isfinite(probability)], CERTAIN, 1 - CERTAIN)
    ratio = known / (1 - known)
    share = 0.5
    for _ in range(STEPS):
        damaged = float((share * ratio / (share * ratio + 1 - share)).sum())
        share = (damaged + PSEUDO_COUNT) / (len(known) + 2 * PSEUDO_COUNT)
    return float(np.clip(share, LEAST_SHARE, LARGEST_SHARE))
