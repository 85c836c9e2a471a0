"""Output of a comparison of two damage maps: a GeoPackage, a CSV, a JSON with a version, and the page of `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepnets4eo.addresses import file_name_of
from deepnets4eo.damage.comparison.maps import MapComparison
from deepnets4eo.damage.comparison.report import write_report
from deepnets4eo.files import plain, write_json, write_text
from deepnets4eo.outputs import Language, table_csv
from deepnets4eo.polygons import write_vector
from deepnets4eo.version import __version__

FORMAT, FORMAT_VERSION = "deepnets4eo damage comparison", "1.0"  # a change that readers notice raises the first number
PAGE, GPKG, CSV, JSON = PRODUCTS = ("report.html", "comparison.gpkg", "comparison.csv", "comparison.json")


def write_comparison(comparison: MapComparison, folder: str | Path, *, language: Language = "en") -> list[Path]:
    """Write all products; returns the paths, the page first. language : of the page"""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = summary_of(comparison)
    return [
        write_report(comparison, summary, folder / PAGE, language=language),
        write_vector(comparison.table, folder / GPKG, "comparison"),
        write_text(folder / CSV, table_csv(comparison.table.drop(columns="geometry"))),
        write_json(folder / JSON, summary),
    ]


def summary_of(comparison: MapComparison) -> dict[str, Any]:
    """Return the figures as plain values: the content of `comparison.json`."""
    matrix, counts = comparison.matrix, comparison.table["match"].value_counts()
    summary: dict[str, Any] = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "version": __version__,
        "synthetic": comparison.first.synthetic or comparison.second.synthetic, "matched_by": comparison.matched_by,
        "buildings": {"both": counts.get("both", 0), "a_alone": counts.get("a", 0), "b_alone": counts.get("b", 0), "compared": matrix.total},
        "classes": comparison.classes, "matrix": matrix.matrix,
    }  # fmt: skip
    for score in ("kappa", "overall_accuracy"):
        limits = comparison.intervals.get(score)
        summary[score] = {"estimate": getattr(matrix, score), "interval_95": limits and [limits.low, limits.high]}
    for side, damage_map, share in zip("ab", (comparison.first, comparison.second), comparison.shares, strict=True):
        summary[side] = {
            "file": file_name_of(damage_map.source), "tool": damage_map.tool.name, "damaged_means": damage_map.tool.meaning, "outlines": len(damage_map.table),
            "graded": damage_map.table["grade"].count(), "damaged": int(damage_map.table["damaged"].sum()), "damaged_share_of_compared": share,
        }  # fmt: skip
    values: dict[str, Any] = plain(summary)
    return values
