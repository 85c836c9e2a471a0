"""Intervals of scores and counts: bootstrap over tiles, area-adjusted estimates, Wilson.

Refuses designs that allow no interval (one tile, a stratum with fewer than two samples).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from deepnets4eo.metrics.confusion import ConfusionMatrix

PA_END = 0.02  # producer's accuracies nearer to 0 or 1 take the sample size of this share
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

    Arrays are float64 in the order of the map classes. Margins are the published half widths, normal and symmetric; the
    intervals are those to report (see `area_adjusted`).

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
    overall_accuracy_interval : (2,) low and high
    users_accuracy_interval, producers_accuracy_interval, area_interval : (K, 2) low and high
    mapped_share : (K,) share of the map that each class covers
    """

    overall_accuracy: float
    overall_accuracy_margin: float
    users_accuracy: np.ndarray
    users_accuracy_margin: np.ndarray
    producers_accuracy: np.ndarray
    producers_accuracy_margin: np.ndarray
    area: np.ndarray
    area_margin: np.ndarray
    overall_accuracy_interval: np.ndarray
    users_accuracy_interval: np.ndarray
    producers_accuracy_interval: np.ndarray
    area_interval: np.ndarray
    mapped_share: np.ndarray

    def samples_for(self, half_width: float, *, level: float = 0.95) -> int:
        """Return how many samples give the overall accuracy this half width, see `sample_size`."""
        return sample_size(self.mapped_share, self.users_accuracy_interval.mean(axis=1), half_width, level=level)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values, the arrays as mappings of class name to value."""
        return {
            name: value
            if isinstance(value, float)
            else value.tolist()
            if name == "overall_accuracy_interval"
            else dict(zip(names, value.tolist(), strict=True))
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

    Estimates and margins: Olofsson et al., Remote Sensing of Environment 148, 2014, equations 1 to 11. A class that is not
    mapped anywhere has no stratum: its row is empty, and its user's accuracy NaN.

    Intervals: Wilson's, at the sample size that has the published variance in a simple random sample (Korn & Graubard,
    Survey Methodology 24, 1998). The variance counts one further sample per stratum, spread evenly over the classes, so that
    a class that was seen nowhere else is not certain to be nowhere else. With rare classes the published margins contain
    the truth far too seldom, see `docs/howto/review_maps.md`.

    Errors: InputError for shapes that do not fit, negative or infinite numbers, areas of 0, strata of fewer than two samples,
    or samples of classes without mapped area.

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
    drawn, mapped = counts.sum(axis=1), areas > 0
    if (drawn[mapped] < 2).any() or drawn[~mapped].any():
        raise InputError(
            f"Got {drawn.astype(int).tolist()} samples by stratum, each needs 2 or more, and 0 without mapped area. Draw more there."
        )
    z, weight = _z(level), areas / areas.sum()
    share, spread = _shares(counts, drawn, mapped, further=0)
    proportion = (weight[:, None] * share).sum(axis=0)
    users = np.where(mapped, np.diagonal(share), np.nan)
    right = float((weight * np.diagonal(share)).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        producers = weight * np.diagonal(share) / proportion
    variances = _variances(spread, weight, producers, proportion)
    smooth, wider = _shares(counts, drawn, mapped, further=1)
    wide = _variances(wider, weight, producers, proportion)
    by_class = (weight[:, None] * smooth).sum(axis=0)
    all_right = float((weight * np.diagonal(smooth)).sum())
    sizes = (
        _effective_size(all_right, wide[0]), np.where(mapped, drawn, 1),
        _effective_size(np.clip(producers, PA_END, 1 - PA_END), wide[2]), _effective_size(by_class, wide[3]),
    )  # fmt: skip
    return AreaEstimate(
        right, z * float(np.sqrt(variances[0])), users, z * np.sqrt(np.where(mapped, variances[1], np.nan)),
        producers, z * np.sqrt(variances[2]), areas.sum() * proportion, z * areas.sum() * np.sqrt(variances[3]),
        _limits(right, sizes[0], z), _limits(users, sizes[1], z), _limits(producers, sizes[2], z),
        areas.sum() * _limits(proportion, sizes[3], z), weight,
    )  # fmt: skip


def _shares(counts: Floats, drawn: Floats, mapped: Mask, further: int) -> tuple[Floats, Floats]:
    """Return (K, K) shares of the reference classes in each stratum and their variances, with `further` samples spread over the classes."""
    total = np.where(mapped, drawn + further, 1)[:, None]
    share = np.where(mapped[:, None], (counts + further / len(counts)) / total, 0)
    return share, share * (1 - share) / np.where(mapped, drawn - 1, 1)[:, None]


def _variances(
    spread: Floats, weight: Floats, producers: Floats, proportion: Floats
) -> tuple[Any, Floats, Floats, Floats]:
    """Return variances of overall, user's and producer's accuracy, and of the classes' shares of the area."""
    own, squared = np.diagonal(spread), weight**2
    shares = (squared[:, None] * spread).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_producers = (squared * (1 - producers) ** 2 * own + producers**2 * (shares - squared * own)) / proportion**2
    return (squared * own).sum(), own, of_producers, shares


def _effective_size(share: Any, variance: Any) -> Any:
    """Return the size of the simple random sample whose share has this variance, 1 or more; 1 if unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.maximum(share * (1 - share) / variance, 1)
    return np.where(np.isnan(size), 1, size)


def _limits(estimate: Any, size: Any, z: float) -> Floats:
    """Return (…, 2) Wilson limits of shares from samples of this size; 0 and 1 if the share is unknown."""
    middle, reach = (estimate + z * z / (2 * size)) / (1 + z * z / size), estimate * (1 - estimate) / size
    reach = z / (1 + z * z / size) * np.sqrt(np.maximum(reach, 0) + z * z / (4 * size * size))
    limits = np.clip(np.stack([middle - reach, middle + reach], axis=-1), 0, 1)
    return np.where(np.isnan(limits), [0.0, 1.0], limits)


def allocate_looks(size: NDArray[np.integer], spread: Floats, looks: int, minimum: int) -> Indices:
    """Share looks out to strata: a minimum or the whole stratum, the others by size times spread (Neyman, JRSS 97, 1934).

    Parameters
    ----------
    size : (H,) int, units of each stratum
    spread : (H,) float, expected standard deviation in each stratum, above 0
    looks : how many in all; at most all units
    minimum : looks at each stratum, if they are enough for that

    Returns
    -------
    (H,) int

    Examples
    --------
    >>> allocate_looks(np.array([1000, 100, 3]), np.ones(3), 50, 5).tolist()
    [39, 8, 3]
    """
    wanted = size * spread
    count = np.minimum(size, minimum).astype(float)
    while (left := min(looks, size.sum()) - count.sum()) > 1e-9:
        weight = np.where(count < size, wanted, 0.0)
        count = np.minimum(size, count + left * weight / weight.sum())
    if count.sum() > looks:  # fewer looks than the minimum of all strata together
        count *= looks / count.sum()
    whole = np.floor(count + 1e-9).astype(np.int64)
    missing = min(looks, int(size.sum())) - int(whole.sum())
    whole[np.argsort(whole - count, kind="stable")[:missing]] += 1
    return whole


def sample_size(
    mapped_area: Sequence[float] | np.ndarray,
    users_accuracy: Sequence[float] | np.ndarray,
    half_width: float,
    *,
    level: float = 0.95,
) -> int:
    """Return how many samples give the overall accuracy an interval of this half width.

    Source: Olofsson et al. 2014, equation 13, for samples shared out by area. Errors: InputError (numbers out of range).

    Parameters
    ----------
    mapped_area : (K,) area of each map class, in any unit
    users_accuracy : (K,) share of each class that is expected to be right, 0–1
    half_width : of the interval, as a share of the map, e.g. 0.02
    level : probability of the interval, between 0 and 1

    Returns
    -------
    Number of samples in all classes together.

    Examples
    --------
    The paper's example: a standard error of 0.01.

    >>> sample_size([0.020, 0.015, 0.320, 0.645], [0.70, 0.60, 0.90, 0.95], 0.0195996)
    641
    """
    areas, users = np.asarray(mapped_area, float), np.asarray(users_accuracy, float)
    _check_amounts(
        mapped_area=areas, users_accuracy=users, samples_per_unit=np.array([1 / half_width if half_width else np.inf])
    )
    if (users > 1).any() or not areas.any():
        raise InputError(f"Got user's accuracies {users.tolist()} of areas {areas.tolist()}, expected 0–1 and an area.")
    deviation = float((areas / areas.sum() * np.sqrt(users * (1 - users))).sum())
    return math.ceil(round((_z(level) * deviation / half_width) ** 2, 6))


def wilson_interval(positive: float, total: float, *, level: float = 0.95) -> Interval:
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
