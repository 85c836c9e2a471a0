"""report.html: where and when a series changed, and the first changes with chips of before and after; works offline.

Takes a ranking and its series; writes one file without scripts that loads nothing, with the table and polygons to save."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.change.series.ranking import NoveltyRanking, cluster_color
from deepnets4eo.change.series.stack import ImageSeries, year_note
from deepnets4eo.errors import GridError
from deepnets4eo.files import write_text
from deepnets4eo.grid import Window, transform_shapes, transformer
from deepnets4eo.outputs import SeriesEvent, asset_text, csv_text, document_head, fill_template, image_address
from deepnets4eo.polygons import centres
from deepnets4eo.rasters import COLOURS, role_indices
from deepnets4eo.reprojection import in_degrees
from deepnets4eo.tiling import spread_windows
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

MIN_PX, MAX_PX = 64, 512  # of the ground that a chip shows
SIDE_PX = 192  # of the picture at most
CHIP_MARGIN = 1.0  # of the outline's own size, on each side
STRETCH_PERCENT = (1, 99)
OVERVIEW_PX = 900  # longer side of the picture of the whole place at most
STRIP_PX = 1 << 22  # pixels read at a time for it
SAMPLE_PX, SAMPLES = 256, 3
MIN_SHOWN = 0.5  # of a date, to be the picture of the whole place
QUALITY = 75
HEIGHT = 240  # of the timeline
WIDTH, NARROW = 960, 270  # of its dates on a desk and on a telephone
MIN_DATES_PX = 54  # from label to label along it
MAX_MAPPED = 2000  # changes with an outline on the overview, and in what is saved
DECIMALS = 6  # of degrees: a decimetre
SYNTHETIC = '<p class="synthetic"><b>SYNTHETIC</b> The images of this series are made up.</p>'


def write_page(
    ranking: NoveltyRanking, series: ImageSeries, path: str | Path, *, top: int = 30, event: SeriesEvent = SeriesEvent()
) -> Path:
    """Write the page. top : changes with chips. event : what they are of. Size: about 15 kB a chip."""
    rows = ranking.table.iloc[:top]
    chips = SeriesChips(series)
    title = event.title(f"Changes of {len(series)} dates, {series.dates[0]} to {series.dates[-1]}")
    parts = {
        "HEAD": document_head(("SYNTHETIC " if series.synthetic else "") + title),
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
    return write_text(path, fill_template(asset_text("deepnets4eo.change.series", "page.html"), parts))


def _facts(event: SeriesEvent, series: ImageSeries) -> str:
    """Return the facts about the series, including the source of the grid that its dates are read on."""
    facts = [*event.facts]
    if series.paths and series.grid_source is not None:  # arrays have no file
        facts.append(
            ("Grid", f"that of {file_name_of(series.grid_source)}, the first date; the others are brought onto it")
        )
    return (
        f'<dl class="event">{"".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)}</dl>'
    )


def _save_links(ranking: NoveltyRanking) -> str:
    """Return links that contain the table and the polygons themselves, so that a page passed on without its files can provide them."""
    table = ranking.table.iloc[:MAX_MAPPED]
    if not len(table):
        return ""
    columns = [name for name in table.columns if name != table.geometry.name]
    cells = [
        [str(cell) if isinstance(cell, date) else cell for cell in row]
        for row in table[columns].itertuples(index=False)
    ]
    links = [("changes.csv", "text/csv", "Save the table (CSV)", csv_text([columns, *cells]))]
    if table.crs is not None:
        with suppress(GridError):  # a local engineering CRS has no longitude and latitude
            outlines = in_degrees(table).to_json()
            links.append(("changes.geojson", "application/geo+json", "Save the outlines (GeoJSON)", outlines))
    buttons = (
        f'<a class="button" download="{name}" href="data:{kind},{quote(text)}">{title}</a>'
        for name, kind, title, text in links
    )
    return f'<p class="save">{" ".join(buttons)}</p>'


def _overview(ranking: NoveltyRanking, series: ImageSeries, chips: SeriesChips, count: int) -> str:
    """Return the last date that shows the place, small, with the outlines of all changes; changes with pictures link to them."""
    date_index = chips.last_shown()
    picture, step = chips.overview(date_index)
    height, width = (math.ceil(side / step) for side in series.shape)
    outlines = []
    rows = ranking.table.iloc[:MAX_MAPPED]
    pixels = transform_shapes(~series.grid.affine, rows.geometry.to_numpy()) if len(rows) else []
    for row, outline in reversed(list(zip(rows.itertuples(), pixels, strict=True))):
        small = shapely.transform(outline, lambda xy: xy / step)
        path = " ".join(_path(ring) for ring in shapely.get_rings(shapely.get_parts(small)))
        shape = f'<path d="{path}" style="stroke:{_color(row.cluster)}"><title>{row.rank}: {escape(str(row.date))}</title></path>'
        outlines.append(f'<a href="#change-{row.id}">{shape}</a>' if row.rank <= count else shape)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="group" aria-label="Where the changes are, on the image of {series.dates[date_index]}">'
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
    """Each change as a dot: its date to the right, in percent of any width, its score upwards on a logarithmic scale."""
    first, days = dates[0], max((dates[-1] - dates[0]).days, 1)

    def x(day: date) -> float:
        return 100 * (day - first).days / days

    bottom = HEIGHT - 36
    marks = [f'<line x1="{x(day):.2f}%" x2="{x(day):.2f}%" y1="{bottom + 6}" y2="{bottom + 12}"/>' for day in dates]
    few = _date_labels(dates, x, NARROW)
    for label in _date_labels(dates, x, WIDTH):
        kind = "" if label in few else ' class="desk"'
        marks.append(f'<text{kind} x="{x(label[0]):.2f}%" y="{HEIGHT - 8}">{label[1]}</text>')
    scores = ranking.table["score"].to_numpy(float)
    if len(scores):
        low, high = math.log10(max(scores.min(), 1e-6)), math.log10(max(scores.max(), 1e-6))

        def height(score: float) -> float:
            return (math.log10(max(score, 1e-6)) - low) / max(high - low, 1e-6)

        for score in _score_labels(10**low, 10**high):
            y = bottom - (HEIGHT - 60) * height(score)
            marks.append(f'<line class="level" x1="-6" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
            marks.append(f'<text class="score" x="-10" y="{y + 4:.1f}">{score:g}</text>')
        marks.append('<text class="score" x="-10" y="12">score</text>')
        for row in reversed(list(ranking.table.itertuples())):
            share = height(row.score)
            text = f"{row.rank}: {row.date}, score {row.score:.1f}, cluster {row.cluster}"
            dot = (
                f'<circle cx="{x(date.fromisoformat(row.date)):.2f}%" cy="{bottom - (HEIGHT - 60) * share:.1f}" '
                f'r="{6 if row.rank <= count else 3}" fill="{_color(row.cluster)}"><title>{escape(text)}</title></circle>'
            )
            marks.append(f'<a href="#change-{row.id}">{dot}</a>' if row.rank <= count else dot)
    return f'<svg role="group" aria-label="Changes by date and score">{"".join(marks)}</svg>'


def _date_labels(dates: Sequence[date], x: Callable[[date], float], width: float) -> list[tuple[date, str]]:
    """Return years along a timeline of `width` pixels, or days if there are fewer than two years, as many as fit; x : in percent."""
    years = [date(year, 1, 1) for year in range(dates[0].year + 1, dates[-1].year + 1)]
    labels = [(day, str(day.year)) for day in years] if len(years) > 1 else [(day, day.isoformat()) for day in dates]
    room = 100 * (MIN_DATES_PX if len(years) > 1 else 2 * MIN_DATES_PX) / width
    kept: list[tuple[date, str]] = []
    for day, text in labels:
        if not kept or x(day) - x(kept[-1][0]) >= room:
            kept.append((day, text))
    return kept


def _score_labels(low: float, high: float) -> list[float]:
    """Return round scores between two scores on a logarithmic axis, or the two scores themselves if there is no round score."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    between = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    return between or sorted({float(f"{low:.2g}"), float(f"{high:.2g}")})


def _cards(rows: Any, series: ImageSeries, chips: SeriesChips) -> list[str]:
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
            f'<article id="change-{row.id}"><h3>{row.rank}<span style="border-color:{_color(row.cluster)}">cluster {row.cluster}</span></h3>'
            f'<div class="pair">{figures}</div><p>score {row.score:.1f} = {row.magnitude:.1f} × {row.rarity:.2f}; {row.cells} '
            f"cell{'s' * (row.cells > 1)} at {escape(position)}</p></article>"
        )
    return cards


def _positions(shapes: gpd.GeoSeries) -> list[str]:
    """Return the positions of the centres of shapes: latitude and longitude, or x and y with the name of their CRS."""
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
    return "rgb({} {} {})".format(*cluster_color(cluster))


class Chip(NamedTuple):
    """window : pixels of the series. side : of the picture's pixels. outline : in the picture's pixels."""

    window: Window
    height: int
    width: int
    outline: Any


class SeriesChips:
    """Draws chips of a series; the stretch of each date is measured once."""

    def __init__(self, series: ImageSeries) -> None:
        self._series = series
        roles = role_indices(series.band_names)
        names = series.band_names
        self._bands = [0, 1, 2] if len(names) >= 3 else [0, 0, 0]
        if all(colour in roles for colour in COLOURS):
            self._bands = [roles[colour] for colour in COLOURS]
        self._stretch = lru_cache(maxsize=None)(self._measure_stretch)

    def frame(self, shape: Any) -> Chip:
        """Return the chip that shows an outline, given in the grid's CRS."""
        pixels = transform_shapes(~self._series.grid.affine, shape)
        left, top, right, bottom = shapely.bounds(pixels)
        side = min(max(MIN_PX, (1 + 2 * CHIP_MARGIN) * max(right - left, bottom - top)), MAX_PX)
        height, width = (min(int(side), length) for length in self._series.shape)
        row = int(min(max((top + bottom - height) / 2, 0), self._series.shape[0] - height))
        col = int(min(max((left + right - width) / 2, 0), self._series.shape[1] - width))
        step = max(1, math.ceil(max(height, width) / SIDE_PX))
        outline = shapely.transform(pixels, lambda xy: (xy - (col, row)) / step)
        return Chip(Window(row, col, height, width), height // step, width // step, outline)

    def webp(self, index: int, chip: Chip) -> bytes:
        """Return the picture of a date; invalid pixels are transparent."""
        return _encode(self._picture(index, chip.window, chip.window.height // chip.height), "WEBP")

    def _picture(self, index: int, window: Window, step: int) -> NDArray[np.uint8]:
        """Red, green, blue and opacity (4, h, w) of every `step`-th pixel of a window."""
        image, valid = self._series.read(index, window)
        image, valid = image[self._bands][:, ::step, ::step], valid[::step, ::step]
        low, high = self._stretch(index)
        colours = np.where(valid, (image - low) / (high - low) * 255, 0).clip(0, 255).astype(np.uint8)
        return np.concatenate([colours, valid[None].astype(np.uint8) * 255])

    def overview(self, index: int) -> tuple[bytes, int]:
        """Return the whole picture of a date as a small JPEG, and how many pixels one of its pixels covers. Memory: a strip of rows."""
        height, width = self._series.shape
        step = max(1, math.ceil(max(height, width) / OVERVIEW_PX))
        rows = step * max(1, STRIP_PX // (step * width))
        strips = [
            self._picture(index, Window(row, 0, min(rows, height - row), width), step) for row in range(0, height, rows)
        ]
        return _encode(np.concatenate(strips, axis=1)[:3], "JPEG"), step

    def last_shown(self) -> int:
        """Return the last date that is at least half valid, else the date with the largest valid share: a cloudy date shows nothing."""
        shares = []
        for index in reversed(range(len(self._series))):
            windows = spread_windows(self._series.shape, (SAMPLE_PX, SAMPLE_PX), SAMPLES)
            share = float(np.mean([self._series.read(index, window)[1].mean() for window in windows]))
            if share >= MIN_SHOWN:
                return index
            shares.append(share)
        return len(shares) - 1 - int(np.argmax(shares))

    def _measure_stretch(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        pixels = []
        for window in spread_windows(self._series.shape, (SAMPLE_PX, SAMPLE_PX), SAMPLES):
            image, valid = self._series.read(index, window)
            pixels.append(image[self._bands][:, valid][:, ::5])
        values = np.concatenate(pixels, axis=1)
        if not values.shape[1]:
            values = np.zeros((3, 1), np.float32)
        low, high = np.percentile(values, STRETCH_PERCENT, axis=1).astype(np.float32)[:, :, None, None]
        return low, np.maximum(high, low + 1e-6)


def _encode(picture: NDArray[np.uint8], kind: str) -> bytes:
    """Encode a picture (bands, h, w) as a file; kind : WEBP, or JPEG, which is smaller for large pictures and has no opacity."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, 2))).save(buffer, kind, quality=QUALITY, method=2)
    return buffer.getvalue()
