"""Registration over ratio of pixel sizes, turn, light, season, damage and size, beside other methods, with the truth known.

Usage: python experiments/registration_trials.py --out trials.csv [--data SAMPLES] [--trials 40] [--only ours sift …] [--seed 0]
                                                 [--ratios 1 2 …] [--turns 0 3 …] [--sides 256 512 …] [--disk FILE --lightglue FILE]
                                                 [--superpoint FILE] [--smoke]

A trial takes one image (real ones where FOLDER is given: Joplin, LoveDA, xBD; otherwise made-up cities, SYNTHETIC, of two dates),
cuts the post image out of it, and resamples the pre image through a known shift of up to 15 m each way, turn and stretch
of up to 2 %, at RATIO times the pixel size of the post image. Both get their own light, season and noise; damage puts other parts
of the site where blocks were. One trial in ten pairs images of different sites.

Lengths are pixels of the coarser image. A trial succeeds when the root mean square error over 5 × 5 points of the middle 70 % of
the overlap is below 1 px, whatever its status; an "ok" with an error above 2 px, or of different sites, is a wrong one. The
other methods get both images on one grid of the coarser pixel size; their "ok" is described beside each in `registration_methods.py`.
The two dates of Joplin have no truth of their own: what `register` finds without any motion counts as that.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from registration_methods import METHODS, Estimate, Method, with_weights
from scipy import ndimage
from script import add_smoke, plain_errors, require_files, store_results, title_of

from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City, Event

GSD_M = 0.5
CITY_PX = 2048
RATIOS, TURNS_DEG, SIDES_PX = (1.0, 2.0, 4.0, 8.0, 12.0), (0.0, 3.0, 10.0, 20.0, 30.0), (128, 256, 512, 1024)
LIGHTS, SEASONS, DAMAGES = ("same", "other"), ("same", "other"), (0.0, 0.1, 0.3)
MAX_SHIFT_M, MAX_STRETCH = 15.0, 0.02
ELSEWHERE = 0.1  # share of the trials whose images show different sites
SUCCESS_PX, WRONG_PX = 1.0, 2.0
BY_WEIGHTS = ("disk", "ours with disk", "superpoint", "ours with superpoint", "xfeat", "ours with xfeat")
FACTORS = ("kind", "ratio", "turn", "light", "season", "damage", "side")
GreyImage: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Site:
    """One site at two dates (often one image twice), grey, on one grid of 0.5 m; `motion` is what lies between the dates already."""

    name: str
    kind: str
    before: GreyImage
    after: GreyImage
    motion: Affine = Affine.identity()  # metres about the middle of the image


@dataclass(frozen=True)
class Trial:
    """The factors of one trial; `turn` is the largest of its stratum, the motion says what was drawn."""

    number: int
    site: str
    kind: str
    ratio: float
    turn: float
    light: str
    season: str
    damage: float
    side: int
    related: bool


def made_up_sites(count: int) -> list[Site]:
    """Made-up cities before and after an event, whose post image is not displaced."""
    sites = []
    for seed in range(1, count + 1):
        drawn = Event.draw(seed)
        event = Event(shift_px=(0.0, 0.0), rotation_deg=0.0, damage_shares=drawn.damage_shares, kind=drawn.kind)
        city = City(seed=seed, size_px=CITY_PX, gsd_m=GSD_M, event=event)
        before, after = (date.image[:3].mean(axis=0, dtype=np.float32) for date in (city.pre, city.post))
        sites.append(Site(f"city {seed}", "made-up", before, after))
    return sites


def real_sites(folder: Path) -> list[Site]:
    """Real images of one date, and Joplin at two."""
    require_files(folder / "joplin", "pre")
    require_files(folder / "joplin", "post")
    sites = []
    for pattern in ("loveda/img_dir/*.png", "xbd_more/*/pre.png", "xbd_midwest/pre.png"):
        for path in sorted(folder.glob(pattern)):
            image = Layer.open(path)
            if min(image.shape) >= 1000 and image.count >= 3:
                grey = _grey(image)
                sites.append(Site(str(path.relative_to(folder)), "real", grey, grey))
    grid = GeoBox(Layer.open(folder / "joplin" / "pre").shape, Affine.scale(GSD_M), None)
    pre = Layer.open(folder / "joplin" / "pre")
    before, after = _grey(pre), _grey(Layer.open(folder / "joplin" / "post").on(pre.grid))
    sites.append(Site("joplin before", "real", before, before))
    own = register(Layer.open(before, grid=grid), Layer.open(after, grid=grid))
    middle = Affine.translation(before.shape[1] * GSD_M / 2, before.shape[0] * GSD_M / 2)
    motion = ~middle * Affine.scale(GSD_M) * Affine(*own.matrix.ravel()) * ~Affine.scale(GSD_M) * middle
    return [*sites, Site("joplin", "two dates", before, after, motion)]


def _grey(layer: Layer) -> GreyImage:
    data, valid = layer.read()
    grey: GreyImage = np.where(valid, data[:3].mean(axis=0, dtype=np.float32), np.nan)
    return grey


def draw_trials(
    sites: Sequence[Site],
    count: int,
    seed: int,
    ratios: Sequence[float],
    turns: Sequence[float],
    sides: Sequence[int],
) -> Iterator[Trial]:
    """Trials with all factors drawn evenly, among those that the image is large enough for."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kinds = sorted({site.kind for site in sites})
        kind = kinds[number % len(kinds)]
        of_kind = [site for site in sites if site.kind == kind]
        site = of_kind[int(rng.integers(len(of_kind)))]
        largest = min(site.before.shape)
        fitting = [(ratio, side) for ratio in ratios for side in sides if ratio * side <= largest]
        if not fitting:
            raise InputError(
                f"{site.name} has {largest} pixels, too few for these sides and ratios. Give smaller ones."
            )
        ratio, side = fitting[int(rng.integers(len(fitting)))]
        yield Trial(
            number, site.name, kind, ratio, float(rng.choice(turns)), str(rng.choice(LIGHTS)), str(rng.choice(SEASONS)),
            float(rng.choice(DAMAGES)), side, bool(rng.random() >= ELSEWHERE),
        )  # fmt: skip


def make_pair(trial: Trial, sites: dict[str, Site], seed: int) -> tuple[Layer, Layer, Affine]:
    """Pre and post layer of a trial, and the true map from ground of the post image to ground of the pre image."""
    rng = np.random.default_rng([seed, trial.number, 1])
    site = sites[trial.site]
    other = site
    if not trial.related:
        names = [
            name for name, one in sites.items()
            if min(one.before.shape) >= trial.side * trial.ratio and place_of(name) != place_of(trial.site)
        ]  # fmt: skip
        if names:
            other = sites[str(rng.choice(names))]
        else:  # no other place is as large: its mirror image is none that a turn reaches
            other = replace(site, before=np.ascontiguousarray(site.before[:, ::-1]))
    fine = round(trial.side * trial.ratio)
    height, width = site.after.shape
    row, col = int(rng.integers(height - fine + 1)), int(rng.integers(width - fine + 1))
    middle = Affine.translation(fine / 2 * GSD_M, fine / 2 * GSD_M)
    lower = max((turn for turn in TURNS_DEG if turn < trial.turn), default=0.0)
    turn = float(rng.uniform(lower, trial.turn) * rng.choice([-1, 1]))
    drawn = Affine.translation(*rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M, 2)) * Affine.rotation(turn)
    drawn *= Affine.scale(float(rng.uniform(1 - MAX_STRETCH, 1 + MAX_STRETCH)))
    image_middle = Affine.translation(width / 2 * GSD_M, height / 2 * GSD_M)
    corner = Affine.translation(col * GSD_M, row * GSD_M)
    between_dates = (
        ~corner * image_middle * site.motion * ~image_middle * corner
    )  # ground of the cut-out, post to before
    truth = middle * drawn * ~middle * between_dates
    coarse = Affine.scale(GSD_M * trial.ratio)
    top, left = (row, col) if trial.related else (
        int(rng.integers(other.before.shape[0] - fine + 1)), int(rng.integers(other.before.shape[1] - fine + 1))
    )  # fmt: skip
    # A pixel of the pre image shows the ground of the image before from which the motion leads to it.
    to_before = Affine.translation(left, top) * ~Affine.scale(GSD_M) * ~(middle * drawn * ~middle) * coarse
    pre = resample(other.before, to_before, (trial.side, trial.side), trial.ratio)
    post = site.after[row : row + fine, col : col + fine].copy()
    post = put_damage(post, site.after, trial.damage, rng)
    pre, post = (
        _noisy(other_season(other_light(image, trial.light, rng), trial.season if image is post else "same", rng), rng)
        for image in (pre, post)
    )
    return _layer(pre, GSD_M * trial.ratio), _layer(post, GSD_M), truth


def place_of(site: str) -> str:
    """The place that a site shows: Joplin comes in three files."""
    return "joplin" if "joplin" in site else site


def resample(image: GreyImage, to_input: Affine, shape: tuple[int, int], ratio: float) -> GreyImage:
    """Values at the centres of the output pixels after a blur for their size; NaN outside. to_input : output to input pixels."""
    valid = np.isfinite(image)
    filled = np.where(valid, image, np.nanmean(image)).astype(np.float32)
    smooth = ndimage.gaussian_filter(filled, 0.45 * ratio) if ratio > 1 else filled
    matrix = np.array([[to_input.e, to_input.d], [to_input.b, to_input.a]])
    offset = matrix @ (0.5, 0.5) + (to_input.f, to_input.c) - 0.5
    values = ndimage.affine_transform(smooth, matrix, offset, output_shape=shape, order=3, mode="nearest")
    known = ndimage.affine_transform(valid.astype(np.float32), matrix, offset, output_shape=shape, order=1, cval=0.0)
    return np.where(known > 0.999, values, np.nan).astype(np.float32)


def put_damage(post: GreyImage, site: GreyImage, share: float, rng: np.random.Generator) -> GreyImage:
    """The image with blocks of 8 to 40 m replaced by other parts of the site, until their share is reached."""
    covered = np.zeros(post.shape, bool)
    while share > 0 and covered.mean() < share:
        side = int(min(rng.uniform(8, 40) / GSD_M, min(post.shape) / 4))
        row, col = (int(rng.integers(edge - side + 1)) for edge in post.shape)
        top, left = (int(rng.integers(edge - side + 1)) for edge in site.shape)
        block = site[top : top + side, left : left + side]
        post[row : row + side, col : col + side] = np.rot90(block, int(rng.integers(4)))
        covered[row : row + side, col : col + side] = True
    return post


def other_light(image: GreyImage, light: str, rng: np.random.Generator) -> GreyImage:
    """Another gamma, gain and haze, and a smooth fall of brightness over the image."""
    if light == "same":
        return image
    level = np.clip(image / 255, 0, 1) ** rng.uniform(0.6, 1.6)
    slope = np.linspace(-1, 1, image.shape[1]) * rng.uniform(-0.25, 0.25)
    return ((level * (1 + slope) * rng.uniform(0.5, 1.0) + rng.uniform(0, 0.2)) * 255).astype(np.float32)


def other_season(image: GreyImage, season: str, rng: np.random.Generator) -> GreyImage:
    """Another contrast, also a negative one, in each part of the image, as fields and trees have."""
    if season == "same":
        return image
    gain = ndimage.zoom(rng.uniform(-1, 1, (9, 9)), np.array(image.shape) / 9, order=0)
    mean = np.nanmean(image)
    return (mean + gain * (image - mean)).astype(np.float32)


def _noisy(image: GreyImage, rng: np.random.Generator) -> GreyImage:
    return (image + rng.normal(0, 4.0, image.shape)).astype(np.float32)


def _layer(image: GreyImage, gsd_m: float) -> Layer:
    return Layer.open(np.clip(image, 1, 255), grid=GeoBox(image.shape, Affine.scale(gsd_m), "EPSG:32633"))


def error_px(estimate: Estimate, truth: Affine, trial: Trial) -> float:
    """Root mean square error over points of the middle 70 %, pixels of the coarser image."""
    extent = trial.side * trial.ratio * GSD_M
    share = np.linspace(0.15, 0.85, 5) * extent
    points = np.stack(np.meshgrid(share, share), -1).reshape(-1, 2)
    off = estimate.to_pre(points) - apply_affine(truth, points)
    return float(np.sqrt((off**2).sum(axis=1).mean()) / (GSD_M * trial.ratio))


def run_trials(
    trials: Sequence[Trial],
    sites: dict[str, Site],
    methods: Mapping[str, Method],
    seed: int,
    show: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One row a trial and method."""
    rows = []
    for trial in trials:
        pre, post, truth = make_pair(trial, sites, seed)
        for name, method in methods.items():
            start = time.perf_counter()
            estimate = method(pre, post)
            seconds = time.perf_counter() - start
            error = error_px(estimate, truth, trial) if trial.related else float("nan")
            wrong = estimate.status == "ok" and not error < WRONG_PX
            rows.append(
                {
                    **vars(trial),
                    "method": name,
                    "status": estimate.status,
                    "error_px": error,
                    "wrong": wrong,
                    "seconds": seconds,
                }
            )
            if wrong:
                show(f"wrong ok: {rows[-1]}")
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Success, median error, wrong ok and time, by method and level of each factor."""
    lines = []
    for factor in ("all", *FACTORS):
        levels = [("all", rows)] if factor == "all" else list(rows.groupby(factor))
        for level, part in levels:
            for method, some in part.groupby("method", sort=False):
                related = some[some["related"]]
                lines.append(
                    {
                        "factor": factor, "level": level, "method": method, "trials": len(related),
                        "below_1_px": round(100 * float((related["error_px"] < SUCCESS_PX).mean()), 1),
                        "ok_percent": round(100 * float((related["status"] == "ok").mean()), 1),
                        "median_px": round(float(related["error_px"].median()), 3),
                        "elsewhere": int((~some["related"]).sum()), "wrong_ok": int(some["wrong"].sum()),
                        "seconds": round(float(some["seconds"].median()), 2),
                    }
                )  # fmt: skip
    return pd.DataFrame(lines)


def main() -> None:
    """Run the trials, write a row each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real samples; none: made-up cities only")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--only", nargs="+", default=["ours"], help=f"methods: {', '.join([*METHODS, *BY_WEIGHTS])}")
    parser.add_argument("--disk", type=Path, help="safetensors file of DISK, for disk and ours with disk")
    parser.add_argument("--lightglue", type=Path, help="the same of LightGlue")
    parser.add_argument(
        "--superpoint", type=Path, help="the same of SuperPoint, for superpoint and ours with superpoint"
    )
    parser.add_argument("--ratios", nargs="+", type=float, default=RATIOS)
    parser.add_argument("--turns", nargs="+", type=float, default=TURNS_DEG)
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES_PX, help="pixels of the coarser image")
    parser.add_argument("--cities", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="CSV with a row a trial and method")
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.trials, options.cities, options.sides, options.ratios, options.data = 2, 1, [128], [1.0], None
        options.out = options.out / "trials.csv" if options.out.is_dir() else options.out
    with_xfeat = any("xfeat" in name for name in options.only)
    methods = METHODS | with_weights(options.disk, options.lightglue, options.superpoint, with_xfeat=with_xfeat)
    if unknown := [name for name in options.only if name not in methods]:
        raise InputError(
            f"{unknown[0]!r} is no method of {', '.join(methods)}; disk needs --disk and --lightglue, superpoint --superpoint."
        )
    real = real_sites(options.data) if options.data else []
    sites = [*made_up_sites(options.cities), *real]
    trials = list(draw_trials(sites, options.trials, options.seed, options.ratios, options.turns, options.sides))
    rows = run_trials(
        trials,
        {site.name: site for site in sites},
        {name: methods[name] for name in options.only},
        options.seed,
        lambda line: print(line, flush=True),
    )
    with options.out.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(title_of("Registration", smoke=options.smoke))
    table = summary(pd.DataFrame(rows))
    overall = table[table["factor"] == "all"].drop(columns=["factor", "level", "seconds"]).set_index("method")
    store_results(
        options.out.parent,
        smoke=options.smoke,
        seed=options.seed,
        trials=options.trials,
        methods=overall.to_dict("index"),
    )
    print(table.to_string(index=False))


if __name__ == "__main__":
    with plain_errors():
        main()
