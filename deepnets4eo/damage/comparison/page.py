"""Output of a comparison of two damage maps: a page that works offline, a GeoPackage, a CSV and a JSON with a version."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.addresses import file_name_of
from deepnets4eo.damage.comparison.maps import MapComparison
from deepnets4eo.damage.crosswalk import has_position
from deepnets4eo.files import plain, write_json, write_text
from deepnets4eo.outputs import asset_text, document_head, fill_template, table_csv, wide
from deepnets4eo.polygons import write_vector
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import pandas as pd

FORMAT, FORMAT_VERSION = "deepnets4eo damage comparison", "1.0"  # a change that readers notice raises the first number
PAGE, GPKG, CSV, JSON = PRODUCTS = ("report.html", "comparison.gpkg", "comparison.csv", "comparison.json")
MAX_LISTED_BUILDINGS = 40  # buildings in the list of the page
WIDTH, HEIGHT, MARGIN = 900, 460, 10
KINDS = {  # of the buildings on the page's map, by whether they are damaged in A and in B: title and colour
    (False, False): ("both intact", "#9aa5b1"), (True, True): ("both damaged", "#cc4437"),
    (True, False): ("damaged in A alone", "#e07b00"), (False, True): ("damaged in B alone", "#1f6fd0"),
}  # fmt: skip


def write_comparison(comparison: MapComparison, folder: str | Path) -> list[Path]:
    """Write all products; returns the paths, the page first."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = summary_of(comparison)
    return [
        write_text(folder / PAGE, _page(comparison, summary)),
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


def _page(comparison: MapComparison, summary: dict[str, Any]) -> str:
    import pandas as pd

    classes = comparison.classes
    mark = "SYNTHETIC " if summary["synthetic"] else ""
    maps = pd.DataFrame([summary["a"], summary["b"]], ["A", "B"])
    maps["damaged_share_of_compared"] = maps["damaged_share_of_compared"].map("{:.1%}".format)
    buildings = summary["buildings"]
    facts = {
        "Buildings with a grade in both": f"{buildings['compared']:,}, matched by {summary['matched_by']}",
        "In A alone, in B alone": f"{buildings['a_alone']:,}, {buildings['b_alone']:,}",
        "Same class": _score(summary["overall_accuracy"], ".1%"), "κ": _score(summary["kappa"], ".2f"),
    }  # fmt: skip
    rows = (
        comparison.table[comparison.table["agree"].eq(False).fillna(False)]
        .head(MAX_LISTED_BUILDINGS)
        .round({"value_a": 2, "value_b": 2})
    )
    listed = rows[[f"{name}_{side}" for name in ("id", "damage", "value") for side in "ab"]]
    names = ("latitude", "longitude") if has_position(comparison.table.crs) else ("y", "x")
    title = f"{mark}{summary['a']['file']} beside {summary['b']['file']}"
    parts = {
        "HEAD": document_head(title), "TITLE": escape(title),
        "BANNER": mark and f'<p class="synthetic"><b>{mark}</b>The map is of a made-up town.</p>',
        "HEADLINE": escape(comparison.headline()), "MAPS": _table(maps), "MAP": _map(comparison),
        "FIGURES": _table(pd.Series(facts).to_frame(), header=False),
        "MATRIX": _table(pd.DataFrame(summary["matrix"], [f"A: {name}" for name in classes], [f"B: {name}" for name in classes])),
        "ROWS": _table(listed.assign(**{names[0]: rows["y"], names[1]: rows["x"]}), index=False),
        "FORMAT": f"{FORMAT} {FORMAT_VERSION}, deepnets4eo {escape(__version__)}",
    }  # fmt: skip
    return fill_template(asset_text("deepnets4eo.damage.comparison", "comparison.html"), parts)


def _table(frame: pd.DataFrame, *, header: bool = True, index: bool = True) -> str:
    named = frame.rename(columns=lambda name: str(name).replace("_", " "))
    return wide(named.to_html(border=0, header=header, index=index))  # escaped


def _score(score: dict[str, Any], form: str) -> str:
    if score["estimate"] is None:
        return "not defined: one map has a single class"
    limits = ["–" if limit is None else format(limit, form) for limit in score["interval_95"] or ()]
    return format(score["estimate"], form) + (f" ({' to '.join(limits)})" if limits else "")


def _map(comparison: MapComparison) -> str:
    """Draw each compared building as a dot; buildings on which both maps agree are drawn below the others."""
    table = comparison.table[comparison.table["agree"].notna()]
    xy = table[["x", "y"]].to_numpy()
    if has_position(table.crs):  # degrees, and north is up
        xy = xy * [np.cos(np.radians(xy[:, 1].mean())), -1]
    xy = xy - xy.min(axis=0)
    span = np.maximum(xy.max(axis=0), 1e-9)
    scale = ((WIDTH, HEIGHT) / span).min()
    xy, (width, height) = xy * scale + MARGIN, span * scale + 2 * MARGIN
    dots, keys = "", ""
    for (a, b), (text, color) in KINDS.items():
        chosen = xy[((table["damaged_a"] == a) & (table["damaged_b"] == b)).to_numpy()]
        dots += f'<path stroke="{color}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in chosen)}"/>'
        keys += f'<span><i style="background:{color}"></i>{text}: {len(chosen):,}</span>'
    label = "Where both maps agree and differ"
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">{dots}</svg><p class="keys">{keys}</p>'
