"""Ways to damage a file that look at nothing but its bytes.

Takes bytes and a random generator; returns other bytes. Each function makes one kind of damage.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from numpy.random import Generator

ByteMutator = Callable[[bytes, Generator], bytes]

NUMBERS = (
    b"0", b"-1", b"1", b"NaN", b"nan", b"inf", b"-inf", b"1e308", b"-1e308", b"1e-320", b"2147483648", b"4294967296",
    b"-9223372036854775809", b"9" * 40, b"9" * 5000, b"1.5", b"00", b"0x10", b"2020-13-45",
)  # fmt: skip
TEXTS = (
    b"\x00", b"\x1b[31m", b"\xff\xfe", b"\xe9", b"\xed\xa0\x80", b"\n", b"\t", b'"', b"'", b"\\", b"{", b"}", b"]", b": ", b"!!int x",
    b"!!python/object:os.system", b"&a [*a]", b"<<: *x", b"../../etc/passwd", b"/dev/null", b"\xf0\x9f\x8f\x9a", b"x" * 70_000, b"%s%n", b"None", b"null", b"true",
)  # fmt: skip
WRONG_STARTS = (
    b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b"II+\x00", b"PK\x03\x04", b"SQLite format 3\x00", b"PAR1", b"BZh9", b"\x1f\x8b",
    b"<VRTDataset>", b"<OGRVRTDataSource>", b"\xff\xd8\xff\xe0", b"fgb\x03fgb\x00", b"\x00\x00\x27\x0a", b"{}", b"[]", b"%PDF", b"\xef\xbb\xbf",
)  # fmt: skip
DEPTHS = (50, 1_000, 5_000, 200_000)


def flip_bits(data: bytes, rng: Generator) -> bytes:
    """Some bits are inverted; half of the time within the first 512 bytes, where headers are."""
    if not data:
        return data
    changed = bytearray(data)
    reach = min(len(changed), 512) if rng.random() < 0.5 else len(changed)
    for _ in range(int(rng.integers(1, 17))):
        changed[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def set_bytes(data: bytes, rng: Generator) -> bytes:
    """A run of up to eight bytes becomes 0x00, 0xFF or 0x7F: sizes, offsets and floats at their limits."""
    if not data:
        return data
    reach = min(len(data), 512) if rng.random() < 0.5 else len(data)
    start, length = int(rng.integers(reach)), int(rng.choice([1, 2, 4, 8]))
    value = bytes([int(rng.choice([0x00, 0xFF, 0x7F, 0x80]))])
    return data[:start] + value * min(length, len(data) - start) + data[start + length :]


def truncate(data: bytes, rng: Generator) -> bytes:
    """The end is missing."""
    return data[: int(rng.integers(len(data)))] if data else data


def insert(data: bytes, rng: Generator) -> bytes:
    """Some bytes more, anywhere."""
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at:]


def delete(data: bytes, rng: Generator) -> bytes:
    """Some bytes fewer, anywhere."""
    at = int(rng.integers(len(data) + 1))
    return data[:at] + data[at + int(rng.integers(1, 257)) :]


def swap_blocks(data: bytes, rng: Generator) -> bytes:
    """Three parts of the file in another order."""
    first, second = sorted(int(rng.integers(len(data) + 1)) for _ in range(2))
    return data[second:] + data[first:second] + data[:first]


def replace_number(data: bytes, rng: Generator) -> bytes:
    """A number in digits becomes another one, or none."""
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
    if not numbers:
        return flip_bits(data, rng)
    for index in sorted(
        rng.choice(len(numbers), min(len(numbers), int(rng.integers(1, 4))), replace=False), reverse=True
    ):
        number = numbers[int(index)]
        data = data[: number.start()] + NUMBERS[int(rng.integers(len(NUMBERS)))] + data[number.end() :]
    return data


def replace_word(data: bytes, rng: Generator) -> bytes:
    """A word becomes control characters, other encodings, markup, or very long."""
    words = list(re.finditer(rb"[A-Za-z_]{2,}", data))
    if not words:
        return flip_bits(data, rng)
    word = words[int(rng.integers(len(words)))]
    return data[: word.start()] + TEXTS[int(rng.integers(len(TEXTS)))] + data[word.end() :]


def nest(data: bytes, rng: Generator) -> bytes:
    """Brackets nested deeper than a parser's stack, alone or somewhere in the file."""
    depth, bracket = int(rng.choice(DEPTHS)), bytes([b"[{(<-"[int(rng.integers(5))]])
    deep = bracket * depth if rng.random() < 0.7 else b'{"a":' * depth
    at = int(rng.integers(len(data) + 1))
    return deep if rng.random() < 0.5 else data[:at] + deep + data[at:]


def empty(data: bytes, rng: Generator) -> bytes:
    """Nothing, or white space alone."""
    return (b"", b"\n", b" ", b"\xef\xbb\xbf")[int(rng.integers(4))]


def wrong_start(data: bytes, rng: Generator) -> bytes:
    """The first bytes are those of another format."""
    start = WRONG_STARTS[int(rng.integers(len(WRONG_STARTS)))]
    return start + (data if rng.random() < 0.3 else data[len(start) :])


def repeat(data: bytes, rng: Generator) -> bytes:
    """A part comes many times."""
    at = int(rng.integers(len(data) + 1))
    block = data[at : at + int(rng.integers(1, 200))]
    return data[:at] + block * int(rng.choice([2, 10, 1000])) + data[at:]


BYTE_MUTATORS: tuple[ByteMutator, ...] = (
    flip_bits, set_bytes, set_bytes, truncate, insert, delete, swap_blocks, replace_number, replace_number, replace_word, replace_word,
    nest, empty, wrong_start, repeat,
)  # fmt: skip
