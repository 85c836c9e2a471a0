"""How far a network's grades hold at a new site, beside the weight-free model and alone, from the notes of its run's card.

Takes a card, or the evidence with the network's columns; returns probabilities as they are where half of the buildings are damaged.
Refuses damaged notes. Measured by `experiments/damage_network_weight.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.network.grader import COLUMNS
from deepnets4eo.damage.opinion_pool import border_odds, pool_log_odds
from deepnets4eo.damage.reliability import Reliability
from deepnets4eo.damage.vocabulary import POST_ONLY, PRE_POST
from deepnets4eo.errors import RunError

# Notes of a card, by method: of run and weight-free model together at one `weight`, and of the run at buildings outside the range of
# that model, which it grades alone.
RELIABILITY, ALONE = "reliability", "reliability_alone"
WITH_NETWORK, NETWORK_ALONE = "_network", "_network_alone"  # kinds of reliability, after the method
NETWORK = list(COLUMNS.values())


@dataclass(frozen=True)
class NetworkReliability:
    """Measured reliability by method (`PRE_POST`, `POST_ONLY`), empty where it was not measured.

    together : of the weight-free model and the network at the network's weight; alone : of the network at buildings outside the range of
    that model.
    """

    together: dict[str, Reliability] = field(default_factory=dict)
    alone: dict[str, Reliability] = field(default_factory=dict)

    @classmethod
    def of_card(cls, card: dict[str, Any], run: str, weight: float, post_weight: float) -> NetworkReliability:
        """Read the notes of a card.

        weight, post_weight : of the run, on pairs and on the post image alone; what was measured with another weight is left out.
        Errors: RunError for notes that cannot be read.
        """
        weights = {PRE_POST: weight, POST_ONLY: post_weight}
        return cls(_of_note(card, run, RELIABILITY, weights), _of_note(card, run, ALONE, dict.fromkeys(weights, 1.0)))

    def gradable_alone(self, frame: pd.DataFrame, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) buildings that the network may grade alone. frame : the evidence; weights : (N,) of the network."""
        return graded_by_network(frame) & frame["method"].isin(list(self.alone)).to_numpy() & (weights > 0)

    def apply(
        self,
        weight_free: NDArray[np.float64],
        frame: pd.DataFrame,
        weights: NDArray[np.float64],
        kind: NDArray[np.object_],
        table: dict[str, Reliability],
    ) -> NDArray[np.float64]:
        """Probabilities (N, 4) with the network where that was measured, those of the weight-free model elsewhere.

        weight_free : (N, 4), NaN for buildings that the network grades alone; frame : the evidence; weights : (N,) of the network.
        kind, table : whose reliability holds for each building; changed where the network takes part.
        """
        graded = graded_by_network(frame) & (kind != "")
        if not graded.any():
            return weight_free
        even, method = weight_free.copy(), frame["method"].to_numpy()
        network, known = frame[NETWORK].to_numpy(float), np.isfinite(weight_free[:, 0])
        both, alone = pool_log_odds(weight_free, frame, weights), graded & ~known
        parts = (
            (self.together, WITH_NETWORK, graded & known & (weights > 0), both),
            (self.alone, NETWORK_ALONE, alone, network),
        )
        for measured, suffix, possible, opinion in parts:
            for name, reliability in measured.items():
                rows = possible & (method == name)
                if rows.any():
                    even[rows] = reliability.probabilities(border_odds(opinion[rows]))
                    kind[rows], table[name + suffix] = name + suffix, reliability
        return even


def graded_by_network(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) buildings for which the evidence has the network's probabilities; none without its columns."""
    if not set(NETWORK) <= set(frame.columns):
        return np.zeros(len(frame), bool)
    return np.asarray(frame[NETWORK].notna().all(axis=1))


def _of_note(card: dict[str, Any], run: str, note: str, weights: dict[str, float]) -> dict[str, Reliability]:
    try:
        content = card.get("notes", {}).get(note, {})
        return {
            method: Reliability.from_dict(part)
            for method, part in content.items()
            if math.isclose(float(part["weight"]), weights[method])
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{run}: `{note}` in its card cannot be read ({error}). Measure it again with fit_reliability, or leave it out."
        ) from error
