"""Whether blocks are visible in a map of regions: outlines along the blocks' edges, compared with those elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEAR_PX = 2  # from an edge: neither on it nor elsewhere


class SeamShares(NamedTuple):
    """Share of neighbouring pixels of different regions.

    Parameters
    ----------
    at_edges
        Share across the edges of blocks, 0 to 1.
    elsewhere
        Share in the other rows and columns, 0 to 1.

    Examples
    --------
    >>> SeamShares(at_edges=0.3, elsewhere=0.2).excess > 0.49
    True
    """

    at_edges: float
    elsewhere: float

    @property
    def excess(self) -> float:
        """Ratio of the two shares less 1: near 0 without seams, large where blocks were cut independently."""
        return self.at_edges / self.elsewhere - 1 if self.elsewhere else float(self.at_edges > 0)


def seam_shares(ids: NDArray[np.integer], block_px: int) -> SeamShares:
    """Compare outlines at rows and columns that are multiples of `block_px` with all that are not near one.

    Parameters
    ----------
    ids
        (h, w) whole numbers, one a region.
    block_px
        Side of the blocks in pixels.

    Returns
    -------
    SeamShares
        Shares at the edges and elsewhere.

    Examples
    --------
    >>> seam_shares(np.arange(256).reshape(16, 16) // 8 % 2, 8)  # halves that meet where two blocks do
    SeamShares(at_edges=0.5, elsewhere=0.0)
    """
    counts = [np.zeros(2), np.zeros(2)]  # pairs that differ, pairs: on edges, elsewhere
    for lines in (ids, ids.T):
        differ = (lines[1:] != lines[:-1]).sum(axis=1)
        offset = np.arange(1, len(lines)) % block_px
        distance = np.minimum(offset, block_px - offset)
        for count, chosen in zip(counts, (distance == 0, distance > NEAR_PX), strict=True):
            count += differ[chosen].sum(), chosen.sum() * lines.shape[1]
    at_edges, elsewhere = (float(differ / pairs) if pairs else 0.0 for differ, pairs in counts)
    return SeamShares(at_edges, elsewhere)
