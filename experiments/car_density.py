"""Where cars stand: counts a cell from a label map beside those of the reference, with their error, on real crops (segment before detect).

Usage: python experiments/car_density.py --data SAMPLES --out OUT [--tiles vaihingen potsdam] [--recipe baselines/random-forest] [--steps 200] [--cell-m 5] [--seeds 0] [--smoke]

A network learns from one half of a crop and labels the other, both ways; cars are single objects of its map (`deepnets4eo objects`), counted by their centre in cells. The table has
the cars of the reference and of the map, the mean absolute error of a cell, its bias, and the correlation over all cells. Pictures: density-TILE-HALF.png. The published work (Audebert, Le Saux,
Lefèvre, Remote Sensing 2017) maps the repartition and density of vehicles in Potsdam and Christchurch from SegNet, F1 of cars 95.1 on Potsdam; its maps have no figures. Crops of 512
pixels hold some ten cars: their error says how the map is made, not how good a method is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from matplotlib.figure import Figure
from real_tiles import tile_folds
from score_table import BenchmarkScenes, Row, run_row
from script import add_smoke, plain_errors, shorten, store_results, title_of
from zero import plain

from deepnets4eo.cards import Legend
from deepnets4eo.files import atomic_write, write_text
from deepnets4eo.grid import Grid
from deepnets4eo.objects import ObjectRules, density_grid, density_map, extract_objects
from deepnets4eo.rasters import Layer, Scene

GSD_M = {"vaihingen": 0.09, "potsdam": 0.05}
MIN_M2, OPENING_M = 1.0, 0.15  # of a car, of which shadows and eaves leave a part
HECTARE_M2 = 10_000.0
RULES = ObjectRules(opening_m=OPENING_M, min_area_m2=MIN_M2)


def cars_of(path: str | Path, legend: Legend, gsd_m: float) -> tuple[gpd.GeoDataFrame, Grid]:
    """Single cars of a label raster, and its grid in metres."""
    layer = Layer.open(path, labels=True).with_gsd(gsd_m)
    return extract_objects(layer, "car", legend, RULES), layer.grid


def counts_of(cars: gpd.GeoDataFrame, cells: Grid, cell_m: float) -> np.ndarray:
    """Cars a cell (h, w)."""
    return density_map(cars, cells) * cell_m**2 / HECTARE_M2


def draw(image: np.ndarray, masks: list[np.ndarray], counts: list[np.ndarray], title: str) -> Figure:
    """An image (3, H, W) with the outlines of its cars, and the cars a cell; of the map, then of the reference."""
    figure = Figure(figsize=(11, 2.3), layout="constrained")
    first, *others = figure.subplots(1, 3)
    first.imshow(image.transpose(1, 2, 0).astype(np.uint8))
    for mask, colour in zip(masks, ("darkorange", "tab:blue"), strict=True):
        if mask.any():
            first.contour(mask, levels=[0.5], colors=colour, linewidths=0.9)
    first.set_title(title, fontsize="small")
    for axis, values, whose in zip(others, counts, ("map (orange)", "reference (blue)"), strict=True):
        axis.imshow(values, vmin=0, vmax=max(2.0, *(float(one.max()) for one in counts)), cmap="YlOrRd")
        axis.set_title(f"cars a cell, {whose}: {values.sum():.0f}", fontsize="small")
        for row, col in np.argwhere(values > 0):
            axis.text(col, row, f"{values[row, col]:.0f}", ha="center", va="center", fontsize="x-small")
    for axis in (first, *others):
        axis.set(xticks=[], yticks=[])
    return figure


def half_of(
    name: str, fold: BenchmarkScenes, legend: Legend, row: Row, out: Path, cell_m: float, *, outlines: bool
) -> list[np.ndarray]:
    """Counts a cell of the map and of the reference of a tested half, and its map; their picture is written, with outlines alone or over the image."""
    tile, gsd_m = name.partition("-")[0], GSD_M[name.partition("-")[0]]
    outcome = run_row(row, fold, legend, out / name)
    (key, sources), *_ = fold.test.items()
    counts, masks = [], []
    for path in (outcome.maps[key], sources[Scene.label_layer]):
        cars, grid = cars_of(path, legend, gsd_m)
        counts.append(counts_of(cars, density_grid(grid, cell_m), cell_m))
        masks.append(legend.to_index()[Layer.open(path, labels=True).read()[0][0]] == legend.index("car"))
    image = Layer.open(sources["image"]).read()[0][:3]
    title = f"{tile}, half that was not learnt from; {Path(row.recipe).name}"
    figure = draw(np.full_like(image, 255) if outlines else image, masks, counts, title)
    with atomic_write(out / f"density-{name}.png") as partial:
        figure.savefig(partial, dpi=110, format="png")
    return [*counts, Layer.open(outcome.maps[key], labels=True).read()[0][0]]


def main() -> None:
    """Label both halves of each crop, count cars, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", nargs="+", choices=list(GSD_M), default=["vaihingen"])
    parser.add_argument("--recipe", default="unet-resnet34", help="or baselines/NAME, which needs no steps")
    parser.add_argument("--steps", type=int, default=200, help="of eight windows")
    parser.add_argument("--cell-m", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--outlines", action="store_true", help="pictures without the image, whose terms may allow research alone"
    )
    add_smoke(parser)
    options = parser.parse_args()
    head = ["crop", "cars, reference", "cars, map", "mean absolute error a cell", "bias a cell", "correlation"]
    lines = [
        f"## {title_of(f'Cars a cell of {options.cell_m:g} m', smoke=options.smoke)}",
        "",
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * 5}",
    ]
    zeros: dict[str, dict[str, Any]] = {}
    first = np.zeros(0)  # map of the first seed
    measured: dict[str, dict[str, list[float]]] = {}  # crop -> figure -> one per seed
    for tile, (legend, folds) in tile_folds(options.data, options.out / "tiles", options.tiles).items():
        for seed in options.seeds[: 1 if options.smoke else None]:
            keys: tuple[str, ...] = ("data.tile_px=128", "data.val_share=0", "data.num_workers=0", f"data.windows_per_epoch={8 * options.steps // 5}", "train.epochs=5",
                    "train.batch_size=8", "model.encoder=resnet18", "train.keep=last", f"train.seed={seed}")  # fmt: skip
            if (recipe := options.recipe).startswith("baselines/"):
                keys = ("model.layers=[image]", f"train.seed={seed}")
            row = Row(f"{Path(recipe).name}, {options.steps} steps, seed {seed}", recipe, keys)
            row = shorten(row) if options.smoke else row
            halves = [
                half_of(f"{tile}-{number}", fold, legend, row, options.out, options.cell_m, outlines=options.outlines)
                for number, fold in enumerate(folds, 1)
            ]
            ours, truth, labels = (np.concatenate([half[part].ravel() for half in halves]) for part in (0, 1, 2))
            first = labels if seed == options.seeds[0] else first
            known = ours.std() > 0 and truth.std() > 0
            figures = (
                abs(ours - truth).mean(),
                (ours - truth).mean(),
                np.corrcoef(ours, truth)[0, 1] if known else np.nan,
            )
            other = 100 * (labels != first).mean()  # of whole cars the seed may change none, of pixels it does
            zeros[tile] = plain("no car anywhere", mean_absolute_error=float(truth.mean())).to_dict()
            names = (
                "cars",
                "cars_of_map",
                "mean_absolute_error",
                "bias",
                "correlation",
                "pixels unlike the first seed, %",
            )
            for name, value in zip(names, (truth.sum(), ours.sum(), *figures, other), strict=True):
                measured.setdefault(tile, {}).setdefault(name, []).append(round(float(value), 4))
            cells = [f"{truth.sum():.0f}", f"{ours.sum():.0f}", *(f"{value:.3f}" for value in figures)]
            lines.append(f"| {tile}, seed {seed} | {' | '.join(cells)} |")
    store_results(
        options.out, smoke=options.smoke, recipe=options.recipe, cell_m=options.cell_m, zero=zeros, crops=measured
    )
    print(write_text(options.out / "table.md", "\n".join([*lines, ""])).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
