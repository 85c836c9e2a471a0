"""Damage maps of several tools read alike (columns as their documentation and code have them), and two compared."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Indices
from deepnets4eo.damage.comparison.scales import CODES, TWO, WORDS, YES_AND_NO, Scale, read_grades, scale_of
from deepnets4eo.damage.products.crosswalk import has_position
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.footprints import read_table
from deepnets4eo.formats import WKT_NAMES, is_remote, split_layer
from deepnets4eo.metrics import ConfusionMatrix, Interval, bootstrap
from deepnets4eo.outputs import count_of
from deepnets4eo.reprojection import to_crs

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

log = logging.getLogger(__name__)

TABLE, MANIFEST = "damage.parquet", "manifest.json"  # of a damage map
MIN_OVERLAP = 0.5  # of the smaller outline of a pair
SAME_SIZE = 0.005  # largest difference of lengths of one outline, as a share
MIN_TOUCHING = 0.9  # of the pairs of one id, else ids are numbers of rows and not of buildings
MAX_UNSEEN_SHARE = 0.5  # share of a building that its tool could not see
BLOCKS, BLOCK_BUILDINGS = 8, 10  # blocks along a side at most, and buildings in one at least, of the intervals


class Tool(NamedTuple):
    """The columns of a tool's map: those it is known by, grades or a yes and no with their scale, probability, share unseen, id.

    A `*` in the names of columns stands for the event.
    """

    name: str
    known_by: tuple[str, ...]
    grade: str
    meaning: str
    scale: Scale | None
    probability: str = ""
    unseen: str = ""
    id: str = "id"

    def column(self, names: Sequence[str]) -> str | None:
        """Return the column of grades of a table with columns of these names; None if it is not this tool's."""
        if not all(any(_is_like(name, pattern) for name in names) for pattern in self.known_by):
            return None
        like = [name for name in names if _is_like(name, self.grade)]
        return like[0] if len(like) == 1 else None


def _is_like(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and name.count(":") == pattern.count(":")


OURS = "major damage or worse"
TOOLS = (
    Tool("deepnets4eo", ("damage", "damage_prob", "status"), "damage", OURS, WORDS, "damage_prob"),
    Tool("SKAI", ("damaged", "score", "plus_code"), "damaged", "a score above its threshold", YES_AND_NO, "score", "", "building_id"),
    Tool(
        "Microsoft building-damage-assessment or haste", ("damaged", "damage_pct_0m", "unknown_pct"), "damaged",
        "any part of the footprint mapped as damaged, or so labelled in haste", YES_AND_NO, "", "unknown_pct",
    ),
    Tool("Copernicus EMS", ("damage_gra",), "damage_gra", "damaged or destroyed", WORDS),
    Tool(
        "UNOSAT", ("Main_Damage_Site_Class",), "Main_Damage_Site_Class", "moderate damage or worse", CODES["unosat"], "", "",
        "SiteID",
    ),
    Tool("OpenStreetMap", ("damage:*",), "damage:*", "significant or complete", WORDS),
    Tool("KML of deepnets4eo", ("Name", "folder", "tessellate"), "folder", OURS, WORDS, "", "", "Name"),
    Tool("xBD or xView2", ("subtype",), "subtype", OURS, WORDS, "", "", "uid"),
)  # fmt: skip


@dataclass(frozen=True)
class OneMap:
    """A damage map of any tool.

    table : id, damage (words), value (0–1), grade (0–3, or as `damaged` if `two`), damaged (0, 1; NaN)
    folder : of a map of this toolbox, whose images the page shows; None for a file
    """

    tool: Tool
    source: str
    table: gpd.GeoDataFrame
    two: bool
    synthetic: bool
    folder: Path | None = None


@dataclass(frozen=True)
class MapComparison:
    """Two maps of the same buildings.

    Parameters
    ----------
    first, second : OneMap
    table : geopandas.GeoDataFrame
        One row per building of either map, the largest differences first: `id_a`, `id_b`, `damage_a`, `damage_b` (own grades), `value_a`, `value_b`
        (probability of damage, else grade, 0–1), `damaged_a`, `damaged_b` (0, 1), `level_a`, `level_b` (index in `classes`), `match`
        ("both", "a", "b"), `agree`, `difference`, and `x`, `y` of a point inside (degrees, if the maps have a position on the Earth).
    classes : four grades, or intact and damaged if one map has only these
    matrix : buildings with a grade in both, the first map in rows
    intervals : 95 % intervals of "kappa" and "overall_accuracy" from blocks of neighbours; empty for fewer than two blocks
    matched_by : "id" or "overlap"
    outlines_b : (N,) outlines of the second map in the order and CRS of `table`, None for buildings that it lacks
    """

    first: OneMap
    second: OneMap
    table: gpd.GeoDataFrame
    classes: tuple[str, ...]
    matrix: ConfusionMatrix
    intervals: dict[str, Interval]
    matched_by: str
    outlines_b: NDArray[Any]

    @property
    def shares(self) -> tuple[float, float]:
        """The share of damaged buildings in each map, of those with a grade in both."""
        known = self.table[self.table["agree"].notna()]
        return float(known["damaged_a"].mean()), float(known["damaged_b"].mean())

    def headline(self) -> str:
        """Return agreement and both shares in one line."""
        a, b = self.shares
        agree = f"{self.matrix.overall_accuracy:.1%} agree, κ {self.matrix.kappa:.2f}"
        return f"{self.matrix.total:,} buildings in both: {agree}; damaged {a:.1%} and {b:.1%}"


def read_damage_map(
    source: str | Path,
    *,
    grade: str | None = None,
    id: str | None = None,
    above: float | None = None,
    scale: str | None = None,
) -> OneMap:
    """Read a damage map of a known tool, or any map whose columns are named.

    Parameters
    ----------
    source : folder of a damage map, a vector file (`FILE#LAYER` for one of its layers), or a CSV with the columns longitude and latitude
    grade : column of grades, yes and no, or numbers; by default the tool's column
    id : column of ids
    above : numbers above it are damaged
    scale : name of the scale of the grades (`scales.CODES`), or `WORD=GRADE,…`; by default the tool's scale, else the words

    Raises
    ------
    InputError
        The tool is unknown, columns are missing, or a value is no grade.
    """
    import geopandas as gpd

    folder = (Path(source) / TABLE).is_file()
    if not is_remote(str(source)) and not Path(split_layer(source)[0]).exists():
        raise InputError(
            f"damage map {source} does not exist. Check the path; expected a folder of `damage`, or a file of buildings with their grades."
        )
    table = _rows(str(Path(source) / TABLE if folder else source))
    columns = [str(column) for column in table.columns if column != table.geometry.name]
    tool, column = _tool_of(columns, source, grade)
    for name in (column, *(() if id is None else (id,))):
        if name not in columns:
            raise InputError(f"{source} has no column {name!r}, only {', '.join(columns)}. Name one of them.")
    where = f"{source}, column {column!r},"
    if above is not None:
        tool = tool._replace(name="other tool", meaning=f"its column {column} above {above:g}")
        grades, words = _above(table[column], where, above), tuple[str, ...](TWO)
    else:
        grades, words = read_grades(table[column], where, tool.scale if scale is None else scale_of(scale))
    if tool.unseen:
        grades = grades.mask(_numbers(table[tool.unseen]) > MAX_UNSEEN_SHARE)
    values = grades / (len(words) - 1)
    if tool.probability:
        values = _numbers(table[tool.probability]).where(grades.notna()).fillna(values)
    ids = table.get(id or tool.id, table.index + 1).astype(str)
    damaged = grades if words == TWO else (grades >= MAJOR).astype(float).where(grades.notna())
    named = grades.map(dict(enumerate(words)))
    rows = {"id": ids, "damage": named, "value": values, "grade": grades, "damaged": damaged}
    known = gpd.GeoDataFrame(rows, geometry=table.geometry.make_valid(method="structure"), crs=table.crs)
    synthetic = folder and bool(read_json(Path(source) / MANIFEST).get("synthetic"))
    return OneMap(tool, name_of(source), known, words == TWO, synthetic, Path(source) if folder else None)


def knows_columns(columns: Sequence[str]) -> bool:
    """Return whether columns are of the map of a known tool, so that its layer is read among several."""
    return any(tool.column(columns) is not None for tool in TOOLS)


def _tool_of(columns: Sequence[str], source: str | Path, grade: str | None) -> tuple[Tool, str]:
    """Return the tool of a table and its column of grades. grade : the column if it is stated. Raises InputError for an unknown tool."""
    if grade is not None:  # words show their scale; codes have the scale of the tool that calls its column so
        coded = (tool for tool in TOOLS if tool.scale in CODES.values() and tool.scale is not YES_AND_NO)
        scale = next((tool.scale for tool in coded if tool.grade == grade), None)
        return Tool("other tool", (), grade, f"its column {grade}", scale), grade
    known = next(((tool, column) for tool in TOOLS if (column := tool.column(columns)) is not None), None)
    if known is None:
        raise InputError(
            f"{source} is of no known tool ({', '.join(tool.name for tool in TOOLS)}); it has the columns {', '.join(columns)}. Give it as the "
            "second map and name its column of damage: --set grade=COLUMN."
        )
    return known


def _rows(source: str) -> gpd.GeoDataFrame:
    """Return the rows of a file that have a geometry; SKAI's CSV has points in degrees."""
    import geopandas as gpd
    import pandas as pd

    table = None
    if source.lower().endswith(".csv") and Path(source).is_file():  # also our own
        with suppress(ValueError, KeyError):  # no such table: read as other files are
            cells = pd.read_csv(source)
            points = gpd.points_from_xy(cells["longitude"], cells["latitude"])
            if not {str(name).lower() for name in cells} & {*WKT_NAMES}:  # whose outlines say more than points
                table = gpd.GeoDataFrame(cells, geometry=points, crs=4326)
    table = read_table(source, knows=knows_columns) if table is None else table
    return _on_the_ground(table, source).reset_index(drop=True)


def _on_the_ground(table: gpd.GeoDataFrame, source: str) -> gpd.GeoDataFrame:
    """Return the rows whose geometry has a position: none is empty, NaN or infinite. Raises InputError if there is no such row."""
    outlines = table.geometry.to_numpy()
    there = ~(shapely.is_missing(outlines) | shapely.is_empty(outlines))
    corners, owner = shapely.get_coordinates(outlines, return_index=True)
    there[owner[~np.isfinite(corners).all(axis=1)]] = False  # bounds leave out NaN
    if not there.any():
        raise InputError(
            f"{source} has no building with a geometry. Check that it was written to its end, and its CRS."
        )
    if not there.all():
        log.warning(
            "%s of %s lie nowhere: NaN or infinite coordinates. They are left out.",
            count_of(int((~there).sum()), "building"),
            source,
        )
    return table[there]


def compare_maps(first: OneMap, second: OneMap) -> MapComparison:
    """Match the buildings of two maps, by id where outlines of one id touch, else by overlap, and compare them. Errors: InputError."""
    two = first.two or second.two
    ours, theirs = (
        damage_map.table.assign(level=damage_map.table["damaged" if two else "grade"]) for damage_map in (first, second)
    )
    theirs = _in_crs_of(ours, theirs, first.source, second.source)
    left, right, how = _match(ours, theirs)
    row = len(ours) + np.arange(len(theirs))
    row[right] = left
    table = ours.merge(
        theirs.set_axis(row), how="outer", left_index=True, right_index=True, suffixes=("_a", "_b"), indicator="match"
    )
    table["match"] = table["match"].map({"both": "both", "left_only": "a", "right_only": "b"}).astype(str)
    table["difference"] = (table["value_a"] - table["value_b"]).abs().round(4)
    known = table["difference"].notna()
    if not known.any():
        what = "none of them has a grade in both" if len(left) else "no outlines match by id or overlap"
        raise InputError(
            f"{first.source} and {second.source} have no building to compare: {what}. Check place and CRS."
        )
    table["agree"] = (table["level_a"] == table["level_b"]).astype("boolean").mask(~known)
    table = table.set_geometry(table["geometry_a"].fillna(table["geometry_b"]).rename("geometry"), crs=ours.crs)
    points = table.geometry.representative_point()
    points = points.to_crs(4326) if has_position(points.crs) else points
    names = [f"{name}_{side}" for name in ("id", "damage", "value", "damaged", "level") for side in "ab"]
    table = table.assign(x=points.x.round(6), y=points.y.round(6))
    kind = (
        (table["damaged_a"] - table["damaged_b"]).fillna(0).map({1: 0, -1: 1, 0: 2})
    )  # only in A, only in B, in both or none
    table = table.assign(kind=kind).sort_values(
        ["agree", "kind", "difference"], ascending=[True, True, False], kind="stable", ignore_index=True
    )
    outlines_b = table["geometry_b"].to_numpy()
    table = table[[*names, "match", "agree", "difference", "x", "y", "geometry"]]
    classes = TWO if two else GRADES
    matrix, intervals = _agreement(table[table["agree"].notna()], len(classes))
    return MapComparison(first, second, table, classes, matrix, intervals, how, outlines_b)


def _in_crs_of(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame, first: str, second: str) -> gpd.GeoDataFrame:
    """Return the second map in the CRS of the first; maps without a position on the Earth keep their coordinates. Raises InputError."""
    on_earth = has_position(ours.crs), has_position(theirs.crs)
    if all(on_earth):
        return _on_the_ground(to_crs(theirs, ours.crs), second).reset_index(drop=True)
    if any(on_earth):
        other = second if on_earth[0] else first
        raise InputError(
            f"only one of {first} and {second} has a CRS with a place on the Earth; expected both, or neither. {other} has pixels or "
            "metres of a plane: map it again with a georeferenced image, or compare it with a map of the same image."
        )
    _check_one_unit(ours, theirs, first, second)
    return theirs.set_crs(ours.crs, allow_override=True)


def _check_one_unit(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame, first: str, second: str) -> None:
    """Refuse maps of the same outlines in pixels and in metres, or in pixels of two sizes. Raises InputError."""
    if not (ours["id"].is_unique and theirs["id"].is_unique):
        return
    sizes = [table.set_index("id").geometry.area for table in (ours, theirs)]
    times = np.sqrt((sizes[1] / sizes[0])[lambda ratio: np.isfinite(ratio) & (ratio > 0)])
    if len(times) < max(min(len(ours), len(theirs)) / 2, 1):
        return
    usual = float(times.median())
    same_shape = (times / usual - 1).abs().median() <= SAME_SIZE
    if same_shape and abs(usual - 1) > 10 * SAME_SIZE:
        raise InputError(
            f"outlines of {second} are {usual:.3g} times as long as the outlines of the same id in {first}: one map has pixels, or pixels of another "
            "size. Map both with the same --gsd."
        )


def _above(column: pd.Series, where: str, above: float) -> pd.Series:
    """Return 1 for numbers above a threshold, 0 for others, NaN without a number. Raises InputError if there is no number."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().all():
        raise InputError(f"{where} holds no numbers. Name a column of numbers, or leave --set above out.")
    return (numbers > above).astype(float).where(numbers.notna())


def _numbers(column: pd.Series) -> pd.Series:
    """Finite numbers, NaN for others."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").astype(float).replace([math.inf, -math.inf], math.nan)


def _match(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame) -> tuple[Indices, Indices, str]:
    """Rows of both maps that are one building, and how that is known."""
    import pandas as pd

    a, b = ours.geometry.to_numpy(), theirs.geometry.to_numpy()
    if ours["id"].is_unique and theirs["id"].is_unique:
        right = pd.Index(theirs["id"]).get_indexer(ours["id"])
        left = np.flatnonzero(right >= 0)
        right = right[left]
        many = len(left) >= max(min(len(a), len(b)) / 2, 1)
        if many and shapely.intersects(a[left], b[right]).mean() >= MIN_TOUCHING:
            return left, right, "id"
    left, right = shapely.STRtree(b).query(a, predicate="intersects")
    smaller = np.minimum(shapely.area(a[left]), shapely.area(b[right]))
    common = shapely.area(shapely.intersection(a[left], b[right]))
    share = np.where(smaller > 0, common / np.maximum(smaller, 1e-300), 1.0)  # a point within an outline
    order = np.lexsort((-common, -share.round(3)))
    order = order[share[order] >= MIN_OVERLAP]
    left, right = left[order], right[order]
    of_left, of_right = (np.unique(rows, return_index=True)[1] for rows in (left, right))
    best = np.intersect1d(of_left, of_right)
    return left[best], right[best], "overlap"


def _agreement(table: gpd.GeoDataFrame, count: int) -> tuple[ConfusionMatrix, dict[str, Interval]]:
    """Return the matrix of all buildings, and intervals from blocks of neighbours."""
    a, b = (table[f"level_{side}"].to_numpy(np.uint8) for side in "ab")
    xy = table[["x", "y"]].to_numpy()
    xy = np.where(np.isfinite(xy), xy, np.nanmin(np.where(np.isfinite(xy), xy, np.nan), axis=0, initial=0.0))
    side = max(1, min(BLOCKS, math.isqrt(len(a) // BLOCK_BUILDINGS)))
    span = np.maximum(np.ptp(xy, axis=0), 1e-12)
    col, row = np.minimum((xy - xy.min(axis=0)) / span * side, side - 1).astype(int).T
    block = row * side + col
    tiles = [ConfusionMatrix(count).update(a[block == number], b[block == number]) for number in np.unique(block)]
    intervals = {} if len(tiles) < 2 else bootstrap(tiles, ("kappa", "overall_accuracy"))
    return sum(tiles[1:], tiles[0]), intervals
