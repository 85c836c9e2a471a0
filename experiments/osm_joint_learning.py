"""OpenStreetMap as an input beside the image (Audebert et al., CVPRW 2017), published beside ours.

Usage: python experiments/osm_joint_learning.py --out FOLDER [--seeds 0 1 2]            (miniature city, SYNTHETIC)
       python experiments/osm_joint_learning.py --out FOLDER --data SAMPLES --sites banepa (a drone image, and its outlines of OpenStreetMap)
       python experiments/osm_joint_learning.py --out FOLDER --data ROOT --osm FILE     (Potsdam, and an extract there)

Prints F1 by class and OA as mean ± sd over the seeds on full and on eroded labels, OA on the validation part by epoch
(by step as a picture, curves.png), and which orderings held. On the city then, without --rows, OA of the trained networks where the test scenes' map is shifted and
incomplete more and more; the networks learned from maps shifted by 2 m (r.m.s., a layer each) with a quarter missing.
Residual correction starts from the SegNet and the OSMNet, which stay as they are. No real sample has image, labels and
a map of its own: with --sites the labels are the outlines of OpenStreetMap, and the map is the same outlines made worse
as on the city, so these figures say what networks make of a wrong map, and not how good OpenStreetMap is. Each half of
the site is trained and tested on; the second zero is the map itself. Small networks (width 16) and few steps but for --osm.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isprs_baselines import MAIN, contest, without_borders
from matplotlib.figure import Figure
from noisy_labels import BUILDING, SITES, Area, areas_of, read
from score_table import BenchmarkScenes, Row
from script import add_smoke, crop_scenes, kept_results, percents, plain_errors, store_results, title_of
from seeds import (
    GSD_M,
    SIZE_PX,
    SMALL,
    TEST_CITIES,
    TRAIN_CITIES,
    NetworkRow,
    Ordering,
    OutcomesByRow,
    accuracy,
    choose_rows,
    city_scenes,
    curve,
    f1_of,
    mean_table,
    run_folder,
    run_seeds,
    shorten_rows,
    write_tables,
)
from zero import OVERALL, Zero, largest_class_of_folds

from deepnets4eo.cards import DatasetCard, Legend, PublishedScores
from deepnets4eo.evaluation import evaluate_pairs, spread
from deepnets4eo.files import atomic_write
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.osm import OsmRules, rasterize_osm
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import RunFolder, load_run
from deepnets4eo.segmenters.history import read_log
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import osm_layers

IMAGE, MAP = "SegNet RGB", "OSMNet (binary OSM)"
CORRECTION, FUSE = "Residual correction RGB + OSM (binary)", "FuseNet RGB + OSM (binary)"
LAYERS = "model.layers=[image, osm]"
RGB_BANDS = (0, 1, 2)
WIDTH, CORRECTION_WIDTH = 16, 16
EPOCHS = 16  # of the small networks, 48 steps each; after 300 steps SegNet separates little but vegetation
OFFSET_M, MISSING = 2.0, 0.25
OTHER_MAPS = ((0.0, 0.0), (4.0, 0.25), (8.0, 0.25), (2.0, 0.5), (2.0, 0.75))
MAP_NAME = "off by {:g} m, {:.0%} missing"
SCORE = "overall_accuracy"
ORDERINGS = (
    Ordering(FUSE, IMAGE, "OA", accuracy),
    Ordering(FUSE, IMAGE, "F1 of buildings", f1_of("building")),
    Ordering(CORRECTION, IMAGE, "OA", accuracy),
)


def rows(small: bool, epochs: int | None = None) -> list[NetworkRow]:
    """The networks of the paper; `small` ones learn in a few minutes on a core."""
    narrow = f", width: {WIDTH}" if small else ""
    inside = f", options: [{{width: {WIDTH}}}, {{}}], correction_width: {CORRECTION_WIDTH}" if small else ""
    size: tuple[str, ...] = (*SMALL, f"train.epochs={epochs or EPOCHS}") if small else ()
    size = (f"train.epochs={epochs}",) if epochs and not small else size
    short = (*size, f"train.epochs={(epochs or EPOCHS) // 2 or 1}") if small else size
    streams = f"streams: [3, {len(OsmRules.load(None).names)}]"
    one = f"model.options={{width: {WIDTH}}}" if small else "model.options={}"
    same_rate = "train.encoder_lr_factor=1"
    correction = f"model.options={{{streams}, network: [segnet, osmnet], frozen: true{inside}}}"
    return [
        NetworkRow(Row(IMAGE, "segnet", (*size, one))),
        NetworkRow(Row(MAP, "segnet", (*short, "model.network=osmnet", "model.layers=[osm]", same_rate))),
        NetworkRow(Row(CORRECTION, "residual-correction", (*short, LAYERS, correction, same_rate)), (IMAGE, MAP)),
        NetworkRow(Row(FUSE, "fusenet", (*size, LAYERS, f"model.options={{{streams}{narrow}}}"))),
    ]


def city_map(seed: int, image: str, out: Path, offset_m: float, missing_share: float) -> str:
    """The map of a synthetic city on the grid of its image, shifted and incomplete; written once."""
    path = out / f"osm-{seed}-{offset_m:g}-{missing_share:g}.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        layers = City(seed, SIZE_PX, GSD_M).osm(offset_m, missing_share)
        layers = {name: table for name, table in layers.items() if len(table)}
        if not layers:
            return ""
        rasterize_osm(layers, image, path, coverage="everywhere", complete=list(layers), attribution="")
    return str(path)


def city(out: Path, *, smoke: bool = False) -> BenchmarkScenes:
    """Synthetic cities with their image and their map."""
    scenes = city_scenes(out, RGB_BANDS, smoke=smoke)
    splits = [
        {
            name: {**sources, "osm": city_map(seed, sources["image"], out / "osm", OFFSET_M, MISSING)}
            for seed, (name, sources) in zip(seeds, of_split.items(), strict=False)  # the first ones for --smoke
        }
        for seeds, of_split in ((TRAIN_CITIES, scenes.train), (TEST_CITIES, scenes.test))
    ]
    return BenchmarkScenes(*splits)


def contest_with_map(card: DatasetCard, root: Path, osm: Path, out: Path, *, smoke: bool = False) -> BenchmarkScenes:
    """The contest's tiles in red, green and blue, each with its part of an OpenStreetMap extract."""
    scenes = contest(card, root, None, {})  # by its card in red, green and blue
    scenes = crop_scenes(scenes, out / "smoke") if smoke else scenes

    def one(name: str, sources: Mapping[str, str]) -> dict[str, str]:
        path = out / "osm" / f"{name}.tif"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            rasterize_osm(osm, sources["image"], path)
        return {**sources, "osm": str(path)}

    return BenchmarkScenes(
        *({name: one(name, sources) for name, sources in of_split.items()} for of_split in (scenes.train, scenes.test))
    )


def map_of_site(area: Area, number: int) -> str:
    """The outlines of an area of a site as its map, shifted and incomplete by chance as on the city; written once."""
    path = area.image.with_name(f"{area.image.stem}-osm.tif")
    if not path.exists():
        rng = np.random.default_rng([number, 42])
        layers = osm_layers({"buildings": area.outlines[["geometry"]]}, rng, OFFSET_M, MISSING)
        rasterize_osm(layers, str(area.image), path, coverage="everywhere", complete=list(layers))
    return str(path)


def halves(site: str, samples: Path, out: Path, *, smoke: bool = False) -> list[BenchmarkScenes]:
    """Both halves of a real site, each trained and tested on."""
    areas = areas_of(site, samples, out / site, smoke=smoke)
    scenes = [
        {
            f"half-{number}": {
                "image": str(area.image),
                "osm": map_of_site(area, number),
                Scene.label_layer: str(area.draw("none")),
            }
        }
        for number, area in enumerate(areas)
    ]
    return [BenchmarkScenes(learnt, tested) for learnt, tested in zip(scenes, scenes[::-1], strict=True)]


def map_itself(folds: Sequence[BenchmarkScenes]) -> Zero:
    """The buildings of the map as the map of classes, scored on all test scenes, in percent."""
    band = OsmRules.load(None).names.index("buildings")
    matrix = ConfusionMatrix(BUILDING.num_classes)
    for sources in (one for fold in folds for one in fold.test.values()):
        drawn = Layer.open(sources["osm"]).read()[0][band] > 0
        matrix.update(read(Path(sources[Scene.label_layer])), drawn.astype(np.uint8))
    scores = {name: 100 * float(getattr(matrix, name)) for name in OVERALL}
    return Zero("the map itself", {**scores, "f1 of building": 100 * float(matrix.f1[1])})


def curves(outcomes: OutcomesByRow) -> list[str]:
    """OA on the validation part by epoch, in percent, mean over the seeds; and when a row first has half its rise."""
    lines = ["", "OA on the validation part by epoch (%), mean over the seeds:"]
    by_row = {
        name: np.array([curve(run_folder(one), SCORE) for one in outcomes[name]])
        for name in (IMAGE, FUSE)
        if name in outcomes
    }
    for name, values in by_row.items():
        lines.append(f"- {name}: {' '.join(f'{100 * value:.1f}' for value in values.mean(axis=0))}")
    if len(by_row) == 2 and by_row[IMAGE].shape == by_row[FUSE].shape:
        ahead = (by_row[FUSE] > by_row[IMAGE]).mean(axis=1)
        goal = by_row[IMAGE].max(axis=1)
        reached = [
            int(np.argmax(row >= top)) + 1 if (row >= top).any() else None
            for row, top in zip(by_row[FUSE], goal, strict=True)
        ]
        best = by_row[IMAGE].argmax(axis=1) + 1
        earlier = sum(epoch is not None and epoch < one for epoch, one in zip(reached, best, strict=True))
        lines.append(
            f"- {FUSE} is above {IMAGE} in {', '.join(f'{100 * share:.0f} %' for share in ahead)} of the epochs; it has "
            f"{IMAGE}'s best score (epoch {', '.join(map(str, best))}) at epoch {', '.join(map(str, reached))}: earlier "
            f"in {earlier} of {len(reached)} seeds"
        )
    return lines


def draw_by_step(outcomes: OutcomesByRow, path: Path, title: str) -> Path:
    """Loss of training, and OA on the validation part, by step: the mean over the seeds, and each seed as a thin line."""
    axes = (figure := Figure(figsize=(9, 3.4), layout="constrained")).subplots(1, 2)
    for number, name in enumerate(one for one in (IMAGE, FUSE) if one in outcomes):
        runs = [run_folder(one) for one in outcomes[name]]
        recipe, histories = load_run(runs[0]).recipe, [read_log(RunFolder(run).log) for run in runs]
        steps_an_epoch = recipe["data"]["windows_per_epoch"] // recipe["train"]["batch_size"]
        steps = [row["epoch"] * steps_an_epoch for row in histories[0]]
        for axis, column, scale in zip(axes, ("loss", SCORE), (1, 100), strict=True):
            values = scale * np.array([[row[column] for row in history] for history in histories])
            axis.plot(steps, values.mean(axis=0), color=f"C{number}", label=name, marker=".")
            axis.plot(steps, values.T, color=f"C{number}", alpha=0.35, linewidth=0.8)
    for axis, what in zip(axes, ("loss of training", "overall accuracy on the validation part, %"), strict=True):
        axis.set(xlabel="step", ylabel=what)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title, fontsize="medium")
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def sweep(
    outcomes: OutcomesByRow, scenes: BenchmarkScenes, legend: Legend, out: Path
) -> dict[str, dict[str, list[float]]]:
    """Return OA in percent on the test scenes under worse and worse maps, by map and row, one value per seed."""
    names = [name for name in (IMAGE, MAP, CORRECTION, FUSE) if name in outcomes]
    by_map: dict[str, dict[str, list[float]]] = {}
    for worse in OTHER_MAPS:
        by_row = {
            name: [
                accuracy(one)
                if name == IMAGE
                else _with_map(run_folder(one), scenes, legend, out / "sweep" / f"seed-{number}", worse)
                for number, one in enumerate(outcomes[name])
            ]
            for name in names
        }
        by_map[MAP_NAME.format(*worse)] = {name: percents(values) for name, values in by_row.items()}
    return by_map


def sweep_table(by_map: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Return lines of a table of `sweep`, mean ± sd over the seeds."""
    names = list(next(iter(by_map.values())))
    head = ["OA (%) by map of the test scenes", *names]
    cells = [[name, *(spread(values) for values in by_row.values())] for name, by_row in by_map.items()]
    return [
        "",
        f"| {' | '.join(head)} |",
        "|---" + "|---:" * len(names) + "|",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]


def _with_map(run: Path, scenes: BenchmarkScenes, legend: Legend, out: Path, worse: tuple[float, float]) -> float:
    """OA of a run where the test scenes have another map; NaN where that map is empty."""
    loaded, pairs = load_run(run), []
    for seed, (name, sources) in zip(TEST_CITIES, scenes.test.items(), strict=False):
        osm = city_map(seed, sources["image"], out.parent.parent / "osm", *worse)
        if not osm:
            return float("nan")
        every = {"image": sources["image"], "osm": osm}
        scene = Scene.open(None, **{layer: every[layer] for layer in loaded.segmenter.inputs.names})
        target = out / run.parent.name / f"{name}.tif"
        target.parent.mkdir(parents=True, exist_ok=True)
        predict(loaded, scene, target, PredictOptions(overwrite=True))
        pairs.append((target, sources[Scene.label_layer]))
    return float(evaluate_pairs(pairs, legend).to_dict()[SCORE])


@dataclass(frozen=True)
class Study:
    """Folds of scenes in a legend on which the networks are compared, and the published scores."""

    title: str
    folds: Sequence[BenchmarkScenes]
    legend: Legend
    classes: Sequence[str]
    published: Mapping[str, PublishedScores]
    site: str = ""

    @classmethod
    def choose(cls, arguments: argparse.Namespace, site: str) -> Study:
        """The study of a real site if one is named, else of the contest if its map is given, else of the miniature city."""
        out, smoke = arguments.out, arguments.smoke
        if site:
            folds = halves(site, arguments.data, out, smoke=smoke)
            return cls(f"OSM made worse, on {site.title()}", folds, BUILDING, tuple(BUILDING.names), {}, site)
        card, legend = DatasetCard.load("isprs_potsdam"), Legend.load("isprs")
        if arguments.osm:
            scenes = contest_with_map(card, arguments.data, arguments.osm, out, smoke=smoke)
            return cls("OSM on Potsdam", [scenes], legend, MAIN, card.published)
        scenes = city(out, smoke=smoke)
        return cls("OSM on the miniature city (SYNTHETIC)", [scenes], legend, MAIN, card.published)

    def zeros(self) -> list[Zero]:
        """Scores without training: the largest class and, of a real site, the map itself."""
        return [largest_class_of_folds(self.folds, self.legend), *([map_itself(self.folds)] if self.site else [])]


def report(study: Study, arguments: argparse.Namespace, seeds: Sequence[int]) -> str:
    """Train the rows of a study, store their figures, and return its tables."""
    smoke, out = arguments.smoke, arguments.out / study.site
    title = title_of(study.title, smoke=smoke)
    small = arguments.osm is None
    every = rows(small, arguments.epochs)
    table = choose_rows(shorten_rows(every) if smoke else every, arguments.rows)
    by_row, left_out = run_seeds(table, study.folds, study.legend, out, seeds)
    notes = ["Orderings, on full labels:", *(one.describe(by_row) for one in ORDERINGS), *curves(by_row)]
    notes += [f"- {name} is left out: {reason}" for name, reason in left_out.items()]
    on_city = small and not study.site
    other_maps = sweep(by_row, study.folds[0], study.legend, out) if on_city and not arguments.rows else {}
    notes += sweep_table(other_maps) if other_maps else []
    zeros = study.zeros()
    notes += [f"- {zero.line()}" for zero in zeros]
    text = mean_table(f"{title}: full labels", by_row, study.classes, study.published, notes)
    if not study.site:
        borderless = {name: without_borders(of, study.folds[0], study.legend) for name, of in by_row.items()}
        text += "\n" + mean_table(f"{title}: eroded labels", borderless, study.classes, study.published, [])
    figures = {
        name: {
            "overall_accuracy": percents(map(accuracy, of_row)),
            "f1 of building": percents(map(f1_of("building"), of_row)),
        }
        for name, of_row in by_row.items()
    }
    epochs = arguments.epochs or (EPOCHS if small else None)
    stored: dict[str, Any] = {"data": title, "epochs": epochs, "zero": zeros[0].to_dict(), "full_labels": figures}
    kept = kept_results(arguments.out, smoke=smoke)
    if study.site:
        stored["map_itself"] = zeros[1].to_dict()
        kept["sites"] = {**kept.get("sites", {}), study.site: stored}
    else:
        kept |= stored | {"accuracy_by_map": other_maps}
    store_results(arguments.out, smoke=smoke, **kept)
    draw_by_step(by_row, out / "curves.png", title)
    return write_tables(out, text, by_row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the tiles of Potsdam; with --sites the folder of real samples")
    parser.add_argument("--osm", type=Path, help="with the tiles of Potsdam: extract of OpenStreetMap around them")
    parser.add_argument("--sites", nargs="+", choices=list(SITES), default=[], help="real sites instead of the city")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", help="names of rows; all by default")
    parser.add_argument("--epochs", type=int)
    add_smoke(parser)
    arguments = parser.parse_args()
    if bool(arguments.data) != bool(arguments.osm or arguments.sites) or (arguments.osm and arguments.sites):
        parser.error("--data goes with --osm (Potsdam) or with --sites (real samples)")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("seeds").setLevel(logging.INFO)
    seeds = arguments.seeds[: 1 if arguments.smoke else None]
    for site in arguments.sites or [""]:
        print(report(Study.choose(arguments, site), arguments, seeds))


if __name__ == "__main__":
    with plain_errors():
        main()
