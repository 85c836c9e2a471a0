"""Several opinions about one building as one: log-odds of the weight-free model, of a network and of scores, averaged.

Takes probabilities of the grades and the evidence with the columns of the others; returns probabilities of the grades.
Source: logarithmic opinion pool, Genest & Zidek 1986.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from deepnets4eo.damage.network.grader import COLUMNS
from deepnets4eo.damage.ordinal import grade_probabilities
from deepnets4eo.damage.raster_evidence import Score

CERTAIN = 1e-4  # no probability is taken to be nearer to 0 or 1, so that none outweighs all others


def pool_log_odds(
    weight_free: NDArray[np.float64], frame: pd.DataFrame, weight: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probabilities (N, 4) of the grades from the weight-free model and the network.

    At each border (minor or worse, major or worse, destroyed) the log-odds are averaged: `weight` of the network's,
    1 − `weight` of the weight-free model's (logarithmic opinion pool, Genest & Zidek 1986). Without the network's
    evidence, the weight-free probabilities stay.
    weight_free : (N, 4); frame : of the evidence, with the network's columns; weight : 0–1, one or (N,).
    """
    network = frame[list(COLUMNS.values())].to_numpy(float)
    share = np.broadcast_to(weight, len(network))[:, None]
    odds = (1 - share) * border_odds(weight_free) + share * border_odds(network)
    graded = np.asarray(np.isfinite(odds).all(axis=1))
    return np.where(graded[:, None], grade_probabilities(expit(odds)), weight_free)


def pool_scores(
    probabilities: NDArray[np.float64], frame: pd.DataFrame, scores: Sequence[Score]
) -> NDArray[np.float64]:
    """Probabilities (N, 4) of the grades, together with scores that have a weight.

    The log-odds of major damage or worse become the weighted average of the scores' and, with what is left to 1, the
    probabilities' own; those of the other borders move as far, since a score says nothing about them. Buildings without
    a score keep their log-odds.
    frame : of the evidence, with the scores' columns; NaN rows stay.
    """
    odds = border_odds(probabilities)
    shift = np.zeros(len(odds))
    for score in scores:
        if score.weight:
            log_odds = np.clip(score.log_odds(frame[score.column].to_numpy(float)), *logit([CERTAIN, 1 - CERTAIN]))
            shift += score.weight * np.where(np.isfinite(log_odds), log_odds - odds[:, 1], 0.0)
    return np.where((shift != 0)[:, None], grade_probabilities(expit(odds + shift[:, None])), probabilities)


def border_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) log-odds of lying beyond each border."""
    beyond = np.cumsum(probabilities[:, ::-1], axis=1)[:, -2::-1]
    return logit(np.clip(beyond, CERTAIN, 1 - CERTAIN))
