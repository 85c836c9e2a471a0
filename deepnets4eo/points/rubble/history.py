"""Buildings over more than two dates: heights, volumes and states by date, and the date of the first loss.

Each date is compared with the first date, or with the date when the building was new or first seen. The job needs as much
memory as a job of two dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.files import write_text
from deepnets4eo.outputs import EventInfo, count_of, document_head, fill_template, wide
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble.dates import epoch_findings
from deepnets4eo.points.rubble.epochs import EpochFit
from deepnets4eo.points.rubble.job import lay_dates, measure_heights
from deepnets4eo.points.rubble.placing import read_outlines
from deepnets4eo.points.rubble.rubble_map import BuildingState, RubbleMap, RubbleOptions
from deepnets4eo.points.rubble.surfaces import WALL_M, Heights, HeightSource
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.footprints import Footprints

OF_DATES = "dates_"  # how the codes of these findings begin

DATED = re.compile(r"(\d{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)?)=(.+)")
GROWN_M = WALL_M  # rise of the mean height from which a building is new
LOST = (BuildingState.partly, BuildingState.collapsed, BuildingState.cleared)
VOLUMES = [f"{name}_{end}m3" for name in ("lost", "debris") for end in ("", "low_", "high_")]
COLUMNS = ["id", "date", "compared_with", "height_m", "volume_m3", *VOLUMES, "known_share", "state", "damage"]
MAX_SHOWN_BUILDINGS = 300  # buildings on the page, those that lost most first
WIDTH, HEIGHT, MARGIN = 320, 110, 24  # of a drawing


def parse_dated(text: str) -> tuple[str, str]:
    """Return the date and the file of DATE=FILE; if the date is missing, the name of the file replaces it."""
    match = DATED.fullmatch(text)
    return (match[1], match[2]) if match else (Path(text).stem, text)


def debris_history(
    heights: Sequence[HeightSource],
    dates: Sequence[str],
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    options: RubbleOptions = RubbleOptions(),
    *,
    event: EventInfo = EventInfo(),
    progress: Callable[[float], None] | None = None,
) -> RubbleMap:
    """Measure heights, losses and debris of every building at each date.

    Parameters
    ----------
    heights : T sources of heights as `debris_volumes` takes them, in the order of time
    dates : T names of the dates, such as 2016 or 2016-08-25
    footprints, options, event, progress : as of `debris_volumes`

    Returns
    -------
    The map of the last date, with `history` and the column `first_loss`.

    Raises
    ------
    InputError
        Fewer than two dates, another number of names, or dates that are not in the order of time
    InputError, GridError, NoHeightsError
        As `debris_volumes`, for the first date with any other
    """
    check_dates(dates, len(heights))
    outlines = read_outlines(footprints, options)
    opened, fits = _laid(heights, outlines, options)
    last, pairs = len(heights) - 1, len(heights) * (len(heights) - 1) // 2
    start = np.zeros(len(outlines), np.int64)  # the date that later ones are compared with
    parts, maps, done = [], dict[int, RubbleMap](), 0
    for first in range(last):
        rows = np.flatnonzero(start == first)
        for later in range(first + 1, last + 1):
            done += 1
            result = _compare(opened, (first, later), outlines, rows, options, event, fits) if len(rows) else None
            if result is None:
                continue
            parts.append(result.buildings.assign(row=rows, first=first, later=later))
            grown = (result.buildings["roof_height_loss_m"] < -GROWN_M).to_numpy()
            start[rows[grown & (start[rows] == first)]] = later
            if later == last:
                maps[first] = result
            if progress is not None:
                progress(done / pairs)
        if len(rows):
            own = pd.concat([part for part in parts if part["first"].iloc[0] == first] or parts[:1])
            seen = np.isin(rows, own.loc[own["height_pre_m"].notna(), "row"])  # at the first date
            start[rows[~seen]] = first + 1
    table = pd.concat(parts).drop_duplicates(["row", "later"], keep="last")
    joined = _joined(table, maps, outlines, dates)
    others = [finding for finding in joined.findings if not finding.code.startswith(OF_DATES)]
    return replace(joined, findings=(*epoch_findings(fits), *others), registrations=fits)


def _laid(
    heights: Sequence[HeightSource], outlines: Footprints, options: RubbleOptions
) -> tuple[list[Heights], tuple[EpochFit, ...]]:
    """Return the heights of all dates, with later dates aligned to the first, and the fits of the alignment."""
    first, *later = (Heights.open(source) for source in heights)
    laid = [lay_dates(date, first, outlines, options) for date in later]
    return [first, *(date for date, _ in laid)], tuple(fit for _, fits in laid for fit in fits)


def check_dates(dates: Sequence[str], number: int) -> None:
    """Refuse dates that do not match this number of sources or are not in the order of time. Errors: InputError."""
    if number < 2 or len(dates) != number or len(set(dates)) < number:
        raise InputError(
            f"{number} sources of heights have the dates {', '.join(dates)}; expected two or more, each with a date of its own. "
            "Write --pre DATE=FILE."
        )
    if all(DATED.fullmatch(f"{day}=file") for day in dates) and list(dates) != sorted(dates):
        raise InputError(
            f"the dates are {', '.join(dates)}; expected the oldest first. Give them in the order of time."
        )


def _compare(
    heights: Sequence[Heights], pair: tuple[int, int], outlines: Footprints, rows: NDArray[np.int64],
    options: RubbleOptions, event: EventInfo, fits: tuple[EpochFit, ...],
) -> RubbleMap | None:  # fmt: skip
    """Map some buildings at a pair of dates; return None if they have no heights, or raise an error for the first date."""
    attributes = None if outlines.attributes is None else outlines.attributes.iloc[rows].reset_index(drop=True)
    frame = outlines.frame.iloc[rows].reset_index(drop=True)
    compared = replace(outlines, frame=frame, attributes=attributes, pixels=None)
    try:
        own = tuple(fits[date - 1] for date in pair if date and fits)
        return measure_heights(heights[pair[1]], heights[pair[0]], compared, options, own, event=event)
    except (GridError, NoHeightsError):
        if pair[0] == 0:
            raise
        return None


def _joined(table: pd.DataFrame, maps: dict[int, RubbleMap], outlines: Footprints, dates: Sequence[str]) -> RubbleMap:
    """Return the map of the last date with the history of all dates."""
    history = _history(table, outlines.frame["id"].to_numpy(), dates)
    lost = history[history["state"].isin(LOST)].drop_duplicates("id").set_index("id")["date"]
    buildings = maps[0].buildings.copy()
    final = table[table["later"] == len(dates) - 1].set_index("row")
    for name in final.columns.intersection(buildings.columns):
        buildings.loc[final.index, name] = final[name]
    buildings["first_loss"] = buildings["id"].map(lost)
    own = final["first"].reindex(range(len(buildings)))
    patches = [part.rubble[part.rubble["id"].isin(buildings["id"][own == first])] for first, part in maps.items()]
    return replace(
        maps[0], buildings=buildings, rubble=pd.concat(patches, ignore_index=True), history=history,
        inputs=maps[0].inputs | {"dates": ", ".join(dates)},
    )  # fmt: skip


def _history(table: pd.DataFrame, ids: NDArray[Any], dates: Sequence[str]) -> pd.DataFrame:
    """Return one row per building and date; the date that others are compared with has only a height and a volume."""
    names = np.array(dates, object)
    later = table.assign(
        height_m=table["height_pre_m"] - table["roof_height_loss_m"],
        compared_with=names[table["first"]],
        at=table["later"],
    )
    starts = table.sort_values("later").drop_duplicates(["row", "first"])
    starts = starts[["row", "area_m2"]].assign(at=starts["first"], height_m=starts["height_pre_m"])
    every = pd.concat([later[later["height_m"].notna()], starts[starts["height_m"].notna()]])
    every = every.drop_duplicates(["row", "at"]).set_index(["row", "at"])
    every = every.reindex(pd.MultiIndex.from_product([range(len(ids)), range(len(dates))], names=["row", "at"]))
    row, at = (every.index.get_level_values(name) for name in ("row", "at"))
    every["id"], every["date"] = ids[row], names[at]
    every["volume_m3"] = every["area_m2"] * every["height_m"].clip(lower=0)
    every.loc[every["height_m"].isna(), ["state", "damage"]] = BuildingState.unknown
    return every[COLUMNS].reset_index(drop=True)


PAGE = """%%HEAD%%<style>
table { margin: 12px 0; } th, td { text-align: right; } article h2 { margin: 0; } article p { margin: 4px 0; }
.buildings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 12px; }
polyline { fill: none; stroke: var(--soft); } text { font-size: 10px; fill: var(--soft); text-anchor: middle; }
</style></head><body data-ready><main><h1>%%TITLE%%</h1><p>%%ABOUT%%</p>%%TABLE%%<div class="buildings">%%BUILDINGS%%</div></main><footer><p>deepnets4eo %%VERSION%%</p></footer></body></html>
"""


def write_history_page(rubble: RubbleMap, path: Path) -> Path:
    """Write a page without scripts: sums by date, and each building over its dates, those that lost most first."""
    history = rubble.history
    assert history is not None, "the map has several dates"
    order = (
        rubble.buildings["lost_m3"].fillna(-1).sort_values(ascending=False, kind="stable").index[:MAX_SHOWN_BUILDINGS]
    )
    of_building = dict(list(history.groupby("id", sort=False)))
    cards = [_card(rubble.buildings.loc[row], of_building[rubble.buildings.loc[row, "id"]]) for row in order]
    rest = f"; the {len(order)} that lost most are below" * (len(order) < len(rubble.buildings))
    about = f"{count_of(len(rubble.buildings), 'building')}{rest}. Heights are means above the terrain; volumes have 95 % intervals."
    title = f"{'SYNTHETIC ' if rubble.synthetic else ''}{rubble.title}: buildings by date"
    parts = {
        "HEAD": document_head(title), "TITLE": escape(title),
        "ABOUT": escape("; ".join(f"{name}: {text}" for name, text in rubble.event.facts) + ". " * bool(rubble.event.facts) + about),
        "TABLE": wide(_sums(history)),
        "BUILDINGS": "\n".join(cards),
        "VERSION": escape(__version__),
    }  # fmt: skip
    return write_text(path, fill_template(PAGE, parts))


def _sums(history: pd.DataFrame) -> str:
    """Return an HTML table of volumes and numbers by state for each date."""
    volumes = history.groupby("date", sort=False)[["volume_m3", "lost_m3", "debris_m3"]].sum()
    states = pd.crosstab(history["date"], history["state"]).reindex(volumes.index, fill_value=0)
    table = volumes.join(states.reindex(columns=list(BuildingState.words), fill_value=0)).reset_index()
    return table.rename(columns=lambda name: name.replace("_m3", ", m³")).to_html(
        index=False, border=0, float_format="{:,.0f}".format
    )


def _card(building: pd.Series[Any], dates: pd.DataFrame) -> str:
    """One building: its heights over the dates, and what the last date shows."""
    loss = "no loss seen" if pd.isna(building["first_loss"]) else f"first loss {building['first_loss']}"
    text = "" if pd.isna(building["lost_m3"]) else (
        f"lost {building['lost_m3']:,.0f} m³ ({building['lost_low_m3']:,.0f} to {building['lost_high_m3']:,.0f}), "
        f"debris {building['debris_m3']:,.0f} m³"
    )  # fmt: skip
    heights = dates["height_m"].to_numpy(float)
    x = np.linspace(MARGIN, WIDTH - MARGIN, len(dates))
    y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * heights.clip(min=0) / np.fmax.reduce(heights, initial=1.0)
    known = np.isfinite(y)
    line = " ".join(f"{right:.1f},{down:.1f}" for right, down in zip(x[known], y[known], strict=True))
    marks = ""
    for right, down, day, state, height in zip(x, y, dates["date"], dates["state"], heights, strict=True):
        marks += f'<text x="{right:.1f}" y="{HEIGHT - 4}">{escape(str(day))}</text>'
        if np.isfinite(height):
            colour = f"rgb{BuildingState.colours[state]}" if state in BuildingState.colours else "currentColor"
            marks += f'<circle cx="{right:.1f}" cy="{down:.1f}" r="5" fill="{colour}"/>'
            marks += f'<text x="{right:.1f}" y="{down - 8:.1f}">{round(height, 1) + 0:.1f} m</text>'
    return (
        f"<article><h2>{escape(str(building['id']))}: {escape(str(building['state']))}, {escape(loss)}</h2>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Height by date"><polyline points="{line}"/>{marks}</svg>'
        f"<p>{text}</p></article>"
    )
