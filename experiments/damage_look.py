"""What buildings look like: fit `models/damage-look` on made-up pairs, and what it adds at made-up and at real places.

Usage: python experiments/damage_look.py --out runs/look [--minutes 25] [--sites 16] [--models models/damage-look]
       python experiments/damage_look.py --out runs/look --minutes 0 --sites 0 --data FOLDER
       python experiments/damage_look.py --out runs/tried --smoke
Features of EfficientNet-Lite0 as trained on ImageNet, which is frozen, are averaged over the outlines of made-up pairs (SYNTHETIC, made for so many
minutes, kept in --out) in the post image, and standardised by site; a logistic regression says major damage or worse. Its card is measured at
hazards that were left out. Shares of its log-odds beside the whole job as it comes are compared at --sites other made-up sites. --data: FOLDER holds the real
samples, on which nothing is fitted or chosen; the table has the AUC of the job as it comes, of the look alone and of both by half (times the skill), and
processor seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from damage_network_weight import world_sites
from places.damage_scores import PANELS, PIXELS, SITES, DamageCase, even_loss
from scipy.special import expit, logit
from script import NOTE, add_smoke, plain_errors, title_of
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage import GRADES, Settings, assess
from deepnets4eo.damage.network.look import LookEncoder
from deepnets4eo.damage.network.look_model import LookModel, by_site, look_features
from deepnets4eo.damage.network.look_training import MIN_BUILDINGS_OF_SIDE, LookSite, fit_look
from deepnets4eo.damage.network.pairs import in_pixels
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_text
from deepnets4eo.rasters import Layer, Scene

SEED, SIZE_PX, GSD_M = 7, 512, 0.5
NOT_SEEN = ("flood", "none")  # hazards that leave roofs as they are
MIN_GRADED = 8  # graded buildings of a pair
OUTLINE_ERROR_M = 1.0
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
MORE_PLACES = ("moore_tornado", "santa-rosa-wildfire_00000038")  # of the folder events_more


def make_pairs(out: Path, minutes: float) -> None:
    """Make pairs for so many minutes, two usable ones at least, and keep the features of each in a file of its own."""
    from world.damage_pairs import keep_graded, world_pairs
    from world.hazard import hazard_names
    from world.style import style_names

    out.mkdir(parents=True, exist_ok=True)
    rng, end = np.random.default_rng(SEED), time.monotonic() + 60 * minutes
    hazards = [name for name in hazard_names() if name not in NOT_SEEN]
    number = usable = 0
    for pair in keep_graded(world_pairs((SEED,), SIZE_PX, list(style_names()), hazards)):
        if time.monotonic() > end and usable > 1:
            break
        pair = pair.at_gsd(GSD_M)
        rows = np.flatnonzero((pair.grades < len(GRADES)) & ~shapely.is_empty(pair.outlines))
        if len(rows) < MIN_GRADED:
            continue
        shift = rng.normal(0, OUTLINE_ERROR_M, 2) / pair.gsd_m
        outlines = shapely.transform(pair.outlines[rows], lambda points, by=shift: points + by)
        post = Layer.open(np.ascontiguousarray(pair.post[:3]))
        features = LookEncoder(pair.gsd_m).pool(Scene({"post": post}, post.grid), in_pixels(outlines, pair.shape))
        damaged = pair.grades[rows] >= GRADES.index(DAMAGED[0])
        path = out / f"{SEED}-{number:04d}.npz"
        np.savez(path, features=features.astype(np.float32), damaged=damaged, hazard=pair.hazard)
        number, usable = number + 1, usable + (len(rows) >= LookModel.min_buildings and 0 < damaged.sum() < len(rows))


def read_pairs(out: Path, *, smoke: bool = False) -> list[LookSite]:
    """The pairs that are kept, without buildings that no pixel shows; hazards are left out in turn, of two pairs alone each pair."""
    sites = []
    for path in sorted(out.glob("*.npz")):
        with np.load(path) as kept:
            known = np.isfinite(kept["features"]).all(axis=1)
            standard = by_site(kept["features"][known].astype(float))
            if np.isfinite(standard).all():
                sites.append(LookSite(standard, kept["damaged"][known], path.stem if smoke else str(kept["hazard"])))
    return sites


def seen_by_job(
    pre: Layer | None, post: Layer, outlines: gpd.GeoDataFrame, truth: pd.Series, model: LookModel, **changes: Any
) -> pd.DataFrame:
    """Log-odds of the job as it comes at a share of one half, and scores of the look, of graded buildings; seconds in `attrs`."""
    started = time.process_time()
    damage_map = assess(pre, post, outlines, settings=replace(Settings(workers=1), **changes))
    buildings, middle = damage_map.buildings, time.process_time()
    features = look_features(post, buildings.geometry.to_numpy())
    seconds = time.process_time() - middle
    probability = buildings["damage_prob"].to_numpy(float)
    at_half = logit(np.clip(probability, 1e-4, 1 - 1e-4)) - logit(float(damage_map.damaged_share["prior"]))
    look = model.scores(np.where(np.isfinite(probability)[:, None], features, np.nan))
    table = pd.DataFrame({"job": at_half, "look": look, "truth": buildings["id"].astype(str).map(truth)})
    table = table[np.isfinite(table["job"]) & table["truth"].isin(GRADES)].reset_index(drop=True)
    table.attrs = {"job_s": middle - started, "look_s": seconds, "mpix": np.prod(post.shape) / 1e6}
    return table.assign(damaged=table["truth"].isin(DAMAGED))


def both(table: pd.DataFrame, model: LookModel, share: float) -> np.ndarray[Any, Any]:
    """Log-odds (N,) of the job and of the look together."""
    job, look = table["job"].to_numpy(), model.card.log_odds(table["look"].to_numpy())
    weight = share * model.card.skill.value
    return np.where(np.isfinite(look), job + weight * (look - job), job)


def made_up_tables(model: LookModel, count: int) -> list[pd.DataFrame]:
    """Tables of made-up sites that the fit has not seen, with buildings of both sides."""
    tables = []
    for _, hazard, make in world_sites(count, ()):
        if hazard in NOT_SEEN:
            continue
        pair = make()
        truth = pair.outlines.set_index(pair.outlines["id"].astype(str))["damage"]
        try:
            table = seen_by_job(pair.pre, pair.post, pair.outlines.drop(columns="damage"), truth, model)
        except DeepNets4EOError:
            continue
        if len(table) and min(table["damaged"].sum(), (~table["damaged"]).sum()) >= MIN_BUILDINGS_OF_SIDE:
            tables.append(table)
    return tables


def shares_table(model: LookModel, tables: list[pd.DataFrame]) -> str:
    """Log loss where half of the buildings are damaged, and AUC within sites, by share."""
    rows = []
    for share in SHARES:
        odds = [both(table, model, share) for table in tables]
        losses = [even_loss(table["damaged"].to_numpy(), expit(one)) for table, one in zip(tables, odds, strict=True)]
        aucs = [roc_auc_score(table["damaged"], one) for table, one in zip(tables, odds, strict=True)]
        rows.append((share, np.mean(losses), np.mean(aucs)))
    frame = pd.DataFrame(rows, columns=["share", "log loss", "AUC within sites"])
    return str(frame.round(4).to_string(index=False))


def real_cases(data: Path) -> Iterator[tuple[str, Callable[[], Iterator[DamageCase]]]]:
    """Names and readers of the real places with grades, the intact ones among them."""
    for site in SITES:
        if site.name not in PANELS and (data / site.folder).is_dir():
            yield site.name, lambda site=site: site.read(data / site.folder)  # type: ignore[misc]
    for name in MORE_PLACES:
        folder = data / "events_more" / name
        if folder.is_dir():
            yield name, lambda folder=folder: iter([_more_case(folder)])  # type: ignore[misc]


def _more_case(folder: Path) -> DamageCase:
    pre, post = (Layer.open(next(folder.glob(f"{date}.*"))) for date in ("pre", "post"))
    table = gpd.read_file(folder / "footprints_px.geojson")
    outlines = gpd.GeoDataFrame({"id": table["id"].astype(str)}, geometry=table.geometry.to_numpy())
    truth = pd.DataFrame({"id": table["id"].astype(str), "damage": table["grade"]})
    return DamageCase(folder.name, pre, post, outlines, truth, changes=PIXELS)


def real_table(data: Path, model: LookModel, most: int | None) -> str:
    """AUC of the job, of the look and of both at each real place with buildings of both sides; of intact ones false alarms."""
    lines = ["| place | buildings | job | look | both | job, s | look, s/MPix |", "|---|---:|---:|---:|---:|---:|---:|"]
    for name, read in list(real_cases(data))[:most]:
        for case in read():
            truth = case.truth.assign(id=case.truth["id"].astype(str)).set_index("id")["damage"]
            try:
                table = seen_by_job(case.pre, case.post, case.outlines, truth, model, **case.changes)
            except DeepNets4EOError as error:
                lines.append(f"| {name} {case.name} | refused: {error} | | | | | |")
                continue
            known = table[np.isfinite(table["look"])]
            if len(known) and min(known["damaged"].sum(), (~known["damaged"]).sum()) >= MIN_BUILDINGS_OF_SIDE:
                odds = (known["job"], known["look"], both(known, model, 0.5))
                values = [f"{roc_auc_score(known['damaged'], one):.3f}" for one in odds]
            else:
                values = ["–"] * 3
            seconds = table.attrs["look_s"] / table.attrs["mpix"]
            lines.append(
                f"| {name} {case.name} | {len(known)} of {len(table)} | {' | '.join(values)} | {table.attrs['job_s']:.0f} | {seconds:.1f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Make pairs, fit, choose the share, and look at real places."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25, help="in which pairs are made; 0: those that are kept")
    parser.add_argument("--sites", type=int, default=16, help="made-up sites at which shares are compared")
    parser.add_argument("--data", type=Path, help="folder of the real samples")
    parser.add_argument("--models", type=Path, help="folder to write the model into, e.g. models/damage-look")
    add_smoke(parser)
    options = parser.parse_args()
    minutes, count = (0.5, 1) if options.smoke else (options.minutes, options.sites)
    if options.smoke:
        print(NOTE)
    if minutes:
        make_pairs(options.out / "pairs", minutes)
    sites = read_pairs(options.out / "pairs", smoke=options.smoke)
    model, by_hazard = fit_look(sites)
    number = sum(len(site.damaged) for site in sites)
    text = title_of(f"# The look of {number} buildings of {len(sites)} made-up pairs (SYNTHETIC)", smoke=options.smoke)
    text += (
        f"\n\nAUC within sites of hazards left out:\n{by_hazard.groupby('event')['auc'].mean().round(3).to_string()}\n"
    )
    text += f"mean {by_hazard['auc'].mean():.3f}; {model.card}\n"
    if count:
        tables = made_up_tables(model, count)
        text += f"\nShares beside the whole job, at {len(tables)} other made-up sites:\n{shares_table(model, tables) if tables else ''}\n"
    model.save(options.models or options.out / "damage-look")
    if options.data:
        text += f"\n{real_table(options.data, model, 1 if options.smoke else None)}\n"
    write_text(options.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
