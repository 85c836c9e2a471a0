"""Shapes as the map page reads them: columns of small integers, packed with gzip.

Takes shapely shapes and the grid of the image; returns rings in half pixels of it, as one byte steps.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.polygons.vertices import centres
from deepnets4eo.zonal.outlines import CHUNK, chunks

UNITS_PER_PX = 2
LONGEST_STEP = 127  # one signed byte; longer edges get points in between
MARGIN_PX = 4096  # around the image; what of an outline larger than that lies farther out is not drawn
FARTHEST_PX = 2**29  # half pixels and their differences still fit in 32 bits
MISSING = 65_535  # of shares
SHARE_STEPS = 10_000


@dataclass(frozen=True)
class Payload:
    """The binary columns (base64 of gzip) with their directory, and what describes them."""

    directory: list[tuple[str, str, int]]  # name, dtype, length; in the order of the bytes
    packed: str
    described: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        """Bytes of the columns and ids, before base64."""
        return (len(self.packed) + len(self.described["ids"])) * 3 // 4


def pack_objects(
    ids: Iterable[str],
    shapes: NDArray[Any],
    grid: Grid,
    columns: Mapping[str, NDArray[Any]],
    described: Mapping[str, Any],
) -> Payload:
    """Outlines and columns of all objects, in the order of the page's list; `described` is for the kind of map."""
    names = [str(name) for name in ids]
    whole = {**outlines(shapes, grid), **middles(shapes, grid), **columns}
    directory = [(name, str(column.dtype), len(column)) for name, column in whole.items()]
    raw = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in whole.values())
    packed_ids = pack(json.dumps(names, separators=(",", ":")).encode())
    return Payload(
        directory, pack(raw), {"ids": packed_ids, "count": len(names), "unitsPerPx": UNITS_PER_PX, **described}
    )


def pack(raw: bytes) -> str:
    """Base64 of gzip, the same bytes every time."""
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()


def share_codes(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Shares of 0 to 1 in ten thousandths; NaN becomes 65,535."""
    codes = np.rint(np.clip(values, 0, 1) * SHARE_STEPS)
    return np.where(np.isnan(values), MISSING, codes).astype(np.uint16)


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


def middles(shapes: NDArray[Any], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Centroids in pixels of the grid: `cx`, `cy`, whose positions other products have too; NaN where there is no shape."""
    cx, cy = apply_affine(~grid.affine, centres(shapes)).astype(np.float32).T
    return {"cx": cx, "cy": cy}


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
