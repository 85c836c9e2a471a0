"""How soon corrections teach a damage map: chosen buildings beside random ones, at real and at made-up places.

Usage: python experiments/review_learning.py --data FOLDER --out OUT [--smoke]

FOLDER holds `joplin` and `xbd_more`. Each site is mapped once, as it comes and by the weight-free model alone, and its table is kept in
--out. A third of the graded buildings is set aside; of the others people answer 20 more at a time, drawn at random or chosen by
`review --next`, and the map is moved by all answers so far as `review --update` does. The table has the mean over three seeds of the F1 of
the four grades and the AUC of major damage or worse at the buildings set aside, and the share of all graded buildings whose grade is
right when the answers are put in. A second table draws 40 and 80 of the graded buildings a hundred times, as `review` does: how often the interval of the damaged
share holds the truth, and its mean width. Made-up sites are SYNTHETIC.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from places.damage_scores import weight_free_settings
from script import JOPLIN, NOTE, add_smoke, plain_errors, require_all, require_files
from sklearn.metrics import f1_score, roc_auc_score

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.review import choose_next, teach
from deepnets4eo.damage.review.counts import review_counts
from deepnets4eo.damage.review.sample import draw_sample
from deepnets4eo.damage.review.teaching import LEAST_ANSWERS
from deepnets4eo.damage.vocabulary import ASSESSED, DAMAGED, GRADES
from deepnets4eo.files import write_text
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.synthetic import City

SEEDS, AT_A_TIME, MOST = range(3), 20, 100
CITIES = (201, 204)
LOOKS, DRAWS = (40, 80), 100
TRUTH = "truth"
XBD = "joplin-tornado_00000000"


def joplin(data: Path, settings: Settings) -> gpd.GeoDataFrame:
    """The map of Joplin, and the grades of the half that was labelled."""
    require_all(data / "joplin", JOPLIN)
    folder = data / "joplin"
    labels = gpd.read_file(folder / "damage_labels.geojson")
    outlines = gpd.read_file(folder / "footprints_overlap.geojson")
    buildings = assess(Layer.open(folder / "pre"), Layer.open(folder / "post"), outlines, settings=settings).buildings
    return buildings.assign(
        truth=buildings["id"].map(dict(zip(labels["id"].astype(str), labels["damage"], strict=True)))
    )


def xbd(data: Path, settings: Settings) -> gpd.GeoDataFrame:
    """The map of xBD's tile of Joplin."""
    folder = require_files(data / "xbd_more", XBD)[0]
    outlines = gpd.read_file(folder / "footprints_px.geojson").set_crs(None, allow_override=True)
    outlines["id"] = outlines["id"].astype(str)
    pixels = Settings(network=settings.network, footprints_crs="pixels")
    pre, post = (Layer.open(folder / f"{date}.png") for date in ("pre", "post"))
    buildings = assess(pre, post, outlines[["id", "geometry"]], settings=pixels).buildings
    return buildings.assign(truth=buildings["id"].map(dict(zip(outlines["id"], outlines["grade"], strict=True))))


def city(seed: int, size_px: int, settings: Settings) -> gpd.GeoDataFrame:
    """The map of a made-up suburb, SYNTHETIC."""
    made = City(seed=seed, size_px=size_px)
    pre, post = (Layer.open(one.image, grid=one.grid) for one in (made.pre, made.post))
    buildings = assess(pre, post, made.footprints(), settings=settings).buildings
    known = dict(zip(made.buildings["id"], made.buildings["damage"], strict=True))
    return buildings.assign(truth=buildings["id"].map(known))


def curves(buildings: pd.DataFrame, chosen: bool, most: int) -> np.ndarray:
    """(steps + 1, 3) F1 and AUC of what was set aside, and share of right grades of all, means over the seeds."""
    truth = buildings[TRUTH].to_numpy(object)
    graded = np.flatnonzero((buildings["status"] == ASSESSED) & buildings[TRUTH].isin(GRADES))
    return np.mean([_curve(buildings, truth, graded, chosen, most, seed) for seed in SEEDS], axis=0)


def _curve(
    buildings: pd.DataFrame, truth: np.ndarray, graded: np.ndarray, chosen: bool, most: int, seed: int
) -> list[tuple[float, float, float]]:
    order = np.random.default_rng(seed).permutation(graded)
    aside, pool = order[: len(order) // 3], order[len(order) // 3 :]
    answered, points = np.empty(0, np.intp), []
    for _ in range(min(most, len(pool)) // AT_A_TIME + 1):
        answers = {int(row): truth[row] for row in answered}
        table = teach(buildings, answers).buildings if len(answers) >= LEAST_ANSWERS else buildings
        rows, damaged = table.iloc[aside], np.isin(truth[aside], DAMAGED)
        named = table["damage"].to_numpy(object, copy=True)
        named[answered] = truth[answered]
        f1 = f1_score(list(truth[aside]), list(rows["damage"]), average="macro", labels=np.unique(list(truth[aside])))
        points.append((f1, roc_auc_score(damaged, rows["damage_prob"]), float(np.mean(named[graded] == truth[graded]))))
        not_asked = np.setdiff1d(np.arange(len(buildings)), np.setdiff1d(pool, answered))
        new = choose_next(buildings, answers, not_asked, AT_A_TIME) if chosen else pool[len(answered) :]
        answered = np.concatenate([answered, new[:AT_A_TIME]])
    return points


def interval_row(buildings: gpd.GeoDataFrame, looks: int, draws: int) -> str:
    """In how many of the draws the 95 % interval of the damaged share holds the truth, and its mean width."""
    graded = buildings[buildings[TRUTH].isin(GRADES)].reset_index(drop=True)
    truth, held, widths = graded[TRUTH].to_numpy(object), 0, []
    share = float(np.isin(truth, DAMAGED).mean())
    for seed in range(draws):
        sample = draw_sample(graded, looks, seed)
        reviewed = review_counts(sample, {int(row): truth[row] for row in sample.rows}, graded["damage"], seed=seed)
        low, high = reviewed.share["interval_95"]
        held += low <= share <= high
        widths.append(high - low)
    return f"{looks} | {len(graded)} | {held} of {draws} | {np.mean(widths):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    options = parser.parse_args()
    size_px, most = (512, 2 * AT_A_TIME) if options.smoke else (1536, MOST)
    models = {"default": Settings(), "weight-free": weight_free_settings()}
    sites: dict[str, Callable[[Settings], gpd.GeoDataFrame]] = {
        "Joplin": partial(joplin, options.data),
        "xBD Joplin 0": partial(xbd, options.data),
        **{f"suburb {seed}, SYNTHETIC": partial(city, seed, size_px) for seed in CITIES},
    }
    if options.smoke:
        sites, models = dict(list(sites.items())[-1:]), dict(list(models.items())[-1:])
    lines = [NOTE] if options.smoke else []
    lines += ["| site | model | looks | answers | F1 | AUC | right with answers |", "|---|---|---|---:|---:|---:|---:|"]
    intervals = ["", "| site | model | looks | graded | holds the truth | width |", "|---|---|---:|---:|---:|---:|"]
    for name, read in sites.items():
        for model, settings in models.items():
            path = options.out / f"{name} {model}.parquet".replace(" ", "_").replace(",", "")
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                read(settings).to_parquet(path)
            buildings = gpd.read_parquet(path)
            intervals += [
                f"| {name} | {model} | {interval_row(buildings, looks, 5 if options.smoke else DRAWS)} |"
                for looks in LOOKS
            ]
            for chosen in (False, True):
                for step, point in enumerate(curves(buildings, chosen, most)):
                    cells = [
                        name,
                        model,
                        "chosen" if chosen else "random",
                        str(step * AT_A_TIME),
                        *(f"{value:.3f}" for value in point),
                    ]
                    lines.append(f"| {' | '.join(cells)} |")
    print(write_text(options.out / "table.md", "\n".join(lines + intervals) + "\n").read_text())


if __name__ == "__main__":
    with plain_errors():
        main()
