"""Earthquakes: roofs that are surely found again are standing, unless the other evidence agrees on damage.

Two images of a city from different sides show other facades, other shadows and other streets, so much of the evidence
of damage appears without any damage.

A roof that is found again next to its expected position is no such artefact. The rate of damage among such roofs was measured at
five Turkish cities, and holds for no other hazard: a roof that a storm or fire has ruined may be found again, too. So at a building
that the network and the weight-free model both surely call damaged, the roof that is found again is one likelihood among the others, in
odds. Many such buildings that stay damaged contradict the hazard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.damage.buildings import Buildings
from deepnets4eo.damage.probabilities import set_damaged_probability
from deepnets4eo.damage.vocabulary import MAJOR
from deepnets4eo.outputs import Finding

MATCH = "ev_roof_match"
AGAIN = 0.6  # agreement with the pre image over that of the site's best roofs: 2 of 233 such roofs at five Turkish cities were damaged
# Probability from which a model surely calls a building damaged, if half of the buildings are. At Hatay and Kahramanmaras, seen from two sides,
# both reach 0.5 to 0.86 at eleven roofs that are found again: nine stand, one collapsed; after a tornado (Moore) up to 0.95 at ruins.
SURELY = 0.9
# Likelihood of a roof that is found again at a damaged building, over the likelihood at a standing one, at the same five cities:
# 2 of 50 against 231 of 413.
DAMAGED_OVER_STANDING = (2 / 50) / (231 / 413)
# Ruins under roofs that are found again which contradict an earthquake: number, and share of such roofs.
MIN_RUINS, MIN_RUINS_SHARE = 3, 0.03


@dataclass(frozen=True)
class FoundAgain:
    """Roofs that are surely found again in the image after, (N,) each.

    standing : without doubt
    doubtful : network and weight-free model both surely call the building damaged
    ruins : doubtful ones that both call damaged so surely that the roof does not outweigh them
    """

    standing: Mask
    doubtful: Mask
    ruins: Mask

    @classmethod
    def of(cls, buildings: Buildings, weight_free: Floats) -> FoundAgain:
        """Return the roofs of a table. weight_free : (N, 4) probabilities of the grades by the weight-free model."""
        if MATCH not in buildings.frame:
            return cls(*np.zeros((3, len(buildings)), bool))
        again = buildings.compared & (buildings.values(MATCH) >= AGAIN)
        with np.errstate(invalid="ignore"):  # buildings that one of them did not grade
            by_both = np.minimum(*(p[:, MAJOR:].sum(axis=1) for p in (weight_free, buildings.network)))
            doubtful, ruins = (again & (p >= limit) for p, limit in ((by_both, SURELY), (_less_likely(by_both), 0.5)))
        return cls(again & ~doubtful, doubtful, ruins)

    def weigh(self, even: Floats) -> Floats:
        """Return (N, 4) probabilities of the grades, with the roof among the likelihoods of doubtful buildings."""
        damaged = even[:, MAJOR:].sum(axis=1)
        return np.where(self.doubtful[:, None], set_damaged_probability(even, _less_likely(damaged)), even)

    def findings(self, buildings: Buildings) -> tuple[Finding, ...]:
        """Return how many roofs were found again, and whether so many of them are ruins that the hazard is in doubt."""
        number, ruins, assessed = (int(rows.sum()) for rows in (self.standing, self.ruins, buildings.assessed))
        roofs = int((self.standing | self.doubtful).sum())
        again = (
            (Finding("roofs_found_again", "note", {"number": number, "assessed": assessed}, number),) if number else ()
        )
        if ruins < max(MIN_RUINS, MIN_RUINS_SHARE * roofs):
            return again
        return (Finding("no_earthquake_in_images", "caution", {"ruins": ruins, "number": roofs}, ruins), *again)


def _less_likely(damaged: Floats) -> Floats:
    """Return (N,) probabilities of damage once a roof is found again, by Bayes."""
    odds = DAMAGED_OVER_STANDING * damaged
    return np.asarray(odds / (odds + 1 - damaged))
