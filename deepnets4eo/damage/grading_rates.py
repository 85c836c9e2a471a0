"""How often a model grades damaged and intact buildings right, and what that does to a count of damaged buildings.

Takes calls on buildings that were left out of the fit, site by site; returns sensitivity and specificity with their
spread between sites, and an interval of the true count that holds the grading error (Rogan & Gladen 1978).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DRAWS = 4000
LEAST_AT_SITE = 10  # buildings of one side for a site's rate to count
LEAST_GAIN = 0.1  # sensitivity + specificity − 1 is taken to be no smaller: below it, calls say nothing of the count
LEAST_SD = 0.01
CALLED = "called"  # key beside rates: how many buildings are called damaged


@dataclass(frozen=True)
class Rate:
    """A rate with its spread between sites: `mean` and `sd`, both in 0–1."""

    mean: float
    sd: float

    def draw(self, rng: np.random.Generator, number: int) -> NDArray[np.float64]:
        """(number,) rates of sites like those of the fit: a beta distribution of this mean and spread."""
        mean = min(max(self.mean, 1e-3), 1 - 1e-3)
        variance = min(max(self.sd, LEAST_SD) ** 2, 0.9 * mean * (1 - mean))
        strength = mean * (1 - mean) / variance - 1
        return rng.beta(mean * strength, (1 - mean) * strength, number)


@dataclass(frozen=True)
class GradingRates:
    """Share of the damaged buildings that are called damaged, and of the others that are not.

    Damaged: major damage or worse; called so where the probability at an even prior is at least one half.
    """

    sensitivity: Rate
    specificity: Rate

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Plain values, for model file and summary."""
        return {name: {key: round(value, 4) for key, value in part.items()} for name, part in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> GradingRates:
        """Read what `to_dict` wrote. Errors: KeyError or TypeError for anything else."""
        sides = (content["sensitivity"], content["specificity"])
        return cls(*(Rate(float(side["mean"]), float(side["sd"])) for side in sides))

    def draw_counts(self, called: int, buildings: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(4000,) true numbers of damaged buildings that go with `called` of `buildings`, 0 … buildings.

        Each draw takes the rates of one site, undoes them, and adds the chance of single buildings.
        """
        sensitivity, specificity = (side.draw(rng, DRAWS) for side in (self.sensitivity, self.specificity))
        gain = np.maximum(sensitivity + specificity - 1, LEAST_GAIN)
        count = np.clip((called - (1 - specificity) * buildings) / gain, 0, buildings)
        chance = count * sensitivity * (1 - sensitivity) + (buildings - count) * specificity * (1 - specificity)
        return np.clip(count + rng.standard_normal(DRAWS) * np.sqrt(chance) / gain, 0, buildings)


# Of a site unlike those of the fit: anything from chance to perfect (mean and spread of a uniform rate in 0.5–1).
UNKNOWN_RATES = GradingRates(Rate(0.75, 0.1443), Rate(0.75, 0.1443))


def count_interval(parts: list[tuple[GradingRates, int, int]], rng: np.random.Generator) -> list[float]:
    """95 % interval of the true number of damaged buildings.

    parts : rates, number called damaged and number of buildings, for each kind of input that buildings were graded by.
    """
    total = np.sum([rates.draw_counts(called, buildings, rng) for rates, called, buildings in parts], axis=0)
    low, high = np.quantile(total, [0.025, 0.975])
    return [float(low), float(high)]


def corrected_share(parts: list[tuple[GradingRates, int, int]]) -> float | None:
    """Share of damaged buildings from the number of calls and how often they are right (Rogan & Gladen 1978); None without buildings.

    parts : as of `count_interval`. For two classes it is also what black-box shift estimation solves (Lipton et al. 2018).

    >>> rates = GradingRates(Rate(0.70, 0.03), Rate(0.96, 0.01))
    >>> round(corrected_share([(rates, 1200, 10_000)]), 6)
    0.121212
    """
    buildings = sum(number for _, _, number in parts)
    if buildings == 0:
        return None
    total = 0.0
    for rates, called, number in parts:
        gain = max(rates.sensitivity.mean + rates.specificity.mean - 1, LEAST_GAIN)
        total += min(max((called - (1 - rates.specificity.mean) * number) / gain, 0.0), float(number))
    return total / buildings


def share_by_calls(
    damaged: NDArray[np.float64], method: NDArray[np.object_], rates: Mapping[str, Mapping[str, Any]]
) -> float | None:
    """The same from probabilities of damage where half of the buildings are damaged; None where the rates of some are not known.

    damaged : (N,), NaN where not assessed; method : (N,) how each was assessed; rates : of each method, as of `to_dict`.
    """
    assessed = np.isfinite(damaged)
    parts = [
        (GradingRates.from_dict(rates[name]), int((damaged[rows] >= 0.5).sum()), int(rows.sum()))
        for name, rows in ((name, assessed & (method == name)) for name in rates)
    ]
    counted = sum(number for _, _, number in parts) == assessed.sum()
    return corrected_share(parts) if counted else None


def fit_rates(called: NDArray[np.bool_], damaged: NDArray[np.bool_], site: NDArray[np.object_]) -> GradingRates:
    """Rates over sites, every site with enough buildings of a side counting the same.

    called : (N,) calls on buildings left out of the fit; damaged : (N,) truth; site : (N,) names.
    """
    return GradingRates(
        _rate(called[damaged], site[damaged]),
        _rate(~called[~damaged], site[~damaged]),
    )


def _rate(right: NDArray[np.bool_], site: NDArray[np.object_]) -> Rate:
    """Mean of the sites' rates and the spread of one site around it; of all buildings where sites are too small."""
    sites = pd.Series(right.astype(float)).groupby(np.asarray(site, dtype=object)).agg(["mean", "size"])
    sites = sites[sites["size"] >= LEAST_AT_SITE]
    if len(sites) < 2:
        mean = float((right.sum() + 1) / (len(right) + 2))
        return Rate(mean, float(np.sqrt(mean * (1 - mean) / max(len(right), 1))))
    return Rate(float(sites["mean"].mean()), float(sites["mean"].std(ddof=1)))
