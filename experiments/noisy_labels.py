"""What trainings take of wrong labels, and how many of these are found again: a deterministic, a heteroscedastic and a cleaned way, seed by seed.

Usage: python experiments/noisy_labels.py --data SAMPLES --out OUT [--sites kampala banepa] [--seeds 0 1 2]  (outlines of OpenStreetMap over drone images)
       python experiments/noisy_labels.py --out OUT                           (buildings of the miniature city, SYNTHETIC)

Labels are buildings by their outlines: as they are, a third of them left out (one class errs, the other does not), each shifted by 1.5 m, each 1 m too wide; tested on the outlines
as they are, whose own errors are in all figures. Two halves of a site with 16 pixels between, each trained and tested on. Cleaned: a network that learnt from the other half
says which labels are probably wrong (confident learning, `evaluation.rank_wrong_labels`); these become void, and the training begins anew. Heteroscedastic: scores with noise of low rank
(Collier et al. 2020, 2021), whose figures are ImageNet's and not comparable. "Found" is the share of the wrong labels among the suspects, "right" the share of suspects that
are wrong. All ways have the same network, windows and steps; nothing was chosen on the test areas. Finished trainings are not run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.features import rasterize
from score_table import BenchmarkScenes, Outcome, Row, run_row
from script import add_smoke, plain_errors, require_all, rows_beside, shorten, store_results, table_beside, title_of
from shapely.affinity import translate
from zero import class_counts, largest_class

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.evaluation import rank_wrong_labels
from deepnets4eo.files import write_text
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import ConfusionMatrix, calibration_error
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.tiling import Packed

SMALL = (
    "model.network=light-unet", "model.encoder=null", "model.encoder_weights=null", "train.losses={cross_entropy: 1.0}", "data.tile_px=64", "data.num_workers=0", "data.windows_per_epoch=96",
    "data.val_share=0", "train.epochs=34", "train.batch_size=8", "train.optimizer=adamw", "train.lr=0.002", "train.encoder_lr_factor=1",
    "train.weight_decay=0.01", "train.schedule=poly", "train.precision=float32", "train.keep=last", "predict.tile_px=320",
)  # fmt: skip
PLAIN, CLEANED = "deterministic", "cleaned"
WAYS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "heteroscedastic, rank 2": ("model.options={head: heteroscedastic, head_options: {rank: 2}}",),
    CLEANED: (),
}
ERRORS = ("none", "missing", "shifted", "wide")
LEFT_OUT, SHIFT_M, WIDE_M = 1 / 3, 1.5, 1.0
SITES = {  # image, outlines, and how many of its pixels make one
    "kampala": ("fair_kampala/block0_image.tif", "fair_kampala/labels.geojson", 4),
    "banepa": ("oam_banepa/banepa_1.tif", "oam_banepa/banepa_1_buildings.geojson", 4),
}
GAP_PX = 16
BUILDING = Legend.from_dict({"name": "building", "classes": [
    {"value": 0, "name": "ground", "color": [170, 170, 170]}, {"value": 1, "name": "building", "color": [204, 51, 17]},
]})  # fmt: skip
COLUMNS = ("mean F1", "OA", "ECE", "found", "right")
Scores = dict[str, float]


def spoil(outlines: gpd.GeoDataFrame, errors: str, seed: int = 0) -> gpd.GeoDataFrame:
    """Outlines in metres with an error of `ERRORS`."""
    rng = np.random.default_rng(seed)
    if errors == "missing":
        return outlines[rng.random(len(outlines)) >= LEFT_OUT]
    if errors == "wide":
        return outlines.set_geometry(outlines.buffer(WIDE_M, join_style="mitre"))
    if errors == "shifted":
        angles = rng.uniform(0, 2 * np.pi, len(outlines))
        moved = [
            translate(outline, SHIFT_M * np.cos(angle), SHIFT_M * np.sin(angle))
            for outline, angle in zip(outlines.geometry, angles, strict=True)
        ]
        return outlines.set_geometry(moved, crs=outlines.crs)
    return outlines


@dataclass(frozen=True)
class Area:
    """An image (3, H, W) with the outlines of its buildings, and its files by name."""

    grid: Grid
    outlines: gpd.GeoDataFrame
    image: Path

    def draw(self, errors: str) -> Path:
        """The file of labels with these errors."""
        path = self.image.with_name(f"{self.image.stem}-{errors}.tif")
        if not path.exists():
            shapes = [(outline, 1) for outline in spoil(self.outlines, errors).geometry if not outline.is_empty]
            labels = rasterize(shapes, self.grid.shape, transform=self.grid.affine, dtype="uint8")
            write_raster(path, self.grid, labels, {}, BUILDING)
        return path


def areas_of(site: str, samples: Path | None, out: Path, *, smoke: bool) -> tuple[Area, Area]:
    """Two areas of a site: halves of an image, or two cities (SYNTHETIC)."""
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    if samples is None:
        for seed in (1, 21):
            city = City(seed, 128 if smoke else 256, 0.5)
            parts.append((city.grid, city.image[:3], city.all_buildings))
    else:
        image_file, outline_file, coarser = SITES[site]
        require_all(samples, [image_file, outline_file])
        image = Layer.open(samples / image_file)
        coarse = image.on(image.grid.zoom_out(coarser), "average")
        pixels = coarse.read()[0][:3].astype(np.uint8)
        outlines = gpd.read_file(samples / outline_file).to_crs(coarse.grid.crs)
        middle = coarse.shape[1] // 2
        for columns in (slice(0, middle - GAP_PX // 2), slice(middle + GAP_PX // 2, coarse.shape[1])):
            parts.append((coarse.grid[:, columns], np.ascontiguousarray(pixels[:, :, columns]), outlines))
    areas = []
    for number, (grid, pixels, outlines) in enumerate(parts):
        areas.append(Area(grid, outlines, out / f"area-{number}.tif"))
        write_raster(areas[-1].image, grid, pixels, {})
    return areas[0], areas[1]


def train_row(way: str, seed: int, learnt: Area, labels: Path, tested: Area, out: Path, *, smoke: bool) -> Outcome:
    """One training from an area's labels, and the other area's map."""
    row = Row(f"{way}, seed {seed}", "unet-resnet34", (*SMALL, *WAYS[way], f"train.seed={seed}"))
    sources = {"image": str(learnt.image), Scene.label_layer: str(labels)}
    test = {"tested": {"image": str(tested.image), Scene.label_layer: str(tested.draw("none"))}}
    scenes = BenchmarkScenes({"learnt": sources}, test)
    return run_row(shorten(row) if smoke else row, scenes, BUILDING, out)


def probabilities(outcome: Outcome, area: Area) -> np.ndarray:
    """(N, 2) of each pixel of an area, by the network of an outcome."""
    path = outcome.maps["tested"].with_name("probabilities.tif")
    run, scene = load_run(outcome.maps["tested"].parent / "run"), Scene.open(image=str(area.image))
    predict(run, scene, path.with_name("labels.tif"), PredictOptions(probabilities=path, overwrite=True))
    packed = Layer.open(path).read()[0].reshape(BUILDING.num_classes, -1).T / Packed.one
    return packed / packed.sum(axis=1, keepdims=True)


def read(path: Path) -> ByteImage:
    """(H, W) classes of a file of labels."""
    return BUILDING.to_index()[Layer.open(path, labels=True).read()[0][0]]


def without_suspects(area: Area, labels: Path, outcome: Outcome, path: Path) -> Path:
    """The labels of an area without those that the network of the other area suspects."""
    values = read(labels)
    suspects = rank_wrong_labels(probabilities(outcome, area), values.ravel()).order
    kept = values.copy()
    kept.flat[suspects] = VOID
    write_raster(path, area.grid, kept, {}, BUILDING)
    return path


def measure(areas: tuple[Area, Area], errors: str, seed: int, out: Path, *, smoke: bool) -> dict[str, Scores]:
    """Way → scores in percent, both folds as one."""
    folds = [areas, areas[::-1]]
    parts: dict[str, list[tuple[np.ndarray, ByteImage, ByteImage]]] = {way: [] for way in WAYS}
    plain = [
        train_row(PLAIN, seed, learnt, learnt.draw(errors), tested, out / f"fold-{number}", smoke=smoke)
        for number, (learnt, tested) in enumerate(folds)
    ]
    for way, of_way in parts.items():
        for number, (learnt, tested) in enumerate(folds):
            outcome, folder = plain[number], out / f"fold-{number}"
            if way == CLEANED:
                labels = without_suspects(
                    learnt, learnt.draw(errors), plain[1 - number], folder / f"cleaned-{seed}.tif"
                )
                outcome = train_row(way, seed, learnt, labels, tested, folder, smoke=smoke)
            elif way != PLAIN:
                outcome = train_row(way, seed, learnt, learnt.draw(errors), tested, folder, smoke=smoke)
            of_way.append((probabilities(outcome, tested), read(tested.draw("none")), read(tested.draw(errors))))
    return {way: scores_of(of_way) for way, of_way in parts.items()}


def scores_of(parts: list[tuple[np.ndarray, ByteImage, ByteImage]]) -> Scores:
    """Scores of probabilities, true and spoilt labels of all folds."""
    by_class = np.concatenate([one[0] for one in parts])
    truth, spoilt = (np.concatenate([one[part].ravel() for one in parts]) for part in (1, 2))
    best, wrong = by_class.argmax(axis=1), spoilt != truth
    matrix = ConfusionMatrix(BUILDING.num_classes).update(truth, best.astype(np.uint8))
    suspected = np.zeros(len(truth), bool)
    suspected[rank_wrong_labels(by_class, spoilt).order] = True
    both = (suspected & wrong).sum()
    values = (
        np.mean(matrix.f1), matrix.overall_accuracy, calibration_error(by_class.max(axis=1), best == truth),
        both / wrong.sum() if wrong.any() else np.nan, both / suspected.sum() if wrong.any() else np.nan,
    )  # fmt: skip
    return {name: 100 * float(value) for name, value in zip(COLUMNS, values, strict=True)}


def table_of(scores: Mapping[str, Mapping[str, list[Scores]]], title: str) -> str:
    """Mean ± deviation over the seeds, and the difference to the deterministic way."""
    rows = [[case, *row] for case, of_way in scores.items() for row in rows_beside(of_way, PLAIN, COLUMNS)]
    return table_beside(title, PLAIN, COLUMNS, rows, "labels")


def stored_scores(scores: Mapping[str, Mapping[str, list[Scores]]]) -> dict[str, Any]:
    """Return the scores by case, way and name, one per seed; those without a value are left out."""
    return {
        case: {
            way: {name: [round(one[name], 2) for one in seeds] for name in COLUMNS if np.isfinite(seeds[0][name])}
            for way, seeds in of_way.items()
        }
        for case, of_way in scores.items()
    }


def main() -> None:
    """Train all ways on all errors, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of real samples, with fair_kampala and oam_banepa")
    parser.add_argument("--sites", nargs="+", choices=list(SITES), default=["kampala"])
    parser.add_argument("--errors", nargs="+", choices=ERRORS, default=list(ERRORS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    smoke, scores = arguments.smoke, {}
    zeros: dict[str, Any] = {}
    errors, seeds = (arguments.errors[:2], arguments.seeds[:1]) if smoke else (arguments.errors, arguments.seeds)
    for site in arguments.sites if arguments.data else ["city (SYNTHETIC)"]:
        out = arguments.out / site.partition(" ")[0]
        areas = areas_of(site, arguments.data, out / "areas", smoke=smoke)
        for kind in errors:
            of_way: dict[str, list[Scores]] = {way: [] for way in WAYS}
            for seed in seeds:
                for way, one in measure(areas, kind, seed, out / kind, smoke=smoke).items():
                    of_way[way].append(one)
            scores[f"{site}, errors: {kind}"] = of_way
            zeros[site] = largest_class(class_counts((str(one.draw("none")) for one in areas), BUILDING)).to_dict()
            text = table_of(scores, title_of("Wrong labels", smoke=smoke))
            write_text(arguments.out / "table.md", text)
            store_results(arguments.out, smoke=smoke, zero=zeros, scores=stored_scores(scores))
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
