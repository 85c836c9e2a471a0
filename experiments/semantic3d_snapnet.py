"""SnapNet: points labelled in snapshots, on Semantic3D with the published table, on one cloud cut in halves, on the miniature city.

Usage: python experiments/semantic3d_snapnet.py --out FOLDER [--seeds 0 1 2]           (miniature city, SYNTHETIC)
       python experiments/semantic3d_snapnet.py --out FOLDER --data TILE.laz [--colour ORTHO.tif]    (its western half to learn from)
       python experiments/semantic3d_snapnet.py --out FOLDER --data FOLDER --test NAME …    (whole tiles to test on)
       python experiments/semantic3d_snapnet.py --out FOLDER --data ROOT --test NAME …    (Semantic3D: .txt and .labels)

The labels of Semantic3D's test scans are not public, so scans of the training set are tested on; the published figures are
those of its test scans (Le Saux, "Machine Learning Models for Scene Understanding", 2020; of the full test set as quoted by
later papers, not verified): they are shown for orientation alone.
Every score counts original points of clouds, or halves, that nothing was learnt from or chosen by: the last epoch is kept.
Writes table.md, and but for Semantic3D results.json.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from change_pairs import publish, table
from places.view_rows import AERIAL, SMALL, SMOKE, write_las
from script import add_smoke, number_or_nan, percents, plain_errors, store_results, title_of

import deepnets4eo
from deepnets4eo.files import read_json
from deepnets4eo.grid import apply_affine
from deepnets4eo.lazy import is_installed, name_missing_extra
from deepnets4eo.points import Orthophoto, colourise_cloud
from deepnets4eo.synthetic import City
from deepnets4eo.training import load_recipe

log = logging.getLogger(__name__)

Scores = Mapping[str, Sequence[Mapping[str, Any]]]
"""Row → what `metrics.json` has, one per seed."""
OVERALL = ("mean_iou", "overall_accuracy", "seen_share")
COMPOSITE, COLOURS, BOTH, FUSED = "composite", "colours", "colours and composite", "SmpFusion of both"
BALLS, POISSON = "composite, mesh by ball pivoting", "composite, mesh by Poisson"  # need Open3D
ROWS = {
    COMPOSITE: ["model.layers=[composite]"],
    COLOURS: ["model.layers=[image]"],
    BOTH: ["model.layers=[image, composite]"],
    FUSED: [
        "model.layers=[image, composite]", "model.network=smp-fusion",
        "model.options={streams: [3, 3], architecture: unet}",
    ],
    BALLS: ["model.layers=[composite]", "surface.mesh=ball_pivoting"],
    POISSON: ["model.layers=[composite]", "surface.mesh=poisson"],
}  # fmt: skip
ALONE, SNAPNET = ("SnapNet, colours", "SnapNet, composite"), "SnapNet"
PUBLISHED_RECIPES = {
    ALONE[0]: "points/snapnet-image",
    ALONE[1]: "points/snapnet-composite",
    SNAPNET: "points/snapnet",
    "SegNet, composite": "points/snapnet-segnet",
    "FuseNet": "points/snapnet-fusenet",
    "residual correction of SegNets": "points/snapnet-residual",
} | ({"SnapNet, textured mesh": "points/snapnet-mesh"} if is_installed("open3d") else {})
PUBLISHED = {  # mean IoU, overall accuracy, IoU of the eight classes in percent
    "SnapNet, full test set (published, not verified)": (67.4, 91.0, 89.6, 79.5, 74.8, 56.1, 90.9, 36.5, 34.3, 77.2),
    "SEGCloud, reduced test set (published)": (61.3, 88.1, 83.9, 66.0, 86.0, 40.5, 91.1, 30.9, 27.5, 64.3),
    "SnapNet, reduced test set (published)": (59.1, 88.6, 82.0, 77.3, 79.7, 22.9, 91.1, 18.4, 37.3, 64.4),
    "DeePr3SS, reduced test set (published)": (58.5, 88.9, 85.6, 83.2, 74.2, 32.4, 89.7, 18.5, 25.1, 59.2),
    "3D-FCNN-TI, reduced test set (published)": (58.2, 87.5, 84.0, 71.1, 77.0, 31.8, 89.9, 27.7, 25.2, 59.0),
    "TMLC-MSR, reduced test set (published)": (54.2, 86.2, 89.8, 74.5, 53.7, 26.8, 88.8, 18.9, 36.4, 44.7),
    "DeepNet, reduced test set (published)": (43.7, 77.2, 83.8, 38.5, 54.8, 8.5, 84.1, 15.1, 22.3, 42.3),
    "TML-PCR, reduced test set (published)": (38.4, 74.0, 72.6, 73.0, 48.5, 22.4, 70.7, 5.0, 0.0, 15.0),
}
SMOKE_AROUND = [
    "train.epochs=1",
    "data.windows_per_epoch=4",
    "train.batch_size=2",
    "views.directions=2",
    "surface.voxel_m=0.5",
]
CITY_LEGEND = {
    "name": "minicity-points",
    "classes": [
        {"value": 1, "name": "other", "color": [150, 150, 150]},
        {"value": 2, "name": "ground", "color": [166, 124, 82]},
        {"value": 5, "name": "vegetation", "color": [30, 130, 50]},
        {"value": 6, "name": "building", "color": [220, 70, 50]},
        {"value": 9, "name": "water", "color": [0, 110, 190]},
    ],
    "file_values": {3: 5, 11: 2},
}
CITIES, TEST_CITY, CITY_PX, SMOKE_PX = (1, 2), 21, 256, 96


def write_city(seed: int, folder: Path, size_px: int) -> Path:
    """The points of a city before its event, coloured from its image, as a LAS file."""
    path = folder / f"city-{seed}.las"
    if path.exists():
        return path
    city = City(seed, size_px, 0.5)
    points = city.points(density=8.0)
    col, row = np.floor(apply_affine(~city.grid.affine, points.xyz[:, :2])).astype(int).T
    row, col = np.clip(row, 0, city.shape[0] - 1), np.clip(col, 0, city.shape[1] - 1)
    return write_las(replace(points, colour=city.image[:3, row, col].T), path)


def write_coloured(cloud: Path, orthophoto: Path, folder: Path) -> Path:
    """A copy of a cloud with the colours of an orthophoto; points beyond it are black, and counted in the log."""
    path = folder / f"coloured-{cloud.name}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        log.info("%d points lie beyond the orthophoto.", colourise_cloud(cloud, Orthophoto(orthophoto), path))
    return path


def write_halves(source: Path, folder: Path) -> None:
    """The western and the eastern half of a cloud, of equal width, as LAS files of all that it has."""
    with name_missing_extra():
        import laspy

    cloud = laspy.read(source)
    middle = (cloud.header.mins[0] + cloud.header.maxs[0]) / 2
    west = np.asarray(cloud.x) < middle
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in (("west", west), ("east", ~west)):
        half = laspy.LasData(cloud.header)
        half.points = cloud.points[chosen]
        half.write(folder / f"{name}.las")


def train_row(recipe: str, overrides: Sequence[str], clouds: Path, test: Sequence[str], out: Path) -> dict[str, Any]:
    """Train on all clouds of a folder but those to test on, and return the scores in points of these; a run is used again."""
    split = ["data.split=scenes", f"data.val_scenes={json.dumps(list(test))}"]
    if not (out / "card.json").exists():
        resolved, _ = load_recipe(recipe, data=clouds, overrides=[*overrides, *split])
        deepnets4eo.train(resolved, out)
    scores: dict[str, Any] = read_json(out / "metrics.json")
    return scores


def cells(scores: Sequence[Mapping[str, Any]], classes: Sequence[str], by_class: str) -> list[list[float]]:
    """Mean IoU, overall accuracy, share of points seen, then a score by class: one value a seed, 0 to 1."""
    overall = [[float(one[name]) for one in scores] for name in OVERALL]
    return overall + [[number_or_nan(one[by_class][name]) for one in scores] for name in classes]


def small_scores(
    clouds: Path,
    test: Sequence[str],
    legend: str,
    rows: Sequence[str],
    out: Path,
    seeds: Sequence[int],
    longer: Sequence[str] = (),
    *,
    smoke: bool,
) -> Scores:
    """Train rows of the aerial recipe, layers and networks, and return their scores. longer : sets how long, if not 100 steps."""
    scores: dict[str, list[dict[str, Any]]] = {}
    for name in rows:
        overrides = [f"legend={legend}", *SMALL, *longer, *ROWS[name], *(SMOKE if smoke else [])]
        scores[name] = [
            train_row(AERIAL, [*overrides, f"train.seed={seed}"], clouds, test, run_folder(out / f"seed-{seed}", name))
            for seed in seeds
        ]
    return scores


def figures_of(scores: Scores) -> dict[str, dict[str, Any]]:
    """Return the scores of each row in percent, one per seed, as stored for the lineage."""
    return {
        name: {score: percents(one[score] for one in of_row) for score in OVERALL}
        | {
            "iou": {
                of_class: percents(one["iou"][of_class] for one in of_row)
                for of_class in of_row[0]["classes"]
                if of_class not in of_row[0]["absent_classes"]
            }
        }
        for name, of_row in scores.items()
    }


def small_table(title: str, scores: Scores, *, smoke: bool) -> str:
    """Return tables of rows of the aerial recipe: IoU and F1 by class of the classes that occur."""
    first = next(iter(scores.values()))[0]
    classes = [name for name in first["classes"] if name not in first["absent_classes"]]
    parts = []
    for by_class, called in (("iou", "IoU"), ("f1", "F1")):
        columns = ["mean IoU", "OA", "points seen", *(f"{called} {name}" for name in classes)]
        part = {name: cells(of_row, classes, by_class) for name, of_row in scores.items()}
        parts.append(table(title_of(f"{title}: {called}", smoke=smoke), columns, part, []))
    return "\n".join(parts)


def has_scans_of_text(data: Path) -> bool:
    """Whether a folder is one of Semantic3D: text beside clouds in LAS or LAZ says what they are."""
    return any(data.glob("*.txt")) and not any(data.glob("*.la[sz]"))


def run_folder(folder: Path, name: str) -> Path:
    """Where the run of a row is; without commas, which separate the runs that another starts from."""
    return folder / name.replace(", ", "-")


def semantic3d_overrides(name: str, folder: Path, seed: int) -> list[str]:
    """What a row on Semantic3D sets: SnapNet corrects the two networks that were trained before, as published."""
    overrides = ["legend=semantic3d", "data.clouds=['*.txt']", "train.keep=last", f"train.seed={seed}"]
    if name != SNAPNET:
        return overrides
    runs = ",".join(str(run_folder(folder, one)) for one in ALONE)
    return [*overrides, f"model.encoder_weights={json.dumps(runs)}", "model.options.frozen=true"]


def semantic3d_table(root: Path, test: Sequence[str], out: Path, seeds: Sequence[int], *, smoke: bool) -> str:
    """Every published network on Semantic3D, below the published figures."""
    few = [*SMOKE_AROUND] if smoke else []
    rows: dict[str, list[list[float]]] = {
        name: [[values[0] / 100], [values[1] / 100], [float("nan")]] + [[value / 100] for value in values[2:]]
        for name, values in PUBLISHED.items()
    }
    classes: list[str] = []
    for name, recipe in PUBLISHED_RECIPES.items():
        scores = []
        for seed in seeds:
            folder = out / f"seed-{seed}"
            scores.append(
                train_row(
                    recipe, [*semantic3d_overrides(name, folder, seed), *few], root, test, run_folder(folder, name)
                )
            )
        classes = scores[0]["classes"]
        rows[f"{name} (ours, {', '.join(test)})"] = cells(scores, classes, "iou")
    columns = ["mean IoU", "OA", "points seen", *classes]
    return table(title_of("Semantic3D: IoU", smoke=smoke), columns, rows, [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, help="scans of Semantic3D (.txt), one classified LAS or LAZ file, or a folder of these"
    )
    parser.add_argument("--colour", type=Path, help="orthophoto that one file takes its colours from")
    parser.add_argument("--test", nargs="+", default=[], help="names of the clouds to test on, or patterns")
    parser.add_argument("--legend", default="ign_lidar_hd", help="of LAS and LAZ files")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=[COMPOSITE, COLOURS, BOTH])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="of 20 steps, 5 by default; not for Semantic3D")
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    out, seeds, smoke = arguments.out, arguments.seeds[: 1 if arguments.smoke else None], arguments.smoke
    if arguments.data is not None and has_scans_of_text(arguments.data):
        publish(out, semantic3d_table(arguments.data, arguments.test, out, seeds, smoke=smoke))
        return
    title, clouds, test, legend = f"Clouds of {arguments.data}", arguments.data, arguments.test, arguments.legend
    if clouds is not None and clouds.is_file():
        title, clouds, test = f"Eastern half of {clouds.name}", out / "halves", ["east"]
        write_halves(
            arguments.data if arguments.colour is None else write_coloured(arguments.data, arguments.colour, out),
            clouds,
        )
    elif clouds is None:
        title, clouds, test = "Miniature city (SYNTHETIC)", out / "cities", [f"city-{TEST_CITY}"]
        legend = str(CITY_LEGEND)
        for seed in (*CITIES[: 1 if smoke else None], TEST_CITY):
            write_city(seed, clouds, SMOKE_PX if smoke else CITY_PX)
    longer = [f"train.epochs={arguments.epochs}"] if arguments.epochs else []
    scores = small_scores(clouds, test, legend, arguments.rows, out, seeds, longer, smoke=smoke)
    store_results(
        out, smoke=smoke, data=clouds.name, tested=list(test), epochs=arguments.epochs, rows=figures_of(scores)
    )
    publish(out, small_table(title, scores, smoke=smoke))


if __name__ == "__main__":
    with plain_errors():
        main()
