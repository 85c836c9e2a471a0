"""The map before answers: it stays in its own folder, since samples are drawn of it and every update starts from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd

from deepnets4eo.damage.map import MANIFEST
from deepnets4eo.damage.review.teaching import Taught
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write, read_json
from deepnets4eo.footprints import read_table

BEFORE = "before_review"
TABLE = "damage.parquet"
OF_MAP = (
    TABLE,
    "damage.gpkg",
    "summary.json",
    MANIFEST,
)  # what `DamageMap.load` reads; the manifest completes the copy


def map_before(folder: Path) -> Path:
    """Return the folder with the map as the images gave it: a folder in the map's, if the map contains answers or was left unfinished."""
    kept = folder / BEFORE
    return kept if (kept / MANIFEST).is_file() and _has_answers(folder) else folder


def table_before(folder: Path) -> Path:
    """Return the table of buildings, damage.parquet, of the map as the images gave it."""
    return map_before(folder) / TABLE


def buildings_before(table: Path) -> gpd.GeoDataFrame:
    """Return the buildings of a map's table with the likeliest grade of each, also where the map states none: answers will decide."""
    buildings = read_table(table)
    return gpd.GeoDataFrame(Buildings(buildings).with_likeliest_grades().frame, crs=buildings.crs)


def keep_map_before(folder: Path) -> None:
    """Copy the map to its own folder before answers are put into the folder's files; a copy of an earlier map is replaced."""
    if map_before(folder) != folder:
        return
    kept = folder / BEFORE
    kept.mkdir(exist_ok=True)
    (kept / MANIFEST).unlink(missing_ok=True)
    for name in OF_MAP:
        with atomic_write(kept / name) as partial:
            shutil.copyfile(folder / name, partial)


def _has_answers(folder: Path) -> bool:
    """Return whether the map in a folder contains answers, or is being written; the manifest, written last, states the answers."""
    try:
        findings = read_json(folder / MANIFEST)["findings"]
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return True
    return any(finding.get("code") == Taught.code for finding in findings)
