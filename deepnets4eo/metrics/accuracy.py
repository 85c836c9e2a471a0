"""Intervals of scores and counts: bootstrap over tiles, area-adjusted estimates, Wilson.

Refuses designs that allow no interval (one tile, a stratum with fewer than two samples).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from deepnets4eo.metrics.confusion import ConfusionMatrix

SCORES = ("overall_accuracy", "kappa", "average_accuracy", "mean_f1", "mean_iou", "fw_iou")


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it.

    Parameters
    ----------
    estimate : the value that was estimated
    low, high : limits of the interval, in the unit of the estimate

    Examples
    --------
    >>> Interval(0.5, 0.4, 0.6).high
    0.6
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class AreaEstimate:
    """Accuracy and areas of a map, estimated from a stratified sample.

    Arrays are float64 in the order of the map classes.

    Parameters
    ----------
    overall_accuracy : share of the map's area that has the right class, 0–1
    overall_accuracy_margin : half width of its interval
    users_accuracy : (K,) share of the area mapped as a class that is of this class, 0–1
    users_accuracy_margin : (K,) half widths of their intervals
    producers_accuracy : (K,) share of a class's area that is mapped as this class, 0–1
    producers_accuracy_margin : (K,) half widths of their intervals
    area : (K,) area of each class in the unit of the mapped areas
    area_margin : (K,) half widths of their intervals, in the same unit
    """

    overall_accuracy: float
    overall_accuracy_margin: float
    users_accuracy: np.ndarray
    users_accuracy_margin: np.ndarray
    producers_accuracy: np.ndarray
    producers_accuracy_margin: np.ndarray
    area: np.ndarray
    area_margin: np.ndarray

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values, the arrays as mappings of class name to value."""
        return {
            name: value if isinstance(value, float) else dict(zip(names, map(float, value), strict=True))
            for name, value in vars(self).items()
        }


def bootstrap(
    tiles: Sequence[ConfusionMatrix],
    scores: Sequence[str] = SCORES,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return percentile intervals of scores from tiles drawn with replacement.

    Whole tiles are drawn, because neighbouring pixels are not independent. Source: Efron & Tibshirani, An Introduction
    to the Bootstrap, 1993.

    Errors: InputError for fewer than two tiles, or draws or a level out of range.

    Parameters
    ----------
    tiles : confusion matrices of two or more tiles
    scores : names of properties of ConfusionMatrix that are one number
    draws : number of resamples, 1 or more
    level : share of the draws inside the interval, between 0 and 1
    seed : seed of the draws

    Returns
    -------
    Name of the score → its value over all tiles, and the interval.

    Examples
    --------
    >>> from deepnets4eo.metrics import ConfusionMatrix
    >>> tiles = [ConfusionMatrix.from_matrix([[8, 2], [1, 9]]), ConfusionMatrix.from_matrix([[7, 3], [2, 8]])]
    >>> bootstrap(tiles, ["overall_accuracy"], draws=20)["overall_accuracy"].estimate
    0.8
    """
    if len(tiles) < 2:
        raise InputError(f"Got {len(tiles)} tile(s) with reference, a bootstrap needs 2 or more. Use smaller tiles.")
    if draws < 1:
        raise InputError(f"Got {draws} draws, expected 1 or more, for example 1000.")
    _check_level(level)
    generator = np.random.default_rng(seed)
    matrices = np.stack([tile.matrix for tile in tiles]).reshape(len(tiles), -1)
    missed = np.stack([tile.unpredicted for tile in tiles])
    whole = sum(tiles[1:], tiles[0])
    drawn: dict[str, list[float]] = {score: [] for score in scores}
    for _ in range(draws):
        weights = generator.multinomial(len(tiles), np.full(len(tiles), 1 / len(tiles)))
        sample = type(whole).from_matrix((weights @ matrices).reshape(whole.matrix.shape))
        sample.unpredicted = weights @ missed
        for score in scores:
            drawn[score].append(getattr(sample, score))
    tail = (1 - level) / 2
    limits = {score: np.nanquantile(values, (tail, 1 - tail)) for score, values in drawn.items()}
    return {s: Interval(float(getattr(whole, s)), float(low), float(high)) for s, (low, high) in limits.items()}


def area_adjusted(
    sample: np.ndarray, mapped_area: Sequence[float] | np.ndarray, *, level: float = 0.95
) -> AreaEstimate:
    """Return accuracy and areas of a map from a sample stratified by map class.

    Source: Olofsson et al., Remote Sensing of Environment 148, 2014, equations 1 to 11.

    Errors: InputError for shapes that do not fit, negative or infinite numbers, areas of 0, or strata of fewer than two samples.

    Parameters
    ----------
    sample : (K, K) counts, **rows = map class** (the strata), columns = reference: the transpose of ConfusionMatrix.matrix.
    mapped_area : (K,) area of each map class in any unit (pixels, hectares)
    level : probability of the intervals, between 0 and 1

    Returns
    -------
    Accuracies as fractions, areas in the unit of `mapped_area`.

    Examples
    --------
    >>> area_adjusted(np.array([[9, 1], [2, 8]]), [100, 300]).area.round(1).tolist()
    [150.0, 250.0]
    """
    counts, areas = np.asarray(sample, float), np.asarray(mapped_area, float)
    if counts.ndim != 2 or counts.shape != (len(areas), len(areas)):
        raise InputError(f"Got a sample of {counts.shape} for {len(areas)} mapped areas, expected (K, K) for K areas.")
    _check_amounts(sample=counts, mapped_area=areas)
    if not areas.any():
        raise InputError("Got mapped areas of 0 only, expected at least one above 0.")
    drawn = counts.sum(axis=1)
    if (drawn < 2).any():
        raise InputError(f"Got {drawn.astype(int).tolist()} samples by stratum, each needs 2 or more. Draw more there.")
    z = _z(level)
    weight, share = areas / areas.sum(), counts / drawn[:, None]
    proportion = (weight[:, None] * share).sum(axis=0)
    users = np.diagonal(share)
    spread = share * (1 - share) / (drawn - 1)[:, None]  # variance of each share within its stratum
    with np.errstate(divide="ignore", invalid="ignore"):
        producers = weight * users / proportion
        others = (weight[:, None] ** 2 * spread).sum(axis=0) - weight**2 * np.diagonal(spread)
        own = weight**2 * (1 - producers) ** 2 * np.diagonal(spread)
        producers_variance = (own + producers**2 * others) / proportion**2
    return AreaEstimate(
        overall_accuracy=float((weight * users).sum()),
        overall_accuracy_margin=float(z * np.sqrt((weight**2 * np.diagonal(spread)).sum())),
        users_accuracy=users.copy(),
        users_accuracy_margin=z * np.sqrt(np.diagonal(spread)),
        producers_accuracy=producers,
        producers_accuracy_margin=z * np.sqrt(producers_variance),
        area=areas.sum() * proportion,
        area_margin=z * areas.sum() * np.sqrt((weight[:, None] ** 2 * spread).sum(axis=0)),
    )


def wilson_interval(positive: int, total: int, *, level: float = 0.95) -> Interval:
    """Return a share, 0–1, and its interval, which is valid for shares of 0 and 1, too (Wilson, JASA 22, 1927).

    Errors: InputError (not 0 ≤ positive ≤ total, or total is 0).

    Parameters
    ----------
    positive, total : number of positive trials, and of all independent trials
    level : probability of the interval, between 0 and 1

    Returns
    -------
    The share and its limits, 0–1.

    Examples
    --------
    >>> round(wilson_interval(0, 200).high, 5)
    0.01885
    """
    if not 0 <= positive <= total or total == 0:
        raise InputError(f"Got {positive} of {total}, expected 0 ≤ positive ≤ total and total ≥ 1.")
    z, share = _z(level), positive / total
    scale = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    margin = z / scale * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)))
    low = 0.0 if positive == 0 else centre - margin
    return Interval(share, low, 1.0 if positive == total else centre + margin)


def _check_amounts(**amounts: np.ndarray) -> None:
    for name, values in amounts.items():
        if not (np.isfinite(values) & (values >= 0)).all():
            raise InputError(f"Got {name} {values.tolist()}, expected finite numbers, 0 or more.")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"Got a level of {level}, expected a fraction between 0 and 1, for example 0.95.")


def _z(level: float) -> float:
    _check_level(level)
    return NormalDist().inv_cdf(0.5 + level / 2)
