"""A file of OpenStreetMap that unpacks to far more than its size is refused before its blocks fill the memory."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.osm.pbf import MAX_RATIO, MIN_UNPACKED_BYTES, Block, read_blocks


def varint(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups = [*groups[:-1], groups[-1] | 0x80, value & 0x7F]
    return bytes(groups)


def field(number: int, value: bytes | int) -> bytes:
    """One field of a message of protocol buffers, by its definition."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def steps(*values: int) -> bytes:
    """Numbers as differences with their sign in the last bit, packed."""
    return b"".join(varint(step << 1 if step >= 0 else ~(step << 1)) for step in np.diff([0, *values]).tolist())


def block(content: bytes) -> bytes:
    return block_of(field(2, len(content)) + field(3, zlib.compress(content, 9)))


def block_of(blob: bytes) -> bytes:
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


def test_elements_of_a_block_are_those_of_the_format(tmp_path: Path) -> None:
    single = b"".join(field(1, field(1, number)) for number in (600, 3))  # zigzag: 300 and -2
    dense = field(2, field(1, steps(10, 7, 4_000_000_000)))
    ways = b"".join(
        field(3, field(1, number) + (field(8, steps(*refs)) if refs else b""))
        for number, refs in ((5, (10, 7, 10)), (6, ()), ((1 << 64) - 9, (300, 7)))
    )
    relation = field(4, field(1, 77) + field(9, steps(5, 7, 6)) + field(10, b"\x01\x00\x01"))  # two ways, and a node
    lone = field(4, field(1, 78))
    content = b"".join(field(2, group) for group in (single + field(9, 1), dense, ways, relation + lone))
    path = tmp_path / "map.osm.pbf"
    path.write_bytes(block_of(field(1, content)))  # not compressed
    (read,) = map(Block, read_blocks(path))
    assert read.nodes.tolist() == [300, -2, 10, 7, 4_000_000_000]
    assert read.ways.tolist() == [5, 6, -9]
    assert read.refs.tolist() == [10, 7, 10, 300, 7]
    assert read.way_of_ref.tolist() == [0, 0, 0, 2, 2]
    assert read.members == [(77, 5), (77, 6)]


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (field(7, b"lz4"), "packed in an unusual way"),
        (field(3, zlib.compress(bytes((32 << 20) + 1), 1)), "unpacks to more than 33,554,432 bytes"),
    ],
    ids=["other compression", "33 million bytes"],
)
def test_a_block_that_cannot_be_unpacked_is_named(blob: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.osm.pbf").write_bytes(block_of(blob))
    with pytest.raises(ValueError, match=message):
        list(read_blocks(tmp_path / "a.osm.pbf"))


@pytest.mark.parametrize(
    ("size", "message"),
    [(field(3, (32 << 20) + 1), "states 33554433 bytes"), (field(3, b"many"), "states b'many' bytes"), (field(3, 99), "has 0 of 99")],
)  # fmt: skip
def test_a_block_of_another_size_than_it_states_is_named(size: bytes, message: str, tmp_path: Path) -> None:
    header = field(1, b"OSMData") + size
    (tmp_path / "a.osm.pbf").write_bytes(len(header).to_bytes(4, "big") + header)
    with pytest.raises(ValueError, match=message):
        list(read_blocks(tmp_path / "a.osm.pbf"))


@pytest.mark.parametrize(
    ("group", "message"),
    [(field(3, field(1, b"5")), "a text instead of a number"), (field(3, field(1, 5) + field(8, 1)), "a number instead of a text")],
)  # fmt: skip
def test_values_of_another_type_are_named(group: bytes, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Block(field(2, group))
