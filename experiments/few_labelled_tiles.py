"""Tiles and pairs of which little is labelled: what a network learns from the rest, by the methods of `unlabelled.method`.

Usage: python experiments/few_labelled_tiles.py --out FOLDER                  (miniature city, SYNTHETIC: pixels)
       python experiments/few_labelled_tiles.py --out FOLDER --pairs          (miniature city before and after an event, SYNTHETIC: buildings)
       python experiments/few_labelled_tiles.py --out FOLDER --data ROOT   (the crop of ISPRS Vaihingen, 9 cm: pixels)

Pixels: squares of 32 px are labelled, a different draw in each seed, two in each of four cities and eight in a half of the crop; the rest of
these images is learnt from without labels. Tested on two other cities, or on the other half of the crop, 32 px apart, and the other way round. Pairs: two
buildings of each grade keep it, of all in four cities. Every way takes the same number of steps, of as many labelled windows; nothing was chosen
on what is tested on, and the last weights are scored. Finished trainings are not run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from score_table import BenchmarkScenes, Row, run_row
from script import add_smoke, plain_errors, require_all, rows_beside, shorten, table_beside, title_of

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.files import read_json, write_text
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters.scene import LABELS, Layer
from deepnets4eo.synthetic import GRADES, City, Event
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.training import TrainOptions, load_recipe, train

SMALL = (
    "model.network=light-unet", "model.options={decoder_channels: [64, 48]}", "model.encoder=null", "model.encoder_weights=null", "train.losses={cross_entropy: 1.0}", "data.tile_px=64",
    "data.num_workers=0", "data.windows_per_epoch=96", "data.val_share=0", "train.refit=false", "train.epochs=8", "train.batch_size=8",
    "train.optimizer=adamw", "train.lr=0.002", "train.encoder_lr_factor=1", "train.weight_decay=0.01", "train.schedule=poly",
    "train.precision=float32", "train.keep=last", "predict.tile_px=320",
)  # fmt: skip
PAIRS = (
    "model.unet=light-unet", "data.tile_px=64", "data.num_workers=0", "data.windows_per_epoch=64", "data.register_images=false", "data.labels_layer=null", "data.split=scenes",
    f"data.val_names={[f'city-{seed}' for seed in (21, 22)]}", "train.epochs=8", "train.batch_size=8", "train.optimizer=adamw",
    "train.lr=0.001", "train.precision=float32", "train.keep=last", "predict.tile_px=320",
)  # fmt: skip
METHODS = ("unlabelled.momentum=0.97", "unlabelled.threshold=0.8")
WAYS: dict[str, tuple[str, ...]] = {
    "labels alone": (),
    "pseudo-label": ("unlabelled.method=pseudo-label", *METHODS),
    "FixMatch": ("unlabelled.method=fixmatch", *METHODS),
    "SoftMatch": ("unlabelled.method=softmatch", *METHODS),
}
ALL = "labels alone, all of them"
TRAIN_CITIES, TEST_CITIES, CITY_PX, CITY_M = (1, 2, 3, 4), (21, 22), 256, 0.5
SQUARE_PX, GAP_PX, GRADED, MANY = 32, 32, 2, 10_000
COLUMNS = {"pixels": ("OA", "mean F1"), "pairs": ("OA", "mean F1", "AUC, major or worse")}
Scores = dict[str, float]


def keep_squares(labels: np.ndarray, squares: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (H, W) in so many squares at random, void elsewhere."""
    kept = np.full_like(labels, VOID)
    for _ in range(squares):
        row, col = (int(rng.integers(side - SQUARE_PX + 1)) for side in labels.shape)
        here = slice(row, row + SQUARE_PX), slice(col, col + SQUARE_PX)
        kept[here] = labels[here]
    return kept


def write_area(
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    site: City | Grid,
    legend: Legend,
    squares: int,
    seeds: Sequence[int],
    out: Path,
) -> dict[str, dict[str, str]]:
    """Image, all labels, and those of each seed's squares, of class indices (H, W); returns the sources with all and with each seed's."""
    grid, tags = (site.grid, site.tags) if isinstance(site, City) else (site, {})
    out.mkdir(parents=True, exist_ok=True)
    write_raster(out / f"{name}.tif", grid, np.ascontiguousarray(image), tags)
    number = sum(map(ord, name))
    drawn = {ALL: labels} | {
        str(seed): keep_squares(labels, squares, np.random.default_rng([seed, number])) for seed in seeds
    }
    sources = {}
    for kind, kept in drawn.items():
        path = out / f"{name}-{kind.replace(' ', '-')}.tif"
        write_raster(path, grid, legend.from_index()[kept], tags, legend)
        sources[kind] = {"image": str(out / f"{name}.tif"), LABELS: str(path)}
    return sources


def city_folds(seeds: Sequence[int], out: Path, *, smoke: bool) -> tuple[Legend, list[Mapping[str, BenchmarkScenes]]]:
    """The made-up cities, by seed of the draw and with all labels."""
    legend, written = Legend.load("isprs"), {}
    train, test = (cities[: 1 if smoke else None] for cities in (TRAIN_CITIES, TEST_CITIES))
    for seed in (*train, *test):
        city = City(seed, CITY_PX, CITY_M)
        labels = legend.to_index()[city.labels(legend)]
        written[seed] = write_area(f"city-{seed}", city.image[:3], labels, city, legend, 2, seeds, out)
    return legend, [
        {
            kind: BenchmarkScenes(
                {f"city-{seed}": written[seed][kind] for seed in train},
                {f"city-{seed}": written[seed][ALL] for seed in test},
            )
            for kind in written[train[0]]
        }
    ]


def crop_folds(samples: Path, seeds: Sequence[int], out: Path) -> tuple[Legend, list[Mapping[str, BenchmarkScenes]]]:
    """Both halves of the crop of Vaihingen, each learnt from and tested on."""
    folder = samples / "isprs_vaihingen_crop"
    name = "area1_0_0_512_512.png"
    require_all(folder, [f"img_dir/{name}", f"ann_dir/{name}"])
    legend = Legend.load("isprs")
    image, labels = Layer.open(folder / "img_dir" / name), Layer.open(folder / "ann_dir" / name, labels=True)
    pixels, stored = image.read()[0], labels.read()[0][0].astype(int)
    indices = np.where((stored >= 1) & (stored <= legend.num_classes), stored - 1, VOID).astype(np.uint8)
    middle, height = image.shape[0] // 2, image.shape[0]
    halves = {"north": slice(0, middle - GAP_PX // 2), "south": slice(middle + GAP_PX // 2, height)}
    written = {
        half: write_area(half, pixels[:, rows], indices[rows], image.grid[rows], legend, 8, seeds, out)
        for half, rows in halves.items()
    }
    return legend, [
        {
            kind: BenchmarkScenes({learnt: written[learnt][kind]}, {tested: written[tested][ALL]})
            for kind in written[learnt]
        }
        for learnt, tested in (("north", "south"), ("south", "north"))
    ]


def measure_pixels(
    way: str, seed: int, legend: Legend, folds: Sequence[Mapping[str, BenchmarkScenes]], out: Path, *, smoke: bool
) -> Scores:
    """Scores in percent, folds as one; mean F1 over the classes that the reference has."""
    row = Row(f"{way}, seed {seed}", "unet-resnet34", (*SMALL, *WAYS.get(way, ()), f"train.seed={seed}"))
    row = shorten(row) if smoke else row
    matrix = ConfusionMatrix(legend.num_classes)
    for number, of_draw in enumerate(folds):
        scenes = of_draw[ALL if way == ALL else str(seed)]
        outcome = run_row(row, scenes, legend, out / f"fold-{number}")
        for name, path in outcome.maps.items():
            to_index = legend.to_index()
            truth, mapped = (
                to_index[Layer.open(one, labels=True).read()[0][0]] for one in (scenes.test[name][LABELS], path)
            )
            matrix.update(truth, mapped)
    present = matrix.matrix.sum(axis=1) > 0
    return {"OA": 100 * matrix.overall_accuracy, "mean F1": 100 * float(np.nanmean(np.nan_to_num(matrix.f1[present])))}


@cache
def struck_city(number: int) -> City:
    """A city with all grades in equal shares, its images aligned."""
    event = Event(shift_px=(0.0, 0.0), rotation_deg=0.0, damage_shares=(1, 1, 1, 1), clustering=0.0)
    return City(number, CITY_PX, CITY_M, event=event)


def write_pairs(out: Path, graded: int, seed: int) -> Path:
    """Pairs of which so many buildings of each grade keep it in all training cities together; all do in the test cities."""
    if out.exists():
        return out
    train = [(city, row) for city in TRAIN_CITIES for row in range(len(struck_city(city).buildings))]
    grades = np.array([struck_city(city).buildings["damage"].iloc[row] for city, row in train])
    rng = np.random.default_rng([seed, 9])
    kept = {train[at] for grade in GRADES for at in rng.permutation(np.flatnonzero(grades == grade))[:graded]}
    partial = out.with_suffix(".partial")
    for number in (*TRAIN_CITIES, *TEST_CITIES):
        city, folder = struck_city(number), partial / f"city-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in (("pre", city.pre.image), ("post", city.post.image)):
            write_raster(folder / f"{name}.tif", city.grid, image[:3], city.tags)
        frame = city.buildings[["damage", "geometry"]].astype({"damage": object})
        known = [number in TEST_CITIES or (number, row) in kept for row in range(len(frame))]
        frame["damage"] = frame["damage"].where(known, "unknown")
        frame.to_file(folder / "truth.gpkg")
    return partial.replace(out)


def measure_pairs(way: str, seed: int, out: Path, *, smoke: bool) -> Scores:
    """Scores in percent of the buildings of the test cities."""
    every = way == ALL
    pairs = write_pairs(out / ("pairs" if every else f"pairs-{seed}"), MANY if every else GRADED, seed)
    run = out / f"{way.replace(' ', '-').replace(',', '')}-{seed}"
    if not (run / "card.json").exists():
        short = ("train.epochs=1", "data.windows_per_epoch=8") if smoke else ()
        data = f"data.folders=[{pairs}]"
        recipe, _ = load_recipe(
            "damage-pairs", overrides=(*PAIRS, *WAYS.get(way, ()), f"train.seed={seed}", data, *short)
        )
        train(recipe, run, options=TrainOptions(overwrite=True))
    scores = read_json(run / "metrics.json")
    keys = ("overall_accuracy", "mean_f1", "auc_major_or_worse")
    return {name: 100 * float(scores[key]) for name, key in zip(COLUMNS["pairs"], keys, strict=True)}


def table_of(scores: Mapping[str, Sequence[Scores]], title: str) -> str:
    """Mean ± sd over the seeds, and the difference to labels alone."""
    columns = list(next(iter(scores.values()))[0])
    return table_beside(title, "labels alone", columns, rows_beside(scores, "labels alone", columns))


def main() -> None:
    """Measure every way in every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", action="store_true", help="buildings of the city before and after an event")
    parser.add_argument("--data", type=Path, help="folder of real samples, with isprs_vaihingen_crop")
    parser.add_argument("--ways", nargs="+", choices=(*WAYS, ALL), default=[*WAYS, ALL])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    smoke, seeds = options.smoke, options.seeds[: 1 if options.smoke else None]
    out = options.out / "smoke" if smoke else options.out
    ways = options.ways[:2] if smoke else options.ways
    title = "Vaihingen" if options.data else "city, SYNTHETIC, pairs" if options.pairs else "city, SYNTHETIC"
    if not options.pairs:
        legend, folds = (
            crop_folds(options.data, seeds, out / "areas") if options.data else city_folds(seeds, out / "areas", smoke=smoke)
        )  # fmt: skip
    scores: dict[str, list[Scores]] = {}
    for way in ways:
        scores[way] = [
            measure_pairs(way, seed, out, smoke=smoke) if options.pairs else measure_pixels(way, seed, legend, folds, out, smoke=smoke)
            for seed in seeds
        ]  # fmt: skip
        text = table_of(scores, title_of(title, smoke=smoke))
        write_text(out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
