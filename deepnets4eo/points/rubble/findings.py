"""What limits the worth of the volumes of a rubble map: heights that are missing, and where losses were not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.outputs.findings import Finding, count_of
from deepnets4eo.points.rubble.vocabulary import STANDING, UNKNOWN

FEW_STABLE = 200
LEAST_ROOF_SEEN = 0.5  # share of a roof from which volumes rest on it, not on walls
MOST_UNSEEN = 0.1  # of a lost volume, up to which it counts as seen


def lost_unseen(buildings: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """(N,) whether a building has come down, and the part without heights may have lost more than a tenth of lost_m3 again."""
    down = ~buildings["state"].isin([STANDING, UNKNOWN])
    return np.asarray(down & (buildings["lost_unseen_m3"] > MOST_UNSEEN * buildings["lost_m3"]))


def gap_findings(gaps: Sequence[tuple[int, Exception]]) -> tuple[Finding, ...]:
    """One finding where blocks have no heights. gaps : number of buildings of each such block, and what is missing."""
    if not gaps:
        return ()
    number = sum(count for count, _ in gaps)
    text = (
        f"{count_of(number, 'building')} could not be assessed, in {count_of(len(gaps), 'block')} without heights. The first: "
        f"{gaps[0][1]}"
    )
    return (Finding("blocks_without_heights", "caution", text, "Give heights of these buildings, or leave them out."),)


def findings_of(buildings: gpd.GeoDataFrame, fits: list[dict[str, Any]], paired: bool) -> tuple[Finding, ...]:
    """What limits the worth of the numbers."""
    findings = []
    unseen = int((buildings["state"] == UNKNOWN).sum())
    if unseen:
        text = f"Too few heights lie in {unseen} of {count_of(len(buildings), 'footprint')}: not assessed."
        findings.append(
            Finding("few_heights", "caution", text, "Scan from more positions, or lower least_known_share.")
        )
    roofless = int(((buildings["state"] != UNKNOWN) & (buildings["roof_seen_share"] < LEAST_ROOF_SEEN)).sum())
    if roofless:
        text = (
            f"Less than half of the roof was seen of {roofless} of {count_of(len(buildings), 'footprint')}: their states and volumes "
            "rest on walls and edges (roof_seen_share), and their intervals are wide."
        )
        findings.append(Finding("roofs_unseen", "caution", text, "Scan from the air, or from higher positions."))
    blind = lost_unseen(buildings)
    if blind.any():
        text = (
            f"The part without heights of {blind.sum()} of {count_of(len(buildings), 'footprint')} may have lost more than a tenth "
            "of lost_m3 again (lost_unseen_m3): lost_m3 was not seen, and is as a rule too small there."
        )
        findings.append(Finding("losses_unseen", "caution", text, "Scan from the air, or from higher positions."))
    down = ~buildings["state"].isin([STANDING, UNKNOWN])
    without_rule = int((down & buildings["rule_m3"].isna()).sum())
    if without_rule and buildings["rule_m3"].notna().any():
        text = (
            f"The rule of thumb is unknown for {without_rule} of {count_of(int(down.sum()), 'building')} that came down, as their "
            "heights before are: the sum of rule_m3 leaves them out."
        )
        findings.append(Finding("rule_unknown", "caution", text, "Give the heights of all buildings."))
    findings += _offset_findings(fits)
    unfitted = [fit for fit in fits if fit["cells"] < FEW_STABLE]
    if paired and unfitted:
        text = f"In {len(unfitted)} of {count_of(len(fits), 'block')} both dates share too little ground to compare heights."
        findings.append(Finding("little_stable_ground", "caution", text, "Give heights of a wider area."))
    unaligned = [fit["unaligned"] for fit in fits if fit["unaligned"]]
    if unaligned:
        text = (
            f"In {len(unaligned)} of {count_of(len(fits), 'block')} the footprints could not be moved onto the buildings of the "
            f"heights and lie as given: {unaligned[0]}."
        )
        remedy = (
            "Look whether they lie on the buildings in the page or a GIS; outlines that lie off make volumes wrong."
        )
        findings.append(Finding("footprints_unaligned", "caution", text, remedy))
    if not paired:
        text = "There are no heights from before: volumes lost are unknown, and smooth heaps or leaning roofs are not found."
        findings.append(Finding("post_only", "note", text, "Give heights from before the event."))
    return tuple(findings)


def _offset_findings(fits: list[dict[str, Any]]) -> list[Finding]:
    """A finding where stated heights lay above or below the roofs that stand."""
    offsets = [fit["stated_offset_m"] for fit in fits if fit.get("stated_offset_m")]
    if not offsets:
        return []
    most = max(offsets, key=abs)
    text = (
        f"The stated heights lie up to {abs(most):.1f} m {'above' if most > 0 else 'below'} the roofs of the buildings that "
        f"stand, in {len(offsets)} of {count_of(len(fits), 'block')}: this was taken out."
    )
    return [Finding("stated_heights_off", "caution", text, "Check what the column measures, and from where.")]
