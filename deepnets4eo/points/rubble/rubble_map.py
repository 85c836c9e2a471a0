"""Options and result of a rubble job, and findings: what limits the worth of the volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.options import key, option, option_group
from deepnets4eo.outputs import EventInfo, Finding, Phrase, count_of
from deepnets4eo.registration import AssumeRegistered

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from deepnets4eo.points.rubble.epochs import EpochFit

RUBBLE_CLASS = 70  # LAS 1.4 leaves the codes 64-255 to users; IGN has 64-67, so that both fit in one file

FEW_STABLE_CELLS = 200  # cells of ground below which both dates cannot be compared
MIN_ROOF_SEEN_SHARE = 0.5  # share of a roof from which volumes rest on it, not on walls
MAX_UNSEEN = 0.1  # of a lost volume, up to which it counts as seen

SUBJECT = "Rubble"  # of titles


class BuildingState:
    """States of a building as heights show them: words of the column `state`, with their colours and grades of damage."""

    standing: ClassVar[str] = "standing"
    partly: ClassVar[str] = "partly-collapsed"
    collapsed: ClassVar[str] = "collapsed"
    cleared: ClassVar[str] = "cleared"
    unknown: ClassVar[str] = "not-assessed"
    words: ClassVar[tuple[str, ...]] = (standing, partly, collapsed, cleared, unknown)
    colours: ClassVar[dict[str, tuple[int, int, int]]] = {
        standing: (90, 160, 255),
        partly: (255, 214, 64),
        collapsed: (255, 60, 60),
        cleared: (255, 130, 220),
        unknown: (160, 160, 160),
    }
    # Heights show a roof that has come down, not its covering: standing is at best "no-damage", and no state is "minor-damage".
    grades: ClassVar[dict[str, str]] = {
        standing: "no-damage",
        partly: "major-damage",
        collapsed: "destroyed",
        cleared: "destroyed",
        unknown: "not-assessed",
    }


MEANING = {
    "area_m2": "area of the footprint, m²",
    "terrain_m": "height of the terrain under the building, metres",
    "height_pre_m": "mean height above the terrain before the event, metres; post-only: of the footprints' column",
    "roof_height_loss_m": "mean fall of the surface inside the footprint, metres; negative where it rose",
    "collapsed_share": "share of the footprint whose surface has fallen (post-only: that is bare, or low and rough), 0–1",
    "rubble_share": "share of the footprint where debris lies: fallen, and no higher than a heap, 0–1",
    "volume_pre_m3": "volume between roof and terrain before the event, m³",
    "lost_m3": "volume between the surfaces before and after where the surface has fallen, m³",
    "lost_low_m3": "lost_m3, lower end of the 95 % interval",
    "lost_high_m3": "lost_m3, upper end of the 95 % interval",
    "lost_unseen_m3": "the most that the part without heights may have lost beyond lost_m3, down to the terrain, m³; above a tenth of "
    "lost_m3, the lost volume was not seen",
    "debris_m3": "bulk volume of debris above the terrain, in the footprint and around it, m³",
    "debris_low_m3": "debris_m3, lower end of the 95 % interval",
    "debris_high_m3": "debris_m3, upper end of the 95 % interval",
    "debris_around_m3": "of debris_m3, what lies outside the footprint",
    "rule_low_m3": "0.25 · area · height before · share come down (rule of thumb, FEMA 329, low), m³",
    "rule_m3": "0.33 · area · height before · share come down, m³: the collapsed share; of collapsed and cleared buildings at least "
    "roof height loss / height before",
    "rule_high_m3": "0.40 · area · height before · share come down, m³",
    "known_share": "share of the footprint with heights, 0–1",
    "roof_seen_share": "share of the footprint away from its edge with heights, 0–1; where it is low, as in scans from the street, "
    "volumes rest on walls and edges",
    "state": "standing, partly-collapsed, collapsed, cleared or not-assessed",
    "damage": "the state as a grade of damage maps; heights do not show minor damage",
    "method": "pre_post or post_only",
}
OF_FIRST_DATE = ("area_m2", "terrain_m", "height_pre_m", "volume_pre_m3", "method")


@dataclass(frozen=True)
class RubbleMap:
    """Rubble and height loss of N buildings.

    Parameters
    ----------
    buildings : N rows: id, the columns of `MEANING`, and the outlines at the position of the buildings in the heights
    rubble : polygons of debris: id of the building, area_m2, volume_m3, highest_m above the terrain, terrain_m
    fits : of each block: its corner, how much the heights before were raised, the spread (NMAD) on stable ground, its cells
    findings : limits to the reliability of the numbers
    inputs : role to file
    parameters : the options
    synthetic : whether the heights are synthetic
    event : the event that the map shows
    history : for several dates, a row for each building and date
    registrations : the fit of each later date to the first, and whether it was moved
    """

    buildings: gpd.GeoDataFrame
    rubble: gpd.GeoDataFrame
    fits: list[dict[str, Any]] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    synthetic: bool = False
    event: EventInfo = EventInfo()
    history: pd.DataFrame | None = None
    registrations: tuple[EpochFit, ...] = ()

    @property
    def title(self) -> str:
        """Title of its products."""
        return self.event.title(SUBJECT)

    def headline(self) -> str:
        """Numbers of collapsed buildings, and the volume of debris, in one line."""
        totals = self.totals()
        states = totals["states"]
        if states.get(BuildingState.unknown, 0) == len(self.buildings):
            return f"none of {count_of(len(self.buildings), 'building')} assessed"
        partly = f", {states[BuildingState.partly]:,} partly" if states.get(BuildingState.partly) else ""
        debris = totals.get("debris_m3")
        return f"{states.get(BuildingState.collapsed, 0):,} collapsed{partly}, " + (
            "debris not measured" if debris is None else f"{debris:,.0f} m³ of debris"
        )

    def totals(self) -> dict[str, Any]:
        """Return the number of buildings by state, and sums of volumes.

        Errors partly cancel in sums: their intervals are wider than 95 %."""
        frame = self.buildings
        volumes = {
            name: float(frame[name].sum())
            for name in frame.columns
            if name.endswith("_m3") and frame[name].notna().any()
        }
        return {"buildings": len(frame), "states": frame["state"].value_counts().to_dict(), **volumes}


def without_losses(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the buildings as not assessed, keeping only the measurements of the first date."""
    changed = [name for name in MEANING if name not in (*OF_FIRST_DATE, "state", "damage")]
    return buildings.assign(
        **dict.fromkeys(changed, np.nan),
        state=BuildingState.unknown,
        damage=BuildingState.grades[BuildingState.unknown],
    )


def lost_unseen(buildings: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """Return (N,) whether a building came down, and its part without heights may have lost more than a tenth of lost_m3 again."""
    down = ~buildings["state"].isin([BuildingState.standing, BuildingState.unknown])
    return np.asarray(down & (buildings["lost_unseen_m3"] > MAX_UNSEEN * buildings["lost_m3"]))


def gap_findings(gaps: Sequence[tuple[int, Exception]]) -> tuple[Finding, ...]:
    """One finding where blocks have no heights. gaps : buildings of each such block, and what is missing."""
    if not gaps:
        return ()
    number = sum(count for count, _ in gaps)
    return (
        Finding(
            "blocks_without_heights",
            "caution",
            {"number": number, "blocks": len(gaps), "first": Finding.verbatim(gaps[0][1])},
        ),
    )


def findings_of(buildings: gpd.GeoDataFrame, fits: list[dict[str, Any]], paired: bool) -> tuple[Finding, ...]:
    """Return the findings that limit the reliability of the numbers."""
    findings = []
    unseen = int((buildings["state"] == BuildingState.unknown).sum())
    if unseen:
        findings.append(Finding("few_heights", "caution", {"number": unseen, "of": len(buildings)}))
    roofless = int(
        ((buildings["state"] != BuildingState.unknown) & (buildings["roof_seen_share"] < MIN_ROOF_SEEN_SHARE)).sum()
    )
    if roofless:
        findings.append(Finding("roofs_unseen", "caution", {"number": roofless, "of": len(buildings)}))
    blind = lost_unseen(buildings)
    if blind.any():
        findings.append(Finding("losses_unseen", "caution", {"number": int(blind.sum()), "of": len(buildings)}))
    down = ~buildings["state"].isin([BuildingState.standing, BuildingState.unknown])
    without_rule = int((down & buildings["rule_m3"].isna()).sum())
    if without_rule and buildings["rule_m3"].notna().any():
        findings.append(Finding("rule_unknown", "caution", {"number": without_rule, "of": int(down.sum())}))
    findings += _offset_findings(fits)
    unfitted = [fit for fit in fits if fit["cells"] < FEW_STABLE_CELLS]
    if paired and unfitted:
        findings.append(Finding("little_stable_ground", "caution", {"number": len(unfitted), "of": len(fits)}))
    unaligned = [fit["unaligned"] for fit in fits if fit["unaligned"]]
    if unaligned:
        findings.append(
            Finding(
                "footprints_unaligned", "caution", {"number": len(unaligned), "of": len(fits), "reason": unaligned[0]}
            )
        )
    if not paired:
        findings.append(Finding("post_only", "note", wording="no_heights_before"))
    return tuple(findings)


def _offset_findings(fits: list[dict[str, Any]]) -> list[Finding]:
    """Return a finding if stated heights were above or below the roofs of standing buildings."""
    offsets = [fit["stated_offset_m"] for fit in fits if fit.get("stated_offset_m")]
    if not offsets:
        return []
    most = max(offsets, key=abs)
    side = Phrase("above" if most > 0 else "below")
    return [
        Finding(
            "stated_heights_off",
            "caution",
            {"most_m": abs(most), "side": side, "number": len(offsets), "of": len(fits)},
        )
    ]


@option_group
class RubbleOptions:
    """Options for measuring height loss, debris and state of buildings.

    Parameters
    ----------
    id_column : column of the outlines that contains the buildings' ids; by default one of the usual names

    Raises
    ------
    InputError
        A value is out of range.

    Examples
    --------
    >>> RubbleOptions(cell_m=1.0).least_loss_m
    0.5
    """

    cell_m: Annotated[float, key("Side length of a height cell, metres.", ge=0.05, le=10)] = 0.5
    align: Annotated[bool, key("Move footprints onto the buildings.")] = True
    height_column: Annotated[str | None, key("Column with building heights before the event, metres.")] = None
    least_loss_m: Annotated[float, key("Minimum fall of the surface that counts, metres.", ge=0.05, le=20)] = 0.5
    least_heap_m: Annotated[float, key("Minimum height of debris, metres.", ge=0.05, le=5)] = 0.3
    correlation_m: Annotated[float, key("Correlation length of the errors, metres.", ge=0, le=1000)] = 5.0
    bias_m: Annotated[float, key("Error common to a whole building, metres.", ge=0, le=10)] = 0.1
    least_known_share: Annotated[float, key("Minimum share of a footprint with heights.", ge=0.01, le=1)] = 0.3
    layer: Annotated[str | None, key("Layer of the footprints file.")] = None
    id_column: str | None = None
    assume_registered: AssumeRegistered = False
    footprints_crs: Annotated[str | None, option("CRS of the footprints, e.g. EPSG:4326.", "Footprints")] = None
