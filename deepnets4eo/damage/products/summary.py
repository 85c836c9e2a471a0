"""summary.json: how many buildings of which grade, how sure, how much of the ground was looked at.

Takes a DamageMap and the post image's grid; shares are always of the assessed buildings, never of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.damage.estimates import (
    CALLED,
    GradingRates,
    block_bootstrap,
    blocks_of,
    count_interval,
    expected_count,
    widest,
)
from deepnets4eo.damage.vocabulary import ASSESSED, DAMAGED, GRADES
from deepnets4eo.footprints.outlines import centres_m, outline_areas_m2
from deepnets4eo.metrics.accuracy import wilson_interval

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.map_content import DamageMapContent
    from deepnets4eo.grid import Grid

CAVEATS = (
    "Automatic extraction from imagery, not validated in the field.",
    "Damage that cannot be seen from above (walls, lower storeys, cracks) is missed.",
    "A building without a mark is not known to be undamaged; buildings listed as not assessed have no grade.",
    "Ground farther than 50 m from every outline was not looked at, though the image shows it; buildings there are missing.",
    "Counts are of footprints: a building split in several outlines counts several times, missing outlines not at all.",
    "Outlines, names and boundaries imply no opinion on any legal status.",
)
SYNTHETIC_CAVEAT = "SYNTHETIC: the place and its damage are made up; nothing here describes a real event."
INTERVALS = {
    "interval_95": "of the true number of buildings: that of estimates where there are some. Without: for each grade the "
    "wider of the block bootstrap and Wilson's interval, which hold no grading error; for damaged that of grading where "
    "there is one, else the widest of model_based, block_bootstrap and wilson: of the expected number, without grading error",
    "share_interval_95": "interval_95 as a share of the assessed buildings",
    "estimates": "500 draws: log-odds shifted for all buildings as between sites left out of the fit, the share of damaged "
    "buildings drawn by how well it explains the site (else blocks of neighbours resampled and the share estimated anew), the chance of "
    "single buildings added",
    "grading": "true number among the assessed buildings, from how often the model grades right at places left out of its "
    "fit: 4000 draws of a place's sensitivity and specificity and of the chance of single buildings",
    "block_bootstrap": "percentiles of 1000 draws of whole blocks with replacement: neighbouring buildings go together",
    "wilson": "Wilson's interval of the share among assessed buildings, as if they were drawn one by one",
    "model_based": "sum of p with variance sum of p(1-p), independent calibrated probabilities: a lower bound of the doubt",
}


def summarize(damage_map: DamageMapContent, grid: Grid | None = None, seed: int = 0) -> dict[str, Any]:
    """Counts, shares, areas, registration and caveats as plain values, ready for JSON.
    grid : of the post image; its frame is what could have been assessed. Areas are null without a CRS."""
    buildings = damage_map.buildings
    assessed = buildings[buildings["status"] == ASSESSED]
    rest = buildings[buildings["status"] != ASSESSED]
    return {
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
        "buildings": {
            "total": len(buildings),
            "assessed": len(assessed),
            "not_assessed": len(rest),
            "not_assessed_by_reason": _tally(rest["reason"]),
            "by_method": _tally(assessed["method"]),
        },
        "footprints": damage_map.footprints,
        "damaged_share": damage_map.damaged_share,
        **_grades(assessed, seed, damage_map),
        "estimates": damage_map.estimates,
        "inundation": damage_map.inundation or None,
        "areas": None if damage_map.areas is None else area_rows(damage_map.areas),
        "intervals": INTERVALS,
        "share_of": "assessed buildings",
        "area_km2": _areas(damage_map, grid),
        "registration": damage_map.registration,
        "evidence": damage_map.meaning,
        "caveats": caveats(damage_map),
    }


def caveats(damage_map: DamageMapContent) -> list[str]:
    """What every reader of a product must know, one sentence each."""
    return [*([SYNTHETIC_CAVEAT] if damage_map.synthetic else []), *CAVEATS]


def area_rows(areas: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """The columns of counted areas, a dictionary each; None where something is not known."""
    rows = areas.drop(columns=areas.geometry.name)
    return [{name: None if value != value else value for name, value in row.items()} for row in rows.to_dict("records")]


def description_lines(damage_map: DamageMapContent) -> list[str]:
    """What a product says of itself in words: the event, the findings and the caveats, one line each."""
    findings = [f"{item.severity.upper()}: {item.message} {item.remedy}".strip() for item in damage_map.findings]
    return [*damage_map.event.lines, *findings, *caveats(damage_map)]


def _tally(column: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().items()}


def _grades(assessed: gpd.GeoDataFrame, seed: int, damage_map: DamageMapContent) -> dict[str, Any]:
    total = len(assessed)
    if total == 0:
        empty = {"count": 0, "share": None, "share_interval_95": None, "interval_95": None}
        return {
            "by_grade": {grade: dict(empty) for grade in GRADES},
            "damaged": {**empty, "grades": list(DAMAGED), "model_based": None, "grading": None},
            "blocks": None,
        }
    block, side_m = blocks_of(centres_m(assessed))
    rng = np.random.default_rng(seed)
    by_grade = {}
    for grade in GRADES:
        flags = (assessed["damage"] == grade).to_numpy(bool)
        by_grade[grade] = _grade(int(flags.sum()), total, block_bootstrap(flags, block, rng))
    prob = assessed["damage_prob"].to_numpy(float)
    model, spread = expected_count(prob), block_bootstrap(prob, block, rng)
    damaged = _grade(int(assessed["damage"].isin(DAMAGED).sum()), total, None)
    grading = grading_interval(assessed, damage_map, rng)
    damaged |= {
        "grades": list(DAMAGED),
        "expected": model["expected"],
        "model_based": model,
        "block_bootstrap": spread,
        "grading": grading,
        "interval_95": grading["interval_95"]
        if grading
        else widest(damaged["interval_95"], model["interval_95"], spread),
    }
    for name, row in damage_map.estimates.get("buildings", {}).items():
        (damaged if name == "damaged" else by_grade[name]).update(row)
    for row in (*by_grade.values(), damaged):
        row["share_interval_95"] = [bound / total for bound in row["interval_95"]]
    return {
        "by_grade": by_grade,
        "damaged": damaged,
        "blocks": {"side_m": side_m, "occupied": int(block.max()) + 1, "seed": seed},
    }


def grading_interval(
    assessed: gpd.GeoDataFrame, damage_map: DamageMapContent, rng: np.random.Generator
) -> dict[str, Any] | None:
    """Interval of the true number of damaged buildings, the rates and numbers called behind it; None where a method has no rates."""
    parts = []
    for method, rows in assessed.groupby("method").groups.items():
        if method not in damage_map.grading:
            return None
        content = damage_map.grading[str(method)]
        parts.append((GradingRates.from_dict(content), min(int(content[CALLED]), len(rows)), len(rows)))
    return {"interval_95": count_interval(parts, rng), "rates": damage_map.grading}


def _grade(count: int, total: int, spread: list[float] | None) -> dict[str, Any]:
    wilson = wilson_interval(count, total)
    return {
        "count": count,
        "share": count / total,
        "wilson": [wilson.low, wilson.high],
        "block_bootstrap": spread,
        "interval_95": widest([wilson.low * total, wilson.high * total], spread),
    }


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
    """Ground area of all rows: geodesic where the CRS is geographic, planar where projected, None without a CRS."""
    return None if frame.crs is None else float(outline_areas_m2(frame).sum()) / 1e6
