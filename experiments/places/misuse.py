"""Results of the damage job for wrong inputs: wrong, swapped, coarse, noisy and foreign ones, and intact scenes.

One row a case: how many buildings were assessed, the main reason of the others, how many were called damaged (major or
worse), mean confidence of the assessed ones (in the grade, and in the side: damaged or not), false alarms among those
known to be undamaged, AUC where both sides are known, and the codes of the findings or the refusal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from shapely.geometry import shape
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage import assess, register
from deepnets4eo.damage.vocabulary import ASSESSED, DAMAGED, GRADES, POST_ONLY
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.rasters.scene import Layer

CORNERS = np.ones((3, 3), int)  # diagonal pixels belong together

SCENES = {  # image and outlines of places without damage
    "Las Vegas": ("wv3_vegas/tiff_3channel_uint8.tif", "wv3_vegas/tiff_3channel_uint8.geojson"),
    "Atlanta": ("spacenet/data/sample_geotiff.tif", "spacenet/data/geotiff_labels.geojson"),
    "Kampala": ("fair_kampala/block0_image.tif", "fair_kampala/labels.geojson"),
}
NODATA = -9999
COARSER = (2, 4, 8, 16)
SHIFTS_M = (2, 6, 12, 24, 50)
METRES_PER_DEGREE = 111_320.0
BUILDING = {  # value of buildings in the label masks, and the ground size of a pixel in metres
    "isprs_potsdam_crop": (2, 0.05),
    "isprs_vaihingen_crop": (2, 0.09),
    "loveda": (2, 0.3),
}
BUILDING_LABEL = 1
SMALLEST_REGION = 60  # pixels of a mask's region that serves as an outline


@dataclass(frozen=True)
class Case:
    """One job. reference : `id` and `damage` of the buildings whose grade is known; None where none is."""

    name: str
    pre: Layer | Path | None
    post: Layer | Path
    footprints: Path | gpd.GeoDataFrame
    reference: pd.DataFrame | None = None


def row(case: Case) -> dict[str, Any]:
    """One line of the table."""
    line: dict[str, Any] = {"case": case.name}
    try:
        damage_map = assess(case.pre, case.post, case.footprints)
    except DeepNets4EOError as error:
        return line | {"codes": f"refused: {error}"}
    buildings = damage_map.buildings
    assessed = buildings[buildings["status"] == "assessed"]
    reasons = buildings.loc[buildings["status"] != "assessed", "reason"].value_counts()
    line |= {"buildings": len(buildings), "assessed": len(assessed)}
    line["main reason of the others"] = f"{reasons.iloc[0]} × {reasons.index[0]}" if len(reasons) else ""
    line["post only"] = int((assessed["method"] == "post_only").sum())
    line["called damaged"] = int(assessed["damage"].isin(DAMAGED).sum())
    line["mean confidence"] = float(assessed["confidence"].mean())
    probability = assessed["damage_prob"]
    line["of the side"] = float(np.maximum(probability, 1 - probability).mean())
    line["codes"] = ", ".join(f"{finding.code} ({finding.severity})" for finding in damage_map.findings)
    return line | ({} if case.reference is None else scores(assessed, case.reference))


def scores(assessed: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """False alarms among the assessed buildings that are known to be undamaged, and the AUC where both sides are known."""
    graded = reference[reference["damage"].isin(GRADES)]
    joined = graded.assign(id=graded["id"].astype(str)).merge(
        assessed[["id", "damage", "damage_prob"]], on="id", suffixes=("_true", "")
    )
    truth, called = joined["damage_true"].isin(DAMAGED), joined["damage"].isin(DAMAGED)
    line: dict[str, Any] = {"scored": len(joined), "undamaged": int((~truth).sum())}
    line["false alarms"] = int((called & ~truth).sum())
    line["false share"] = float(called[~truth].mean())
    if 0 < truth.sum() < len(truth):
        line["AUC"] = roc_auc_score(truth, joined["damage_prob"])
    return line


def cases(data: Path) -> Iterator[Callable[[], Iterator[Case]]]:
    """The groups of cases whose sample sets are there."""
    groups = {
        "joplin": joplin_cases,
        "xbd_midwest": midwest_cases,
        "wv3_vegas": intact_cases,
        "xbd_post_scenes": burnt_cases,
        "levir_cd": new_buildings_cases,
    }
    for name, make in groups.items():
        if (data / name).is_dir():
            yield lambda make=make: make(data)  # type: ignore[misc]
        else:
            print(f"skipped the cases of {name}: {data / name} is not there", file=sys.stderr)


def joplin_cases(data: Path) -> Iterator[Case]:
    """The tornado pair with correct inputs and with wrong ones."""
    pre, post = data / "joplin" / "pre", data / "joplin" / "post"
    outlines = gpd.read_file(data / "joplin" / "footprints_overlap.geojson")
    truth = pd.DataFrame(gpd.read_file(data / "joplin" / "damage_labels.geojson")[["id", "damage"]])
    intact = outlines[["id"]].assign(damage=GRADES[0])
    yield Case("joplin", pre, post, outlines, truth)
    yield Case("joplin, without pre", None, post, outlines, truth)
    for times in COARSER:
        yield Case(f"joplin, pre {times} times coarser", coarser(pre, times), post, outlines, truth)
    yield Case("joplin, post 4 times coarser", pre, coarser(post, 4), outlines, truth)
    for metres in SHIFTS_M:
        yield Case(f"joplin, footprints {metres} m off", pre, post, move_outlines(outlines, metres), truth)
        yield Case(
            f"joplin, footprints {metres} m off, without pre", None, post, move_outlines(outlines, metres), truth
        )
    yield Case("joplin, footprints mirrored", pre, post, mirror_outlines(outlines))
    yield Case("joplin, footprints mirrored, without pre", None, post, mirror_outlines(outlines))
    yield Case("joplin, footprints of Las Vegas", pre, post, move_to(outlines, data / SCENES["Las Vegas"][1]))
    yield Case("joplin, post mirrored", pre, mirror_image(post), outlines)
    yield Case("joplin, post of another site", pre, of_another_site(post, data), outlines)
    yield Case("joplin, pre mirrored", mirror_image(pre), post, outlines, truth)
    yield Case("joplin, both mirrored", mirror_image(pre), mirror_image(post), outlines)
    yield Case("joplin, swapped", post, pre, outlines, intact)
    yield Case("joplin, pre given twice", pre, pre, outlines, intact)
    yield Case("joplin, post given twice", post, post, outlines, truth)
    yield Case("joplin, pre as post", None, pre, outlines, intact)
    yield Case("joplin, post of noise", pre, noise(post), outlines)
    yield Case("joplin, post of smooth noise", pre, noise(post, smooth=True), outlines)
    yield Case("joplin, pre of noise", noise(pre), post, outlines, truth)
    yield Case("joplin, half the post undeclared nodata", pre, with_block(post, NODATA, half=True), outlines, truth)
    yield Case("joplin, half the pre undeclared nodata", with_block(pre, NODATA, half=True), post, outlines, truth)
    for value in (255, 0, 128):
        yield Case(f"joplin, a block of {value} in post", pre, with_block(post, value), outlines, truth)
    yield Case("joplin, a block of 255 in pre", with_block(pre, 255), post, outlines, truth)


def midwest_cases(data: Path) -> Iterator[Case]:
    """Small roofs under trees, flooded; and the same before."""
    folder = data / "xbd_midwest"
    outlines = gpd.read_file(folder / "footprints_px.geojson").set_crs(None, allow_override=True)
    truth = pd.DataFrame(outlines[["id", "grade"]]).rename(columns={"grade": "damage"})
    intact, outlines = truth.assign(damage=GRADES[0]), outlines[["id", "geometry"]]
    yield Case("midwest", folder / "pre.png", folder / "post.png", outlines, truth)
    yield Case("midwest, without pre", None, folder / "post.png", outlines, truth)
    yield Case("midwest, swapped", folder / "post.png", folder / "pre.png", outlines, intact)
    yield Case("midwest, pre as post", None, folder / "pre.png", outlines, intact)


def intact_cases(data: Path) -> Iterator[Case]:
    """Places without any damage, from one image each."""
    for name, (image, outlines) in SCENES.items():
        shapes = gpd.read_file(data / outlines)
        if "label" in shapes:  # Las Vegas has outlines of roads and trees, too
            shapes = shapes[shapes["label"] == BUILDING_LABEL].reset_index(drop=True)
        shapes = shapes[["geometry"]].assign(id=[f"b{k}" for k in range(len(shapes))])
        yield Case(f"intact: {name}", None, data / image, shapes, shapes[["id"]].assign(damage=GRADES[0]))
    for name, (value, gsd_m) in BUILDING.items():
        folder = data / name
        photo = Layer.open(next((folder / "img_dir").glob("*.png"))).read()[0]
        labels = Layer.open(next((folder / "ann_dir").glob("*.png"))).read()[0][0]
        layer = Layer.open(photo, grid=Grid(photo.shape[1:], utm(gsd_m), "EPSG:32632"))
        shapes = outlines_of(labels == value, layer)
        yield Case(f"intact: {name}", None, layer, shapes, shapes[["id"]].assign(damage=GRADES[0]))


def burnt_cases(data: Path) -> Iterator[Case]:
    """Post-event scenes alone: a control that what is known is still found."""
    for pair in pairs(data):
        if pair.name.startswith("xbd_post") and pair.mask is not None:
            shapes = regions(pair.mask, pair.grades)
            yield Case(pair.name, None, pair.post, shapes[["id", "geometry"]], shapes[["id", "damage"]])


def new_buildings_cases(data: Path) -> Iterator[Case]:
    """Suburbs that grew: the outlines are of buildings of the later image alone, undamaged."""
    for pair in pairs(data):
        if pair.name.startswith("levir_cd") and pair.pre is not None and pair.mask is not None:
            photo = Layer.open(pair.post).read()[0]
            before = Layer.open(Layer.open(pair.pre).read()[0], grid=Grid(photo.shape[1:], utm(0.5), "EPSG:32614"))
            after = Layer.open(photo, grid=before.grid)
            shapes = outlines_of(Layer.open(pair.mask).read()[0][0] > 0, after)
            if len(shapes):
                reference = shapes[["id"]].assign(damage=GRADES[0])
                yield Case(f"{pair.name}, later image alone", None, after, shapes, reference)
                yield Case(f"{pair.name}, both images", before, after, shapes, reference)


def outlines_of(mask: NDArray[np.bool_], layer: Layer) -> gpd.GeoDataFrame:
    """Regions of a mask on a layer's grid, with ids."""
    lying = Layer.open(mask.astype(np.uint8), grid=layer.grid)
    shapes = regions(lying, None)[["id", "geometry"]]
    pixel = abs(layer.grid.affine.determinant)
    return shapes[shapes.area >= SMALLEST_REGION * pixel].reset_index(drop=True)


def utm(gsd_m: float) -> Affine:
    """Somewhere in a UTM zone."""
    return Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_000_000)


@cache
def pixels(folder: Path) -> NDArray[np.uint8]:
    """A whole image (C, H, W)."""
    return Layer.open(folder).read()[0]


def with_values(folder: Path, values: NDArray[Any]) -> Layer:
    """Other values on the grid of an image."""
    return Layer.open(np.ascontiguousarray(values), grid=Layer.open(folder).grid)


def coarser(folder: Path, times: int) -> Layer:
    """Means over squares of pixels, on their own coarse grid."""
    values, grid = pixels(folder), Layer.open(folder).grid
    bands, height, width = values.shape[0], *(side // times for side in values.shape[1:])
    cut = values[:, : height * times, : width * times].reshape(bands, height, times, width, times)
    means = cut.mean(axis=(2, 4)).round().astype(np.uint8)
    return Layer.open(means, grid=Grid((height, width), grid.affine * Affine.scale(times), grid.crs))


def mirror_image(folder: Path) -> Layer:
    """An image mirrored in itself: another site of the same kind."""
    return with_values(folder, pixels(folder)[:, :, ::-1])


def of_another_site(folder: Path, data: Path) -> Layer:
    """Las Vegas repeated by reflection over the area of an image."""
    other = Layer.open(data / SCENES["Las Vegas"][0]).read()[0][:3]
    height, width = pixels(folder).shape[1:]
    return with_values(
        folder, np.pad(other, ((0, 0), (0, height - other.shape[1]), (0, width - other.shape[2])), "symmetric")
    )


def noise(folder: Path, *, smooth: bool = False) -> Layer:
    """Random values, or random values smoothed over some 3 pixels."""
    values = np.random.default_rng(0).integers(1, 255, pixels(folder).shape, np.uint8)
    if smooth:
        from scipy.ndimage import gaussian_filter

        soft = gaussian_filter(values.astype(np.float32), (0, 3, 3))
        values = np.clip(128 + 8 * (soft - soft.mean()), 1, 255).astype(np.uint8)
    return with_values(folder, values)


def with_block(folder: Path, value: int, *, half: bool = False) -> Layer:
    """An image whose left half, or whose middle, is one value."""
    values = pixels(folder).astype(np.int16 if value < 0 else np.uint8)
    height, width = values.shape[1:]
    rows, cols = (
        (slice(None), slice(width // 2)) if half else (slice(height // 4, height // 2), slice(width // 3, None))
    )
    values[:, rows, cols] = value
    return with_values(folder, values)


def move_outlines(outlines: gpd.GeoDataFrame, metres: float) -> gpd.GeoDataFrame:
    """Outlines in degrees, moved to the south-east."""
    south = metres / np.sqrt(2) / METRES_PER_DEGREE
    east = south / np.cos(np.radians(outlines.total_bounds[1]))
    return outlines.assign(geometry=outlines.translate(east, -south))


def mirror_outlines(outlines: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The same outlines, east and west exchanged."""
    west, _, east, _ = outlines.total_bounds
    return outlines.assign(geometry=shapely.transform(outlines.geometry, lambda xy: [west + east, 0] + xy * [-1, 1]))


def move_to(outlines: gpd.GeoDataFrame, other: Path) -> gpd.GeoDataFrame:
    """Outlines of another file, moved so that their middle is that of the outlines here."""
    foreign = gpd.read_file(other)[["geometry"]].to_crs(outlines.crs)
    here, there = (np.reshape(frame.total_bounds, (2, 2)).mean(axis=0) for frame in (outlines, foreign))
    return foreign.assign(geometry=foreign.translate(*(here - there)), id=[f"v{k}" for k in range(len(foreign))])


def misuse_table(data: Path) -> pd.DataFrame:
    """One row a case of the sample sets that are there."""
    rows = []
    for group in cases(data):
        for case in group():
            rows.append(row(case))
            print(rows[-1], file=sys.stderr)
    return pd.DataFrame(rows)


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
