"""Vehicles by segment-before-detect: objects out of masks, scored by overlap and by distance; types, counts, density.

Usage: python experiments/vehicles.py [--cities 3] [--size-px 700] [--out FOLDER]
       python experiments/vehicles.py --data FOLDER [--legend isprs-mmseg] [--gsd-m 0.05] [--labels PREDICTED.tif]
On miniature cities (SYNTHETIC) the truth are the regions of the true labels; the predicted masks are these after a
blur, so that neighbours merge and borders are ragged as a network's are. FOLDER has an image in img_dir/ and its label
values in ann_dir/, as the ISPRS Potsdam crops of mmsegmentation do; without --labels its mask is blurred, too.
Prints one JSON: per way of splitting precision, recall and F1 at IoU above a half and at 1 m between centres, the error
of the count, and the accuracy of types (cars and, in the city, boats). The published figures are of another test
(Audebert et al. 2017, pixel-wise F1 of cars on Potsdam 95.1 %), so none is printed next to these.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Literal, get_args

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from scipy.ndimage import gaussian_filter
from script import plain_errors, require_files
from smoke import add_smoke, title_of

from deepnets4eo.cards.legend import Legend
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import evaluate_detections
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmentation import (
    ObjectClassifier,
    ObjectRules,
    ObjectView,
    density_grid,
    extract_objects,
    write_density_map,
)
from deepnets4eo.synthetic import City

GSD_M = 0.1
BLUR_M, NOISE, THRESHOLD = 0.25, 0.15, 0.35  # simulates a network's mask: smooth, with ragged borders, too large
CAR_M2 = 8.0
Split = Literal["none", "distance", "area"]
WAYS: tuple[Split, ...] = ("none", "distance", "area")


def blur_mask(mask: np.ndarray, gsd_m: float, seed: int) -> np.ndarray:
    """Return (h, w) bool: the mask as a smooth score with correlated noise, cut at a threshold that joins neighbours."""
    sigma = BLUR_M / gsd_m
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(mask.shape), sigma)
    smooth: np.ndarray = gaussian_filter(mask.astype(np.float32), sigma) + NOISE * noise / noise.std() > THRESHOLD
    return smooth


def score(
    predicted: Layer, reference: gpd.GeoDataFrame, legend: Legend, class_name: str, split: Split
) -> tuple[dict[str, Any], gpd.GeoDataFrame]:
    """Return scores of a mask's objects against the true ones, by overlap and by distance; and the objects."""
    rules = ObjectRules(0.6, 1.5, split, CAR_M2 if split == "area" else None)
    started = time.perf_counter()
    objects = extract_objects(predicted, class_name, legend, rules)
    result: dict[str, Any] = {"found": len(objects), "true": len(reference), "seconds": time.perf_counter() - started}
    for name, limits in (("iou_0.5", {}), ("distance_1m", {"max_distance_m": 1.0})):
        scores = evaluate_detections(objects, reference, **limits).to_dict()
        result[name] = {key: scores[key] for key in ("precision", "recall", "f1")}
    return result, objects


def reference_of(labels: Layer, legend: Legend, class_name: str) -> gpd.GeoDataFrame:
    """Return true objects: regions of the true labels; those cut by the edge, or small remains under trees, are difficult."""
    objects = extract_objects(labels, class_name, legend, ObjectRules(min_area_m2=0.2, split="none"))
    return objects.assign(difficult=objects["cut"] | (objects["area_m2"] < 3.0))


def cities(number: int, size_px: int, out: Path | None) -> dict[str, Any]:
    """Measure every way of splitting on several cities, and the types of their vehicles. SYNTHETIC."""
    legend = Legend.load("minicity")
    rows: list[dict[str, Any]] = []
    images: list[Layer] = []
    tables: list[gpd.GeoDataFrame] = []
    for seed in range(1, number + 1):
        city = City(seed, size_px, GSD_M)
        labels = city.labels("minicity")
        reference = reference_of(Layer.open(labels, grid=city.grid), legend, "car")
        mask = blur_mask(labels == legend.value("car"), GSD_M, seed)
        predicted = Layer.open(np.where(mask, legend.value("car"), 0).astype(np.uint8), grid=city.grid)
        for split in WAYS:
            result, objects = score(predicted, reference, legend, "car", split)
            rows.append({"seed": seed, "split": split} | result)
        if out is not None:
            write_density_map(objects, density_grid(city.grid, 5.0), out / f"cars_per_ha_{seed}.tif", radius_m=25.0)
        images.append(Layer.open(city.image, grid=city.grid))
        tables.append(vehicles(Layer.open(labels, grid=city.grid), legend))
    return {"splitting": summary(rows), "types": types(images, tables), "rows": rows}


def vehicles(labels: Layer, legend: Legend) -> gpd.GeoDataFrame:
    """Return cars and boats, with their type."""
    rules = ObjectRules(min_area_m2=3.0, split="none")
    parts = [extract_objects(labels, name, legend, rules) for name in ("car", "boat")]
    table = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=parts[0].crs)
    return table.assign(type=table["class"]).loc[~table["cut"]].reset_index(drop=True)


def types(images: list[Layer], tables: list[gpd.GeoDataFrame]) -> dict[str, Any]:
    """Return overall and per-type accuracy on the last city, after training on the others."""
    known = sorted(set(pd.concat(tables[:-1])["type"])) if len(tables) > 1 else []
    if len(known) < 2:
        return {"told": None, "why": f"the training cities have only the types {known}"}
    classifier = ObjectClassifier(known, ObjectView(8.0, 32)).fit(images[:-1], tables[:-1], epochs=20)
    truth = tables[-1][tables[-1]["type"].isin(known)]
    predicted_types = classifier.predict(images[-1], truth)["type"]
    each = {name: float((predicted_types[truth["type"] == name] == name).mean()) for name in sorted(set(truth["type"]))}
    return {"accuracy": float((predicted_types == truth["type"]).mean()), "per_type": each, "objects": len(truth)}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over the cities."""
    out: dict[str, Any] = {}
    for split in WAYS:
        mine = [row for row in rows if row["split"] == split]
        f1 = {key: [row[key]["f1"] for row in mine] for key in ("iou_0.5", "distance_1m")}
        out[split] = {f"f1_{key}": [float(np.nanmean(each)), float(np.nanstd(each))] for key, each in f1.items()}
        out[split]["count_error"] = float(np.mean([row["found"] / max(row["true"], 1) - 1 for row in mine]))
    return out


def crop(folder: Path, legend: Legend, gsd_m: float, predicted: Path | None) -> dict[str, Any]:
    """Measure every way of splitting on a real labelled crop."""
    values = Layer.open(require_files(folder / "ann_dir", "*")[0]).read()[0][0]
    grid = Grid(
        values.shape, Affine(gsd_m, 0, 0, 0, -gsd_m, 0), "EPSG:32633"
    )  # the crop has no georeference: any position in UTM
    reference = reference_of(Layer.open(values, grid=grid), legend, "car")
    if predicted is not None:
        labels = Layer.open(Layer.open(predicted).read()[0][0], grid=grid)
    else:
        mask = blur_mask(values == legend.value("car"), gsd_m, 0)
        labels = Layer.open(np.where(mask, legend.value("car"), legend.values[0]).astype(np.uint8), grid=grid)
    return {split: score(labels, reference, legend, "car", split)[0] for split in get_args(Split)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cities", type=int, default=3)
    parser.add_argument("--size-px", type=int, default=700)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--legend", default="isprs-mmseg")
    parser.add_argument("--gsd-m", type=float, default=0.05)
    parser.add_argument("--labels", type=Path)
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.cities, arguments.size_px = 2, 500
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
    if arguments.data:
        name = f"{arguments.data.name}, mask {'predicted' if arguments.labels else 'blurred from the labels'}"
        results = {name: crop(arguments.data, Legend.load(arguments.legend), arguments.gsd_m, arguments.labels)}
    else:
        results = {"miniature cities (SYNTHETIC)": cities(arguments.cities, arguments.size_px, arguments.out)}
    results = {title_of(name, smoke=arguments.smoke): result for name, result in results.items()}
    print(json.dumps(results, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    with plain_errors():
        main()
