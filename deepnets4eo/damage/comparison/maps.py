"""Damage maps of several tools read alike, and two of them compared building by building.

Takes folders of damage maps and vector files whose columns `TOOLS` knows or an option names; refuses maps without a common building.
What the columns mean was read in the public documentation and code of each tool."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.cards.legend import VOID, Legend, normalise_name
from deepnets4eo.damage.products.profiles import CROSSWALK
from deepnets4eo.damage.vocabulary import GRADES, MAJOR
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.files import read_json
from deepnets4eo.footprints.files import read_table
from deepnets4eo.metrics.accuracy import Interval, bootstrap
from deepnets4eo.metrics.confusion import ConfusionMatrix

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

TABLE, MANIFEST = "damage.parquet", "manifest.json"  # of a damage map
TWO = ("intact", "damaged")
YES_AND_NO = {
    **dict.fromkeys(("0", "false", "no", "intact", "undamaged", "not-damaged"), 0),
    **dict.fromkeys(("1", "true", "yes", "damaged"), 1),
}
LEAST_OVERLAP = 0.5  # of the smaller outline of a pair
LEAST_TOUCHING = 0.9  # of the pairs of one id, else ids are numbers of rows and not of buildings
MOST_UNKNOWN = 0.5  # share of a building that its tool could not see
BLOCKS, BLOCK_BUILDINGS = 8, 10  # blocks along a side at most, and buildings in one at least, of the intervals


class Tool(NamedTuple):
    """What the columns of a tool's map mean: by which it is known, grades or a yes and no, probability, share unseen, id."""

    name: str
    known_by: tuple[str, ...]
    grade: str
    meaning: str
    probability: str = ""
    unseen: str = ""
    id: str = ""


OURS = "major damage or worse"
TOOLS = (
    Tool("deepnets4eo", ("damage", "damage_prob", "status"), "damage", OURS, "damage_prob", "", "id"),
    Tool(
        "SKAI", ("damaged", "score", "plus_code"), "damaged", "a score above the threshold of damaged or destroyed", "score", "", "building_id",
    ),
    Tool(
        "Microsoft building-damage-assessment or haste", ("damaged", "damage_pct_0m", "unknown_pct"), "damaged",
        "any part of the footprint mapped as damaged, or so labelled in haste", "", "unknown_pct", "id",
    ),
    Tool("Copernicus EMS", ("damage_gra",), "damage_gra", "damaged or destroyed"),
    Tool("xBD or xView2", ("subtype",), "subtype", OURS, "", "", "uid"),
)  # fmt: skip


@dataclass(frozen=True)
class ReadMap:
    """A damage map of any tool: outlines, ids where it has them, grades (N,) uint8 0–3 or 0–1 (`two`), 255 for none, values 0–1."""

    tool: Tool
    source: str
    outlines: gpd.GeoSeries
    ids: NDArray[np.object_] | None
    grades: NDArray[np.uint8]
    values: Floats
    two: bool
    synthetic: bool = False

    @property
    def damaged(self) -> NDArray[np.bool_]:
        """(N,) whether a building counts as damaged."""
        return np.asarray((self.grades != VOID) & (self.grades >= (1 if self.two else MAJOR)))


@dataclass(frozen=True)
class MapComparison:
    """Two maps of the same buildings.

    Parameters
    ----------
    first, second : ReadMap
    table : geopandas.GeoDataFrame
        One row a building of either: `id_a`, `id_b`, `match` ("both", "a" or "b"), `damage_a`, `damage_b` (each map's own grade), `value_a`, `value_b` (0–1: the
        probability of damage, else the grade), `agree`, `difference` (0–1); those that differ most come first.
    classes : what both are compared in: four grades, or damaged and intact where one map has no more
    matrix : ConfusionMatrix
        Buildings with a grade in both, those of the first map in rows.
    intervals : "kappa" and "overall_accuracy" with 95 % intervals from blocks of neighbours; empty for fewer than two blocks
    matched_by : "id" or "overlap"
    """

    first: ReadMap
    second: ReadMap
    table: gpd.GeoDataFrame
    classes: tuple[str, ...]
    matrix: ConfusionMatrix
    intervals: dict[str, Interval]
    matched_by: str

    @property
    def compared(self) -> gpd.GeoDataFrame:
        """The rows that have a grade in both maps."""
        return self.table[self.table["difference"].notna()]

    @property
    def shares(self) -> tuple[float, float]:
        """The share of damaged buildings in each map, of those that have a grade in both."""
        least = 1 if len(self.classes) == 2 else MAJOR
        matrix = self.matrix.matrix
        return float(matrix[least:].sum() / matrix.sum()), float(matrix[:, least:].sum() / matrix.sum())

    def headline(self) -> str:
        """Agreement and both shares in one line."""
        a, b = self.shares
        return f"{self.matrix.total:,} buildings in both: {self.matrix.overall_accuracy:.1%} agree, κ {self.matrix.kappa:.2f}; damaged {a:.1%} and {b:.1%}"


def read_damage_map(
    source: str | Path, *, grade: str | None = None, id: str | None = None, above: float | None = None
) -> ReadMap:
    """Read a damage map of a known tool, or of any where its columns are named.

    Parameters
    ----------
    source : folder of a damage map, or a vector file
    grade : column of grades, a yes and no, or numbers; by default that of the tool
    id : column of ids
    above : numbers above it are damaged

    Raises
    ------
    InputError
        The columns are of no known tool; a column is missing or cannot be read.
    """
    path = Path(source)
    folder = path.is_dir() and (path / TABLE).is_file()
    table = read_table(path / TABLE if folder else source)
    tool = next((one for one in TOOLS if set(one.known_by) <= set(table.columns)), None)
    if tool is None and grade is None:
        raise InputError(
            f"{source} is of no tool whose columns are known ({', '.join(one.name for one in TOOLS)}); it has {_listed(table)}. "
            "Name its column of damage: --set grade_a=COLUMN, or grade_b."
        )
    if tool is None or grade is not None:
        tool = Tool(
            "other tool", (), grade or "", f"its column {grade}" + (f" above {above:g}" if above is not None else "")
        )
    for column in (tool.grade, *([id] if id else [])):
        if column not in table.columns:
            raise InputError(f"{source} has no column {column!r}, only {_listed(table)}. Name one of them.")
    grades, two = _grades(table[tool.grade], f"{source}, column {tool.grade!r}", above)
    values = np.where(grades == VOID, np.nan, grades / (1 if two else len(GRADES) - 1))
    if tool.probability in table.columns and above is None:
        known = table[tool.probability].to_numpy(float, na_value=np.nan)
        values = np.where(np.isfinite(known) & (grades != VOID), known, values)
    if tool.unseen in table.columns:
        hidden = table[tool.unseen].to_numpy(float, na_value=np.nan) > MOST_UNKNOWN
        grades, values = np.where(hidden, np.uint8(VOID), grades), np.where(hidden, np.nan, values)
    column = id or tool.id
    ids = table[column].astype(str).to_numpy(object) if column in table.columns else None
    synthetic = folder and bool(read_json(path / MANIFEST).get("synthetic"))
    return ReadMap(tool, str(source), table.geometry.reset_index(drop=True), ids, grades, values, two, synthetic)


def compare_maps(first: ReadMap, second: ReadMap) -> MapComparison:
    """Match the buildings of two maps, by id where the outlines of one id touch, else by overlap, and compare them.

    Raises
    ------
    InputError
        Only one has a CRS; no building is in both, or none has a grade in both.
    """
    import geopandas as gpd

    ours, theirs = first.outlines, second.outlines
    if (ours.crs is None) != (theirs.crs is None):
        raise InputError(f"only one of {first.source} and {second.source} has a CRS. Give the other one its own.")
    theirs = theirs if ours.crs is None else theirs.to_crs(ours.crs)
    left, right, how = _match(first, second, ours.to_numpy(), theirs.to_numpy())
    classes = GRADES if not (first.two or second.two) else TWO
    grades = [_as_classes(one, classes) for one in (first, second)]
    a, b = grades[0][left], grades[1][right]
    both = (a != VOID) & (b != VOID)
    if not both.any():
        what = "none of them has a grade in both" if len(left) else "no outlines match by id or overlap"
        raise InputError(
            f"{first.source} and {second.source} have no building to compare: {what}. Check place and CRS."
        )
    alone_a, alone_b = (
        np.setdiff1d(np.arange(len(one.grades)), pairs) for one, pairs in ((first, left), (second, right))
    )
    rows = {
        "id_a": [*_ids(first, left), *_ids(first, alone_a), *[None] * len(alone_b)],
        "id_b": [*_ids(second, right), *[None] * len(alone_a), *_ids(second, alone_b)],
        "match": ["both"] * len(left) + ["a"] * len(alone_a) + ["b"] * len(alone_b),
        "damage_a": [*_names(first, left), *_names(first, alone_a), *[None] * len(alone_b)],
        "damage_b": [*_names(second, right), *[None] * len(alone_a), *_names(second, alone_b)],
        "value_a": np.concatenate([first.values[left], first.values[alone_a], np.full(len(alone_b), np.nan)]),
        "value_b": np.concatenate([second.values[right], np.full(len(alone_a), np.nan), second.values[alone_b]]),
    }
    shapes = np.concatenate([ours.to_numpy()[left], ours.to_numpy()[alone_a], theirs.to_numpy()[alone_b]])
    table = gpd.GeoDataFrame(rows, geometry=shapes, crs=ours.crs)
    known = np.concatenate([both, np.zeros(len(table) - len(left), bool)])
    agree = np.append(a == b, np.zeros(len(table) - len(left), bool))
    table["agree"] = [bool(same) if one else None for same, one in zip(agree, known, strict=True)]
    table["difference"] = np.where(known, np.abs(table["value_a"] - table["value_b"]).round(4), np.nan)
    order = np.lexsort((-table["difference"].fillna(0), np.where(known, agree, 2)))
    table = table.iloc[order].reset_index(drop=True)
    matrix = ConfusionMatrix(len(classes)).update(a[both], b[both])
    return MapComparison(
        first,
        second,
        table,
        classes,
        matrix,
        _intervals(a[both], b[both], ours.to_numpy()[left][both], len(classes)),
        how,
    )


def _listed(table: pd.DataFrame) -> str:
    return ", ".join(str(column) for column in table.columns if column != "geometry")


def _grades(column: pd.Series, where: str, above: float | None) -> tuple[NDArray[np.uint8], bool]:
    """Grades 0–3, or 0 and 1 (the second result is True) of yes and no or of numbers, 255 for all that is neither."""
    values = column.to_list()
    if above is not None:
        numbers = _numbers(values, where)
        return np.where(np.isfinite(numbers), numbers > above, VOID).astype(np.uint8), True
    words = [
        normalise_name(str(int(one)) if isinstance(one, (bool, np.bool_)) or _is_whole(one) else str(one))
        for one in values
    ]
    different = set(words) - {"none", "nan", "<na>", ""}
    if different <= YES_AND_NO.keys():
        return np.array([YES_AND_NO.get(word, VOID) for word in words], np.uint8), True
    if different <= {*"1234"} or {*"04"} <= different <= {*"01234"}:  # as in xView2, where 0 is no building
        return np.array([int(word) - 1 if word in {*"1234"} else VOID for word in words], np.uint8), False
    known = {word: _grade(word) for word in different}
    if set(known.values()) == {VOID}:
        raise InputError(
            f"{where} holds no grades: {', '.join(sorted(map(str, different))[:8])}. Expected {', '.join(GRADES)}, yes and no, 1 to 4 as in "
            "xView2, or numbers with --set above_a=NUMBER (above_b)."
        )
    return np.array([known.get(word, VOID) for word in words], np.uint8), False


def _is_whole(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and math.isfinite(value) and float(value).is_integer()


def _numbers(values: list[Any], where: str) -> Floats:
    try:
        return np.array([math.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where} holds no numbers that could be above a value: {error}. Leave `above` out."
        ) from error


def _grade(word: str) -> int:
    """The grade that a word names in xBD, or in the products of Copernicus EMS and UNOSAT; 255 for none."""
    for grade, names in CROSSWALK.items():
        if grade in GRADES and word in {
            normalise_name(one) for one in (names.cems, names.unosat[1] if names.unosat else "")
        }:
            return GRADES.index(grade)
    try:
        return Legend.load("xbd").index(word)
    except LabelError:
        return VOID


def _as_classes(one: ReadMap, classes: tuple[str, ...]) -> NDArray[np.uint8]:
    """Grades in the classes of the comparison."""
    if len(classes) > len(TWO) or one.two:
        return one.grades
    return np.where(one.grades == VOID, np.uint8(VOID), one.damaged.astype(np.uint8))


def _names(one: ReadMap, rows: Indices) -> list[str | None]:
    """Grades of rows in the map's own words of damage."""
    words = TWO if one.two else GRADES
    return [None if grade == VOID else words[int(grade)] for grade in one.grades[rows]]


def _ids(one: ReadMap, rows: Indices) -> list[str]:
    """Ids of the map, else the numbers of its rows from 1."""
    return [str(row + 1) for row in rows] if one.ids is None else list(one.ids[rows])


def _match(first: ReadMap, second: ReadMap, ours: Any, theirs: Any) -> tuple[Indices, Indices, str]:
    """Rows of both maps that are one building, and how that is known."""
    if first.ids is not None and second.ids is not None and len(set(second.ids)) == len(second.ids):
        numbers = {name: row for row, name in enumerate(second.ids)}
        left = np.array([row for row, name in enumerate(first.ids) if name in numbers], np.int64)
        right = np.array([numbers[first.ids[row]] for row in left], np.int64)
        least = min(len(first.ids), len(second.ids)) / 2
        if len(left) >= max(least, 1) and shapely.intersects(ours[left], theirs[right]).mean() >= LEAST_TOUCHING:
            return left, right, "id"
    left, right = shapely.STRtree(theirs).query(ours, predicate="intersects")
    smaller = np.minimum(shapely.area(ours[left]), shapely.area(theirs[right]))
    common = shapely.area(shapely.intersection(ours[left], theirs[right]))
    share = np.where(smaller > 0, common / np.maximum(smaller, 1e-300), 1.0)  # a point within an outline
    order = np.lexsort((-common, -share.round(3)))
    order = order[share[order] >= LEAST_OVERLAP]
    left, right = left[order], right[order]
    best = np.zeros(len(left), bool)
    for rows in (left, right):
        first_of = np.zeros(len(rows), bool)
        first_of[np.unique(rows, return_index=True)[1]] = True
        best = first_of if rows is left else best & first_of
    return left[best], right[best], "overlap"


def _intervals(a: NDArray[np.uint8], b: NDArray[np.uint8], shapes: Any, count: int) -> dict[str, Interval]:
    """Intervals from blocks of neighbours, which are not independent of each other."""
    bounds = shapely.bounds(shapes)
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    side = max(1, min(BLOCKS, math.isqrt(len(a) // BLOCK_BUILDINGS)))
    span = np.maximum(np.ptp(middle, axis=0), 1e-12)
    cells = np.minimum(((middle - middle.min(axis=0)) / span * side).astype(int), side - 1)
    block = cells[:, 0] * side + cells[:, 1]
    tiles = [ConfusionMatrix(count).update(a[block == one], b[block == one]) for one in np.unique(block)]
    return {} if len(tiles) < 2 else bootstrap(tiles, ("kappa", "overall_accuracy"))
