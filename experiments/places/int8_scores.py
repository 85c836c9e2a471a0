"""Scores of shipped networks at real places, computed in float32 and by int8 weights.

Takes a run with int8 weights and the folder of samples; returns one entry per place. Buildings have their IoU; damage has AUC of major damage or
worse, of the network and of the job, and the number of buildings with another grade; water has the IoU of new water with float32, and
the buildings in it. Refuses runs without int8 weights and folders without the samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optical_floods import fine_scene, real_cases, water_of_case
from script import require_files

from deepnets4eo.damage import Settings
from deepnets4eo.device import INT8, TORCH
from deepnets4eo.errors import InputError
from deepnets4eo.floods import WaterMapper
from deepnets4eo.prediction import PredictOptions
from deepnets4eo.segmenters import Run, load_run
from deepnets4eo.segmenters.int8_network import Int8Network
from places import building_scores, damage_scores
from places.working_grid import on_working_grid

FLOAT32 = "float32"
SETTINGS: Mapping[str, dict[str, Any]] = {
    FLOAT32: {"precision": "float32", "runtime": TORCH},
    "int8": {"precision": "auto", "runtime": INT8},
}
DAMAGE_SITES = ("joplin-tornado_00000000", "santa-rosa-wildfire_00000242", "moore_tornado", "xbd_post_scenes")
WATER_SITES = (
    "hurricane-harvey_00000126", "hurricane-florence_00000480", "midwest-flooding_00000000",
    "hurricane-florence_00000318", "joplin-tornado_00000000", "mexico-earthquake_00000005",
)  # fmt: skip
DIGITS = 4


def open_int8(folder: Path) -> tuple[Run, Int8Network]:
    """Open a run and its int8 weights. Errors: InputError."""
    run = load_run(folder)
    int8: Int8Network | None = getattr(run.segmenter, "int8", None)
    if int8 is None:
        raise InputError(f"{folder} has no int8 weights; expected weights.int8.onnx. Write them first, without --data.")
    return run, int8


def of_buildings(run: Run, data: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield places, and IoU of buildings by way. Errors: InputError if the run does not read colours."""
    building_scores.check_reads_colours(run)
    for site in building_scores.SITES:
        sources = site.read(require_files(data, site.folder)[0])
        scenes = [on_working_grid(source, building_scores.working_gsd_m(run)) for source in sources]
        scores = {}
        for way, settings in SETTINGS.items():
            maps = [building_scores.find_buildings(run, scene, runtime=settings["runtime"]) for scene in scenes]
            total = reduce(add, map(building_scores.score_buildings, scenes, maps))
            scores[way] = round(float(total.pixels.iou[1]), DIGITS)
        yield site.name, scores


def of_damage(data: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield places, and AUC of the default network and of the job by way, with the number of other grades by int8 weights."""
    for site in damage_scores.SITES:
        if site.name not in DAMAGE_SITES:
            continue
        parts: dict[str, dict[str, list[pd.DataFrame]]] = {way: {} for way in SETTINGS}
        for case in site.read(require_files(data, site.folder)[0]):
            for way, settings in SETTINGS.items():
                rows = damage_scores.assess_case(case, replace(Settings(workers=1), **settings))
                for method, table in rows.items():
                    parts[way].setdefault(method, []).append(pd.DataFrame(table.drop(columns="geometry")))
        tables = {
            way: {method: pd.concat(rows, ignore_index=True) for method, rows in methods.items()}
            for way, methods in parts.items()
        }
        yield site.name, damage_entry(tables)


def damage_entry(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> dict[str, float]:
    """Return the scores of a place from rows by way and method."""
    entry: dict[str, float] = {}
    for method, name in ((damage_scores.NETWORK, "network"), (damage_scores.BOTH, "job")):
        for way, rows in tables.items():
            auc = damage_scores.scores_of(rows[method])["auc"]
            entry[f"{name}, {way}"] = round(float(auc), DIGITS)
    jobs = [rows[damage_scores.BOTH].set_index(["case", "id"])["grade"] for rows in tables.values()]
    other = int((jobs[0] != jobs[1].reindex(jobs[0].index)).sum())
    return entry | {"buildings": len(jobs[0]), "other grades": other}


def of_water(data: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield places, and how new water by int8 weights agrees with that in float32; the IoU is left out if neither has any."""
    for case in real_cases(data):
        if case.site not in WATER_SITES:
            continue
        scene = fine_scene(case)
        mapper = WaterMapper.of_scene(scene)
        both = [water_of_case(case, mapper, scene, PredictOptions(**settings)) for settings in SETTINGS.values()]
        yield case.site, water_entry(*both)


def water_entry(
    exact: tuple[NDArray[np.bool_], NDArray[np.bool_]], by_int8: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> dict[str, float]:
    """Return the agreement of two maps of new water, each with the buildings that are in water."""
    (new, houses), (other_new, other_houses) = exact, by_int8
    either = int((new | other_new).sum())
    iou = {"iou of new water": round(float((new & other_new).sum()) / either, DIGITS)} if either else {}
    return iou | {
        "in water, float32": int(houses.sum()), "in water, int8": int(other_houses.sum()),
        "other buildings": int((houses != other_houses).sum()),
    }  # fmt: skip
