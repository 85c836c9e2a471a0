"""What water around buildings means for their grades.

The roof of a flooded house looks whole; by official grades, surrounded is major damage and covered is destroyed (xBD,
Gupta et al. 2019)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.decision.estimates import FLOODED_MEAN, IN_WATER_MEAN, InundatedBuildings, with_unknown_water
from deepnets4eo.damage.decision.model import cap_confidence
from deepnets4eo.damage.inputs.placing import NOT_ON_BUILDINGS
from deepnets4eo.damage.inputs.settings import Settings
from deepnets4eo.damage.inputs.site import WaterAround
from deepnets4eo.damage.vocabulary import ASSESSED, BY_WATER, DAMAGED, GRADES, MAJOR
from deepnets4eo.floods import OUTER_M, BuildingWater
from deepnets4eo.outputs import Finding, Phrase, Value

if TYPE_CHECKING:
    from deepnets4eo.damage.decision.decision import Decision

CountsAs = Literal["damaged", "possibly-damaged", "shown"]
COVERED = 0.5  # share of the outline under water, of a roof that is gone
WATER, RING = "ev_water_share", "ev_water_ring_share"
SURROUNDED, UNDER, UNKNOWN_WATER = "surrounded by water", "under water", "not told whether it stands in water"
NEARBY, PERHAPS = "in water, by the nearest ground that is seen", "perhaps in water: the ground around it is hidden"
POSSIBLY = GRADES[1]  # of a building in water that counts as possibly damaged
LEAST_CHANCE = 0.05  # chance of damage by water from which that of a building whose ground is hidden is not excluded
EVERYTHING = ",".join(GRADES)  # what cannot be excluded of a structure that is not known


@dataclass(frozen=True)
class Inundation:
    """Numbers of buildings by water: known, inundated, damaged by structure alone and together, by water alone, not assessed.

    counts_as : what a building in new water counts as
    since_unknown : in water that may be old
    unknown : of which it is not known, since water is not recognised
    source : of the water
    """

    counts_as: CountsAs
    known: int
    inundated: int
    structure: int
    together: int
    by_water: int
    not_assessed: int
    since_unknown: int
    hidden: int
    unknown: int
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def findings(self) -> tuple[Finding, ...]:
        """How many buildings stand in water, and as what they count."""
        findings = []
        if self.not_assessed:
            findings.append(
                Finding(
                    "not_assessed_in_water", "caution", {"number": self.not_assessed, "source": self.source}, self.not_assessed
                )
            )  # fmt: skip
        if self.inundated:
            values: dict[str, Value] = {
                "number": self.inundated, "source": self.source, "means": Phrase(f"in_water_{self.counts_as}"), "structure": self.structure,
                "by_water": Phrase("only_water_known", {"number": self.by_water}) if self.by_water else "",
            }  # fmt: skip
            findings.append(Finding("buildings_in_water", "note", values, self.inundated))
        if self.inundated and self.hidden and not self.unknown:
            findings.append(Finding("water_may_be_hidden", "note", {"number": self.hidden}, self.hidden))
        if self.since_unknown:
            findings.append(
                Finding("buildings_in_old_or_new_water", "caution", {"number": self.since_unknown}, self.since_unknown)
            )
        return tuple(findings)


def inundated_buildings(
    frame: pd.DataFrame, water: WaterAround | None, settings: Settings
) -> InundatedBuildings | None:
    """Buildings in new water that get a grade by it; None without any. frame : before the decision."""
    if water is None or settings.inundation == "shown":
        return None
    assessed = (frame["status"] == ASSESSED).to_numpy()
    around = water.around.where_seen(assessed)
    rows = (assessed | (frame["reason"] == NOT_ON_BUILDINGS).to_numpy()) & around.surrounded
    unsure = assessed & ~around.known & (water.doubt is not None)
    near = _chance_of_hidden(around) if water.doubt is None else np.zeros(len(rows))
    hidden = (near > 0) & (rows | assessed)
    if not (rows | unsure | hidden).any():
        return None
    chance = np.where(hidden, near, around.ring_share if water.reach_m else 1.0)
    covered = rows & (np.nan_to_num(around.share) > COVERED) & (water.reach_m == 0)
    counts = settings.inundation == "damaged"
    return InundatedBuildings(rows, covered, np.where(rows | hidden, chance, 0.0), counts, unsure, hidden)


def _chance_of_hidden(around: BuildingWater) -> Floats:
    """(N,) how likely buildings whose ring is hidden stand in water: by the nearest ground that is seen, else as many as of the others."""
    near = around.hidden_share
    known = around.known & np.isnan(near)
    others = float(around.surrounded[known].mean()) if known.any() else 0.0
    return np.where(around.known, np.nan_to_num(near), np.where(np.isnan(near), others, near))


def with_inundation(
    decision: Decision, water: WaterAround, inundated: InundatedBuildings | None, settings: Settings
) -> Decision:
    """The decision with the columns of water, and the grades that buildings in new water have by the crosswalk."""
    frame, graded = decision.evidence.frame, decision.graded
    assessed = (frame["status"] == ASSESSED).to_numpy()
    around = water.around.where_seen(assessed)
    by_water = (frame["method"] == BY_WATER).to_numpy()
    wet = assessed & around.surrounded
    structure = graded["damage"].isin(DAMAGED).to_numpy()
    if inundated is not None:
        prefix = np.select(
            [inundated.covered, inundated.unsure, inundated.perhaps & inundated.rows, inundated.perhaps],
            [UNDER, UNKNOWN_WATER, NEARBY, PERHAPS],
            SURROUNDED,
        )
        joined = [f"{word}; {reason}" if reason else word for word, reason in zip(prefix, frame["reason"], strict=True)]
        frame = frame.assign(reason=np.where(inundated.any_water, np.array(joined, object), frame["reason"]))
        graded = _regraded(graded, inundated, decision.share.value)
        graded = _with_unknown_water(graded, inundated) if inundated.damaged else graded
        graded = graded if decision.unlike is None else cap_confidence(graded, decision.unlike)
    shares = {WATER: np.where(assessed, around.share, np.nan), RING: np.where(assessed, around.ring_share, np.nan)}
    new, ring = "new " if water.is_new else "", f"2–{OUTER_M + water.reach_m:.0f} m"
    meaning = {
        WATER: f"post: share of the outline that is {new}water, 0–1",
        RING: f"post: share of the ring of {ring} around the outline that is {new}water, 0–1",
    }
    evidence = replace(
        decision.evidence,
        frame=frame.assign(**shares, inundated=around.inundated),
        meaning=decision.evidence.meaning | meaning,
    )
    inundation = Inundation(
        counts_as=settings.inundation,
        known=int((assessed & around.known).sum()),
        inundated=int(wet.sum()),
        structure=int(structure.sum()),
        together=int(graded["damage"].isin(DAMAGED).sum()),
        by_water=int(by_water.sum()),
        not_assessed=int((~assessed & around.surrounded).sum()),
        since_unknown=water.since_unknown,
        hidden=int((assessed & ~around.known).sum()),
        unknown=0 if water.doubt is None else int((~around.known).sum()),
        source=water.source,
    )
    findings = (*_doubt_first(water, inundation), *decision.findings, *inundation.findings())
    return replace(decision, evidence=evidence, graded=graded, findings=findings, inundation=inundation.to_dict())


def _regraded(graded: pd.DataFrame, inundated: InundatedBuildings, share: float) -> pd.DataFrame:
    """The decision in which buildings in water have at least the crosswalk's grade. share : probability where only water is known."""
    rank = {grade: number for number, grade in enumerate(GRADES)}
    now = graded["damage"].map(rank).fillna(-1).to_numpy(int)
    wet, by_water = inundated.rows, inundated.rows & (now < 0)
    least = np.full(len(graded), rank[GRADES[MAJOR] if inundated.damaged else POSSIBLY])
    if inundated.damaged:
        least[inundated.covered] = rank[GRADES[3]]
    changed = wet & (now < least)
    after = np.where(changed, least, now)
    names = graded["damage"].to_numpy(object).copy()
    names[changed] = np.array(GRADES, object)[after[changed]]
    sets = graded["damage_set"].to_numpy(object).copy()
    sets[by_water] = EVERYTHING
    for row in np.flatnonzero(changed):
        known = [rank[name] for name in sets[row].split(",")] + [int(after[row])]
        sets[row] = ",".join(GRADES[min(known) : max(known) + 1])
    by_structure = np.where(by_water, 0.0 if inundated.damaged else share, graded["damage_prob"].to_numpy(float))
    probability = IN_WATER_MEAN * inundated.chance
    prob = np.where(wet, np.maximum(by_structure, probability), by_structure) if inundated.damaged else by_structure
    confidence = np.where(changed, probability, graded["confidence"])
    return graded.assign(damage=names, damage_set=sets, damage_prob=prob, confidence=confidence)


def _with_unknown_water(graded: pd.DataFrame, inundated: InundatedBuildings) -> pd.DataFrame:
    """The decision in which no damage by water is excluded of buildings of which it is not known whether they stand in it."""
    in_water = np.where(inundated.unsure, IN_WATER_MEAN * FLOODED_MEAN, IN_WATER_MEAN * inundated.chance)
    graded_dry = graded["damage"].notna().to_numpy() & ~inundated.rows & (in_water >= LEAST_CHANCE)
    unsure = graded_dry & (inundated.unsure | inundated.perhaps)
    rank = {grade: number for number, grade in enumerate(GRADES)}
    sets = [
        ",".join(GRADES[min(rank[name] for name in names.split(",")) :]) if row else names
        for row, names in zip(unsure, graded["damage_set"], strict=True)
    ]
    probability, confidence = (graded[name].to_numpy(float) for name in ("damage_prob", "confidence"))
    intact = unsure & ~graded["damage"].isin(DAMAGED).to_numpy()
    return graded.assign(
        damage_set=pd.Series(sets, graded.index, dtype=object),
        damage_prob=np.where(unsure, with_unknown_water(probability, in_water), probability),
        confidence=np.where(intact, confidence * (1 - in_water), confidence),
    )


def _doubt_first(water: WaterAround, inundation: Inundation) -> tuple[Finding, ...]:
    """That water is not recognised, before all other findings of its severity: it concerns the whole map."""
    if water.doubt is None:
        return ()
    total = len(water.around.inundated)
    values = {**water.doubt.values, "unknown": inundation.unknown, "buildings": total}
    return (replace(water.doubt, values=values, affected=total),)
