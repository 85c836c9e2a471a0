"""Compiled loops of `view`: rays of view down to the first top. Which step of its ray each pixel of an image shows.

Takes arrays of a `WorldSurface`; lengths are metres, `lean` is pixels to the right and down per metre of height.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK_PX = 16  # blocks of which the highest top is known
NO_CROWN = np.float32(-1)
FOOT_SHARE = np.float32(0.35)  # of a crown's height, at which its leaves begin


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _crown_tops(height, canopy, cover, crowns, line):  # type: ignore[no-untyped-def]
    """One row: tops of the crowns that rise over what is solid; `line` keeps the highest top of each column."""
    for col in range(len(height)):
        leafy = cover[col] > 0 and canopy[col] > height[col]
        crowns[col] = canopy[col] if leafy else NO_CROWN
    for col in range(len(height)):
        line[col] = max(line[col], max(height[col], crowns[col]))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _block_tops(height, canopy, cover, crowns):  # type: ignore[no-untyped-def]
    """Highest top in each block; writes `crowns`."""
    rows, cols = height.shape
    out = np.zeros(((rows + BLOCK_PX - 1) // BLOCK_PX, (cols + BLOCK_PX - 1) // BLOCK_PX), np.float32)
    line = np.zeros(cols, np.float32)
    for i in range(len(out)):
        line[:] = 0
        for row in range(i * BLOCK_PX, min((i + 1) * BLOCK_PX, rows)):
            _crown_tops(height[row], canopy[row], cover[row], crowns[row], line)
        for col in range(cols):
            out[i, col // BLOCK_PX] = max(out[i, col // BLOCK_PX], line[col])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def find_tops(height, canopy, cover, lean):  # type: ignore[no-untyped-def]
    """Return the tops of crowns (H, W) in metres, negative where no crown rises over what is solid, and the highest top
    that can lean into each block of `BLOCK_PX` pixels. `lean` (2,) is in pixels to the right and down per metre."""
    crowns = np.empty(height.shape, np.float32)
    top = _block_tops(height, canopy, cover, crowns)
    reach_x, reach_y = lean[0] * top.max() / BLOCK_PX, lean[1] * top.max() / BLOCK_PX
    left, right = int(np.floor(min(-reach_x, 0) - 0.1)), int(np.ceil(max(-reach_x, 0) + 0.1))
    upper, lower = int(np.floor(min(-reach_y, 0) - 0.1)), int(np.ceil(max(-reach_y, 0) + 0.1))
    out = np.zeros_like(top)
    for i in range(top.shape[0]):
        for j in range(top.shape[1]):
            for m in range(max(i + upper, 0), min(i + lower + 1, top.shape[0])):
                for n in range(max(j + left, 0), min(j + right + 1, top.shape[1])):
                    out[i, j] = max(out[i, j], top[m, n])
    return crowns, out


@njit(cache=True, nogil=True, error_model="numpy")
def ray_steps(lean, highest_m):  # type: ignore[no-untyped-def]
    """Return the steps of a ray of view from the ground up to `highest_m`, one pixel along the longer axis each:
    heights in metres, and offsets in rows and columns."""
    faster = max(abs(lean[0]), abs(lean[1]))
    step_m = np.float32(1) / faster if faster > np.float32(1e-4) else np.float32(1e6)
    heights = np.arange(int(highest_m / step_m + np.float32(0.5)) + 2) * np.float64(step_m)
    down = np.floor(lean[1] * heights + 0.5).astype(np.int64)
    return step_m, down, np.floor(lean[0] * heights + 0.5).astype(np.int64)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _meet(solids, crowns, ray_m, step_m, step, met, met_crown):  # type: ignore[no-untyped-def]
    """One step of neighbouring rays: mark those that meet their first top, or their first crown before it."""
    level = ray_m - np.float32(0.5) * step_m
    for i in range(len(met)):
        free = met[i] == 0
        leafy = (crowns[i] >= level) & (FOOT_SHARE * crowns[i] <= ray_m)
        met_crown[i] = step if free & leafy & (met_crown[i] < 0) else met_crown[i]
        met[i] = step if free & (solids[i] >= level) else met[i]


@njit(cache=True, nogil=True, error_model="numpy")
def walk_rays(height, crowns, highest, rays, at_row, at_col, met, met_crown):  # type: ignore[no-untyped-def]
    """Walk down the rays of one row of an image. Written are `met`, the step at which a ray meets something solid (0
    for the ground), and `met_crown`, the step at which it meets a crown before (-1 for none). Nothing stands beyond
    the surface."""
    rows, cols = height.shape
    step_m, down, right = rays
    met[:] = 0
    met_crown[:] = -1
    steps = (highest[min(max(at_row, 0), rows - 1) // BLOCK_PX] / step_m + np.float32(0.5)).astype(np.int64)
    for k in range(steps.max(), 0, -1):
        row, shift = at_row - down[k], at_col - right[k]
        if not 0 <= row < rows:
            continue
        block = 0
        while block < len(steps):
            start = block
            while block < len(steps) and steps[block] >= k:
                block += 1
            low, high = (
                max(start * BLOCK_PX - at_col, -shift, 0),
                min(block * BLOCK_PX - at_col, cols - shift, len(met)),
            )
            if block > start and high > low:
                _meet(
                    height[row, low + shift : high + shift], crowns[row, low + shift : high + shift],
                    np.float32(k) * step_m, step_m, k, met[low:high], met_crown[low:high],
                )  # fmt: skip
            block += 1
