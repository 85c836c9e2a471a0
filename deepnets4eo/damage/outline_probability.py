"""How sure the network was of outlines that it found, as a column of the evidence; it plays no part in the grade.

Takes footprints from `find_buildings`, or from a file made of them; others have no such column.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.footprints.read import Footprints

PROBABILITY = "building_prob"  # column of the outlines
COLUMN = "ev_building"
MEANING = "mean probability of a building inside the outline, of the network that found it, 0–1; not in the decision"


def with_outline_probability(evidence: EvidenceTable, footprints: Footprints) -> EvidenceTable:
    """The table with a column for it where the footprints have one; NaN for buildings that are not assessed."""
    attributes = footprints.attributes
    if attributes is None or PROBABILITY not in attributes:
        return evidence
    assessed = (evidence.frame["status"] == ASSESSED).to_numpy()
    values = pd.to_numeric(attributes[PROBABILITY], errors="coerce").where(assessed).to_numpy(float)
    return replace(
        evidence, frame=evidence.frame.assign(**{COLUMN: values}), meaning=evidence.meaning | {COLUMN: MEANING}
    )
