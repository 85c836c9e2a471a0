"""Steps of the diffusion along edges, compiled: the sums of `_DiffusionStep` in their order, so the values are the same bits.

Row by row, each step one row behind the step before it, so that the rows of all steps stay in the cache of a core.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def _flow(state, row, down, right, between, flows, guides, bands, factor, rate, shares, share):  # type: ignore[no-untyped-def]
    """Write into `flows` (N, W) what flows into the pixels of a row from those `down` or to the `right` of them (0 or 1).

    between : (W,), 0 where nothing flows; shares, share : (W,), room for the shares of scores and of one guide
    """
    width = state.shape[2] - right
    for guide in range(guides):
        first = guide * bands
        for band in range(first, first + bands):
            own, after, flow = state[band, row], state[band, row + down, right:], flows[band]
            for col in range(width):
                flow[col] = after[col] - own[col]
            if band == first:
                for col in range(width):
                    share[col] = abs(flow[col])
            else:
                for col in range(width):
                    share[col] += abs(flow[col])
        for col in range(width):
            size = share[col] * factor
            share[col] = rate / (size * size + np.float32(1)) * between[col]
        for band in range(first, first + bands):
            flow = flows[band]
            for col in range(width):
                flow[col] *= share[col]
        if guide == 0:
            for col in range(width):
                shares[col] = share[col]
        else:
            for col in range(width):
                shares[col] = min(shares[col], share[col])
    for channel in range(guides * bands, len(flows)):
        own, after, flow = state[channel, row], state[channel, row + down, right:], flows[channel]
        for col in range(width):
            flow[col] = (after[col] - own[col]) * shares[col]


@njit(cache=True, nogil=True, error_model="numpy")
def diffuse(state, valid, rows, guides, bands, factor, rates):  # type: ignore[no-untyped-def]
    """Take steps in place. state : (N, h, W) float32, contiguous, guides then scores; valid : (h, W) float32 of 0 or 1
    rows : (steps, 2), the first row of each step and the row after its last one; rates : (steps,) float32"""
    channels, _, width = state.shape
    above = np.zeros((len(rates), channels, width), np.float32)  # what each step moved down from the row before
    below, beside = np.zeros((channels, width), np.float32), np.zeros((channels, width), np.float32)
    between, shares, share = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for front in range(rows[:, 0].min(), rows[:, 1].max() + len(rates)):
        for step in range(len(rates)):
            row, rate = front - step, rates[step]
            first, last = rows[step]
            if row < first or row >= last:
                continue
            here, there = valid[row], valid[row, 1:]
            for col in range(there.size):
                between[col] = here[col] * there[col]
            _flow(state, row, 0, 1, between, beside, guides, bands, factor, rate, shares, share)
            if row + 1 < last:
                there = valid[row + 1]
                for col in range(width):
                    between[col] = there[col] * here[col]
                _flow(state, row, 1, 0, between, below, guides, bands, factor, rate, shares, share)
            else:
                below[:] = 0
            for channel in range(channels):
                own, low, high, right = state[channel, row], below[channel], above[step, channel], beside[channel]
                for col in range(width):
                    own[col] = own[col] + low[col] - high[col] + right[col]
                after = own[1:]
                for col in range(after.size):
                    after[col] -= right[col]
                for col in range(width):
                    high[col] = low[col]
