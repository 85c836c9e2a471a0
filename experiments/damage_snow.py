"""What snow does to the damage job: made-up pairs with and without snow on the image after the event. SYNTHETIC.

Usage: python experiments/damage_snow.py [--network RUN] [--out runs/snow] [--smoke]
The same styles and hazards with other seeds, whole jobs as they come with the network in the box or another run: no snow at all, thin
and patchy or deep snow after the event alone, snow at both dates. One line each for pairs and for the image after alone: false alarms at sites where nothing
is damaged and at the others, recall, and AUC within sites. The gathered sites are kept in --out and used again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from damage_network_weight import LEAST, grade_site
from places.damage_scores import scores_of
from places.made_up_pair import world_pair
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.damage import Settings
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.synthetic.world.pair import seasons_of
from deepnets4eo.synthetic.world.style import WorldStyle

FIRST = 9_400_000  # seeds that nothing was learnt from
STYLES = ("suburb", "concrete-blocks", "high-rise", "old-town", "industrial", "terraces", "village", "trailer-park")
HAZARDS = ("none", "earthquake", "tornado")
THIN = 0.5  # of `WorldSeason.snow`: patchy up to here
KINDS = ("no snow", "thin after", "deep after", "both")
LEAST_BUILDINGS = 8  # of a site that counts


def kind_of(before: float, after: float) -> str:
    """Which of `KINDS` the snow of two dates is, '' for snow before alone."""
    if before > 0:
        return "both" if after > 0 else ""
    if after > 0:
        return "thin after" if after <= THIN else "deep after"
    return "no snow"


def seed_with(kind: str, style: str, first: int) -> int:
    """The first seed from `first` on whose pair has snow of a kind."""
    climate = WorldStyle.load(style).climate
    return next(seed for seed in count(first) if kind_of(*(s.snow for s in seasons_of(seed, climate))) == kind)


def sites(styles: tuple[str, ...]) -> Iterator[tuple[str, str, str, int]]:
    """Kind of snow, style, hazard and seed."""
    for i, style in enumerate(styles):
        for j, hazard in enumerate(HAZARDS):
            for kind in KINDS:
                yield kind, style, hazard, seed_with(kind, style, FIRST + 10_000 * i + 1_000 * j)


def scores_of_site(buildings: pd.DataFrame) -> dict[str, float]:
    """Scores of one site."""
    probability = buildings["damage_prob"]
    numbers = {"truth": buildings["truth"].map(GRADES.index), "grade": buildings["damage"].map(GRADES.index)}
    own = scores_of(pd.DataFrame({**numbers, "probability": probability, "probability_half": probability}))
    struck, both = own["damaged"] > 0, min(own["damaged"], own["intact_assessed"]) >= LEAST
    return {
        "alarms_intact": float("nan") if struck else own["false_alarms"],
        "alarms_damaged": own["false_alarms"] if struck else float("nan"),
        "recall": own["recall"],
        "auc": own["auc"] if both else float("nan"),
    }


def main() -> None:
    """Gather, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, help="run of damage-network; none: the one in the box")
    parser.add_argument("--out", type=Path, default=Path("runs/snow"))
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = replace(Settings(), workers=1)
    if arguments.network:
        settings = replace(settings, model=str(arguments.network))
    rows = []
    for kind, style, hazard, seed in sites(STYLES[:1] if arguments.smoke else STYLES):
        name = f"{style}-{hazard}-{kind}".replace(" ", "-")
        path = arguments.out / f"{name}.parquet"
        if not path.is_file():
            site = world_pair(seed, style, hazard, np.random.default_rng([seed, 1]))
            grade_site(site, name, hazard, settings).to_parquet(path)
        table = pd.read_parquet(path)
        if not len(table):
            continue
        for dates, graded in table[table["damage_prob"].notna()].groupby("dates"):
            if len(graded) >= LEAST_BUILDINGS:
                rows.append({"dates": dates, "snow": kind} | scores_of_site(graded))
    grouped = pd.DataFrame(rows).groupby(["dates", "snow"])
    print("SYNTHETIC: means over sites\n" + grouped.mean().assign(sites=grouped.size()).round(3).to_string())


if __name__ == "__main__":
    with plain_errors():
        main()
