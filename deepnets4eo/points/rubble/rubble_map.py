"""The result of a rubble job: a table of buildings, polygons of rubble, and how the heights of both dates fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.points.rubble.vocabulary import COLLAPSED, PARTLY

if TYPE_CHECKING:
    import geopandas as gpd

SUBJECT = "Rubble"  # of titles

MEANING = {
    "area_m2": "area of the footprint, m²",
    "terrain_m": "height of the terrain under the building, metres",
    "height_pre_m": "mean height above the terrain before the event, metres; of the footprints' column in post-only work",
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


@dataclass(frozen=True)
class RubbleMap:
    """Rubble and height loss of N buildings.

    Parameters
    ----------
    buildings
        N rows: id, the columns of `MEANING`, and the outlines where the heights show the buildings.
    rubble
        Polygons of debris: id of the building, area_m2, volume_m3, highest_m above the terrain, terrain_m.
    fits
        For each block of the area, by its corner: how much the heights before were raised, the spread (NMAD) on stable
        ground, and its number of cells.
    findings
        What limits the worth of the numbers.
    inputs
        Role to file.
    parameters
        The options.
    synthetic
        Whether the heights are made up.
    event
        What the map is of; every product has it.
    """

    buildings: gpd.GeoDataFrame
    rubble: gpd.GeoDataFrame
    fits: list[dict[str, Any]] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    synthetic: bool = False
    event: EventInfo = EventInfo()

    @property
    def title(self) -> str:
        """Title of its products."""
        return self.event.title(SUBJECT)

    def headline(self) -> str:
        """How many buildings collapsed, in part or whole, and the volume of debris, in one line."""
        totals = self.totals()
        states = totals["states"]
        partly = f", {states[PARTLY]:,} partly" if states.get(PARTLY) else ""
        debris = totals.get("debris_m3")
        return f"{states.get(COLLAPSED, 0):,} collapsed{partly}, " + (
            "debris not measured" if debris is None else f"{debris:,.0f} m³ of debris"
        )

    def totals(self) -> dict[str, Any]:
        """Sums over all assessed buildings: number by state, lost and debris volumes. Errors of buildings partly cancel
        in sums, so that the ends of the intervals, which are added here, are wider than 95 %."""
        frame = self.buildings
        volumes = {
            name: float(frame[name].sum())
            for name in frame.columns
            if name.endswith("_m3") and frame[name].notna().any()
        }
        return {"buildings": len(frame), "states": frame["state"].value_counts().to_dict(), **volumes}
