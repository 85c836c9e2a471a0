"""Sites seen from two sides: each evidence weighed by its scatter among roofs that are found again.

Two images of a city from different sides show other facades, shadows and streets. Much evidence of damage then appears without any
damage: at Turkish cities the change of texture orders buildings the wrong way round. Eight columns keep their order there. Each is
expressed in robust deviations from roofs that are found again at the same site, and their plain sum is one more opinion.

A site is seen from two sides if roofs are displaced from their ground (`Buildings.leaning`), whatever hazard is named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.damage.decision.reliability import Opinion, Reliability
from deepnets4eo.damage.decision.site_fit import GIVEN_SHARE, NORMAL_MAD, ShareEstimate, SiteShift
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.probabilities import set_damaged_probability
from deepnets4eo.damage.table.vocabulary import MAJOR
from deepnets4eo.outputs import EventInfo, Finding

MATCH = "ev_roof_match"
AGAIN = 0.6  # agreement with the pre image over that of the site's best roofs: 2 of 233 such roofs at five Turkish cities were damaged
NETWORK = "network"  # its log-odds of major damage or worse
# Sign of each column. Chosen at Kahramanmaras 4 and Adiyaman 2 NE (AUC of at least .75 each); three cities kept aside confirmed the sum.
COLUMNS = {
    NETWORK: 1, MATCH: -1, "ev_right_angles": -1, "ev_outline_support": -1, "ev_structural_similarity": -1, "ev_right_angle_loss": 1,
    "ev_context_change": 1, "ev_context_roughness": 1,
}  # fmt: skip
LOWEST, HIGHEST = -3.0, 4.0  # deviations, so that no column outweighs the others
MIN_NETWORK = 1e-3  # distance of the network's probabilities from 0 and 1; at most intact roofs, they differ without meaning below it
MIN_REFERENCE = 10  # roofs found again, below which the site has no scale
# Log-odds of damage where half of the buildings are damaged: SLOPE · sum + INTERCEPT, and how they vary between sites and within them.
# Fitted to five Turkish cities; with one left out, the slope is .58 to .80, the levels are -3.0 to -5.0 and 2.7 to 4.0.
SLOPE, INTERCEPT = 0.64, -4.36
# Measured against roofs of the same site, buildings say more of its levels than a network at a new place (3): together they count as ten. Of
# 5, 7, 10, 16 and 30, ten has the best F1 at these cities (0.87; 0.85 with each left out); all intervals hold with each of them.
MEASURED = Reliability(spread=(0.5, 2.0, 2.0), site=SiteShift((-3.6, 3.3), (1.0, 1.4), 0.0, 2.4, most_information=17.0))
SHARE = 0.5  # of the log-odds; .4 and .6 call one to four more standing buildings of 400 at the five cities
# Likelihood of a roof that is found again at a damaged building, over the likelihood at a standing one, at the same five cities:
# 2 of 50 against 231 of 413. Known of earthquakes only.
DAMAGED_OVER_STANDING = (2 / 50) / (231 / 413)
# Share of roofs found again that network and weight-free model call damaged: at most .22 at the five cities, .54 after a fire (Santa Rosa 242).
MAX_RUINS = 1 / 3
# Lower end of the damaged share that contradicts an earthquake: at most .20 are damaged at the five cities, .53 or more after a hurricane,
# two tornadoes and two fires.
TOO_MANY, MOST_AT_CITIES = 0.35, 0.2


@dataclass(frozen=True)
class FoundAgain:
    """Roofs that are found again in the image after.

    again : (N,) such roofs
    damaged : (N,) probability of damage by network and weight-free model, the smaller one
    leaning : whether roofs are displaced from their ground
    """

    again: Mask
    damaged: Floats
    leaning: bool

    @classmethod
    def of(cls, buildings: Buildings, weight_free: Floats) -> FoundAgain:
        """Return the roofs of a table. weight_free : (N, 4) probabilities of the grades by the weight-free model."""
        if MATCH not in buildings.frame:
            return cls(np.zeros(len(buildings), bool), np.full(len(buildings), np.nan), leaning=False)
        again = buildings.compared & (buildings.values(MATCH) >= AGAIN)
        by_both = np.fmin(*(p[:, MAJOR:].sum(axis=1) for p in (weight_free, buildings.network)))
        return cls(again, by_both, bool(buildings.leaning.any()))

    @property
    def two_views(self) -> bool:
        """Return whether the site is seen from two sides, and roofs that are found again stand; after fires, ruins are found again, too."""
        number, ruins = int(self.again.sum()), int((self.again & (self.damaged >= 0.5)).sum())
        return self.leaning and number >= MIN_REFERENCE and ruins <= MAX_RUINS * number

    def opinion(self, buildings: Buildings) -> Opinion:
        """Return the opinion of the sum of deviations; unknown for buildings that are not compared."""
        sums = sum_of_deviations(buildings, self.again)
        return Opinion(SHARE, np.where(buildings.compared, SLOPE * sums + INTERCEPT, np.nan))

    def weigh(self, even: Floats) -> Floats:
        """Return (N, 4) probabilities of the grades, with the roof found again among the likelihoods."""
        damaged = even[:, MAJOR:].sum(axis=1)
        odds = DAMAGED_OVER_STANDING * damaged
        return np.where(self.again[:, None], set_damaged_probability(even, odds / (odds + 1 - damaged)), even)

    def findings(self, buildings: Buildings, event: EventInfo, share: ShareEstimate) -> tuple[Finding, ...]:
        """Return how many roofs were found again at a site seen from two sides, and whether the damage contradicts an earthquake."""
        number, assessed = int(self.again.sum()), int(buildings.assessed.sum())
        notes: tuple[Finding, ...] = ()
        if self.two_views:
            notes = (Finding("roofs_found_again", "note", {"number": number, "assessed": assessed}, number),)
        low = 0.0 if share.interval_95 is None else share.interval_95[0]
        if not event.is_earthquake or share.status == GIVEN_SHARE or low < TOO_MANY:
            return notes
        values = {"low": low * assessed, "assessed": assessed, "share": MOST_AT_CITIES}
        return (Finding("no_earthquake_in_images", "caution", values, assessed), *notes)


def sum_of_deviations(buildings: Buildings, reference: Mask) -> Floats:
    """Return (N,) the sum of `COLUMNS` in robust deviations from reference roofs (N,); missing columns count as the mean of the others.

    The agreement of roofs chooses the reference, so that its own scale comes from all buildings."""
    parts = []
    for name, sign in COLUMNS.items():
        if name not in (NETWORK, *buildings.frame.columns):
            continue
        values = sign * (_network_log_odds(buildings) if name == NETWORK else buildings.values(name))
        known = values[(buildings.compared if name == MATCH else reference) & np.isfinite(values)]
        if not len(known):
            continue
        middle = np.median(known)
        deviation = np.median(np.abs(known - middle)) / NORMAL_MAD
        parts.append(np.clip((values - middle) / max(deviation, 1e-6), LOWEST, HIGHEST))
    number = np.isfinite(parts).sum(axis=0)
    return np.asarray(len(COLUMNS) * np.nansum(parts, axis=0) / np.maximum(number, 1))


def _network_log_odds(buildings: Buildings) -> Floats:
    p = np.clip(buildings.network[:, MAJOR:].sum(axis=1), MIN_NETWORK, 1 - MIN_NETWORK)
    return np.asarray(np.log(p / (1 - p)))
