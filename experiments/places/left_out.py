"""Grades of buildings by a reliability that was measured without their kind of site, or by a model as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from deepnets4eo.damage.estimates import UNKNOWN_RATES, GradingRates, corrected_share, fit_rates
from deepnets4eo.damage.fit_model import Graded
from deepnets4eo.damage.model import DamageModel, to_decision_table
from deepnets4eo.damage.probabilities import adjust_to_share
from deepnets4eo.damage.reliability import Reliability, fit_reliability
from deepnets4eo.damage.site import MOST_INFORMATION, choose_share, fit_to_site
from deepnets4eo.damage.vocabulary import GRADES, MAJOR

LEAST_BUILDINGS = 20  # buildings of a pair whose calibration error counts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Method:
    """What grades buildings from their log-odds (N, 3)."""

    reliability: Reliability
    rates: GradingRates

    @classmethod
    def fit(cls, log_odds: Array, data: Graded, most_information: float = MOST_INFORMATION) -> Method:
        """Reliability and rates of left-out log-odds."""
        site = np.unique(data.group, return_inverse=True)[1]
        reliability = fit_reliability(log_odds, data.grade, site, most_information)
        called = reliability.probabilities(log_odds)[:, MAJOR:].sum(axis=1) >= 0.5
        return cls(reliability, fit_rates(called, data.grade >= MAJOR, data.group))

    def rows(self, log_odds: Array, data: Graded) -> pd.DataFrame:
        """One row a building, with what `scores_of` reads; the share is estimated for each pair."""
        half = self.reliability.probabilities(log_odds)
        adjusted = np.empty_like(half)
        for pair in np.unique(data.group):
            here = data.group == pair
            at_site = fit_to_site(half[here], np.full(here.sum(), ""), {"": self.reliability.site})
            if at_site is not None:
                half[here], share = at_site.probabilities, at_site.share
            else:
                damaged = half[here][:, MAJOR:].sum(axis=1)
                second = corrected_share([(self.rates, int((damaged >= 0.5).sum()), int(here.sum()))])
                share = choose_share(logit(np.clip(damaged, 1e-4, 1 - 1e-4)), second).value
            adjusted[here] = adjust_to_share(half[here], share)
        members = np.ones(half.shape, bool)
        if self.reliability.sets is not None:
            members = self.reliability.sets.members(half)
        thresholds = np.tile(self.reliability.thresholds, (len(half), 1))
        return pd.DataFrame({
            "truth": data.grade, "grade": named_grades(adjusted, thresholds), "group": data.group,
            "probability": adjusted[:, MAJOR:].sum(axis=1), "probability_half": half[:, MAJOR:].sum(axis=1),
            "set_held": members[np.arange(len(half)), data.grade], "set_size": members.sum(axis=1),
        })  # fmt: skip


def left_out_rows(
    log_odds: Array,
    data: Graded,
    kind: NDArray[np.object_],
    world: NDArray[np.bool_],
    most_information: float = MOST_INFORMATION,
) -> pd.DataFrame:
    """Rows of the world's buildings, those of each kind with the reliability of all others."""
    parts = []
    for name in np.unique(kind[world]):
        others, here = kind != name, world & (kind == name)
        method = Method.fit(log_odds[others], data.rows(others), most_information)
        parts.append(method.rows(log_odds[here], data.rows(here)))
        parts[-1].index = np.flatnonzero(here)
    return pd.concat(parts).sort_index()


def model_rows(model: DamageModel, variant: str, data: Graded, world: NDArray[np.bool_]) -> pd.DataFrame:
    """Rows of the world's buildings by a model as it is."""
    fitted = model.variants[variant]
    log_odds = fitted.standardise(data.evidence[world]) @ fitted.weights.T + fitted.intercepts
    rows = Method(fitted.reliability, fitted.rates or UNKNOWN_RATES).rows(log_odds, data.rows(world))
    rows.index = np.flatnonzero(world)
    return rows


def named_grades(probabilities: Array, thresholds: Array) -> NDArray[np.integer]:
    """Grades 0–3 by the thresholds."""
    named = to_decision_table(probabilities, pd.RangeIndex(len(probabilities)), thresholds)["damage"]
    return np.array([GRADES.index(name) for name in named])
