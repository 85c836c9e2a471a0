"""How many tiles a device computes together.

Takes a segmenter and a device; a CPU gains nothing from more than one. On a GPU the number follows from its whole memory,
not from what is free now: another number gives other bits, and the same GPU shall give the same ones.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.device import Compute, torch_settings
from deepnets4eo.gpu_memory import bytes_taken, memory_bytes
from deepnets4eo.segmenters.segmenter import Segmenter

MOST_TILES = 32
SHARE = 0.25  # of the GPU's memory at most: it may serve others as well


def batch_size(segmenter: Segmenter, compute: Compute, tile_px: int) -> int:
    """Tiles to compute together; on a GPU one tile is computed to see what it takes.

    Parameters
    ----------
    segmenter
        Is moved to the GPU.
    compute
        The device.
    tile_px
        Side of a tile, its halo included.

    Returns
    -------
    int
        A power of two from 1 to 32; 1 on a CPU.

    Examples
    --------
    .. code-block:: python

        together = batch_size(run.segmenter, choose(), run.tiling.tile_px)
    """
    if not compute.device.startswith("cuda"):
        return 1
    tile = np.zeros((1, segmenter.inputs.in_channels, tile_px, tile_px), np.float32)
    with torch_settings(compute):
        segmenter.to(compute)
        try:
            taken = bytes_taken(compute.device, lambda: segmenter.predict_raw(tile))
        except RuntimeError:  # tiles that the network cannot compute: the first batch says why
            return 1
    return tiles_that_fit(memory_bytes(compute.device), taken)


def tiles_that_fit(gpu_bytes: int, tile_bytes: int) -> int:
    """The largest power of two of tiles that take a quarter of the memory at most; 1 to 32.

    >>> tiles_that_fit(16 * 10**9, 500 * 10**6)
    8
    """
    fit = int(gpu_bytes * SHARE) // max(tile_bytes, 1)
    return 1 << (min(max(fit, 1), MOST_TILES).bit_length() - 1)
