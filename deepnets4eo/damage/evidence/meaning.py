"""The evidence columns: what each measures, its unit, and which way it points.

A table of constants; `points` is +1 where larger values indicate damage, −1 where smaller ones do, 0 for what
is only shown.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """One column: its meaning in a line with its unit, and which way it points."""

    name: str
    meaning: str
    points: int


EVIDENCE = (
    Evidence("ev_roof_roughness", "post: roughness of the smoothest spots of the roof, log2 of the image's contrast unit", 1),
    Evidence("ev_roof_vs_ground", "post: the same, above that of the open ground within 20 m, log2 ratio", 1),
    Evidence("ev_texture", "post: mean roughness inside the outline, log2 of the image's contrast unit", 1),
    Evidence("ev_outline_support", "post: edge strength across the outline over that inside it, log2 ratio", -1),
    Evidence("ev_right_angles", "post: share of edge energy that keeps to two perpendicular directions, 0–1", -1),
    Evidence("ev_tarp", "post: share of the roof that is blue as tarpaulins are, 0–1", 0),
    Evidence("ev_roof_roughness_change", "post over pre: roughness of the smoothest spots, log2 ratio", 1),
    Evidence("ev_texture_change", "post over pre: roughness inside the outline, log2 ratio", 1),
    Evidence("ev_outline_loss", "pre over post: edge support of the outline, log2 ratio", 1),
    Evidence("ev_right_angle_loss", "pre minus post: share of edge energy in two perpendicular directions", 1),
    Evidence("ev_edge_similarity", "correlation of edge strength, pre with post, best within 2 m, −1 to 1", -1),
    Evidence("ev_edge_similarity_in_place", "the same without moving, −1 to 1", -1),
    Evidence("ev_structural_similarity", "structural similarity of light, pre with post, best within 2 m, −1 to 1", -1),
    Evidence("ev_light_change", "change of brightness against the open ground within 20 m, contrast units", 1),
    Evidence("ev_colour_change", "change of colour shares beyond that of the scene's open ground, 0–1", 1),
    Evidence("ev_shadow_loss", "pre minus post: share of the down-sun wall in shadow, −1 to 1", 1),
    Evidence("ev_height_loss_m", "height above ground lost inside the outline, metres", 1),
    Evidence("ev_height_loss_share", "height above ground lost as a share of that before, −1 to 1", 1),
    Evidence("ev_context_roughness", "context, post: roughness of the open ground within 20 m, log2 of the contrast unit", 0),
    Evidence("ev_context_change", "context, post over pre: roughness of the open ground within 20 m, log2 ratio", 0),
    Evidence("ev_roof_width_px", "area of the footprint over half its perimeter, working pixels; narrow roofs hold little evidence", 0),
    Evidence("ev_greenness", "post: mean excess of green over red and blue inside the outline, −1 to 2; high under tree crowns and in green haze", 0),
)  # fmt: skip

MEANING = {evidence.name: evidence.meaning for evidence in EVIDENCE}
COMPARED = {  # columns that need both images
    "ev_roof_roughness_change", "ev_texture_change", "ev_outline_loss", "ev_right_angle_loss", "ev_edge_similarity",
    "ev_edge_similarity_in_place", "ev_structural_similarity", "ev_light_change", "ev_colour_change", "ev_shadow_loss",
    "ev_context_change",
}  # fmt: skip
POINTS = {evidence.name: evidence.points for evidence in EVIDENCE}
