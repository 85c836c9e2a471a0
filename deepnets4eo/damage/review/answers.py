"""The sample as a GeoPackage that is filled in QGIS or elsewhere, without the map's results, and its answers."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from operator import index
from pathlib import Path
from reprlib import repr as shorten
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from deepnets4eo.arrays import Indices
from deepnets4eo.damage.areas import OUTSIDE, find_areas
from deepnets4eo.damage.products.qgis_project import write_review_project
from deepnets4eo.damage.products.qgis_styles import qml, sample_style
from deepnets4eo.damage.review.counts import ANSWERS, CANNOT_TELL, Reviewed, review_counts
from deepnets4eo.damage.review.map_before import TABLE, buildings_before, table_before
from deepnets4eo.damage.review.sample import LOOKS, Sample, draw_sample
from deepnets4eo.errors import InputError
from deepnets4eo.files import sha256, write_json
from deepnets4eo.footprints import read_table
from deepnets4eo.outputs import check_not_inputs, one_or_many
from deepnets4eo.outputs.served_page import Answers

log = logging.getLogger(__name__)


def write_sample(path: Path, table: Path, looks: int = LOOKS, seed: int = 0, likeliest: int | None = None) -> int:
    """Draw a sample and write it to be filled, with a QGIS project if the map has one.

    Parameters
    ----------
    path : the GeoPackage, which must not exist yet
    table : damage.parquet of the map
    looks, seed, likeliest : as in `draw_sample`

    Returns
    -------
    int
        Number of buildings that were drawn.

    Raises
    ------
    InputError
        The file exists, or the folder contains no damage map.
    """
    buildings = _read_map(table)
    sample = draw_sample(buildings, looks, seed, likeliest)
    write_looks(path, table, buildings, sample.rows, seed, sample.likeliest)
    return len(sample.rows)


def write_looks(
    path: Path, table: Path, buildings: gpd.GeoDataFrame, rows: Indices, seed: int | None, likeliest: int = 0
) -> None:
    """Write buildings to be filled. rows : in the order of the looks; seed, likeliest : of the draw, None and 0 for chosen buildings."""
    style = qml(*sample_style(ANSWERS), categories="Symbology|Fields|Forms|MapTips")
    Answers.create(
        path, buildings["id"].to_numpy()[rows], buildings.geometry.iloc[rows],
        {"looks": len(rows), "seed": seed, "likeliest": likeliest, "sha256": sha256(table)}, style=style, title="Buildings to look at",
    )  # fmt: skip
    project = path.with_name("damage.qgz")
    if project.exists() and table in (path.with_name(TABLE), table_before(path.parent)):
        try:
            write_review_project(project, path, Answers.LAYER, sample_style(ANSWERS))
        except InputError as error:  # the sample can be filled without it
            log.warning("%s", error)


def read_answers(path: Path, table: Path) -> tuple[Sample, dict[int, str], gpd.GeoDataFrame]:
    """Read what was filled in.

    Parameters
    ----------
    path : the GeoPackage of `write_sample`
    table : damage.parquet of the map

    Returns
    -------
    (Sample, dict, GeoDataFrame)
        The sample as drawn, row of the map → answer, and the map's table.

    Raises
    ------
    InputError
        The file is no sample, or of another map; a building or an answer is wrong.
    """
    filled = read_filled(path, table)
    if (sample := filled.sample) is None:
        raise InputError(
            f"{path} has chosen buildings, which do not represent the others. They teach with --update; draw a sample to count."
        )
    return sample, filled.answers, filled.buildings


@dataclass(frozen=True)
class Filled:
    """A file of looks: the map's table, the rows that it shows, row → answer, and the seed of the draw (None if chosen).

    likeliest : as in `draw_sample`
    """

    buildings: gpd.GeoDataFrame
    rows: Indices
    answers: dict[int, str]
    looks: int
    seed: int | None
    likeliest: int

    @property
    def sample(self) -> Sample | None:
        """Return the sample as it was drawn; None for chosen buildings."""
        return None if self.seed is None else draw_sample(self.buildings, self.looks, self.seed, self.likeliest)


def read_filled(path: Path, table: Path) -> Filled:
    """Read a file of looks, drawn or chosen. Errors: InputError, as in `read_answers`."""
    if not path.exists():
        raise InputError(f"{path} does not exist. Check the path, or draw a sample with `deepnets4eo review`.")
    try:
        frame = read_table(path, Answers.LAYER)
        looks, seed, drawn_of = Answers(path).read_draw("looks", "seed", "sha256")
        looks, seed = index(looks), None if seed is None else index(seed)
    except (sqlite3.Error, TypeError) as error:
        if "locked" in str(error):
            raise InputError(f"{path} is locked by another program, e.g. QGIS. Save and close it there.") from error
        raise InputError(
            f"{path} is no sample of a damage map: {error}. Move it elsewhere, and draw one with `deepnets4eo review FOLDER`."
        ) from error
    if missing := [name for name in ("id", "answer") if name not in frame.columns]:
        raise InputError(f"{path} has no column {missing[0]!r} any more. Put it back, or draw another sample.")
    if drawn_of != sha256(table):
        raise InputError(
            f"{path} was drawn from another map than {table}. Give the folder of its map, or move the sample away and draw another."
        )
    buildings = _read_map(table)
    rows = pd.Index(buildings["id"]).get_indexer(frame["id"])
    answered = (frame["answer"].notna() & (frame["answer"].astype(str).str.strip() != "")).to_numpy()
    if (double := frame["id"][answered][frame["id"][answered].duplicated()]).any():
        raise InputError(f"{path} has building {shorten(double.iloc[0])} twice. Keep one row of it.")
    if (rows[answered] < 0).any():
        other = frame["id"][answered & (rows < 0)].iloc[0]
        raise InputError(f"building {shorten(other)} in {path} was not drawn: the map has none of that id. Remove it.")
    answers = {
        int(row): str(answer).strip() for row, answer in zip(rows[answered], frame["answer"][answered], strict=True)
    }
    if wrong := sorted(set(answers.values()) - set(ANSWERS)):
        raise InputError(
            f"{path} has the answer {shorten(wrong[0])}; expected one of {', '.join(ANSWERS)}. Correct it there."
        )
    return Filled(buildings, rows[rows >= 0], answers, looks, seed, _likeliest(path))


def _likeliest(path: Path) -> int:
    """Return how many looks are at the likeliest buildings; samples of earlier versions have none."""
    try:
        return int(Answers(path).read_draw("likeliest")[0] or 0)
    except sqlite3.OperationalError:  # the table of the draw has no such column
        return 0


def _read_map(table: Path) -> gpd.GeoDataFrame:
    if not table.is_file():
        raise InputError(f"{table} does not exist. Give the folder that `deepnets4eo damage` wrote.")
    return buildings_before(table)


def write_review(folder: Path, files: Sequence[Path], areas: Path | None = None) -> tuple[Reviewed, Path]:
    """Count by filled samples and write review.json.

    Parameters
    ----------
    folder : folder of the damage map
    files : samples of one or more reviewers; the first is counted, and how far the others agree with it is written, too
    areas : polygons that are counted each

    Returns
    -------
    (Reviewed, Path)
        The counts of the whole map, and review.json.

    Raises
    ------
    InputError
        The same as in `read_answers` and `review_counts`.
    """
    check_not_inputs([folder / "review.json"], [*files, areas])
    table = table_before(folder)
    sample, answers, buildings = read_answers(files[0], table)
    result = review_counts(sample, answers, buildings["damage"])
    others = {str(file): _kappa(answers, read_answers(file, table)[1]) for file in files[1:]}
    skipped = _skipped(sample, answers)
    if skipped:
        log.warning(
            "%s passed over before the last that was answered. If for what they show, the counts are wrong: answer them, too.",
            one_or_many(skipped, "one building was", f"{skipped:,} buildings were"),
        )
    if result.added:
        log.warning(
            "%s put into the sample by hand. They count as they were seen, and stand for no others.",
            one_or_many(result.added, "one building was", f"{result.added:,} buildings were"),
        )
    content = {
        "answers": str(files[0]),
        "looks": len(sample.rows),
        "skipped": skipped,
        **asdict(result),
        "kappa": others,
    }
    content["areas"] = [] if areas is None else _count_areas(areas, sample, answers, buildings)
    return result, write_json(folder / "review.json", content)


def _skipped(sample: Sample, answers: dict[int, str]) -> int:
    """Return how many looks before the last answered look have no answer."""
    answered = np.isin(sample.rows, list(answers))
    return int((~answered[: np.flatnonzero(answered).max(initial=-1) + 1]).sum())


def _kappa(first: dict[int, str], second: dict[int, str]) -> dict[str, Any]:
    """Return Cohen's kappa of two reviewers, or None if all their answers are the same."""
    from sklearn.metrics import cohen_kappa_score

    both = sorted(first.keys() & second.keys())
    alike = len({*(first[row] for row in both), *(second[row] for row in both)}) < 2
    kappa = None if alike else float(cohen_kappa_score([first[row] for row in both], [second[row] for row in both]))
    return {"buildings": len(both), "kappa": kappa}


def _count_areas(
    path: Path, sample: Sample, answers: dict[int, str], buildings: gpd.GeoDataFrame
) -> list[dict[str, Any]]:
    """Return the counts of each polygon, and of the buildings outside all polygons."""
    areas = find_areas(str(path), buildings)
    for finding in areas.findings():
        log.warning("%s", finding.message)
    outside = areas.times == 0
    named = ((name, areas.inside(number)) for number, name in enumerate(areas.frame["area"]))
    counts = []
    for name, inside in chain(named, [(OUTSIDE, outside)] if outside.any() else []):
        graded = any(inside[row] and row in sample.rows and answer != CANNOT_TELL for row, answer in answers.items())
        about = {"area": name, "of": int(inside.sum())}
        counts.append(about | (asdict(review_counts(sample, answers, buildings["damage"], inside)) if graded else {}))
    return counts
