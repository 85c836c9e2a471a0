"""The damage job on every real pair and post-event scene: registration, agreement with graded buildings, time, memory.

Usage: python experiments/damage_real_pairs.py --data FOLDER [--out runs/real_pairs] [--only joplin]
FOLDER holds the sample sets by name (joplin, xbd_post_scenes, bright_la_palma, levir_cd, dsifn_cd, hetero_cd,
landsat_taizhou); absent ones are skipped with a message. Each pair runs in a process of its own, so that the peak memory
is its own. Outlines are the sets' own where they have some, else they are made from the label masks.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
from scipy.ndimage import find_objects, label
from script import plain_errors, require_files
from shapely.geometry import shape

from deepnets4eo.damage import assess, register
from deepnets4eo.damage.skill import compare_with_reference
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_json
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.scene import Layer

CORNERS = np.ones((3, 3), int)  # diagonal pixels belong together


@dataclass(frozen=True)
class Pair:
    """One job. `mask`: label raster whose regions serve as outlines; its values index `grades` (None: not graded)."""

    name: str
    pre: Path | None
    post: Path
    footprints: Path | None = None
    reference: Path | None = None
    mask: Path | None = None
    grades: dict[int, str] | None = None


SETS = ("joplin", "xbd_post_scenes", "bright_la_palma", "levir_cd", "dsifn_cd", "hetero_cd", "landsat_taizhou")


def pairs(data: Path) -> Iterator[Pair]:
    """Every pair and post-event scene of the sample sets."""
    joplin = data / "joplin"
    yield Pair(
        "joplin",
        joplin / "pre",
        joplin / "post",
        joplin / "footprints_overlap.geojson",
        joplin / "damage_labels.geojson",
    )
    grades = dict(enumerate(GRADES, start=1))
    for k in range(4):
        scenes = data / "xbd_post_scenes"
        yield Pair(
            f"xbd_post_{k}", None, scenes / f"post_{k}_rgb500.png", mask=scenes / f"damage_{k}_500.png", grades=grades
        )
    palma, stem = data / "bright_la_palma", "la_palma-volcano_00000279"
    yield Pair(
        "bright_la_palma", palma / f"{stem}_pre_disaster.tif", palma / f"{stem}_post_disaster.tif",
        mask=palma / "label_id_derived.tif", grades={1: GRADES[0], 2: GRADES[2], 3: GRADES[3]},
    )  # fmt: skip
    for name in ("levir_cd", "dsifn_cd"):
        for path in sorted((data / name / "A").glob("*.png")):
            yield Pair(
                f"{name}/{path.stem}", path, data / name / "B" / path.name, mask=data / name / "label" / path.name
            )
    for name in ("Italy", "shuguang"):
        hetero = data / "hetero_cd"
        yield Pair(f"hetero_cd/{name}", hetero / f"{name}_1.bmp", hetero / f"{name}_2.bmp")
    taizhou = data / "landsat_taizhou" / "Taizhou"
    yield Pair("landsat_taizhou", taizhou / "2000TM", taizhou / "2003TM")


def regions(mask: Path | Layer, grades: dict[int, str] | None) -> gpd.GeoDataFrame:
    """Outlines of the regions of a mask with id and, where graded, the grade of most of their pixels."""
    layer = Layer.open(mask)
    values = layer.read()[0][0]
    numbers, count = label(values > 0, CORNERS)
    outlines = {
        int(number): shape(piece)
        for piece, number in rasterio.features.shapes(
            numbers.astype(np.int32), mask=numbers > 0, transform=layer.grid.affine, connectivity=8
        )
    }
    damage = [grades.get(_most(values[part][numbers[part] == k + 1])) if grades else None
              for k, part in enumerate(find_objects(numbers))]  # fmt: skip
    crs = None if layer.grid.crs is None else layer.grid.crs.to_wkt()
    frame = {"id": [f"r{k:04d}" for k in range(1, count + 1)], "damage": damage}
    return gpd.GeoDataFrame(frame, geometry=[outlines[k] for k in range(1, count + 1)], crs=crs)


def _most(values: np.ndarray) -> int:
    return int(np.bincount(values).argmax())


def run(pair: Pair, out: Path) -> dict[str, Any]:
    """One pair: registration, and the damage job where there are outlines; a row of the table."""
    started, used = time.perf_counter(), time.process_time()
    row: dict[str, Any] = {"pair": pair.name}
    try:
        row |= _register_pair(pair) if pair.footprints is None and pair.mask is None else _assess_pair(pair, out)
    except DeepNets4EOError as error:
        row["registration"] = f"refused: {error}"
    row["seconds"], row["cpu_seconds"] = time.perf_counter() - started, time.process_time() - used
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def _register_pair(pair: Pair) -> dict[str, Any]:
    assert pair.pre is not None
    registration = register(Layer.open(pair.pre), Layer.open(pair.post))
    return _registration_row(registration.to_dict())


def _assess_pair(pair: Pair, out: Path) -> dict[str, Any]:
    drawn = None if pair.mask is None else regions(pair.mask, pair.grades)
    pre, post = None if pair.pre is None else Layer.open(pair.pre), Layer.open(pair.post)
    damage_map = assess(
        pre, post, pair.footprints if drawn is None else _on_image_grid(drawn[["id", "geometry"]], post)
    )
    damage_map.save(out / pair.name, pre=pre, post=post, overwrite=True)
    counts = damage_map.buildings["status"].value_counts()
    row = _registration_row(damage_map.registration)
    row |= {"buildings": len(damage_map.buildings), "assessed": int(counts.get("assessed", 0))}
    row["post_only"] = int((damage_map.buildings["method"] == "post_only").sum())
    row["said_major_or_worse"] = int(damage_map.buildings["damage"].isin(GRADES[2:]).sum())
    reference = drawn if drawn is not None and pair.grades else None
    if pair.reference is not None:
        reference = gpd.read_file(pair.reference)
    if reference is not None:
        accuracy = compare_with_reference(damage_map.buildings, reference)
        row |= {name: value for name, value in accuracy.to_dict().items() if name != "confusion"}
        row["scored"] = damage_map.buildings[["id", "damage", "damage_prob", "status"]].merge(
            reference[["id", "damage"]], on="id"
        )
    return row


def _on_image_grid(outlines: gpd.GeoDataFrame, post: Layer) -> gpd.GeoDataFrame:
    """Outlines of a mask without CRS, with the georeference of the post image."""
    if outlines.crs is not None or post.grid.crs is None:
        return outlines
    in_pixels = outlines.copy()
    in_pixels.geometry = transform_shapes(post.grid.affine, outlines.geometry.to_numpy())
    return in_pixels.set_crs(post.grid.crs.to_wkt())


def _registration_row(registration: dict[str, Any]) -> dict[str, Any]:
    if "status" not in registration:
        return {"registration": "no pre image"}
    return {"registration": registration["status"], "model": registration["model"], "shift_m": registration["shift_m"],
            "residual_m": registration["residual_m"], "residual_px": registration["residual_px"], "reason": registration["reason"]}  # fmt: skip


def run_in_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run in a fresh process, so that time and peak memory are the job's own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def pool_accuracy(rows: list[dict[str, Any]], prefix: str) -> str:
    """Agreement over several scenes together."""
    tables = [row["scored"].assign(id=row["pair"] + row["scored"]["id"]) for row in rows
              if row["pair"].startswith(prefix) and "scored" in row]  # fmt: skip
    if not tables:
        return f"{prefix}: not there"
    table = pd.concat(tables)
    graded = table.rename(columns={"damage_x": "damage"})[["id", "damage", "damage_prob", "status"]]
    return f"{prefix}: {compare_with_reference(graded, table.rename(columns={'damage_y': 'damage'})[['id', 'damage']])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/real_pairs"))
    parser.add_argument("--only", default="", help="names that start so")
    options = parser.parse_args()
    require_files(options.data, *SETS)
    rows = []
    for pair in pairs(options.data):
        if not pair.name.startswith(options.only):
            continue
        if not pair.post.exists():
            print(f"skipped {pair.name}: {pair.post} is not there", file=sys.stderr)
            continue
        rows.append(run_in_process(run, pair, options.out))
    table = pd.DataFrame(
        [{name: value for name, value in row.items() if name not in {"scored", "left_out"}} for row in rows]
    )
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}", max_colwidth=60))
    print(pool_accuracy(rows, "joplin"))
    print(pool_accuracy(rows, "xbd_post"))
    print(write_json(options.out / "table.json", table.to_dict("records")))


if __name__ == "__main__":
    with plain_errors():
        main()
