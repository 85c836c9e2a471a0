"""Damage by area: counts, shares and people, for districts from a file or for a grid of cells over the map.

The expected number in an area is the sum of its buildings' probabilities. All areas are shifted together, so that they
add up to the number of the whole map.

The interval includes the doubt about the whole map, a shift of the area, and the chance of single buildings.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import scipy
import shapely

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.probabilities import Z95, expected_count
from deepnets4eo.damage.table.vocabulary import GRADES, NOT_KNOWN
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import check_degrees, read_table
from deepnets4eo.formats import split_layer
from deepnets4eo.grid import Grid, metric_crs, transform_shapes
from deepnets4eo.lazy import check_extra
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.reprojection import cut_at_antimeridian, to_crs
from deepnets4eo.terrain import open_further
from deepnets4eo.zonal import known_shares, sums_by_share

GRID, H3 = "grid", "h3"  # in place of a file: squares, hexagons
SIDE_M = 500.0
RESOLUTION = 8  # of hexagons: .7 km²
OUTSIDE = "outside all areas"
# Names of columns of whole numbers: those that name an area, and those that measure it
CODE = re.compile(
    r"(id|code|key|num|number|nr|no|fips|insee|ward|district|zone|sector|block|cell)s?_?\d*$", re.IGNORECASE
)
MEASURE = re.compile(
    r"(^|[_ ])(pop\w*|people|persons?|inhabitants?|households?|houses?|buildings?|area\w*|shape|leng(th)?|perimeter|counts?|"
    r"total|sum|lat(itude)?|lon(gitude)?|elev(ation)?|height|year|date)($|[_ \d])",
    re.IGNORECASE,
)
MOSTLY_SHARE = 0.9  # share of the rows in which names differ that are kept although a code differs in all
LOCAL_SPREAD = 1.0  # standard deviation of an area's log-odds against the map's: intervals of squares hold 96 % (SYNTHETIC), 92 % without
DRAWS = 500
DECIMALS = 4
SHIFTS = np.linspace(-12, 12, 97)  # log-odds between which sums are interpolated
FARTHEST_DEGREES = np.array([180.0, 90.0])  # longitude, latitude
Ground: TypeAlias = Literal["earth", "plane", "pixels"]
IN_WORDS: dict[Ground, str] = {"earth": "on the Earth", "plane": "on a plane in metres (--gsd)", "pixels": "in pixels"}
MIN_UNKNOWN = 0.01  # of the ground of an area, to be named
CHUNK = 1000  # areas that are drawn at the same time


@dataclass(frozen=True)
class Areas:
    """Areas (`frame`) and the buildings in them: pairs (P,) of rows of both tables."""

    frame: gpd.GeoDataFrame
    area: Indices
    building: Indices
    buildings: int

    def inside(self, area: int) -> Mask:
        """Return (N,) which buildings are in an area."""
        inside = np.zeros(self.buildings, bool)
        inside[self.building[self.area == area]] = True
        return inside

    @property
    def times(self) -> Indices:
        """Return (N,) the number of areas that contain each building."""
        return np.bincount(self.building, minlength=self.buildings)

    def findings(self) -> tuple[Finding, ...]:
        """Return notes if areas overlap or leave gaps."""
        times, notes = self.times, []
        if several := int((times > 1).sum()):
            notes.append(Finding("areas_overlap", "note", {"number": several}))
        if outside := int((times == 0).sum()):
            notes.append(
                Finding("areas_leave_gaps", "note", {"number": outside, "row": Finding.verbatim(repr(OUTSIDE))})
            )
        return tuple(notes)


def find_areas(source: str | Path | gpd.GeoDataFrame, buildings: gpd.GeoDataFrame, pixels: Grid | None = None) -> Areas:
    """Return areas and the buildings in each, from a file or table, or "grid" (500 m), "grid:250", "h3" or "h3:9". Raises InputError.

    pixels : grid of the image on a plane that areas without a CRS are in pixels of; None refuses such areas
    """
    points = buildings.geometry.representative_point()
    if _is_laid(source, GRID):
        return _laid(*_squares(_side_m(str(source)), points), points)
    if _is_laid(source, H3):
        return _laid(*_hexagons(_resolution(str(source)), points), points)
    ground = _ground_of(buildings.crs)
    frame = read_areas(source, ground, pixels)
    frame = to_crs(frame, buildings.crs) if ground == "earth" else frame
    tree, middles = shapely.STRtree(frame.geometry.to_numpy()), points.to_numpy()
    building, area = tree.query(middles, predicate="within")
    edge, beside = tree.query(middles, predicate="intersects")
    edge, first = np.unique(edge, return_index=True)  # on the line between two areas: in the first of them
    on_line = ~np.isin(edge, building)
    building, area = np.append(building, edge[on_line]), np.append(area, beside[first][on_line])
    order = np.lexsort((building, area))
    return Areas(frame, area[order], building[order], len(buildings))


def _laid(frame: gpd.GeoDataFrame, area: Indices, known: Mask, points: gpd.GeoSeries) -> Areas:
    """Areas of cells; area : (K,) of each building with a position."""
    order = np.argsort(area, kind="stable")
    return Areas(to_crs(frame, points.crs), area[order], np.flatnonzero(known)[order], len(points))


def read_areas(
    source: str | Path | gpd.GeoDataFrame, ground: Ground | None = None, pixels: Grid | None = None
) -> gpd.GeoDataFrame:
    """Return the polygons of a file or table with their names as column `area`. Raises InputError.

    ground : where the buildings are, and the areas must be; None if it is not known yet
    pixels : as for `find_areas`
    """
    if isinstance(source, (str, Path)):
        if not Path(split_layer(source)[0]).exists():
            raise InputError(f"{source} with the areas does not exist. Check the path, or give {GRID} for squares.")
        table = read_table(source)
    else:
        table = source
    kinds = set(table.geom_type.dropna())
    if not kinds & {"Polygon", "MultiPolygon"}:
        raise InputError(
            f"the areas hold {', '.join(sorted(kinds)) or 'nothing'}, expected polygons. Give outlines of districts."
        )
    name = f"the areas {source}" if isinstance(source, (str, Path)) else "the areas"
    table = table if ground is None else _on_ground(table, name, ground, pixels)
    return gpd.GeoDataFrame(
        {"area": _names(table)}, geometry=table.geometry.make_valid(method="structure").to_numpy(), crs=table.crs
    )


def _ground_of(crs: Any) -> Ground:
    """Return where coordinates of a CRS are: on the Earth, on a plane in metres, or, without a CRS, in pixels."""
    if crs is None:
        return "pixels"
    return "plane" if crs.is_engineering else "earth"


def _on_ground(table: gpd.GeoDataFrame, name: str, ground: Ground, pixels: Grid | None) -> gpd.GeoDataFrame:
    """Areas where the buildings are. Errors: InputError for areas that are elsewhere."""
    own = _ground_of(table.crs)
    if ground == "earth":
        if own != "earth":
            raise InputError(
                f"{name} have no CRS, but the buildings have one. Assign the CRS of the areas: ogr2ogr -a_srs EPSG:… OUT.gpkg IN."
            )
        check_degrees(table, name, "Assign the true CRS: ogr2ogr -a_srs EPSG:… OUT.gpkg IN.")
        return table
    far = np.abs(table.total_bounds).reshape(2, 2) > FARTHEST_DEGREES
    if own == "earth" and table.crs.is_geographic and far.any():  # GeoJSON states degrees, whatever it holds
        table, own = table.set_crs(None, allow_override=True), "pixels"
    if (own, ground) == ("pixels", "plane"):
        if pixels is not None:
            shapes = transform_shapes(pixels.affine, table.geometry.to_numpy())
            return table.set_geometry(gpd.GeoSeries(shapes, table.index, crs=pixels.crs and pixels.crs.proj))
        remedy = "If outlines and areas are in pixels of the image, state --footprints-crs pixels. Else draw"
    else:
        remedy = "Draw"
    if own != ground:
        raise InputError(
            f"{name} are {IN_WORDS[own]}, but the map is {IN_WORDS[ground]}. {remedy} the areas over the outlines in damage.gpkg, which have the "
            "coordinates of the map, or georeference the images: gdal_translate -a_srs EPSG:… -a_ullr … IN OUT."
        )
    return table


def _names(table: gpd.GeoDataFrame) -> list[str]:
    """Return the name of each area: its text or code, or the number of its row if it has neither."""
    values = _naming_column(table)
    if values is None:
        return [str(number) for number in range(1, len(table) + 1)]
    if not _is_text(values):
        values = values.infer_objects().astype("Int64")
    names = values.astype(object).where(values.notna(), None).tolist()
    taken = {str(name) for name in names}
    return [str(name) if name is not None else _row_name(row, taken) for row, name in enumerate(names, start=1)]


def _row_name(row: int, taken: set[str]) -> str:
    return f"row {row}" if str(row) in taken else str(row)


def _naming_column(table: gpd.GeoDataFrame) -> pd.Series | None:
    """Return the column that names the areas, or None if all texts are the same.

    In order of preference: text that differs in each row, text that differs in nearly all rows, codes that differ, keys of
    the rows; else the text with the largest number of values.
    """
    columns = [table[name] for name in table.columns if name != table.geometry.name]
    texts = [values for values in columns if _is_text(values)]
    codes = sorted(filter(_are_codes, columns), key=lambda values: CODE.search(str(values.name)) is None)
    keys = [table.index.to_series().reset_index(drop=True)] if table.index.name is not None else []
    best = max(texts, key=_different, default=None)  # the first of those with the most
    candidates = [(values, MOSTLY_SHARE if values is best else 1.0) for values in (*texts, *codes, *keys)]
    named = next((values for values, share in candidates if _different(values) >= share * len(table)), None)
    if named is None and best is not None and _different(best) > 1:
        return best
    return named


def _different(values: pd.Series) -> int:
    return int(values.nunique(dropna=False))


def _is_text(values: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(values.dropna()))


def _are_codes(values: pd.Series) -> bool:
    """Return whether a column has whole numbers that name something, and measure nothing."""
    known = values.dropna().infer_objects()
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    return bool(numeric and len(known) and (known % 1 == 0).all()) and MEASURE.search(str(values.name)) is None


def check_areas(source: str, crs: Any = None, *, known: bool = False, pixels: Grid | None = None) -> None:
    """Refuse what cannot be areas before long work. crs : of the map, if it is `known`; pixels : as for `find_areas`. Errors: InputError."""
    if _is_laid(source, GRID):
        _side_m(source)
    elif _is_laid(source, H3):
        _resolution(source)
    else:
        read_areas(source, _ground_of(crs) if known else None, pixels)


def check_counted(areas: str | None, population: str | None) -> None:
    """Refuse areas and people that cannot be counted. Errors: InputError."""
    if areas is not None:
        check_areas(areas)
    elif population is not None:
        raise InputError("population is given without --areas, by which people are counted. Give --areas, e.g. grid.")
    if population is not None:
        open_people(population)


def _is_laid(source: Any, kind: str) -> bool:
    """Return whether areas are cells: "grid", "h3:9"."""
    return isinstance(source, str) and source.partition(":")[0] == kind


def _resolution(source: str) -> int:
    """Resolution of the hexagons of "h3:9"."""
    text = source.partition(":")[2] or str(RESOLUTION)
    if not text.isdecimal() or int(text) > 15:
        raise InputError(
            f"the areas are {source}, expected {H3} or {H3}:RESOLUTION with a number from 0 to 15. Correct it."
        )
    check_extra(H3)
    return int(text)


def _side_m(source: str) -> float:
    """Side of the squares of "grid:250"."""
    try:
        side = float(source.partition(":")[2] or SIDE_M)
    except ValueError:
        side = math.nan
    if not 10 <= side <= 1e6:
        raise InputError(
            f"the areas are {source}, expected {GRID} or {GRID}:SIDE with a side of 10 to 1,000,000 metres. Correct it."
        )
    return side


def _squares(side: float, points: gpd.GeoSeries) -> tuple[gpd.GeoDataFrame, Indices, Mask]:
    """Squares with a building in them, named by their south-western corner; the square of each with a position."""
    if points.crs is None:
        raise InputError("the areas are squares, but the buildings have no CRS, so metres are not known. Give a file.")
    crs = metric_crs(points.crs, np.column_stack([points.x, points.y]))
    at = points.to_crs(crs)
    known = (np.isfinite(at.x) & np.isfinite(at.y)).to_numpy()
    corners, square = np.unique(np.floor(np.column_stack([at.x, at.y])[known] / side), axis=0, return_inverse=True)
    corners = corners * side
    names = [f"{x:.0f} {y:.0f}" for x, y in corners]
    shapes = shapely.box(*corners.T, *(corners + side).T)
    return gpd.GeoDataFrame({"area": names}, geometry=shapes, crs=crs), square.ravel(), known


def _hexagons(resolution: int, points: gpd.GeoSeries) -> tuple[gpd.GeoDataFrame, Indices, Mask]:
    """Cells of H3 with a building in them, named by their index; the cell of each building whose place is known."""
    import h3

    if points.crs is None:
        raise InputError("the areas are hexagons of the Earth, but the buildings have no CRS. Give a file.")
    at = points.to_crs("EPSG:4326")
    known = (np.isfinite(at.x) & np.isfinite(at.y)).to_numpy()
    of_each = [h3.latlng_to_cell(lat, lon, resolution) for lat, lon in zip(at.y[known], at.x[known], strict=True)]
    cells, cell = np.unique(np.array(of_each, dtype=object), return_inverse=True)
    shapes = [shapely.Polygon([(lon, lat) for lat, lon in h3.cell_to_boundary(name)]) for name in cells]
    outlines = cut_at_antimeridian(np.array(shapes, object))
    return gpd.GeoDataFrame({"area": cells}, geometry=outlines, crs="EPSG:4326"), cell.ravel(), known


def count_areas(
    buildings: gpd.GeoDataFrame,
    areas: Areas,
    estimates: dict[str, Any] | None = None,
    population: LayerLike | None = None,
    seed: int = 0,
) -> gpd.GeoDataFrame:
    """Count damage by area, a row each, and last the buildings outside; people are exposed in the share of damaged buildings.

    estimates : of the whole map. Errors: InputError."""
    rest = np.flatnonzero(areas.times == 0)
    frame = areas.frame.copy()
    if len(rest):
        frame.loc[len(frame)] = {"area": OUTSIDE, frame.geometry.name: None}
    area = np.concatenate([areas.area, np.full(len(rest), len(areas.frame))])
    row = np.concatenate([areas.building, rest])
    assessed = Buildings(buildings).assessed
    frame["buildings"] = np.bincount(area, minlength=len(frame))
    flags = {grade: (buildings["damage"] == grade).to_numpy() for grade in GRADES}
    if Buildings(buildings).is_ranked:
        flags[NOT_KNOWN] = (buildings["damage"] == NOT_KNOWN).to_numpy()
    for name, chosen in {"assessed": assessed, **flags}.items():
        frame[name.replace("-", "_")] = np.bincount(area[chosen[row]], minlength=len(frame))
    graded = assessed[row]
    position = np.cumsum(assessed) - 1  # of a building among the assessed
    prob = buildings.loc[assessed, "damage_prob"].to_numpy(float)
    damaged = _damaged(prob, area[graded], position[row[graded]], len(frame), estimates, seed)
    with np.errstate(invalid="ignore"):
        shares = damaged / frame["assessed"].to_numpy(float)
    for name, values in (("damaged", damaged), ("share", shares)):
        for end, column in zip(("", "_low", "_high"), values, strict=True):
            frame[name + end] = column.round(DECIMALS)
    together = Buildings(buildings).damage_with_prior
    if together is not None:
        frame["damaged_with_prior"] = np.bincount(area, np.nan_to_num(together)[row], len(frame)).round(DECIMALS)
    if population is not None:
        frame["people"] = _people(population, frame)
        if together is not None:
            exposed = frame["people"] * frame["damaged_with_prior"] / frame["assessed"].where(frame["assessed"] > 0)
            frame["people_exposed_with_prior"] = exposed.round(DECIMALS)
        for end in ("", "_low", "_high"):
            frame[f"people_exposed{end}"] = (frame["people"] * frame[f"share{end}"]).round(DECIMALS)
    return frame


def _damaged(
    prob: Floats, area: Indices, position: Indices, number: int, estimates: dict[str, Any] | None, seed: int
) -> Floats:
    """Return (3, A) expected number of damaged buildings and its 95 % interval. position : (P,) in `prob`."""
    if not len(prob):
        return np.zeros((3, number))
    site = ((estimates or {}).get("buildings") or {}).get("damaged") or expected_count(prob)
    log_odds = scipy.special.logit(np.clip(prob, 1e-6, 1 - 1e-6))
    (sums, spreads), whole = np.zeros((2, len(SHIFTS), number)), np.zeros(len(SHIFTS))
    for step, shift in enumerate(SHIFTS):
        p = scipy.special.expit(log_odds + shift)
        whole[step] = p.sum()
        sums[step] = np.bincount(area, p[position], number)
        spreads[step] = np.bincount(area, (p * (1 - p))[position], number)
    expected, low, high = (np.interp(value, whole, SHIFTS) for value in (site["expected"], *site["interval_95"]))
    size = np.bincount(area, minlength=number).astype(float)
    rng = np.random.default_rng([seed, 48])
    normal = rng.standard_normal(DRAWS)
    shift = expected + normal * np.where(normal > 0, high - expected, expected - low) / Z95
    result = np.empty((3, number))
    for start in range(0, number, CHUNK):
        some = np.arange(start, min(start + CHUNK, number))
        at = shift[:, None] + LOCAL_SPREAD * rng.standard_normal((DRAWS, len(some)))
        mean, variance = _between(sums, at, some), _between(spreads, at, some)
        drawn = np.clip(mean + np.sqrt(variance) * rng.standard_normal(mean.shape), 0, size[some])
        middle = _between(sums, np.full((1, len(some)), expected), some)[0]
        lowest, highest = np.quantile(drawn, [0.025, 0.975], axis=0)
        result[:, some] = middle, np.minimum(lowest, middle), np.maximum(highest, middle)
    return result


def _between(table: Floats, at: Floats, some: Indices) -> Floats:
    """Interpolate the sums (K, A) of some areas (a,) at shifts (D, a)."""
    position = np.clip((at - SHIFTS[0]) / (SHIFTS[1] - SHIFTS[0]), 0, len(SHIFTS) - 1.001)
    step = position.astype(np.intp)
    part = position - step
    return np.asarray(table[step, some] * (1 - part) + table[step + 1, some] * part)


def open_people(population: LayerLike) -> Layer:
    """Return the raster of people per pixel. Raises InputError if it has several bands."""
    return open_further(population, "--set population", "people")


def _people(population: LayerLike, frame: gpd.GeoDataFrame) -> Floats:
    """Return (A,) people in each area; NaN outside all areas."""
    layer = open_people(population)
    known = frame.geometry.notna().to_numpy()
    people = np.full(len(frame), np.nan)
    people[known] = sums_by_share(layer, frame[known])
    if (people < 0).any():
        raise InputError(f"{layer.source} has negative numbers of people; expected none. State its nodata value.")
    return people


def people_findings(population: LayerLike, frame: gpd.GeoDataFrame) -> list[Finding]:
    """Return findings on areas where people are counted only in a part, as the raster has no value in the rest."""
    some = frame[frame.geometry.notna()]
    shares = known_shares(open_people(population), some)
    short = int((shares < 1 - MIN_UNKNOWN).sum())
    if not short:
        return []
    values = {"share": 1 - float(np.nanmean(shares)), "number": short, "areas": len(some)}
    return [Finding("people_in_part", "caution", values)]
