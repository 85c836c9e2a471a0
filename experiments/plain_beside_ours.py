"""Recipes beside the plain way to do the same: a pipeline of scikit-learn on the same pixels or points.

Usage: python experiments/plain_beside_ours.py --data ROOT --out FOLDER [--names houston_crop …] [--methods svm …]
       [--points] [--tiles vaihingen … [--recipes som …]] [--smoke]
ROOT is the folder of samples, with houston2018_crop, salinasA, jasper_ridge, enmap_potsdam and, for --points, ign_lidar_hd;
for --tiles those of `real_tiles.py`.

Spectra: recipes hyperspectral/NAME on folds of blocks with a buffer, three seeds, as in `hyperspectral_zoo.py`; the plain pipeline
learns from the same pixels as they are in the file, and is tested on the same. A network stands beside the plain support vector machine.
Points: points/NAME as in `aerial_lidar.py`, every tile tested on once; the plain way is eigenvalues of the 10, 20 and 50 nearest points, the
height above the lowest point around, and 100 extremely randomised trees on 60,000 points at random.
Tiles: baselines/NAME on both halves of real tiles; the plain way is a forest of 200 trees on the bands and their Gaussians of the same
layers, 20,000 pixels at random.
What is more than a point below the plain way is marked. Writes table.md; what is finished is not run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import aerial_lidar
import numpy as np
from aerial_lidar import FOREST, Fold, Remembering, Row, class_indices, fit_features
from dfc2015_baselines import rows as contest_rows
from hyperspectral_cubes import SAMPLES, RealCube, sample_cubes
from hyperspectral_zoo import DISJOINT, Trial, make_recipe, run_one, split_masks
from numpy.typing import NDArray
from real_tiles import Folds, tile_folds, tile_rows
from score_table import BenchmarkScenes, Row as BenchmarkRow, run_possible
from script import add_smoke, crop_folds, plain_errors, require_files, store_results, title_of

from deepnets4eo.arrays import Vectors
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.points import PointCloud
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.training import load_recipe

MARGIN = 1.0  # points of overall accuracy
METHODS = ("svm", "emp-svm", "random-forest", "knn", "lda", "sam")
POINTS = "ign_lidar_hd"
NEAREST, LOW_M, DRAWN, TREES = (10, 20, 50), 10.0, 60_000, 100
TILES = ("vaihingen", "potsdam", "vegas", "ign")
SIGMAS, PIXELS = (1, 2, 4, 8), 20_000
FOREST_WORDS = "bands and Gaussians, RandomForestClassifier(200)"
MORE = ("random-forest", "gradient-boosting")
HEAD = "| data | recipe | ours: overall accuracy | the plain way | plain: overall accuracy | difference |\n|---|---|---:|---|---:|---:|\n"

Pixels = tuple[NDArray[np.float32], NDArray[np.uint8]]


def plain_pipelines() -> dict[str, tuple[str, Callable[[], Any]]]:
    """Recipe → the plain way in words, and as a pipeline."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import SVC

    machine = ("StandardScaler, SVC(C=100)", lambda: make_pipeline(StandardScaler(), SVC(C=100)))
    return {
        "": machine,
        "random-forest": ("RandomForestClassifier(200)", lambda: RandomForestClassifier(200, random_state=0, n_jobs=-1)),
        "knn": ("StandardScaler, KNeighborsClassifier(5)", lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(5))),
        "lda": ("LinearDiscriminantAnalysis()", LinearDiscriminantAnalysis),
        "sam": ("Normalizer, NearestCentroid()", lambda: make_pipeline(Normalizer(), NearestCentroid())),
    }  # fmt: skip


@cache
def pixels_of(cube_name: str, seed: int) -> tuple[Pixels, Pixels]:
    """Spectra (n, C) and label values (n,) that are learnt from, and those that are tested on."""
    cube = CUBES[cube_name]
    parts: list[list[Pixels]] = [[], []]
    masks = split_masks(make_recipe(cube, METHODS[0], DISJOINT, seed))
    for sources, both in zip(cube.scenes.values(), masks, strict=True):
        image = Layer.open(sources["image"], bands=cube.bands).read()[0].astype(np.float32)
        labels = Layer.open(sources[Scene.label_layer], labels=True).read()[0][0]
        for part, mask in zip(parts, both, strict=True):
            part.append((image[:, mask].T, labels[mask]))
    learnt, tested = (tuple(np.concatenate(column) for column in zip(*part, strict=True)) for part in parts)
    return learnt, tested  # type: ignore[return-value]


CUBES: dict[str, RealCube] = {}


def spectra_line(cube: RealCube, method: str, trial: Trial, out: Path) -> tuple[str, dict[str, list[float]]]:
    """Return a recipe and its plain way on a cube as a row, and their accuracies in percent, one per seed."""
    pipelines = plain_pipelines()
    words, make = pipelines.get(method, pipelines[""])
    ours, plain = [], []
    for seed in trial.seeds:
        ours.append(100 * run_one(cube, method, DISJOINT, seed, trial, out)["scores"]["overall_accuracy"])
        (vectors, values), (test, truth) = pixels_of(cube.name, seed)
        plain.append(100 * float((make().fit(vectors, values).predict(test) == truth).mean()))
    scores = {name: [round(one, 2) for one in values] for name, values in (("ours", ours), ("plain", plain))}
    return line(cube.title, f"hyperspectral/{method}", ours, words, plain), scores


def line(data: str, recipe: str, ours: list[float], words: str, plain: list[float]) -> str:
    """A row of the table; scores in percent, one a seed or fold."""
    gain = float(np.mean(ours) - np.mean(plain))
    mark = " **below**" if gain < -MARGIN else ""
    return f"| {data} | {recipe} | {spread(ours)} | {words} | {spread(plain)} | {gain:+.1f}{mark} |\n"


def nearest_features(cloud: PointCloud) -> Vectors:
    """Shapes of the 10, 20 and 50 nearest points, heights above the lowest point near and of the file, intensity and returns."""
    from scipy.ndimage import minimum_filter
    from scipy.spatial import cKDTree

    xyz = cloud.xyz - cloud.xyz.mean(axis=0)
    near = cKDTree(xyz).query(xyz, k=max(NEAREST))[1]
    columns: list[NDArray[Any]] = []
    for count in NEAREST:
        offsets = xyz[near[:, :count]]
        offsets = offsets - offsets.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", offsets, offsets) / count)
        l3, l2, l1 = np.maximum(values.T, 1e-12)
        columns += [(l1 - l2) / l1, (l2 - l3) / l1, l3 / l1, l1 + l2 + l3, 1 - np.abs(vectors[:, 2, 0])]
        columns.append(np.ptp(offsets[:, :, 2], axis=1))
    cell = tuple(np.floor(xyz[:, :2] - xyz[:, :2].min(axis=0)).astype(int).T)
    lowest = np.full([side.max() + 1 for side in cell], np.inf)
    np.minimum.at(lowest, cell, xyz[:, 2])
    columns += [xyz[:, 2] - minimum_filter(lowest, int(2 * LOW_M))[cell], xyz[:, 2] - xyz[:, 2].min()]
    columns += [one for one in (cloud.intensity, cloud.return_number, cloud.number_of_returns) if one is not None]
    return np.stack(columns, axis=1).astype(np.float32)


class PlainTrees(Remembering):
    """Extremely randomised trees on `nearest_features`."""

    def __init__(self, fold: Fold, legend: Legend, _: Path) -> None:
        from sklearn.ensemble import ExtraTreesClassifier

        self.legend = legend
        vectors = np.concatenate([self.remember(nearest_features, cloud) for cloud in fold.train])
        classes = np.concatenate([class_indices(cloud, legend) for cloud in fold.train])
        rows = np.random.default_rng(fold.seed).permutation(np.flatnonzero(classes != VOID))[:DRAWN]
        self.trees = ExtraTreesClassifier(TREES, random_state=fold.seed, n_jobs=-1).fit(vectors[rows], classes[rows])

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """(N, K) probabilities."""
        scores = np.zeros((len(cloud), self.legend.num_classes), np.float32)
        scores[:, self.trees.classes_] = self.trees.predict_proba(self.remember(nearest_features, cloud))
        return scores


def points_lines(data: Path, out: Path, *, smoke: bool) -> str:
    """The recipes of points and their plain way on the tiles of IGN, all points of all folds together."""
    legend = aerial_lidar.make_legend(POINTS)
    folds = list(aerial_lidar.folds_of(POINTS, data, smoke=smoke))
    rows = {
        "plain": Row("plain trees", PlainTrees),
        "points/eigen-forest": Row("eigen-forest", fit_features(FOREST)),
    }
    scored: Mapping[str, Any] = {
        name: aerial_lidar.score_row(row, folds, legend, out / POINTS / row.name) for name, row in rows.items()
    }
    words = "eigenvalues of nearest points, ExtraTreesClassifier(100)"
    text = ""
    for score, title in (("overall_accuracy", "IGN LiDAR HD"), ("mean_iou", "IGN LiDAR HD, mean IoU")):
        plain = [100 * scored["plain"][score]]
        text += "".join(
            line(title, name, [100 * scored[name][score]], words, plain) for name in rows if name != "plain"
        )
    return text


def read_layers(sources: Mapping[str, str], layers: tuple[str, ...]) -> NDArray[np.float32]:
    """(C, H, W), the bands of the layers one after the other."""
    return np.concatenate([np.nan_to_num(Layer.open(sources[name]).read()[0].astype(np.float32)) for name in layers])


def read_labels(sources: Mapping[str, str], legend: Legend) -> NDArray[np.uint8]:
    """(H, W) class indices."""
    return legend.to_index()[Layer.open(sources[Scene.label_layer], labels=True).read()[0][0]]


def plain_forest(fold: BenchmarkScenes, layers: tuple[str, ...], legend: Legend) -> tuple[int, int]:
    """How many pixels of the test scenes a forest on bands and Gaussians labels right, of how many."""
    from scipy.ndimage import gaussian_filter
    from sklearn.ensemble import RandomForestClassifier

    def vectors(sources: Mapping[str, str]) -> NDArray[np.float32]:
        bands = read_layers(sources, layers)
        blurred = [gaussian_filter(band, sigma) for sigma in SIGMAS for band in bands]
        return np.stack([*bands, *blurred], axis=-1).reshape(bands[0].size, -1)

    rows = np.concatenate([vectors(sources) for sources in fold.train.values()])
    classes = np.concatenate([read_labels(sources, legend).ravel() for sources in fold.train.values()])
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(classes != VOID))[:PIXELS]
    forest = RandomForestClassifier(200, random_state=0, n_jobs=-1).fit(rows[drawn], classes[drawn])
    return count_right(fold, legend, lambda sources: forest.predict(vectors(sources)))


def count_right(
    fold: BenchmarkScenes, legend: Legend, predict: Callable[[Mapping[str, str]], NDArray[Any]]
) -> tuple[int, int]:
    """Pixels with a class in the test scenes: those that are labelled right, and all."""
    right = known = 0
    for sources in fold.test.values():
        truth = read_labels(sources, legend).ravel()
        counted = truth != VOID
        right, known = right + int((predict(sources) == truth)[counted].sum()), known + int(counted.sum())
    return right, known


def tile_lines(tile: str, legend: Legend, folds: Folds, rows: list[BenchmarkRow], out: Path) -> str:
    """The rows that are possible on a tile beside the plain way on the same layers; both halves are scored as one."""
    known: dict[tuple[str, ...], float] = {}
    text = ""
    recipes = {row.name: row.recipe for row in rows}
    layers_of = {row.name: tuple(load_recipe(row.recipe, overrides=row.overrides)[0].model.layers) for row in rows}
    outcomes, _ = run_possible([row for row in rows if not row.scored], folds, legend, out)
    for outcome in outcomes:
        layers = layers_of[outcome.name]
        if layers not in known:
            counts = np.array([plain_forest(fold, layers, legend) for fold in folds]).sum(axis=0)
            known[layers] = 100 * float(counts[0] / counts[1])
        data = f"{tile}, {' + '.join(layers)}"
        ours = 100 * outcome.scores["overall_accuracy"]
        text += line(data, f"{recipes[outcome.name]} ({outcome.name})", [ours], FOREST_WORDS, [known[layers]])
    return text


def all_tile_lines(root: Path, out: Path, names: list[str], recipes: list[str] | None, *, smoke: bool) -> str:
    """The baselines on real tiles. recipes : of baselines/, all where None"""
    table = [*(BenchmarkRow(name, f"baselines/{name}", ("model.layers=[image]",)) for name in MORE)]
    table += contest_rows(None, made_up=False)
    table = [row for row in table if recipes is None or str(row.recipe).partition("/")[2] in recipes]
    text = ""
    for tile, (legend, folds) in tile_folds(root, out / "tiles", names).items():
        folds = crop_folds(folds, out / "smoke" / tile) if smoke else folds
        text += tile_lines(tile, legend, folds, tile_rows(tile, table), out / tile)
    return text


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--names", nargs="+", choices=list(SAMPLES), default=list(SAMPLES), help="cubes; all by default"
    )
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="recipes hyperspectral/NAME")
    parser.add_argument("--points", action="store_true", help="the recipes of points, too")
    parser.add_argument("--tiles", nargs="*", help="the baselines on real tiles, too; named none: on all")
    parser.add_argument("--recipes", nargs="+", help="of tiles: recipes baselines/NAME; all by default")
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    smoke, out = options.smoke, options.out / "smoke" if options.smoke else options.out
    names, seeds = (options.names[:1], (0,)) if smoke else (options.names, (0, 1, 2))
    if options.methods:
        require_files(options.data, *(SAMPLES[name][0] for name in names))
    measured: dict[str, dict[str, dict[str, list[float]]]] = {}
    text = title_of("# Plain beside ours", smoke=smoke) + "\n\n" + HEAD
    for cube in sample_cubes(options.data, out / "cubes", names) if options.methods else ():
        CUBES[cube.name] = cube
        for method in options.methods:
            row, scores = spectra_line(cube, method, Trial((method,), (DISJOINT,), seeds), out)
            text, measured.setdefault(cube.name, {})[method] = text + row, scores
            write_text(out / "table.md", text)
            store_results(out, smoke=smoke, cubes=measured)
    if options.points:
        require_files(options.data / POINTS, aerial_lidar.CLOUDS)
        text += points_lines(options.data, out, smoke=smoke)
    if options.tiles is not None:
        text += all_tile_lines(options.data, out, options.tiles or list(TILES), options.recipes, smoke=smoke)
    print(write_text(out / "table.md", text).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
