"""Non-negative least squares for many spectra at once: how much of each factor is in each.

Takes spectra and factors; returns exact solutions, by exchanging sets of factors that are zero (Kim and Park 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask, Vectors

CHUNK_VALUES = 2**20  # of the systems solved at once
EXCHANGES = 200  # at most; a handful is usual
TRIALS = 3  # exchanges of all wrong factors that may fail to leave fewer of them
TOLERANCE = 1e-9


def nonnegative_scores(spectra: Vectors, basis: NDArray[np.float32]) -> Vectors:
    """Scores w ≥ 0 that minimise |x − w · basis| for each spectrum x. (m, B), (n, B) → (m, n)"""
    exact = basis.astype(np.float64)
    gram, products = exact @ exact.T, spectra.astype(np.float64) @ exact.T
    chunk = max(1, CHUNK_VALUES // gram.size)
    parts = [_solve_chunk(gram, products[start : start + chunk]) for start in range(0, len(products), chunk)]
    return np.concatenate([np.zeros((0, len(gram))), *parts]).astype(np.float32)


def _solve_chunk(gram: Floats, products: Floats) -> Floats:
    """A factor that is used must have a positive score, an unused one must not lower the error by growing."""
    count, size = products.shape
    scores, passive = np.zeros_like(products), np.zeros(products.shape, np.bool_)
    fewest, trials = np.full(count, size + 1), np.full(count, TRIALS)
    active = np.arange(count)
    for _ in range(EXCHANGES):
        used = passive[active]
        scores[active] = solved = _solve_passive(gram, products[active], used)
        slope = solved @ gram - products[active]
        limit = TOLERANCE * np.abs(products[active]).max(axis=1, keepdims=True)
        wrong = np.where(used, solved < -TOLERANCE, slope < -limit)
        counts = wrong.sum(axis=1)
        keep = counts > 0
        active, wrong, counts = active[keep], wrong[keep], counts[keep]
        if not len(active):
            break
        better = counts < fewest[active]
        last = (wrong[:, ::-1].cumsum(axis=1)[:, ::-1] == 1) & wrong
        all_of_them = better | (trials[active] > 0)
        passive[active] ^= np.where(all_of_them[:, None], wrong, last)
        trials[active] = np.where(better, TRIALS, trials[active] - 1)
        fewest[active] = np.minimum(fewest[active], counts)
    return np.maximum(scores, 0)


def _solve_passive(gram: Floats, products: Floats, used: Mask) -> Floats:
    """Least squares with the factors in use, zero for the others."""
    systems = np.where(used[:, :, None] & used[:, None, :], gram, np.eye(len(gram)))
    solved: Floats = np.linalg.solve(systems, np.where(used, products, 0)[:, :, None])[:, :, 0]
    return solved
