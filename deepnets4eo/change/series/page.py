"""report.html: where and when a series changed, and the first changes with chips of before and after; works offline.

Takes a ranking and its series; writes one file without scripts that loads nothing, with the table and polygons to save.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import shapely
from pyproj.exceptions import ProjError

from deepnets4eo.change.series.chips import Chips
from deepnets4eo.change.series.ranking import NoveltyRanking
from deepnets4eo.change.series.stack import ImageSeries, year_note
from deepnets4eo.errors import GridError
from deepnets4eo.files import write_text
from deepnets4eo.grid import transform_shapes, transformer
from deepnets4eo.outputs.csv_cells import csv_text
from deepnets4eo.outputs.event import SeriesEvent
from deepnets4eo.outputs.html import fill_template, image_address
from deepnets4eo.polygons.vertices import centres
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

TEMPLATE = files("deepnets4eo.change.series") / "assets" / "page.html"
WIDTH, HEIGHT, MARGIN = 960, 240, 56  # of the timeline
LEAST_DATES_PX = 54  # from label to label along it
MOST_MAPPED = 2000  # changes with an outline on the overview, and in what is saved
DECIMALS = 6  # of degrees: a decimetre
HUES = 16  # colours of clusters, then they repeat
SYNTHETIC = '<p class="synthetic"><b>SYNTHETIC</b> The images of this series are made up.</p>'


def write_page(
    ranking: NoveltyRanking, series: ImageSeries, path: str | Path, *, top: int = 30, event: SeriesEvent = SeriesEvent()
) -> Path:
    """Write the page. top : changes with chips. event : what they are of. Size: about 15 kB a chip."""
    rows = ranking.table.iloc[:top]
    chips = Chips(series)
    title = event.title(f"Changes of {len(series)} dates, {series.dates[0]} to {series.dates[-1]}")
    parts = {
        "TITLE": escape(("SYNTHETIC " if series.synthetic else "") + title),
        "HEADLINE": escape(title),
        "BANNER": SYNTHETIC if series.synthetic else "",
        "EVENT": _facts(event, series),
        "NOTE": f'<p class="note">{escape(year_note(series.years_alone))}</p>' if series.years_alone else "",
        "SUMMARY": _summary(ranking, len(rows)),
        "SAVE": _save_links(ranking),
        "OVERVIEW": _overview(ranking, series, chips, len(rows)),
        "TIMELINE": _timeline(ranking, series.dates, len(rows)),
        "CHANGES": "\n".join(_cards(rows, series, chips)),
        "VERSION": escape(__version__),
    }
    return write_text(path, fill_template(TEMPLATE.read_text(encoding="utf-8"), parts))


def _facts(event: SeriesEvent, series: ImageSeries) -> str:
    """What the series is of, and whose grid its dates are read on."""
    facts = [*event.facts]
    if series.paths and series.grid_source is not None:  # arrays have no file
        facts.append(
            ("Grid", f"that of {Path(series.grid_source).name}, the first date; the others are brought onto it")
        )
    return (
        f'<dl class="event">{"".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)}</dl>'
    )


def _save_links(ranking: NoveltyRanking) -> str:
    """Links that hold the table and the polygons themselves, so that a page that was passed on alone can give them."""
    table = ranking.table.iloc[:MOST_MAPPED]
    if not len(table):
        return ""
    columns = [name for name in table.columns if name != table.geometry.name]
    cells = [
        [str(cell) if isinstance(cell, date) else cell for cell in row]
        for row in table[columns].itertuples(index=False)
    ]
    links = [("changes.csv", "text/csv", "Save the table (CSV)", csv_text([columns, *cells]))]
    if table.crs is not None:
        with suppress(ProjError):  # a local engineering CRS has no longitude and latitude
            outlines = table.to_crs(4326).to_json()
            links.append(("changes.geojson", "application/geo+json", "Save the outlines (GeoJSON)", outlines))
    buttons = (
        f'<a class="button" download="{name}" href="data:{kind},{quote(text)}">{title}</a>'
        for name, kind, title, text in links
    )
    return f'<p class="save">{" ".join(buttons)}</p>'


def _overview(ranking: NoveltyRanking, series: ImageSeries, chips: Chips, count: int) -> str:
    """The last date, small, with the outlines of all changes; those with pictures lead to them."""
    picture, step = chips.overview(len(series) - 1)
    height, width = (math.ceil(side / step) for side in series.shape)
    outlines = []
    rows = ranking.table.iloc[:MOST_MAPPED]
    pixels = transform_shapes(~series.grid.affine, rows.geometry.to_numpy()) if len(rows) else []
    for row, outline in reversed(list(zip(rows.itertuples(), pixels, strict=True))):
        small = shapely.transform(outline, lambda xy: xy / step)
        path = " ".join(_path(ring) for ring in shapely.get_rings(shapely.get_parts(small)))
        shape = f'<path d="{path}" style="stroke:{_color(row.cluster)}"><title>{row.rank}: {escape(str(row.date))}</title></path>'
        outlines.append(f'<a href="#change-{row.id}">{shape}</a>' if row.rank <= count else shape)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Where the changes are, on the image of {series.dates[-1]}">'
        f'<image width="{width}" height="{height}" href="{image_address(picture, "jpeg")}"/>{"".join(outlines)}</svg>'
    )


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

    bottom = HEIGHT - 36
    marks = [f'<line x1="{x(day):.1f}" x2="{x(day):.1f}" y1="{bottom + 6}" y2="{bottom + 12}"/>' for day in dates]
    marks += [f'<text x="{x(day):.1f}" y="{HEIGHT - 8}">{text}</text>' for day, text in _date_labels(dates, x)]
    scores = ranking.table["score"].to_numpy(float)
    if len(scores):
        low, high = math.log10(max(scores.min(), 1e-6)), math.log10(max(scores.max(), 1e-6))

        def height(score: float) -> float:
            return (math.log10(max(score, 1e-6)) - low) / max(high - low, 1e-6)

        for score in _score_labels(10**low, 10**high):
            y = bottom - (HEIGHT - 60) * height(score)
            marks.append(f'<line class="level" x1="{MARGIN - 6}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}"/>')
            marks.append(f'<text class="score" x="{MARGIN - 10}" y="{y + 4:.1f}">{score:g}</text>')
        marks.append('<text class="score" x="46" y="12">score</text>')
        for row in reversed(list(ranking.table.itertuples())):
            share = height(row.score)
            text = f"{row.rank}: {row.date}, score {row.score:.1f}, cluster {row.cluster}"
            dot = (
                f'<circle cx="{x(date.fromisoformat(row.date)):.1f}" cy="{bottom - (HEIGHT - 60) * share:.1f}" '
                f'r="{6 if row.rank <= count else 3}" fill="{_color(row.cluster)}"><title>{escape(text)}</title></circle>'
            )
            marks.append(f'<a href="#change-{row.id}">{dot}</a>' if row.rank <= count else dot)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Changes by date and score">{"".join(marks)}</svg>'
    )


def _date_labels(dates: Sequence[date], x: Callable[[date], float]) -> list[tuple[date, str]]:
    """Years along the timeline, or days where it has less than two of them, as many as have room."""
    years = [date(year, 1, 1) for year in range(dates[0].year + 1, dates[-1].year + 1)]
    labels = [(day, str(day.year)) for day in years] if len(years) > 1 else [(day, day.isoformat()) for day in dates]
    room = LEAST_DATES_PX if len(years) > 1 else 2 * LEAST_DATES_PX
    kept: list[tuple[date, str]] = []
    for day, text in labels:
        if not kept or x(day) - x(kept[-1][0]) >= room:
            kept.append((day, text))
    return kept


def _score_labels(low: float, high: float) -> list[float]:
    """Round scores between two on a logarithmic axis, or the two themselves where there is none."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    between = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    return between or sorted({float(f"{low:.2g}"), float(f"{high:.2g}")})


def _cards(rows: Any, series: ImageSeries, chips: Chips) -> list[str]:
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
