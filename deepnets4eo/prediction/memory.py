"""How much memory a prediction takes, and how wide its strips may be within the user's limit.

Takes sizes in bytes; refuses limits that the network alone exceeds, and names one that suffices.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import psutil

from deepnets4eo.errors import InputError
from deepnets4eo.rasters.gdal_cache import CACHE_BYTES

STITCH_BYTES = 64 << 20  # of a strip's buffers at most, so that memory hardly depends on scene and class count
QUEUE_BYTES = 64 << 20  # of results that wait for the writer at most
MARGIN_BYTES = 32 << 20  # small things
LIBRARY_BYTES = 1 << 30  # Python, its libraries and a run take 0.9 GB; what is held beyond are data of the caller


def resident_bytes() -> int:
    """Return the memory that this process holds now."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    try:
        import resource  # psutil has no peak on POSIX
    except ImportError:
        return int(memory.rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def network_bytes(compute_tile: Callable[[], None]) -> int:
    """Memory of Python with its libraries while the network computes a tile; without what the caller held before."""
    peak_before = peak_bytes()
    of_caller = max(resident_bytes() - LIBRARY_BYTES, 0)
    compute_tile()
    peak = peak_bytes()
    return (peak if peak > peak_before else resident_bytes()) - of_caller


def strip_width(width: int, bytes_per_column: int, block_px: int, stitch_bytes: int) -> int:
    """Columns of a strip: the whole width where it fits, else whole output blocks.

    >>> strip_width(20_000, 1_000, 512, 4_000_000)
    3584
    """
    if width * bytes_per_column <= stitch_bytes:
        return width
    return min(width, max(stitch_bytes // bytes_per_column // block_px, 1) * block_px)


def stitch_budget(limit: int, network: int, reading: int, writing: int) -> int:
    """Bytes left for stitching under a limit, at most STITCH_BYTES.

    network : held while the network computes a tile. reading, writing : held by segments read ahead, and by results
    that wait together with one block row of the narrowest strip.
    Errors: InputError where the limit does not suffice.
    """
    needed = network + reading + CACHE_BYTES + MARGIN_BYTES
    left = limit - needed
    if left < writing:
        enough = (needed + writing) / 1e6
        raise InputError(
            f"--memory {limit / 1e6:.0f}MB does not suffice: Python and the network take {network / 1e6:.0f} MB for one "
            f"tile, reading and writing the rest. Allow {enough:.0f}MB, or lower --tile where the verb has it."
        )
    return min(left, STITCH_BYTES)
