"""Earthquakes: roofs that are surely found again are standing, whatever the other evidence shows.

Two images of a city from different sides show other facades, other shadows and other streets, so much of the evidence
of damage appears without any damage.

A roof that is found again next to its expected position is no such artefact.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.arrays import Mask
from deepnets4eo.damage.buildings import Buildings
from deepnets4eo.outputs import Finding

MATCH = "ev_roof_match"
AGAIN = 0.6  # agreement with the pre image over that of the site's best roofs: 2 of 233 such roofs at five Turkish cities were damaged


def standing_roofs(buildings: Buildings) -> Mask:
    """Return (N,) buildings whose roof is surely found again in the image after."""
    if MATCH not in buildings.frame:
        return np.zeros(len(buildings), bool)
    return buildings.compared & (buildings.values(MATCH) >= AGAIN)


def standing_findings(standing: Mask | None, buildings: Buildings) -> tuple[Finding, ...]:
    """Return the finding on how many roofs were found again."""
    number = 0 if standing is None else int(standing.sum())
    if not number:
        return ()
    assessed = int(buildings.assessed.sum())
    return (Finding("roofs_found_again", "note", {"number": number, "assessed": assessed}, number),)
