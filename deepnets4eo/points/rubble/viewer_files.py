"""Clouds and buildings for 3D programs: glTF (.glb) and PLY.

Points are thinned before (`thin_cloud`). glTF 2.0 (Khronos) has y up and single precision: points are written as (x, z, −y) from an
origin, which the file states. PLY (Turk 1994, binary little endian) keeps double precision and the classes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import atomic_write
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.rubble.rubble_map import RUBBLE_CLASS
from deepnets4eo.version import __version__

RUBBLE_COLOUR = (255, 0, 170)
OTHER_COLOUR = (200, 200, 200)

FLOAT, UBYTE = 5126, 5121  # glTF codes of types
POINTS, LINES = 0, 1  # glTF modes
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942


@dataclass(frozen=True)
class BuildingBox:
    """A building to be drawn: outline in the coordinates of the cloud, heights of foot and top in metres, colour 0–255."""

    outline: Any
    bottom_m: float
    top_m: float
    colour: tuple[int, int, int]


def box_lines(boxes: list[BuildingBox]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the edges of prisms: (M, 2, 3) ends of lines and (M, 3) colours."""
    lines, colours = [np.zeros((0, 2, 3))], [np.zeros((0, 3), np.uint8)]
    for box in boxes:
        for ring in map(shapely.get_coordinates, shapely.get_rings(box.outline)):
            low = np.column_stack([ring, np.full(len(ring), box.bottom_m)])
            high = np.column_stack([ring, np.full(len(ring), box.top_m)])
            edges = [np.stack([level[:-1], level[1:]], axis=1) for level in (low, high)]
            edges.append(np.stack([low[:-1], high[:-1]], axis=1))
            lines += edges
            colours.append(np.tile(np.array(box.colour, np.uint8), (sum(map(len, edges)), 1)))
    return np.concatenate(lines), np.concatenate(colours)


def thin_cloud(chunks: Iterable[PointCloud], total: int, most: int, seed: int = 0) -> PointCloud:
    """Draw about `most` of the `total` points of the chunks of a cloud at random, in their order; coordinates, colour
    and classification alone are kept."""
    rng = np.random.default_rng(seed)
    share = min(1.0, most / max(total, 1))
    kept = []
    for cloud in chunks:
        index = np.flatnonzero(rng.random(len(cloud)) < share)
        if len(index):
            kept.append(cloud.subset(index))
    if not kept:
        raise ValueError("no point is left: the chunks are empty")
    columns: dict[str, Any] = {
        name: np.concatenate([part.measurements()[name] for part in kept])
        for name in ("colour", "classification")
        if name in kept[0].measurements()
    }
    return PointCloud(
        np.concatenate([part.xyz for part in kept]),
        **columns,
        crs=kept[0].crs,
        source=kept[0].source,
        synthetic=kept[0].synthetic,
        asprs=kept[0].asprs,
    )


def point_colours(cloud: PointCloud) -> NDArray[np.uint8]:
    """(N, 3) colours: those of the points where they have some, else of their class, else by height."""
    if cloud.colour is not None and cloud.colour.any():
        return cloud.colour
    if cloud.classification is None:
        return height_colours(cloud.xyz[:, 2])
    table = np.full((256, 3), OTHER_COLOUR, np.uint8)
    for one in Legend.load("asprs_las").classes:
        table[one.value] = one.color
    table[RUBBLE_CLASS] = RUBBLE_COLOUR
    return table[cloud.classification]


def height_colours(z: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(N, 3) colours from blue (low) over green to red (high), by quantiles 2 to 98 %."""
    low, high = np.quantile(z, (0.02, 0.98))
    share = np.clip((z - low) / max(high - low, 1e-6), 0, 1)
    ramp = np.array([(40, 70, 160), (60, 160, 170), (120, 190, 90), (240, 200, 70), (200, 60, 40)], float)
    at = share * (len(ramp) - 1)
    lower = np.minimum(at.astype(int), len(ramp) - 2)
    mix = (at - lower)[:, None]
    return (ramp[lower] * (1 - mix) + ramp[lower + 1] * mix).astype(np.uint8)


def write_glb(
    cloud: PointCloud,
    path: str | Path,
    lines: NDArray[np.float64] | None = None,
    line_colours: NDArray[np.uint8] | None = None,
    *,
    about: Sequence[str] = (),
) -> Path:
    """Write a binary glTF file of points and of lines (M, 2, 3) in their coordinates, such as the edges of buildings;
    `about` and the origin of the coordinates go into `extras`. Raises OutputError where it cannot be written.
    Memory: 40 bytes a point."""
    origin = np.floor(cloud.xyz.min(axis=0))
    pieces = [(POINTS, cloud.xyz, point_colours(cloud))]
    if lines is not None and len(lines):
        colours = np.full((len(lines), 3), 255, np.uint8) if line_colours is None else line_colours
        pieces.append((LINES, lines.reshape(-1, 3), np.repeat(colours, 2, axis=0)))
    blobs: list[bytes] = []
    accessors: list[dict[str, Any]] = []
    for _, xyz, colour in pieces:
        local = (xyz - origin)[:, [0, 2, 1]].astype("<f4")
        local[:, 2] *= -1
        accessors.append(_accessor(len(blobs), FLOAT, "VEC3", local, with_range=True))
        blobs.append(local.tobytes())
        rgba = np.column_stack([colour, np.full(len(colour), 255, np.uint8)])  # four bytes keep rows aligned
        accessors.append({**_accessor(len(blobs), UBYTE, "VEC4", rgba), "normalized": True})
        blobs.append(rgba.tobytes())
    starts = np.concatenate([[0], np.cumsum([len(blob) for blob in blobs])])
    extras = {"origin": origin.tolist(), "crs": None if cloud.crs is None else cloud.crs.to_string()}
    extras |= {"description": "\n".join(about)} if about else {}
    document = {
        "asset": {"version": "2.0", "generator": f"deepnets4eo {__version__}", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(pieces)))}],
        "nodes": [{"mesh": number} for number in range(len(pieces))],
        "meshes": [
            {"primitives": [{"mode": mode, "attributes": {"POSITION": 2 * number, "COLOR_0": 2 * number + 1}}]}
            for number, (mode, _, _) in enumerate(pieces)
        ],
        "accessors": accessors,
        "bufferViews": [
            {"buffer": 0, "byteOffset": int(start), "byteLength": len(blob)}
            for start, blob in zip(starts, blobs, strict=False)
        ],
        "buffers": [{"byteLength": int(starts[-1])}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + int(starts[-1])
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<III", MAGIC, 2, length))
        file.write(struct.pack("<II", len(text), JSON_CHUNK) + text)
        file.write(struct.pack("<II", int(starts[-1]), BINARY_CHUNK))
        for blob in blobs:
            file.write(blob)
    return Path(path)


def _accessor(view: int, kind: int, shape: str, values: NDArray[Any], *, with_range: bool = False) -> dict[str, Any]:
    accessor = {"bufferView": view, "componentType": kind, "count": len(values), "type": shape}
    if with_range:
        accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
    return accessor


def write_ply(cloud: PointCloud, path: str | Path, about: Sequence[str] = ()) -> Path:
    """Write a binary PLY file: x, y, z as double, red, green, blue, the classification where there is one, and `about`
    as comments. Raises OutputError where it cannot be written."""
    fields: list[tuple[str, str]] = [
        ("x", "<f8"),
        ("y", "<f8"),
        ("z", "<f8"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
    ]
    if cloud.classification is not None:
        fields.append(("classification", "u1"))
    table = np.empty(len(cloud), np.dtype(fields))
    for axis, name in enumerate("xyz"):
        table[name] = cloud.xyz[:, axis]
    for band, name in enumerate(("red", "green", "blue")):
        table[name] = point_colours(cloud)[:, band]
    if cloud.classification is not None:
        table["classification"] = cloud.classification
    words = {"<f8": "double", "u1": "uchar"}
    crs = "unknown" if cloud.crs is None else cloud.crs.to_string().replace("\n", " ")
    header = ["ply", "format binary_little_endian 1.0", f"comment deepnets4eo {__version__}, CRS {crs}"]
    header += [f"comment {line}" for line in about]
    header += [
        f"element vertex {len(cloud)}",
        *(f"property {words[kind]} {name}" for name, kind in fields),
        "end_header",
    ]
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(("\n".join(header) + "\n").encode("ascii", "replace"))
        table.tofile(file)
    return Path(path)
