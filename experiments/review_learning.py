"""How soon answers teach a damage map, and how narrow its count is by then, at real places and at a made-up one.

Usage: python experiments/review_learning.py --data FOLDER --out OUT [--rare] [--smoke]

FOLDER holds the real samples with grades of both sides. Each site is mapped once as it comes, and its table and what its buildings look like are kept
in --out. People answer as on the page of `review --serve`: 20, 40 and 80 buildings in the order of the random sample; or with --next, where after 20 of these
every other one is chosen. The map is moved by the answers as `review --update` does, with and without what buildings look like. The table has
means over six draws: at the buildings without an answer the AUC and F1 of major damage or worse, the share of all graded buildings whose grade is
right when the answers are put in, how many draws ranked the rest worse than the map by more than 0.005, and the width of the 95 % interval of the damaged share by
the drawn ones. A second table draws 40 and 80 buildings a hundred times: how often the interval holds the truth. The made-up site is SYNTHETIC.

--rare: only sites where damage is rare: three cities of Turkey with grades by eye, a hurricane and a flood of xBD. 20 and 40 buildings are drawn and
answered, three seeds. Before: strata by probability and size; the map is taught. After: half of the looks are at the likeliest buildings, and the
taught map names as many as the drawn sample counts. The table has AUC and F1 of the whole map with the answers put in and at the
buildings without an answer, and the mean count of the sample with its mean interval. All of these sites were looked at while this was chosen; tried and not kept
were looks at a group twice as large as the expected damage, and confident buildings as further answers (weight of 20 answers in all), which gained nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from damage_look import real_cases
from places.damage_scores import CITIES, HURRICANE, SITES, DamageCase
from script import NOTE, add_smoke, plain_errors, store_results
from sklearn.metrics import f1_score, roc_auc_score

from deepnets4eo.damage import GRADES, Settings, assess
from deepnets4eo.damage.network.look_model import look_features
from deepnets4eo.damage.review import choose_next, draw_sample, review_counts, teach
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_text
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

SITE_NAMES = ("joplin", "joplin-tornado_00000000", "santa-rosa-wildfire_00000242", "moore_tornado", "xbd_midwest")
SUBURB = "suburb 201, SYNTHETIC"
WAYS = ("drawn", "drawn, look", "half chosen, look")
ANSWERS, DRAWS, MAX_SHARE = (20, 40, 80), 6, 0.7  # of the graded buildings, so that a rest is left
FIRST, LOOKS, WORSE = 20, 100, 0.005
RARE_SITES = (*CITIES, "xbd_post_scenes", "xbd_midwest")
RARE_ANSWERS, RARE_SEEDS = (20, 40), 3
INTERVAL_LOOKS, INTERVAL_DRAWS = (40, 80), 100
TRUTH = "truth"


def suburb(size_px: int) -> DamageCase:
    """A made-up suburb."""
    city = City(seed=201, size_px=size_px)
    pre, post = (Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post))
    return DamageCase(SUBURB, pre, post, city.footprints(), city.buildings[["id", "damage"]])


def read_map(case: DamageCase, path: Path) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """The graded buildings of the map of a case with the truth, and what they look like; kept."""
    if not path.exists():
        truth = dict(zip(case.truth["id"].astype(str), case.truth["damage"], strict=True))
        settings = replace(Settings(workers=1), **case.changes)
        made = assess(case.pre, case.post, case.outlines, settings=settings, event=case.event)
        made.state_likeliest_grades()
        buildings = made.buildings
        path.parent.mkdir(parents=True, exist_ok=True)
        post = case.post.with_gsd(case.changes["gsd_m"]) if "gsd_m" in case.changes else case.post
        np.savez(
            path.with_suffix(".npz"),
            features=look_features(post, buildings.geometry.to_numpy()).astype(np.float16),
        )
        buildings.assign(truth=buildings["id"].astype(str).map(truth)).to_parquet(path)
    buildings = gpd.read_parquet(path)
    with np.load(path.with_suffix(".npz")) as kept:
        look = kept["features"].astype(float)
    graded = buildings[TRUTH].isin(GRADES).to_numpy()
    return buildings[graded].reset_index(drop=True), look[graded]


def answer_rounds(
    buildings: gpd.GeoDataFrame, look: np.ndarray, way: str, seed: int
) -> Iterator[tuple[dict[int, str], float]]:
    """Row → answer after each number of answers, and the width of the interval by then."""
    truth = buildings[TRUTH].to_numpy(object)
    sample = draw_sample(buildings, min(LOOKS, int(MAX_SHARE * len(buildings))), seed)
    drawn, chosen = list(sample.rows), np.empty(0, np.intp)
    for number in (one for one in ANSWERS if one <= MAX_SHARE * len(buildings)):
        wanted = (number - FIRST) // 2 if "chosen" in way else 0
        while len(chosen) < wanted:
            rows = [*drawn[: FIRST + len(chosen)], *chosen]
            new = choose_next(buildings, _answers_of(truth, rows), np.array([*sample.rows, *chosen]), 5, look=look)
            if not len(new):
                break
            chosen = np.concatenate([chosen, new[: wanted - len(chosen)]])
        by_chance = _answers_of(truth, drawn[: number - len(chosen)])
        low, high = review_counts(sample, by_chance, buildings["damage"]).share["interval_95"]
        yield by_chance | _answers_of(truth, chosen), high - low


def _answers_of(truth: np.ndarray, rows: Any) -> dict[int, str]:
    return {int(row): truth[row] for row in rows}


def scores_of(taught: pd.DataFrame, buildings: pd.DataFrame, answers: dict[int, str]) -> list[float]:
    """AUC and F1 at the rest, share of right grades with the answers, and whether the rest is ranked worse than by the map."""
    truth, rest = buildings[TRUTH].to_numpy(object), np.setdiff1d(np.arange(len(buildings)), list(answers))
    damaged, named = np.isin(truth, DAMAGED), taught["damage"].to_numpy(object, copy=True)
    both_sides = 0 < damaged[rest].sum() < len(rest)
    auc, own = (
        roc_auc_score(damaged[rest], table["damage_prob"].to_numpy()[rest]) if both_sides else np.nan
        for table in (taught, buildings)
    )
    f1 = f1_score(damaged[rest], np.isin(named[rest], DAMAGED), zero_division=0)
    named[list(answers)] = list(answers.values())
    return [own, auc, f1, float(np.mean(named == truth)), float(auc < own - WORSE)]


def table_rows(
    name: str, buildings: gpd.GeoDataFrame, look: np.ndarray, draws: int
) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Return rows of the assessed buildings of a site, as it comes, then each way by the number of answers; and their means by way."""
    assessed = Buildings(buildings).assessed
    buildings, look = buildings[assessed].reset_index(drop=True), look[assessed]
    _, auc, f1, right, _ = scores_of(buildings, buildings, {})
    lines = [f"| {name} | {len(buildings)} | – | 0 | {auc:.3f} | {auc:.3f} | {f1:.3f} | {right:.3f} | | |"]
    means = {"the map": {"auc": round(auc, 4), "f1": round(f1, 4), "right": round(right, 4)}}
    for way in WAYS:
        rows: dict[int, list[list[float]]] = {}
        for seed in range(draws):
            for answers, width in answer_rounds(buildings, look, way, seed):
                taught = teach(buildings, answers, look=look if "look" in way else None).buildings
                rows.setdefault(len(answers), []).append([*scores_of(taught, buildings, answers), width])
        for number, points in sorted(rows.items()):
            own, auc, f1, right, worse, width = np.nanmean(points, axis=0)
            values = {"auc of the map": own, "auc": auc, "f1": f1, "right": right, "width": width}
            means[f"{way}, {number} answers"] = {key: round(float(value), 4) for key, value in values.items()}
            cells = f"{own:.3f} | {auc:.3f} | {f1:.3f} | {right:.3f} | {round(worse * len(points))} of {len(points)} | {width:.2f}"
            lines.append(f"| {name} | {len(buildings)} | {way} | {number} | {cells} |")
    return lines, means


def interval_scores(buildings: gpd.GeoDataFrame, looks: int, draws: int) -> tuple[int, float]:
    """Return in how many of the draws the 95 % interval of the damaged share contains the truth, and its mean width."""
    truth, held, widths = buildings[TRUTH].to_numpy(object), 0, []
    share = float(np.isin(truth, DAMAGED).mean())
    for seed in range(draws):
        sample = draw_sample(buildings, looks, seed)
        reviewed = review_counts(sample, _answers_of(truth, sample.rows), buildings["damage"], seed=seed)
        low, high = reviewed.share["interval_95"]
        held += low <= share <= high
        widths.append(high - low)
    return held, float(np.mean(widths))


def rare_rows(name: str, buildings: gpd.GeoDataFrame, look: np.ndarray) -> list[str]:
    """The rows of a site where damage is rare: the map as it comes, then by number of answers before and after."""
    assessed = Buildings(buildings).assessed
    buildings, look = buildings[assessed].reset_index(drop=True), look[assessed]
    truth, everything = buildings[TRUTH].to_numpy(object), np.arange(len(buildings))
    auc, f1 = damage_scores_at(buildings, truth, everything)
    lines = [f"| {name} | {np.isin(truth, DAMAGED).sum()} of {len(truth)} | the map | {auc:.3f} | {f1:.2f} | | | | |"]
    for number in (one for one in RARE_ANSWERS if one < len(buildings)):
        for way, likeliest in (("before", 0), ("after", None)):
            points = []
            for seed in range(RARE_SEEDS):
                sample = draw_sample(buildings, number, seed, likeliest)
                answers = _answers_of(truth, sample.rows)
                count = review_counts(sample, answers, buildings["damage"]).buildings["damaged"]
                taught = teach(buildings, answers, look=look)
                if way == "after":
                    low, high = count["interval_95"]
                    taught = taught.within(low, high, answers)
                table, rest = taught.with_answers(answers), np.setdiff1d(everything, sample.rows)
                scores = (*damage_scores_at(table, truth, everything), *damage_scores_at(table, truth, rest))
                points.append([*scores, count["expected"], *count["interval_95"]])
            auc, f1, rest_auc, rest_f1, expected, low, high = pd.DataFrame(points).mean()  # without NaN
            of_rest = "all are seen | –" if np.isnan(rest_auc) else f"{rest_auc:.3f} | {rest_f1:.2f}"
            cells = f"{auc:.3f} | {f1:.2f} | {of_rest} | {expected:.1f} | {low:.0f}–{high:.0f} |"
            lines.append(f"| {name} | | {number} answers, {way} | {cells}")
    return lines


def damage_scores_at(table: pd.DataFrame, truth: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """AUC and F1 of major damage or worse at some rows; NaN without damaged buildings among them."""
    damaged, named = np.isin(truth[rows], DAMAGED), Buildings(table).damaged[rows]
    if not 0 < damaged.sum() < len(rows):
        return np.nan, np.nan
    return roc_auc_score(damaged, table["damage_prob"].to_numpy()[rows]), f1_score(damaged, named, zero_division=0)


def rare_cases(data: Path, *, smoke: bool) -> Iterator[DamageCase]:
    """The cases where damage is rare."""
    if smoke:
        yield suburb(512)
        return
    for site in SITES:
        if site.name in RARE_SITES:
            yield from (case for case in site.read(data / site.folder) if case.name in ("", HURRICANE))


def rare_table(data: Path, out: Path, *, smoke: bool) -> str:
    """The table of --rare; it is written after each site."""
    lines = [NOTE] if smoke else []
    lines += ["| site | damaged | answers | AUC | F1 | AUC, rest | F1, rest | counted | 95 % |"]
    lines += ["|---|---|---|---:|---:|---:|---:|---:|---:|"]
    for case in rare_cases(data, smoke=smoke):
        name = " ".join(filter(None, (case.site, case.name))).replace(",", "")
        lines += rare_rows(name, *read_map(case, out / f"{name.replace(' ', '_')}.parquet"))
        write_text(out / "rare.md", "\n".join(lines) + "\n")
    return "\n".join(lines)


def site_cases(data: Path, *, smoke: bool) -> dict[str, Callable[[], DamageCase]]:
    """Readers of the sites by name."""
    if smoke:
        return {SUBURB: lambda: suburb(512)}
    real = {name: read for name, read in real_cases(data) if name in SITE_NAMES}
    if missing := set(SITE_NAMES) - set(real):
        raise InputError(f"{data} lacks {', '.join(sorted(missing))}. Give the folder of the real samples.")
    return {name: lambda name=name: next(iter(real[name]())) for name in SITE_NAMES} | {SUBURB: lambda: suburb(1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rare", action="store_true", help="sites where damage is rare, before and after")
    add_smoke(parser)
    options = parser.parse_args()
    if options.rare:
        print(rare_table(options.data, options.out, smoke=options.smoke))
        return
    draws, interval_draws = (1, 5) if options.smoke else (DRAWS, INTERVAL_DRAWS)
    lines = [NOTE] if options.smoke else []
    lines += ["| site | graded | way | answers | the map | taught | F1 | right with answers | worse | width |"]
    lines += ["|---|---:|---|---:|---:|---:|---:|---:|---:|---:|"]
    learnt: dict[str, dict[str, dict[str, float]]] = {}
    counted: dict[str, dict[str, dict[str, float]]] = {}
    intervals = ["", "| site | looks | holds the truth | width |", "|---|---:|---:|---:|"]
    for name, read in site_cases(options.data, smoke=options.smoke).items():
        path = options.out / f"{name.replace(' ', '_').replace(',', '')}.parquet"
        buildings, look = read_map(read(), path)
        rows, learnt[name] = table_rows(name, buildings, look, draws)
        lines += rows
        for looks in INTERVAL_LOOKS:
            held, width = interval_scores(buildings, looks, interval_draws)
            intervals.append(f"| {name} | {looks} | {held} of {interval_draws} | {width:.3f} |")
            counted.setdefault(name, {})[f"{looks} looks"] = {"held": held, "width": round(width, 4)}
        store_results(options.out, smoke=options.smoke, interval_draws=interval_draws, learnt=learnt, intervals=counted)
        write_text(options.out / "table.md", "\n".join(lines + intervals) + "\n")
    print((options.out / "table.md").read_text())


if __name__ == "__main__":
    with plain_errors():
        main()
