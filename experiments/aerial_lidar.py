"""Labellers of points side by side on classified aerial LiDAR, and the ground filter against the ISPRS filter test.

Usage: python experiments/aerial_lidar.py --data FOLDER [--sets ign_lidar_hd ahn3_delft minicity] [--rows …] [--folds 0 3] [--validate]
[--smoke] [--out runs/aerial_lidar]
FOLDER has the folders ign_lidar_hd, ahn3_delft and isprs_filtertest. Every file is tested on once, by labellers that learned
from the other files of its set, which lie elsewhere: five folds for IGN LiDAR HD, two for AHN3; rules learn nothing. The
miniature city is SYNTHETIC: three cities to learn from, three others to test on, one a seed. Scores are counted at all
points; where a labeller knows nothing, as SnapNet where no view shows a point, the label is that of the nearest point, as
`label-points` writes it. A row is a `Row`: a name and a function that makes a labeller of a fold; plain is the sixty-line way
(scikit-learn and SciPy alone, one neighbourhood of 20 points). Features are computed once a cloud; the seconds of prediction
have them. SnapNet learns for 100 steps; on AHN3 and the city its views overlap by a half. The counts of each fold are kept in
FOLDER/SET/ROW of --out, and not made again.

Measured: see the page "Point clouds" of the documentation and the cards of `points/eigen-forest` and `points/snapnet-aerial`.
Thresholds of the rules, and radius and features a split of the forest, were chosen with a look at these files, SnapNet's
settings with three of the IGN tiles (folds 1, 2 and 4): see the cards.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from places.building_validation import Verdict, validate_buildings
from places.view_rows import SMOKE, train_views
from script import add_smoke, check_names, plain_errors, require_files, store_results, title_of

from deepnets4eo.arrays import Vectors
from deepnets4eo.baselines import EstimatorOptions, build_estimator
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points import PointCloud, PointLabeller, heights_above_ground, legend_codes, open_cloud
from deepnets4eo.points.features import (
    FeatureLabeller,
    FeatureOptions,
    RuleLabeller,
    point_features,
)
from deepnets4eo.points.features.labeller import PointSamples
from deepnets4eo.points.labeller import label_tile
from deepnets4eo.points.snapnet import SnapNetLabeller
from deepnets4eo.synthetic import City

log = logging.getLogger(__name__)

CLOUDS, GROUND_SET, GROUND_SAMPLES = "*.laz", "isprs_filtertest", "samp*.npz"

SAMPLES, TREES, NEIGHBOURS = 12_000, 60, 20
FEATURES = FeatureOptions()
LARGE_SETS, LARGE_VIEWS = ("ahn3_delft", "minicity"), ["views.overlap=0.5"]  # a quarter of the views, for time
GROUND_M = 0.5  # points lower than this above the filtered ground count as ground in the filter test
PUBLISHED = (
    "Published, other data: RandLA-Net on the FRACTAL test tiles (IGN, model card): mean IoU 77.2, ground 91.7, vegetation 93.6, "
    "building 90.6, other 52.0; on production tiles 60.8, 90.7, 91.4, 86.9, 22.3. No figure published for these files is known."
)


@dataclass(frozen=True)
class Fold:
    """Clouds to learn from, and a cloud to test on. seed : the number of the fold."""

    train: list[PointCloud]
    test: PointCloud
    seed: int


@dataclass(frozen=True)
class Row:
    """A labeller of the table: a function (fold, legend, folder for its runs) → labeller."""

    name: str
    make: Callable[[Fold, Legend, Path], Any]


@cache
def compute_once(function: Callable[[PointCloud], Vectors], cloud: PointCloud) -> tuple[Vectors, float]:
    """Features of a cloud, and the seconds of processor time that they took when they were computed."""
    started = time.process_time()
    return function(cloud), time.process_time() - started


class Remembering:
    """Features of a cloud are computed once; `seconds` of processor time make up for what that saves."""

    seconds = 0.0

    def remember(self, function: Callable[[PointCloud], Vectors], cloud: PointCloud) -> Vectors:
        """Return what a function computes of a cloud."""
        started = time.process_time()
        vectors, seconds = compute_once(function, cloud)
        self.seconds += seconds - (time.process_time() - started)
        return vectors


class EigenLabeller(Remembering, FeatureLabeller):
    """Our labeller, with features that are remembered."""

    def vectors(self, cloud: PointCloud) -> Vectors:
        """Return the features of a cloud."""
        return self.remember(our_features, cloud)


def our_features(cloud: PointCloud) -> Vectors:
    """Features of a cloud on one thread."""
    return point_features(cloud, FEATURES, workers=1)


def fit_features(options: EstimatorOptions) -> Callable[..., FeatureLabeller]:
    """A function that fits a classifier of our features."""

    def make(fold: Fold, legend: Legend, _: Path) -> FeatureLabeller:
        labeller = EigenLabeller(build_estimator(options, fold.seed), legend, FEATURES, workers=1)
        samples = PointSamples(legend.num_classes, SAMPLES, fold.seed)
        for number, cloud in enumerate(fold.train):
            samples.add(labeller.vectors(cloud), class_indices(cloud, legend), np.full(len(cloud), number))
        labeller.fit(samples)
        return labeller

    return make


def fit_views(*overrides: str) -> Callable[..., SnapNetLabeller]:
    """A function that trains the aerial SnapNet for 100 steps."""

    def make(fold: Fold, legend: Legend, folder: Path) -> SnapNetLabeller:
        few = LARGE_VIEWS if legend.name in LARGE_SETS else []
        return train_views(fold.train, legend, fold.seed, folder / f"run-{fold.seed}", [*few, *overrides])

    return make


class PlainForest(Remembering):
    """A forest on eigenfeatures of the nearest points, as a notebook would have it."""

    def __init__(self, fold: Fold, legend: Legend, _: Path) -> None:
        from sklearn.ensemble import RandomForestClassifier

        self.legend = legend
        samples = PointSamples(legend.num_classes, SAMPLES, fold.seed)
        for cloud in fold.train:
            samples.add(
                self.remember(plain_features, cloud), class_indices(cloud, legend), np.zeros(len(cloud), np.int64)
            )
        self.forest = RandomForestClassifier(TREES, random_state=fold.seed).fit(samples.vectors, samples.classes)

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """(N, K) probabilities."""
        scores = np.zeros((len(cloud), self.legend.num_classes), np.float32)
        scores[:, self.forest.classes_] = self.forest.predict_proba(self.remember(plain_features, cloud))
        return scores


def plain_features(cloud: PointCloud) -> Vectors:
    """Linearity, planarity, scattering, entropy, verticality, height above the lowest point, intensity and returns."""
    from scipy.spatial import cKDTree

    xyz = cloud.xyz - cloud.xyz.mean(axis=0)
    _, near = cKDTree(xyz).query(xyz, k=NEIGHBOURS)
    offsets = xyz[near] - xyz[near].mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", offsets, offsets) / NEIGHBOURS)
    l3, l2, l1 = np.maximum(values.T, 1e-12)
    shares = np.stack([l1, l2, l3]) / (l1 + l2 + l3)
    columns = [(l1 - l2) / l1, (l2 - l3) / l1, l3 / l1, -(shares * np.log(shares)).sum(axis=0)]
    columns += [1 - np.abs(vectors[:, 2, 0]), xyz[:, 2] - xyz[:, 2].min()]
    measured = (cloud.intensity, cloud.return_number, cloud.number_of_returns)
    return np.stack([*columns, *(one for one in measured if one is not None)], axis=1).astype(np.float32)


FOREST = EstimatorOptions(trees=TREES, leaf_samples=5, split_features=25, scaling="none", class_weight="none")
ROWS = [
    Row("rules", lambda fold, legend, folder: RuleLabeller(workers=1)),
    Row("plain forest", PlainForest),
    Row("eigen-forest", fit_features(FOREST)),
    Row("SnapNet, splats", fit_views()),
]
SMOKE_ROWS = {"SnapNet, splats": fit_views(*SMOKE)}


def class_indices(cloud: PointCloud, legend: Legend) -> NDArray[np.uint8]:
    """(N,) class indices of a cloud's codes; codes that the legend lacks are void."""
    return legend.to_index()[legend_codes(cloud, legend, unknown_is_void=True)]


def make_legend(name: str) -> Legend:
    """The classes of a set: those of IGN LiDAR HD; AHN3 has vegetation among other, water and civil structures."""
    legend = Legend.load("ign_lidar_hd")
    if name == "ahn3_delft":
        kept = tuple(one for one in legend.classes if one.value in (1, 2, 6, 9))
        civil = replace(legend.classes[-1], value=26, name="civil structure", aliases=())
        return replace(legend, name=name, classes=(*kept, civil), file_values={3: 1, 4: 1, 5: 1}, remaps={})
    if name == "minicity":  # roads are ground, as in the other sets
        return replace(legend, name=name, file_values=dict(legend.file_values) | {11: 2})
    return legend


def folds_of(name: str, data: Path | None, *, smoke: bool) -> Iterator[Fold]:
    """Every file once for testing, with the other files of the set to learn from."""
    if name == "minicity":
        for seed in range(1 if smoke else 3):
            yield Fold([make_city(seed)], make_city(100 + seed), seed)
        return
    assert data is not None
    clouds = [open_cloud(path).read() for path in require_files(data / name, CLOUDS)]
    if smoke:
        clouds = [cloud.subset(np.arange(0, len(cloud), 20)) for cloud in clouds[:2]]
    for number, cloud in enumerate(clouds):
        yield Fold([other for other in clouds if other is not cloud], cloud, number)


def choose_folds(name: str, folds: Sequence[Fold], numbers: Sequence[int] | None) -> list[Fold]:
    """The folds of a set with these numbers; None: all. Errors: InputError where there is none."""
    chosen = [fold for fold in folds if not numbers or fold.seed in numbers]
    if not chosen:
        raise InputError(
            f"{name} has no fold {' or '.join(map(str, numbers or ()))}, it has 0 to {len(folds) - 1}. "
            "Choose --folds among them, or leave the set out of --sets."
        )
    return chosen


@cache
def make_city(seed: int) -> PointCloud:
    """A scan of a miniature city. SYNTHETIC."""
    return replace(City(seed, 512).points(8.0), source=f"miniature city {seed} (SYNTHETIC)")


def count_fold(row: Row, fold: Fold, legend: Legend, folder: Path) -> dict[str, Any]:
    """The confusion matrix of a row at the points of a fold, and seconds of processor time; kept in a file of the folder."""
    kept = folder / f"fold-{fold.seed}.json"
    if kept.exists():
        return dict(read_json(kept))
    started = time.process_time()
    labeller: PointLabeller = row.make(fold, legend, folder)
    before = getattr(labeller, "seconds", 0.0)
    fit_s = time.process_time() - started + before
    started = time.process_time()
    codes, _, _, propagated = label_tile(labeller, fold.test, len(fold.test)).T
    predict_s = time.process_time() - started + getattr(labeller, "seconds", 0.0) - before
    matrix = ConfusionMatrix(legend.num_classes)
    matrix.update(class_indices(fold.test, legend), class_indices(replace(fold.test, classification=codes), legend))
    result = {
        "test": fold.test.source, "confusion": matrix.matrix.tolist(), "points": len(codes),
        "unknown": int(propagated.sum()), "fit_s": fit_s, "predict_s": predict_s,
    }  # fmt: skip
    write_json(kept, result)
    log.info("%s, %s: mean IoU %.3f", row.name, fold.test.source, matrix.mean_iou)
    return result


def score_row(row: Row, folds: Sequence[Fold], legend: Legend, folder: Path) -> dict[str, Any]:
    """All scores of a row over the points of all folds, standard deviation over folds, and processor time."""
    counted = [count_fold(row, fold, legend, folder) for fold in folds]
    matrices = [ConfusionMatrix.from_matrix(one["confusion"]) for one in counted]
    total = ConfusionMatrix.from_matrix(np.sum([one.matrix for one in matrices], axis=0))
    points, unknown, fit_s, predict_s = (
        sum(one[name] for one in counted) for name in ("points", "unknown", "fit_s", "predict_s")
    )
    return report.scores(total, legend.names) | {
        "row": row.name, "fold_sd": float(np.std([one.mean_iou for one in matrices])), "fit_s": fit_s,
        "points_per_s": points / predict_s, "known_share": 1 - unknown / points,
    }  # fmt: skip


def table(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """Scores in percent, a row a labeller."""
    present = [one for one in rows[0]["classes"] if one not in rows[0]["absent_classes"]]
    head = ["labeller", "OA", "mean F1", "mean IoU ± sd of folds", *(f"IoU {one}" for one in present)]
    head += [f"F1 {one}" for one in present] + ["points known", "fit, s", "points/s"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["row"], *(f"{100 * row[key]:.1f}" for key in ("overall_accuracy", "mean_f1"))]
        cells.append(f"{100 * row['mean_iou']:.1f} ± {100 * row['fold_sd']:.1f}")
        cells += [f"{100 * row[key][one]:.1f}" for key in ("iou", "f1") for one in present]
        cells.append(f"{100 * row['known_share']:.1f}")
        lines.append("| " + " | ".join([*cells, f"{row['fit_s']:.1f}", f"{row['points_per_s']:,.0f}"]) + " |")
    return f"## {name}\n\n" + "\n".join(lines) + "\n"


def validation_table(name: str, folds: Sequence[Fold], legend: Legend) -> str:
    """Groups of candidates of the rules, decided by probabilities of the eigen-forest, without footprints.

    A group is a building where at least half of its points are. Precision: buildings among confirmed groups; recall:
    confirmed groups among decided ones that are buildings.
    """
    make, building, counts = fit_features(FOREST), legend.index("building"), np.zeros((2, len(Verdict)), int)
    for fold in folds:
        labeller, rules, cloud = make(fold, legend, Path()), RuleLabeller(workers=1), fold.test
        candidates = rules.scores(cloud).argmax(axis=1) == rules.legend.index("building")
        result = validate_buildings(cloud, candidates, labeller.scores(cloud), building)
        member = result.group >= 0
        group, of_building = result.group[member], class_indices(cloud, legend)[member] == building
        truth = np.bincount(group, of_building) >= np.bincount(group) / 2
        np.add.at(counts, (truth.astype(int), result.decision), 1)
    decided, right = counts[:, 1:].sum(), counts[1, Verdict.confirmed]
    shares = decided / counts.sum(), right / counts[:, Verdict.confirmed].sum(), right / counts[1, 1:].sum()
    text = ", ".join(
        f"{what} {100 * share:.1f} %" for what, share in zip(("automation", "precision", "recall"), shares, strict=True)
    )
    return f"## Validation of buildings, {name}\n\n{counts.sum()} groups, {counts[1].sum()} buildings: {text}\n"


def ground_table(folder: Path) -> str:
    """Errors of the ground filter on the reference samples of the ISPRS filter test (Sithole and Vosselman 2003)."""
    lines = [
        "| sample | points | total error | type I (ground lost) | type II (objects kept) |",
        "|---|---|---|---|---|",
    ]
    for path in require_files(folder, GROUND_SAMPLES):
        sample = np.load(path)
        truth = sample["ground"].astype(bool)
        kept = heights_above_ground(PointCloud(sample["xyz"], source=path.name)) < GROUND_M
        errors = [(kept != truth).mean(), (~kept[truth]).mean(), kept[~truth].mean()]
        lines.append(f"| {path.stem} | {len(truth):,} | " + " | ".join(f"{100 * one:.1f}" for one in errors) + " |")
    return f"## Ground filter, points below {GROUND_M} m, percent\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Run the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the real sets; without it only the miniature city")
    parser.add_argument("--sets", nargs="+", default=["ign_lidar_hd", "ahn3_delft", "minicity"])
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], help="names of rows; none: all")
    parser.add_argument("--folds", nargs="+", type=int, help="numbers of folds; none: all")
    parser.add_argument("--validate", action="store_true", help="validation of buildings, too")
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_names(options.rows, [row.name for row in ROWS])
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    out = options.out / "smoke" if options.smoke else options.out
    if options.smoke:
        rows = [replace(row, make=SMOKE_ROWS.get(row.name, row.make)) for row in rows]
    parts, results = [title_of("# Aerial LiDAR", smoke=options.smoke)], {}
    sets = options.sets if options.data else ["minicity"]
    if options.data:
        for name in sorted({*sets} - {"minicity"}):
            require_files(options.data / name, CLOUDS)
        require_files(options.data / GROUND_SET, GROUND_SAMPLES)
    for name in sets:
        legend = make_legend(name)
        folds = choose_folds(name, list(folds_of(name, options.data, smoke=options.smoke)), options.folds)
        results[name] = [score_row(row, folds, legend, out / name / row.name) for row in rows]
        parts.append(table(name + (" (SYNTHETIC)" if name == "minicity" else ""), results[name]))
        if options.validate:
            parts.append(validation_table(name, folds, legend))
    parts += [PUBLISHED] + ([ground_table(options.data / GROUND_SET)] if options.data else [])
    write_json(out / "scores.json", results)
    percent = {
        name: {
            row["row"]: {one: round(100 * row[one], 2) for one in ("overall_accuracy", "mean_iou", "fold_sd")}
            for row in of_set
        }
        for name, of_set in results.items()
    }
    store_results(out, smoke=options.smoke, sets=percent)
    print(write_text(out / "table.md", "\n\n".join(parts) + "\n").read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
