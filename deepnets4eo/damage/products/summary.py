"""summary.json: how many buildings of each grade, how sure, and how much ground was examined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.probabilities import expected_count
from deepnets4eo.damage.table.vocabulary import DAMAGED, GRADES
from deepnets4eo.footprints import outline_areas_m2
from deepnets4eo.metrics import wilson_interval

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.products.content import DamageMapContent
    from deepnets4eo.grid import Grid

CAVEATS = (
    "Automatic extraction from imagery, not validated in the field.",
    "Damage that cannot be seen from above (walls, lower storeys, cracks) is missed.",
    "A building without a mark is not known to be undamaged; buildings listed as not assessed have no grade.",
    "Ground more than 50 m from any outline was not examined, though the image shows it; buildings there are missing.",
    "Footprints are counted: a building in several outlines counts several times, a missing outline not at all.",
    "Outlines, names and boundaries imply no opinion on any legal status.",
)
SYNTHETIC_CAVEAT = "SYNTHETIC: the place and its damage are made up; nothing here describes a real event."
NO_COUNT = {
    "count": None, "share": None, "expected": None, "interval_95": None, "method": None, "share_interval_95": None,
    "reason": "The outlines were found in the image after the event, which does not show destroyed buildings as buildings.",
}  # fmt: skip
INTERVALS = {  # what a row's interval_95 is of, by its `method`
    "site": "the true number of buildings: 500 draws of the share of damaged buildings by how well it explains the site, of the shift of "
    "the evidence as between sites left out of the fit, and of the chance of single buildings",
    "independent": "the number that is expected, from the probabilities of single buildings as if each were right by itself: a lower "
    "bound of the doubt",
    "wilson": "the share of the buildings with this grade as if they were drawn one by one; it holds no grading error",
}


def summarize(damage_map: DamageMapContent, grid: Grid | None = None) -> dict[str, Any]:
    """Return counts, shares, areas (null without a CRS), registration and caveats as plain values. grid : of post."""
    buildings, table = damage_map.buildings, damage_map.table
    assessed = buildings[table.assessed]
    return {
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
        "buildings": {
            "total": len(buildings),
            "assessed": len(assessed),
            "not_assessed": len(table) - len(assessed),
            "not_assessed_by_reason": table.reason_counts(~table.assessed),
            "by_method": table.method_counts(),
            **({"grade_not_known": int((table.assessed & ~table.graded).sum())} if table.is_ranked else {}),
        },
        "footprints": damage_map.footprints,
        "damaged_share": damage_map.damaged_share,
        "headline": damage_map.headline(),
        **_grades(assessed, damage_map),
        "estimates": damage_map.known_estimates,
        "inundation": damage_map.inundation or None,
        "priors": damage_map.priors or None,
        "areas": None if damage_map.areas is None else area_rows(damage_map.areas),
        "intervals": INTERVALS,
        "share_of": "assessed buildings",
        "area_km2": _areas(damage_map, grid),
        "registration": damage_map.registration,
        "evidence": damage_map.meaning,
        "caveats": caveats(damage_map),
    }


def caveats(damage_map: DamageMapContent) -> list[str]:
    """Return what every reader must know, one sentence each."""
    return [*([SYNTHETIC_CAVEAT] if damage_map.synthetic else []), *CAVEATS]


def area_rows(areas: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """Return the columns of counted areas, one dictionary each."""
    rows = areas.drop(columns=areas.geometry.name)
    return [{name: None if value != value else value for name, value in row.items()} for row in rows.to_dict("records")]


def description_lines(damage_map: DamageMapContent) -> list[str]:
    """Return the self-description of a product, one line each: number of damaged buildings, event, findings and caveats."""
    findings = [f"{item.severity.upper()}: {item.whole}" for item in damage_map.findings]
    return [damage_map.headline(), *damage_map.event.lines, *findings, *caveats(damage_map)]


def _grades(assessed: gpd.GeoDataFrame, damage_map: DamageMapContent) -> dict[str, Any]:
    """Return the buildings of each grade, and damaged buildings, flagged and expected, with an interval and its method."""
    estimated = damage_map.estimates.get("buildings") or {}
    damaged = Buildings(assessed).damaged
    whole = {"damaged": _row(assessed, damaged, _damaged_estimate(assessed, estimated))}
    by_grade = {grade: _row(assessed, assessed["damage"] == grade, estimated.get(grade)) for grade in GRADES}
    if damage_map.is_open:
        whole, by_grade = ({name: _of_certain(row) for name, row in rows.items()} for rows in (whole, by_grade))
    if damage_map.lacks_destroyed:
        by_grade[GRADES[3]] = _lower_bound(assessed["damage"] == GRADES[3])
    return {
        "damaged": {**whole["damaged"], "grades": list(DAMAGED)},
        "by_grade": by_grade,
        "outlines_after_event": damage_map.lacks_destroyed,
    }


def _lower_bound(named: Any) -> dict[str, Any]:
    """Return the row of a grade that the outlines cannot show: the classified buildings, None for none, and the reason. named : (N,) bool."""
    return NO_COUNT | {"count": int(named.sum()) or None}


def _of_certain(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a map whose number of damaged buildings is not stated: the count is of certain grades, None for none, and no share."""
    return {**row, "count": row["count"] or None, "share": None}


def _damaged_estimate(assessed: gpd.GeoDataFrame, estimated: dict[str, Any]) -> dict[str, Any] | None:
    """Return the site's estimate of damaged buildings, else an estimate as if they were independent; None without buildings."""
    if "damaged" in estimated or not len(assessed):
        return estimated.get("damaged")
    return {**expected_count(assessed["damage_prob"].to_numpy(float)), "method": "independent"}


def _row(assessed: gpd.GeoDataFrame, named: Any, estimate: dict[str, Any] | None) -> dict[str, Any]:
    """Count, share, estimate and interval of buildings. named : (N,) bool."""
    count, total = int(named.sum()), len(assessed)
    counted = {"count": count, "share": count / total if total else None, "expected": None, "interval_95": None}
    if estimate is not None:
        row = {**counted, "method": "site", **estimate}
    elif total:
        wilson = wilson_interval(count, total)
        row = {**counted, "interval_95": [wilson.low * total, wilson.high * total], "method": "wilson"}
    else:
        row = {**counted, "method": None}
    interval = row["interval_95"]
    return {**row, "share_interval_95": None if interval is None else [bound / total for bound in interval]}


def _areas(damage_map: DamageMapContent, grid: Grid | None) -> dict[str, float | None]:
    """Assessed ground, imaged ground without outlines, the post image's frame, and what of it is neither."""
    assessed, bare = area_km2(damage_map.assessed_extent), None
    if damage_map.extent_without_outlines is not None:
        bare = area_km2(damage_map.extent_without_outlines)
    areas = {"assessed": assessed, "imaged_without_outlines": bare, "post_frame": None, "not_assessed": None}
    if grid is None or grid.crs is None or assessed is None:
        return areas
    import geopandas as gpd

    frame = area_km2(gpd.GeoDataFrame(geometry=[grid.extent.geom], crs=damage_map.assessed_extent.crs))
    assert frame is not None
    return areas | {"post_frame": frame, "not_assessed": max(frame - assessed - (bare or 0.0), 0.0)}


def area_km2(frame: gpd.GeoDataFrame) -> float | None:
    """Return the ground area of all rows; None without a CRS."""
    return None if frame.crs is None else float(outline_areas_m2(frame).sum()) / 1e6
