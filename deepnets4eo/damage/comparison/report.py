"""report.html of a comparison: the page that all maps share, with the buildings of both maps as objects, coloured where the maps differ."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
from affine import Affine

from deepnets4eo.addresses import file_name_of
from deepnets4eo.damage.comparison.maps import MapComparison
from deepnets4eo.damage.products.crosswalk import has_position
from deepnets4eo.damage.products.words import TABLE
from deepnets4eo.damage.table.vocabulary import TITLES
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import EventInfo, Headline, IntervalBar, Language, Phrase, number_text
from deepnets4eo.outputs.map_page import (
    MapKind,
    Payload,
    page_language,
    rings_in_pixels,
    share_codes,
    write_map_page,
)
from deepnets4eo.reprojection import to_crs

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.rasters import Layer

log = logging.getLogger(__name__)

WORDS = Path(__file__).parent / "assets" / "words.yaml"
KIND = MapKind(
    title="Comparison of damage maps", subject="Comparison of damage maps", one="building", many="buildings", file="comparison",
    summary="comparison.json", made_up="This place and its damage are made up.", empty="", package="deepnets4eo.damage.comparison",
    scripts=("classes.js", "summary.js"), styles=("columns.css",),
)  # fmt: skip
SAME, OTHER_GRADE, ONLY_A, ONLY_B, NOT_COMPARED = range(5)  # classes of the page; the scripts have the same order
CLASSES = (
    ("Same in both maps", (160, 168, 178)),
    ("Another grade, damaged in both or in none", (204, 121, 210)),
    ("Damaged only in A", (240, 140, 20)),
    ("Damaged only in B", (60, 140, 240)),
    ("Not compared: in one map, or without a grade", (120, 126, 134)),
)
PLAIN_PX = 1200  # longer side of the ground without images
MARGIN = 0.03  # of this ground around the outlines, as a share of their extent
MAX_OTHER_OUTLINES = 3000  # outlines of B that are drawn in addition to the outlines of A
MOVED = 0.02  # least difference of two outlines, as a share of one of them, for the other to be drawn


def write_report(
    comparison: MapComparison, summary: Mapping[str, Any], path: str | Path, *, language: Language = "en"
) -> Path:
    """Write the page: over both images if one of the maps is a folder whose images are there, else on plain ground."""
    words = page_language(language, TABLE, WORDS)
    images, grid = _images(comparison)
    if grid is None:
        table = _in_metres(comparison.table)
        grid = plain_grid(table)
    else:
        table = _on(comparison.table, grid)
    shapes = table.geometry.to_numpy()
    classes = classes_of(comparison)
    names = [TITLES.get(name, name.capitalize()) for name in comparison.classes]
    content: dict[str, Any] = {
        "summary": {"synthetic": summary["synthetic"], "registration": {}, "findings": [], **summary},
        "quality": _quality(comparison, words.say),
        "classes": [
            {"key": f"class-{number}", "title": words.say(title), "color": list(color)}
            for number, (title, color) in enumerate(CLASSES)
        ],
        "counts": np.bincount(classes, minlength=len(CLASSES)).tolist(),
        "grades": [words.say(name) for name in names],
        "caveats": [
            "Agreement is no accuracy: neither map is the truth, and both may be wrong in the same way.",
            "Intervals (95 %) are from blocks of neighbouring buildings drawn with replacement: they state how much a figure varies within this place.",
        ],
        "lines": _other_outlines(comparison, shapes, grid),
    }
    differs = np.isin(classes, (OTHER_GRADE, ONLY_A, ONLY_B)).astype(float)
    return write_map_page(
        path, KIND, content, _payload(comparison.table, shapes, classes, grid), images, grid, (shapes, differs),
        headline=page_headline(comparison, language), event=EventInfo(), findings=(),
        inputs={"A": comparison.first.source, "B": comparison.second.source}, language=words,
    )  # fmt: skip


def classes_of(comparison: MapComparison) -> np.ndarray:
    """Return (N,) uint8, the class of each building of either map."""
    table = comparison.table
    known, same = table["agree"].notna().to_numpy(), table["agree"].eq(True).fillna(False).to_numpy(bool)
    a, b = (table[f"damaged_{side}"].to_numpy(float) for side in "ab")
    classes = np.select([~known, same, a > b, b > a], [NOT_COMPARED, SAME, ONLY_A, ONLY_B], OTHER_GRADE)
    return classes.astype(np.uint8)


def page_headline(comparison: MapComparison, language: Language = "en") -> Headline:
    """Return the first lines of the page: how many buildings have the same grade in both maps."""
    total = comparison.matrix.total
    same = round(comparison.matrix.overall_accuracy * total)
    (a, b), left = comparison.shares, len(comparison.table) - total
    sentence = Phrase("compared_same", {"total": total, "a": a, "b": b}).text(language)
    limit = Phrase("compared_limit", {"left": left or None}).text(language)
    interval = comparison.intervals.get("overall_accuracy")
    if interval is None:
        return Headline(number_text(same, language), sentence, limit)
    low, high = interval.low * total, interval.high * total
    ends = Phrase.verbatim(f"{number_text(low, language)}–{number_text(high, language)}")
    words = Phrase("range_of_area", {"ends": ends}).text(language)
    bar = IntervalBar(low, high, float(total), float(same), ("0", number_text(total, language)), words)
    return Headline(number_text(same, language), sentence, limit, bar)


def plain_grid(table: gpd.GeoDataFrame) -> Grid:
    """Return the grid of a page without images: around all outlines, north up."""
    left, bottom, right, top = table.total_bounds
    span = max(right - left, top - bottom, 1.0)
    left, bottom, right, top = left - MARGIN * span, bottom - MARGIN * span, right + MARGIN * span, top + MARGIN * span
    size = (1 + 2 * MARGIN) * span / PLAIN_PX
    shape = max(1, round((top - bottom) / size)), max(1, round((right - left) / size))
    north_up = has_position(table.crs)
    affine = Affine(size, 0, left, 0, -size if north_up else size, top if north_up else bottom)
    return Grid(shape, affine, table.crs)


def _images(comparison: MapComparison) -> tuple[dict[str, Layer], Grid | None]:
    """Return the images of the first of both maps that has them, and their grid; none if there are none."""
    from deepnets4eo.damage.review.map_images import MapImages

    for damage_map in (comparison.first, comparison.second):
        if damage_map.folder is None:
            continue
        try:
            images = MapImages.open(damage_map.folder).layers
            return images, images["post"].grid
        except DeepNets4EOError as error:
            log.warning("The page shows outlines on plain ground. %s", error)
    return {}, None


def _on(table: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoDataFrame:
    """Return the outlines in the CRS of the images; outlines of a plane are in pixels or metres of the same plane."""
    crs = grid.crs and grid.crs.proj
    return to_crs(table, crs) if has_position(table.crs) and has_position(crs) and table.crs != crs else table


def _in_metres(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the outlines in a CRS in metres if theirs is in degrees."""
    is_geographic = has_position(table.crs) and table.crs.is_geographic
    return to_crs(table, table.estimate_utm_crs()) if is_geographic else table


def _payload(table: gpd.GeoDataFrame, shapes: np.ndarray, classes: np.ndarray, grid: Grid) -> Payload:
    ids = table["id_a"].fillna(table["id_b"])
    columns: dict[str, Any] = {"class": classes, "difference": share_codes(table["difference"].to_numpy(float))}
    described: dict[str, Any] = {}
    for side in "ab":
        named, codes = np.unique(table[f"damage_{side}"].fillna("").to_numpy(str), return_inverse=True)
        described[f"named_{side}"] = named.tolist()
        columns[f"damage_{side}"] = codes.astype(np.uint8)
        columns[f"value_{side}"] = share_codes(table[f"value_{side}"].to_numpy(float))
    described["other_ids"] = [None if pd.isna(name) else str(name) for name in table["id_b"]]
    return Payload.of_objects(ids.astype(str), shapes, grid, columns, described)


def _other_outlines(comparison: MapComparison, shapes: np.ndarray, grid: Grid) -> list[dict[str, Any]]:
    """Return the outlines of B that differ from the outlines of A, as lines of the page."""
    others = comparison.outlines_b
    drawn = _on(comparison.table.set_geometry(others), grid).geometry.to_numpy() if len(others) else others
    both = (comparison.table["match"] == "both").to_numpy() & ~shapely.is_missing(drawn)
    union = shapely.area(shapely.union(shapes[both], drawn[both]))
    common = shapely.area(shapely.intersection(shapes[both], drawn[both]))
    moved = drawn[both][common < (1 - MOVED) * np.maximum(union, 1e-12)]
    if not 0 < len(moved) <= MAX_OTHER_OUTLINES:
        return []
    return [{"title": "Outlines of B", "dashed": rings_in_pixels(moved, grid), "hatched": [], "visible": True}]


def _quality(comparison: MapComparison, say: Any) -> str:
    """Return which files are compared, and how their buildings were matched."""
    names = [file_name_of(damage_map.source) for damage_map in (comparison.first, comparison.second)]
    matched = say("matched by id") if comparison.matched_by == "id" else say("matched by overlap")
    return f"A: {names[0]} · B: {names[1]} · {matched}"
