"""Files of corrections that teach: buildings to look at next, and the map that answers have moved."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import geopandas as gpd
import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.damage.decision.findings import findings_after_answers
from deepnets4eo.damage.decision.inundation import inundation_after_answers
from deepnets4eo.damage.files.written_again import formats_there
from deepnets4eo.damage.map import MANIFEST, PRODUCTS, DamageMap
from deepnets4eo.damage.products.tables import insert_estimates
from deepnets4eo.damage.products.write import named_before
from deepnets4eo.damage.review.answers import read_filled, write_looks
from deepnets4eo.damage.review.counts import Reviewed, review_counts
from deepnets4eo.damage.review.map_before import buildings_before, keep_map_before, map_before, table_before
from deepnets4eo.damage.review.map_images import open_images
from deepnets4eo.damage.review.moved_estimates import moved_estimates, moved_share, narrower_estimates
from deepnets4eo.damage.review.sample import Sample
from deepnets4eo.damage.review.teaching import (
    Taught,
    can_teach,
    choose_next,
    graded_answers,
    grades_of_map,
    teach,
)
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.files import atomic_write, read_json
from deepnets4eo.floods import BuildingWater
from deepnets4eo.footprints import outline_areas_m2
from deepnets4eo.outputs import Finding, Language, check_not_inputs, worst_first
from deepnets4eo.polygons import set_fixed_times
from deepnets4eo.registration import ImagePair

log = logging.getLogger(__name__)

TAUGHT, PAGE = "taught.gpkg", "report.html"
COLUMNS = (*Buildings.graded_columns, "reason")
HEAD_LETTERS = 4096


def chosen_files(folder: Path) -> list[Path]:
    """Return the files of chosen buildings of a map, the earliest choice first."""
    numbered = ((re.fullmatch(r"next-(\d+)\.gpkg", path.name), path) for path in folder.glob("next-*.gpkg"))
    return [path for _, path in sorted((int(match[1]), path) for match, path in numbered if match)]


def next_file(folder: Path) -> Path:
    """Return the first file of chosen buildings that does not exist yet."""
    number = 1
    while (path := folder / f"next-{number}.gpkg").exists():
        number += 1
    return path


@dataclass(frozen=True)
class Corrections:
    """Answers to buildings of a map, read and checked before anything long is done.

    folder : of the map
    buildings : the map's table
    answers : row of the table → answer; of two answers the later file's holds
    listed : (n,) rows that the files show
    sample : of the first file that was drawn, None if there is none
    """

    folder: Path
    files: tuple[Path, ...]
    buildings: gpd.GeoDataFrame
    answers: dict[int, str]
    listed: Indices
    sample: Sample | None = None

    @classmethod
    def read(cls, folder: Path, files: Sequence[Path] = ()) -> Corrections:
        """Read samples and chosen buildings, by default the files of the folder. Errors: InputError, as in `read_answers`."""
        table = table_before(folder)
        files = files or [path for path in (folder / "review.gpkg", *chosen_files(folder)) if path.exists()]
        read = [read_filled(file, table) for file in files]
        answers = {row: answer for sheet in read for row, answer in sheet.answers.items()}
        buildings = read[0].buildings if read else buildings_before(table)
        listed = np.unique(np.concatenate([np.empty(0, np.intp), *(sheet.rows for sheet in read)]))
        sample = next((drawn for sheet in read if (drawn := sheet.sample) is not None), None)
        return cls(folder, tuple(files), buildings, answers, listed, sample)

    @property
    def graded(self) -> int:
        """Return how many answers name the grade of an assessed building."""
        return len(graded_answers(self.buildings, self.answers))

    @property
    def can_teach(self) -> bool:
        """Return whether the answers are enough to grade other buildings."""
        return can_teach(self.graded)

    @property
    def count(self) -> Reviewed | None:
        """Return the count of the assessed buildings by the drawn sample; None if none of it has a grade."""
        graded = graded_answers(self.buildings, self.answers)
        if self.sample is None or not np.isin(self.sample.rows, list(graded)).any():
            return None
        return review_counts(self.sample, self.answers, self.buildings["damage"], Buildings(self.buildings).assessed)

    def check_update(self) -> None:
        """Refuse answers that cannot be put into the map. Errors: InputError."""
        if not (source := map_before(self.folder) / "damage.gpkg").is_file():
            raise InputError(f"{source} does not exist, from which the taught map is made. Make the map again.")
        check_not_inputs([self.folder / name for name in (TAUGHT, *PRODUCTS)], self.files)
        if not self.graded:
            raise InputError(
                f"none of {len(self.answers)} answers names the grade of an assessed building. Fill a sample first: "
                f"`deepnets4eo review {self.folder}` draws one, --serve shows it."
            )

    def check_next(self) -> None:
        """Refuse to choose where nothing is left. Errors: InputError."""
        if not (Buildings(self.buildings).assessed & ~np.isin(np.arange(len(self.buildings)), self.listed)).any():
            raise InputError(f"all assessed buildings of {self.folder} were drawn or chosen before. Fill those.")

    def write_next(self, count: int, look: Floats | None = None) -> tuple[int, Path]:
        """Choose the buildings whose answers help most, and write them into the first next-….gpkg that is not there.

        Parameters
        ----------
        count : how many are chosen
        look : what buildings look like, see `teach`

        Returns
        -------
        (int, Path)
            How many were chosen, and the file.

        Raises
        ------
        InputError
            No building is left.
        """
        self.check_next()
        rows = choose_next(self.buildings, self.answers, self.listed, count, look=look)
        path = next_file(self.folder)
        write_looks(path, table_before(self.folder), self.buildings, rows, None)
        return len(rows), path

    def write_taught(self, look: Floats | None = None) -> tuple[Taught, list[Path]]:
        """Write all products of the map again with the answers, and the grades of the other buildings moved if that helped.

        The map before answers stays in the folder `before_review`, from which the next update starts.

        Parameters
        ----------
        look : what buildings look like, see `teach`

        Returns
        -------
        (Taught, list of Path)
            What was taught, and the files: the products of the map, or only taught.gpkg if the images of the map are gone.

        Raises
        ------
        InputError
            No answer names a grade, or the folder has no damage.gpkg.
        """
        self.check_update()
        taught = (
            teach(self.buildings, self.answers, look=look)
            if self.can_teach
            else Taught.of_few(self.buildings, self.answers)
        )
        if (count := self.count) is not None:
            low, high = count.buildings["damaged"]["interval_95"]
            taught = taught.within(low, high, self.answers)
        before = map_before(self.folder)
        content = taught_content(before, taught, self.answers, count)
        try:
            if content is not None:
                pair = open_images(before)
                keep_map_before(self.folder)
                return taught, save_again(content, pair, self.folder, language_of(self.folder / PAGE))
        except DeepNets4EOError as error:
            log.warning("only %s contains the answers; all other files are of the map before them. %s", TAUGHT, error)
        return taught, [self._write_table(taught, content)]

    def _write_table(self, taught: Taught, content: DamageMap | None) -> Path:
        """Write the tables of the map with the answers as taught.gpkg. content : the map with its estimates, None if unknown."""
        path = self.folder / TAUGHT
        with atomic_write(path) as partial:
            shutil.copyfile(map_before(self.folder) / "damage.gpkg", partial)
            with closing(sqlite3.connect(partial)) as database, database:
                _update(database, taught.with_answers(self.answers) if content is None else content.buildings)
                database.execute("DELETE FROM estimates")
                if content is not None:
                    insert_estimates(database, content)
                _note(database, taught.finding())
            set_fixed_times(partial)
        return path


def taught_content(
    folder: Path, taught: Taught, answers: Mapping[int, str], count: Reviewed | None = None
) -> DamageMap | None:
    """Return the map in a folder with the grades and estimates after answers; None, with a warning, if only its tables are left.

    count : by a drawn sample, whose estimates replace the moved ones if they are narrower
    """
    try:
        content, table = DamageMap.load(folder), taught.with_answers(answers)
    except DeepNets4EOError as error:
        log.warning("the taught map has no estimates. %s", error)
        return None
    content.state_likeliest_grades()
    rows = list(graded_answers(content.buildings, answers))
    before, after = grades_of_map(content.buildings), grades_of_map(table)
    areas = outline_areas_m2(content.buildings)
    wet, _ = BuildingWater.read_column(content.buildings.get("inundated", pd.Series("", content.buildings.index)))
    content.inundation, content.findings = inundation_after_answers(
        content.inundation, content.findings, wet, before, after
    )
    content.estimates = moved_estimates(content.estimates, before, after, rows, areas)
    if count is not None:
        content.estimates = narrower_estimates(content.estimates, count)
    content.damaged_share = moved_share(content.damaged_share, content.estimates, int(before.known.sum()))
    content.buildings = content.buildings.assign(**{name: table[name].to_numpy() for name in COLUMNS})
    content.withhold_unknown_grades()
    findings = findings_after_answers(
        content.findings, content.open_interval, int(content.table.assessed.sum()), content.event
    )
    content.findings = worst_first((taught.finding(), *findings))
    return content


def save_again(content: DamageMap, pair: ImagePair, folder: Path, language: Language) -> list[Path]:
    """Write the products that a folder has from a map after answers; new water stays. Returns the page, then the other files."""
    options, files = formats_there(folder)
    kept = [name for name in (content.water_file,) if name in named_before(folder)]
    content.inputs = inputs_from_here(content.inputs, folder)
    written = content.save(
        folder, pre=pair.pre, post=pair.post, scores=content.open_shown(folder, pair), overwrite=True, also=files,
        options=replace(options, language=language), kept=kept,
    )  # fmt: skip
    (folder / TAUGHT).unlink(missing_ok=True)  # of an update without the images
    return [written[PAGE], *(path for name, path in written.items() if name != PAGE)]


def inputs_from_here(inputs: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the inputs of a map by role, found from this working folder, so that their checksums are recorded again."""
    recorded, paths = read_json(map_before(folder) / MANIFEST)["inputs"], dict(inputs)
    for role in inputs:
        try:
            (paths[role],) = DamageMap.input_files(role, recorded, folder)
        except (InputError, ValueError):  # a folder or an address, or gone
            continue
    return paths


def language_of(page: Path) -> Language:
    """Return the language that a page states; English without a page."""
    head = page.open(encoding="utf-8", errors="replace").read(HEAD_LETTERS) if page.is_file() else ""
    stated = re.search(r'<html lang="(\w+)"', head)
    return next((language for language in get_args(Language) if stated and stated[1] == language), "en")


def _update(database: sqlite3.Connection, buildings: pd.DataFrame) -> None:
    """Put grades into the layer of a copied map."""
    for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
        database.create_function(
            name, 1, lambda _: None
        )  # triggers of the spatial index name them; no geometry changes
    there = {row[1] for row in database.execute("PRAGMA table_info(buildings)")}
    columns = [
        *COLUMNS,
        *(name for name in Buildings.rank_columns if name in there),
    ]  # empty if the answers show how many
    changed = buildings.reindex(columns=["id", *columns]).astype(object)
    changed = changed.where(changed.notna(), None)
    database.execute(f"CREATE TEMP TABLE taught (id TEXT PRIMARY KEY, {', '.join(columns)})")
    database.executemany(
        f"INSERT INTO taught VALUES (?{', ?' * len(columns)})", changed.itertuples(index=False, name=None)
    )
    names = ", ".join(columns)
    database.execute(f"UPDATE buildings SET ({names}) = (SELECT {names} FROM taught WHERE taught.id = buildings.id)")


def _note(database: sqlite3.Connection, finding: Finding) -> None:
    """State in the table of findings what was taught."""
    row = finding.to_dict()
    names = ("code", "severity", "message", "remedy")
    database.execute(f"INSERT INTO findings ({', '.join(names)}) VALUES (?, ?, ?, ?)", [row[name] for name in names])
