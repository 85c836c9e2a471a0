"""Graded neighbours after an earthquake: five Turkish cities graded by eye, each mapped with the grades of the others.

Usage: python experiments/graded_neighbours.py --data FOLDER --out OUT [--smoke]

FOLDER has turkey_2023 of the sample sets (SkySat, 0.5 m, non-commercial; grades by one rater). Ways: no hazard named; Earthquake named; Earthquake named, and the
look of the buildings of the other cities at a share of 0.5 (`--set look=0.5 --set look_from=RUN`). A fit never has grades of the city that it maps. The level
of intact roofs at earthquakes was chosen while these cities were looked at; the share 0.5 was not varied for them. Buildings without a clear grade count in the
interval only. Finished jobs are read from OUT; writes table.md and results.json. Takes some 15 s of processor time per job and city. --smoke maps one city.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from places.damage_scores import BOTH, CITIES, QUAKE, SITES, UNGRADED, DamageCase, assess_case, intervals_of, scores_of
from real_places import keep_case, read_case
from script import add_smoke, plain_errors, store_results, title_of

from deepnets4eo.damage import Settings
from deepnets4eo.damage.network.look_model import by_site, look_features
from deepnets4eo.damage.network.look_training import LookSite, fit_look
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.files import write_text
from deepnets4eo.outputs import EventInfo
from deepnets4eo.version import code_version

SHARE = 0.5  # of the look
UNNAMED, NAMED, NEIGHBOURS = "no hazard named", "earthquake named", "and graded neighbours"
TOGETHER = "together"
COLUMNS = ("damaged", "assessed", "auc", "f1", "standing_called", "inside", "width")


def read_cities(data: Path) -> list[DamageCase]:
    """Return the cities with their grades."""
    return [case for site in SITES if site.name in CITIES for case in site.read(data / site.folder)]


def look_of(case: DamageCase) -> LookSite:
    """Return the look of the graded buildings of a city that its image after the event shows."""
    grades = case.truth.set_index("id")["damage"].reindex(case.outlines["id"]).fillna(UNGRADED)
    standard = by_site(look_features(case.post, case.outlines.geometry.to_numpy()))
    known = np.isfinite(standard).all(axis=1) & (grades != UNGRADED).to_numpy()
    return LookSite(standard[known], grades.isin(DAMAGED).to_numpy()[known], case.site)


def fit_neighbours(looks: Mapping[str, LookSite], out: Path) -> dict[str, Path]:
    """Return by city the folder with the fit of all other cities."""
    fits = {}
    for city in looks:
        others = [look for name, look in looks.items() if name != city]
        fits[city] = fit_look(others)[0].save(out / city).parent
    return fits


def ways_of(case: DamageCase, fit: Path) -> Iterator[tuple[str, DamageCase, Settings]]:
    """Yield the name of each way, its case and its settings. fit : of the neighbours"""
    yield UNNAMED, replace(case, event=EventInfo()), Settings()
    yield NAMED, replace(case, event=QUAKE), Settings()
    yield NEIGHBOURS, replace(case, event=QUAKE), Settings(look=SHARE, look_from=str(fit))


def scores(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of rows of one city, or of several together."""
    one = scores_of(rows) | intervals_of(rows)
    seen = rows[(rows["grade"] >= 0) & (rows["truth"] >= 0)]
    return {
        "damaged": one["damaged"], "assessed": len(seen), "auc": round(one["auc"], 4), "f1": round(one["f1"], 4),
        "standing_called": round(one["false_alarms"] * one["intact_assessed"]), "inside": one.get("intervals_held"),
        "width": round(one["interval_width"], 4) if "interval_width" in one else None,
    }  # fmt: skip


def map_cities(
    cases: Sequence[DamageCase], out: Path, count: int | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the scores by way and city, and of all cities together; finished jobs are read from `out`. count : cities that are mapped"""
    kept = out / "cases" / code_version()
    fits = fit_neighbours({case.site: look_of(case) for case in cases}, kept / "fits")
    tables: dict[str, list[pd.DataFrame]] = {UNNAMED: [], NAMED: [], NEIGHBOURS: []}
    for case in cases[:count]:
        for way, changed, settings in ways_of(case, fits[case.site]):
            folder = kept / f"{case.site}-{way.replace(' ', '-')}"
            methods = read_case(folder) or keep_case(folder, assess_case(changed, settings))
            tables[way].append(pd.DataFrame(methods[BOTH].drop(columns="geometry")))
    return {
        way: {str(rows["site"].iloc[0]): scores(rows) for rows in parts}
        | {TOGETHER: scores(pd.concat(parts, ignore_index=True))}
        for way, parts in tables.items()
    }


def table_of(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the scores as Markdown, city by city."""
    lines = [["city", "way", *COLUMNS], ["---", "---", *["---:"] * len(COLUMNS)]]
    for city in results[UNNAMED]:
        lines += [[city, way, *(str(of_way[city][column]) for column in COLUMNS)] for way, of_way in results.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Map the cities, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    chosen = parser.parse_args()
    cases = read_cities(chosen.data)
    results = map_cities(cases, chosen.out, 1 if chosen.smoke else None)
    text = f"## {title_of('Graded neighbours', smoke=chosen.smoke)}\n\n{table_of(results)}\n"
    store_results(chosen.out, smoke=chosen.smoke, scores=results)
    write_text(chosen.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
