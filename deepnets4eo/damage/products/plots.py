"""A damage map in a notebook: its summary, a figure, a page of folium and a layer of lonboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepnets4eo.damage.products.content import DamageMapContent
from deepnets4eo.damage.table.vocabulary import GRADES, QUARTERS, TITLES, UNGRADED, colors
from deepnets4eo.display import ColorRow, FigureStyle, Summary, add_key, count_text, make_axes
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra, name_missing_extra
from deepnets4eo.reprojection import to_crs

if TYPE_CHECKING:
    import folium
    import lonboard
    from matplotlib.axes import Axes

    from deepnets4eo.rasters import Layer

LINE_POINTS, THIN_POINTS, CASING_POINTS = 1.6, 0.6, 1.2
MANY_BUILDINGS = 500  # buildings from which on outlines are thin, or they hide each other


def summarize_content(content: DamageMapContent) -> Summary:
    """Return the counts by grade, the registration, and the worst finding."""
    counts = content.table.counts()
    classes = content.table.shown_classes
    assessed = int(content.table.assessed.sum())
    shares = {name: f"{counts[name] / assessed:.0%}" if assessed else "" for name in classes if name != UNGRADED}
    crs = content.buildings.crs
    head = {
        "buildings": f"{count_text(len(content.buildings), 'building')}, {assessed} assessed",
        "CRS": "no CRS" if crs is None else f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else crs.name,
    }
    known = [grade for grade in GRADES if counts[grade] or not content.is_open]
    facts = {"grades": ", ".join([*(f"{counts[grade]} {grade}" for grade in known), *_unknown(content)])}
    if counts[UNGRADED]:
        reasons = content.table.reason_counts(~content.table.assessed)
        by_count = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        facts["not assessed"] = ", ".join(f"{count} {reason}" for reason, count in by_count)
    if content.registration:
        shift = content.registration.get("shift_m")
        moved = "" if shift is None else f", pre moved by {shift:.1f} m"
        facts["registration"] = f"{content.registration.get('status')}{moved}"
    if content.findings:
        worst = content.findings[0]
        more = f" ({len(content.findings) - 1} more)" if len(content.findings) > 1 else ""
        facts["worst finding"] = f"{worst.severity}: {worst.message}{more}"
    rows = [
        ColorRow(color, (TITLES[name], str(counts[name]), shares.get(name, "")))
        for name in classes
        for color in [colors()[name]]
    ]
    return Summary(f"DamageMap{FigureStyle.synthetic_mark if content.synthetic else ''}", head, facts, rows, "grades")


def _unknown(content: DamageMapContent) -> list[str]:
    number = int(content.table.classes.isin(QUARTERS).sum())
    return [f"{number} not known"] if number else []


def plot_content(content: DamageMapContent, image: Layer | None, axes: Axes | None, max_px: int) -> Axes:
    """Draw the outlines in the colours of their grades: over the image, or without one filled."""
    from matplotlib.patheffects import withStroke

    buildings, counts = content.buildings, content.table.counts()
    axes = make_axes(axes, FigureStyle.with_key_in)
    if image is not None:
        image.plot(axes, max_px=max_px)
        if image.grid.crs is not None and buildings.crs is not None:
            buildings = to_crs(buildings, image.grid.crs.proj)
    width = LINE_POINTS if len(buildings) < MANY_BUILDINGS else THIN_POINTS
    casing = [withStroke(linewidth=width + CASING_POINTS, foreground="black")]  # outlines stand out from red roofs too
    view = (axes.get_xlim(), axes.get_ylim()) if image is not None else None
    palette = {name: tuple(value / 255 for value in color) for name, color in colors().items()}
    grades = content.table.classes
    for name in content.table.shown_classes:
        rows = buildings[grades == name]
        if len(rows) and view is not None:
            rows.boundary.plot(ax=axes, color=palette[name], linewidth=width, path_effects=casing, aspect=None)
        elif len(rows):
            rows.plot(ax=axes, facecolor=palette[name], edgecolor="0.3", linewidth=0.3)
    if view is not None:
        axes.set(xlim=view[0], ylim=view[1])
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="", title=f"Building damage{FigureStyle.synthetic_mark if content.synthetic else ''}")  # fmt: skip
    return add_key(axes, [(colors()[name], f"{TITLES[name]} ({counts[name]})") for name in counts if counts[name]])


TOOLTIP = ["id", "damage", "damage_prob", "reason"]  # of a building that the pointer is on
FILLED = {"fillOpacity": 0.45, "weight": 1.5}
FILL_ALPHA = 115  # of 255


def explore_content(content: DamageMapContent, tiles: str | None) -> folium.Map:
    """Return the buildings as a folium map."""
    check_extra("notebook")
    palette = {
        TITLES[name]: "#" + "".join(f"{value:02x}" for value in colors()[name]) for name in content.table.shown_classes
    }
    buildings = content.buildings[[*TOOLTIP, "geometry"]].assign(grade=content.table.classes.map(TITLES))
    caption = f"Building damage{FigureStyle.synthetic_mark if content.synthetic else ''}"
    return buildings.explore(
        "grade", categorical=True, categories=list(palette), cmap=list(palette.values()), tooltip=TOOLTIP, tiles=tiles,
        style_kwds=FILLED, legend_kwds={"caption": caption}, name=caption,
    )  # fmt: skip


@name_missing_extra()
def lonboard_layer(content: DamageMapContent) -> lonboard.PolygonLayer:
    """Return the buildings as a lonboard layer."""
    import lonboard

    if content.buildings.crs is None:
        raise InputError(
            "the buildings have no CRS, so that they have no place on a map of the world. Plot them instead."
        )
    buildings = to_crs(content.buildings[[*TOOLTIP, "geometry"]], 4326)
    palette = colors()
    fill = np.array([[*palette[grade], FILL_ALPHA] for grade in content.table.classes], np.uint8)
    return lonboard.PolygonLayer.from_geopandas(
        buildings, get_fill_color=fill, get_line_color=fill[:, :3].copy(), line_width_min_pixels=1
    )
