"""Classical baselines under the rules of the ISPRS 2D labelling contest (Vaihingen, Potsdam), published next to ours.

Usage: python experiments/isprs_baselines.py --out FOLDER                                  (miniature city, synthetic)
       python experiments/isprs_baselines.py --out FOLDER --data ROOT [--dataset isprs_potsdam]  (the contest's tiles)
       python experiments/isprs_baselines.py --out FOLDER --data SAMPLES                   (a real crop of each)
--smoke tries all of it in minutes; its figures mean nothing.

Writes table.md, table.csv, table.json and maps.png; in eroded/ the same scores without object borders: by the eroded
files where the dataset has them, else by a disc of 3 px. F1 of five classes and their mean; clutter counts in OA. Of the crops results.json, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from real_tiles import IRRG, SPLIT, TableOf, tile_figures, tile_folds, tile_table
from score_table import BenchmarkScenes, Outcome, Row, contact_sheet, run_possible, write_table
from script import (
    SIDE_PX,
    add_smoke,
    check_names,
    crop_folds,
    crop_scenes,
    log_warnings,
    plain_errors,
    shorten,
    store_results,
    title_of,
    whole_or_samples,
)
from zero import zeros_of_tile

from deepnets4eo.cards import DatasetCard, Legend, SplitPart, find_tiles, open_dataset, part_tiles
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import write_raster

Seeds = tuple[int, ...]

MAIN = ("impervious", "building", "low_vegetation", "tree", "car")
ERODED, ERODE_PX = "labels_eroded", 3
TRAIN_SEEDS, TEST_SEEDS = (1, 2), (3, 4)
SIZE_PX, GSD_M = 1000, 0.1
SMOKE_GSD_M = 0.5  # so that also a small city has roads, trees and cars
FEATURES = "model.features=[pixels, hsv_histogram, hog16]"
BANDS = {"isprs_potsdam": "[red, green, blue, near infrared]", "isprs_vaihingen": "[near infrared, red, green]"}
LAYOUT = {"isprs_potsdam": {"image": "image_rgbir"}, "isprs_vaihingen": {}}
FEATURE_NOTE = (
    "ours: ImageNet's EfficientNet-Lite0, or ResNet-18 with the given encoder_weights; AlexNet of ImageNet in 2017"
)


@dataclass(frozen=True)
class Size:
    """Size of the training: samples, epochs of the network, the side to which patches are resized; superpixels."""

    samples: int
    epochs: int
    windows: int
    input_px: int
    area_px: int
    common: tuple[str, ...] = ()


WHOLE = Size(20_000, 40, 800, 228, 256)
SMALL = Size(3000, 8, 96, 64, 400, SPLIT)


def rows(weights: str | None = None, size: Size = WHOLE) -> list[Row]:
    """Return the classical rows of the group's ISPRS papers, simplest first; names as in the cards if they are there."""
    forest, deep = "baselines/random-forest", "baselines/deep-svm"
    slic = f"{{method: slic, area_px: {size.area_px}}}"
    encoder_weights = ("deep.encoder=resnet18", f"deep.weights={weights}") if weights else ()
    patches = (
        "model.method=superpixels", f"superpixels={slic}", "deep.looks=patch", "deep.patch_px=32", f"deep.input_px={size.input_px}",
        "estimator.name=sgd_svm", "estimator.search=false", f"model.max_samples={size.samples}", *encoder_weights,
    )  # fmt: skip
    pixels = (f"model.max_samples={3 * size.samples}",)
    regions = ("model.method=superpixels", f"superpixels={slic}", FEATURES, f"model.max_samples={size.samples}")
    network = (
        "model.layers=[image]", f"train.epochs={size.epochs}", f"data.windows_per_epoch={size.windows}",
        "predict.tile_px=208", f"post=[{{superpixel_vote: {slic}}}]",
    )  # fmt: skip
    table = [
        Row("Expert rules, NDVI + nDSM", "baselines/expert-rules", ("model.layers=[image, dsm]",)),
        Row("RF, pixels", forest, pixels),
        Row("RF + CRF (HUST)", forest, (*pixels, "post=[{crf: {}}]")),
        Row("RF IRRGB", forest, regions),
        Row("Extra trees IRRGB", forest, (*regions, "estimator.name=extra_trees")),
        Row("Superpixels + frozen AlexNet, 32 px", deep, (*patches, "deep.scales=[1]")),
        Row("Superpixels + frozen AlexNet, 64 px", deep, (*patches, "deep.scales=[0.5]")),
        Row("Superpixels + frozen AlexNet, 32 + 64 + 128 px", deep, (*patches, "deep.scales=[1, 0.5, 0.25]")),
        Row("CNN + superpixel vote", "baselines/patch-cnn", network),
    ]
    return [replace(row, overrides=(*row.overrides, *size.common)) for row in table]


def bands(dataset: str) -> str:
    """Return what the bands of a dataset's images show, which its files do not contain, for recipes."""
    return f"model.bands={{image: {BANDS[dataset]}}}"


def contest(
    card: DatasetCard, root: Path, split: str | None, layout: Mapping[str, str] | None = None
) -> BenchmarkScenes:
    """The tiles of a dataset's split, infrared among their colours, heights and eroded labels where they lie there.

    layout : layer -> layer of the card taken for it, instead of that with infrared.
    """
    card = card.with_layout(LAYOUT[card.name] if layout is None else layout)
    tiles = find_tiles(card, root)
    wanted = [
        files for part in (SplitPart.train, SplitPart.test) for files in part_tiles(card, tiles, split, part).values()
    ]
    there = [layer for layer in ("dsm", "ndsm", ERODED) if all(layer in files for files in wanted)]
    parts = [
        {
            tile: {layer: str(path) for layer, path in files.items()}
            for tile, files in open_dataset(
                card, root, split=split, part=part, layers=["image", "labels", *there]
            ).items()
        }
        for part in (SplitPart.train, SplitPart.test)
    ]
    return BenchmarkScenes(*parts)


def miniature(
    out: Path, seeds: tuple[Seeds, Seeds] = (TRAIN_SEEDS, TEST_SEEDS), size_px: int = SIZE_PX, gsd_m: float = GSD_M
) -> BenchmarkScenes:
    """Write synthetic cities in the contest's classes: infrared, red, green, and the surface.

    The lowest ground of each city is at 0 m: cities of different seeds are at different heights above the sea, the contest's tiles are of one town.

    seeds : of the cities to train and to test on.
    """
    legend = Legend.load("isprs")
    parts: list[dict[str, dict[str, str]]] = [{}, {}]
    for part, of_part in zip(parts, seeds, strict=True):
        for seed in of_part:
            folder = out / f"city-{seed}"
            part[f"city-{seed}"] = {name: str(folder / f"{name}.tif") for name in ("image", "dsm", "labels")}
            if not (folder / "labels.tif").exists():
                city = City(seed, size_px, gsd_m)
                tags, irrg = city.tags, np.ascontiguousarray(city.image[[3, 0, 1]])
                with CogWriter(folder / "image.tif", city.grid, count=3, band_names=IRRG, tags=tags) as cog:
                    cog.write(whole(city.grid), irrg)
                write_raster(folder / "dsm.tif", city.grid, city.dsm - city.dtm.min(), tags)
                write_raster(folder / "labels.tif", city.grid, city.labels(legend), tags, legend)
    return BenchmarkScenes(*parts)


def without_borders(outcomes: Sequence[Outcome], scenes: BenchmarkScenes, legend: Legend) -> list[Outcome]:
    """Return the outcomes scored without object borders."""
    if all(ERODED in sources for sources in scenes.test.values()):
        return [
            replace(
                one,
                scores=evaluate_pairs(
                    [(one.maps[name], sources[ERODED]) for name, sources in scenes.test.items()], legend
                ).to_dict(),
            )
            for one in outcomes
        ]
    return [replace(one, scores=one.scores["eroded"]) for one in outcomes]


def whole_table(table: Sequence[Row], scenes: BenchmarkScenes, out: Path, card: DatasetCard, title: str) -> str:
    """Run the rows on a dataset, or the miniature city; returns both tables as Markdown."""
    legend = Legend.load("isprs")
    outcomes, left_out = run_possible(table, [scenes], legend, out, protocol=Protocol(erode_px=ERODE_PX))
    files = all(ERODED in sources for sources in scenes.test.values())
    notes = {
        "trained on": ", ".join(scenes.train),
        "tested on": ", ".join(scenes.test),
        "seed": 0,
        "published": "under the protocols that the card names; comparable under the same one alone",
        "network features": FEATURE_NOTE,
        **{f"{name} is left out": reason for name, reason in left_out.items()},
    }
    contact_sheet(outcomes, scenes.test, legend, out / "maps.png", title=title)
    texts = []
    for kind, folder, scored in (
        ("full reference", out, outcomes),
        ("eroded reference", out / "eroded", without_borders(outcomes, scenes, legend)),
    ):
        borders = kind if folder == out else f"{kind}, {'files given out' if files else f'a disc of {ERODE_PX} px'}"
        notes = notes | {"reference": borders}
        heading = f"{title}: {kind}"
        texts.append(write_table(scored, MAIN, card.published, folder, title=heading, notes=notes, rest=True))
    return "\n".join(texts)


def crops(table: Sequence[Row], root: Path, out: Path, *, smoke: bool = False) -> str:
    """Run the rows on a real crop of each dataset; their references have no borders, so there is one table each."""
    texts, measured, zeros = [], {}, {}
    for tile, (legend, folds) in tile_folds(root, out / "tiles", ["vaihingen", "potsdam"]).items():
        published = DatasetCard.load(f"isprs_{tile}").published
        notes = {"published": "on the whole dataset, not comparable", "network features": FEATURE_NOTE}
        folds = crop_folds(folds, out / "smoke" / tile) if smoke else folds
        zeros[tile] = zeros_of_tile(folds, legend)
        notes |= {"without training": f"largest class OA {zeros[tile]['overall_accuracy']:.1f}"}
        title = title_of(f"ISPRS rows on a real crop of {tile.capitalize()}", smoke=smoke)
        text = TableOf(title, published, notes, MAIN)
        texts.append(tile_table(tile, legend, folds, table, out / tile, text))
        measured[tile] = tile_figures(out / tile)
        store_results(out, smoke=smoke, zero=zeros, tiles=measured)
    return "\n".join(texts)


def contest_options(description: str) -> argparse.ArgumentParser:
    """Return the options of every experiment under the rules of the contest: its tiles, the rows, the output."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, help="the contest's tiles, or the folder of real samples, see real_tiles.py"
    )
    parser.add_argument("--dataset", choices=sorted(BANDS), default="isprs_vaihingen")
    parser.add_argument("--split", help="of the dataset's card; its first by default")
    parser.add_argument("--rows", nargs="+", help="names of rows; all by default")
    add_smoke(parser)
    return parser


def main() -> None:
    parser = contest_options(__doc__)
    parser.add_argument("--encoder-weights", help="safetensors file of a ResNet-18, or imagenet")
    arguments = parser.parse_args()
    arguments.data, arguments.samples = whole_or_samples(arguments.data)
    log_warnings(smoke=arguments.smoke)
    every = rows(arguments.encoder_weights, WHOLE if arguments.data else SMALL)
    check_names(arguments.rows, [row.name for row in every])
    table = [row for row in every if not arguments.rows or row.name in arguments.rows]
    out, smoke = arguments.out, arguments.smoke
    table = [shorten(row) for row in table] if smoke else table
    card = DatasetCard.load(arguments.dataset)
    if arguments.samples:
        print(crops(table, arguments.samples, out, smoke=smoke))
    elif arguments.data:
        named = [replace(row, overrides=(*row.overrides, bands(arguments.dataset))) for row in table]
        scenes = contest(card, arguments.data, arguments.split)
        scenes = crop_scenes(scenes, out / "smoke") if smoke else scenes
        print(whole_table(named, scenes, out, card, title_of(f"{card.title}, classical baselines", smoke=smoke)))
    else:
        few = (TRAIN_SEEDS[:1], TEST_SEEDS[:1])
        scenes = miniature(out / "smoke", few, SIDE_PX, SMOKE_GSD_M) if smoke else miniature(out)
        title = title_of("ISPRS baselines on the miniature city (SYNTHETIC)", smoke=smoke)
        print(whole_table(table, scenes, out, card, title))


if __name__ == "__main__":
    with plain_errors():
        main()
