"""A network and the weight-free model as one: log-odds averaged (logarithmic opinion pool, Genest & Zidek 1986)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.damage.decision.reliability import Judgement, Reliability
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.probabilities import border_log_odds, grade_probabilities
from deepnets4eo.damage.table.vocabulary import POST_ONLY, PRE_POST
from deepnets4eo.errors import RunError

# Notes of a card, by method: of run and weight-free model together at one `weight`, and of the run at buildings outside the range of
# that model, which it grades alone.
RELIABILITY, ALONE = "reliability", "reliability_alone"
WITH_NETWORK, NETWORK_ALONE = "_network", "_network_alone"  # kinds of reliability, after the method


def pool_log_odds(weight_free: Floats, network: Floats, weight: float | Floats) -> Floats:
    """Average log-odds at each border with the log-odds of the network (N, 4), unless NaN; return (N, 4) probabilities."""
    share = np.broadcast_to(weight, len(network))[:, None]
    odds = (1 - share) * border_log_odds(weight_free) + share * border_log_odds(network)
    graded = np.asarray(np.isfinite(odds).all(axis=1))
    return np.where(graded[:, None], grade_probabilities(scipy.special.expit(odds)), weight_free)


@dataclass(frozen=True)
class NetworkReliability:
    """Measured reliability by method: of model and network together, and of only the network beyond the model's range."""

    together: dict[str, Reliability] = field(default_factory=dict)
    alone: dict[str, Reliability] = field(default_factory=dict)

    @classmethod
    def of_card(cls, card: dict[str, Any], run: str, weight: float, post_weight: float) -> NetworkReliability:
        """Read the notes of a card that were measured with these weights. Errors: RunError."""
        weights = {PRE_POST: weight, POST_ONLY: post_weight}
        return cls(_of_note(card, run, RELIABILITY, weights), _of_note(card, run, ALONE, dict.fromkeys(weights, 1.0)))

    def gradable_alone(self, buildings: Buildings, weights: Floats) -> Mask:
        """Return (N,) buildings that the network may grade without the model. weights : (N,) of the network."""
        return buildings.graded_by_network & np.isin(buildings.method, list(self.alone)) & (weights > 0)

    def pool_network(self, model_alone: Judgement, buildings: Buildings, weights: Floats) -> Judgement:
        """Return the judgement with the network. model_alone : NaN for buildings that only the network grades."""
        method, known = buildings.method, np.isfinite(model_alone.probabilities[:, 0])
        graded = buildings.graded_by_network & (model_alone.whose != "")
        judgement, open_rows = model_alone, graded & known & (weights > 0)
        if not graded.any():
            return model_alone
        both = pool_log_odds(model_alone.probabilities, buildings.network, weights)
        parts = (
            (self.together, WITH_NETWORK, open_rows, both),
            (self.alone, NETWORK_ALONE, graded & ~known, buildings.network),
        )
        for measured, suffix, possible, opinion in parts:
            for name, reliability in measured.items():
                rows = possible & (method == name)
                if rows.any():
                    calibrated = reliability.probabilities(border_log_odds(opinion[rows]))
                    judgement = judgement.with_rows(rows, name + suffix, reliability, calibrated)
        unmeasured = open_rows & (judgement.whose == model_alone.whose)
        return judgement.widen_rows(np.where(unmeasured, weights, 0.0), both)


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
