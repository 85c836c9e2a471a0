"""The rows of a benchmark fitted to real tiles of a few hundred pixels, and their tables.

Takes rows as the experiments list them; gives the same rows with finer sites, fewer samples and shorter trainings.
Rows whose layers or classes a tile lacks are left out, and named below its table.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from real_tiles import ABOUT, Folds

from deepnets4eo.benchmark import Row, contact_sheet, run_possible, write_table
from deepnets4eo.cards.dataset_card import PublishedScores
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError

EXPERT = "expert-rules"
SPLIT = ("data.block_px=32", "data.buffer_px=0", "data.num_workers=0")  # nothing is chosen on the validation part
HALF_METRE = ("vegas", "ign", "loveda", "delft")  # superpixels and patches of fewer pixels show as much ground
SITES = ("model.stride_px=8",)  # of patches that do not cover half of the tile, as those of 64 px would
FITTED: dict[str, tuple[str, ...]] = {
    "hog-svm": ("model.stride_px=4", "post=[{majority: {radius_px: 6}}]"),
    "hog32-svm": ("model.stride_px=4", "post=[{majority: {radius_px: 6}}]"),
    "deep-svm": (*SITES, "deep.patch_px=16", "model.max_samples=3000", "estimator.search_samples=1000"),
    "patch-cnn": ("data.windows_per_epoch=96", "train.epochs=8", "predict.tile_px=208"),
    "som": ("model.max_samples=20000",),
    "dtmm": ("parts={max_windows: 16}",),
}
COARSE = {"loveda": "model.stride_px=16"}  # tiles that are large enough for it
FINER = ("rgb-svm", "rgbd-svm", "rgbdi-svm", "hsv-svm", "hsvdgr-svm")  # on superpixels

TREE = {"class": "tree", "ndvi": {"above": 0.1}, "ndsm": {"above": 2}}
PLANTS = {"class": "low_vegetation", "ndvi": {"above": 0.1}}
BUILDING = {"class": "building", "ndsm": {"above": 2.5}}
RULES: dict[
    str, tuple[str, dict[str, Any]]
] = {  # tile → layers, rules as in rules-ndsm.yaml; Las Vegas' stretched bytes have no NDVI
    "ign": ("[image, nir, ndsm]", {"rules": [TREE, PLANTS, BUILDING], "otherwise": "ground"}),
    "delft": ("[ndsm]", {"rules": [BUILDING], "otherwise": "road"}),
}
ALSO: dict[str, tuple[Row, ...]] = {  # what a tile without colours allows
    "delft": (
        Row("dI/SVM", "baselines/rgbdi-svm", ("model.layers=[dsm, intensity]",)),
        Row("nDSM+I/SVM", "baselines/rgbdi-svm", ("model.layers=[ndsm, intensity]",)),
        Row(
            "nDSM+I forest",
            "baselines/random-forest",
            ("model.layers=[ndsm, intensity]", "model.features=[pixels, neighbourhood]", "model.max_samples=20000"),
        ),
    ),
}


@dataclass(frozen=True)
class TableOf:
    """Title, classes and published scores of a table."""

    title: str
    published: Mapping[str, PublishedScores]
    notes: Mapping[str, Any]
    classes: tuple[str, ...] = ()


def tile_rows(tile: str, table: Sequence[Row]) -> list[Row]:
    """The rows of a table as a tile of this name gets them."""
    return [_fit_row_to_tile(tile, row) for row in (*table, *ALSO.get(tile, ()))]


def tile_table(tile: str, legend: Legend, folds: Folds, rows: Sequence[Row], out: Path, text: TableOf) -> str:
    """Run the rows on both halves of a tile and write its table and maps under `out`; returns the table as Markdown."""
    started = time.perf_counter()
    try:
        outcomes, left_out = run_possible(rows, folds, legend, out)
    except InputError as error:  # no row is possible; other tiles may have some
        return f"## {text.title}\n\n{error}\n"
    notes = {
        "folds": "; ".join(f"trained on {', '.join(fold.train)}, tested on {', '.join(fold.test)}" for fold in folds)
        + "; both scored as one, 32 px between the halves are not used",
        "labels": ABOUT.get(tile, "as given out"),
        "seed": 0,
        **text.notes,
        **{f"{name} is left out": reason for name, reason in left_out.items()},
    }
    both = {name: sources for fold in folds for name, sources in fold.test.items()}
    contact_sheet(outcomes, both, legend, out / "maps.png", title=text.title)
    print(f"{tile}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    classes = text.classes or legend.names
    return write_table(outcomes, classes, text.published, out, title=text.title, notes=notes, rest=True)


def _fit_row_to_tile(tile: str, row: Row) -> Row:
    kind = str(row.recipe).rpartition("/")[2]
    overrides = [*row.overrides, *SPLIT, *FITTED.get(kind, ())]
    if kind in FINER and tile in HALF_METRE:
        overrides.append("superpixels={method: felzenszwalb, area_px: 64}")
    if kind in ("hog-svm", "hog32-svm", "deep-svm") and tile in COARSE:
        overrides.append(COARSE[tile])
    if kind == "som":  # there are no boats: the map of all classes
        return Row("SOM, all classes", row.recipe, tuple(overrides))
    if kind == "patch-cnn" and tile != "ign":
        return Row("RGB trained AlexNet", row.recipe, (*overrides, "model.layers=[image]"))
    if kind == EXPERT and tile in RULES:
        layers, rules = RULES[tile]
        named = {"name": tile, "source": "this toolbox", "ndvi_band": ["nir", "intensity"], **rules}
        overrides = [f"model.layers={layers}", f"model.rules={json.dumps(named)}", *SPLIT]
    return replace(row, overrides=tuple(overrides))
