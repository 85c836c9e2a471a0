"""Every real pair and post-event scene of the sample sets: how the images register, and what the damage job says of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
from scipy.ndimage import find_objects, label
from shapely.geometry import shape

from deepnets4eo.damage import assess, register
from deepnets4eo.damage.vocabulary import ASSESSED, DAMAGED, GRADES, POST_ONLY
from deepnets4eo.errors import DeepNets4EOError
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
    mask: Path | None = None
    grades: dict[int, str] | None = None


def pairs(data: Path) -> Iterator[Pair]:
    """Every pair and post-event scene of the sample sets."""
    joplin = data / "joplin"
    yield Pair("joplin", joplin / "pre", joplin / "post", joplin / "footprints_overlap.geojson")
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


def pair_table(data: Path) -> pd.DataFrame:
    """One row a pair whose images are there."""
    rows = []
    for pair in pairs(data):
        if pair.post.exists():
            rows.append({"pair": pair.name} | _row(pair))
            print(rows[-1], file=sys.stderr)
        else:
            print(f"skipped {pair.name}: {pair.post} is not there", file=sys.stderr)
    return pd.DataFrame(rows)


def _row(pair: Pair) -> dict[str, Any]:
    """Registration, and the damage job where there are outlines."""
    pre, post = None if pair.pre is None else Layer.open(pair.pre), Layer.open(pair.post)
    try:
        if pair.footprints is None and pair.mask is None:
            assert pre is not None
            return _registration_row(register(pre, post).to_dict())
        outlines = pair.footprints
        if pair.mask is not None:
            outlines = _on_image_grid(regions(pair.mask, pair.grades)[["id", "geometry"]], post)
        damage_map = assess(pre, post, outlines)
    except DeepNets4EOError as error:
        return {"registration": f"refused: {error}"}
    buildings = damage_map.buildings
    return _registration_row(damage_map.registration) | {
        "buildings": len(buildings),
        "assessed": int((buildings["status"] == ASSESSED).sum()),
        "post_only": int((buildings["method"] == POST_ONLY).sum()),
        "damaged": int(buildings["damage"].isin(DAMAGED).sum()),
    }


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
    names = ("model", "shift_m", "residual_m", "residual_px", "reason")
    return {"registration": registration["status"], **{name: registration[name] for name in names}}
