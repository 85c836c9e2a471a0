"""Intervals of the demo: at how many synthetic cities the true number of damaged buildings lies within the map's interval, and how wide it is.

Usage: python experiments/demo_intervals.py --out OUT [--cities 60] [--smoke]

SYNTHETIC. Cities of four sizes and five shares of hit buildings (one of them as drawn, between a quarter and 60 %), seeds from 41,000 on, which nothing was fitted to and
no constant was chosen on. Each goes through the job of the demo, with the shipped networks. Goal: 55 of 60 inside at a mean width of at most 0.12 of the
assessed buildings. Finished cities are read from OUT, not run again; writes table.md and results.json. Takes some 20 s of processor time per city.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from script import add_smoke, plain_errors, title_of

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.review import compare_with_reference
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City, Event

log = logging.getLogger(__name__)

FIRST_SEED = 41_000
SIZES_PX, SMOKE_PX = (640, 896, 1152, 1408), 256
SHARES = (None, 0.1, 0.3, 0.5, 0.7)  # of hit buildings, minor damage included; None: as drawn
Row = Mapping[str, Any]


def draw_event(seed: int, share: float | None) -> Event:
    """Return the event of a seed, with another share of hit buildings; their grades keep their proportions."""
    event = Event.draw(seed)
    if share is None:
        return event
    grades = np.array(event.damage_shares[1:])
    minor, major, destroyed = (float(value) for value in share * grades / grades.sum())
    return replace(event, damage_shares=(1 - share, minor, major, destroyed))


def map_city(seed: int, size_px: int, share: float | None) -> dict[str, Any]:
    """Return the truth of a city, the interval of its map and its scores."""
    city = City(seed, size_px, event=draw_event(seed, share))
    pre, post = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
    result = assess(pre, post, city.footprints(), settings=Settings(seed=seed, workers=1))
    accuracy = compare_with_reference(result.buildings, city.buildings)
    damaged = result.estimates["buildings"]["damaged"]
    assessed = int((result.buildings["status"] == "assessed").sum())
    low, high = damaged["interval_95"]
    return {
        "seed": seed, "size_px": size_px, "share": share, "assessed": assessed, "damaged": accuracy.damaged,
        "expected": round(damaged["expected"], 2), "interval_95": [low, high], "width": round((high - low) / assessed, 4),
        "auc": round(accuracy.auc, 4), "f1": round(accuracy.f1, 4),
    }  # fmt: skip


def map_cities(out: Path, cities: int, *, smoke: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the row of each city; finished rows are read from `out`."""
    for number in range(cities):
        seed, size_px = FIRST_SEED + number, SMOKE_PX if smoke else SIZES_PX[number % len(SIZES_PX)]
        share = SHARES[number % len(SHARES)]
        path = out / "cities" / f"{seed}-{size_px}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, map_city(seed, size_px, share))
            log.info("city %d of %d", number + 1, cities)
        yield read_json(path)


def is_inside(row: Row) -> bool:
    """Return whether the true number lies within the interval."""
    low, high = row["interval_95"]
    return bool(low <= row["damaged"] <= high)


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how many cities are inside, on which side the others miss, and means over the cities."""
    misses = [row for row in rows if not is_inside(row)]
    return {
        "cities": len(rows),
        "inside": len(rows) - len(misses),
        "too_low": sum(row["interval_95"][1] < row["damaged"] for row in misses),
        "width": round(float(np.mean([row["width"] for row in rows])), 4),
        "auc": round(float(np.nanmean([row["auc"] for row in rows])), 4),
        "f1": round(float(np.nanmean([row["f1"] for row in rows])), 4),
    }


def results_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the summary of all cities, by size and by share."""
    groups: dict[str, dict[str, Any]] = {"all": {"": summarise(rows)}}
    for key in ("size_px", "share"):
        values = dict.fromkeys(row[key] for row in rows)
        groups[key] = {str(value): summarise([row for row in rows if row[key] == value]) for value in values}
    return groups


def table_of(groups: Mapping[str, Mapping[str, Row]]) -> str:
    """Return the summaries as Markdown."""
    columns = ("cities", "inside", "too_low", "width", "auc", "f1")
    lines = [["", *columns], ["---", *["---:"] * len(columns)]]
    for key, parts in groups.items():
        lines += [[f"{key} {name}".strip(), *(str(part[column]) for column in columns)] for name, part in parts.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Map the cities, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cities", type=int, default=60)
    add_smoke(parser)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    rows = list(map_cities(chosen.out, 2 if chosen.smoke else chosen.cities, smoke=chosen.smoke))
    groups = results_of(rows)
    missed = ", ".join(str(row["seed"]) for row in rows if not is_inside(row)) or "none"
    title = title_of("Intervals of the demo (SYNTHETIC)", smoke=chosen.smoke)
    text = f"## {title}\n\n{table_of(groups)}\n\nMissed seeds: {missed}.\n"
    write_json(chosen.out / "results.json", {"smoke": chosen.smoke, "summary": groups, "cities": rows})
    write_text(chosen.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
