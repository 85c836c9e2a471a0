"""How runs fare on styles and hazards of the miniature world that they were not taught on. SYNTHETIC: no real place.

Usage: python experiments/world_left_out.py --out FOLDER [--buildings RUN …] [--network RUN …] [--styles NAME …]
                                            [--hazards NAME …] [--windows 6] [--smoke]

Give the runs of several training seeds, all taught without the named styles and hazards. Each style is drawn with random
hazards, each hazard with random styles, in three draws of `--windows` pairs of 512 px, from seeds that no training uses
(from 9,000,000 on). Buildings are looked for in the image before the event; where a crown hides a roof, the reference
is void. The damage job runs whole, with true outlines, against the grades that are visible from above, with and without
the network. Mean ± standard deviation over runs and draws; table.md and table.json in --out.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from places.building_scores import check_reads_colours, find_buildings, score_buildings
from places.damage_scores import assess_case, scores_of, weight_free_settings
from places.damage_sites import DamageCase
from places.results import markdown_table
from places.working_grid import CRS, SMALLEST_M2, BuildingScene, metric_grid
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage import Settings
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.synthetic.world.pair import PairSample
from deepnets4eo.synthetic.world.stream import draw_pair

FIRST_SEED, DRAWS, SIZE_PX = 9_000_000, 3, 512
STYLE, HAZARD = "style", "hazard"
BUILDING_KEYS = ("iou", "precision", "recall", "object_f1")
DAMAGE_KEYS = ("buildings", "auc", "auc_half", "f1", "quadratic_kappa", "false_alarms", "ece", "brier")
Row = dict[str, Any]


def samples_of(kind: str, name: str, draw: int, windows: int, size_px: int = SIZE_PX) -> Iterator[PairSample]:
    """Pairs of one style or hazard; the same seeds for all, so that draws of two names differ by the name alone."""
    for number in range(windows):
        chosen: dict[str, Any] = {kind: name}
        yield draw_pair(FIRST_SEED + draw * 1000 + number, size_px=size_px, **chosen)


def building_scene(sample: PairSample) -> BuildingScene:
    """The image before the event with its buildings; void where a crown hides a roof."""
    legend = Legend.load("minicity")
    building = sample.labels_pre == legend.value("building")
    reference = building.astype(np.uint8)
    reference[(sample.roofs_pre > 0) & ~building] = VOID
    outlines = _outlines(sample)
    objects = outlines.assign(difficult=outlines.area.to_numpy() < SMALLEST_M2)
    image = np.ascontiguousarray(sample.pre[:3])
    return BuildingScene(image, reference, objects, metric_grid(reference.shape, (sample.gsd_m, sample.gsd_m)))


def damage_case(sample: PairSample, group: str, name: str) -> DamageCase:
    """The pair with true outlines and the grades that are visible from above."""
    outlines = _outlines(sample)
    numbers = outlines["row"].to_numpy(int)
    grid = metric_grid(sample.labels_pre.shape, (sample.gsd_m, sample.gsd_m))
    pre, post = (Layer.open(np.ascontiguousarray(image[:3]), grid=grid) for image in (sample.pre, sample.post))
    truth = pd.DataFrame({"id": outlines["id"], "damage": [GRADES[grade] for grade in sample.visible[numbers]]})
    return DamageCase(group, pre, post, outlines[["id", "geometry"]], truth, name)


def score_building_runs(folders: Sequence[Path], groups: Sequence[tuple[str, str]], windows: int) -> list[Row]:
    """One row a run, group and draw."""
    rows = []
    runs = {folder: load_run(folder) for folder in folders}
    for folder, run in runs.items():
        check_reads_colours(run)
        for kind, name in groups:
            for draw in range(DRAWS):
                scenes = [building_scene(sample) for sample in samples_of(kind, name, draw, windows)]
                scores = reduce(add, [score_buildings(scene, find_buildings(run, scene)) for scene in scenes])
                rows.append(
                    {"left out": f"{kind} {name}", "method": "buildings", "run": str(folder), **scores.to_dict()}
                )
    return rows


def score_damage_runs(folders: Sequence[Path], groups: Sequence[tuple[str, str]], windows: int) -> list[Row]:
    """One row a method, group and draw: without a network, and for every run the network alone and both together."""
    settings = {"": weight_free_settings()} | {str(folder): Settings(model=str(folder)) for folder in folders}
    rows = []
    for kind, name in groups:
        for draw in range(DRAWS):
            samples = samples_of(kind, name, draw, windows)
            cases = [damage_case(sample, f"{kind} {name}", str(number)) for number, sample in enumerate(samples)]
            for run, one in settings.items():
                tables: dict[str, list[pd.DataFrame]] = {}
                for case in cases:
                    for method, table in assess_case(case, one).items():
                        tables.setdefault(method, []).append(pd.DataFrame(table.drop(columns="geometry")))
                for method, parts in tables.items():
                    scores = scores_of(pd.concat(parts, ignore_index=True))
                    rows.append({"left out": f"{kind} {name}", "method": method, "run": run, **scores})
    return rows


def summary_table(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """Mean ± standard deviation over runs and draws, one line a style or hazard and method."""
    frame = pd.DataFrame(rows)
    lines = []
    for (group, method), part in frame.groupby(["left out", "method"], sort=False):
        lines.append([group, method, *(spread(part[key], 3) for key in keys)])
    return markdown_table(["left out", "method", *keys], lines)


def main() -> None:
    from deepnets4eo.synthetic.world.hazard import hazard_names
    from deepnets4eo.synthetic.world.style import style_names

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buildings", type=Path, nargs="*", default=[], help="runs that label buildings")
    parser.add_argument("--network", type=Path, nargs="*", default=[], help="runs that grade buildings")
    parser.add_argument("--styles", nargs="*", choices=style_names(), default=[])
    parser.add_argument("--hazards", nargs="*", choices=hazard_names(), default=[])
    parser.add_argument("--windows", type=int, default=6, help="pairs a draw")
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if options.smoke:
        options.windows = 1
        print(NOTE)
    groups = [(STYLE, name) for name in options.styles] + [(HAZARD, name) for name in options.hazards]
    if not groups:
        parser.error("name at least one style or hazard that the runs were not taught on: --styles, --hazards")
    styles = [group for group in groups if group[0] == STYLE]  # no hazard has happened in the image before the event
    buildings = score_building_runs(options.buildings, styles, options.windows)
    damage = score_damage_runs(options.network, groups, options.windows)
    parts = ["# SYNTHETIC: styles and hazards of the miniature world that were left out of training"]
    if buildings:
        parts += ["## Buildings from one image", summary_table(buildings, BUILDING_KEYS)]
    parts += ["## Damage", summary_table(damage, DAMAGE_KEYS)]
    write_json(options.out / "table.json", {"synthetic": True, "buildings": buildings, "damage": damage})
    path = write_text(options.out / "table.md", "\n\n".join(parts) + "\n")
    print(path.read_text(encoding="utf-8"))
    print(path)


def _outlines(sample: PairSample) -> gpd.GeoDataFrame:
    """True outlines of the buildings in the image, with `id` and their row in the plan."""
    shapes = np.array(sample.polygons(), dtype=object)
    rows = np.flatnonzero(shapely.area(shapes) > 0)
    grid = metric_grid(sample.labels_pre.shape, (sample.gsd_m, sample.gsd_m))
    on_ground = transform_shapes(grid.affine, shapes[rows])
    return gpd.GeoDataFrame({"id": [f"b{row:04d}" for row in rows], "row": rows}, geometry=on_ground, crs=CRS)


if __name__ == "__main__":
    with plain_errors():
        main()
