"""The commonest colours of an image: k-means as scikit-learn computes it, whose import takes longer than its work here.

First middles by k-means++ (Arthur and Vassilvitskii 2007) with as many candidates as there, then Lloyd's iterations.
"""

from __future__ import annotations

import math

import numpy as np

from deepnets4eo.arrays import Floats

MAX_ITERATIONS, TOLERANCE = 300, 1e-4  # of the mean variance: squared shift of all middles that ends the iterations


def common_colours(values: Floats, number: int) -> Floats:
    """Return the middles (number, C) of groups of values (N, C). At least `number` values differ."""
    mean = values.mean(axis=0)
    centred = values - mean
    norms = np.einsum("ij,ij->i", centred, centred)
    centres = _first_centres(centred, norms, number)
    least = TOLERANCE * float(np.var(values, axis=0).mean())
    labels = np.full(len(values), -1)
    for _ in range(MAX_ITERATIONS):
        before, labels = labels, _distances(centres, centred, norms).argmin(axis=0)
        counts = np.bincount(labels, minlength=number)
        sums = np.column_stack([np.bincount(labels, band, number) for band in centred.T])
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        shift, centres = float(np.square(moved - centres).sum()), moved
        if np.array_equal(labels, before) or shift <= least:
            break
    return np.asarray(centres + mean)


def _first_centres(values: Floats, norms: Floats, number: int) -> Floats:
    """Draw values far from those already drawn, each the best of some candidates."""
    rng = np.random.RandomState(0)
    candidates = 2 + int(math.log(number))
    chosen = [int(rng.choice(len(values), p=np.full(len(values), 1 / len(values))))]
    nearest = _distances(values[chosen], values, norms)[0]
    for _ in range(1, number):
        drawn = np.searchsorted(np.cumsum(nearest), rng.uniform(size=candidates) * nearest.sum())
        drawn = np.minimum(drawn, len(values) - 1)
        distances = np.minimum(nearest, _distances(values[drawn], values, norms))
        best = int(distances.sum(axis=1).argmin())
        nearest = distances[best]
        chosen.append(int(drawn[best]))
    return values[chosen]


def _distances(centres: Floats, values: Floats, norms: Floats) -> Floats:
    """Return squared distances (K, N). norms : (N,) squared lengths of the values"""
    own = np.einsum("ij,ij->i", centres, centres)
    return np.maximum(own[:, None] - 2 * (centres @ values.T) + norms, 0)
