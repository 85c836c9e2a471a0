"""Files of corrections that teach: buildings to look at next, and the map that answers have moved."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.damage.buildings import GRADED
from deepnets4eo.damage.review.answers import read_filled, write_looks
from deepnets4eo.damage.review.teaching import Taught, choose_next, teach
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.footprints import read_table
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.polygons import set_fixed_times

TAUGHT = "taught.gpkg"
COLUMNS = (*GRADED, "reason")


def chosen_files(folder: Path) -> list[Path]:
    """The files of chosen buildings of a map, first those that were chosen first."""
    numbered = ((re.fullmatch(r"next-(\d+)\.gpkg", path.name), path) for path in folder.glob("next-*.gpkg"))
    return [path for _, path in sorted((int(match[1]), path) for match, path in numbered if match)]


def next_file(folder: Path) -> Path:
    """The first file of chosen buildings that is not there."""
    number = 1
    while (path := folder / f"next-{number}.gpkg").exists():
        number += 1
    return path


def write_next(folder: Path, files: Sequence[Path], count: int, look: Floats | None = None) -> tuple[int, Path]:
    """Choose the buildings whose answers help most, and write them into the first next-….gpkg that is not there.

    Parameters
    ----------
    folder : folder of the damage map
    files : samples and chosen buildings that people have
    count : how many are chosen
    look : what buildings look like, see `teach`

    Returns
    -------
    (int, Path)
        How many were chosen, and the file.

    Raises
    ------
    InputError
        The same as in `read_answers`; or no building is left.
    """
    table = folder / "damage.parquet"
    buildings, answers, listed = _read_all(files, table)
    rows = choose_next(buildings, answers, listed, count, look=look)
    if not len(rows):
        raise InputError(f"all assessed buildings of {table} were drawn or chosen before. Fill those.")
    path = next_file(folder)
    write_looks(path, table, buildings, rows, None)
    return len(rows), path


def write_taught(folder: Path, files: Sequence[Path], look: Floats | None = None) -> tuple[Taught, Path]:
    """Write the map with what people answered, and the grades of the others moved where that helped, as taught.gpkg.

    Parameters
    ----------
    folder : folder of the damage map, which stays
    files : samples and chosen buildings; of two answers the later file's holds
    look : what buildings look like, see `teach`

    Returns
    -------
    (Taught, Path)

    Raises
    ------
    InputError
        The same as in `read_answers` and `teach`; or the folder has no damage.gpkg.
    """
    buildings, answers, _ = _read_all(files, folder / "damage.parquet")
    source, path = folder / "damage.gpkg", folder / TAUGHT
    if not source.is_file():
        raise InputError(f"{source} does not exist, from which the taught map is made. Make the map again.")
    check_not_inputs([path], files)
    taught = teach(buildings, answers, look=look)
    with atomic_write(path) as partial:
        shutil.copyfile(source, partial)
        with closing(sqlite3.connect(partial)) as database, database:
            _update(database, taught.with_answers(answers))
            _note(database, taught)
        set_fixed_times(partial)
    return taught, path


def _update(database: sqlite3.Connection, buildings: pd.DataFrame) -> None:
    """Put grades into the layer of a copied map, and take out the estimates, which rest on the old ones."""
    for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
        database.create_function(
            name, 1, lambda _: None
        )  # triggers of the spatial index name them; no geometry changes
    changed = buildings[["id", *COLUMNS]].astype(object).where(buildings[["id", *COLUMNS]].notna(), None)
    database.execute(f"CREATE TEMP TABLE taught (id TEXT PRIMARY KEY, {', '.join(COLUMNS)})")
    database.executemany(
        f"INSERT INTO taught VALUES (?{', ?' * len(COLUMNS)})", changed.itertuples(index=False, name=None)
    )
    names = ", ".join(COLUMNS)
    database.execute(f"UPDATE buildings SET ({names}) = (SELECT {names} FROM taught WHERE taught.id = buildings.id)")
    database.execute("DELETE FROM estimates")


def _note(database: sqlite3.Connection, taught: Taught) -> None:
    """Say in the table of findings what was taught."""
    message = f"{taught.answers} buildings have the grade that a person gave them; {taught.gain()}"
    database.execute(
        "INSERT INTO findings (code, severity, message, remedy) VALUES ('taught', 'note', ?, ?)",
        (message, "Count damaged buildings by a random sample of the map that was not taught."),
    )


def _read_all(files: Sequence[Path], table: Path) -> tuple[pd.DataFrame, dict[int, str], Indices]:
    """The map's table, row → answer, and the rows that the files show."""
    read = [read_filled(file, table) for file in files]
    answers = {row: answer for sheet in read for row, answer in sheet.answers.items()}
    buildings = read[0].buildings if read else read_table(table)
    return buildings, answers, np.unique(np.concatenate([np.empty(0, np.intp), *(sheet.rows for sheet in read)]))
