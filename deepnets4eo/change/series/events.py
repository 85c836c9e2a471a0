"""Changes of cells that hold: candidates of all dates, one event a cell and change, in clusters, with scores.

Takes the deltas of the dates; returns parallel arrays. Memory: the whitened deltas of the candidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.change.series.deltas import HOLDS, DateDeltas
from deepnets4eo.change.series.options import NoveltyOptions

MOST_BY_DENSITY = 20_000  # events: clusters by density compare all with all
LEAST_IN_CLUSTER = 5
FOREST = 200  # trees


@dataclass(frozen=True)
class CellEvents:
    """Changes of single cells (n,): date index, cell, whitened delta (n, F), magnitude, cluster (-1 for none), rarity
    and score."""

    date: Indices
    cell: Indices
    vector: NDArray[np.float32]
    magnitude: Floats
    cluster: Indices
    rarity: Floats
    score: Floats

    def __len__(self) -> int:
        return len(self.cell)


def collect_events(deltas: Iterable[DateDeltas], history: int) -> CellEvents:
    """Return the candidates whose change holds; those of a cell within `history` dates are one event, with the delta of
    the largest and the date of the first with half of that, since a change stays a candidate until the baseline has
    followed."""
    dates, cells, vectors, magnitudes = [], [], [], []
    for delta in deltas:
        chosen = np.flatnonzero(delta.candidates & (delta.held >= HOLDS))
        dates.append(np.full(len(chosen), delta.index))
        cells.append(chosen)
        vectors.append(delta.whitened[chosen])
        magnitudes.append(delta.magnitude[chosen] * delta.held[chosen])
    if not dates:
        return _events(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.zeros(0))
    date, cell, magnitude = (np.concatenate(each) for each in (dates, cells, magnitudes))
    order = np.lexsort((date, cell))
    date, cell, magnitude = date[order], cell[order], magnitude[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (np.diff(cell) != 0) | (np.diff(date) > history)
    event = np.cumsum(starts) - 1
    by_size = np.lexsort((-magnitude, event))
    largest = by_size[np.concatenate([[True], np.diff(event[by_size]) != 0])] if len(order) else by_size
    vector = np.concatenate(vectors)[order][largest]
    large = np.flatnonzero(magnitude >= magnitude[largest][event] / 2)
    first = large[np.concatenate([[True], np.diff(event[large]) != 0])] if len(order) else large
    return _events(date[first], cell[first], vector, magnitude[largest])


def score_events(events: CellEvents, options: NoveltyOptions) -> CellEvents:
    """Events with clusters, rarity and score; see `NoveltyOptions.rank_by`."""
    if not len(events):
        return events
    cluster = _cluster(events.vector, options)
    rarity = np.ones(len(events))
    if options.rank_by == "rarity":
        rarity = _rarity(cluster)
    elif options.rank_by == "isolation":
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=FOREST, random_state=options.seed).fit(events.vector)
        rarity = -forest.score_samples(events.vector)
    return replace(events, cluster=cluster, rarity=rarity, score=events.magnitude * rarity)


def _events(date: Indices, cell: Indices, vector: NDArray[np.float32], magnitude: Floats) -> CellEvents:
    nothing = np.zeros(len(cell))
    return CellEvents(date, cell, vector, magnitude, np.full(len(cell), -1), nothing, nothing)


def _cluster(vectors: NDArray[np.float32], options: NoveltyOptions) -> Indices:
    if options.clustering == "hdbscan":
        from sklearn.cluster import HDBSCAN

        if len(vectors) < 2 * LEAST_IN_CLUSTER:
            return np.full(len(vectors), -1)
        sample = np.random.default_rng(options.seed).permutation(len(vectors))[:MOST_BY_DENSITY]
        labels = np.full(len(vectors), -1)
        labels[sample] = HDBSCAN(LEAST_IN_CLUSTER, copy=True).fit_predict(vectors[sample])
        if len(sample) < len(vectors):  # the others belong where the nearest of these does
            others = np.setdiff1d(np.arange(len(vectors)), sample)
            labels[others] = labels[sample][cKDTree(vectors[sample]).query(vectors[others])[1]]
        return labels
    from sklearn.cluster import MiniBatchKMeans

    count = min(options.clusters, len(vectors))
    batch = max(1024, 2 * count)
    means = MiniBatchKMeans(count, batch_size=batch, n_init=3, random_state=options.seed).fit(vectors)
    return np.asarray(means.labels_, np.int64)


def _rarity(cluster: Indices) -> Floats:
    """−log of the share of each event's cluster among events and one more; events of no cluster count as clusters of their own."""
    counts = np.bincount(cluster + 1)
    counts[0] = 1
    return np.asarray(-np.log(counts[cluster + 1] / (len(cluster) + 1)))
