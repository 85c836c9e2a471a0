"""Cars found by a mixture of part templates: on miniature cities (synthetic) it never saw, and on real labelled crops.

Usage: python experiments/car_detection.py [--cities 10] [--unseen 5] [--size-px 700] [--parts 0] [--score ncc]
       python experiments/car_detection.py --crop FOLDER [--legend isprs-mmseg]
FOLDER holds one image in img_dir/ and its label values in ann_dir/; the crop is cut in two along a row that no car
crosses, each half is learned from and tested on the other. Some ten minutes on two cores for the cities.
Prints one JSON with precision, recall, F1, average precision (overlap above a half), F1 by area, and times.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from script import plain_errors, require_files
from smoke import add_smoke, title_of

from deepnets4eo.baselines import PartDetector
from deepnets4eo.baselines.parts import PartSettings, reference_outlines
from deepnets4eo.cards.legend import Legend
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import area_scores, evaluate_detections
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.synthetic import City

GSD_M = 0.1
TRAINED, UNSEEN = 1, 501  # first seeds
FAINT = 0.02  # probability from which on detections count for the average precision
BUFFER_PX = 8


def city_scene(seed: int, size_px: int) -> Scene:
    """A miniature city with ISPRS labels."""
    city = City(seed, size_px, GSD_M)
    labels = Layer.open(city.labels("isprs"), grid=city.grid)
    return Scene({"image": Layer.open(city.image, grid=city.grid), "labels": labels})


def halves(folder: Path, legend: Legend, class_name: str) -> tuple[Scene, Scene]:
    """The two parts of a crop, on either side of the row without cars that is nearest to its middle."""
    image, labels = (Layer.open(require_files(folder / name, "*")[0]) for name in ("img_dir", "ann_dir"))
    values, classes = image.read()[0], labels.read()[0][0]
    busy = (classes == legend.value(class_name)).any(axis=1)
    near = np.convolve(busy, np.ones(2 * BUFFER_PX + 1), "same") > 0
    free = np.flatnonzero(~near)
    cut = int(free[np.abs(free - len(busy) / 2).argmin()])
    upper, lower = slice(0, cut - BUFFER_PX), slice(cut + BUFFER_PX, None)
    return scene_of(values[:, upper], classes[upper]), scene_of(values[:, lower], classes[lower])


def scene_of(values: np.ndarray, classes: np.ndarray) -> Scene:
    """Arrays as a scene without CRS."""
    grid = Grid(classes.shape, Affine.identity(), None)
    return Scene({"image": Layer.open(values, grid=grid), "labels": Layer.open(classes, grid=grid)})


def measure(train: Sequence[Scene], test: Sequence[Scene], legend: Legend, settings: PartSettings) -> dict[str, Any]:
    """Learn from some scenes, detect in others; scores and times."""
    started = time.perf_counter()
    detector = PartDetector(InputSpec.measure(train), legend, settings=settings).fit(train)
    fitted = time.perf_counter()
    per_scene = [detector.detect(scene, min_score=FAINT) for scene in test]
    seconds = time.perf_counter() - fitted
    references = [reference_outlines(scene, legend, detector.class_name) for scene in test]
    detections = side_by_side(per_scene)
    regions = side_by_side([regions for regions, _ in references])
    boxes = side_by_side([boxes for _, boxes in references])
    sure = detections[detections["score"] >= settings.min_score]
    scores = evaluate_detections(sure, boxes).to_dict()
    scores["average_precision"] = evaluate_detections(detections, boxes).average_precision
    scores |= dict(zip(("area_precision", "area_recall", "area_f1"), area_scores(sure, regions), strict=True))
    pixels = sum(scene.shape[0] * scene.shape[1] for scene in test) / 1e6
    return scores | {"fit_s": fitted - started, "detect_mpix_s": pixels / seconds, "held_out": detector.history}


def side_by_side(frames: Sequence[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Layers of different scenes as one, far apart."""
    apart = [frame.set_geometry(frame.geometry.translate(1e5 * index)) for index, frame in enumerate(frames)]
    return gpd.GeoDataFrame(pd.concat(apart, ignore_index=True), crs=frames[0].crs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cities", type=int, default=10)
    parser.add_argument("--unseen", type=int, default=5)
    parser.add_argument("--size-px", type=int, default=700)
    parser.add_argument("--components", type=int, default=PartSettings.components)
    parser.add_argument("--parts", type=int, default=0)
    parser.add_argument("--score", choices=("svm", "ncc"), default="svm")
    parser.add_argument("--crop", type=Path)
    parser.add_argument("--legend", default="isprs-mmseg")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.cities, arguments.unseen, arguments.size_px, arguments.components = 2, 1, 400, 1
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
    settings = PartSettings(components=arguments.components, parts=arguments.parts, score=arguments.score)
    if arguments.crop:
        legend = Legend.load(arguments.legend)
        upper, lower = halves(arguments.crop, legend, "car")
        pairs = {"upper → lower": (upper, lower), "lower → upper": (lower, upper)}
        results = {name: measure([one], [other], legend, settings) for name, (one, other) in pairs.items()}
    else:
        train = [city_scene(TRAINED + number, arguments.size_px) for number in range(arguments.cities)]
        test = [city_scene(UNSEEN + number, arguments.size_px) for number in range(arguments.unseen)]
        results = {"miniature cities (SYNTHETIC)": measure(train, test, Legend.load("isprs"), settings)}
    results = {title_of(name, smoke=arguments.smoke): result for name, result in results.items()}
    print(json.dumps(results, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    with plain_errors():
        main()
