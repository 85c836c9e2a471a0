"""The effect of water around buildings on their grades.

The roof of a flooded house looks whole; by official grades, surrounded is major damage and covered is destroyed (xBD,
Gupta et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepnets4eo.arrays import Floats, Mask, Texts
from deepnets4eo.damage.decision.estimates import IN_WATER_MEAN, InundatedBuildings
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import WaterAround
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import meaning_of
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR, is_damaged
from deepnets4eo.floods import BuildingWater, RingRules
from deepnets4eo.outputs import EventInfo, Finding, Phrase

if TYPE_CHECKING:
    from deepnets4eo.damage.decision.decision import Decision

CountsAs = Literal["damaged", "possibly-damaged", "shown"]
COVERED_SHARE = 0.5  # share of the outline under water, of a roof that is gone
# Of buildings whose ground is seen: from here on, ground that looks dry, such as under crowns, may be wet as well. It is 1 at Florence
# 480, Harvey 126, Midwest 00 and 06, and 0.92 at Nepal 408; a kept place, which was not looked at, has 34 of 41 by its headline.
EVERYWHERE = 0.8
IN_WATER = "buildings_in_water"  # code of the finding on their number
SURROUNDED, UNDER, UNKNOWN_WATER = "surrounded by water", "under water", "not told whether it stands in water"
NEARBY, PERHAPS = "in water, by the nearest ground that is seen", "perhaps in water: the ground around it is hidden"


@dataclass(frozen=True)
class Inundation:
    """Numbers of buildings by water: known, inundated, damaged by only structure and together, by only water, not assessed.

    structure : None if the structure of no building was assessed
    counts_as : what a building in new water counts as
    since_unknown : number in water that may be old
    unknown : number for which it is unknown, since water is not recognised
    source : source of the water
    """

    counts_as: CountsAs
    known: int
    inundated: int
    structure: int | None
    together: int
    by_water: int
    not_assessed: int
    since_unknown: int
    hidden: int
    unknown: int
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return findings on how many buildings are in water, and what they count as."""
        findings = []
        if self.not_assessed:
            findings.append(
                Finding(
                    "not_assessed_in_water", "caution", {"number": self.not_assessed, "source": Finding.verbatim(self.source)}, self.not_assessed
                )
            )  # fmt: skip
        if self.inundated:
            numbers = {"number": self.inundated, "structure": self.structure, "by_water": self.by_water or None}
            source, means = Finding.verbatim(self.source), Phrase(f"in_water_{self.counts_as}")
            findings.append(Finding(IN_WATER, "note", {**numbers, "source": source, "means": means}, self.inundated))
        if self.inundated and self.hidden and not self.unknown:
            findings.append(Finding("water_may_be_hidden", "note", {"number": self.hidden}, self.hidden))
        if self.since_unknown:
            findings.append(
                Finding("buildings_in_old_or_new_water", "caution", {"number": self.since_unknown}, self.since_unknown)
            )
        return tuple(findings)


def inundated_buildings(
    buildings: Buildings, water: WaterAround | None, settings: Settings
) -> InundatedBuildings | None:
    """Return the buildings in new water that the water grades; None without any. buildings : before the decision."""
    if water is None or settings.inundation == "shown":
        return None
    assessed = buildings.assessed
    around = water.around.where_seen(assessed)
    rows = (assessed | buildings.because(Reason.NOT_ON_BUILDINGS)) & around.surrounded
    unsure = assessed & ~around.known & (water.doubt is not None)
    near = _chance_of_hidden(around) if water.doubt is None else np.nan_to_num(around.hidden_share)
    hidden = (near > 0) & (rows | assessed)
    if not (rows | unsure | hidden).any():
        return None
    chance = np.where(hidden, near, around.ring_share if water.reach_m else 1.0)
    covered = rows & (np.nan_to_num(around.share) > COVERED_SHARE) & (water.reach_m == 0)
    counts = settings.inundation == "damaged"
    everywhere = not water.states_dry and _is_everywhere(around, assessed)
    return InundatedBuildings(rows, covered, np.where(rows | hidden, chance, 0.0), counts, unsure, hidden, everywhere)


def _is_everywhere(around: BuildingWater, assessed: Mask) -> bool:
    """Return whether nearly all assessed buildings whose ground is seen are in water."""
    seen = assessed & around.known
    return bool(seen.any() and around.surrounded[seen].mean() >= EVERYWHERE)


def _chance_of_hidden(around: BuildingWater) -> Floats:
    """Return (N,) the probability that buildings with a hidden ring are in water.

    The nearest ground that is seen decides, or else the share of the other buildings in water."""
    near = around.hidden_share
    known = around.known & np.isnan(near)
    others = float(around.surrounded[known].mean()) if known.any() else 0.0
    return np.where(around.known, np.nan_to_num(near), np.where(np.isnan(near), others, near))


def with_inundation(
    decision: Decision, water: WaterAround, inundated: InundatedBuildings | None, settings: Settings
) -> Decision:
    """Add the columns of water to the decision, and the grades that buildings in new water have by the crosswalk."""
    before = decision.buildings
    around = water.around.where_seen(before.assessed)
    grades = decision.grades
    if inundated is not None:
        capped = np.zeros(len(grades.named), bool) if decision.capped is None else decision.capped
        grades = _graded_by_water(grades, inundated, decision.share.value).cap(capped)
        decision = replace(decision, ungraded=decision.ungraded.add_notes(_notes(inundated)), grades=grades)
    inundation = _count_by_water(water, around, before, grades, settings.inundation)
    in_water = inundation.inundated or inundation.not_assessed or inundation.since_unknown
    unproven = () if water.unproven is None or in_water else (water.unproven,)
    findings = (*_doubt_first(water, inundation), *decision.findings, *inundation.findings(), *unproven)
    if unproven:
        around, inundation = around.unproven(), replace(inundation, known=0)
    wet = _with_water_columns(decision.ungraded, water, around)
    return replace(decision, ungraded=wet, findings=findings, inundation=inundation.to_dict())


def dry_hazard_findings(event: EventInfo, settings: Settings, in_water: int) -> tuple[Finding, ...]:
    """Report buildings in water that the images show although a dry hazard is named. in_water : number of buildings"""
    if event.is_flood is not False or settings.water is not None or not in_water:
        return ()
    return (
        Finding("water_at_dry_hazard", "caution", {"number": in_water, "name": Finding.verbatim(event.name)}, in_water),
    )


def inundation_after_answers(
    inundation: Mapping[str, Any], findings: tuple[Finding, ...], wet: Mask, before: Grades, after: Grades
) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Return the numbers of `Inundation.to_dict()` and the findings of a map after answers, which move grades from `before` to `after`.

    Grades of buildings on dry ground are those by only structure. In water only the number together changes, which limits that by
    structure, because what is damaged by structure is damaged. wet : (N,) in new water
    """
    if not inundation:
        return {}, findings
    damaged, was_damaged = (grades.known & is_damaged(grades.numbers) for grades in (after, before))
    together = int(damaged.sum())
    moved_on_dry_ground = int(damaged[~wet].sum()) - int(was_damaged[~wet].sum())
    structure = inundation["structure"]
    if structure is not None:
        structure = min(int(structure) + moved_on_dry_ground, together)
    moved = [
        replace(finding, values={**finding.values, "structure": structure}) if finding.code == IN_WATER else finding
        for finding in findings
    ]
    return {**inundation, "structure": structure, "together": together}, tuple(moved)


def _notes(inundated: InundatedBuildings) -> Texts:
    """Return (N,) what is known of the water around each building, else ''."""
    words = np.select(
        [inundated.covered, inundated.unsure, inundated.perhaps & inundated.rows, inundated.perhaps],
        [UNDER, UNKNOWN_WATER, NEARBY, PERHAPS],
        SURROUNDED,
    )
    return np.where(inundated.any_water, words, "").astype(object)


def _with_water_columns(buildings: Buildings, water: WaterAround, around: BuildingWater) -> Buildings:
    """Add the shares of water, and whether new water surrounds a building."""
    shares = {"ev_water_share": around.share, "ev_water_ring_share": around.ring_share}
    meaning = meaning_of(
        "water", new="new " if water.is_new else "", ring=f"2–{RingRules.outer_m + water.reach_m:.0f} m"
    )
    return buildings.with_columns(shares, meaning).with_inundated(around.inundated)


def _count_by_water(
    water: WaterAround, around: BuildingWater, before: Buildings, grades: Grades, counts_as: CountsAs
) -> Inundation:
    """Count buildings by water. before : by only structure; grades : by structure and water together."""
    assessed = before.assessed
    return Inundation(
        counts_as=counts_as,
        known=int((assessed & around.known).sum()),
        inundated=int((assessed & around.surrounded).sum()),
        structure=int(before.damaged.sum()) if before.by_structure.any() else None,
        together=int((grades.known & is_damaged(grades.numbers)).sum()),
        by_water=int(before.by_water.sum()),
        not_assessed=int((~assessed & around.surrounded).sum()),
        since_unknown=water.since_unknown,
        hidden=int((assessed & ~around.known).sum()),
        unknown=0 if water.doubt is None else int((~around.known).sum()),
        source=water.source,
    )


def _graded_by_water(grades: Grades, inundated: InundatedBuildings, share: float) -> Grades:
    """Combine the grades of structure and water; buildings in water have at least the grade of the crosswalk.

    share : probability of damage of buildings with only the water known, if water counts as no damage
    """
    rows = inundated.rows
    by_water = rows & ~grades.known
    if inundated.damaged:
        maybe = grades.known & (inundated.unsure | inundated.perhaps)
        by_both = inundated.grades(grades.probabilities, IN_WATER_MEAN)[:, : len(GRADES)]
        moved = grades.move(rows | maybe, by_both).keep_worse(maybe)
        least = np.where(inundated.covered, MAJOR + 1, MAJOR)
    else:
        unknown = np.array([1 - share, 0.0, share / 2, share / 2])
        structure = np.where(by_water[:, None], unknown, grades.probabilities)
        none = structure[:, 0] * (1 - IN_WATER_MEAN * inundated.chance)
        possibly = np.column_stack([none, structure[:, 1] + structure[:, 0] - none, structure[:, 2:]])
        moved, least = grades.move(rows, possibly), np.full(len(rows), MAJOR - 1)
    named = replace(moved, named=np.where(by_water, 0, moved.named), kept=moved.kept | by_water[:, None])
    return named.at_least(rows, least)


def _doubt_first(water: WaterAround, inundation: Inundation) -> tuple[Finding, ...]:
    """Report that water is not recognised, before all other findings of its severity: it concerns the whole map."""
    if water.doubt is None:
        return ()
    total = len(water.around.inundated)
    values = {**water.doubt.values, "unknown": inundation.unknown, "buildings": total}
    return (replace(water.doubt, values=values, affected=total),)
