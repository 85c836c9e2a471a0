"""One step of the diffusion along edges, compiled: the sums of `_DiffusionStep` in their order, so the values are the same bits.

Row by row, so that what a step needs stays in the cache of a core.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(flows, between, guides, bands, factor, rate, least):  # type: ignore[no-untyped-def]
    """Turn the differences (N, W) along a row into flows; between : (W,), 0 where nothing flows; least : (2, W) room for shares."""
    width = between.size
    shares, share = least[0], least[1]
    for guide in range(guides):
        first = guide * bands
        row = flows[first]
        for col in range(width):
            share[col] = abs(row[col])
        for band in range(first + 1, first + bands):
            row = flows[band]
            for col in range(width):
                share[col] += abs(row[col])
        for col in range(width):
            size = share[col] * factor
            share[col] = rate / (size * size + np.float32(1)) * between[col]
        for band in range(first, first + bands):
            row = flows[band]
            for col in range(width):
                row[col] *= share[col]
        if guide == 0:
            for col in range(width):
                shares[col] = share[col]
        else:
            for col in range(width):
                shares[col] = min(shares[col], share[col])
    for channel in range(guides * bands, len(flows)):
        row = flows[channel]
        for col in range(width):
            row[col] *= shares[col]


@njit(cache=True, nogil=True, error_model="numpy")
def diffuse(state, valid, first, last, guides, bands, factor, rate):  # type: ignore[no-untyped-def]
    """Take one step in place in the rows from `first` to before `last`. state : (N, h, W) float32, contiguous, guides then scores;
    valid : (h, W) float32 of 0 or 1"""
    channels, _, width = state.shape
    above, below = np.zeros((channels, width), np.float32), np.zeros((channels, width), np.float32)
    right, between = np.zeros((channels, width), np.float32), np.zeros(width, np.float32)
    least = np.empty((2, width), np.float32)
    for row in range(first, last):
        for channel in range(channels):
            own, after, flow = state[channel, row, :-1], state[channel, row, 1:], right[channel]
            for col in range(own.size):
                flow[col] = after[col] - own[col]
            flow[width - 1] = 0
        here, there = valid[row, :-1], valid[row, 1:]
        for col in range(here.size):
            between[col] = here[col] * there[col]
        between[width - 1] = 0
        _scale(right, between, guides, bands, factor, rate, least)
        has_below = row + 1 < last
        if has_below:
            for channel in range(channels):
                own, after, flow = state[channel, row], state[channel, row + 1], below[channel]
                for col in range(width):
                    flow[col] = after[col] - own[col]
            here, there = valid[row], valid[row + 1]
            for col in range(width):
                between[col] = there[col] * here[col]
            _scale(below, between, guides, bands, factor, rate, least)
        for channel in range(channels):
            own, low, high, flow = state[channel, row], below[channel], above[channel], right[channel]
            if has_below:
                for col in range(width):
                    own[col] += low[col]
            for col in range(width):
                own[col] = own[col] - high[col] + flow[col]
            after = own[1:]
            for col in range(after.size):
                after[col] -= flow[col]
        above, below = below, above
