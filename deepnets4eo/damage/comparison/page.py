"""What a comparison of two damage maps writes: a page that works offline, a GeoPackage, a CSV and a JSON with a version."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.comparison.maps import TWO, MapComparison, ReadMap
from deepnets4eo.damage.vocabulary import GRADES, MAJOR, TITLES
from deepnets4eo.files import plain, write_json, write_text
from deepnets4eo.outputs.safe_text import csv_text, fill_template
from deepnets4eo.polygons.vector_files import write_vector
from deepnets4eo.version import __version__

FORMAT, FORMAT_VERSION = "deepnets4eo damage comparison", "1.0"  # a change that readers notice raises the first number
PAGE, GPKG, CSV, JSON = "report.html", "comparison.gpkg", "comparison.csv", "comparison.json"
PRODUCTS = (PAGE, GPKG, CSV, JSON)
MOST_LISTED = 40  # buildings in the list of the page
WIDTH, HEIGHT = 900, 460
KINDS = {  # of the buildings on the page's map: title and colour
    "intact": ("both intact", "#9aa5b1"), "damaged": ("both damaged", "#7a1f1f"), "a": ("damaged in A alone", "#e07b00"),
    "b": ("damaged in B alone", "#1f6fd0"),
}  # fmt: skip


def write_comparison(comparison: MapComparison, folder: str | Path) -> list[Path]:
    """Write all products; returns the paths, the page first."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = comparison.table
    columns = [name for name in table.columns if name != table.geometry.name]
    positions = _positions(comparison)
    rows = [
        [*row, *position]
        for row, position in zip(table[columns].astype(object).where(table[columns].notna(), "").itertuples(index=False), positions.tolist(), strict=True)
    ]  # fmt: skip
    return [
        write_text(folder / PAGE, _page(comparison, positions)),
        write_vector(table.astype({"agree": "boolean"}), folder / GPKG, "comparison"),
        write_text(folder / CSV, csv_text([[*columns, "x", "y"], *rows])),
        write_json(folder / JSON, summary_of(comparison)),
    ]


def summary_of(comparison: MapComparison) -> dict[str, Any]:
    """The figures as plain values: what `comparison.json` holds."""
    first, second, matrix = comparison.first, comparison.second, comparison.matrix
    share_a, share_b = comparison.shares
    counts = comparison.table["match"].value_counts()
    return plain({
        "format": FORMAT, "format_version": FORMAT_VERSION, "version": __version__, "synthetic": first.synthetic or second.synthetic,
        "a": _about(first), "b": _about(second), "matched_by": comparison.matched_by,
        "buildings": {"both": counts.get("both", 0), "a_alone": counts.get("a", 0), "b_alone": counts.get("b", 0), "compared": matrix.total},
        "classes": comparison.classes, "matrix": matrix.matrix,
        **{
            score: {"estimate": getattr(matrix, score)} | ({"interval_95": [limits.low, limits.high]} if (limits := comparison.intervals.get(score)) else {})
            for score in ("kappa", "overall_accuracy")
        },
        "damaged_share": {"a": share_a, "b": share_b},
        "damaged_in_all_of_its_own": {"a": _count(first), "b": _count(second)},
    })  # fmt: skip


def _about(one: ReadMap) -> dict[str, Any]:
    return {
        "source": Path(one.source).name,
        "tool": one.tool.name,
        "damaged_means": one.tool.meaning,
        "grades": 2 if one.two else 4,
    }


def _count(one: ReadMap) -> dict[str, int]:
    return {"damaged": int(one.damaged.sum()), "graded": int((one.grades != 255).sum()), "outlines": len(one.grades)}


def _positions(comparison: MapComparison) -> NDArray[np.float64]:
    """Longitude and latitude (N, 2) of a point in each outline, or the coordinates of outlines without CRS."""
    points = comparison.table.geometry.representative_point()
    if points.crs is not None:
        points = points.to_crs(4326)
    return np.asarray(shapely.get_coordinates(points.to_numpy(), include_z=False).round(6))


def _page(comparison: MapComparison, positions: NDArray[np.float64]) -> str:
    first, second, summary = comparison.first, comparison.second, summary_of(comparison)
    title = f"{Path(first.source).name} beside {Path(second.source).name}"
    parts = {
        "TITLE": escape(("SYNTHETIC " if summary["synthetic"] else "") + title),
        "BANNER": '<p class="synthetic"><b>SYNTHETIC</b> The map shows a made-up place.</p>' if summary["synthetic"] else "",
        "HEADLINE": escape(comparison.headline()),
        "MAPS": _maps(summary), "FIGURES": _figures(summary), "MATRIX": _matrix(comparison), "MAP": _map(comparison, positions),
        "ROWS": _rows(comparison, positions), "FORMAT": f"{FORMAT} {FORMAT_VERSION}, deepnets4eo {escape(__version__)}",
    }  # fmt: skip
    template = files("deepnets4eo.damage.comparison") / "assets" / "comparison.html"
    return fill_template(template.read_text(encoding="utf-8"), parts)


def _maps(summary: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{letter.upper()}</th><td>{escape(one['source'])}</td><td>{escape(one['tool'])}</td><td>{escape(one['damaged_means'])}</td>"
        f"<td>{own['outlines']:,}</td><td>{own['graded']:,}</td><td>{own['damaged']:,}</td></tr>"
        for letter in "ab" for one, own in [(summary[letter], summary["damaged_in_all_of_its_own"][letter])]
    )  # fmt: skip
    heads = ("", "file", "tool", "what it calls damaged", "outlines", "with a grade", "damaged")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def _figures(summary: Mapping[str, Any]) -> str:
    def with_interval(value: Mapping[str, Any], form: str) -> str:
        if value["estimate"] is None:
            return "not defined: one map has a single class"
        text = format(value["estimate"], form)
        return text + (
            f" ({' to '.join(format(one, form) for one in value['interval_95'])})" if "interval_95" in value else ""
        )

    buildings, shares = summary["buildings"], summary["damaged_share"]
    facts = {
        "Buildings with a grade in both": f"{buildings['compared']:,}, matched by {summary['matched_by']}",
        "In A alone, in B alone": f"{buildings['a_alone']:,}, {buildings['b_alone']:,}",
        "Same class": with_interval(summary["overall_accuracy"], ".1%"),
        "κ": with_interval(summary["kappa"], ".2f"),
        "Damaged share": f"A {shares['a']:.1%}, B {shares['b']:.1%}",
    }
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())


def _title(name: str | None) -> str:
    return TITLES.get(name or "not-assessed", str(name).capitalize())


def _matrix(comparison: MapComparison) -> str:
    heads = "".join(f"<th>B: {escape(_title(name))}</th>" for name in comparison.classes)
    most = max(int(comparison.matrix.matrix.max()), 1)
    rows = "".join(
        f"<tr><th>A: {escape(_title(name))}</th>"
        + "".join(
            f'<td class="{"same" if row == col else "other"}" style="--part:{count / most:.2f}">{int(count):,}</td>'
            for col, count in enumerate(counts)
        )
        + "</tr>"
        for row, (name, counts) in enumerate(zip(comparison.classes, comparison.matrix.matrix, strict=True))
    )
    return f"<table class='matrix'><tr><th></th>{heads}</tr>{rows}</table>"


def _map(comparison: MapComparison, positions: NDArray[np.float64]) -> str:
    """Each compared building as a dot, those on which both agree below the others."""
    known = comparison.table["difference"].notna().to_numpy()
    a, b = (comparison.table[f"damage_{letter}"].isin([TWO[1], *GRADES[MAJOR:]]).to_numpy() for letter in "ab")
    low, high = positions[known].min(axis=0), positions[known].max(axis=0)
    stretch = np.array([np.cos(np.radians((low[1] + high[1]) / 2)) if comparison.table.crs is not None else 1.0, 1.0])
    span = np.maximum((high - low) * stretch, 1e-9)
    scale = min((WIDTH - 20) / span[0], (HEIGHT - 20) / span[1])
    upward = comparison.table.crs is not None
    xy = (positions - low) * stretch * scale + 10
    xy[:, 1] = scale * span[1] + 20 - xy[:, 1] if upward else xy[:, 1]
    masks = {"intact": ~a & ~b, "damaged": a & b, "a": a & ~b, "b": b & ~a}
    layers = "".join(
        f'<path stroke="{color}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in xy[known & masks[kind]])}"><title>{text}</title></path>'
        for kind, (text, color) in KINDS.items()
    )
    keys = "".join(
        f'<span><i style="background:{color}"></i>{text}: {int((known & masks[kind]).sum()):,}</span>'
        for kind, (text, color) in KINDS.items()
    )
    size = f"{span[0] * scale + 20:.0f} {span[1] * scale + 20:.0f}"
    return f'<svg viewBox="0 0 {size}" role="img" aria-label="Where both maps agree and differ">{layers}</svg><p class="keys">{keys}</p>'


def _rows(comparison: MapComparison, positions: NDArray[np.float64]) -> str:
    rows = comparison.table.iloc[:MOST_LISTED]
    cells = (
        f"<tr><td>{escape(str(row.id_a))}</td><td>{escape(str(row.id_b))}</td><td>{escape(_title(row.damage_a))}</td>"
        f"<td>{escape(_title(row.damage_b))}</td><td>{row.value_a:.2f}</td><td>{row.value_b:.2f}</td><td>{position[1]:.6f}, {position[0]:.6f}</td></tr>"
        for row, position in zip(rows.itertuples(), positions, strict=False) if row.agree is False
    )  # fmt: skip
    return "".join(cells) or '<tr><td colspan="7">Both maps agree on every building.</td></tr>'
