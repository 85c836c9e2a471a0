"""Which visible buildings are not assessed, or by the network alone, and where the confidence is limited.

Takes the table of evidence and the model; returns the table with such buildings not assessed, each with its reason.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.model import DamageModel
from deepnets4eo.damage.vocabulary import ASSESSED, NOT_ASSESSED

MOST_CONFIDENT = 0.6  # confidence in a grade on a site unlike those that the model was fitted on
LEAST_BUILDINGS = 5  # fewer say nothing about a site
BY_NETWORK = "graded by the network alone: "  # before the reason why the model did not


def set_not_assessed(evidence: EvidenceTable, reasons: NDArray[np.object_]) -> EvidenceTable:
    """The table where assessed buildings with a reason are not assessed; their evidence stays in the table.

    reasons : (N,) text, '' for buildings to be left as they are.
    """
    frame = evidence.frame
    rows = (frame["status"] == ASSESSED).to_numpy() & (reasons != "")
    changed = frame.assign(
        status=np.where(rows, NOT_ASSESSED, frame["status"]),
        reason=np.where(rows, reasons, frame["reason"]),
        method=np.where(rows, "", frame["method"]),
    )
    return replace(evidence, frame=changed)


def set_by_network(evidence: EvidenceTable, reasons: NDArray[np.object_]) -> EvidenceTable:
    """The table with the reason why the network alone grades a building. reasons : (N,) text, '' for the others."""
    reason = np.where(reasons != "", BY_NETWORK + reasons, evidence.frame["reason"])
    return replace(evidence, frame=evidence.frame.assign(reason=reason))


def unlike_the_fit(frame: pd.DataFrame, model: DamageModel, outside: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(N,) bool: buildings of a variant that was fitted on other kinds of sites.

    True for all buildings of a variant that finds a greater share of this site's buildings outside its range than of
    any site it was fitted on. frame : before any building was set aside; outside : (N,) reasons of `outside_range`.
    """
    unlike = np.zeros(len(frame), bool)
    names = model.variant_names(frame)
    for name, variant in model.variants.items():
        rows = names == name
        if variant.known is not None and rows.sum() >= LEAST_BUILDINGS:
            unlike |= rows & bool((outside[rows] != "").mean() > variant.known.place_share)
    return unlike


def cap_confidence(decided: pd.DataFrame, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """The decision with a confidence of at most 0.6 in some rows; grades and probabilities stay."""
    capped = decided["confidence"].clip(upper=MOST_CONFIDENT)
    return decided.assign(confidence=np.where(rows, capped, decided["confidence"]))
