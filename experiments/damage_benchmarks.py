"""Benchmarks of others, each in its published layout and by its own rules: xBD (the xView2 score) and BRIGHT (IoU, instances).

Usage: python experiments/damage_benchmarks.py --data FOLDER … --out FOLDER

xBD folders hold images/ and labels/; the damage job grades their own outlines, once with the default network and once without, so
that localisation is given: only the damage F1 means anything, and it is of all events and of each. BRIGHT folders hold
pre-event/, post-event/ and target/ or target_instance_level/; the network for buildings outlines them in the image before, and
as no run that comes with the toolbox reads radar, each is called intact: a floor, which shows what the rules give to outlines alone.
--data takes folders of xBD and BRIGHT, which are recognised by their layouts, and the folder of real samples, whose xBD and BRIGHT are put into these first. Nothing is fitted here.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from script import plain_errors, require_files, store_results
from xview2 import XView2Score

from deepnets4eo.damage import GRADES, Settings, assess, buildings_of
from deepnets4eo.damage.network import LabelledPair
from deepnets4eo.damage.network.datasets import read_bright, read_xbd
from deepnets4eo.damage.network.pairs import POST, PRE, in_pixels
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_text
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import transform_shapes, whole
from deepnets4eo.metrics import ConfusionMatrix, score_instances

METHODS = {
    "default network": Settings(footprints_crs="pixels"),
    "weight-free": Settings(footprints_crs="pixels", network=False),
}
BRIGHT_NAMES = ("background", "intact", "damaged", "destroyed")
TO_BRIGHT = np.array([1, 2, 2, 3], np.uint8)  # of the grades
ALL = "all events"
OF_XBD = ("xbd_more/*", "xbd_midwest")  # folders of samples

log = logging.getLogger("damage_benchmarks")


def score_xbd(folders: list[Path]) -> pd.DataFrame:
    """The official damage F1 and those of its classes, by method and event."""
    scores: dict[tuple[str, str], XView2Score] = defaultdict(XView2Score)
    for folder in folders:
        for pair in read_xbd(folder):
            footprints = read_footprints(folder / "labels" / f"{pair.name}_post_disaster.json", assume_crs="pixels")
            numbers = pair.outlines.paint(whole(pair.grid))
            target = labels_of(numbers, np.where(pair.grades < len(GRADES), pair.grades + 1, 0))
            building = (numbers >= 0).astype(np.uint8)
            for name, settings in METHODS.items():
                grades = grades_by_job(pair, footprints.frame, settings)
                for event in (ALL, pair.event):
                    scores[name, event].update(building, target, building, labels_of(numbers, grades))
    rows = [
        {"method": name, "event": event, "images": score.images, "damage_f1": score.damage_f1}
        | {grade: counts.f1 for grade, counts in zip(GRADES, score.damage, strict=True)} | {"absent": ", ".join(score.absent)}
        for (name, event), score in scores.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def grades_by_job(pair: LabelledPair, outlines: gpd.GeoDataFrame, settings: Settings) -> NDArray[np.int64]:
    """Label 1 to 4 of each outline by the damage job; 0 where it assesses nothing, or refuses the pair."""
    try:
        damage_map = assess(pair.sources[PRE], pair.sources[POST], outlines, settings=settings)
    except DeepNets4EOError as error:
        log.warning("%s is refused: %s", pair.name, error)
        return np.zeros(len(outlines), np.int64)
    damage_map.state_likeliest_grades()
    numbers = damage_map.buildings.set_index("id")["damage"].map({name: index + 1 for index, name in enumerate(GRADES)})
    return numbers.reindex(outlines["id"]).fillna(0).to_numpy(np.int64)


def labels_of(numbers: NDArray[Any], values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A raster of the values (N,) at the pixels of N outlines, numbered from 0; 0 elsewhere."""
    return np.append(values, 0)[numbers].astype(np.uint8)


def score_bright(folders: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of pixels and of instances, where every building that the network outlines is called intact."""
    matrix, images = ConfusionMatrix(len(BRIGHT_NAMES)), []
    for folder in folders:
        for pair in read_bright(folder):
            numbers = pair.outlines.paint(whole(pair.grid))
            target = labels_of(numbers, TO_BRIGHT[pair.grades].astype(np.int64))
            detections = outline(pair)
            painted = in_pixels(detections.geometry.to_numpy(), pair.shape).paint(whole(pair.grid))
            matrix.update(target, (painted >= 0).astype(np.uint8))
            images.append((detections, instances_of(pair)))
    counts = matrix.matrix
    in_buildings = ConfusionMatrix(len(BRIGHT_NAMES))  # at pixels that are a building in the target
    in_buildings.matrix[1:] = counts[1:]
    both = counts[1:, 1:].sum()
    pixels = {
        "mIoU of classes present": float(np.nanmean(matrix.iou)),
        "OA": matrix.overall_accuracy,
        "localisation F1": 2 * both / (counts[1:].sum() + counts[:, 1:].sum()),
        **{f"damage F1, {name}": in_buildings.f1[index] for index, name in enumerate(BRIGHT_NAMES) if index},
    }
    scores = score_instances(images)
    instances = {"mAP": scores.mean_ap, "AP50": scores.ap50, "AP75": scores.ap75, **scores.by_class}
    return pd.DataFrame([pixels]), pd.DataFrame([instances])


def instances_of(pair: LabelledPair) -> gpd.GeoDataFrame:
    """The buildings of the target as regions of pixels, with the names of their classes."""
    numbers = pair.outlines.paint(whole(pair.grid)).astype(np.int32)
    pieces = defaultdict(list)
    for piece, number in shapes(numbers, mask=numbers >= 0):
        pieces[int(number)].append(shapely.geometry.shape(piece))
    labels = [BRIGHT_NAMES[TO_BRIGHT[pair.grades[number]]] for number in pieces]
    return gpd.GeoDataFrame({"label": labels}, geometry=[shapely.union_all(parts) for parts in pieces.values()])


def outline(pair: LabelledPair) -> gpd.GeoDataFrame:
    """Buildings of the image before the event, in pixels, all called intact; none where the network finds none."""
    image = pair.scene.layers[PRE]
    with TemporaryDirectory() as folder:
        try:
            buildings = buildings_of("buildings", image, Path(folder) / "labels.tif")
        except DeepNets4EOError as error:
            log.warning("%s: %s", pair.name, error)
            return gpd.GeoDataFrame({"label": [], "score": []}, geometry=[])
    outlines = transform_shapes(~image.grid.affine, buildings.geometry.to_numpy())
    return gpd.GeoDataFrame(
        {"label": BRIGHT_NAMES[1], "score": buildings["building_prob"].to_numpy()}, geometry=outlines
    )


def write_xbd(samples: Path, xbd: Path, *patterns: str) -> Path:
    """The pairs of folders of samples that have grades, in the layout of xBD."""
    for path in require_files(samples, *(f"{pattern}/footprints_px.geojson" for pattern in patterns)):
        table = gpd.read_file(path)
        if "grade" not in table:
            continue
        stem = path.parent.name if path.parent.name != "xbd_midwest" else "midwest-flooding_00000172"
        for date in ("pre", "post"):
            (image,) = require_files(path.parent, f"{date}.png", f"{date}.tif")
            _copy(image, xbd / "images" / f"{stem}_{date}_disaster{image.suffix}")
        features = [
            {"wkt": shape.wkt, "properties": {"feature_type": "building", "subtype": grade, "uid": str(number)}}
            for number, (shape, grade) in enumerate(zip(table.geometry, table["grade"], strict=True))
        ]
        write_text(
            xbd / "labels" / f"{stem}_post_disaster.json",
            json.dumps({"features": {"xy": features}, "metadata": {"gsd": 0.5}}),
        )
    return xbd


def write_samples(samples: Path, out: Path) -> tuple[Path, Path]:
    """The samples of xBD and BRIGHT in their published layouts."""
    xbd, bright = write_xbd(samples, out / "xbd", *OF_XBD), out / "bright"
    for path in require_files(samples, "bright_la_palma/*_post_disaster.tif"):
        stem = path.name.removesuffix("_post_disaster.tif")
        _copy(path, bright / "post-event" / path.name)
        _copy(path.with_name(f"{stem}_pre_disaster.tif"), bright / "pre-event" / f"{stem}_pre_disaster.tif")
        _copy(path.with_name("label_id_derived.tif"), bright / "target" / f"{stem}_building_damage.tif")
    return xbd, bright


def rows_by(table: pd.DataFrame, column: str | None = None) -> dict[str, Any]:
    """Return the rows of a table as plain values, by the values of a column or by their numbers."""
    indexed = table if column is None else table.set_index(column)
    rows: dict[str, Any] = json.loads(indexed.round(4).to_json(orient="index"))
    return rows


def _copy(source: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, copy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders of xBD, of BRIGHT, or of real samples"
    )
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    of_xbd, of_bright = list[Path](), list[Path]()
    for folder in options.data:
        if any(folder.glob("xbd_m*")):
            xbd, bright = write_samples(folder, options.out)
            of_xbd.append(xbd)
            of_bright.append(bright)
        else:
            (of_bright if (folder / "post-event").is_dir() else of_xbd).append(folder)
    tables, figures = {}, dict[str, Any]()
    if of_xbd:
        table = tables["xBD, damage F1 by the rules of xView2, outlines given"] = score_xbd(of_xbd)
        figures["xbd"] = {
            str(name): rows_by(part.drop(columns="method"), "event") for name, part in table.groupby("method")
        }
    if of_bright:
        pixels, instances = score_bright(of_bright)
        tables["BRIGHT, pixels"], tables["BRIGHT, instances"] = pixels, instances
        figures["bright"] = {"pixels": rows_by(pixels)["0"], "instances": rows_by(instances)["0"]}
    store_results(options.out, smoke=False, **figures)
    text = "\n".join(
        f"{title}\n\n{table.to_string(index=False, float_format='%.3f')}\n" for title, table in tables.items()
    )
    print(text)
    print(write_text(options.out / "table.txt", text))


if __name__ == "__main__":
    with plain_errors():
        main()
