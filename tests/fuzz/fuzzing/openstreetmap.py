"""A map of houses in OpenStreetMap's binary format (PBF), written field by field, since no library here writes it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

NANODEGREES = 100  # unit of a coordinate: granularity of the format's default
STRINGS = (b"", b"building", b"yes")


def small_pbf(outlines: Iterable[Any], lost: Iterable[int] = ()) -> bytes:
    """A PBF file of ways tagged building=yes; outlines : polygons in degrees of WGS 84; lost : nodes left out, 10 and on of the first way."""
    nodes: list[tuple[int, float, float]] = []
    ways = b""
    for number, outline in enumerate(outlines, start=1):
        corners = list(outline.exterior.coords)[:4]
        ids = [10 * number + k for k in range(4)]
        nodes += [(key, lon, lat) for key, (lon, lat) in zip(ids, corners, strict=True)]
        refs = _deltas([*ids, ids[0]])
        ways += _field(3, _number(1, number) + _field(2, _varint(1)) + _field(3, _varint(2)) + _field(8, refs))
    nodes = [node for node in nodes if node[0] not in {*lost}]
    steps = [[round(node[axis] * 1e9 / NANODEGREES) for node in nodes] for axis in (2, 1)]
    dense = (
        _field(1, _deltas([node[0] for node in nodes])) + _field(8, _deltas(steps[0])) + _field(9, _deltas(steps[1]))
    )
    block = _field(1, b"".join(_field(1, text) for text in STRINGS)) + _field(2, _field(2, dense)) + _field(2, ways)
    wide = [_zigzag(round(value * 1e9)) for value in _box(nodes)]
    box = b"".join(_number(field, value) for field, value in enumerate(wide, start=1))
    header = _field(1, box) + _field(4, b"OsmSchema-V0.6") + _field(4, b"DenseNodes")
    return _blob(b"OSMHeader", header) + _blob(b"OSMData", block)


def _box(nodes: Sequence[tuple[int, float, float]]) -> tuple[float, float, float, float]:
    """Left, right, top, bottom in degrees, with a margin."""
    east, north = [node[1] for node in nodes], [node[2] for node in nodes]
    return min(east) - 0.01, max(east) + 0.01, max(north) + 0.01, min(north) - 0.01


def _blob(kind: bytes, content: bytes) -> bytes:
    blob = _number(2, len(content)) + _field(3, zlib.compress(content))
    header = _field(1, kind) + _number(3, len(blob))
    return len(header).to_bytes(4, "big") + header + blob


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _zigzag(value: int) -> int:
    """Zigzag: small numbers of either sign stay small."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def _deltas(values: Sequence[int]) -> bytes:
    steps = [value - before for value, before in zip(values, [0, *values], strict=False)]
    return b"".join(_varint(_zigzag(step)) for step in steps)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content
