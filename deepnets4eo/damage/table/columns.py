"""The columns of evidence that the toolbox measures, one row each: what measures it, what it means, and what it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from deepnets4eo.damage.table.vocabulary import GRADES

PREFIX = "ev_"  # of all columns of evidence, but those of priors
Measure = Literal["structure", "network", "look", "points", "water", "outlines", "priors"]
Use = Literal["decides", "teaches", "shown"]
AS_LOG_ODDS = ("network", "priors")


@dataclass(frozen=True)
class Column:
    """A column of evidence.

    measured_by : the evidence that measures it
    meaning : with its unit; names in braces are filled in by what measures it
    use
        "decides": it shapes the grades of a map, or whether a building gets one. "teaches": it moves grades only by the answers
        of people. "shown": neither. What decides teaches as well.
    points : 1 if high values indicate damage, -1 if low ones do, 0 if neither
    needs_pre : whether it compares both images
    """

    name: str
    measured_by: Measure
    meaning: str
    use: Use = "shown"
    points: int = 0
    needs_pre: bool = False

    @property
    def teaches_by_value(self) -> bool:
        """Return True if answers give its values a weight; network and priors get a weight for their log-odds."""
        return self.use != "shown" and self.measured_by not in AS_LOG_ODDS


_ROWS = (
    Column("ev_roof_roughness", "structure", "post: roughness of the smoothest spots of the roof, log2 of the image's contrast unit", "decides", points=1),
    Column("ev_roof_vs_ground", "structure", "post: the same, above that of the open ground within 20 m, log2 ratio", "decides", points=1),
    Column("ev_texture", "structure", "post: mean roughness inside the outline, log2 of the image's contrast unit", "teaches", points=1),
    Column("ev_outline_support", "structure", "post: edge strength across the outline over that inside it, log2 ratio", "decides", points=-1),
    Column("ev_right_angles", "structure", "post: share of edge energy that keeps to two perpendicular directions, 0–1", "decides", points=-1),
    Column("ev_tarp", "structure", "post: share of the roof that is blue as tarpaulins are, 0–1", "decides"),
    Column("ev_roof_roughness_change", "structure", "post over pre: roughness of the smoothest spots, log2 ratio", "decides", points=1, needs_pre=True),
    Column("ev_texture_change", "structure", "post over pre: roughness inside the outline, log2 ratio", "decides", points=1, needs_pre=True),
    Column("ev_outline_loss", "structure", "pre over post: edge support of the outline, log2 ratio", "decides", points=1, needs_pre=True),
    Column("ev_right_angle_loss", "structure", "pre minus post: share of edge energy in two perpendicular directions", "decides", points=1, needs_pre=True),
    Column("ev_roof_match", "structure", "agreement of the roof's edge directions, pre with post, where it is found again, over that of the site's best roofs", "decides", points=-1, needs_pre=True),
    Column("ev_structural_similarity", "structure", "structural similarity of light, pre with post, best within 2 m, −1 to 1", "decides", points=-1, needs_pre=True),
    Column("ev_light_change", "structure", "change of brightness against the open ground within 20 m, contrast units", "decides", points=1, needs_pre=True),
    Column("ev_colour_change", "structure", "change of colour shares beyond that of the scene's open ground, 0–1", "decides", points=1, needs_pre=True),
    Column("ev_shadow_loss", "structure", "pre minus post: share of the down-sun wall in shadow, −1 to 1", "decides", points=1, needs_pre=True),
    Column("ev_height_loss_m", "structure", "height above ground lost inside the outline, metres", "decides", points=1),
    Column("ev_height_loss_share", "structure", "height above ground lost as a share of that before, −1 to 1", "decides", points=1),
    Column("ev_context_roughness", "structure", "context, post: roughness of the open ground within 20 m, log2 of the contrast unit", "decides"),
    Column("ev_context_change", "structure", "context, post over pre: roughness of the open ground within 20 m, log2 ratio", "decides", needs_pre=True),
    Column("ev_roof_width_px", "structure", "area of the footprint over half its perimeter, working pixels; narrow roofs hold little evidence", "decides"),
    Column("ev_greenness", "structure", "post: mean excess of green over red and blue inside the outline, −1 to 2; high under tree crowns and in green haze", "decides"),
    *(
        Column(
            f"{PREFIX}net_{grade.replace('-', '_')}",
            "network",
            f"network: probability of {grade}, from the mean of its logits over the footprint, 0–1",
            "decides",
        )
        for grade in GRADES
    ),
    Column("ev_look", "look", "how damaged the building looks beside the others of the site, by features of photographs; standard deviations of the fit", "decides"),
    Column("ev_points_come_down", "points", "points: share of the footprint whose surface has fallen (post only: that is bare, or low and rough), 0–1", "decides"),
    Column("ev_points_roof_height_loss_m", "points", "points: mean fall of the surface inside the footprint, metres", "teaches"),
    Column("ev_points_rubble_share", "points", "points: share of the footprint where debris lies, 0–1", "teaches"),
    Column("ev_points_debris_m3", "points", "points: bulk volume of debris in the footprint and around it, m³", "teaches"),
    Column("ev_points_debris_low_m3", "points", "points: that volume, lower end of the 95 % interval", "teaches"),
    Column("ev_points_debris_high_m3", "points", "points: that volume, upper end of the 95 % interval", "teaches"),
    Column("ev_water_share", "water", "post: share of the outline that is {new}water, 0–1", "teaches"),
    Column("ev_water_ring_share", "water", "post: share of the ring of {ring} around the outline that is {new}water, 0–1", "teaches"),
    Column("ev_building", "outlines", "mean probability of a building inside the outline, of the network that found it, 0–1; not in the decision", "teaches"),
    Column("prior_probability", "priors", "probability of major damage or worse by the priors alone, such as shaking or wind; not in the decision", "teaches"),
    Column("damage_prob_with_prior", "priors", "damage_prob and priors together; grades and counts rest on damage_prob alone"),
)  # fmt: skip
COLUMNS = {column.name: column for column in _ROWS}


def is_measured(name: str) -> bool:
    """Return True if the toolbox has a column of this name."""
    return name in COLUMNS


def needs_pre(name: str) -> bool:
    """Return True if a column of the toolbox compares both images."""
    return name in COLUMNS and COLUMNS[name].needs_pre


def columns_of(measure: Measure) -> list[str]:
    """Return the names of the columns of a measure, in their order."""
    return [column.name for column in _ROWS if column.measured_by == measure]


def meaning_of(measure: Measure, **words: str) -> dict[str, str]:
    """Return the meaning of each column of a measure. words : for the names in braces."""
    return {name: COLUMNS[name].meaning.format(**words) for name in columns_of(measure)}


def meanings(names: Iterable[str]) -> dict[str, str]:
    """Return the meanings of columns of the toolbox."""
    return {name: COLUMNS[name].meaning for name in names}


def points_of(name: str) -> int:
    """Return the sign of the weight that a column of the toolbox may have, see `Column.points`."""
    return COLUMNS[name].points


def raster_column(name: str) -> str:
    """Return the column of a raster of this name."""
    return PREFIX + name


def evidence_names(names: Iterable[str]) -> list[str]:
    """Return which columns of a table are evidence, in their order; the columns of other packages begin with `ev_`."""
    return [name for name in names if name in COLUMNS or name.startswith(PREFIX)]


def teaching_names(names: Iterable[str]) -> list[str]:
    """Return which columns of a table teach by their values, in their order; the columns of other packages do."""
    return [name for name in evidence_names(names) if name not in COLUMNS or COLUMNS[name].teaches_by_value]
