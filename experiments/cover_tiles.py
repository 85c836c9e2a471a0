"""Overall accuracy of a network for land cover at four labelled tiles that it did not learn from, and at made-up places.

Usage: python experiments/cover_tiles.py --data SAMPLES --out OUT [--run models/landcover] [--smoke]

SAMPLES has `isprs_potsdam_crop`, `isprs_vaihingen_crop`, `loveda` and `ign_lidar_hd`. Images are averaged to pixels of 0.5 m, labels are those at the middle of a
pixel. LoveDA's fields count as low vegetation, its background is left out. What the points of IGN call ground may be a road, grass or bare: the score counts it as low
vegetation, and a second one accepts all three. Heights of IGN come from the same points as its labels. Infrared of Vaihingen is shown in natural colours.
Made-up places (SYNTHETIC) are the windows on which the training of the network was validated: four of each style, without and with heights.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from places.building_scores import natural_colours
from places.working_grid import metric_grid
from real_tiles import READERS
from script import NOTE, add_smoke, plain_errors, require_all, store_results
from world.cover_network import WorldRecipe
from world.cover_training import HEIGHTS_SHARES, validation_windows

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.files import write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import Run, load_run
from deepnets4eo.training.recipe import resolve

GSD_M = 0.5
GROUND = ("low_vegetation", "impervious", "clutter")
COUNTERPARTS = {  # class of a tile → classes of land cover that it may be; the score counts the first; no others are scored
    "impervious": ("impervious",),
    "building": ("building",),
    "low_vegetation": ("low_vegetation",),
    "tree": ("tree",),
    "car": ("car",),
    "clutter": ("clutter",),
    "road": ("impervious",),
    "water": ("water",),
    "barren": ("clutter",),
    "forest": ("tree",),
    "agriculture": ("low_vegetation",),
    "ground": GROUND,
}
SIDES_M = {"potsdam": 0.05, "vaihingen": 0.09, "loveda": 0.3, "ign": 0.2}
IMAGE, HEIGHTS = "image", "ndsm"
WAYS = {"without_heights": "image", "with_heights": "image and heights"}  # of made-up windows, and how rows are called
Scores = dict[str, dict[str, float]]  # row → column → overall accuracy


@dataclass(frozen=True)
class CoverTile:
    """A tile at 0.5 m: its layers by name, and its labels (h, w) uint8 with the classes of its own legend, void 255."""

    scene: Scene
    labels: NDArray[np.uint8]
    legend: Legend


def read_tile(data: Path, name: str) -> CoverTile:
    """Read a tile of the samples and bring it to 0.5 m."""
    folder, read = READERS[name]
    tile, side_m = read(data / folder), SIDES_M[name]
    native = metric_grid(tile.labels.shape, (side_m, side_m))
    height, width = (round(side * side_m / GSD_M) for side in tile.labels.shape)
    grid = metric_grid((height, width), (GSD_M, GSD_M))
    bands = np.asarray(tile.layers[IMAGE][0], np.uint8)
    layers = {IMAGE: natural_colours(bands) if name == "vaihingen" else bands}
    if HEIGHTS in tile.layers:
        layers[HEIGHTS] = np.asarray(tile.layers[HEIGHTS][0], np.float32)
    opened = {layer: Layer.open(values, grid=native) for layer, values in layers.items()}
    labels = Scene.open(grid, labels=Layer.open(tile.labels, grid=native, labels=True)).read()[Scene.label_layer]
    return CoverTile(Scene(opened, grid), np.asarray(labels, np.uint8), tile.legend)


def accuracies(labels: NDArray[np.uint8], tile: CoverTile, legend: Legend) -> tuple[float, float]:
    """Overall accuracy of a map (h, w) by the first counterpart of each class of the tile, and by any of them."""
    seen = strict = lenient = 0
    for one in tile.legend.classes:
        mapped = labels[(tile.labels == one.value) & (tile.labels != VOID)]
        names = COUNTERPARTS.get(one.name, ())
        if names:
            values = [legend.value(name) for name in names]
            seen += mapped.size
            strict += int((mapped == values[0]).sum())
            lenient += int(np.isin(mapped, values).sum())
    return strict / seen, lenient / seen


def score_tiles(run: Run, data: Path, out: Path, *, smoke: bool) -> tuple[Scores, Scores]:
    """Both scores of all tiles, by the image, and with heights if there are some."""
    strict: Scores = {way: {} for way in WAYS.values()}
    lenient: Scores = {way: {} for way in WAYS.values()}
    for name in list(SIDES_M)[: 1 if smoke else None]:
        tile = read_tile(data, name)
        for way, layers in zip(WAYS.values(), ((IMAGE,), (IMAGE, HEIGHTS)), strict=True):
            if not set(layers) <= set(tile.scene.layers):
                continue
            scene = Scene({layer: tile.scene.layers[layer] for layer in layers}, tile.scene.grid)
            written = predict(run, scene, out / f"{name}-{len(layers)}.tif", PredictOptions(overwrite=True))
            labels = Layer.open(written.paths[Scene.label_layer], labels=True).read()[0][0]
            first, any_of = accuracies(labels, tile, run.legend)
            strict[way][name], lenient[way][name] = round(first, 4), round(any_of, 4)
    return strict, lenient


def score_windows(run: Run, *, smoke: bool) -> dict[str, float]:
    """Overall accuracy at the made-up windows, by the image and with heights."""
    data, scores = resolve(run.recipe, kind=WorldRecipe).data, {}
    for key, way in WAYS.items():
        matrix = ConfusionMatrix(run.legend.num_classes)
        for _, sample in islice(validation_windows(data, HEIGHTS_SHARES[key]), 1 if smoke else None):
            matrix.update(sample["mask"], run.segmenter.predict_classes(sample["image"][None])[0])
        scores[way] = round(float(matrix.overall_accuracy), 4)
    return scores


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each way, a column for each place."""
    names = list(next(iter(scores.values())))
    rows = [
        f"| {way} | {' | '.join(f'{of[name]:.3f}' if name in of else '' for name in names)} |"
        for way, of in scores.items()
    ]
    return "\n".join([f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}", *rows, ""])


def main() -> None:
    """Label, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--run", type=Path, default=Path("models/landcover"))
    add_smoke(parser)
    options = parser.parse_args()
    require_all(options.data, [READERS[name][0] for name in SIDES_M])
    run = load_run(options.run)
    strict, lenient = score_tiles(run, options.data, options.out, smoke=options.smoke)
    for way, accuracy in score_windows(run, smoke=options.smoke).items():
        strict[way]["made-up places (SYNTHETIC)"] = accuracy
    text = "\n".join(
        [*([NOTE] if options.smoke else []), table(strict), "Any counterpart is right:", "", table(lenient)]
    )
    store_results(options.out, smoke=options.smoke, overall_accuracy=strict, any_counterpart=lenient)
    write_text(options.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
