"""Labels of one tile from the scores of a labeller: best class, probability, entropy, and what no score is known of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.labeller import PointLabeller

CENT = 100  # probability and entropy are stored in hundredths


def label_tile(labeller: PointLabeller, cloud: PointCloud, own: int) -> NDArray[np.uint8]:
    """Returns the labels of the points of a tile; points that the labeller does not know take those of the nearest known one.

    Withheld points and noise take no part: noise keeps its code, withheld points have no label.

    Parameters
    ----------
    labeller
        Gives scores to points.
    cloud
        The points of the tile, then those of its halo.
    own
        How many points belong to the tile.

    Returns
    -------
    ndarray
        (own, 4) uint8: class code (255 for none), probability and entropy in hundredths, 1 for a label of the nearest.

    Raises
    ------
    InputError
        The labeller returned scores of another shape.
    """
    counted = cloud.counted
    if counted.all():
        return _labels(labeller, cloud, own)
    result = np.zeros((own, 4), np.uint8)
    result[:, 0] = VOID
    noise = cloud.noise[:own]
    if cloud.classification is not None:
        result[noise, 0] = cloud.classification[:own][noise]
        result[noise, 1] = CENT
    if counted[:own].any():
        result[counted[:own]] = _labels(labeller, cloud.subset(counted), int(counted[:own].sum()))
    return result


def _labels(labeller: PointLabeller, cloud: PointCloud, own: int) -> NDArray[np.uint8]:
    """(own, 4) labels of points that all count."""
    scores = labeller.scores(cloud)
    expected = (len(cloud), labeller.legend.num_classes)
    if scores.shape != expected:
        raise InputError(f"the labeller returned scores {scores.shape}, expected {expected}: points and classes.")
    known: NDArray[np.bool_] = np.asarray(np.isfinite(scores).all(axis=1))
    source = _nearest_known(cloud.xyz, known, own)
    result = np.zeros((own, 4), np.uint8)
    labelled = source >= 0
    result[~labelled, 0] = VOID
    taken = scores[:own] if known[:own].all() else scores[source[labelled]]
    best = taken.argmax(axis=1)
    result[labelled, 0] = labeller.legend.from_index()[best]
    result[labelled, 1] = _hundredths(taken[np.arange(len(taken)), best])
    result[labelled, 2] = _hundredths(_entropy(taken))
    result[:, 3] = labelled & ~known[:own]
    return result


def _nearest_known(xyz: NDArray[np.float64], known: NDArray[np.bool_], own: int) -> NDArray[np.int64]:
    """Returns for the first `own` points the point whose scores they take: (own,), itself where known, −1 for none."""
    source = np.arange(own)
    lost = np.flatnonzero(~known[:own])
    if not len(lost):
        return source
    if not known.any():
        source[lost] = -1
        return source
    from scipy.spatial import cKDTree

    candidates = np.flatnonzero(known)
    source[lost] = candidates[cKDTree(xyz[candidates]).query(xyz[lost])[1]]
    return source


def _entropy(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the entropy of probabilities (n, K) as a share of the greatest one, log K."""
    positive = np.clip(scores, np.float32(1e-12), np.float32(1))
    return np.asarray(-(positive * np.log(positive)).sum(axis=1) / np.log(max(scores.shape[1], 2)), np.float32)


def _hundredths(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip(values, 0, 1) * CENT).astype(np.uint8)
