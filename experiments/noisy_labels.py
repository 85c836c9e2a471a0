"""What trainings take of wrong labels, and how many of these are found again: five ways to learn, seed by seed.

Usage: python experiments/noisy_labels.py --out FOLDER                    (miniature city, SYNTHETIC: 0, 20, 40 % of the labels wrong)
       python experiments/noisy_labels.py --out FOLDER --outlines         (its buildings by spoilt outlines, SYNTHETIC)
       python experiments/noisy_labels.py --out FOLDER --data ROOT     (buildings at Kampala by the outlines of OpenStreetMap)

City: six classes at 0.5 m; cells of 4 m take the next class with the given probability, as of people who mistake one for another; tested on
other cities with true labels. Outlines, of its buildings and of those at Kampala: as they are, a third of them left out, each shifted by 1.5 m,
each 1 m too wide; tested on the outlines as they are. Kampala: 0.3 m, two halves with 4.8 m between, each trained and tested on; people drew
the outlines, whose own errors are in all figures.
Every way has the same network, windows and steps; co-teaching has two networks. Nothing was chosen on the test areas.
"Found" is the share of the wrong labels among the suspects of `suspects`, "right" the share of the suspects that are wrong: of the
network's probabilities on the test areas, whose labels are spoilt likewise for this. Writes a table; finished trainings are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from rasterio.features import rasterize
from score_table import BenchmarkScenes, Row, run_row
from script import add_smoke, plain_errors, require_all, rows_beside, shorten, table_beside, title_of

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.evaluation import rank_wrong_labels
from deepnets4eo.files import write_text
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import ConfusionMatrix, calibration_error
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import LABELS, Layer, Scene
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.label_noise import OutlineKind, spoil_labels, spoil_outlines
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.tiling.scores import PACKED_ONE

NETWORK = {"network": "light-unet"}
SMALL = (
    "model.network=light-unet", "model.encoder=null", "model.encoder_weights=null", "train.losses={cross_entropy: 1.0}", "data.tile_px=64", "data.num_workers=0", "data.windows_per_epoch=96",
    "data.block_px=64", "data.buffer_px=0", "data.val_share=0.05", "train.epochs=6", "train.batch_size=8", "train.optimizer=adamw",
    "train.lr=0.002", "train.encoder_lr_factor=1", "train.weight_decay=0.01", "train.schedule=poly", "train.precision=float32",
    "train.keep=last", "predict.tile_px=320",
)  # fmt: skip
WAYS: dict[str, tuple[str, ...]] = {
    "cross-entropy": (),
    "label smoothing 0.1": ("train.losses={cross_entropy: 0.9, uniform: 0.1}",),
    "bootstrapping 0.8": ("train.losses={cross_entropy: 0.8, entropy: 0.2}",),
    "heteroscedastic, rank 2": ("model.options={head: heteroscedastic, head_options: {rank: 2}}",),
    "co-teaching, 0.2": ("model.network=co-teaching", f"model.options={json.dumps(NETWORK | {'wrong_share': 0.2})}"),
}
TRAIN_CITIES, TEST_CITIES, CITY_PX, CITY_M = (1, 2, 3, 4), (21, 22), 256, 0.5
CELL_PX = 8
COARSER, GAP_PX = 4, 16
OUTLINES: dict[str, tuple[OutlineKind, float]] = {
    "outlines as they are": ("missing", 0.0),
    "a third left out": ("missing", 1 / 3),
    "each shifted by 1.5 m": ("shifted", 1.5),
    "each 1 m too wide": ("wide", 1.0),
}
BUILDING = Legend.from_dict({"name": "building", "classes": [
    {"value": 0, "name": "ground", "color": [170, 170, 170]}, {"value": 1, "name": "building", "color": [204, 51, 17]},
]})  # fmt: skip
COLUMNS = ("OA", "mean F1", "ECE", "found", "right")

Scores = dict[str, float]
Fold = tuple[list[str], list[str]]  # areas that are learnt from and tested on


@dataclass(frozen=True)
class Case:
    """Where is learnt and tested, one or more folds, and how the labels of the test areas are spoilt to be found again."""

    legend: Legend
    folds: Sequence[BenchmarkScenes]
    spoilt_tests: Sequence[Mapping[str, Path]]


def city_cases(out: Path, *, smoke: bool) -> dict[str, Case]:
    """Cases of 0, 20 and 40 % of wrong labels in the made-up city."""
    legend, cases = Legend.load("isprs"), {}
    for share in (0.0, 0.2, 0.4)[: 2 if smoke else None]:
        of_split: list[dict[str, dict[str, str]]] = []
        spoilt_tests: dict[str, Path] = {}
        for seeds in (TRAIN_CITIES, TEST_CITIES):
            scenes = {}
            for seed in seeds[: 1 if smoke else None]:
                city, name = City(seed, CITY_PX, CITY_M), f"city-{seed}"
                truth = legend.to_index()[city.labels(legend)]
                spoilt = spoil_labels(truth, share, seed, num_classes=legend.num_classes, kind="class", cell_px=CELL_PX)
                paths = {kind: out / "city" / f"{name}-{kind}.tif" for kind in ("image", "true", f"spoilt-{share}")}
                for path, data in zip(paths.values(), (city.image[:3], truth, spoilt), strict=True):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    stored = data if data.ndim == 3 else legend.from_index()[data]
                    write_raster(path, city.grid, stored, city.tags, *(() if data.ndim == 3 else (legend,)))
                image, true, wrong = paths.values()
                scenes[name] = {"image": str(image), LABELS: str(wrong if seeds is TRAIN_CITIES else true)}
                if seeds is TEST_CITIES:
                    spoilt_tests[name] = wrong
            of_split.append(scenes)
        cases[f"city, SYNTHETIC, {share:.0%} wrong"] = Case(legend, [BenchmarkScenes(*of_split)], [spoilt_tests])
    return cases


@dataclass(frozen=True)
class Area:
    """An image (3, H, W) with the outlines of its buildings."""

    grid: Grid
    pixels: np.ndarray
    outlines: gpd.GeoDataFrame
    tags: dict[str, str]


def outlined_city(*, smoke: bool) -> tuple[dict[str, Area], list[Fold]]:
    """Areas of the made-up city, and which of them are learnt from and tested on."""
    splits = [[f"city-{seed}" for seed in seeds[: 1 if smoke else None]] for seeds in (TRAIN_CITIES, TEST_CITIES)]
    areas = {}
    for name in (name for split in splits for name in split):
        city = City(int(name.removeprefix("city-")), CITY_PX, CITY_M)
        areas[name] = Area(city.grid, city.image[:3], city.all_buildings, city.tags)
    return areas, [(splits[0], splits[1])]


def outlined_kampala(samples: Path) -> tuple[dict[str, Area], list[Fold]]:
    """Both halves of Kampala, each learnt from and tested on."""
    folder = samples / "fair_kampala"
    require_all(folder, ["block0_image.tif", "labels.geojson"])
    image = Layer.open(folder / "block0_image.tif")
    coarse = image.on(image.grid.zoom_out(COARSER), "average")
    pixels = coarse.read()[0]
    outlines = gpd.read_file(folder / "labels.geojson").to_crs(coarse.grid.crs)
    width = coarse.shape[1]
    halves = {"west": slice(0, width // 2 - GAP_PX // 2), "east": slice(width // 2 + GAP_PX // 2, width)}
    areas = {
        half: Area(coarse.grid[:, columns], pixels[:, :, columns].astype(np.uint8), outlines, {})
        for half, columns in halves.items()
    }
    return areas, [(["west"], ["east"]), (["east"], ["west"])]


def outline_cases(site: str, areas: Mapping[str, Area], folds: Sequence[Fold], out: Path) -> dict[str, Case]:
    """Cases of outlines as they are, and of each kind of error."""
    out.mkdir(parents=True, exist_ok=True)
    for name, area in areas.items():
        write_raster(out / f"{name}.tif", area.grid, np.ascontiguousarray(area.pixels), area.tags)
        draw(area, area.outlines, out / f"{name}-true.tif")

    def sources(names: Sequence[str], labels: str) -> dict[str, dict[str, str]]:
        return {name: {"image": str(out / f"{name}.tif"), LABELS: str(out / f"{name}-{labels}.tif")} for name in names}

    cases: dict[str, Case] = {}
    for errors, (kind, strength) in OUTLINES.items():
        suffix = errors.replace(" ", "-")
        for name, area in areas.items():
            draw(area, spoil_outlines(area.outlines, kind, strength, seed=0), out / f"{name}-{suffix}.tif")
        scenes = [BenchmarkScenes(sources(learnt, suffix), sources(tested, "true")) for learnt, tested in folds]
        tests = [{name: out / f"{name}-{suffix}.tif" for name in tested} for _, tested in folds]
        cases[f"{site}, {errors}"] = Case(BUILDING, scenes, tests)
    return cases


def draw(area: Area, outlines: gpd.GeoDataFrame, path: Path) -> None:
    """Write labels of buildings and ground."""
    grid, shapes = area.grid, [(outline, 1) for outline in outlines.geometry]
    labels = rasterize(shapes, grid.shape, transform=grid.affine, dtype="uint8")
    write_raster(path, grid, labels, area.tags, BUILDING)


def measure(case: Case, way: str, seed: int, out: Path, *, smoke: bool) -> Scores:
    """Scores in percent of one way to learn, folds as one."""
    row = Row(f"{way}, seed {seed}", "unet-resnet34", (*SMALL, *WAYS[way], f"train.seed={seed}"))
    row = shorten(row) if smoke else row
    probabilities: list[np.ndarray] = []
    truth: list[np.ndarray] = []
    spoilt: list[np.ndarray] = []
    for number, (scenes, tests) in enumerate(zip(case.folds, case.spoilt_tests, strict=True)):
        outcome = run_row(row, scenes, case.legend, out / f"fold-{number}")
        for name, path in outcome.maps.items():
            scores = path.with_name(f"{name}-probabilities.tif")
            scene = Scene.open(None, image=scenes.test[name]["image"])
            predict(
                load_run(path.parent / "run"), scene, path.with_name(f"{name}-labels.tif"),
                PredictOptions(probabilities=scores, overwrite=True),
            )  # fmt: skip
            probabilities.append(Layer.open(scores).read()[0].reshape(case.legend.num_classes, -1).T / PACKED_ONE)
            to_index = case.legend.to_index()
            for labels, source in ((truth, scenes.test[name][LABELS]), (spoilt, tests[name])):
                labels.append(to_index[Layer.open(source, labels=True).read()[0][0]].ravel())
    return _scores(*(np.concatenate(parts) for parts in (probabilities, truth, spoilt)))


def _scores(probabilities: np.ndarray, truth: np.ndarray, spoilt: np.ndarray) -> Scores:
    known = truth != VOID
    probabilities, truth, spoilt = probabilities[known], truth[known], spoilt[known]
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    best = probabilities.argmax(axis=1)
    present = np.unique(truth)
    matrix = ConfusionMatrix(probabilities.shape[1]).update(truth, best.astype(np.uint8))
    wrong = spoilt != truth
    suspected = np.zeros(len(truth), bool)
    suspected[rank_wrong_labels(probabilities, spoilt).order] = True
    both = (suspected & wrong).sum()
    values = (
        matrix.overall_accuracy, np.mean(matrix.f1[present]), calibration_error(probabilities.max(axis=1), best == truth),
        both / wrong.sum() if wrong.any() else np.nan, both / suspected.sum() if wrong.any() else np.nan,
    )  # fmt: skip
    return {name: 100 * float(value) for name, value in zip(COLUMNS, values, strict=True)}


def table_of(scores: Mapping[str, Mapping[str, Sequence[Scores]]], title: str) -> str:
    """Mean ± sd over the seeds, and the difference to cross-entropy."""
    rows = [[case, *row] for case, of_way in scores.items() for row in rows_beside(of_way, "cross-entropy", COLUMNS)]
    return table_beside(title, "cross-entropy", COLUMNS, rows, "labels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--outlines", action="store_true", help="learn the city's buildings by spoilt outlines")
    parser.add_argument("--data", type=Path, help="folder of real samples, with fair_kampala")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    smoke, out = arguments.smoke, arguments.out
    if arguments.data:
        table, cases = "kampala.md", outline_cases("Kampala", *outlined_kampala(arguments.data), out / "kampala")
    elif arguments.outlines:
        table, cases = "outlines.md", outline_cases("city, SYNTHETIC", *outlined_city(smoke=smoke), out / "outlines")
    else:
        table, cases = "city.md", city_cases(out, smoke=smoke)
    scores: dict[str, dict[str, list[Scores]]] = {}
    for number, (name, case) in enumerate(cases.items()):
        for way in WAYS:
            for seed in arguments.seeds[: 1 if smoke else None]:
                one = measure(case, way, seed, out / f"case-{number}-{len(cases[name].folds)}", smoke=smoke)
                scores.setdefault(name, {}).setdefault(way, []).append(one)
        text = table_of(scores, title_of("Wrong labels", smoke=smoke))
        write_text(out / table, text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
