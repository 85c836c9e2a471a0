"""report.html: a timeline of the changes of a series, and the first of them with chips of before and after; works offline.

Takes a ranking and its series; writes one file without scripts that loads nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from deepnets4eo.change.series.chips import Chips
from deepnets4eo.change.series.ranking import NoveltyRanking
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import GridError
from deepnets4eo.files import write_text
from deepnets4eo.grid import transformer
from deepnets4eo.outputs.event import SeriesEvent
from deepnets4eo.outputs.html import fill_template, image_address
from deepnets4eo.polygons.vertices import centres
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

TEMPLATE = files("deepnets4eo.change.series") / "assets" / "page.html"
WIDTH, HEIGHT, MARGIN = 960, 220, 36  # of the timeline
MOST_YEARS = 16  # labels along the timeline
DECIMALS = 6  # of degrees: a decimetre
HUES = 16  # colours of clusters, then they repeat
SYNTHETIC = '<p class="synthetic"><b>SYNTHETIC</b> The images of this series are made up.</p>'


def write_page(
    ranking: NoveltyRanking, series: ImageSeries, path: str | Path, *, top: int = 30, event: SeriesEvent = SeriesEvent()
) -> Path:
    """Write the page. top : changes with chips. event : what they are of. Size: about 15 kB a chip."""
    rows = ranking.table.iloc[:top]
    title = event.title(f"Changes of {len(series)} dates, {series.dates[0]} to {series.dates[-1]}")
    parts = {
        "TITLE": escape(("SYNTHETIC " if series.synthetic else "") + title),
        "HEADLINE": escape(title),
        "BANNER": SYNTHETIC if series.synthetic else "",
        "EVENT": _event(event),
        "SUMMARY": _summary(ranking, len(rows)),
        "TIMELINE": _timeline(ranking, series.dates, len(rows)),
        "CHANGES": "\n".join(_cards(rows, series)),
        "VERSION": escape(__version__),
    }
    return write_text(path, fill_template(TEMPLATE.read_text(encoding="utf-8"), parts))


def _event(event: SeriesEvent) -> str:
    rows = (f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in event.facts)
    return f'<dl class="event">{"".join(rows)}</dl>' if event.facts else ""


def _summary(ranking: NoveltyRanking, count: int) -> str:
    if not len(ranking):
        return "No change holds at the later dates."
    clusters = ranking.table["cluster"].nunique()
    return (
        f"{len(ranking)} changes in {clusters} cluster{'s' * (clusters > 1)}; the first {count} are below. The score is magnitude × "
        "rarity: it orders what to look at first, and is no probability."
    )


def _timeline(ranking: NoveltyRanking, dates: Sequence[date], count: int) -> str:
    """Each change as a dot: its date to the right, its score upwards on a logarithmic scale."""
    first, days = dates[0], max((dates[-1] - dates[0]).days, 1)

    def x(day: date) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (day - first).days / days

    marks = [f'<line x1="{x(day):.1f}" x2="{x(day):.1f}" y1="{HEIGHT - 30}" y2="{HEIGHT - 24}"/>' for day in dates]
    step = 1 + (dates[-1].year - first.year) // MOST_YEARS
    years = [date(year, 1, 1) for year in range(first.year + 1, dates[-1].year + 1, step)]
    marks += [f'<text x="{x(day):.1f}" y="{HEIGHT - 8}">{day.year}</text>' for day in years or [dates[0]]]
    scores = ranking.table["score"].to_numpy(float)
    if len(scores):
        low, high = math.log10(max(scores.min(), 1e-6)), math.log10(max(scores.max(), 1e-6))
        for row in reversed(list(ranking.table.itertuples())):
            share = (math.log10(max(row.score, 1e-6)) - low) / max(high - low, 1e-6)
            text = f"{row.rank}: {row.date}, score {row.score:.1f}, cluster {row.cluster}"
            dot = (
                f'<circle cx="{x(date.fromisoformat(row.date)):.1f}" cy="{HEIGHT - 36 - (HEIGHT - 60) * share:.1f}" '
                f'r="{6 if row.rank <= count else 3}" fill="{_color(row.cluster)}"><title>{escape(text)}</title></circle>'
            )
            marks.append(f'<a href="#change-{row.id}">{dot}</a>' if row.rank <= count else dot)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Changes by date and score">{"".join(marks)}</svg>'
    )


def _cards(rows: Any, series: ImageSeries) -> list[str]:
    chips = Chips(series)
    index = {day.isoformat(): number for number, day in enumerate(series.dates)}
    cards = []
    for row, position in zip(rows.itertuples(), _positions(rows.geometry), strict=True):
        chip = chips.frame(row.geometry)
        path = " ".join(_path(ring) for ring in shapely.get_rings(shapely.get_parts(chip.outline)))
        figures = "".join(
            f'<figure><svg viewBox="0 0 {chip.width} {chip.height}"><image width="{chip.width}" height="{chip.height}" '
            f'href="{image_address(chips.webp(index[day], chip), "webp")}"/>'
            f'<path d="{path}"/></svg><figcaption>{what} {day}</figcaption></figure>'
            for what, day in (("before", row.before), ("after", row.date))
        )
        cards.append(
            f'<article id="change-{row.id}"><h3>{row.rank}<span style="background:{_color(row.cluster)}">cluster {row.cluster}</span></h3>'
            f'<div class="pair">{figures}</div><p>score {row.score:.1f} = {row.magnitude:.1f} × {row.rarity:.2f}; {row.cells} '
            f"cell{'s' * (row.cells > 1)} at {escape(position)}</p></article>"
        )
    return cards


def _positions(shapes: gpd.GeoSeries) -> list[str]:
    """Where the middles of shapes are: latitude and longitude, or x and y with what they are counted in."""
    x, y = centres(shapes.to_numpy()).T
    try:
        lon, lat = transformer(shapes.crs, 4326).transform(x, y)
    except GridError:  # none, or a local engineering CRS: no position on the earth
        name = "no CRS" if shapes.crs is None else shapes.crs.name
        return [f"x {east:.1f}, y {north:.1f} ({name})" for east, north in zip(x, y, strict=True)]
    degrees = zip(lat, (lon + 180) % 360 - 180, strict=True)
    return [f"latitude {north:.{DECIMALS}f}, longitude {east:.{DECIMALS}f}" for north, east in degrees]


def _path(ring: Any) -> str:
    points = " L".join(f"{x:.1f} {y:.1f}" for x, y in shapely.get_coordinates(ring))
    return f"M{points} Z"


def _color(cluster: int) -> str:
    return "#777" if cluster < 0 else f"hsl({(cluster * 7 % HUES) * 360 // HUES} 70% 45%)"
