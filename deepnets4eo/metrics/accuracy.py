"""How sure a score or a count is: bootstrap over tiles, area-adjusted estimates, stratified counts, Wilson.

Takes counts; returns estimates with their intervals.
Refuses designs that cannot carry an interval (one tile, a stratum with fewer than two samples).
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
    """An estimate and the interval around it."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class AreaEstimate:
    """Accuracy and areas from a stratified sample; every `…_margin` is the half width of the interval.

    Arrays are (K,) in the order of the map classes; areas in the unit of `mapped_area`.
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
        """Plain values, the arrays by class name."""
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
    """Percentile intervals of scores, tiles drawn with replacement.

    Pixels of one tile are neighbours and no independent evidence; whole tiles are what is drawn. `scores` name
    properties of ConfusionMatrix that are one number. Errors: InputError for fewer than two tiles.
    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    if len(tiles) < 2:
        raise InputError(f"Got {len(tiles)} tile(s) with reference, a bootstrap needs 2 or more. Use smaller tiles.")
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
    """Accuracy and areas of a map from a sample stratified by map class.

    sample : (K, K) counts, **rows = map class** (the strata), columns = reference: the transpose of
    ConfusionMatrix.matrix. mapped_area : (K,) area of each map class, any unit (pixels, hectares).
    Errors: InputError for a stratum with fewer than two samples.
    Source: Olofsson et al., Remote Sensing of Environment 148, 2014, equations 1 to 11.
    """
    counts, areas = np.asarray(sample, float), np.asarray(mapped_area, float)
    if counts.ndim != 2 or counts.shape != (len(areas), len(areas)):
        raise InputError(f"Got a sample of {counts.shape} for {len(areas)} mapped areas, expected (K, K) for K areas.")
    drawn = counts.sum(axis=1)
    _check_strata(drawn)
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


def stratified_count(
    strata: Sequence[int], sampled: Sequence[int], positive: Sequence[int], *, level: float = 0.95
) -> Interval:
    """How many of a finite population are positive (damaged buildings), from a sample in each stratum.

    strata : size N_h of each stratum; sampled : n_h drawn; positive : those found positive. The finite-population
    correction 1 − n_h / N_h makes the interval close when everything has been looked at.
    Errors: InputError for a stratum with fewer than two samples, or more samples than members.
    Source: Cochran, Sampling Techniques, 1977, chapter 5; the twin of Olofsson's estimator for counts.
    """
    size, drawn, found = (np.asarray(values, float) for values in (strata, sampled, positive))
    _check_strata(drawn)
    if (drawn > size).any() or (found > drawn).any():
        raise InputError(f"Got strata {list(strata)}, sampled {list(sampled)}, positive {list(positive)}; expected "
                         "positive ≤ sampled ≤ size in each. Check the order of the arguments.")  # fmt: skip
    share = found / drawn
    variance = (size**2 * (1 - drawn / size) * share * (1 - share) / (drawn - 1)).sum()
    estimate, margin = float((size * share).sum()), float(_z(level) * np.sqrt(variance))
    # what was counted is certain, in both directions
    low, high = float(found.sum()), float(size.sum() - (drawn - found).sum())
    return Interval(estimate, max(estimate - margin, low), min(estimate + margin, high))


def wilson_interval(positive: int, total: int, *, level: float = 0.95) -> Interval:
    """Interval of a share from `positive` of `total` independent trials; honest at 0 and at 1, unlike Wald's.

    Errors: InputError unless 0 ≤ positive ≤ total and total > 0. Source: Wilson, JASA 22, 1927.

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


def _check_strata(drawn: np.ndarray) -> None:
    if (drawn < 2).any():
        raise InputError(f"Got {drawn.astype(int).tolist()} samples by stratum, each needs 2 or more. Draw more there.")


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"Got a level of {level}, expected a fraction between 0 and 1, for example 0.95.")
    return NormalDist().inv_cdf(0.5 + level / 2)
