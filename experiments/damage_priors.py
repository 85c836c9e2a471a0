"""Priors beside images: do the intervals hold with true, empty and false priors? Made-up sites (SYNTHETIC), and Joplin with a made-up wind swath.

Usage: python experiments/damage_priors.py [--sites 160] [--cache runs/damage_priors] [--data JOPLIN]

Every made-up site goes once through the weight-free damage job, a third of it under a made-up cloud; what the job decided is kept in --cache,
and priors are replayed on it. A true prior is the share of damaged among the neighbours of a building (Gaussian, 40 m, itself left out),
with or without a wrong level; false ones are one value, the contrary pattern, and a track that was never there. The constants of
`damage.decision.priors` were chosen on the sites before number 52; the table has those from there on. Takes 4 s a site and core.
JOPLIN is the folder of the sample: the swath is made up by distance from a line between two addresses that the tornado struck.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from places.damage_scores import weight_free_settings
from places.working_grid import world_pair
from scipy.spatial.distance import cdist
from scipy.special import expit, logit
from script import JOPLIN, add_smoke, plain_errors, require_all
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage import DamageMap, Settings, assess, open_priors
from deepnets4eo.damage.decision.priors import NO_BUILDINGS, combine
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_json
from deepnets4eo.grid import Window
from deepnets4eo.rasters import CogWriter, Layer

FIRST_SEED, CHOSEN_ON = 9_640_000, 52
HAZARDS = ("tornado", "earthquake", "hurricane", "wildfire", "explosion", "none")
CLOUDED, MIN_ASSESSED = 0.35, 10
NEIGHBOURS_M = 40.0
TRACK = ((-94.5297, 37.0605), (-94.4775, 37.0690))  # of Joplin's hospital and a crossing in the east
GUST, WITHIN_M, FALL = 85.0, 300.0, 0.6  # m/s on the track, and how it falls beyond


def keep_site(number: int, path: Path) -> None:
    """Decide one made-up site, and keep what the replay needs; an empty file where the job refuses it."""
    from world import style_names

    seed = FIRST_SEED + number
    rng = np.random.default_rng([seed, 2026])
    styles, hazard = style_names(), HAZARDS[number % len(HAZARDS)]
    pair = world_pair(seed, styles[number % len(styles)], hazard, rng)
    cloud = np.zeros(pair.post.shape, np.uint8)
    part = cloud if rng.random() < 0.5 else cloud.T
    part[: int(CLOUDED * len(part))] = 1
    kept: dict[str, Any] = {}
    try:
        layer = Layer.open(cloud, grid=pair.post.grid)
        made = assess(
            pair.pre,
            pair.post,
            pair.outlines.drop(columns="damage"),
            cloud_mask=layer,
            settings=replace(weight_free_settings(), workers=1),
        )
    except DeepNets4EOError as error:
        kept["refused"] = str(error)
    else:
        table = made.buildings
        kept |= {
            name: table[name].where(table[name].notna(), None).tolist()
            for name in ("damage_prob", "status", "reason", "method")
        }
        middles = pair.outlines.geometry.centroid
        kept |= {
            "x": middles.x.tolist(),
            "y": middles.y.tolist(),
            "truth": pair.outlines["damage"].isin(DAMAGED).tolist(),
        }
        kept |= {
            "share": made.damaged_share["prior"],
            "damaged": (made.estimates.get("buildings") or {}).get("damaged"),
        }
    write_json(path, kept)


def made_up_priors(site: dict[str, Any], rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names and log-odds (N,) of priors of a site."""
    middles, truth = np.column_stack([site["x"], site["y"]]), np.array(site["truth"], float)
    near = np.exp(-0.5 * (cdist(middles, middles) / NEIGHBOURS_M) ** 2)
    np.fill_diagonal(near, 0)
    true = logit(np.clip((near @ truth + 0.5 * truth.mean() + 0.01) / (near.sum(axis=1) + 0.52), 0.01, 0.99))
    yield "true", true
    yield "true pattern, level wrong by 1 (sd)", true + rng.normal(0, 1)
    yield "true pattern, level wrong by ± 2", true + rng.choice([-2, 2])
    yield "one value everywhere", np.full(len(true), rng.uniform(-3, 1.5))
    yield "reversed pattern", 2 * true.mean() - true
    yield "reversed pattern and level", -true
    angle, start = rng.uniform(0, np.pi), middles[rng.integers(len(middles))]
    yield "a track that was never there", 2.2 - np.abs((middles - start) @ [np.cos(angle), np.sin(angle)]) / 25


def replay(site: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """A row of scores for every prior."""
    table = pd.DataFrame({name: site[name] for name in ("damage_prob", "status", "reason", "method")}).astype(
        {"damage_prob": float}
    )
    assessed, truth = (table["status"] == "assessed").to_numpy(), np.array(site["truth"])
    if assessed.sum() < MIN_ASSESSED:
        return []
    unseen = ~assessed & ~table["reason"].isin(NO_BUILDINGS).to_numpy()
    rows = []
    for name, odds in made_up_priors(site, np.random.default_rng([number, 1])):
        prob, result = combine(table, np.clip(expit(odds), 0.01, 0.99), site["damaged"], site["share"])
        alone, together, rest = (result[key] for key in ("images_alone", "with_prior", "not_assessed"))
        both = 0 < truth[assessed].sum() < assessed.sum()
        rows.append(
            {"prior": name, "weight": result["weight"]}
            | _scores("images", alone, truth[assessed]) | _scores("with prior", together, truth[assessed])
            | {"images AUC": roc_auc_score(truth[assessed], table["damage_prob"][assessed]) if both else np.nan}
            | {"with prior AUC": roc_auc_score(truth[assessed], prob[assessed]) if both else np.nan}
            | (_scores("unseen", rest, truth[unseen]) if rest else {})
        )  # fmt: skip
    return rows


def _scores(name: str, row: dict[str, Any], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Whether the interval holds the true number to half a building, and width and error as shares."""
    low, high = row["interval_95"]
    held = low - 0.5 <= truth.sum() <= high + 0.5
    return {
        f"{name} held": held,
        f"{name} width": (high - low) / len(truth),
        f"{name} error": abs(row["expected"] - truth.sum()) / len(truth),
    }


def joplin(folder: Path, out: Path) -> pd.DataFrame:
    """Graded buildings with swaths along the track, reversed, and of one value; whole, and with a third under a made-up cloud."""
    require_all(folder, JOPLIN)
    labels = gpd.read_file(folder / JOPLIN[3])
    graded = labels[labels["damage"] != "no-building"]
    truth = graded["damage"].isin(DAMAGED).to_numpy()
    post = Layer.open(folder / "post")
    gust = _swath(post)
    clouds = np.zeros((1, *post.shape), np.uint8)
    clouds[:, :, : int(CLOUDED * post.shape[1])] = 1
    swaths = {"along the track": gust, "reversed": gust.max() + gust.min() - gust, "one value": np.full_like(gust, 40)}
    rows = []
    for cloud, network in ((None, False), (clouds, False), (None, True)):
        mask = None if cloud is None else Layer.open(cloud, grid=post.grid)
        made = assess(
            folder / "pre", post, graded[["id", "geometry"]], cloud_mask=mask, settings=Settings(network=network)
        )
        for name, values in swaths.items():
            path = out / "swath.tif"
            with CogWriter(path, post.grid, dtype="float32", nodata=None) as writer:
                writer.write(Window(0, 0, *post.shape), values.astype(np.float32))
            rows.append(
                {"network": network, "cloud": cloud is not None, "swath": name} | _joplin_row(made, path, truth)
            )
    return pd.DataFrame(rows)


def _swath(post: Layer) -> NDArray[np.float64]:
    """(H, W) made-up gusts, m/s."""
    rows, cols = np.mgrid[: post.shape[0], : post.shape[1]]
    lon, lat = post.grid.affine * (cols + 0.5, rows + 0.5)
    metres = 111_320 * np.array([np.cos(np.radians(TRACK[0][1])), 1])
    start, end = (np.array(point) * metres for point in TRACK)
    along = (end - start) / np.hypot(*(end - start))
    distance = np.abs((lon * metres[0] - start[0]) * along[1] - (lat * metres[1] - start[1]) * along[0])
    return np.asarray(GUST * np.minimum(1, (WITHIN_M / np.maximum(distance, 1)) ** FALL))


def _joplin_row(made: DamageMap, path: Path, truth: NDArray[np.bool_]) -> dict[str, Any]:
    again = replace(made)
    assert made.images is not None
    again.add_priors(open_priors([f"wind:m/s={path}"], made.images.post))
    table, result = again.buildings, again.priors
    seen = (table["status"] == "assessed").to_numpy()
    row = {
        "true": int(truth[seen].sum()),
        "images": _text(result["images_alone"]),
        "with prior": _text(result["with_prior"]),
    }
    for name, column in (
        ("AUC images", "damage_prob"),
        ("AUC prior", "prior_probability"),
        ("AUC with prior", "damage_prob_with_prior"),
    ):
        row[name] = round(roc_auc_score(truth[seen], table[column][seen]), 3)
    rest = result["not_assessed"]
    unseen = ~seen & ~table["reason"].isin(NO_BUILDINGS).to_numpy()
    return row | {
        "weight": round(result["weight"], 2),
        "unseen true": int(truth[unseen].sum()),
        "unseen": _text(rest) if rest else "",
    }


def _text(row: dict[str, Any]) -> str:
    low, high = row["interval_95"]
    return f"{row['expected']:.0f} ({low:.0f}–{high:.0f})"


def main() -> None:
    """Make or read the sites, replay, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=160, help="last number of a made-up site")
    parser.add_argument("--first", type=int, default=CHOSEN_ON, help="first number of a made-up site")
    parser.add_argument("--cache", type=Path, default=Path("runs/damage_priors"))
    parser.add_argument("--data", type=Path, help="folder of Joplin")
    add_smoke(parser)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(options.first, options.first + 2 if options.smoke else options.sites):
        path = options.cache / f"{number}.json"
        if not path.is_file():
            keep_site(number, path)
        site = json.loads(path.read_text(encoding="utf-8"))
        rows += [row | {"site": number} for row in (replay(site, number) if site.get("damaged") else [])]
    if rows:
        frame = pd.DataFrame(rows)
        print(f"{frame['site'].nunique()} made-up sites, SYNTHETIC")
        print(frame.drop(columns="site").groupby("prior", sort=False).mean().round(3).to_string())
    if options.data is not None:
        print(joplin(options.data, options.cache).to_string())


if __name__ == "__main__":
    with plain_errors():
        main()
