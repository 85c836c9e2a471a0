"""The one streaming pass: blocks that hold buildings, two at a time, their sums added up per building.

Takes a canvas and outlined buildings; memory is two blocks plus one row of sums per building.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from deepnets4eo.damage.evidence.block import BLOCK_PX, IMAGES, BlockSums, Outlined, measure_block
from deepnets4eo.damage.evidence.canvas import Canvas
from deepnets4eo.damage.evidence.context import CELL_PX
from deepnets4eo.damage.evidence.radiometry import Radiometry, measure
from deepnets4eo.damage.evidence.sums import Rows
from deepnets4eo.grid import Window, blocks


def collect(
    canvas: Canvas, outlined: Outlined, *, workers: int = 2, progress: Callable[[float], None] | None = None
) -> dict[str, Rows]:
    """Sums per building by name, (N, K) float64 each.

    Context columns are NaN for buildings whose centre lies outside the grid. progress : called with the share done.
    """
    centres = outlined.centres[_inside(outlined, canvas)]
    radiometry = {name: measure(canvas.layers[name], centres) for name in IMAGES if name in canvas.layers}
    total: dict[str, Rows] = {}
    height, width = (-(-side // CELL_PX) * CELL_PX for side in canvas.shape)  # whole cells; no data beyond the edge
    windows = blocks((height, width), BLOCK_PX)
    occupied = [window for window in windows if len(outlined.body.touching(window))] or windows[:1]
    for done, part in enumerate(_measured(occupied, canvas, outlined, radiometry, workers), start=1):
        if progress is not None:
            progress(done / len(occupied))
        for name, rows in part.sums.items():
            _table(total, name, len(outlined.centres), rows.shape[1], 0.0)[part.buildings] += rows
        for name, rows in part.context.items():
            _table(total, name, len(outlined.centres), rows.shape[1], np.nan)[part.centred] = rows
    return total


def _measured(
    windows: list[Window], canvas: Canvas, outlined: Outlined, radiometry: dict[str, Radiometry], workers: int
) -> Iterator[BlockSums]:
    """Results in block order, so that sums are the same whatever the number of workers."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[BlockSums]] = deque()
        for window in windows:
            ahead.append(pool.submit(measure_block, window, canvas, outlined, radiometry))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _inside(outlined: Outlined, canvas: Canvas) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        inside = (outlined.centres >= 0) & (outlined.centres < canvas.shape)
    return np.flatnonzero(inside.all(axis=1))


def _table(total: dict[str, Rows], name: str, rows: int, columns: int, empty: float) -> Rows:
    if name not in total:
        total[name] = np.full((rows, columns), empty)
    return total[name]
