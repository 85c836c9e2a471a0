"""Buildings as the report page reads them: columns of small integers, most probable damage first, packed with gzip.

Takes a DamageMap and the post grid. Outlines are in half pixels of the post image, as one byte steps; evidence is
stored as its rank in the scene, from which the page gets both the value and "higher than 97 % of buildings".
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.vocabulary import ASSESSED, GRADES
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.zonal.outlines import CHUNK, chunks

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.map_content import DamageMapContent

UNITS_PER_PX = 2
LONGEST_STEP = 127  # one signed byte; longer edges get points in between
MARGIN_PX = 4096  # around the image; what of an outline larger than that lies farther out is not drawn
FARTHEST_PX = 2**29  # half pixels and their differences still fit in 32 bits
MISSING = 65_535
KNOTS = 257
BINS = 24
EVIDENCE_VALUES = 1_200_000  # most probable buildings first; what lies beyond is in damage.gpkg


@dataclass(frozen=True)
class Payload:
    """The binary columns (base64 of gzip) with their directory, and what describes them."""

    directory: list[tuple[str, str, int]]  # name, dtype, length; in the order of the bytes
    packed: str
    described: dict[str, Any]


def encode(damage_map: DamageMapContent, grid: Grid) -> Payload:
    """Pack all buildings; `described` holds ids, dictionaries and the distribution of every evidence column."""
    frame = most_damaged_first(damage_map.buildings)
    assessed = (frame["status"] == ASSESSED).to_numpy(bool)
    reasons, reason = np.unique(frame["reason"].fillna("").to_numpy(str), return_inverse=True)
    methods, method = np.unique(frame["method"].fillna("").to_numpy(str), return_inverse=True)
    grade = frame["damage"].map({name: k for k, name in enumerate(GRADES)}).fillna(len(GRADES)).to_numpy(np.uint8)
    prob = _share(frame["damage_prob"], assessed)
    columns = {
        **outlines(frame.geometry.to_numpy(), grid),
        "grade": grade,
        "prob": np.diff(prob, prepend=np.uint16(0)),  # sorted, so that steps are small and pack well
        "confidence": _share(frame["confidence"], assessed),
        "set": _set_codes(frame["damage_set"]),
        "reason": reason.astype(np.uint16),
        "method": method.astype(np.uint8),
    }
    rows = min(int(assessed.sum()), EVIDENCE_VALUES // max(len(damage_map.evidence) + 2, 1))
    evidence = []
    for name in (*damage_map.evidence, "dx_px", "dy_px"):
        values = frame[name].to_numpy(float)
        ranks, described = _rank(values[assessed], grade[assessed])
        columns[f"rank:{name}"] = ranks[:rows]
        evidence.append({"name": name, "meaning": damage_map.meaning.get(name, ""), **described})
    directory = [(name, str(column.dtype), len(column)) for name, column in columns.items()]
    raw = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in columns.values())
    ids = json.dumps(frame["id"].astype(str).tolist(), separators=(",", ":"))
    return Payload(
        directory,
        pack(raw),
        {
            "ids": pack(ids.encode()),
            "count": len(frame),
            "unitsPerPx": UNITS_PER_PX,
            "reasons": reasons.tolist(),
            "methods": methods.tolist(),
            "evidence": evidence,
            "evidenceRows": rows,
        },
    )


def most_damaged_first(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Assessed buildings by falling probability, then the others as they came."""
    prob = np.where(buildings["status"] == ASSESSED, buildings["damage_prob"], -1.0)
    return buildings.iloc[np.argsort(-prob, kind="stable")]


def pack(raw: bytes) -> str:
    """Base64 of gzip, the same bytes every time."""
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()


def outlines(shapes: NDArray[Any], grid: Grid, chunk: int = CHUNK) -> dict[str, NDArray[Any]]:
    """Rings of all shapes as first points and steps, in half pixels of the grid.

    returns : `rings` per shape, `sizes` (points) per ring, `x0`, `y0` per ring, `dx`, `dy` int8 for the other points.
    The closing point is left out; a missing or empty shape has no rings. Shapes larger than the image are cut.
    chunk : shapes packed at the same time; the result does not depend on it.
    """
    shapes = _drawable(shapes, grid)
    pieces = [_steps(shapes[rows], grid) for rows in chunks(len(shapes), chunk)]
    rings, sizes, origin, rest = (np.concatenate(column) for column in zip(*pieces, strict=True))
    kind = np.uint16 if len(origin) and origin.min() >= 0 and origin.max() < 2**16 else np.int32
    return {
        "rings": rings,
        "sizes": sizes,
        "x0": origin[:, 0].astype(kind),
        "y0": origin[:, 1].astype(kind),
        "dx": rest[:, 0],
        "dy": rest[:, 1],
    }


def _steps(shapes: NDArray[Any], grid: Grid) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rings per shape, points per ring, the rings' first points (R, 2), and the steps (P, 2) to all others."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    points = np.rint(apply_affine(~grid.affine, xy) * UNITS_PER_PX).astype(np.int32)
    last = np.append(ring[1:] != ring[:-1], True) if len(ring) else np.zeros(0, bool)
    points, ring = points[~last], ring[~last]
    first = np.append(True, ring[1:] != ring[:-1]) if len(ring) else np.zeros(0, bool)
    steps = np.diff(points, axis=0, prepend=points[:1])
    steps[first] = 0
    pieces = np.maximum(-(-np.abs(steps).max(axis=1, initial=0) // LONGEST_STEP), 1)
    index = np.repeat(np.arange(len(points)), pieces)
    nth = np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 1
    until, before = (np.rint(steps[index] * (n / pieces[index])[:, None]).astype(np.int32) for n in (nth, nth - 1))
    cut = until - before
    origin, rest = points[first], cut[~first[index]]
    return (
        np.bincount(shape_of_part[part_of_ring], minlength=len(shapes)).astype(np.uint16),
        np.bincount(ring[index], minlength=len(rings)).astype(np.uint32),
        origin,
        rest.astype(np.int8),
    )


def _drawable(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """The shapes; of those larger than the image or farther off than numbers reach only what lies around the image."""
    height, width = (side + 2 * MARGIN_PX for side in grid.shape)
    bounds = shapely.bounds(shapes)
    corners = apply_affine(~grid.affine, bounds[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
    wild = (np.ptp(corners, axis=1) > (width, height)).any(axis=1)
    wild |= np.abs(corners).max(axis=(1, 2)) > FARTHEST_PX
    if not wild.any():
        return shapes
    around = shapely.get_coordinates(shapely.box(-MARGIN_PX, -MARGIN_PX, width - MARGIN_PX, height - MARGIN_PX))
    ground = apply_affine(grid.affine, around)
    shapes = shapes.copy()
    shapes[wild] = shapely.clip_by_rect(shapes[wild], *ground.min(axis=0), *ground.max(axis=0))
    return shapes


def _share(column: Any, assessed: NDArray[np.bool_]) -> NDArray[np.uint16]:
    values = np.where(assessed, column.to_numpy(float), np.nan)
    return np.where(np.isnan(values), MISSING, np.rint(np.clip(values, 0, 1) * 10_000)).astype(np.uint16)


def _set_codes(column: Any) -> NDArray[np.uint8]:
    """Sets of grades as bits, the mildest grade first; 0 where there is none."""
    parts = column.fillna("").str.split(",")
    return np.array([sum(1 << k for k, grade in enumerate(GRADES) if grade in names) for names in parts], np.uint8)


def _rank(values: NDArray[np.float64], grade: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Ranks 0 … 65534 among the finite values, the quantiles that undo them, a histogram and each grade's median."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(len(values), MISSING, np.uint16), {"knots": [], "histogram": [], "range": [], "medians": []}
    levels = np.linspace(0, 1, KNOTS)
    knots = np.quantile(values[finite], levels)
    ranks = np.full(len(values), MISSING, np.uint16)
    ranks[finite] = np.rint(np.interp(values[finite], knots, levels) * (MISSING - 1))
    low, high = np.quantile(values[finite], [0.01, 0.99])
    apart = high - low > 1e-9 * max(abs(low), abs(high), 1e-9)  # else the borders of the bins would be one number
    histogram, _ = np.histogram(np.clip(values[finite], low, high), BINS, (low, high if apart else low + 1))
    medians = [np.median(of) if len(of := values[finite & (grade == k)]) else None for k in range(len(GRADES))]
    return ranks, {
        "knots": [float(f"{knot:.6g}") for knot in knots],
        "histogram": histogram.tolist(),
        "range": [low, high],
        "medians": medians,
    }
