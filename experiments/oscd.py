"""Change networks with the published OSCD training, published beside ours; early fusion against Siamese under misregistration.

Usage: python experiments/oscd.py --out FOLDER [--seeds 0 1 2]                   (miniature city, SYNTHETIC)
       python experiments/oscd.py --out FOLDER --contrastive                     (there, FC-Siam-diff with and without that loss)
       python experiments/oscd.py --out FOLDER --data ROOT [--bands 13]          (OSCD: 14 cities to train on, 10 to test)

ROOT holds the cities with imgs_1_rect, imgs_2_rect and cm; the bands are written into one file a date first. On the city the
networks learn from registered pairs and are then tested on post images that are off by some pixels. Small trainings but
for --data.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from change_pairs import (
    CLASSICAL,
    SMALL,
    TEST_CITIES,
    TRAIN_CITIES,
    ChangeScore,
    Sources,
    city_pairs,
    everything_changed,
    ordering,
    publish,
    score_change,
    score_classical,
    table,
    train_run,
    zero_row,
)
from script import add_smoke, percents, plain_errors, store_results, title_of
from zero import Zero

from deepnets4eo.cards import DatasetCard
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter, Layer

EARLY, CONCAT, DIFFERENCE = "FC-EF", "FC-Siam-conc", "FC-Siam-diff"
NETWORKS = {EARLY: "change/fc-ef", CONCAT: "change/fc-siam-conc", DIFFERENCE: "change/fc-siam-diff"}
CONTRASTIVE = "FC-Siam-diff, contrastive loss 0.5"
CONTRAST = {
    DIFFERENCE: (NETWORKS[DIFFERENCE], ()),
    CONTRASTIVE: (NETWORKS[DIFFERENCE], ("train.losses.contrastive=0.5",)),
}
SHIFTS_PX = (1, 2, 4)
POST_LAYERS = ("image_post", *(f"image_post_{shift}" for shift in SHIFTS_PX))
EPOCHS = 12  # of 20 steps
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
RGB = ("B04", "B03", "B02")


def stack_city(folder: Path, out: Path, bands: tuple[str, ...]) -> dict[str, str]:
    """The bands of a city of OSCD as one file a date, and its labels."""
    paths = {}
    for layer, date in (("image_pre", 1), ("image_post", 2)):
        path = out / f"{layer}-{len(bands)}.tif"
        paths[layer] = str(path)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        layers = [Layer.open(folder / f"imgs_{date}_rect" / f"{band}.tif") for band in bands]
        grid = layers[0].grid
        data = np.concatenate([one.read(whole(grid))[0] for one in layers])
        with CogWriter(path, grid, count=len(bands), dtype="uint16", band_names=bands) as cog:
            cog.write(whole(grid), data.astype(np.uint16))
    return {**paths, "labels": str(folder / "cm" / "cm.png")}


def oscd(root: Path, out: Path, bands: tuple[str, ...]) -> tuple[Sources, Sources]:
    """The 14 cities to train on and the 10 to test on."""
    _, parts = DatasetCard.load("oscd").split("official")
    train, test = (
        {city: stack_city(root / city, out / "stacks" / city, bands) for city in parts[part]}
        for part in ("train", "test")
    )
    return train, test


def shift_scores(run: Path, test: Sources, out: Path) -> list[ChangeScore]:
    """Scores of a run on registered pairs, and on those that are off by 1, 2, … px."""
    return [score_change(run, test, out / layer, post=layer) for layer in POST_LAYERS]


def classical_rows(test: Sources, out: Path) -> dict[str, list[list[float]]]:
    """F1 of methods without training, as in `shift_scores`."""
    return {
        name: [[score_classical(method, test, out / method / layer, post=layer).f1] for layer in POST_LAYERS]
        for name, method in CLASSICAL.items()
    }


def on_city(
    out: Path, seeds: list[int], networks: Mapping[str, tuple[str, Sequence[str]]], below: str, *, smoke: bool
) -> tuple[str, dict[str, list[list[float]]], Zero]:
    """Return the table of the miniature city, F1 by row (a list per shift, one value per seed) and the table's zero. networks : row → recipe and its overrides. below : the row that others are compared with"""
    few = 1 if smoke else None
    train = city_pairs(out, TRAIN_CITIES[:few], smoke=smoke)
    test = city_pairs(out, TEST_CITIES[:few], smoke=smoke, shifts_px=SHIFTS_PX)
    by_name: dict[str, list[list[ChangeScore]]] = {name: [] for name in networks}
    for seed in seeds:
        for name, (recipe, overrides) in networks.items():
            folder = out / f"seed-{seed}" / name
            short = (*SMALL, f"train.epochs={EPOCHS}", f"train.seed={seed}", "train.step_factor=0.85")
            run = train_run(recipe, (*short, *overrides), train, folder, smoke=smoke)
            by_name[name].append(shift_scores(run, test, folder / "maps"))
    f1 = {name: [[one[k].f1 for one in seeds_] for k in range(1 + len(SHIFTS_PX))] for name, seeds_ in by_name.items()}
    zero = everything_changed(test)
    rows = {zero.name: zero_row(zero, "f1") * len(POST_LAYERS), **f1, **classical_rows(test, out / "classical")}
    notes = [
        ordering(f"{name} ≥ {below} with post off by {shift} px", f1[name][k], f1[below][k])
        for name in networks
        if name != below
        for k, shift in enumerate((0, *SHIFTS_PX))
    ]
    columns = ["F1 of change, registered", *(f"off by {shift} px" for shift in SHIFTS_PX)]
    title = title_of("Change networks on the miniature city (SYNTHETIC)", smoke=smoke)
    return table(title, columns, rows, notes), f1, zero


def on_oscd(
    root: Path, out: Path, seeds: list[int], bands: tuple[str, ...], *, smoke: bool
) -> tuple[str, dict[str, list[list[float]]], Zero]:
    """Return the table of OSCD, published rows above, F1 by row (one value per seed) and the table's zero."""
    train, test = oscd(root, out, bands)
    zero = everything_changed(test, stored="change-mask")
    few = ("data.labels_legend=change-mask",)
    rows: dict[str, list[list[float]]] = {zero.name: zero_row(zero, "f1")}
    for name, one in DatasetCard.load("oscd").published.items():
        if f" {len(bands)} bands" in name:
            rows[f"{name} (published)"] = [[one.f1["change"] / 100]]
    for name, recipe in NETWORKS.items():
        scores = []
        for seed in seeds:
            folder = out / f"seed-{seed}" / name
            run = train_run(recipe, (*few, f"train.seed={seed}"), train, folder, smoke=smoke)
            scores.append(score_change(run, test, folder / "maps", stored="change-mask").f1)
        rows[f"{name} (ours, {len(seeds)} seeds)"] = [scores]
    return table(title_of(f"OSCD, {len(bands)} bands", smoke=smoke), ["F1 of change"], rows, []), rows, zero


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the cities of OSCD")
    parser.add_argument("--bands", type=int, choices=(3, 13), default=13)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--contrastive", action="store_true", help="on the city: FC-Siam-diff with and without that loss"
    )
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("change_pairs").setLevel(logging.INFO)
    smoke, seeds = arguments.smoke, arguments.seeds[: 1 if arguments.smoke else None]
    if arguments.data is None:
        plain = {name: (recipe, ()) for name, recipe in NETWORKS.items()}
        networks, below = (CONTRAST, DIFFERENCE) if arguments.contrastive else (plain, EARLY)
        text, f1, zero = on_city(arguments.out, seeds, networks, below, smoke=smoke)
    else:
        text, f1, zero = on_oscd(
            arguments.data, arguments.out, seeds, RGB if arguments.bands == 3 else BANDS, smoke=smoke
        )
    site = "miniature city (SYNTHETIC)" if arguments.data is None else "OSCD"
    shifts = {name: dict(zip(POST_LAYERS, map(percents, of_name), strict=False)) for name, of_name in f1.items()}
    store_results(arguments.out, smoke=smoke, site=site, zero=zero.to_dict(), f1_of_change=shifts)
    publish(arguments.out, text)


if __name__ == "__main__":
    with plain_errors():
        main()
