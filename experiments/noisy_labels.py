"""What trainings take of wrong labels, and how many of these are found again: five ways to learn, seed by seed.

Usage: python experiments/noisy_labels.py --out FOLDER                    (miniature city, SYNTHETIC: 0, 20, 40 % of the labels wrong)
       python experiments/noisy_labels.py --out FOLDER --samples ROOT     (buildings at Kampala by the outlines of OpenStreetMap)

City: six classes at 0.5 m; cells of 4 m take the next class with the given probability, as of people who mistake one for another; tested on
other cities with true labels. Kampala: 0.3 m, two halves with 4.8 m between, each trained and tested on; outlines as they are, a share of them
left out, or each shifted by 1.5 m; tested on the outlines as they are, which people drew: their own errors are in all figures.
Every way has the same network, windows and steps; co-teaching has two networks. Nothing was chosen on the test areas.
"Found" is the share of the wrong labels among the suspects of `evaluate --wrong-labels`, "right" the share of the suspects that are wrong: of the
network's probabilities on the test areas, whose labels are spoilt likewise for this. Writes table.md; finished trainings are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from rasterio.features import rasterize
from script import add_smoke, plain_errors, require_all, shorten, title_of

from deepnets4eo.benchmark import BenchmarkScenes, Row, run_row
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.evaluation import rank_wrong_labels, spread
from deepnets4eo.files import write_text
from deepnets4eo.metrics import ConfusionMatrix, calibration_error
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import LABELS, Layer, Scene
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.label_noise import spoil_labels, spoil_outlines
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
COLUMNS = ("OA", "mean F1", "ECE", "found", "right")

Scores = dict[str, float]
Spoil = Callable[[np.ndarray, int], np.ndarray]


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


def kampala_cases(samples: Path, out: Path) -> dict[str, Case]:
    """Cases of outlines as they are, a third left out, and each shifted."""
    folder = samples / "fair_kampala"
    require_all(folder, ["block0_image.tif", "labels.geojson"])
    image = Layer.open(folder / "block0_image.tif")
    coarse = image.on(image.grid.zoom_out(COARSER), "average")
    pixels = coarse.read()[0]
    outlines = gpd.read_file(folder / "labels.geojson").to_crs(coarse.grid.crs)
    cases: dict[str, Case] = {}
    legend = Legend.from_dict({"name": "building", "classes": [
        {"value": 0, "name": "ground", "color": [170, 170, 170]}, {"value": 1, "name": "building", "color": [204, 51, 17]},
    ]})  # fmt: skip
    height, width = coarse.shape
    halves = {"west": slice(0, width // 2 - GAP_PX // 2), "east": slice(width // 2 + GAP_PX // 2, width)}

    def draw(frame: gpd.GeoDataFrame) -> np.ndarray:
        shapes = [(shape, 1) for shape in frame.geometry]
        return rasterize(shapes, (height, width), transform=coarse.grid.affine, dtype="uint8")

    spoilt = {
        "outlines as they are": outlines,
        "a third left out": spoil_outlines(outlines, "missing", 1 / 3, 0),
        "each shifted by 1.5 m": spoil_outlines(outlines, "shifted", 1.5, 0),
    }
    for name, frame in spoilt.items():
        paths: dict[str, dict[str, str]] = {}
        for half, columns in halves.items():
            grid = coarse.grid[:, columns]
            of_half = {
                "image": out / "kampala" / f"{half}.tif", LABELS: out / "kampala" / f"{half}-{name.replace(' ', '-')}.tif",
                "true": out / "kampala" / f"{half}-true.tif",
            }  # fmt: skip
            of_half["image"].parent.mkdir(parents=True, exist_ok=True)
            write_raster(of_half["image"], grid, np.ascontiguousarray(pixels[:, :, columns]).astype(np.uint8), {})
            for kind, table in ((LABELS, frame), ("true", outlines)):
                write_raster(of_half[kind], grid, draw(table)[:, columns].copy(), {}, legend)
            paths[half] = {kind: str(path) for kind, path in of_half.items()}
        folds, tests = [], []
        for train, test in (("west", "east"), ("east", "west")):
            learnt = {"image": paths[train]["image"], LABELS: paths[train][LABELS]}
            folds.append(
                BenchmarkScenes({train: learnt}, {test: {"image": paths[test]["image"], LABELS: paths[test]["true"]}})
            )
            tests.append({test: Path(paths[test][LABELS])})
        cases[f"Kampala, {name}"] = Case(legend, folds, tests)
    return cases


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
    """Mean ± sd over the seeds, and the difference in mean F1 to cross-entropy seed by seed."""
    head = ["labels", "way", *COLUMNS, "mean F1 − cross-entropy"]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for case, of_way in scores.items():
        plain = of_way["cross-entropy"]
        for way, values in of_way.items():
            gains = [one["mean F1"] - other["mean F1"] for one, other in zip(values, plain, strict=True)]
            cells = [spread([one[column] for one in values]) for column in COLUMNS]
            lines.append([case, way, *cells, "" if way == "cross-entropy" else spread(gains, sign="+")])
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=Path, help="folder of real samples, with fair_kampala")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    smoke, out = arguments.smoke, arguments.out
    cases = kampala_cases(arguments.samples, out) if arguments.samples else city_cases(out, smoke=smoke)
    scores: dict[str, dict[str, list[Scores]]] = {}
    for number, (name, case) in enumerate(cases.items()):
        for way in WAYS:
            for seed in arguments.seeds[: 1 if smoke else None]:
                one = measure(case, way, seed, out / f"case-{number}-{len(cases[name].folds)}", smoke=smoke)
                scores.setdefault(name, {}).setdefault(way, []).append(one)
        text = table_of(scores, title_of("Wrong labels", smoke=smoke))
        write_text(out / ("kampala.md" if arguments.samples else "city.md"), text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
