"""Text with one point per line: columns named by a first line or by their order, Semantic3D with separate labels.

Files without names of columns may have one of these orders:

- x y z [intensity]
- x y z red green blue
- x y z intensity red green blue (Semantic3D)
- x y z intensity return_number number_of_returns [classification] (ISPRS Vaihingen 3D)

The first lines decide between the two orders of seven columns: return numbers begin at 1 and never exceed the number of
returns.

Memory: one chunk. Points and bounds are counted in a pass over the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError, Reading
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import BYTE, CHUNK_POINTS, CloudFile, as_bytes, as_intensity

XYZ, RGB = ("x", "y", "z"), ("red", "green", "blue")
RETURNS = ("return_number", "number_of_returns")
LABEL = "classification"
NAMES = {*XYZ, *RGB, *RETURNS, "intensity", LABEL, "near_infrared"}
ALIASES = {
    "r": "red", "g": "green", "b": "blue", "nir": "near_infrared", "i": "intensity", "reflectance": "intensity",
    "class": LABEL, "label": LABEL, "labels": LABEL, "easting": "x", "northing": "y", "height": "z",
    "returnnumber": "return_number", "numberofreturns": "number_of_returns",
}  # fmt: skip
ORDERS = {3: XYZ, 4: (*XYZ, "intensity"), 6: (*XYZ, *RGB), 7: (*XYZ, "intensity", *RGB)}
ISPRS = (*XYZ, "intensity", *RETURNS, LABEL)
MAX_RETURNS = 15
HEAD_BYTES = 1 << 16
BEYOND = "beyond"  # what stands in a line behind its last column
LABELS_SUFFIX = ".labels"
NAME_COLUMNS = (
    "Name them in its first line, as in 'x y z intensity', without lines of other text (in Python: columns='x y z …')."
)


class TextFile(CloudFile):
    """A text file of points in named columns; unknown columns are ignored. A file of the same name with the suffix
    .labels contains one class per line.

    Raises InputError for no text of numbers, or unknown columns.
    """

    point_format = "text"

    def __init__(self, path: Path, crs: CRS | None = None, columns: str | None = None) -> None:
        super().__init__(path, crs)
        lines = _first_lines(path)
        self._skipped = 1 if lines and re.fullmatch(r"\s*\d+\s*", lines[0]) else 0  # PTS files begin with a count
        header = lines[self._skipped] if len(lines) > self._skipped else ""
        self._separator = _separator(lines[-1]) if lines else " "
        named = _column_names(header, self._separator)
        self._skipped += named is not None
        rows = [_split(line) for line in lines[self._skipped :]]
        self._columns = _column_names(columns) if columns else named
        self._labels = path.with_suffix(LABELS_SUFFIX) if path.with_suffix(LABELS_SUFFIX).is_file() else None
        if self._columns is None and rows:
            self._columns = _known_order(rows, path, labels_beside=self._labels is not None)
        self.asprs = self._labels is None and self._columns != ISPRS  # those have lists of their own
        if twice := sorted({name for name in NAMES if (self._columns or ()).count(name) > 1}):
            raise InputError(
                f"{path} has several columns {', '.join(twice)}; expected one of each name. {NAME_COLUMNS}"
            )
        if (rows or named) and not {*XYZ} <= set(self._columns or ()):  # a line of words alone is no empty cloud
            raise InputError(
                f"{path} has the columns {', '.join(self._columns or ())}; expected x, y and z among them. {NAME_COLUMNS}"
            )

    @property
    def point_count(self) -> int:
        """Number of points."""
        return self._counted[0]

    @property
    def file_bounds(self) -> NDArray[np.float64]:
        """Return (2, 3) least and greatest coordinates."""
        return self._counted[1]

    @cached_property
    def measurements(self) -> tuple[str, ...]:
        """Return the measurements in columns and labels."""
        for cloud in self.stored_chunks(CHUNK_POINTS):
            return tuple(cloud.measurements())
        return ()

    @cached_property
    def _counted(self) -> tuple[int, NDArray[np.float64]]:
        count, low, high = 0, np.full(3, np.inf), np.full(3, -np.inf)
        for table in self._tables(CHUNK_POINTS):
            xyz = table[list(XYZ)].to_numpy(np.float64)
            count += len(xyz)
            low, high = np.minimum(low, xyz.min(axis=0)), np.maximum(high, xyz.max(axis=0))
        return count, np.array([low, high])

    def stored_chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yield chunks with the coordinates of the file."""
        labels, done = _Labels(self._labels) if self._labels else None, 0
        for table in self._tables(points):
            values: dict[str, Any] = {name: table[name].to_numpy() for name in NAMES & set(table.columns)}
            done += len(table)
            if labels is not None:
                values[LABEL] = labels.read(len(table))
                labels.check(done, done - len(table) + len(values[LABEL]))
            yield _to_cloud(values, str(self.path))
        if labels is not None and done and len(labels.read(1)):
            labels.check(done, done + 1)

    def _tables(self, points: int) -> Iterator[Any]:
        import pandas as pd

        if self._columns is None:
            return
        names = [*(name if name in NAMES else f"_{index}" for index, name in enumerate(self._columns)), BEYOND]
        with _text_errors(self.path):
            tables = pd.read_csv(  # with usecols it would drop what lines have beyond their columns without a word
                self.path, sep=self._separator, header=None, names=names, skiprows=self._skipped, chunksize=points,
                dtype={name: np.float64 if name in {*NAMES, BEYOND} else str for name in names}, index_col=False,
            )  # fmt: skip
            for table in tables:
                if table.pop(BEYOND).notna().any():
                    raise self._too_many_fields()
                if len(table):  # of a file with nothing but names pandas makes one
                    yield table

    def _too_many_fields(self) -> InputError:
        names = [name or "one without a name" for name in self._columns or ()]
        return InputError(
            f"{self.path} has lines with more fields than the {len(names)} columns {', '.join(names)}, so that it is unknown which "
            "field is which. Name every column in the first line; tables of pandas are written with index=False, those of R with "
            "row.names=FALSE."
        )


class FractionFile(TextFile):
    """A text file whose colours are fractions 0–1, as XYZRGB of Open3D. Raises InputError for others."""

    def _tables(self, points: int) -> Iterator[Any]:
        for table in super()._tables(points):
            colours = table[list(RGB)].to_numpy(np.float64)
            if not ((colours >= 0) & (colours <= 1)).all():
                raise InputError(
                    f"{self.path} has colours from {colours.min():.6g} to {colours.max():.6g}; expected 0–1 in this format. "
                    "Give bytes in a file of the suffix .xyz."
                )
            table[list(RGB)] = np.round(colours * BYTE)
            yield table


def _to_cloud(values: dict[str, Any], source: str) -> PointCloud:
    colour = np.column_stack([values[name] for name in RGB]) if {*RGB} <= set(values) else None
    counted: dict[str, Any] = {
        name: as_bytes(values[name], name, source) for name in (*RETURNS, LABEL) if name in values
    }
    return PointCloud(
        np.column_stack([values[name] for name in XYZ]),
        colour=None if colour is None else as_bytes(colour, "colours", source),
        near_infrared=as_bytes(values["near_infrared"], "near infrared", source) if "near_infrared" in values else None,
        intensity=as_intensity(values.get("intensity")),
        source=source,
        **counted,
    )


def _first_lines(path: Path) -> list[str]:
    """Return the whole lines at the beginning that are not empty."""
    with _text_errors(path), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        text = (head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]).decode("utf-8-sig")
    return [line for line in text.splitlines() if line.strip()][:1000]


def _split(line: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", line.strip().lstrip("/#").strip()) if word]


def _separator(line: str) -> str:
    return next((mark for mark in ",;" if mark in line), r"\s+")


def _column_names(line: str, separator: str = r"\s+") -> tuple[str, ...] | None:
    """Return the names in a line; None if it contains numbers. Between the separators of values, a name may be missing."""
    cells = line.strip().lstrip("/#").split(separator) if separator in line else _split(line)
    words = [cell.strip().strip("'\"").lower() for cell in cells]
    if not words or not any(re.fullmatch(r"[a-z_]+", word) and word not in ("nan", "inf") for word in words):
        return None
    return _without_aliases(words)


def _without_aliases(words: list[str]) -> tuple[str, ...]:
    """Return the columns' own names instead of other names for them, unless another column has that name.

    >>> _without_aliases(["easting", "northing", "z", "height", "r"])
    ('x', 'y', 'z', 'height', 'red')
    """
    names = list(words)
    for position, word in enumerate(words):
        if ALIASES.get(word, word) not in names:
            names[position] = ALIASES[word]
    return tuple(names)


def _known_order(rows: list[list[str]], path: Path, *, labels_beside: bool) -> tuple[str, ...]:
    """Return the columns of a file without names, by their number and the values of the first lines."""
    try:
        values = np.array(rows, np.float64)
    except ValueError as error:
        raise InputError(f"{path} is no text of points: expected the same count of numbers in each line.") from error
    count = values.shape[1]
    if count in (6, 7) and not labels_beside and _are_returns(values[:, 4], values[:, 5]):
        return ISPRS[:count]
    if count not in ORDERS:
        raise InputError(
            f"{path} has {count} columns without names, expected {', '.join(map(str, ORDERS))}. {NAME_COLUMNS}"
        )
    return ORDERS[count]


def _are_returns(number: NDArray[np.float64], total: NDArray[np.float64]) -> bool:
    whole = (number % 1 == 0) & (total % 1 == 0)
    return bool((whole & (number >= 1) & (number <= total) & (total <= MAX_RETURNS)).all())


class _Labels:
    """The labels in a file next to the points, one per line, read chunk by chunk."""

    def __init__(self, path: Path) -> None:
        import pandas as pd

        self._path = path
        with _text_errors(path):
            self._reader = pd.read_csv(path, header=None, iterator=True, dtype=np.float64, usecols=[0])

    def read(self, count: int) -> NDArray[Any]:
        """Return the next labels (count,), or all remaining labels."""
        with _text_errors(self._path):
            try:
                return self._reader.get_chunk(count)[0].to_numpy()
            except StopIteration:
                return np.zeros(0)

    def check(self, points: int, labels: int) -> None:
        """Raise InputError if the numbers of labels and points differ."""
        if points != labels:
            more = "at least " if labels > points else ""
            raise InputError(f"{self._path} has {more}{labels:,} labels for {points:,} points; expected one for each.")


@contextmanager
def _text_errors(path: Path) -> Iterator[None]:
    """Raise InputError, naming the file, for what is no text of numbers."""
    with Reading(path, "Expected a text of numbers, one point a line, the same count in each."):
        yield
