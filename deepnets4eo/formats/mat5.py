"""Arrays of MATLAB files of version 5 (and 6, 7), by the published description of the format; fields as STRUCTURE/FIELD.

Numbers only: all else is listed, not read. Announced sizes are checked before unpacking.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from deepnets4eo.formats.array_info import ArrayInfo, damage_error, damage_errors
from deepnets4eo.formats.unpacking import check_unpacked_size

MAX_BYTES = 4 << 30  # the format holds no larger array
HEADER_BYTES = 128
HEAD_BYTES = 4096  # flags, sizes, name and the tag of the numbers
MAX_ARRAYS = 10_000
DEEPEST = 8  # structures within structures
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, PACKED = 14, 15
CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "object",
}  # fmt: skip
NUMBERS = range(6, 16)
COMPLEX = 0x0800


class _Element(NamedTuple):
    """One array of the file: its position, its packing, and the position of its numbers within it."""

    info: ArrayInfo
    start: int
    packed_bytes: int
    packed: bool
    offset: int
    number_bytes: int


def is_mat5(head: bytes) -> bool:
    """Return whether a file with these first bytes is a MATLAB file of version 5."""
    return len(head) >= HEADER_BYTES and head[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def list_arrays(path: Path) -> list[ArrayInfo]:
    """All variables; reads no numbers. Errors: InputError for a damaged file."""
    return [element.info for element in _elements(path)]


def open_array(path: Path, name: str) -> Any:
    """One variable in the order of MATLAB, unpacked or mapped; InputError for damage and too much to unpack."""
    element = next(variable for variable in _elements(path) if variable.info.name == name)
    shape, dtype = element.info.shape, element.info.dtype
    if dtype is None or element.number_bytes < math.prod(shape) * dtype.itemsize:
        raise damage_error(path, ValueError(f"{name} has fewer numbers than its size {shape} says"))
    with damage_errors(path):
        if not element.packed:
            start = element.start + element.offset
            return np.memmap(path, dtype, "r", start, shape, "F") if math.prod(shape) else np.empty(shape, dtype)
        size = element.offset + math.prod(shape) * dtype.itemsize
        check_unpacked_size(path, size, element.packed_bytes, MAX_BYTES)
        with path.open("rb") as file:
            file.seek(element.start)
            content = zlib.decompressobj().decompress(file.read(element.packed_bytes), size)
        return np.frombuffer(content, dtype, math.prod(shape), element.offset).reshape(shape, order="F")


def _elements(path: Path) -> list[_Element]:
    with damage_errors(path), path.open("rb") as file:
        order = "<" if file.read(HEADER_BYTES)[126:128] == b"IM" else ">"
        return list(_read_elements(path, file, order))


def _read_elements(path: Path, file: IO[bytes], order: str) -> Iterator[_Element]:
    start, count, file_bytes = HEADER_BYTES, 0, path.stat().st_size
    while start + 8 <= file_bytes and count < MAX_ARRAYS:
        file.seek(start)
        kind, size = struct.unpack(f"{order}2I", file.read(8))
        start, count = start + 8, count + 1
        if kind in (MATRIX, PACKED):
            if start + size > file_bytes:
                raise ValueError(f"it ends within a variable ({start + size - file_bytes:,} bytes are missing)")
            head = file.read(min(size, HEAD_BYTES))
            if kind == PACKED:
                head = zlib.decompressobj().decompress(head, HEAD_BYTES)
            info, offset, number_bytes = _describe(head, order, 8 if kind == PACKED else 0)
            if info.name:  # what has no name belongs to objects
                element = _Element(info, start, size, kind == PACKED, offset, number_bytes)
                yield element
                if info.kind == "struct":
                    yield from _fields(element, _content(path, element, order, head), order)
        start += size


def _content(path: Path, element: _Element, order: str, head: bytes) -> memoryview:
    """All bytes of a variable, unpacked or mapped; InputError for too many of them."""
    if not element.packed:
        return np.memmap(path, np.uint8, "r", element.start, (element.packed_bytes,)).data
    size = 8 + int(struct.unpack_from(f"{order}2I", head)[1])
    check_unpacked_size(path, size, element.packed_bytes, MAX_BYTES)
    with path.open("rb") as file:
        file.seek(element.start)
        return memoryview(zlib.decompressobj().decompress(file.read(element.packed_bytes), size))


def _fields(parent: _Element, content: memoryview, order: str, depth: int = 1) -> Iterator[_Element]:
    """Yield the variables within one structure, and within the structures that it contains."""
    if math.prod(parent.info.shape) != 1 or depth > DEEPEST:
        return
    length, at = _part(content, order, parent.offset)
    names, at = _part(content, order, at)
    step = struct.unpack(f"{order}i", length)[0]
    for first in range(0, len(names), step):
        field = names[first : first + step].split(b"\0")[0].decode("latin-1")
        kind, size, begin = _tag(content, order, at)
        at = begin + size
        if kind != MATRIX or at > len(content):
            raise ValueError(f"the structure {parent.info.name} ends within its field {field}")
        if not size:  # nothing was ever put into it
            continue
        info, offset, number_bytes = _describe(content, order, begin)
        named = replace(info, name=f"{parent.info.name}/{field}")
        element = parent._replace(info=named, offset=offset, number_bytes=number_bytes)
        yield element
        if info.kind == "struct":
            yield from _fields(element, content, order, depth + 1)


def _describe(head: bytes | memoryview, order: str, at: int) -> tuple[ArrayInfo, int, int]:
    """Name, size and type of a variable; where its numbers begin; how many bytes of them there are."""
    flags, at = _part(head, order, at)
    word = struct.unpack_from(f"{order}I", flags)[0]
    sizes, at = _part(head, order, at)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    name, at = _part(head, order, at)
    if min(shape, default=0) < 0 or len(shape) < 2:
        raise ValueError(f"a variable has the size {shape}")
    text = name.decode("latin-1")
    kind = CLASSES.get(word & 0xFF, "unknown")
    if word & 0xFF not in NUMBERS or word & COMPLEX:
        return ArrayInfo(text, shape, None, "complex" if word & COMPLEX else kind), at, 0
    number_kind, number_bytes, begin = _tag(head, order, at)
    if number_kind not in TYPES:
        raise ValueError(f"{text} holds numbers of the unknown type {number_kind}")
    return ArrayInfo(text, shape, np.dtype(order + TYPES[number_kind])), begin, number_bytes


def _tag(head: bytes | memoryview, order: str, at: int) -> tuple[int, int, int]:
    """Return the type, the size in bytes and the beginning of a part; parts of up to four bytes are stored within their tag."""
    kind, size = struct.unpack_from(f"{order}2I", head, at)
    if kind >> 16:
        return kind & 0xFFFF, kind >> 16, at + 4
    return kind, size, at + 8


def _part(head: bytes | memoryview, order: str, at: int) -> tuple[bytes, int]:
    """Content of a small part, and where the next one begins."""
    _, size, begin = _tag(head, order, at)
    content = bytes(head[begin : begin + size])
    if len(content) < size:
        raise ValueError("a variable is described in too many bytes")
    return content, begin + 4 if begin == at + 4 else begin + -(-size // 8) * 8
