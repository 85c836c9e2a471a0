"""How many buildings of a site are damaged, estimated from their own evidence: the prior of its decision.

Takes probabilities that hold where half of the buildings are damaged; returns the share that explains them best. Where
damage is rare, probabilities for one half name more intact buildings damaged than there are damaged ones.
Source: Saerens, Latinne & Decaestecker 2002 (adjusting a classifier to new class shares: the most likely one).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

LEAST_SHARE, LARGEST_SHARE = 0.05, 0.5
PSEUDO_COUNT = 1.0  # buildings of either kind added, so that few buildings move the share little
CERTAIN = 1e-4  # no probability counts as nearer to 0 or 1


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

    def surprise(share: float) -> float:
        likelihood = np.log1p(share * (ratio - 1)).sum()
        return -float(likelihood + PSEUDO_COUNT * (np.log(share) + np.log1p(-share)))

    bounds = (LEAST_SHARE, LARGEST_SHARE)
    best = float(minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)
    return min((*bounds, best), key=surprise)  # the search stays off the ends
