"""Land cover of real labelled tiles by the network in the box, which learnt from made-up places alone; heights where a tile has them.

Usage: python experiments/landcover_real.py --data FOLDER [--runs models/landcover …]
FOLDER holds the samples isprs_potsdam_crop, isprs_vaihingen_crop, loveda and ign_lidar_hd; absent ones are skipped. Each tile is averaged
to pixels of 0.5 m and predicted whole; classes of a tile that land cover does not have are void. Infrared tiles are shown as
`places.building_sites.natural_colours` does. At IGN the heights and the labels come from the same points, so that row is kind to heights.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import real_tiles
from numpy.typing import NDArray
from places.building_sites import natural_colours
from places.working_grid import metric_grid
from script import plain_errors, require_files

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import predict
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.run import load_run

GSD_M = 0.5
SIDES_M = {"potsdam": 0.05, "vaihingen": 0.09, "loveda": 0.3, "ign": 0.2}  # of a pixel as the tiles come
LANDCOVER = Legend.load("landcover")
# names of land cover for classes that tiles call otherwise
SAME = {"road": "impervious", "barren": "clutter", "forest": "tree", "agriculture": "low_vegetation"}


def tile_layers(tile: real_tiles.RealTile, side_m: float) -> tuple[dict[str, Layer], NDArray[np.uint8]]:
    """Image, and heights above ground where there are some, on pixels of 0.5 m; the labels there, (H, W) of `LANDCOVER`."""
    native = metric_grid(tile.labels.shape, (side_m, side_m))
    shape = tuple(round(size * side_m / GSD_M) for size in tile.labels.shape)
    grid = metric_grid((shape[0], shape[1]), (GSD_M, GSD_M))
    bands, names = tile.layers["image"]
    image = natural_colours(bands) if names == real_tiles.IRRG else bands[:3]
    arrays = {"image": np.asarray(image, np.uint8)}
    if "ndsm" in tile.layers:
        arrays["ndsm"] = np.asarray(tile.layers["ndsm"][0], np.float32)
    layers = {name: _on(array, native, grid, "average") for name, array in arrays.items()}
    labels, valid = _on(_lookup(tile.legend)[tile.labels][None], native, grid, "nearest").read()
    return layers, np.where(valid, labels[0], VOID).astype(np.uint8)


def _on(array: NDArray[np.generic], native: Grid, grid: Grid, resampling: str) -> Layer:
    return Layer.open(array, grid=native).on(grid, resampling)


def _lookup(legend: Legend) -> NDArray[np.uint8]:
    """(256,) values of land cover by the values of a tile; void where it has no such class."""
    lookup = legend.remap_to(LANDCOVER, missing="void")
    for one in legend.classes:
        if one.name in SAME:
            lookup[one.value] = LANDCOVER.value(SAME[one.name])
    return lookup


def score(run: Path, layers: Mapping[str, Layer], labels: NDArray[np.uint8]) -> str:
    """Overall accuracy, and F1 of the classes that the tile has."""
    opened = load_run(run)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "labels.tif"
        predict(opened, Scene(dict(layers), layers["image"].grid), out)
        predicted = Layer.open(out).read()[0][0]
    matrix = ConfusionMatrix(LANDCOVER.num_classes).update(labels, predicted)
    known = matrix.matrix.sum(axis=1) > 0
    classes = ", ".join(f"{LANDCOVER.names[index]} {matrix.f1[index]:.2f}" for index in np.flatnonzero(known))
    return f"{matrix.overall_accuracy:.3f} | {classes}"


def main() -> None:
    """Print a table, one row a tile, run and choice of layers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("models/landcover")])
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    require_files(options.data, *(real_tiles.READERS[name][0] for name in SIDES_M))
    print("| tile | run | layers | overall accuracy | F1 |\n|---|---|---|---|---|")
    for name, side_m in SIDES_M.items():
        folder, read = real_tiles.READERS[name]
        if not (options.data / folder).is_dir():
            print(f"{name} is skipped: there is no folder {folder}", file=sys.stderr)
            continue
        layers, labels = tile_layers(read(options.data / folder), side_m)
        for run in options.runs:
            takes_heights = "ndsm" in layers and "ndsm" in load_run(run).inputs.layers
            for used in (["image"], list(layers))[: 1 + takes_heights]:
                row = score(run, {layer: layers[layer] for layer in used}, labels)
                print(f"| {name} | {run.name} | {' + '.join(used)} | {row} |", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
