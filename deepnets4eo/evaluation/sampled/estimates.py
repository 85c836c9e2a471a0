"""Estimates from the answers to a sample: accuracy and area of classes with intervals, and the better of two maps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import AreaEstimate, area_adjusted, wilson_interval

HALF_WIDTHS = (0.05, 0.03, 0.02)  # of the overall accuracy, for which the number of answers is stated
MIN_EACH = 2  # answers in each class


@dataclass(frozen=True)
class MapAccuracy:
    """Accuracy and areas of a map by its sample.

    Parameters
    ----------
    names : the K classes, and "other" if an answer names none of them
    answers, cannot_tell : answers with a class, and without
    table : (K, K) answers, rows = map, columns = people
    estimate : see `metrics.AreaEstimate`; areas in hectares, or in shares of the map without a CRS
    unit : "ha" or "share"
    needed : half width of the overall accuracy's interval → number of answers, see `AreaEstimate.samples_for`
    trusted : the part of the map that is right often enough, see `trusted`
    """

    names: tuple[str, ...]
    answers: int
    cannot_tell: int
    table: Indices
    estimate: AreaEstimate
    unit: str
    needed: dict[float, int]
    trusted: dict[str, Any]

    def headline(self) -> str:
        """Return the overall accuracy and the trusted share in one line."""
        low, high = self.estimate.overall_accuracy_interval
        trusted = self.trusted
        part = f"{trusted['share']:.0%} of it can be trusted" if trusted["share"] else "no part of it is sure"
        return (
            f"{self.estimate.overall_accuracy:.1%} of the map is right ({low:.1%}–{high:.1%}, 95 %), by {self.answers:,} "
            f"answers; {part} to be right in {trusted['accuracy']:.0%} of its area"
        )

    def lines(self) -> list[str]:
        """Return one line per class that is mapped or was seen: right, detected, area."""
        estimate = self.estimate
        lines = []
        for number, name in enumerate(self.names):
            if not (self.table[number].any() or self.table[:, number].any()):
                continue
            users, producers = (
                _range_text(value[number], limits[number])
                for value, limits in (
                    (estimate.users_accuracy, estimate.users_accuracy_interval),
                    (estimate.producers_accuracy, estimate.producers_accuracy_interval),
                )
            )
            low, high = estimate.area_interval[number]
            size = (
                _range_text(estimate.area[number], estimate.area_interval[number]) + " of the map"
                if self.unit == "share"
                else f"{estimate.area[number]:,.2f} ha ({low:,.2f}–{high:,.2f})"
            )
            lines.append(f"{name}: {users} of what is mapped is right, {producers} of it is mapped, area {size}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "answers": self.answers, "cannot_tell": self.cannot_tell, "classes": list(self.names), "area_unit": self.unit,
            **self.estimate.to_dict(self.names), "table": self.table.tolist(), "trusted": self.trusted,
            "answers_needed": {f"{width:g}": number for width, number in self.needed.items()},
        }  # fmt: skip


def estimate_accuracy(
    names: tuple[str, ...],
    table: Indices,
    area: Floats,
    unit: str,
    cannot_tell: int,
    trusted: dict[str, Any],
    weighted: Floats | None = None,
) -> MapAccuracy:
    """Estimate accuracy and areas. Errors: InputError for mapped classes with fewer than two answers.

    table : (K, K) answers, rows = map class; area : (K,) mapped area; weighted : the table of `by_area`, by default the answers
    """
    seen = table.sum(axis=1)
    if (few := (area > 0) & (seen < MIN_EACH)).any():
        missing = ", ".join(f"{names[number]} ({seen[number]})" for number in np.flatnonzero(few))
        raise InputError(f"these classes have fewer than {MIN_EACH} answers: {missing}. Answer more points, in order.")
    estimate = area_adjusted(table if weighted is None else weighted, area)
    needed = {width: estimate.samples_for(width) for width in HALF_WIDTHS}
    return MapAccuracy(names, int(table.sum()), cannot_tell, table, estimate, unit, needed, trusted)


def by_area(pairs: Indices, areas: Floats | None, number: int) -> Floats:
    """Return (K, K) answers weighted by the area of their pixels: each row is the number of answers that are as sure (Kish 1965).

    A pixel of each class is drawn as often as any other, so that a large one stands for more ground.

    pairs : (n, 2) map class and answer
    areas : (n,) of the pixels; None: all alike, the answers are counted
    """
    rows, columns = pairs.T
    table = np.bincount(rows * number + columns, areas, number**2).reshape(number, number)
    if areas is None:
        return np.asarray(table, float)
    squares, counts = np.bincount(rows, areas**2, number), np.bincount(rows, minlength=number)
    sums = table.sum(axis=1)
    as_sure = np.maximum(sums**2 / np.where(squares > 0, squares, 1), np.minimum(counts, MIN_EACH))
    return np.asarray(table * (as_sure / np.where(sums > 0, sums, 1))[:, None], float)


@dataclass(frozen=True)
class MapDifference:
    """The better of two maps, by a simple random sample of the pixels in which both differ.

    Parameters
    ----------
    first, second, neither : answers where only this map is right, or none
    cannot_tell : answers without a class
    share : share of the pixels, 0–1, in which the maps differ
    p_value : of the exact test of McNemar (1947): as unequal a division if both were right equally often
    difference, low, high : accuracy of the first map minus the second, over all pixels, and its 95 % interval
    """

    first: int
    second: int
    neither: int
    cannot_tell: int
    share: float
    p_value: float
    difference: float
    low: float
    high: float

    def headline(self) -> str:
        """Return which map is better in one line."""
        better = "the first map" if self.difference > 0 else "the second map"
        verdict = f"{better} is better" if self.p_value < 0.05 else "neither is shown to be better"
        return (
            f"{verdict}: where they differ ({self.share:.1%} of the map), the first is right {self.first} times, the second "
            f"{self.second}, neither {self.neither} (p = {self.p_value:.2g}); accuracy of the first minus the second "
            f"{self.difference:+.1%} ({self.low:+.1%} to {self.high:+.1%}, 95 %)"
        )

    def lines(self) -> list[str]:
        """Return nothing: the headline states all."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def estimate_difference(
    first: int, second: int, neither: int, cannot_tell: int, share: float, weighted: Floats | None = None
) -> MapDifference:
    """Compare two maps by answers to the pixels in which both differ. Errors: InputError without an answer.

    weighted : (3,) first, second and neither by the area of their pixels, as in `by_area`; by default the answers

    The interval is the sum of Wilson's limits of both shares (Newcombe, Statistics in Medicine 17, 1998, method 10 for pairs).
    """
    from scipy.stats import binomtest

    total = first + second + neither
    if not total:
        raise InputError("no point has an answer that names a class. Answer some of the sample first.")
    p_value = float(binomtest(first, first + second).pvalue) if first + second else 1.0
    sizes = np.array([first, second, neither], float) if weighted is None else weighted
    one, two = (wilson_interval(count, float(sizes.sum())) for count in sizes[:2].tolist())
    odds = one.estimate * two.estimate
    correlation = -float(np.sqrt(odds / ((1 - one.estimate) * (1 - two.estimate)))) if odds else 0.0
    below = _reach(one.estimate - one.low, two.high - two.estimate, correlation)
    above = _reach(one.high - one.estimate, two.estimate - two.low, correlation)
    difference = one.estimate - two.estimate
    low, high = max(difference - below, -1.0), min(difference + above, 1.0)
    return MapDifference(
        first, second, neither, cannot_tell, share, p_value, share * difference, share * low, share * high
    )


def _reach(of_one: float, of_two: float, correlation: float) -> float:
    """Return how far the limit of a difference is from it, by the limits of both shares and their correlation."""
    return float(np.sqrt(max(of_one**2 - 2 * correlation * of_one * of_two + of_two**2, 0.0)))


def _range_text(value: float, limits: Floats) -> str:
    """Return a share with its interval in percent."""
    if np.isnan(value):
        return "unknown share"
    return f"{value:.0%} ({limits[0]:.0%}–{limits[1]:.0%})"
