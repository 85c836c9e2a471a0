"""Compression by LZF (Lehmann): runs of bytes, and references to at most 8192 bytes before."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LITERAL, LONG = 32, 7  # control bytes below are runs; a length that goes on in the next byte


@njit(cache=True, nogil=True)
def decompress_lzf(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the bytes (size,) that LZF compressed; fewer where `data` (N,) is damaged or makes another number."""
    out = np.empty(size, np.uint8)
    at = made = 0
    while at + 1 < len(data):
        length = data[at] >> 5
        if data[at] < LITERAL:
            start, length = at + 1, data[at] + 1
            source, at = data, start + length
        else:
            if length == LONG:
                length += data[at + 1]
            behind = at + 1 + (length >= LONG)
            if behind >= len(data):
                break
            start = made - ((data[at] & 31) << 8) - data[behind] - 1
            length, source, at = length + 2, out, behind + 1
        if start < 0 or at > len(data) or made + length > size:
            return out[: min(made, size - 1)]
        for step in range(length):  # one at a time: a reference may overlap what it makes
            out[made + step] = source[start + step]
        made += length
    return out[:made]
