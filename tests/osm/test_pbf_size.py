"""A file of OpenStreetMap that unpacks to far more than its size is refused before its blocks fill the memory."""

import zlib
from pathlib import Path

import pytest

from deepnets4eo.osm.pbf import MAX_RATIO, MIN_UNPACKED_BYTES, read_blocks


def field(number: int, value: bytes | int) -> bytes:
    """One field of a message of protocol buffers, by its definition."""

    def varint(value: int) -> bytes:
        groups = [value & 0x7F]
        while value := value >> 7:
            groups = [*groups[:-1], groups[-1] | 0x80, value & 0x7F]
        return bytes(groups)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(content: bytes) -> bytes:
    blob = field(2, len(content)) + field(3, zlib.compress(content, 9))
    header = field(1, b"OSMData") + field(3, len(blob))
    return len(header).to_bytes(4, "big") + header + blob


def test_blocks_of_zeros_are_refused_together(tmp_path: Path) -> None:
    path = tmp_path / "bomb.osm.pbf"
    path.write_bytes(block(bytes(2 << 20)) * 40)
    read = []
    with pytest.raises(ValueError, match=f"more than {MAX_RATIO} times its size"):
        read.extend(map(len, read_blocks(path)))
    assert sum(read) <= MIN_UNPACKED_BYTES + MAX_RATIO * path.stat().st_size < 80 << 20


def test_blocks_of_usual_data_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "map.osm.pbf"
    content = bytes(range(256)) * 400
    path.write_bytes(block(content) * 5)
    assert list(read_blocks(path)) == [content] * 5
