"""Embeddings (N, D) of images, row i of both sensors of one site: the gap, which find each other; and weights between two.

Liang, Zhang, Kwon, Yeung and Zou, NeurIPS 2022 (the gap).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.floating[Any]]
FOLDS = 5


def normalise(embeddings: Floats) -> NDArray[np.float64]:
    """Embeddings (N, D) of length 1. Errors: InputError for other shapes, values that are not finite, and a zero vector."""
    embeddings = np.asarray(embeddings, float)
    lengths = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    if embeddings.ndim != 2 or not np.isfinite(embeddings).all() or not (lengths > 0).all():
        raise InputError(
            f"embeddings have the shape {embeddings.shape}; expected (N, D) finite values, none of them a zero vector."
        )
    return embeddings / lengths


@dataclass(frozen=True)
class Gap:
    """The distance between the embeddings of two sensors, each of length 1.

    `vector` (D,): difference of means; `separability`: accuracy of a logistic regression; lower uniformity: more evenly spread.
    """

    vector: NDArray[np.float64]
    size: float
    centroid_cosine: float
    within_first: float
    within_second: float
    matched: float
    separability: float
    alignment: float
    uniformity_first: float
    uniformity_second: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures without the vector."""
        return {name: float(value) for name, value in asdict(self).items() if name != "vector"}


def measure_gap(first: Floats, second: Floats) -> Gap:
    """Measure the gap between embeddings of two sensors.

    Errors: InputError for other shapes, fewer than five places, or values that are not finite.

    Parameters
    ----------
    first, second : (N, D), row i of both of one place; their lengths do not matter

    Returns
    -------
    Gap

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> places = rng.normal(size=(50, 8))
    >>> gap = measure_gap(places + [4, 0, 0, 0, 0, 0, 0, 0], places)
    >>> bool(gap.size > 0.7), bool(gap.separability > 0.9)
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    x, y = _pair(first, second)
    means = x.mean(axis=0), y.mean(axis=0)
    labels = np.repeat([0, 1], len(x))
    of_folds = cross_val_score(LogisticRegression(C=100.0, max_iter=1000), np.concatenate([x, y]), labels, cv=FOLDS)
    lengths = np.linalg.norm(means[0]) * np.linalg.norm(means[1])
    return Gap(
        means[0] - means[1],
        float(np.linalg.norm(means[0] - means[1])),
        float(means[0] @ means[1] / max(lengths, np.finfo(float).tiny)),
        _mean_of_pairs(x @ x.T),
        _mean_of_pairs(y @ y.T),
        float((x * y).sum(axis=1).mean()),
        float(of_folds.mean()),
        float(((x - y) ** 2).sum(axis=1).mean()),
        *(float(np.log(_mean_of_pairs(np.exp(-4 * (1 - vectors @ vectors.T))))) for vectors in (x, y)),
    )


def recall_at(first: Floats, second: Floats, k: int = 1) -> float:
    """Share of the first embeddings whose own place is among the k most similar second ones.

    Errors: InputError for other shapes, values that are not finite, or zero vectors.

    Parameters
    ----------
    first, second : (N, D), row i of both of one place
    k : number of second embeddings that are looked at

    Returns
    -------
    The share, 0 to 1.

    Examples
    --------
    >>> recall_at(np.eye(3), np.eye(3)[[0, 2, 1]])
    0.3333333333333333
    """
    x, y = _pair(first, second, least=1)
    similar = x @ y.T
    own = similar.diagonal()[:, None]
    return float(((similar > own).sum(axis=1) < k).mean())


def interpolate_weights(first: Mapping[str, Tensor], tuned: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Interpolate between weights before and after fine-tuning: (1 − α) · first + α · tuned.

    This often keeps what was known before (patching; Ilharco et al., NeurIPS 2022).

    Raises InputError for weights of two networks, or an α outside 0 to 1.

    Parameters
    ----------
    first, tuned : state dicts of one network
    alpha : 0: the first weights, 1: the tuned weights

    Returns
    -------
    A state dict; counters are taken from the tuned weights.

    Examples
    --------
    >>> import torch
    >>> interpolate_weights({"w": torch.zeros(1)}, {"w": torch.ones(1)}, 0.25)
    {'w': tensor([0.2500])}
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}, expected 0 (weights before) to 1 (after fine-tuning).")
    odd = [
        name
        for name in first.keys() | tuned.keys()
        if name not in first or name not in tuned or first[name].shape != tuned[name].shape
    ]
    if odd:
        raise InputError(f"the weights are of two networks: {sorted(odd)[0]} differs. Fine-tune the same network.")
    return {
        name: ((1 - alpha) * value.float() + alpha * tuned[name].float()).to(value.dtype) if value.is_floating_point() else tuned[name]
        for name, value in first.items()
    }  # fmt: skip


def _pair(first: Floats, second: Floats, least: int = FOLDS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = normalise(first), normalise(second)
    if x.shape != y.shape or len(x) < least:
        raise InputError(
            f"embeddings have the shapes {x.shape} and {y.shape}; expected the same, of {least} places or more, row i of both of one place."
        )
    return x, y


def _mean_of_pairs(values: NDArray[np.float64]) -> float:
    """Mean over pairs of two different rows."""
    count = len(values)
    return float((values.sum() - np.trace(values)) / (count * (count - 1)))
