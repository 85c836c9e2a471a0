"""Clouds and buildings for viewing: a page that needs no other file, glTF (.glb) and PLY.

The page draws on a canvas without WebGL, so that it shows in every browser. Points are thinned before (`thin_cloud`); each takes
10 bytes of the page, and a third more in its text. All texts are escaped. glTF 2.0 (Khronos) has y up and single precision: points
are written as (x, z, −y) from an origin, which the file states. PLY (Turk 1994, binary little endian) keeps double precision and
the classes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import atomic_write, write_text
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.outputs.safe_text import fill_template, script_safe
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.rubble.rubble_map import RUBBLE_CLASS
from deepnets4eo.version import __version__

RUBBLE_COLOUR = (255, 0, 170)
OTHER_COLOUR = (200, 200, 200)

MOST_POINTS = 250_000  # of a page: 3.4 MB
STEPS = 65_535  # of a coordinate
SEVERITY = {"worthless": "Do not use", "caution": "Caution", "note": "Note"}

FLOAT, UBYTE = 5126, 5121  # glTF codes of types
POINTS, LINES = 0, 1  # glTF modes
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942


def write_point_page(
    cloud: PointCloud,
    path: str | Path,
    boxes: Sequence[BuildingBox] = (),
    *,
    title: str = "Point cloud",
    facts: Sequence[tuple[str, str]] = (),
    findings: Sequence[Finding] = (),
    synthetic: bool = False,
) -> Path:
    """Write the page of a cloud (at most some 250,000 points open quickly) with buildings, facts for its top, findings,
    and a note where the data are made up. Raises OutputError where it cannot be written."""
    origin = cloud.xyz.min(axis=0)
    size = cloud.xyz.max(axis=0) - origin
    scale = float(max(size.max(), 1e-3)) / STEPS
    classes = class_table(cloud)
    index = np.zeros(256, np.uint8)
    index[[row["code"] for row in classes]] = np.arange(len(classes))
    own = np.zeros(len(cloud), np.uint8) if cloud.classification is None else index[cloud.classification]
    blob = np.round((cloud.xyz - origin) / scale).astype("<u2").tobytes()
    blob += np.column_stack([point_colours(cloud), height_colours(cloud.xyz[:, 2]), own]).astype(np.uint8).tobytes()
    content = {
        "count": len(cloud),
        "scale": scale,
        "size": size.tolist(),
        "coloured": cloud.colour is not None and bool(cloud.colour.any()),
        "classes": classes,
        "boxes": [_box(box, origin) for box in boxes],
    }
    parts = {
        "TITLE": escape(f"SYNTHETIC: {title}" if synthetic else title),
        "FINDINGS": "".join(map(_finding, findings)),
        "FACTS": "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts),
        "CONTENT": script_safe(content),
        "POINTS": base64.b64encode(blob).decode(),
        "SCRIPT": "\n".join(_asset(name) for name in ("renderer.js", "controls.js", "page.js")),
        "VERSION": __version__,
    }
    return write_text(path, fill_template(_asset("view3d.html"), parts))


def _box(box: BuildingBox, origin: np.ndarray) -> dict[str, object]:
    return {
        "name": box.name,
        "rings": [(ring - origin[:2]).round(2).tolist() for ring in box.rings()],
        "bottom": round(box.bottom_m - float(origin[2]), 2),
        "top": round(box.top_m - float(origin[2]), 2),
        "colour": list(box.colour),
        "group": box.group,
        "facts": [list(pair) for pair in box.facts],
    }


def _finding(finding: Finding) -> str:
    text = f"<b>{SEVERITY[finding.severity]}</b> {escape(finding.message)} <i>{escape(finding.remedy)}</i>"
    return f'<p class="finding {finding.severity}">{text}</p>'


def _asset(name: str) -> str:
    return (files("deepnets4eo.points.display3d") / "assets" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class BuildingBox:
    """A building to be drawn: outline in the coordinates of the cloud, heights of foot and top in metres, colour 0–255,
    `group` such as a grade, which the page can hide, and facts as pairs of text."""

    name: str
    outline: Any
    bottom_m: float
    top_m: float
    colour: tuple[int, int, int]
    group: str
    facts: tuple[tuple[str, str], ...] = ()

    def rings(self) -> list[NDArray[np.float64]]:
        """Rings (n, 2) of its outline, the last point the same as the first."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.outline)]


def box_lines(boxes: list[BuildingBox]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the edges of prisms: (M, 2, 3) ends of lines and (M, 3) colours."""
    lines, colours = [np.zeros((0, 2, 3))], [np.zeros((0, 3), np.uint8)]
    for box in boxes:
        for ring in box.rings():
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


def class_table(cloud: PointCloud) -> list[dict[str, Any]]:
    """Codes of the classes in a cloud, ascending, with name, colour (red, green, blue) and number of points."""
    if cloud.classification is None:
        return []
    known = {one.value: one for one in Legend.load("asprs_las").classes}
    counts = np.bincount(cloud.classification, minlength=256)
    rows: list[dict[str, Any]] = []
    for code in np.flatnonzero(counts).tolist():
        if code == RUBBLE_CLASS:
            name, colour = "rubble", RUBBLE_COLOUR
        elif code in known:
            name, colour = known[code].name, known[code].color
        else:
            name, colour = f"class {code}", OTHER_COLOUR
        rows.append({"code": code, "name": name, "colour": list(colour), "points": int(counts[code])})
    return rows


def point_colours(cloud: PointCloud) -> NDArray[np.uint8]:
    """(N, 3) colours: those of the points where they have some, else of their class, else by height."""
    if cloud.colour is not None and cloud.colour.any():
        return cloud.colour
    table = np.full((256, 3), OTHER_COLOUR, np.uint8)
    for row in class_table(cloud):
        table[row["code"]] = row["colour"]
    if cloud.classification is not None:
        return table[cloud.classification]
    return height_colours(cloud.xyz[:, 2])


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
