"""The network's word and that of the weight-free model, put together.

Takes evidence, a grader and the weight of its word; gives the evidence with its columns, and probabilities. Buildings
the network did not see in both images keep the weight-free decision.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.evidence.table import PRE_POST
from deepnets4eo.damage.ordinal import grade_probabilities
from deepnets4eo.damage.siamese.evidence import COLUMNS, MEANING

logger = logging.getLogger(__name__)

CERTAIN = 1e-4  # no probability is taken to be nearer to 0 or 1: no single voice is beyond doubt


def with_network(evidence: EvidenceTable, probabilities: pd.DataFrame) -> EvidenceTable:
    """The table with the network's columns; blank for buildings that are not judged from both images."""
    paired = (evidence.frame["method"] == PRE_POST).to_numpy()
    columns = probabilities.where(pd.Series(paired, probabilities.index), np.nan)
    logger.info("the network graded %d of %d buildings", int(columns.notna().all(axis=1).sum()), len(paired))
    added = {name: columns[name].to_numpy() for name in COLUMNS.values()}
    return EvidenceTable(evidence.frame.assign(**added), evidence.meaning | MEANING)


def combined(weight_free: NDArray[np.float64], frame: pd.DataFrame, weight: float) -> NDArray[np.float64]:
    """Probabilities (N, 4) of the grades from both voices.

    At each border (minor or worse, major or worse, destroyed) the log-odds are averaged: `weight` of the network's,
    1 − `weight` of the weight-free model's (logarithmic opinion pool, Genest & Zidek 1986). Without the network's
    evidence, the weight-free probabilities stay.
    weight_free : (N, 4); frame : of the evidence, with the network's columns; weight : 0–1.
    """
    network = frame[list(COLUMNS.values())].to_numpy(float)
    odds = (1 - weight) * _border_odds(weight_free) + weight * _border_odds(network)
    return np.where(np.isfinite(odds).all(axis=1)[:, None], grade_probabilities(expit(odds)), weight_free)


def _border_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) log-odds of lying beyond each border."""
    beyond = np.cumsum(probabilities[:, ::-1], axis=1)[:, -2::-1]
    return logit(np.clip(beyond, CERTAIN, 1 - CERTAIN))
