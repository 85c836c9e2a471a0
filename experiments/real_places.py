"""Every real place beside the goals: grades of damage, false alarms, buildings out of one image, and speed.

Usage: python experiments/real_places.py --data FOLDER --out runs/real_places [--buildings RUN …] [--network RUN …]
                                         [--shipped] [--check | --write] [--parts buildings damage] [--smoke]

FOLDER holds the sample sets by name; a row states which folder is missing. No weights are trained on these places, but constants were
chosen while looking at some of them, so that their figures are not held out. Each constant names its places; together they are
- Florence 480, Harvey 126, Midwest 00 and 06, Nepal 408: water around buildings (Florence 318 and Adiyaman 6: which surface is not water;
  Harvey 377, Florence 520, Santa Rosa 115, Adiyaman 6: when water is unknown rather than absent);
- Kahramanmaras 4, Adiyaman 6 and 2 NE, Joplin: the level of intact roofs at earthquakes; Mexico 05 and 10: intervals of earthquakes;
- the five Turkish cities: slope, levels and share of the evidence of sites seen from two sides (Santa Rosa 242: which sites are not);
- all of them: the second damaged group and the lower end of intervals, chosen on synthetic cities while these jobs were looked at.
The cities were graded by eye by one rater before any map was seen; the three panels have no grades: their rows state what the job reports.
Two baselines come along: the weight-free damage model, and a random forest trained on synthetic cities (trained and scored once, then kept in --out).
The rows of each case are kept in --out/cases by the version of the code, so that a run that was cut continues there. table.md and
table.json gather the scores of all runs in --out, sheets/ contains pictures of every site. Runs read red, green and blue; images are brought to the
pixel size of their training, between 0.3 and 1 m.
--check scores the damage jobs with and without the network, prints the scores before (results/real_places.json) and after in one table,
and the figures in README, docs and cards that differ by more than rounding; then the exit status is 1. --write renews these figures and
the stored scores of after; with --parts buildings it stores the scores of buildings instead.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from places import building_scores, damage_scores
from places.before_after import before_after_table, kept_scores, store_building_scores, store_scores
from places.building_scores import check_reads_colours, find_buildings, score_buildings, working_gsd_m
from places.damage_scores import (
    WEIGHT_FREE,
    assess_case,
    intervals_of,
    ranges_of,
    reports_of,
    scores_of,
    weight_free_settings,
)
from places.results import (
    ALL,
    BOTH_KINDS,
    HURRICANE,
    INTACT,
    MISSING,
    TURKEY,
    building_sheet,
    damage_sheet,
    mean_of_sites,
    save_mask,
    write_results,
)
from places.working_grid import metric_grid, on_working_grid
from printed_figures import differences, write_figures
from script import NOTE, add_smoke, plain_errors

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.damage import Settings
from deepnets4eo.damage.network import NetworkGrader
from deepnets4eo.damage.network.pairs import in_pixels, make_scene
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import atomic_write, write_json
from deepnets4eo.grid import Window
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import RunFolder, ensemble_run, load_run
from deepnets4eo.synthetic import City
from deepnets4eo.training import train
from deepnets4eo.version import code_version

SPEED_SIDE_PX, STEP_PX, ROOF_PX = 1024, 40, 24
SPEED_GSD_M = 0.5

SEEDS, SIZE_PX, GSD_M = range(101, 109), 640, 0.5
COLOURS = ("red", "green", "blue")
RECIPE = "baselines/random-forest"
OVERRIDES = ("legend=minicity", "model.max_samples=40000")

FOREST = "forest"
STORED = Path(__file__).with_name("results") / "real_places.json"
PARTS = ("buildings", "damage")
SMOKE_SITES = 3  # the first ones of each part


def score_run_on_buildings(folder: Path, name: str, data: Path, out: Path, sites: Sequence[Any]) -> None:
    """Score one run that labels pixels on all sites; keeps the scores and the maps in `out`."""
    run = load_run(folder)
    check_reads_colours(run)
    gsd_m = working_gsd_m(run)
    scores: dict[str, dict[str, Any]] = {}
    for site in sites:
        started = time.perf_counter()
        if not (data / site.folder).is_dir():
            scores[site.name] = {MISSING: f"missing: there is no {data / site.folder}"}
            continue
        scenes = [on_working_grid(source, gsd_m) for source in site.read(data / site.folder)]
        results = []
        for number, scene in enumerate(scenes):
            result = find_buildings(run, scene)
            results.append(score_buildings(scene, result))
            save_mask(out / "maps" / name / f"{site.name}-{number}.png", result.mask)
        building_sheet(out / "sheets" / f"{site.name}.png", scenes, out / "maps")
        scores[site.name] = reduce(add, results).to_dict()
        print(
            f"{name} {site.name}: IoU {scores[site.name]['iou']:.3f}, {time.perf_counter() - started:.0f} s",
            file=sys.stderr,
        )
    write_json(out / f"buildings-{name}.json", scores)


def score_damage(settings: Settings, name: str, data: Path, out: Path, sites: Sequence[Any]) -> None:
    """Score the damage job on all sites; keeps the scores by method, every building's row, and pictures in `out`."""
    tables: dict[str, list[gpd.GeoDataFrame]] = {}
    missing = {}
    for site in sites:
        started = time.perf_counter()
        if not (data / site.folder).is_dir():
            missing[site.name] = {MISSING: f"missing: there is no {data / site.folder}"}
            continue
        for number, case in enumerate(site.read(data / site.folder)):
            sheet = "-".join([*site.name.replace(",", "").split(), str(number), name])
            kept = out / "cases" / code_version() / sheet
            methods = read_case(kept) or keep_case(kept, assess_case(case, settings))
            if not methods:
                missing[site.name] = {MISSING: "the job refuses the images"}
                continue
            damage_sheet(out / "sheets" / f"damage-{sheet}.png", case, methods)
            for method, rows in methods.items():
                tables.setdefault(method, []).append(rows)
        print(f"{name} {site.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    for method, parts in tables.items():
        rows = pd.concat([pd.DataFrame(part.drop(columns="geometry")) for part in parts], ignore_index=True)
        column = name if method == name else f"{name}-{method}"
        rows.to_csv(out / f"rows-{column}.csv", index=False)
        write_json(out / f"damage-{column}.json", {**missing, **scores_by_site(rows)})
    if not tables:
        write_json(out / f"damage-{name}.json", missing)


def read_case(folder: Path) -> dict[str, gpd.GeoDataFrame]:
    """Read the rows of a case by method that `keep_case` wrote; empty if there are none."""
    return {path.stem: gpd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}


def keep_case(folder: Path, methods: dict[str, gpd.GeoDataFrame]) -> dict[str, gpd.GeoDataFrame]:
    """Write the rows of a case by method, and return them."""
    for method, rows in methods.items():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / f"{method}.parquet") as partial:
            rows.to_parquet(partial)
    return methods


def scores_by_site(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the scores of each site, of groups of sites, and of all graded sites together, with what chance leaves open.

    A site without grades has what the job states: assessed and named buildings, and its interval of the damaged share.
    """
    graded = rows[rows["truth"] >= 0]
    parts = {str(site): part for site, part in rows.groupby("site", sort=False)}
    parts[HURRICANE] = graded[(graded["site"] == "xbd_post_scenes") & (graded["case"] == damage_scores.HURRICANE)]
    parts[TURKEY] = graded[graded["site"].isin(damage_scores.CITIES)]
    parts[ALL] = graded
    parts[INTACT] = graded[graded["site"].isin(damage_scores.INTACT_SITES)]
    scores = {name: _scores(part) for name, part in parts.items() if len(part)}
    means = mean_of_sites(scores)
    return scores | ({BOTH_KINDS: means} if means else {})


def _scores(part: pd.DataFrame) -> dict[str, Any]:
    if (part["truth"] < 0).all():
        return reports_of(part)
    return scores_of(part) | intervals_of(part) | ranges_of(part)


def commit_of(root: Path) -> str:
    """Return the short name of the commit that is checked out."""
    command = ["git", "rev-parse", "--short=8", "HEAD"]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def run_name(folder: Path) -> str:
    """Name of a run's column: the last two folders of its path."""
    return "-".join(folder.resolve().parts[-2:]).replace(" ", "-")


def measure_speed(measure: Callable[[Path], dict[str, float | int]], folder: Path, name: str, out: Path) -> None:
    """Keep the speed of a run in `out`."""
    write_json(out / f"speed-{name}.json", measure(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buildings", type=Path, nargs="*", default=[], help="runs that label buildings")
    parser.add_argument("--network", type=Path, nargs="*", default=[], help="runs that grade buildings in two images")
    parser.add_argument("--shipped", action="store_true", help="the damage job with the network that comes with it")
    parser.add_argument("--check", action="store_true", help="compare the figures in README, docs and cards")
    parser.add_argument("--write", action="store_true", help="write the figures in README, docs and cards")
    parser.add_argument("--parts", choices=PARTS, nargs="*", help="both, or damage with --check and --write")
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    few = SMOKE_SITES if options.smoke else None
    options.shipped |= options.check or options.write
    options.parts = options.parts or (("damage",) if options.check or options.write else PARTS)
    if options.smoke:
        print(NOTE)
    if "buildings" in options.parts:
        buildings = {run_name(folder): folder for folder in options.buildings}
        if not (options.out / f"buildings-{FOREST}.json").exists():
            buildings[FOREST] = city_forest(options.out, smoke=options.smoke)
        for name, folder in buildings.items():
            try:
                score_run_on_buildings(folder, name, options.data, options.out, building_scores.SITES[:few])
                measure_speed(labelling_speed, folder, name, options.out)
            except DeepNets4EOError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
    if "damage" in options.parts:
        score_damage(weight_free_settings(), WEIGHT_FREE, options.data, options.out, damage_scores.SITES[:few])
        if options.shipped:
            score_damage(Settings(), "shipped", options.data, options.out, damage_scores.SITES[:few])
        for folder in options.network:
            name = run_name(folder)
            try:
                load_run(folder)  # a run that cannot be read is no fault of the images
                score_damage(Settings(model=str(folder)), name, options.data, options.out, damage_scores.SITES[:few])
                measure_speed(grading_speed, folder, name, options.out)
            except DeepNets4EOError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
    notes = {
        "damage": {site.name: site.note for site in damage_scores.SITES},
        "buildings": {site.name: site.note for site in building_scores.SITES},
    }
    path = write_results(options.out, notes)
    print(path.read_text(encoding="utf-8"))
    print(path)
    root = Path(__file__).parents[1]
    if options.check or options.write:
        print(before_after_table(options.out, STORED))
    if options.write:
        if not options.smoke and "damage" in options.parts:
            store_scores(options.out, STORED, commit_of(root))
        if not options.smoke and "buildings" in options.parts:
            store_building_scores(options.out, STORED)
        print(*write_figures(root), sep="\n")
    elif options.check and (
        lines := differences(root, {"real_places": {"after": {"scores": kept_scores(options.out)}}})
    ):
        print(*lines, sep="\n")
        sys.exit(1)


def city_forest(out: Path, *, smoke: bool = False) -> Path:
    """Return the folder of the forest's run, trained where it is not there; under two minutes on one core."""
    run = out / ("forest-smoke" if smoke else "forest")
    if RunFolder(run).card.is_file():
        return run
    seeds, size_px = (SEEDS[:2], 128) if smoke else (SEEDS, SIZE_PX)
    cities = out / ("cities-smoke" if smoke else "cities")
    for seed in seeds:
        _write_city(cities / f"c{seed}", City(seed, size_px, GSD_M))
    few = ("model.max_samples=200", "data.block_px=64", "data.buffer_px=0") if smoke else ()
    return train(RECIPE, run, data=cities, overrides=[*OVERRIDES, *few])


def _write_city(folder: Path, city: City) -> None:
    """Image before the event and its labels; files that exist are not written again."""
    legend = Legend.load("minicity")
    folder.mkdir(parents=True, exist_ok=True)
    layers = {"image": city.pre.image[:3], "labels": city.pre.labels(legend)[None]}
    for name, values in layers.items():
        if (folder / f"{name}.tif").exists():
            continue
        label = name == "labels"
        with CogWriter(
            folder / f"{name}.tif", city.pre.grid, count=len(values), dtype="uint8", nodata=VOID if label else None,
            legend=legend if label else None, band_names=("labels",) if label else COLOURS, tags=city.tags,
        ) as cog:  # fmt: skip
            cog.write(Window(0, 0, *city.shape), values)


def labelling_speed(folder: Path, side_px: int = SPEED_SIDE_PX) -> dict[str, float | int]:
    """Speed of a run that labels pixels, by one view, in the best precision of the device.

    Returns
    -------
    Million pixels a second of the network alone and of the whole prediction, and the threads of torch.
    """
    run = ensemble_run([load_run(folder)], views="none")
    layers = {name: _noise(len(one.bands), side_px) for name, one in run.inputs.layers.items() if not one.optional}
    with TemporaryDirectory() as out:
        prediction = predict(run, Scene(layers), Path(out) / "labels.tif")
    pixels = side_px**2 / 1e6
    return {
        "MPix/s": pixels / prediction.seconds, "MPix/s in the network": pixels / prediction.network_s, "threads": _threads(),
    }  # fmt: skip


def grading_speed(folder: Path, side_px: int = SPEED_SIDE_PX) -> dict[str, float | int]:
    """Speed of a run that grades buildings in pairs of images, with a building every 20 m.

    Returns
    -------
    Million pixels of pairs a second, buildings a second, and the threads of torch.
    """
    grader = NetworkGrader.load(folder, precision="auto")
    bands = len(next(iter(grader.run.inputs.layers.values())).bands)
    scene = make_scene(_noise(bands, side_px), _noise(bands, side_px))
    corners = np.arange(0, side_px - STEP_PX, STEP_PX)
    boxes = np.array([shapely.box(x, y, x + ROOF_PX, y + ROOF_PX) for x in corners for y in corners], dtype=object)
    started = time.perf_counter()
    grader.grade(scene, in_pixels(boxes, (side_px, side_px)))
    seconds = time.perf_counter() - started
    return {
        "MPix/s of pairs": side_px**2 / 1e6 / seconds, "buildings/s": len(boxes) / seconds, "threads": _threads(),
    }  # fmt: skip


def _noise(bands: int, side_px: int) -> Layer:
    values = np.random.default_rng(0).integers(0, 256, (bands, side_px, side_px), np.uint8)
    return Layer.open(values, grid=metric_grid((side_px, side_px), (SPEED_GSD_M, SPEED_GSD_M)))


def _threads() -> int:
    import torch

    return torch.get_num_threads()


if __name__ == "__main__":
    with plain_errors():
        main()
