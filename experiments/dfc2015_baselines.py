"""The benchmark table of the Data Fusion Contest 2015 (Lagrange et al., IGARSS 2015), published next to ours.

Usage: python experiments/dfc2015_baselines.py --out FOLDER                    (miniature city, synthetic)
       python experiments/dfc2015_baselines.py --out FOLDER --data ROOT        (the contest's tiles, see its card)
       python experiments/dfc2015_baselines.py --out FOLDER --data SAMPLES     (each real labelled tile by itself)

Writes table.md, table.csv, table.json and maps.png. Rows that are finished are not run again; --rows chooses some.
Deep features are of ImageNet's EfficientNet-Lite0, or of a ResNet-18 if --encoder-weights names a safetensors file (or imagenet, which is downloaded); with --vgg they are of VGG-16.
The table's own networks cannot be had: "VGG" is VGG-F (Chatfield et al. 2014), which like OverFeat and CaffeNet was given out for other libraries, on patches
of 231 px every 32 px; the trained AlexNet began with ImageNet's weights, which do not fit patches of 64 px. Their published rows stand below ours.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from real_tiles import TableOf, tile_figures, tile_folds as real_places, tile_rows, tile_table
from score_table import BenchmarkScenes, Outcome, Row, contact_sheet, run_rows, write_table
from script import (
    add_smoke,
    check_names,
    crop_folds,
    crop_scenes,
    kept_results,
    log_warnings,
    plain_errors,
    shorten,
    store_results,
    title_of,
    whole_or_samples,
)
from zero import zeros_of_tile

from deepnets4eo.baselines import ExpertRules
from deepnets4eo.cards import VOID, DatasetCard, Legend, open_dataset
from deepnets4eo.grid import blocks
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.system import cores
from deepnets4eo.terrain import composite_raster
from deepnets4eo.training import load_recipe

TRAIN_SEEDS, TEST_SEEDS = (1, 33), (5, 58)  # cities with a harbour among those of the first sixty seeds
SIZE_PX, GSD_M = 2000, 0.1
SMOKE_SEEDS, SMOKE_PX = ((5,), (33,)), 480  # places that show cars
EXPERT = "Expert"
PUBLISHED = (  # the recipe has learnt more since
    "model.features=[pixels]", "model.sampling=balanced", "superpixels={method: felzenszwalb, area_px: 256}",
    "estimator={name: rbf_svm, search: true, search_c: [1, 10], search_gamma: [0.3, 1, 3], search_samples: 2000}",
)  # fmt: skip
BLOCK_PX = 1024
NETWORK_FEATURES = "ours: ImageNet's EfficientNet-Lite0, ResNet-18 with the given encoder_weights, or VGG-16 with --vgg; the published VGG is VGG-F"


def rows(weights: str | None, *, made_up: bool, vgg: Path | None = None) -> list[Row]:
    """Return the rows of the published table, top to bottom, and the scaled form of the row that needs scaled heights. vgg : weights of VGG-16"""
    encoder_weights: tuple[str, ...] = ("deep.encoder=resnet18", f"deep.weights={weights}") if weights else ()
    if vgg is not None:
        encoder_weights = ("deep.encoder=vgg16", f"deep.weights={vgg}")
    height = ("model.layers=[image, dsm]",)
    expert = (
        ("model.layers=[image, ndsm, intensity]",)
        if made_up
        else ("model.layers=[image, dsm, intensity]", "model.rules=rules.yaml")
    )
    epochs = 6 if made_up else 40
    return [
        Row(EXPERT, "baselines/expert-rules", expert),
        Row("RGB/SVM", "baselines/rgb-svm", PUBLISHED),
        Row("RGBd/SVM", "baselines/rgbd-svm", ("estimator.scaling=none",)),
        Row("RGBd/SVM, scaled", "baselines/rgbd-svm"),
        Row("RGBdI/SVM", "baselines/rgbdi-svm"),
        Row("HOG32/SVM", "baselines/hog32-svm"),
        Row("HOG16/SVM", "baselines/hog-svm"),
        Row("HSV/SVM", "baselines/hsv-svm"),
        Row("HSVDGr/SVM", "baselines/hsvdgr-svm"),
        Row("SOM", "baselines/som", scored=("boat",)),
        Row("DtMM", "baselines/dtmm", scored=("car",)),
        Row("DPM", "baselines/deformable-parts", scored=("car",)),
        Row("RGB VGG/SVM", "baselines/deep-svm", encoder_weights),
        Row("RGBd VGG/SVM", "baselines/deep-svm", (*encoder_weights, *height, "deep.inputs=rgbd")),
        Row(
            "RGBd+ VGG/SVM",
            "baselines/deep-svm",
            (*encoder_weights, *height, "deep.inputs=rgbd+", "deep.scales=[1, 0.5, 0.25]"),
        ),
        Row("RGBd+ trained AlexNet", "baselines/patch-cnn", (f"train.epochs={epochs}",)),
    ]


def miniature_tiles(out: Path, *, smoke: bool = False) -> BenchmarkScenes:
    """Write tiles of synthetic cities with a harbour; intensity is the near infrared band, ndsm is made of the DSM only.

    smoke : two small ones instead of four.
    """
    size_px, of_parts = (SMOKE_PX, SMOKE_SEEDS) if smoke else (SIZE_PX, (TRAIN_SEEDS, TEST_SEEDS))
    parts: list[dict[str, dict[str, str]]] = [{}, {}]
    for part, seeds in zip(parts, of_parts, strict=True):
        for seed in seeds:
            folder = out / f"city-{seed}"
            names = ("image", "dsm", "ndsm", "intensity", Scene.label_layer)
            part[f"city-{seed}"] = {name: str(folder / f"{name}.tif") for name in names}
            if not (folder / "ndsm.tif").exists():
                folder.mkdir(parents=True, exist_ok=True)
                write_tile(City(seed, size_px, GSD_M), folder)
    return BenchmarkScenes(*parts)


def write_tile(city: City, folder: Path) -> None:
    """Write the layers of the benchmark of one synthetic city."""
    legend, tags, image = Legend.load("dfc2015"), city.tags, city.image
    write_raster(folder / "image.tif", city.grid, image[:3], tags)
    write_raster(folder / "intensity.tif", city.grid, image[3], tags)
    level = np.percentile(city.dtm, 1)  # synthetic cities have any height; the contest's tiles have that of the sea
    write_raster(folder / "dsm.tif", city.grid, (city.dsm - level).astype(np.float32), tags)
    write_raster(folder / "labels.tif", city.grid, city.labels(legend), tags, legend)
    composite_raster(Layer.open(folder / "dsm.tif"), folder / "ndsm.tif", channels=("ndsm",), overwrite=True)


def contest_tiles(root: Path) -> BenchmarkScenes:
    """Return the contest's training and test tiles, as in its card."""
    card = DatasetCard.load("dfc2015")
    train, test = (
        {tile: {layer: str(path) for layer, path in files.items()} for tile, files in files_of_tile.items()}
        for files_of_tile in (open_dataset(card, root, part=part) for part in ("train", "test"))
    )
    return BenchmarkScenes(train, test)


def usable(row: Row, scenes: BenchmarkScenes) -> bool:
    """Return whether all scenes have the layers that a row uses; prints those that are missing."""
    recipe, _ = load_recipe(row.recipe, overrides=row.overrides)
    needed = {*recipe.model.layers, Scene.label_layer}
    missing = sorted(
        {layer for part in (scenes.train, scenes.test) for one in part.values() for layer in needed - one.keys()}
    )
    if missing:
        print(f"{row.name} is left out: there is no {', '.join(missing)}", file=sys.stderr)
    return not missing


def by_rule(outcome: Outcome, test: Mapping[str, Mapping[str, str]], folder: Path, legend: Legend) -> Outcome:
    """Return the expert's outcome with the F1 of each rule by itself, as in the paper: no rule takes another's pixels."""
    rules = load_run(folder).segmenter
    assert isinstance(rules, ExpertRules), "the row is trained by the recipe of the expert rules"
    counts = {name: ConfusionMatrix(2) for name in legend.names}
    for sources in test.values():
        scene = Scene.open(None, **{layer: sources[layer] for layer in (*rules.inputs.names, Scene.label_layer)})
        for window in blocks(scene.shape, BLOCK_PX):
            sample = scene.read(window)
            known = sample["valid"] & (sample[Scene.label_layer] != VOID)
            for name, mask in rules.masks(rules.to_physical_units(rules.inputs.prepare(sample))).items():
                reference = (sample[Scene.label_layer] == legend.value(name)).astype("uint8")
                counts[name].update(reference, mask.astype("uint8"), known)
    ruled = tuple(name for name in legend.names if counts[name].total)
    f1 = {name: float(counts[name].f1[1]) for name in ruled}
    return replace(outcome, scores={**outcome.scores, "f1": f1}, scored=ruled)


def run_table(
    table: list[Row], scenes: BenchmarkScenes, legend: Legend, out: Path, *, card: DatasetCard, title: str, workers: int
) -> str:
    """Run the rows that the scenes allow, and write table and maps; returns the table as Markdown."""
    outcomes = []
    chosen = [row for row in table if usable(row, scenes)]
    for outcome in run_rows(chosen, scenes, legend, out, workers=workers):
        print(f"{outcome.name}: {outcome.train_seconds + outcome.predict_seconds:.0f} s", file=sys.stderr)
        if outcome.name == EXPERT:
            outcome = by_rule(outcome, scenes.test, out / "expert" / "run", legend)
        outcomes.append(outcome)
    notes = {
        "trained on": ", ".join(scenes.train),
        "tested on": ", ".join(scenes.test),
        "seed": 0,
        "published": "test tiles 3 and 6 of Zeebruges; comparable with ours on the contest's tiles alone",
        "Expert": "each rule by itself",
        "network features": NETWORK_FEATURES,
    }
    contact_sheet(outcomes, scenes.test, legend, out / "maps.png", title=title)
    return write_table(outcomes, legend.names, card.published, out, title=title, notes=notes, rest=True)


def real_tables(arguments: argparse.Namespace) -> None:
    """Run the rows on each real labelled tile by itself, with its own classes; one table and one sheet of maps per tile.

    Writes results.json, which the lineage quotes: tile, row, scores in percent; rows of a results.json that is there are kept.
    """
    out, names, smoke = arguments.out, arguments.rows, arguments.smoke
    before = kept_results(out, smoke=smoke)
    measured, zeros = before.get("tiles", {}), before.get("zero", {})
    every = rows(arguments.encoder_weights, made_up=True, vgg=arguments.vgg)
    check_names(names, [row.name for row in every])
    table = [row for row in every if not names or row.name in names]
    for tile, (legend, folds) in real_places(arguments.samples, out / "tiles", arguments.tiles).items():
        title = title_of(f"DFC2015 rows on the real tile {tile}", smoke=smoke)
        text = TableOf(title, {}, {"network features": NETWORK_FEATURES})
        fitted = tile_rows(tile, table)
        if smoke:
            folds, fitted = crop_folds(folds, out / "smoke" / tile), [shorten(row) for row in fitted]
        zeros[tile] = zeros_of_tile(folds, legend)
        print(tile_table(tile, legend, folds, fitted, out / tile, text))
        print(f"- without training: largest class OA {zeros[tile]['overall_accuracy']:.1f}")
        measured[tile] = measured.get(tile, {}) | tile_figures(out / tile)
        store_results(out, smoke=smoke, zero=zeros, tiles=measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a contest's tiles, or the folder of real samples, see real_tiles.py")
    parser.add_argument("--tiles", nargs="+", help="of samples: names of tiles; all by default")
    parser.add_argument("--encoder-weights", help="safetensors file of a ResNet-18, or imagenet")
    parser.add_argument(
        "--vgg",
        type=Path,
        help="safetensors file of VGG-16 without normalisation, as torchvision or timm name its weights",
    )
    parser.add_argument("--rows", nargs="+", help="names of rows; all by default")
    parser.add_argument("--workers", type=int, default=cores(), help="rows that run side by side")
    add_smoke(parser)
    arguments = parser.parse_args()
    arguments.data, arguments.samples = whole_or_samples(arguments.data)
    log_warnings(smoke=arguments.smoke)
    if arguments.samples:
        real_tables(arguments)
        return
    made_up, smoke = arguments.data is None, arguments.smoke
    every = rows(arguments.encoder_weights, made_up=made_up, vgg=arguments.vgg)
    check_names(arguments.rows, [row.name for row in every])
    tiles = miniature_tiles(arguments.out, smoke=smoke) if made_up else contest_tiles(arguments.data)
    tiles = crop_scenes(tiles, arguments.out / "smoke", SMOKE_PX) if smoke else tiles
    title = title_of("DFC2015 baselines" + (" on the miniature city (SYNTHETIC)" if made_up else ""), smoke=smoke)
    chosen = [row for row in every if not arguments.rows or row.name in arguments.rows]
    chosen = [shorten(row) for row in chosen] if smoke else chosen
    card = DatasetCard.load("dfc2015")
    legend = Legend.load("dfc2015")
    started = time.perf_counter()
    print(run_table(chosen, tiles, legend, arguments.out, card=card, title=title, workers=arguments.workers))
    print(f"all rows: {time.perf_counter() - started:.0f} s on {arguments.workers} processes", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
