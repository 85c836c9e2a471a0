"""Do real tiles help the network for buildings of one image? Every place is scored by trainings that never saw its labels.

Usage: python experiments/buildings_real_tiles.py --data FOLDER --out FOLDER --start RUN [--learn ign …] [--labels predicted] [--smoke]

RUN is a run of buildings, such as models/buildings, which every training here starts from; land cover is not learnt. With --learn a quarter
of the windows are of these places, the others of the made-up places that RUN learnt from; without, all of them are made up, to compare.
--labels predicted is self-training (Yarowsky 1995): the tiles' own labels are not read, but those of RUN, where it is sure. Only places whose
licence allows it: Kampala (OpenAerialMap, CC BY 4.0, OpenStreetMap, ODbL), IGN (Etalab 2.0), and, by their looks (the samples do not say where
the images are from), Vegas (SpaceNet, CC BY-SA 4.0) and Joplin before the tornado (NAIP, public domain; outlines ODbL). Each training adds a
row to OUT/table.md: IoU and F1 of objects at the real places, those it learnt from in brackets and left out of the mean. A last row scores
every place by a training that learnt from all the others.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
from numpy.typing import NDArray
from places.building_scores import BuildingMap, BuildingScores, find_buildings, score_buildings, working_gsd_m
from places.building_sites import SITES
from places.results import markdown_table
from places.working_grid import BuildingScene, on_working_grid
from script import plain_errors, require_files
from smoke import FEW_STEPS, NOTE, add_smoke

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.files import read_json, read_yaml, write_json, write_text
from deepnets4eo.grid import transform_shapes
from deepnets4eo.segmenters.run import RECIPE, load_run
from deepnets4eo.synthetic.world.cover_training import train_cover_on, training_pairs
from deepnets4eo.synthetic.world.windows import PairWithTruth, WindowCutter
from deepnets4eo.training import TrainOptions, load_recipe
from deepnets4eo.training.data import Sample

FREE = (
    "fair_kampala",
    "ign",
    "wv3_vegas",
    "joplin",
)  # whose licences allow to learn from them and to give the weights away
REAL_SHARE = 0.25  # of the pairs
REAL_DRAW = 15  # beside a pair's seed, so that no other draw follows from the same numbers
GSD_M = 0.3  # of the tiles, so that windows of every scale are cut from finer pixels
LEAST_M = 192.0  # side of a tile; smaller ones are mirrored at their borders
SURE = (0.1, 0.9)  # below and above which a prediction is taken for a label
WINDOWS = 2048
CYCLE = (
    "train.schedule=poly",
    "train.warmup_share=0.05",
    "train.average=0.98",
)  # so that the last weights are those that learnt all
SMOKE = (*FEW_STEPS, "data.size_px=256", "data.tile_px=128", "data.validation_pairs=1", "data.styles=[suburb]")


@dataclass(frozen=True)
class RealPair:
    """A real image in the form of a made-up pair, the same at both dates; land cover is unknown, heights are 0."""

    image: ByteImage
    labels: NDArray[np.uint8]
    roofs: NDArray[np.int32]
    style: str
    gsd_m: float = GSD_M
    pre = post = property(lambda self: self.image)
    labels_pre = labels_post = property(lambda self: self.labels)
    roofs_pre = roofs_post = property(lambda self: self.roofs)
    height_pre = height_post = property(lambda self: np.zeros(self.labels.shape, np.float32))


def real_pair(scene: BuildingScene, name: str) -> RealPair:
    """A labelled scene, mirrored at its borders where it is small. Void pixels are neither roof nor ground to `building_classes`."""
    building = Legend.load("minicity").value("building")
    labels = np.where(scene.reference == 0, 0, building).astype(np.uint8)
    pixels = transform_shapes(~scene.grid.affine, scene.objects.geometry.to_numpy())
    shapes = [(shape, number) for number, shape in enumerate(pixels, 1) if not shape.is_empty]
    roofs = rasterio.features.rasterize(shapes, scene.reference.shape) if shapes else np.zeros_like(scene.reference)
    roofs = np.where(scene.reference == 1, roofs, 0).astype(np.int32)
    missing = [max(0, round(LEAST_M / GSD_M) - size) for size in labels.shape]
    pad = [(gap // 2, gap - gap // 2) for gap in missing]
    image = np.pad(scene.image, [(0, 0), *pad], mode="symmetric")
    return RealPair(image, np.pad(labels, pad, mode="symmetric"), np.pad(roofs, pad, mode="symmetric"), name)


def with_predictions(scene: BuildingScene, buildings: BuildingMap) -> BuildingScene:
    """The scene with what a run finds in place of its labels; void where the run is not sure."""
    sure = np.select([buildings.probability < SURE[0], buildings.probability > SURE[1]], [0, 1], VOID).astype(np.uint8)
    return BuildingScene(scene.image, sure, buildings.outlines.assign(difficult=False), scene.grid)


def real_scenes(data: Path, gsd_m: float, names: Collection[str]) -> dict[str, list[BuildingScene]]:
    """Scenes of those of the named places that are there."""
    sites = (site for site in SITES if site.name in names and (data / site.folder).is_dir())
    return {site.name: [on_working_grid(one, gsd_m) for one in site.read(data / site.folder)] for site in sites}


def cut_window(cutter: WindowCutter, pair: PairWithTruth, rng: np.random.Generator) -> Sample:
    """As the cutter does, without land cover: a real tile says nothing of it, and a run of buildings has no outputs for it."""
    sample: Sample = cutter(pair, rng)
    sample["mask"] = np.full_like(sample["mask"], VOID)
    return sample


def learn(options: argparse.Namespace, out: Path) -> Path:
    """Train from the start on made-up and real pairs; returns the run of buildings."""
    former = read_yaml(options.start / RECIPE)
    steps = [f"data.windows_per_epoch={WINDOWS}", "train.epochs=1", f"train.lr={options.lr}", *CYCLE]
    overrides = [f"data.world={former['data']['world']}", f"data.start={options.start}", f"train.seed={options.seed}"]
    recipe, _ = load_recipe("buildings", overrides=[*overrides, *steps, *(SMOKE if options.smoke else ())])
    tiles = [real_pair(scene, name) for name, scenes in tiles_of(options).items() for scene in scenes]
    made_up = training_pairs(recipe.data)

    def make_pair(seed: int) -> PairWithTruth:
        rng = np.random.default_rng([seed, REAL_DRAW])
        return tiles[int(rng.integers(len(tiles)))] if tiles and rng.random() < REAL_SHARE else made_up(seed)

    cut = partial(cut_window, WindowCutter(recipe.data.tile_px))
    return train_cover_on(make_pair, cut, recipe, out, TrainOptions("cpu", overwrite=True)) / "buildings"


def tiles_of(options: argparse.Namespace) -> dict[str, list[BuildingScene]]:
    """Scenes of the places to learn from, with their labels or what the start's run finds."""
    known = real_scenes(options.data, GSD_M, options.learn)
    if options.labels == "known":
        return known
    run = load_run(options.start)
    return {
        name: [with_predictions(scene, find_buildings(run, scene)) for scene in scenes]
        for name, scenes in known.items()
    }


def score(folder: Path, data: Path) -> dict[str, dict[str, Any]]:
    """Scores of a run at every place."""
    run = load_run(folder)
    return {
        name: reduce(add, (_score(run, scene) for scene in scenes)).to_dict()
        for name, scenes in real_scenes(data, working_gsd_m(run), [site.name for site in SITES]).items()
    }


def _score(run: Any, scene: BuildingScene) -> BuildingScores:
    return score_buildings(scene, find_buildings(run, scene))


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a training: means over the places that it did not learn from, then every place.

    The last line scores every place by the training that learnt from all tiles but its own, where there are such trainings.
    """
    names = list(rows[0]["scores"])
    lines = []
    for row in rows:
        tested = [row["scores"][name] for name in names if row["labels"] == "predicted" or name not in row["learn"]]
        cells = [
            ("({:.3f})" if name in row["learn"] else "{:.3f}").format(row["scores"][name]["iou"]) for name in names
        ]
        lines.append([row["name"], *_means(tested), *cells])
    left_out = [one for one in (_by_all_others(rows, name) for name in names) if one]
    if len(left_out) == len(names):
        lines.append(["all tiles but its own", *_means(left_out), *(f"{one['iou']:.3f}" for one in left_out)])
    return markdown_table(["training", "mean IoU", "mean F1", *names], lines)


def _means(scores: Sequence[Mapping[str, float]]) -> list[str]:
    return [f"{np.mean([one[key] for one in scores]):.3f}" for key in ("iou", "object_f1")]


def _by_all_others(rows: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, float] | None:
    """Scores at a place of the training that learnt from the labels of all tiles of these trainings but the place's own."""
    known = [row for row in rows if row["labels"] == "known"]
    others = {tile for row in known for tile in row["learn"]} - {name}
    return next((row["scores"][name] for row in known if others and set(row["learn"]) == others), None)


def main() -> None:
    """Train, score, and add a row to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--learn", nargs="*", choices=FREE, default=[])
    parser.add_argument("--labels", choices=("known", "predicted"), default="known")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.smoke:
        print(NOTE)
    name = " and ".join(options.learn) + f", labels {options.labels}" if options.learn else "made-up places alone"
    name += f", seed {options.seed}"
    require_files(options.data, *(site.folder for site in SITES))
    run = learn(options, options.out / name.replace(" ", "-").replace(",", ""))
    rows_file = options.out / "rows.json"
    rows = read_json(rows_file) if rows_file.exists() else []
    row = {"name": name, "learn": options.learn, "labels": options.labels, "scores": score(run, options.data)}
    rows = [one for one in rows if one["name"] != name] + [row]
    write_json(rows_file, rows)
    print(write_text(options.out / "table.md", summary(rows) + "\n").read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
