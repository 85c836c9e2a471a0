"""Batch size of a network and width of strips within a memory limit.

On a GPU both follow from its whole memory. Refuses limits that the network by itself exceeds, and suggests a sufficient one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import psutil

from deepnets4eo.device import Compute, bytes_taken, memory_bytes
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import cache_bytes
from deepnets4eo.segmenters import Segmenter
from deepnets4eo.system import peak_bytes

STITCH_BYTES = 64 << 20  # of a strip's buffers at most, so that memory hardly depends on scene and class count
MARGIN_BYTES = 32 << 20  # small things
LIBRARY_BYTES = 1 << 30  # Python, its libraries and a run take 0.9 GB; what is held beyond are data of the caller

MAX_TILES = 32
SHARE = 0.25  # of the GPU's memory at most: it may serve others as well


def resident_bytes() -> int:
    """Return the memory that this process uses now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def network_bytes(compute_tile: Callable[[], None]) -> int:
    """Memory of Python with its libraries while the network computes a tile; without what the caller held before."""
    peak_before = peak_bytes()
    of_caller = max(resident_bytes() - LIBRARY_BYTES, 0)
    compute_tile()
    peak = peak_bytes()
    return (peak if peak > peak_before else resident_bytes()) - of_caller


def strip_width(width: int, bytes_per_column: int, block_px: int, stitch_bytes: int) -> int:
    """Return the columns of a strip: the whole width if it fits, else whole output blocks."""
    if width * bytes_per_column <= stitch_bytes:
        return width
    return min(width, max(stitch_bytes // bytes_per_column // block_px, 1) * block_px)


def stitch_budget(limit: int, network: int, reading: int, writing: int) -> int:
    """Return the bytes for stitching, at most STITCH_BYTES, after network, `reading` and `writing`; InputError for none."""
    needed = network + reading + cache_bytes() + MARGIN_BYTES
    left = limit - needed
    if left < writing:
        enough = (needed + writing) / 1e6
        raise InputError(
            f"--memory {limit / 1e6:.0f}MB does not suffice: Python and the network take {network / 1e6:.0f} MB for one "
            f"tile, reading and writing the rest. Allow {enough:.0f}MB, or lower --set tile_px where the verb has it."
        )
    return min(left, STITCH_BYTES)


def batch_size(segmenter: Segmenter, compute: Compute, tile_px: int) -> int:
    """Return the number of tiles, a power of two up to 32, to compute together, by one tile's GPU memory; 1 on a CPU."""
    if not compute.device.startswith("cuda"):
        return 1
    tile = np.zeros((1, segmenter.inputs.in_channels, tile_px, tile_px), np.float32)
    with compute.torch_settings():
        segmenter.to(compute)
        try:
            taken = bytes_taken(compute.device, lambda: segmenter.predict_raw(tile))
        except RuntimeError:  # tiles that the network cannot compute: the first batch says why
            return 1
    return tiles_that_fit(memory_bytes(compute.device), taken)


def tiles_that_fit(gpu_bytes: int, tile_bytes: int) -> int:
    """Return the largest power of two of tiles that take at most a quarter of the memory; 1 to 32."""
    fit = int(gpu_bytes * SHARE) // max(tile_bytes, 1)
    return 1 << (min(max(fit, 1), MAX_TILES).bit_length() - 1)
