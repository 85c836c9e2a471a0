"""Damage maps of several tools read alike, and two of them compared building by building.

What the columns of `TOOLS` mean was read in the public documentation and code of each tool."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely

from deepnets4eo.arrays import Indices
from deepnets4eo.cards.legend import normalise_name
from deepnets4eo.damage.products.profiles import CROSSWALK
from deepnets4eo.damage.vocabulary import GRADES, MAJOR
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.footprints.files import read_table
from deepnets4eo.metrics.accuracy import Interval, bootstrap
from deepnets4eo.metrics.confusion import ConfusionMatrix

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

TABLE, MANIFEST = "damage.parquet", "manifest.json"  # of a damage map
TWO = ("intact", "damaged")
YES_AND_NO = dict.fromkeys(("0", "false", "no", "intact", "undamaged", "not-damaged"), 0) | dict.fromkeys(
    ("1", "true", "yes", "damaged"), 1
)
WORDS = {  # of xBD, Copernicus EMS and UNOSAT, and the numbers of xView2, where 0 is no building
    normalise_name(word): number
    for number, (grade, names) in enumerate(CROSSWALK.items())
    for word in (grade, names.cems, *(names.unosat or ())[1:], str(number + 1))
    if number < len(GRADES)
}
LEAST_OVERLAP = 0.5  # of the smaller outline of a pair
LEAST_TOUCHING = 0.9  # of the pairs of one id, else ids are numbers of rows and not of buildings
MOST_UNSEEN = 0.5  # share of a building that its tool could not see
BLOCKS, BLOCK_BUILDINGS = 8, 10  # blocks along a side at most, and buildings in one at least, of the intervals


class Tool(NamedTuple):
    """The columns of a tool's map: those it is known by, grades or a yes and no, probability, share unseen, id."""

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
    Tool("SKAI", ("damaged", "score", "plus_code"), "damaged", "a score above its threshold", "score", "", "building_id"),
    Tool(
        "Microsoft building-damage-assessment or haste", ("damaged", "damage_pct_0m", "unknown_pct"), "damaged",
        "any part of the footprint mapped as damaged, or so labelled in haste", "", "unknown_pct", "id",
    ),
    Tool("Copernicus EMS", ("damage_gra",), "damage_gra", "damaged or destroyed"),
    Tool("xBD or xView2", ("subtype",), "subtype", OURS, "", "", "uid"),
)  # fmt: skip


@dataclass(frozen=True)
class OneMap:
    """A damage map of any tool; `table`: id, grade (0–3, or 0 and 1 where `two`; NaN for none), value (0–1), geometry."""

    tool: Tool
    source: str
    table: gpd.GeoDataFrame
    two: bool
    synthetic: bool

    def levels(self, *, two: bool) -> pd.Series:
        """Grades, or 0 and 1 for intact and damaged."""
        grade = self.table["grade"]
        return (grade >= MAJOR).astype(float).where(grade.notna()) if two and not self.two else grade


@dataclass(frozen=True)
class MapComparison:
    """Two maps of the same buildings.

    Parameters
    ----------
    first, second : OneMap
    table : geopandas.GeoDataFrame
        One row a building of either, those that differ most first: `id_a`, `id_b`, `match` ("both", "a", "b"), `damage_a`, `damage_b` (own
        grades), `value_a`, `value_b` (probability of damage, else grade, 0–1), `level_a`, `level_b` (index in `classes`), `agree`, `difference`.
    classes : tuple of str
        Four grades, or intact and damaged where one map has no more.
    matrix : ConfusionMatrix
        Buildings with a grade in both, the first map in rows.
    intervals : dict
        "kappa" and "overall_accuracy" with 95 % intervals from blocks of neighbours; empty for fewer than two blocks.
    matched_by : str
        "id" or "overlap".
    """

    first: OneMap
    second: OneMap
    table: gpd.GeoDataFrame
    classes: tuple[str, ...]
    matrix: ConfusionMatrix
    intervals: dict[str, Interval]
    matched_by: str

    @property
    def least(self) -> int:
        """The first of the classes that is damaged."""
        return 1 if self.classes == TWO else MAJOR

    @property
    def shares(self) -> tuple[float, float]:
        """The share of damaged buildings in each map, of those that have a grade in both."""
        counts = self.matrix.matrix / self.matrix.total
        return float(counts[self.least :].sum()), float(counts[:, self.least :].sum())

    def headline(self) -> str:
        """Agreement and both shares in one line."""
        a, b = self.shares
        agree = f"{self.matrix.overall_accuracy:.1%} agree, κ {self.matrix.kappa:.2f}"
        return f"{self.matrix.total:,} buildings in both: {agree}; damaged {a:.1%} and {b:.1%}"


def read_damage_map(
    source: str | Path, *, grade: str | None = None, id: str | None = None, above: float | None = None
) -> OneMap:
    """Read a damage map of a known tool, or of any whose columns are named.

    Raises InputError for columns of no known tool, and ones that are missing or say nothing of damage.

    Parameters
    ----------
    source : folder of a damage map, or a vector file
    grade : column of grades, a yes and no, or numbers; by default that of the tool
    id : column of ids
    above : numbers above it are damaged
    """
    path = Path(source)
    folder = (path / TABLE).is_file()
    table = read_table(path / TABLE if folder else source).reset_index(drop=True)
    columns = ", ".join(str(column) for column in table.columns if column != "geometry")
    tool = next((one for one in TOOLS if set(one.known_by) <= set(table.columns)), None)
    if grade is not None:
        tool = Tool("other tool", (), grade, f"its column {grade}" + ("" if above is None else f" above {above:g}"))
    if tool is None:
        raise InputError(
            f"{source} is of no known tool ({', '.join(one.name for one in TOOLS)}); it has the columns {columns}. Give it as the second map "
            "and name its column of damage: --set grade=COLUMN."
        )
    for column in filter(None, (tool.grade, id)):
        if column not in table.columns:
            raise InputError(f"{source} has no column {column!r}, only {columns}. Name one of them.")
    grades, two = _grades(table[tool.grade], f"{source}, column {tool.grade!r},", above)
    if tool.unseen:
        grades = grades.mask(table[tool.unseen].astype(float) > MOST_UNSEEN)
    values = grades / (1 if two else len(GRADES) - 1)
    if tool.probability:
        values = table[tool.probability].astype(float).where(grades.notna()).fillna(values)
    ids = id or tool.id
    rows = {
        "id": table[ids].astype(str) if ids in table else (table.index + 1).astype(str),
        "grade": grades,
        "value": values,
    }
    known = table[["geometry"]].assign(**rows)
    return OneMap(tool, str(source), known, two, folder and bool(read_json(path / MANIFEST).get("synthetic")))


def compare_maps(first: OneMap, second: OneMap) -> MapComparison:
    """Match the buildings of two maps, by id where the outlines of one id touch, else by overlap, and compare them.

    Raises InputError where only one has a CRS, and where no building has a grade in both.
    """
    ours, theirs = first.table, second.table
    if (ours.crs is None) != (theirs.crs is None):
        raise InputError(f"only one of {first.source} and {second.source} has a CRS. Give the other one its own.")
    theirs = theirs if ours.crs is None else theirs.to_crs(ours.crs)
    left, right, how = _match(ours, theirs)
    classes = TWO if first.two or second.two else GRADES
    sides = []
    for one, table, rows, alone in ((first, ours, left, -1), (second, theirs, right, -(10**9))):
        pair = alone - np.arange(len(table))  # a number of its own, unless it is matched
        pair[rows] = np.arange(len(rows))
        words = dict(enumerate(TWO if one.two else GRADES))
        sides.append(table.assign(damage=table["grade"].map(words), level=one.levels(two=classes == TWO), pair=pair))
    table = sides[0].merge(sides[1], on="pair", how="outer", suffixes=("_a", "_b"), indicator="match")
    table["geometry"] = table["geometry_a"].where(table["geometry_a"].notna(), table["geometry_b"])
    table["match"] = table["match"].map({"both": "both", "left_only": "a", "right_only": "b"}).astype(str)
    table["difference"] = (table["value_a"] - table["value_b"]).abs().round(4)
    known = table["difference"].notna()
    if not known.any():
        what = "none of them has a grade in both" if len(left) else "no outlines match by id or overlap"
        raise InputError(
            f"{first.source} and {second.source} have no building to compare: {what}. Check place and CRS."
        )
    table["agree"] = (table["level_a"] == table["level_b"]).astype("boolean").mask(~known)
    table = table.sort_values(["agree", "difference"], ascending=[True, False], kind="stable")
    names = [f"{name}_{side}" for name in ("id", "damage", "value", "level") for side in "ab"]
    table = table.set_geometry("geometry", crs=ours.crs)[[*names, "match", "agree", "difference", "geometry"]]
    matrix, intervals = _agreement(table[table["difference"].notna()], len(classes))
    return MapComparison(first, second, table.reset_index(drop=True), classes, matrix, intervals, how)


def _grades(column: pd.Series, where: str, above: float | None) -> tuple[pd.Series, bool]:
    """Grades 0–3, or 0 and 1 (the second result is True), NaN for all that is neither."""
    import pandas as pd

    if above is not None:
        numbers = pd.to_numeric(column, errors="coerce")
        return (numbers > above).astype(float).where(numbers.notna()), True
    words = column.astype(object).map(_word, na_action="ignore")
    different = set(words.dropna())
    known = YES_AND_NO if different <= YES_AND_NO.keys() else WORDS
    if not different & known.keys() or (known is WORDS and {"0"} <= different <= {*"0123"}):
        raise InputError(
            f"{where} holds no grades: {', '.join(sorted(different)[:8])}. Expected {', '.join(GRADES)}, yes and no, 1 to 4 as in xView2, or "
            "numbers with --set above=NUMBER."
        )
    return words.map(known).astype(float), known is YES_AND_NO


def _word(value: Any) -> str:
    return normalise_name(value if isinstance(value, str) else f"{float(value):g}")


def _match(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame) -> tuple[Indices, Indices, str]:
    """Rows of both maps that are one building, and how that is known."""
    a, b = ours.geometry.to_numpy(), theirs.geometry.to_numpy()
    if theirs["id"].is_unique:
        rows = theirs.reset_index().set_index("id")["index"].reindex(ours["id"]).to_numpy()
        left = np.flatnonzero(~np.isnan(rows))
        right = rows[left].astype(np.int64)
        many = len(left) >= max(min(len(a), len(b)) / 2, 1)
        if many and shapely.intersects(a[left], b[right]).mean() >= LEAST_TOUCHING:
            return left, right, "id"
    left, right = shapely.STRtree(b).query(a, predicate="intersects")
    smaller = np.minimum(shapely.area(a[left]), shapely.area(b[right]))
    common = shapely.area(shapely.intersection(a[left], b[right]))
    share = np.where(smaller > 0, common / np.maximum(smaller, 1e-300), 1.0)  # a point within an outline
    order = np.lexsort((-common, -share.round(3)))
    order = order[share[order] >= LEAST_OVERLAP]
    left, right = left[order], right[order]
    of_left, of_right = (np.unique(rows, return_index=True)[1] for rows in (left, right))
    best = np.intersect1d(of_left, of_right)
    return left[best], right[best], "overlap"


def _agreement(table: gpd.GeoDataFrame, count: int) -> tuple[ConfusionMatrix, dict[str, Interval]]:
    """The matrix of all, and intervals from blocks of neighbours, which are not independent of each other."""
    a, b = (table[f"level_{side}"].to_numpy(np.uint8) for side in "ab")
    middle = shapely.bounds(table.geometry.to_numpy())[:, :2]
    side = max(1, min(BLOCKS, math.isqrt(len(a) // BLOCK_BUILDINGS)))
    span = np.maximum(np.ptp(middle, axis=0), 1e-12)
    col, row = np.minimum((middle - middle.min(axis=0)) / span * side, side - 1).astype(int).T
    block = row * side + col
    tiles = [ConfusionMatrix(count).update(a[block == one], b[block == one]) for one in np.unique(block)]
    intervals = {} if len(tiles) < 2 else bootstrap(tiles, ("kappa", "overall_accuracy"))
    return sum(tiles[1:], tiles[0]), intervals
